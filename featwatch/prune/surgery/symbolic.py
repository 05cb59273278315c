"""The graph's tensors, of the shapes that they have now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from featwatch.graphs import graph_of, nodes_of
from featwatch.prune.labelled import Labelled, Shape
from featwatch.prune.surgery import keras_private
from featwatch.prune.surgery.changes import Changes
from featwatch.prune.surgery.resizing import Keeping


def calls(graph: Any, seen: set[int] | None = None) -> Iterator[Any]:
    """The calls of a graph, with those of the models that it calls before the call of each, once."""
    seen = set() if seen is None else seen
    for node in nodes_of(graph):
        nested = inner_graph(node.operation)
        if nested is not None and id(nested) not in seen:
            seen.add(id(nested))
            yield from calls(nested, seen)
        yield node


def inner_graph(operation: Any) -> Any:
    """The graph of a model that is called, once or at every step of time; None of anything else."""
    repeated = operation.layer if isinstance(operation, keras.layers.TimeDistributed) else operation
    return graph_of(repeated) if isinstance(repeated, keras.Layer) else None


def shape_of(label: Labelled, keeping: Keeping) -> Shape:
    """A tensor's shape with the units that stay."""
    shape = list(label.shape)
    if label.axis and shape[label.axis] is not None:
        shape[label.axis] = keeping.count(label.ids)
    return tuple(shape)


def reshape(changes: Changes, keeping: Keeping) -> list[Any]:
    """Give the graph's tensors their shapes; gives the calls in which something has another one."""
    changed = set[int]()
    every = list(calls(keeping.anatomy.graph))
    for node in every:
        for tensor in node.output_tensors:
            label = keeping.anatomy.labels.get(id(tensor))
            shape = None if label is None else shape_of(label, keeping)
            if label is None or shape is None or shape == label.shape:
                continue
            changed.add(id(tensor))
            if shape == tuple(tensor.shape):        # a model that shares the tensor was here before
                continue
            changes.attribute(tensor, keras_private.SYMBOLIC_SHAPE, shape)
            if isinstance(node.operation, keras.layers.InputLayer):
                changes.attribute(node.operation, keras_private.INPUT_SHAPE, shape)
    return [
        node
        for node in every
        if any(id(tensor) in changed for tensor in (*node.input_tensors, *node.output_tensors))
    ]
