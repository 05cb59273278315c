"""Receptive fields: which part of a model's input the units of a layer can see.

Where the model has a graph, they are computed from it (`arithmetic`).  Where it has none, or something on the way is not
known, they are measured (`probing`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from featwatch.errors import first_line
from featwatch.explain.fields.arithmetic import NoGraph
from featwatch.explain.fields.arithmetic import Start as Start
from featwatch.explain.fields.axes import NoSize
from featwatch.explain.fields.measuring import measured
from featwatch.explain.fields.probing import Span, probing_of
from featwatch.layers import Site, choose, sites


@dataclass(frozen=True)
class Box:
    """What a unit sees: from `lo` to `hi`, inclusive, per spatial axis of the input.

    It may reach beyond the input, where the unit sees padding; `inside` does not.  `kind` says how good it is:

    - "exact": `inside` is the smallest box around everything that can influence the unit.
    - "superset": `inside` holds all of that, and may be too large.
    - "measured": everything in `inside` was seen to influence the unit, and nothing else was found to; it may be too small.
    """

    lo: tuple[int, ...]
    hi: tuple[int, ...]
    stride: tuple[int, ...]         # by how much the box moves, per axis, from a unit to the next; 0 = it does not
    exact: bool
    within: Span                    # (lo, hi) per axis of what of it lies within the input
    measured: bool = False

    @property
    def size(self) -> tuple[int, ...]:
        return tuple(high - low + 1 for low, high in zip(self.lo, self.hi, strict=True))

    @property
    def kind(self) -> str:
        return "exact" if self.exact else "measured" if self.measured else "superset"

    @property
    def inside(self) -> Box:
        """What of it lies within the input and can influence the unit."""
        lo, hi = zip(*self.within, strict=True) if self.within else ((), ())
        return Box(lo, hi, self.stride, self.exact, self.within, self.measured)


@dataclass(frozen=True)
class Field:
    """The receptive fields of all units of a layer: unit u sees `size` positions from `offset` + u · `stride` on."""

    size: tuple[int, ...] = ()      # per spatial axis of the input; empty = not known
    stride: tuple[int, ...] = ()    # 0 = every unit sees the same, as behind a mean over all positions
    offset: tuple[int, ...] = ()
    input: tuple[int, ...] = ()     # spatial sizes of the input; empty = left open
    kind: str = ""                  # "exact", "superset", "measured", or why it is not known


def receptive_field(model: Any, layer: Any, unit: Sequence[int] | None = None, *, probe: Any = None) -> Box:
    """The part of the model's input that a unit of a layer can see.

    It is computed from the model's graph.  Without one, as in subclassed models, and where an operation is not known, it
    is measured: on random inputs, with random weights in the place of the model's own, which stay as they are.  Behind
    an operation over all positions, such as the global pooling of a squeeze-and-excite block, a unit sees everything.

    Arguments:
        model: any model; nested ones are looked into.
        layer: its name, "block/conv" within a nested model, or the layer itself.
        unit: its position in the layer's map, one index per spatial axis; None = the central one.  The map is that of
            the activation that applies to the layer, where pooling comes between them.
        probe: a `Probe`, or samples of the input: they tell its size to a measurement, where the model does not.

    Raises:
        ValueError: there is no such layer or unit, the layer sees several inputs, or its field can neither be computed
            nor measured: the message says why.

    Example:
        >>> layers = [keras.Input((32, 32, 3)), keras.layers.Conv2D(8, 5), keras.layers.MaxPooling2D(name="pool")]
        >>> receptive_field(keras.Sequential(layers), "pool", (0, 0)).hi
        (5, 5)
    """
    site = site_of(model, layer)
    start: Start | None = None
    try:
        start = Start(model, site)
    except NoGraph:
        return _measured_box(model, site, unit, probe)
    place = _place(site, unit, start.sizes)
    try:
        computed = _computed_box(start, place)
    except NoSize:
        if probe is None:
            raise
        return _measured_box(model, site, place, probe)
    if start.guessed:
        try:
            box = _measured_box(model, site, place, probe)
        except Exception:               # whatever the model raises of random inputs
            return computed
        # Where what is perhaps too large and what is perhaps too small agree, both are right.
        return replace(computed, exact=True) if box.within == computed.within else box
    return computed


def field_of(model: Any, site: Site, *, probe: Any = None) -> Field:
    """The receptive fields of all units of a site; `kind` says why where they cannot be told.

    Its size is that of a central unit.  Where fields differ in more than their position, as behind a
    transposed convolution, it is that of the largest, and each starts early enough: a superset.  What is measured is
    found from some units at the ends and the centre of the map, within about a second per layer.

    Arguments:
        probe: as for `receptive_field`.
    """
    try:
        return _field_of(model, site, probe)
    except Exception as error:          # of a graph that is made otherwise than those that are known
        return Field(kind=first_line(error))


def _field_of(model: Any, site: Site, probe: Any) -> Field:
    start: Start | None = None
    computed: Field | None = None
    try:
        start = Start(model, site)
        computed = _computed_field(start)
        if not start.guessed:
            return computed
    except NoGraph:
        pass
    except NoSize:
        if probe is None:
            raise
    try:
        found = measured(model, site, probe)
    except Exception:                   # whatever the model raises of random inputs
        if computed is None:
            raise
        return computed
    # Where what is perhaps too large and what is perhaps too small agree, both are right.
    if computed is not None and start is not None and [start.seen(unit) for unit in found.units] == list(found.spans):
        return replace(computed, kind="exact")
    return Field(
        tuple(rule.size for rule in found.rules),
        tuple(rule.stride for rule in found.rules),
        tuple(rule.offset for rule in found.rules),
        found.input,
        "measured",
    )


def _computed_box(start: Start, unit: list[int]) -> Box:
    found, moved = start.hulls([np.array([u, u + 1]) for u in unit])
    within, exact = start.within(unit, found)
    return Box(
        tuple(int(low[0]) for low, _ in found),
        tuple(int(high[0]) for _, high in found),
        tuple(int(low[-1] - low[0]) if ours else 0 for (low, _), ours in zip(found, moved, strict=True)),
        exact,
        within,
    )


def _computed_field(start: Start) -> Field:
    units = [np.arange(2 if size is None else max(size, 2)) for size in start.sizes]
    found, moved = start.hulls(units)
    size: list[int] = []
    stride: list[int] = []
    offset: list[int] = []
    regular = True
    for (low, high), ours in zip(found, moved, strict=True):
        steps = np.arange(len(low))
        step = round(float(low[-1] - low[0]) / (len(low) - 1)) if ours else 0
        first = int((low - step * steps).min())
        wide = int((high - step * steps).max()) - first + 1
        regular &= bool(((high - low + 1) == wide).all())
        size.append(wide)
        stride.append(step)
        offset.append(first)
    at_centre = [(low[u : u + 1], high[u : u + 1]) for (low, high), u in zip(found, start.aligned(start.centre), strict=True)]
    within, exact = start.within(start.centre, at_centre)
    tight = exact and regular and within == start.cut(at_centre)
    sizes = tuple(size for size in start.input_sizes if size is not None)
    known = sizes if len(sizes) == len(start.input_sizes) else ()
    return Field(tuple(size), tuple(stride), tuple(offset), known, "exact" if tight else "superset")


def _measured_box(model: Any, site: Site, unit: Sequence[int] | None, probe: Any) -> Box:
    found = measured(model, site, probe, limited=False)
    probing = probing_of(model, site, probe)
    sizes = probing.map_size(site)
    place = tuple(_place(site, unit, sizes))
    within = probing.measure(site, [place])[0]
    box = found.box(place)
    # The rules tell what of the box lies beyond the input; where they do not hold, nothing does.
    lo, hi = zip(*(box if found.cut(place) == within else within), strict=True) if within else ((), ())
    return Box(lo, hi, tuple(rule.stride for rule in found.rules), False, within, measured=True)


def _place(site: Site, unit: Sequence[int] | None, sizes: Sequence[int | None]) -> list[int]:
    """A unit's position, counted from the start of each axis; None = the central one.  Raises ValueError where there is none."""
    if unit is None:
        return [0 if size is None else size // 2 for size in sizes]
    if len(unit) != len(sizes) or any(not -size <= u < size for u, size in zip(unit, sizes, strict=True) if size is not None):
        raise ValueError(f"unit={tuple(unit)}: the map of layer {site.name!r} has the size {tuple(sizes)}")
    return [u if size is None else u % size for u, size in zip(unit, sizes, strict=True)]


def site_of(model: Any, layer: Any) -> Site:
    """The site of a layer that is named, or given.  Raises ValueError where it is not one layer of the model."""
    if isinstance(layer, Site):
        return layer
    found = choose(model, layer) if isinstance(layer, str) else [site for site in sites(model) if site.layer is layer]
    if len(found) != 1:
        names = ", ".join(site.name for site in found[:5]) or "none"
        raise ValueError(f"layer={layer!r}: expected one layer of the model {model.name!r}, this is {names}")
    return found[0]
