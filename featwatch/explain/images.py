"""`feature_images`: the feature images of a layer of a trained model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from featwatch.explain.bases import BASES
from featwatch.explain.bounds import Bounds, bounds_of, given_bounds
from featwatch.explain.fields import site_of
from featwatch.explain.forms import Form, form_of
from featwatch.explain.painter import PATCHES, Painted, Painter
from featwatch.layers import Site
from featwatch.probe import Probe
from featwatch.records import FeatureImages


def feature_images(
    model: Any,
    layer: Any,
    filters: Sequence[int] | None = None,
    *,
    probe: Any = None,
    steps: int = 64,
    basis: str = "fourier",
    init: str = "patches",
    bounds: tuple[Any, Any] | None = None,
    objective: str = "neuron",
    weights: Any = None,
) -> FeatureImages:
    """Images that maximise filters of a layer, found by gradient ascent within the range of the data.

    Arguments:
        model: a built model; it is not changed.
        layer: its name, or the layer itself.
        filters: which; None = all of them.
        probe: a `Probe`, or samples; tells the range of the input, how its channels go together, and the starts.
        steps: of gradient ascent.
        basis: "fourier" or "pixels".
        init: "patches", the mean of the nine patches of the probe that activate the filter most, or "noise".
            Without a probe it is noise.
        bounds: (lowest, highest) value of the input, numbers or one per channel; None = the probe's range, or 0 to 1.
        objective: "neuron", what enters the activation of the central unit, on its receptive field; "channel",
            the mean of that over all units, on the whole input.
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
    site = site_of(model, layer)
    _check("basis", basis, tuple(BASES))
    _check("init", init, ("patches", "noise"))
    _check("objective", objective, ("neuron", "channel"))
    started = time.perf_counter()
    probe = probe if probe is None or isinstance(probe, Probe) else Probe(probe)
    form = form_of(model, None if probe is None else probe.x)
    samples = None if probe is None else form.pictures(probe.x)
    painter = Painter(model, site, form, _bounds(form, samples, bounds), samples, basis=basis, objective=objective)
    directions, named = _directions(painter, filters, weights, site)
    starts = _strongest(painter, probe, directions) if init == "patches" and probe is not None else None
    painted = []
    for first in range(0, len(directions), painter.at_once):
        some = slice(first, first + painter.at_once)
        if starts is None:
            painted.append(painter.from_noise(directions[some], steps, seed=first))
        else:
            painted.append(painter.from_patches(directions[some], steps, starts[0][some], starts[1][some]))
    return painter.record(
        together(painted), named, epoch=0, step=-1, layer=site.name, steps=steps,
        init="noise" if starts is None else "patches", seconds=time.perf_counter() - started,
    )  # fmt: skip


def together(painted: Sequence[Painted]) -> Painted:
    """All of them, in order."""
    parts = [(part.pixels, part.activation, part.natural, part.reached) for part in painted]
    return Painted(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def painter_of(model: Any, site: Site, probe: Any, *, basis: str) -> Painter:
    """The painter of a layer, with everything that it needs taken from a probe.  Raises Unsuitable."""
    form = form_of(model, probe.x)
    samples = form.pictures(probe.x)
    return Painter(model, site, form, _bounds(form, samples, None), samples, basis=basis, objective="neuron")


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
        named = np.arange(painter.filters) if filters is None else np.atleast_1d(np.asarray(filters))
        if named.ndim != 1 or not len(named) or named.dtype.kind not in "iu":
            raise ValueError(f"filters={filters!r}: give the numbers of some filters, as in filters=[0, 3]")
        if named.min() < 0 or named.max() >= painter.filters:
            raise ValueError(f"filters={filters!r}: layer {site.name!r} has the filters 0 to {painter.filters - 1}")
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


def _strongest(painter: Painter, probe: Probe, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(images, patches) indices of the samples with the largest values, strongest first, and where in the map these are."""
    largest, places = [], []
    for batch, count in probe.batches():
        maps = painter.maps(tf.constant(painter.form.pictures(batch), tf.float32)).numpy()[:count]
        values = (maps @ directions.T).reshape(count, -1, len(directions))
        largest.append(values.max(axis=1))
        places.append(values.argmax(axis=1))
    strongest = np.argsort(-np.concatenate(largest), axis=0, kind="stable")[:PATCHES].T
    return strongest, np.take_along_axis(np.concatenate(places).T, strongest, axis=1)


def _check(argument: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{argument}={value!r}: expected " + " or ".join(map(repr, allowed)))
