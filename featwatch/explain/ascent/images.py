"""`feature_images`: the feature images of a layer of a trained model."""

from __future__ import annotations

import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from featwatch.explain.ascent.bounds import Bounds, bounds_of, given_bounds
from featwatch.explain.ascent.painter import Painter, together
from featwatch.explain.ascent.recipe import Recipe
from featwatch.explain.ascent.starts import PATCHES
from featwatch.explain.fields.fields import site_of
from featwatch.explain.forms import Form, form_of
from featwatch.explain.subject import filters_of
from featwatch.layers import Site
from featwatch.probe import Probe
from featwatch.records import FeatureImages

__all__ = ["feature_images", "painter_of", "together"]


_of_probes: weakref.WeakKeyDictionary[Probe, dict[Form, Bounds]] = weakref.WeakKeyDictionary()
_FEW = 8                            # times as many filters as are asked for, and more: then those are picked from the maps
_OVER_UNITS = {"channel": tf.reduce_mean, "sum": tf.reduce_sum}


def feature_images(
    model: Any,
    layer: Any,
    filters: Sequence[int] | None = None,
    *,
    probe: Any = None,
    steps: int = 64,
    basis: Any = "fourier",
    init: str = "patches",
    bounds: tuple[Any, Any] | None = None,
    objective: str = "neuron",
    weights: Any = None,
    **choices: Any,
) -> FeatureImages:
    """Images that maximise filters of a layer, found by gradient ascent within the range of the data.

    Arguments:
        model: a built model; it is not changed.
        layer: its name, or the layer itself.
        filters: which; None = all of them.
        probe: a `Probe`, or samples; tells the range of the input, how its channels go together, and the starts.
        steps, basis, init, objective, choices: see `Recipe`, which all of them make up; "neuron" is what enters the activation
            of one unit, on its receptive field, "channel" the mean of what leaves it over all units, on the whole input.
        bounds: (lowest, highest) value of the input, numbers or one per channel; None = the probe's range, or 0 to 1.
        weights: (images, filters of the layer), or a single row: directions to maximise instead of single filters.

    Returns: a `FeatureImages` record; `.images` are in the units of the model's input.  With `weights`,
        `.filters` counts the directions.

    Raises:
        ValueError: an argument is out of its range, or the layer has no feature images: the message says why.

    Example:
        >>> shown = feature_images(net, "conv", [0, 3], steps=8, probe=fw.Probe(x))
        >>> shown.images.shape
        (2, 3, 3, 1)
    """
    recipe = Recipe(steps=steps, basis=basis, init=init, objective=objective, **choices)
    site = site_of(model, layer)
    started = time.perf_counter()
    probe = probe if probe is None or isinstance(probe, Probe) else Probe(probe)
    form = form_of(model, None if probe is None else probe.x)
    samples = None if probe is None else form.pictures(probe.x)
    within = _of_probe(probe, form, samples) if bounds is None and samples is not None else _bounds(form, samples, bounds)
    painter = Painter(model, site, form, within, samples, recipe=recipe)
    directions, named = _directions(painter, filters, weights, site)
    best = _strongest(painter, probe, directions) if probe is not None else None
    painted = []
    for first in range(0, len(directions), painter.at_once):
        some = slice(first, first + painter.at_once)
        painted.append(painter.paint(directions[some], None, *(best.of(some) if best is not None else ())))
    return painter.record(
        together(painted), named, epoch=0, step=-1, layer=site.name, seconds=time.perf_counter() - started
    )


def painter_of(model: Any, site: Site, probe: Any, *, recipe: Recipe | None = None, **choices: Any) -> Painter:
    """The painter of a layer, with everything that it needs taken from a probe.

    Arguments:
        recipe: how images are made; or `choices` of a `Recipe`, such as basis="pixels".

    Raises Unsuitable.
    """
    form = form_of(model, probe.x)
    samples = form.pictures(probe.x)
    return Painter(model, site, form, _of_probe(probe, form, samples), samples, recipe=recipe or Recipe(**choices))


def _of_probe(probe: Probe, form: Form, samples: np.ndarray) -> Bounds:
    known = _of_probes.setdefault(probe, {})        # the same for every layer
    if form not in known:
        known[form] = _bounds(form, samples, None)
    return known[form]


def _bounds(form: Form, samples: np.ndarray | None, given: tuple[Any, Any] | None) -> Bounds:
    if given is not None:
        if not isinstance(given, (tuple, list)) or len(given) != 2:
            raise ValueError(f"bounds={given!r}: give (lowest, highest)")
        return given_bounds(*given, form.size[2])
    if samples is None:
        return given_bounds(0.0, 1.0, form.size[2])
    return bounds_of(samples, each_position=not form.has_neighbours)


def _directions(
    painter: Painter, filters: Sequence[int] | None, weights: Any, site: Site
) -> tuple[np.ndarray, np.ndarray]:
    """(images, filters of the layer) float32, and the number that each goes by."""
    if weights is None:
        named = filters_of(filters, painter.filters, site.name)
        return painter.directions(named), named
    if filters is not None:
        raise ValueError("give filters or weights, not both")
    rows = np.atleast_2d(np.asarray(weights, np.float32))
    if rows.ndim != 2 or rows.shape[1] != painter.filters or not np.isfinite(rows).all() or not rows.any(axis=1).all():
        raise ValueError(
            f"weights of the shape {np.shape(weights)}: expected finite rows of {painter.filters} numbers, one per filter of "
            f"layer {site.name!r}, none of them all zero"
        )
    return rows, np.arange(len(rows))


@dataclass(frozen=True, eq=False)
class Best:
    """What of the probe gives the largest values, per image."""

    strongest: np.ndarray           # (images, patches) indices of samples, strongest first
    peaks: np.ndarray               # likewise, where in the map it is, as an index over positions
    natural: np.ndarray             # (images,) the largest value of the objective

    def of(self, some: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of some of the images, as `Painter.paint` takes it."""
        return self.strongest[some], self.peaks[some], self.natural[some]


def _strongest(painter: Painter, probe: Probe, directions: np.ndarray) -> Best:
    largest, places, objective = [], [], []
    single = (directions.sum(axis=1) == 1) & (np.count_nonzero(directions, axis=1) == 1)
    filters = directions.argmax(axis=1) if single.all() else None
    few = filters is not None and _FEW * len(filters) < painter.filters
    # What is reduced over all filters is picked afterwards: picking from the maps takes as long as making them.
    picked = slice(None) if filters is None or few else filters

    def along(maps: tf.Tensor, count: int) -> tf.Tensor:
        """(samples, units, directions), or of all filters; of single ones no products with zeros."""
        values = maps
        if filters is None or few:
            values = tf.tensordot(maps, directions.T, 1) if filters is None else tf.gather(maps, filters, axis=-1)
        return tf.reshape(values[:count], (count, -1, values.shape[-1]))

    for batch, count in probe.batches():
        entering, leaving = painter.maps.both(painter.form.pictures(batch))
        values = along(entering, count)
        largest.append(tf.reduce_max(values, axis=1).numpy()[:, picked])
        places.append(tf.argmax(values, axis=1).numpy()[:, picked])
        if painter.recipe.objective == "neuron":
            objective.append(largest[-1])
        else:
            objective.append(_OVER_UNITS[painter.recipe.objective](along(leaving, count), axis=1).numpy()[:, picked])
    strongest = np.argsort(-np.concatenate(largest), axis=0, kind="stable")[:PATCHES].T
    peaks = np.take_along_axis(np.concatenate(places).T, strongest, axis=1)
    return Best(strongest, peaks, np.concatenate(objective).max(axis=0))
