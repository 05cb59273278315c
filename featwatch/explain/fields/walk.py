"""From what is wanted of some tensors of a graph back to what is wanted of its inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any, TypeVar

import keras
import numpy as np

from featwatch.explain.fields.axes import Axis, Interval, NoSize
from featwatch.explain.fields.operations import reads
from featwatch.graphs import graph_of, nodes_of

T = TypeVar("T")
Rules = Callable[[], tuple[Axis, ...]]
# What is wanted of an operation's output, the rules of one of its inputs, and that one's shape -> what is wanted of it.
Through = Callable[[T, Rules, tuple[int | None, ...]], T | None]


def back(graph: Any, wanted: dict[int, T], through: Through[T], both: Callable[[T, T], T]) -> dict[int, T]:
    """What is wanted of a graph's inputs, by their identities, so that what is `wanted` of its tensors can be made."""
    wanted = dict(wanted)

    def want(tensor: Any, more: T | None) -> None:
        if more is not None:
            wanted[id(tensor)] = both(wanted[id(tensor)], more) if id(tensor) in wanted else more

    for node in reversed(nodes_of(graph)):
        if isinstance(node.operation, keras.layers.InputLayer):
            continue
        nested = graph_of(node.operation) if isinstance(node.operation, keras.Layer) else None
        if nested is not None:
            inner: dict[int, T] = {}
            for outer, own in zip(node.output_tensors, keras.tree.flatten(nested.outputs), strict=True):
                if id(outer) in wanted:
                    more = wanted[id(outer)]
                    inner[id(own)] = both(inner[id(own)], more) if id(own) in inner else more
            if inner:
                for key, more in outside_of(node, nested, back(nested, inner, through, both), both).items():
                    wanted[key] = both(wanted[key], more) if key in wanted else more
            continue
        for given in node.output_tensors:
            if id(given) not in wanted:
                continue
            shapes = [tuple(tensor.shape[1:]) for tensor in node.input_tensors]
            for index, tensor in enumerate(node.input_tensors):
                rules = partial(reads, node.operation, tuple(given.shape[1:]), shapes, index)
                want(tensor, through(wanted[id(given)], rules, shapes[index]))
    return {id(tensor): wanted[id(tensor)] for tensor in keras.tree.flatten(graph.inputs) if id(tensor) in wanted}


def outside_of(node: Any, graph: Any, wanted: dict[int, T], both: Callable[[T, T], T]) -> dict[int, T]:
    """The same, by the identities of the tensors that a nested model was called with."""
    outside: dict[int, T] = {}
    for own, tensor in zip(keras.tree.flatten(graph.inputs), node.input_tensors, strict=True):
        if id(own) in wanted:
            more = wanted[id(own)]
            outside[id(tensor)] = both(outside[id(tensor)], more) if id(tensor) in outside else more
    return outside


def hull_through(wanted: list[Interval], rules: Rules, shape: tuple[int | None, ...]) -> list[Interval]:
    nothing = (np.zeros(1, np.int64), np.zeros(1, np.int64))
    axes = rules()
    given = wanted if len(wanted) == len(axes) else [nothing for _ in axes]
    return [axis.hull(*interval) for axis, interval in zip(axes, given, strict=True)]


def hull_of_both(one: list[Interval], other: list[Interval]) -> list[Interval]:
    return [(np.minimum(a[0], b[0]), np.maximum(a[1], b[1])) for a, b in zip(one, other, strict=True)]


@dataclass(eq=False)
class Positions:
    """A set of positions, the product of one set per axis; `exact` where all of them really take part."""

    axes: list[np.ndarray]
    exact: bool


def positions_through(wanted: Positions, rules: Rules, shape: tuple[int | None, ...]) -> Positions | None:
    """None where nothing but padding is read."""
    nothing = np.zeros(1, np.int64)
    axes = rules()
    given = wanted.axes if len(wanted.axes) == len(axes) else [nothing for _ in axes]
    read = []
    for axis, positions, size in zip(axes, given, shape, strict=True):
        if size is None:
            raise NoSize("the size of an axis is left open")
        read.append(axis.positions(positions, size))
    if any(not len(positions) for positions in read):
        return None
    return Positions(read, wanted.exact and all(axis.exact for axis in axes))


def positions_of_both(one: Positions, other: Positions) -> Positions:
    axes = [np.union1d(a, b) for a, b in zip(one.axes, other.axes, strict=True)]
    return Positions(axes, one.exact and other.exact)


# How many positions of a tensor lie between two neighbouring units, and the least that of any tensor on the way.
Pace = tuple[Fraction, Fraction]


def pace_through(wanted: list[Pace], rules: Rules, shape: tuple[int | None, ...]) -> list[Pace]:
    axes = rules()
    given = wanted if len(wanted) == len(axes) else [(Fraction(1), Fraction(1)) for _ in axes]
    paces = [(pace * axis.pace, least) for axis, (pace, least) in zip(axes, given, strict=True)]
    return [(pace, min(pace, least)) for pace, least in paces]


def pace_of_both(one: list[Pace], other: list[Pace]) -> list[Pace]:
    return [(max(a[0], b[0]), min(a[1], b[1])) for a, b in zip(one, other, strict=True)]
