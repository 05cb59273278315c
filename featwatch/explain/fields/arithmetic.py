"""Receptive fields by arithmetic: from the unit back to the input, along the graph of a functional model.

With intervals (Araujo, Norris and Sim 2019, *Computing Receptive Fields of Convolutional Neural Networks*, for the
idea), and with the exact sets of positions that take part.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, TypeVar

import keras
import numpy as np

from featwatch.explain.fields.axes import Interval, NoSize, Whole
from featwatch.explain.fields.operations import channel_axis
from featwatch.explain.fields.walk import (
    Positions,
    Rules,
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
from featwatch.layers import Site

T = TypeVar("T")
FAR = 5_040_000                     # units: a number that all usual strides divide
_FIXED = FAR // 1000                # positions by which what does not move along may seem to, where it begins at padding


class NoGraph(TypeError):
    """No graph tells the receptive fields of a layer."""


class Start:
    """A site of a model, from which to walk back to the model's input."""

    def __init__(self, model: Any, site: Site) -> None:
        graph = graph_of(model)
        if graph is None or site.inside:
            what = f"the model {model.name!r}" if graph is None else f"layer {site.name!r}, within a layer of the user's own,"
            raise NoGraph(f"{what} has no graph that tells its receptive fields")
        self.site = site
        # The models around the layer, outermost first, each with the call by which it is reached.
        self._graphs = [graph]
        self._nodes: list[Any] = []
        for name in site.path:
            node = next(n for n in nodes_of(self._graphs[-1]) if n.operation.name == name and graph_of(n.operation) is not None)
            self._nodes.append(node)
            self._graphs.append(graph_of(node.operation))
        # Where pooling comes between a layer and its activation, the layer's map is what leaves both: that is what is recorded.
        node = next(n for n in nodes_of(self._graphs[-1]) if n.operation is site.tapped)
        self._tensor = node.output_tensors[0]
        self._shape = tuple(self._tensor.shape[1:])
        channels = channel_axis(site.layer, len(self._shape))
        self.space = [axis for axis in range(len(self._shape)) if axis != channels]
        self.sizes = tuple(self._shape[axis] for axis in self.space)
        self.centre = tuple(0 if size is None else size // 2 for size in self.sizes)
        self._input, self.guessed = self._only_input()      # whether there is an operation that is not known, on the way
        self._input_space = _input_space(graph, len(self._input.shape) - 1)
        self.input_sizes = tuple(self._input.shape[axis + 1] for axis in self._input_space)

    def hulls(self, units: Sequence[np.ndarray]) -> tuple[list[Interval], list[bool]]:
        """What units see, per spatial axis of the input, and whether that depends on the unit's place on that axis.

        Arguments:
            units: positions per spatial axis of the map, each axis looked at by itself.
        """
        start = [self._all(axis) for axis in range(len(self._shape))]
        for axis, positions in zip(self.space, units, strict=True):
            # Behind up-sampling neighbours may share a box: only one far away tells whether it moves at all.
            positions = np.append(positions, positions[0] + FAR).astype(np.int64)
            start[axis] = (positions, positions)
        walked = self._walk(start, hull_through, hull_of_both)[id(self._input)]
        found, moved = [], []
        aligned = len(self.space) == len(self._input_space)
        for axis, size in zip(self._input_space, self.input_sizes, strict=True):
            low, high = walked[axis]
            moved.append(aligned and bool(low[-1] - low[0] > _FIXED and high[-1] - high[0] > _FIXED))
            low, high = (end[:-1] if len(end) > 1 else end for end in (low, high))
            if not moved[-1] and size is not None:          # all of the input, to which padding adds nothing
                low, high = np.maximum(low, 0), np.minimum(high, size - 1)
            found.append((low, high))
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

    def seen(self, unit: Sequence[int]) -> tuple[tuple[int, int], ...]:
        """(lo, hi) per spatial axis of what of the input takes part in a unit."""
        found, _ = self.hulls([np.array([place]) for place in unit])
        return self.within(unit, found)[0]

    def _walk(self, start: T, through: Through[T], both: Callable[[T, T], T]) -> dict[int, T]:
        """What is wanted of each input of the model, by its identity."""
        wanted = back(self._graphs[-1], {id(self._tensor): start}, through, both)
        for depth in reversed(range(len(self._nodes))):
            wanted = outside_of(self._nodes[depth], self._graphs[depth + 1], wanted, both)
            wanted = back(self._graphs[depth], wanted, through, both)
        return wanted

    def _only_input(self) -> tuple[Any, bool]:
        def guessed(before: bool, rules: Rules, _: Any) -> bool:
            return before or any(isinstance(axis, Whole) and not axis.exact for axis in rules())

        reached = self._walk(False, guessed, bool.__or__)
        inputs = [tensor for tensor in keras.tree.flatten(self._graphs[0].inputs) if id(tensor) in reached]
        if len(inputs) != 1:
            names = ", ".join(repr(tensor.name) for tensor in inputs) or "none"
            raise ValueError(f"layer {self.site.name!r} depends on several inputs ({names}): not supported yet")
        return inputs[0], reached[id(inputs[0])]

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
