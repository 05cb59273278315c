"""Where a model multiplies: for each call of a layer, which numbers of a variable it uses how often for one sample."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
from keras.src.layers.convolutional.base_conv import BaseConv
from keras.src.layers.convolutional.base_conv_transpose import BaseConvTranspose
from keras.src.layers.convolutional.base_depthwise_conv import BaseDepthwiseConv
from keras.src.layers.convolutional.base_separable_conv import BaseSeparableConv

from featwatch.graphs import graph_of, nodes_of

layers = keras.layers
Shape = Sequence[int | None]
Sizes = Mapping[int, Shape]
_RECURRENT = (layers.LSTM, layers.GRU, layers.SimpleRNN)
# Layers that hold tables or numbers for each channel: they add and scale, which is not counted.
_SCALING = (
    layers.Embedding, layers.BatchNormalization, layers.LayerNormalization, layers.GroupNormalization, layers.PReLU,
    layers.Normalization, layers.UnitNormalization, layers.RMSNormalization,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Term:
    """Multiply-adds for one sample: the sizes of some axes of a variable, multiplied, `positions` times."""

    variable: Any                       # None = so many as there are positions
    positions: int | None               # None = not known, because the size of a map is open
    axes: tuple[int, ...] | None = None     # None = all
    layer: Any = None                   # or operation that multiplies


def terms(graph: Any, sizes: Sizes | None = None) -> tuple[list[Term], list[str]]:
    """Where a graph multiplies, and the names of layers with weights of which that is not known.

    Arguments:
        sizes: shapes of tensors that the graph leaves open, as `concrete` finds them.
    """
    found: list[Term] = []
    unknown: dict[str, None] = {}
    for layer, entering, leaving in _calls(graph, sizes or {}):
        own = _of(layer, entering, leaving)
        if own is None:
            unknown[layer.name] = None
        else:
            found += [replace(term, layer=layer) for term in own]
    return found, list(unknown)


def shapes_like(graph: Any, samples: Any) -> list[tuple[int, ...]]:
    """Shapes of the inputs of a graph that leaves sizes open, as samples have them; none where nothing is open, or they differ.

    Arguments:
        samples: arrays (samples, …), as the model takes them: one, or a dict or tuple of several.
    """
    inputs = keras.tree.flatten(graph.inputs)
    if not any(None in tuple(tensor.shape)[1:] for tensor in inputs):
        return []
    by_name = isinstance(samples, Mapping) and not isinstance(graph._inputs_struct, Mapping)
    values = [samples.get(tensor.name) for tensor in inputs] if by_name else keras.tree.flatten(samples)
    if len(values) != len(inputs) or any(value is None for value in values):
        return []
    shapes = [tuple(value.shape)[1:] for value in values]
    wanted = [tuple(tensor.shape)[1:] for tensor in inputs]
    return shapes if all(map(_filled, wanted, shapes)) else []


def _filled(wanted: Shape, shape: Shape) -> bool:
    return len(wanted) == len(shape) and all(size in (None, given) for size, given in zip(wanted, shape, strict=True))


def concrete(graph: Any, samples: Sequence[Shape]) -> Sizes:
    """The shapes of a graph's tensors, without the batch axis, by the tensors' identity.

    Arguments:
        samples: the shape of a sample at each of the graph's inputs.
    """
    sizes: dict[int, Any] = {}

    def run(graph: Any, entering: Sequence[Any]) -> list[Any]:
        sizes.update((id(tensor), given) for tensor, given in zip(keras.tree.flatten(graph.inputs), entering, strict=True))
        for node in nodes_of(graph):
            operation = node.operation
            if isinstance(operation, layers.InputLayer):
                continue
            args, kwargs = node.arguments.fill_in(sizes)
            nested = graph_of(operation) if isinstance(operation, keras.Layer) else None
            if nested is not None:
                given = run(nested, [each for each in keras.tree.flatten(args) if isinstance(each, keras.KerasTensor)])
            else:
                given = keras.tree.flatten(operation.compute_output_spec(*args, **kwargs))
            sizes.update((id(tensor), one) for tensor, one in zip(node.output_tensors, given, strict=True))
        return [sizes[id(tensor)] for tensor in keras.tree.flatten(graph.outputs)]

    inputs = zip(keras.tree.flatten(graph.inputs), samples, strict=True)
    run(graph, [keras.KerasTensor((None, *sample), tensor.dtype) for tensor, sample in inputs])
    return {key: tuple(tensor.shape)[1:] for key, tensor in sizes.items()}


def _calls(graph: Any, sizes: Sizes) -> Iterator[tuple[Any, list[Shape], list[Shape]]]:
    """(layer or operation, shapes of what it reads, of what it gives), without the batch axis, call by call."""
    for node in nodes_of(graph):
        operation = node.operation
        if isinstance(operation, layers.InputLayer):
            continue
        nested = graph_of(operation) if isinstance(operation, keras.Layer) else None
        if nested is not None:
            yield from _calls(nested, sizes)
        else:
            tensors = (node.input_tensors, node.output_tensors)
            read, given = ([sizes.get(id(t), tuple(t.shape)[1:]) for t in each] for each in tensors)
            yield operation, read, given


def _of(layer: Any, entering: list[Shape], leaving: list[Shape]) -> list[Term] | None:
    """Where one call multiplies; None = not known."""
    if isinstance(layer, layers.TimeDistributed):
        inner = _of(layer.layer, [shape[1:] for shape in entering], [shape[1:] for shape in leaving])
        return None if inner is None else [_repeated(term, entering[0][0]) for term in inner]
    if isinstance(layer, layers.Bidirectional):
        there, back = (_of(each, entering, leaving) for each in (layer.forward_layer, layer.backward_layer))
        return None if there is None or back is None else there + back
    if isinstance(layer, _RECURRENT):
        return [Term(each, entering[0][0]) for each in (layer.cell.kernel, layer.cell.recurrent_kernel)]
    if isinstance(layer, layers.MultiHeadAttention):
        return _attention(layer, entering)
    if isinstance(layer, layers.Dense):
        return [Term(layer.kernel, _product(leaving[0][:-1]))]
    if isinstance(layer, layers.EinsumDense):
        return _einsum(layer, leaving[0])
    if isinstance(layer, BaseConvTranspose):
        return [Term(layer.kernel, _positions(layer, entering[0]))]
    if isinstance(layer, (BaseConv, BaseDepthwiseConv)):
        return [Term(layer.kernel, _positions(layer, leaving[0]))]
    if isinstance(layer, BaseSeparableConv):
        positions = _positions(layer, leaving[0])
        return [Term(layer.depthwise_kernel, positions), Term(layer.pointwise_kernel, positions)]
    if type(layer).__name__ in ("Matmul", "Dot") and not isinstance(layer, keras.Layer):
        width, places = entering[0][-1], _product(leaving[0])
        return [Term(None, None if places is None or width is None else places * width)]
    if isinstance(layer, _SCALING) or not any(len(weight.shape) > 1 for weight in getattr(layer, "weights", ())):
        return []
    return None


def _attention(layer: Any, entering: list[Shape]) -> list[Term]:
    """Query, key, value and output projections, and two products over all pairs of places, head by head."""
    query, value = entering[0], entering[min(1, len(entering) - 1)]
    targets, sources = _product(query[:-1]), _product(value[:-1])
    pairs = None if targets is None or sources is None else targets * sources
    projections = [
        (layer._query_dense, targets), (layer._key_dense, sources), (layer._value_dense, sources), (layer._output_dense, targets),
    ]  # fmt: skip
    products = [Term(layer._query_dense.kernel, pairs, (1, 2)), Term(layer._value_dense.kernel, pairs, (1, 2))]
    return [Term(each.kernel, positions) for each, positions in projections] + products


def _einsum(layer: Any, leaving: Shape) -> list[Term] | None:
    """Every number of the kernel as often as there are places of the output that it has no axis for."""
    entries, _, result = layer.equation.replace(" ", "").partition("->")
    kernel = entries.partition(",")[2]
    if "." in layer.equation:
        places = _product(leaving[: len(leaving) - len(set(result) & set(kernel))])
    else:
        places = _product([size for name, size in zip(result[1:], leaving, strict=True) if name not in kernel])
    return [Term(layer.kernel, places)]


def _repeated(term: Term, times: int | None) -> Term:
    return replace(term, positions=None if None in (times, term.positions) else (times or 0) * (term.positions or 0))


def _positions(layer: Any, shape: Shape) -> int | None:
    return _product(shape[1:] if layer.data_format == "channels_first" else shape[:-1])


def _product(sizes: Shape) -> int | None:
    return None if None in sizes else math.prod(size or 0 for size in sizes)
