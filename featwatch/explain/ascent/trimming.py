"""Only what a unit sees is computed: each operation on the way to it gets no more of its inputs than it needs.

Around a unit of a deep layer most of what a window's convolutions compute is never looked at: of the last one a single
position, of the one before three by three, …  Inputs are cut so that strides and padding fall as they did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from featwatch.explain.fields.arithmetic import Start
from featwatch.explain.fields.axes import Axis, Window
from featwatch.explain.fields.operations import reads
from featwatch.explain.fields.walk import hull_of_both, hull_through
from featwatch.graphs import graph_of, nodes_of
from featwatch.layers import Site

_CROPPING = (keras.layers.Cropping1D, keras.layers.Cropping2D, keras.layers.Cropping3D)
Span = tuple[int, int]              # lowest and highest position, inclusive
FAR = 1 << 40                       # beyond every input


@dataclass(frozen=True, eq=False)
class Trimming:
    """What the operations of a model's graph need of their inputs, so that one unit of a layer can be computed.

    For one run of the graph: use `over` anew for each.
    """

    needs: dict[int, list[tuple[Span | None, ...]]]     # operation -> input -> axis -> span; None = all of the axis
    steps: dict[int, tuple[int, ...]]                   # operation -> axis -> by how much its outputs lie apart in its inputs

    def over(self) -> Trimmed:
        """What a run of the graph calls its operations with."""
        return Trimmed(self)


@dataclass(eq=False)
class Trimmed:
    """One run: where in the untrimmed tensors the trimmed ones start."""

    trimming: Trimming
    _starts: dict[int, tuple[Any, tuple[int, ...]]] = field(default_factory=dict)

    def gave(self, tensor: Any) -> bool:
        """Whether the tensor is what an operation of this run gave."""
        return id(tensor) in self._starts

    def start(self, tensor: Any) -> tuple[int, ...]:
        """Where a tensor starts in the untrimmed one, by axis, without the batch's."""
        return self._starts[id(tensor)][1] if self.gave(tensor) else (0,) * (tensor.shape.rank - 1)

    def __call__(self, operation: Any, args: Any, kwargs: Any) -> Any:
        """What the operation gives for as much of its inputs as it needs."""
        needs = self.trimming.needs.get(id(operation))
        if needs is None:
            return operation(*args, **kwargs)
        given = [each for each in tf.nest.flatten((args, kwargs)) if tf.is_tensor(each)]
        if len(given) != len(needs):
            raise ValueError(f"{operation.name!r} was called with {len(given)} tensors, in the graph with {len(needs)}")
        cut = {id(tensor): self._cut(tensor, spans) for tensor, spans in zip(given, needs, strict=True)}
        args, kwargs = tf.nest.map_structure(lambda each: cut[id(each)][0] if tf.is_tensor(each) else each, (args, kwargs))
        outputs = operation(*args, **kwargs)
        starts = cut[id(given[0])][1]
        steps = self.trimming.steps[id(operation)]
        for output in tf.nest.flatten(outputs):
            if len(steps) == output.shape.rank - 1:
                self._starts[id(output)] = output, tuple(first // step for first, step in zip(starts, steps, strict=True))
        return outputs

    def _cut(self, tensor: Any, spans: tuple[Span | None, ...]) -> tuple[Any, tuple[int, ...]]:
        starts, sizes = self.start(tensor), tuple(tensor.shape[1:])
        first, left = [], []
        for size, start, span in zip(sizes, starts, spans, strict=True):
            low, high = (start, start + size - 1) if span is None else (max(span[0], start), min(span[1], start + size - 1))
            first.append(low)
            left.append(high + 1 - low)
        if tuple(left) == sizes:
            return tensor, tuple(first)
        begin = [0, *(low - start for low, start in zip(first, starts, strict=True))]
        return tf.slice(tensor, begin, [-1, *left]), tuple(first)


def trimming_of(model: Any, site: Site, unit: Sequence[int]) -> Trimming | None:
    """How to trim a model's graph for a unit of a site; None where its graph does not allow that, or it is not one graph.

    Positions count in the tensors of the window that the model is run on, which is taken to be cut from its input so that
    strides and padding fall as in all of it (`featwatch.explain.ascent.frame`).
    """
    graph = graph_of(model)
    if graph is None or site.path or site.inside or len({id(node.operation) for node in nodes_of(graph)}) < len(nodes_of(graph)):
        return None
    start = Start(model, site)
    target = next(node for node in nodes_of(graph) if node.operation is site.tapped).output_tensors[0]
    if len(target.shape) - 2 != len(unit) or start.space != list(range(len(unit))):
        return None
    wanted: dict[int, list[Any]] = {id(target): [_at(position) for position in unit] + [_ALL]}
    needs: dict[int, list[tuple[Span | None, ...]]] = {}
    steps: dict[int, tuple[int, ...]] = {}
    for node in reversed(nodes_of(graph)):
        outputs = [tensor for tensor in node.output_tensors if id(tensor) in wanted]
        if not outputs or not node.input_tensors:
            continue
        if len(node.output_tensors) > 1 or graph_of(node.operation) is not None:
            return None
        shapes = [tuple(tensor.shape[1:]) for tensor in node.input_tensors]
        spans: list[tuple[Span | None, ...]] = []
        for index, tensor in enumerate(node.input_tensors):
            rules = reads(node.operation, tuple(outputs[0].shape[1:]), shapes, index)
            # What is cropped off an end would be cropped off the cut.
            aligned = len(rules) == len(outputs[0].shape) - 1 and not isinstance(node.operation, _CROPPING)
            hulls = hull_through(wanted[id(outputs[0])], partial(tuple, rules), shapes[index])
            needed = [
                _aligned(rule, hull, size) if aligned else None
                for rule, hull, size in zip(rules, hulls, shapes[index], strict=True)
            ]
            spans.append(tuple(needed))
            steps[id(node.operation)] = tuple(rule.stride if isinstance(rule, Window) else 1 for rule in rules)
            more = [_ALL if span is None else (np.array([span[0]]), np.array([span[1]])) for span in needed]
            wanted[id(tensor)] = hull_of_both(wanted[id(tensor)], more) if id(tensor) in wanted else more
        needs[id(node.operation)] = spans
    return Trimming(needs, steps)


_ALL = (np.array([-FAR]), np.array([FAR]))


def _at(position: int) -> Any:
    return np.array([position]), np.array([position])


def _aligned(rule: Axis, hull: Any, size: int | None) -> Span | None:
    """The span of an input's axis that serves, a little more than its hull; None = all of it."""
    if not isinstance(rule, Window) or size is None:
        return None
    low, high = int(hull[0][0]), int(hull[1][0])
    if low <= -FAR // 2 or high >= FAR // 2:
        return None
    low = max(low, 0) // rule.stride * rule.stride
    # The padding that "same" gives depends on what the size leaves.
    return low, high + (size - (high - low + 1)) % rule.stride
