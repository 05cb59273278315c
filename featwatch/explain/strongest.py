"""`exemplars`: the samples that activate filters of a trained model most, with the filters' maps of them (row F7)."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from featwatch import reductions
from featwatch.analysis.exemplars import boxes, patches, strongest, unravelled
from featwatch.explain.ascent.ascent import traced
from featwatch.explain.fields.fields import field_of, site_of
from featwatch.explain.forms import Form, Unsuitable, form_of
from featwatch.explain.kept import kept
from featwatch.explain.responses import Responses
from featwatch.explain.subject import filters_of
from featwatch.layers import Site
from featwatch.probe import Probe
from featwatch.reductions import About
from featwatch.running import Seen, WritesState, filters_last, first_tensor, rows_of, run, unreadable
from featwatch.sketch import Sketch
from featwatch.structures import leaves, mapped

_ABOUT = About(Sketch.of_length(1), 1)
_REDUCTIONS = (reductions.maximum, reductions.peak, reductions.mean, reductions.below_zero)
Choice = tuple[np.ndarray, np.ndarray]      # (filters, top) indices of samples, and (filters,) whose maps of them are wanted


@dataclass(frozen=True, eq=False)
class Exemplars:
    """The samples that activate some filters most, strongest first, and what the filters make of them."""

    filters: np.ndarray             # (filters,) int64
    samples: np.ndarray             # (filters, top) int32, indices into the probe
    activation: np.ndarray          # (filters, top) float32: the largest of the map, after the activation function
    position: np.ndarray            # (filters, top, axes) int32: where in the map it is; no axes for a Dense layer
    maps: np.ndarray                # (filters, top, …) float32: the whole map, after the activation function
    # What the unit there sees of the input: lowest and highest index per spatial axis, inclusive, as
    # lo0, hi0, lo1, hi1, …; may reach beyond it.  None where that is not known.
    boxes: np.ndarray | None
    patches: np.ndarray | None      # (filters, top, height, width, channels) float32: the same, cut out; 0 beyond the input
    receptive_field: str            # "exact", "superset", "measured", or why there are no boxes


def exemplars(model: Any, layer: Any, filters: Sequence[int] | int | None, probe: Any, top: int = 9) -> Exemplars:
    """The samples of a probe that activate filters of a layer most, where in them that is, and the filters' maps of them.

    Takes one forward pass over the probe, and one more over the samples that are found, batch by batch.  Of equal
    activations the earlier sample comes first.

    Arguments:
        model: a built model; it is not changed.
        layer: its name, or the layer itself.
        filters: which; None = all of them.
        probe: a `Probe`, or samples.
        top: how many samples of each; where there are fewer, all.

    Raises:
        ValueError: there is no such layer or filter, or the layer cannot be read: the message says why.

    Example:
        >>> found = exemplars(net, "conv", [0, 3], x, top=2)
        >>> found.samples.shape, found.maps.shape, found.patches.shape
        ((2, 2), (2, 2, 6, 6), (2, 2, 3, 3, 1))
    """
    if isinstance(top, bool) or not isinstance(top, (int, np.integer)) or top < 1:
        raise ValueError(f"top={top!r}: expected a whole number of 1 or more")
    site = site_of(model, layer)
    probe = probe if isinstance(probe, Probe) else Probe(probe, size=max(1, len(leaves(probe)[0][1])))
    found = strength(model, site, probe)
    maxima, peaks = found["maximum"], found["peak"]
    named = filters_of(filters, maxima.shape[1], site.name)
    samples = strongest(maxima[:, named], int(top))
    batch = next(iter(probe.batches()))[0]
    key = ("exemplar maps", id(site.layer), id(site.tapped), *_shapes(batch), probe.batch_size)
    pairs = kept(model, key, lambda: PairMaps(model, [site], batch, lambda values: values))
    maps = pairs.read(probe, {site.name: (samples, named)})[site.name]
    position = unravelled(peaks[samples, named[:, None]], maps.shape[2:])
    field = field_of(model, site)
    seen = boxes(position, field.size, field.stride, field.offset)
    return Exemplars(
        filters=named,
        samples=samples,
        activation=maxima[samples, named[:, None]],
        position=position,
        maps=maps,
        boxes=seen,
        patches=None if seen is None else _cut(model, probe, samples, seen),
        receptive_field=field.kind,
    )


class PairMaps:
    """Reads maps of (sample, filter) pairs, of several layers at once, always with the weights of the moment.

    Traced once; only the pairs' maps leave the device.

    Arguments:
        sites: of the model.
        batch: samples of its input, as many as are shown to it at once.
        kept: (values of a layer (batch, …, filters)) -> what is kept of them, (batch, …, filters) too.

    Raises:
        ValueError: none of the layers can be read.
        WritesState: the model writes variables in inference.
    """

    def __init__(self, model: Any, sites: Sequence[Site], batch: Any, kept: Callable[[tf.Tensor], tf.Tensor]) -> None:
        self._model, self._sites, self._kept = weakref.ref(model), tuple(sites), kept
        self.batches = 0                            # that were shown to the model at the last reading
        self.refused: dict[str, str] = {}           # name of a layer that turned out not to be readable -> why
        self._rows = len(leaves(batch)[0][1])
        specs = mapped(lambda array: tf.TensorSpec(np.shape(array), tf.convert_to_tensor(array[:1]).dtype), batch)
        pairs = {str(number): tf.TensorSpec((None, 2), tf.int32) for number in range(len(sites))}
        problem: Exception | None = None
        for way in ("graph", "calls"):
            try:
                self._function = traced(functools.partial(self._look, way), specs, pairs)
                break
            except WritesState:
                raise
            except Exception as error:
                problem = error
        else:
            raise ValueError(f"the model cannot be traced: {problem}") from problem
        if len(self.refused) == len(self._sites):
            name, reason = next(iter(self.refused.items()))
            raise ValueError(f"layer {name!r} cannot be read: {reason}")

    def read(self, probe: Probe, chosen: Mapping[str, Choice]) -> dict[str, np.ndarray]:
        """By layer (filters, top, …) float32: each filter's maps of its samples; each sample is shown to the model once.

        Arguments:
            chosen: which samples for which filters, by the layers' names.
        """
        flat: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for name, (samples, filters) in chosen.items():
            if name not in self.refused:
                flat[name] = samples.ravel(), np.repeat(filters, samples.shape[1])
        distinct = np.unique(np.concatenate([samples for samples, _ in flat.values()])) if flat else np.zeros(0, int)
        found: dict[str, np.ndarray] = {}
        self.batches = -(-len(distinct) // self._rows)
        for first in range(0, len(distinct), self._rows):
            here = distinct[first : first + self._rows]
            places = {name: np.flatnonzero(np.isin(samples, here)) for name, (samples, _) in flat.items()}
            pairs = {
                str(number): self._pairs(here, flat.get(site.name), places.get(site.name))
                for number, site in enumerate(self._sites)
            }
            maps = self._function(_rows_of(probe, np.append(here, np.full(self._rows - len(here), here[-1]))), pairs)
            for number, site in enumerate(self._sites):
                if site.name in flat:
                    values = maps[str(number)].numpy()
                    if site.name not in found:
                        found[site.name] = np.empty((len(flat[site.name][0]), *values.shape[1:]), np.float32)
                    found[site.name][places[site.name]] = values
        return {name: values.reshape(*chosen[name][0].shape, *values.shape[1:]) for name, values in found.items()}

    def _pairs(self, here: np.ndarray, wanted: Choice | None, places: np.ndarray | None) -> tf.Tensor:
        if wanted is None or places is None:
            return tf.zeros((0, 2), tf.int32)
        samples, filters = wanted
        return tf.constant(np.stack([np.searchsorted(here, samples[places]), filters[places]], axis=1), tf.int32)

    def _look(self, way: str, batch: Any, pairs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        model = self._model()
        if model is None:
            raise RuntimeError("the model is gone")
        seen, rows = Seen(), rows_of(batch)
        self.refused = {}
        run(model, batch, self._sites, seen, way)
        found = {}
        for number, site in enumerate(self._sites):
            reason = unreadable(site, seen, rows)
            if reason:
                self.refused[site.name] = reason
                continue
            values = self._kept(filters_last(first_tensor(seen.left[id(site.tapped)]), site.layer))
            found[str(number)] = tf.gather_nd(tf.experimental.numpy.moveaxis(values, -1, 1), pairs[str(number)])
        return found


def _rows_of(probe: Probe, rows: np.ndarray) -> Any:
    return mapped(lambda array: tf.convert_to_tensor(array[rows]), probe.x)


def strength(model: Any, site: Site, probe: Probe) -> dict[str, np.ndarray]:
    """(samples, filters) each: "maximum", "peak", "mean" and "below_zero" of a layer's maps of a probe, as `reductions` has them.

    Raises ValueError where the layer cannot be read.
    """

    def reduced(values: tf.Tensor, bare: bool) -> tf.Tensor:
        return tf.stack([tf.cast(function(values, _ABOUT), tf.float32) for function in _REDUCTIONS], axis=-1)

    key = ("exemplar strength", id(site.layer), id(site.tapped), *_shapes(probe.x), probe.batch_size)
    responses = kept(model, key, lambda: Responses(model, [site], reduced))
    parts = []
    for batch, count in probe.batches():
        found = responses.read(batch)
        if site.name not in found:
            raise ValueError(f"layer {site.name!r} cannot be read: {responses.refused[site.name]}")
        parts.append(found[site.name].values[:count])
    values = np.concatenate(parts)
    named = {function.__name__: values[..., number] for number, function in enumerate(_REDUCTIONS)}
    return {**named, "peak": named["peak"].astype(np.int32)}


def _cut(model: Any, probe: Probe, samples: np.ndarray, seen: np.ndarray) -> np.ndarray | None:
    try:
        form = form_of(model, probe.x)
    except Unsuitable:
        return None
    bounds = _of_picture(form, seen)
    return None if bounds is None else patches(form.pictures(probe.x).astype(np.float32), samples, bounds, 0.0)


def _of_picture(form: Form, seen: np.ndarray) -> np.ndarray | None:
    """(…, 4): boxes on the input as boxes on its pictures; None where the axes are others."""
    height, width, _ = form.size
    bounds = np.broadcast_to(np.array([0, height - 1, 0, width - 1], np.int32), (*seen.shape[:-1], 4)).copy()
    if seen.shape[-1] != 2 * len(form.axes):
        return bounds if form.kind == "vector" else None
    for number, axis in enumerate(form.axes):
        bounds[..., 2 * axis : 2 * axis + 2] = seen[..., 2 * number : 2 * number + 2]
    return bounds


def _shapes(batch: Any) -> tuple[Any, ...]:
    return tuple((path, np.shape(array)[1:], str(array.dtype)) for path, array in leaves(batch))


