"""Receptive fields: which part of a model's input the units of a layer can see.

Computed from the graph of the model by arithmetic with intervals, from the unit back to the input
(Araujo, Norris and Sim 2019, *Computing Receptive Fields of Convolutional Neural Networks*, for the
idea), and checked against the exact sets of positions that take part.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeVar

import keras
import numpy as np

from featwatch.explain.axes import Interval, NoSize
from featwatch.explain.operations import channel_axis
from featwatch.explain.walk import (
    Positions,
    Through,
    back,
    hull_of_both,
    hull_through,
    outside_of,
    pace_of_both,
    pace_through,
    positions_of_both,
    positions_through,
)  # fmt: skip
from featwatch.graphs import graph_of, nodes_of
from featwatch.layers import Site, choose, sites

T = TypeVar("T")
FAR = 5040                          # units: a number that all usual strides divide


@dataclass(frozen=True)
class Box:
    """What a unit sees: from `lo` to `hi`, inclusive, per spatial axis of the input.

    It may reach beyond the input, where the unit sees padding; `inside` does not.  `exact`: `inside` is the
    smallest box around everything that can influence the unit; otherwise it may be too large.
    """

    lo: tuple[int, ...]
    hi: tuple[int, ...]
    stride: tuple[int, ...]         # by how much the box moves, per axis, from a unit to the next; 0 = it does not
    exact: bool
    within: tuple[tuple[int, int], ...]     # (lo, hi) per axis of what of it lies within the input

    @property
    def size(self) -> tuple[int, ...]:
        return tuple(high - low + 1 for low, high in zip(self.lo, self.hi, strict=True))

    @property
    def inside(self) -> Box:
        """What of it lies within the input and can influence the unit."""
        lo, hi = zip(*self.within, strict=True) if self.within else ((), ())
        return Box(lo, hi, self.stride, self.exact, self.within)


@dataclass(frozen=True)
class Field:
    """The receptive fields of all units of a layer: unit u sees `size` positions from `offset` + u · `stride` on."""

    size: tuple[int, ...] = ()      # per spatial axis of the input; empty = not known
    stride: tuple[int, ...] = ()
    offset: tuple[int, ...] = ()
    input: tuple[int, ...] = ()     # spatial sizes of the input; empty = left open
    kind: str = ""                  # "exact", "superset", or why it is not known


def receptive_field(model: Any, layer: Any, unit: Sequence[int] | None = None) -> Box:
    """The part of the model's input that a unit of a layer can see.

    Arguments:
        model: a functional or sequential model; nested ones are looked into.
        layer: its name, "block/conv" within a nested model, or the layer itself.
        unit: its position in the layer's map, one index per spatial axis; None = the central one.

    Raises:
        TypeError: the model has no graph.
        ValueError: there is no such layer or unit, the layer sees several inputs, or the size of an input
            that is read as a whole is left open.

    Example:
        >>> layers = [keras.Input((32, 32, 3)), keras.layers.Conv2D(8, 5), keras.layers.MaxPooling2D(name="pool")]
        >>> receptive_field(keras.Sequential(layers), "pool", (0, 0)).hi
        (5, 5)
    """
    start = Start(model, site_of(model, layer))
    if unit is None:
        unit = start.centre
    if len(unit) != len(start.space) or any(
        not -size <= u < size for u, size in zip(unit, start.sizes, strict=True) if size is not None
    ):
        raise ValueError(f"unit={tuple(unit)}: the map of layer {start.site.name!r} has the size {start.sizes}")
    position = [u if size is None else u % size for u, size in zip(unit, start.sizes, strict=True)]
    # Behind up-sampling neighbours may share a box: only one far away tells whether it moves at all.
    found, moved = start.hulls([np.array([u, u + 1, u + FAR]) for u in position])
    within, exact = start.within(position, found)
    return Box(
        tuple(int(low[0]) for low, _ in found),
        tuple(int(high[0]) for _, high in found),
        tuple(int(low[1] - low[0]) if ours else 0 for (low, _), ours in zip(found, moved, strict=True)),
        exact,
        within,
    )


def field_of(model: Any, site: Site) -> Field:
    """The receptive fields of all units of a site; `kind` says why where they cannot be told.

    Its size is that of a central unit.  Where fields differ in more than their position, as behind a
    transposed convolution, it is that of the largest, and each starts early enough: a superset.
    """
    try:
        start = Start(model, site)
        units = [np.arange(2 if size is None else max(size, 2)) for size in start.sizes]
        found, moved = start.hulls(units)
        size: list[int] = []
        stride: list[int] = []
        offset: list[int] = []
        regular = True
        for (low, high), ours in zip(found, moved, strict=True):
            steps = np.arange(len(low))
            step = round(float(low[-1] - low[0]) / (len(low) - 1)) if ours else 0
            whole_size = start.input_sizes[len(size)]
            if step == 0 and whole_size is not None:        # all of the input: padding at its ends adds nothing
                low, high = np.maximum(low, 0), np.minimum(high, whole_size - 1)
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
    except (TypeError, ValueError) as error:
        return Field(kind=str(error))


def site_of(model: Any, layer: Any) -> Site:
    """The site of a layer that is named, or given.  Raises ValueError where it is not one layer of the model."""
    if isinstance(layer, Site):
        return layer
    found = choose(model, layer) if isinstance(layer, str) else [site for site in sites(model) if site.layer is layer]
    if len(found) != 1:
        names = ", ".join(site.name for site in found[:5]) or "none"
        raise ValueError(f"layer={layer!r}: expected one layer of the model {model.name!r}, this is {names}")
    return found[0]


class Start:
    """A site of a model, from which to walk back to the model's input."""

    def __init__(self, model: Any, site: Site) -> None:
        graph = graph_of(model)
        if graph is None or site.inside:
            what = f"the model {model.name!r}" if graph is None else f"layer {site.name!r}, within a layer of the user's own,"
            raise TypeError(f"{what} has no graph that tells its receptive fields: not supported yet")
        self.site = site
        # The models around the layer, outermost first, each with the call by which it is reached.
        self._graphs = [graph]
        self._nodes: list[Any] = []
        for name in site.path:
            node = next(n for n in nodes_of(self._graphs[-1]) if n.operation.name == name and graph_of(n.operation) is not None)
            self._nodes.append(node)
            self._graphs.append(graph_of(node.operation))
        node = next(n for n in nodes_of(self._graphs[-1]) if n.operation is site.layer)
        self._tensor = node.output_tensors[0]
        self._shape = tuple(self._tensor.shape[1:])
        channels = channel_axis(site.layer, len(self._shape))
        self.space = [axis for axis in range(len(self._shape)) if axis != channels]
        self.sizes = tuple(self._shape[axis] for axis in self.space)
        self.centre = tuple(0 if size is None else size // 2 for size in self.sizes)
        self._input = self._only_input()
        self._input_space = _input_space(graph, len(self._input.shape) - 1)
        self.input_sizes = tuple(self._input.shape[axis + 1] for axis in self._input_space)

    def hulls(self, units: Sequence[np.ndarray]) -> tuple[list[Interval], list[bool]]:
        """What units see, per spatial axis of the input, and whether that depends on the unit's place on that axis.

        Arguments:
            units: positions per spatial axis of the map, each axis looked at by itself.
        """
        start = [self._all(axis) for axis in range(len(self._shape))]
        for axis, positions in zip(self.space, units, strict=True):
            start[axis] = (positions.astype(np.int64), positions.astype(np.int64))
        walked = self._walk(start, hull_through, hull_of_both)[id(self._input)]
        found = [walked[axis] for axis in self._input_space]
        aligned = len(self.space) == len(found)
        moved = [aligned and bool((low != low[0]).any()) for low, _ in found]
        for axis, size in enumerate(self.input_sizes):
            if not moved[axis] and size is not None:        # all of the input, to which padding adds nothing
                low, high = found[axis]
                found[axis] = np.maximum(low, 0), np.minimum(high, size - 1)
        return found, moved

    def paces(self) -> list[tuple[Fraction, int]]:
        """Per spatial axis of the input: by how much the box moves from unit to unit on average, and the coarsest grid that
        anything on the way to the unit is computed on."""
        start = [(Fraction(1), Fraction(1)) for _ in self._shape]
        found = self._walk(start, pace_through, pace_of_both)[id(self._input)]
        return [(pace, math.ceil(pace / finest)) for pace, finest in (found[axis] for axis in self._input_space)]

    def aligned(self, unit: Sequence[int]) -> list[int]:
        """The unit's index per spatial axis of the input, where axes correspond; else 0."""
        same = len(unit) == len(self._input_space)
        return [unit[i] if same else 0 for i in range(len(self._input_space))]

    def cut(self, hull: Sequence[Interval]) -> tuple[tuple[int, int], ...]:
        """(lo, hi) per spatial axis of what of a unit's hull lies within the input."""
        return tuple(
            (max(int(low[0]), 0), int(high[0]) if size is None else min(int(high[0]), size - 1))
            for (low, high), size in zip(hull, self.input_sizes, strict=True)
        )

    def within(self, unit: Sequence[int], hull: Sequence[Interval]) -> tuple[tuple[tuple[int, int], ...], bool]:
        """(lo, hi) per spatial axis around what of the input takes part in the unit, and whether that is exact."""
        if any(size is None for size in (*self._shape, *self.input_sizes)):
            return self.cut(hull), False
        start = Positions([np.arange(size) for size in self._shape], True)
        for axis, position in zip(self.space, unit, strict=True):
            start.axes[axis] = np.array([position])
        try:
            found = self._walk(start, positions_through, positions_of_both).get(id(self._input))
        except NoSize:
            found = None
        if found is None:
            return self.cut(hull), False
        return tuple((int(found.axes[axis][0]), int(found.axes[axis][-1])) for axis in self._input_space), found.exact

    def _walk(self, start: T, through: Through[T], both: Callable[[T, T], T]) -> dict[int, T]:
        """What is wanted of each input of the model, by its identity."""
        wanted = back(self._graphs[-1], {id(self._tensor): start}, through, both)
        for depth in reversed(range(len(self._nodes))):
            wanted = outside_of(self._nodes[depth], self._graphs[depth + 1], wanted, both)
            wanted = back(self._graphs[depth], wanted, through, both)
        return wanted

    def _only_input(self) -> Any:
        reached = self._walk(True, lambda *_: True, lambda *_: True)
        inputs = [tensor for tensor in keras.tree.flatten(self._graphs[0].inputs) if id(tensor) in reached]
        if len(inputs) != 1:
            names = ", ".join(repr(tensor.name) for tensor in inputs) or "none"
            raise ValueError(f"layer {self.site.name!r} depends on several inputs ({names}): not supported yet")
        return inputs[0]

    def _all(self, axis: int) -> Interval:
        size = self._shape[axis]
        return np.zeros(1, np.int64), np.full(1, 0 if size is None else size - 1, np.int64)


def _input_space(graph: Any, axes: int) -> list[int]:
    """The spatial axes of the model's input, the batch's left out: its channels are where the first layer that cares has them."""
    for node in nodes_of(graph):
        nested = graph_of(node.operation) if isinstance(node.operation, keras.Layer) else None
        if nested is not None:
            return _input_space(nested, axes)
        if getattr(node.operation, "data_format", None) is not None:
            channels = channel_axis(node.operation, axes)
            return [axis for axis in range(axes) if axis != channels]
    return list(range(axes - 1))
