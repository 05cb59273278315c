"""What a pruned model has to give: the whole model run with the units masked, by two ways that share nothing with pruning.

`masked` runs the graph call by call and sets the channels that the anatomy says are gone to 0 right after each.
`silenced` knows nothing of labels: in a plain chain of layers it zeroes, by hand, what the next layer reads of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras.src import backend

from featwatch.graphs import graph_of, nodes_of
from featwatch.prune.anatomy import Anatomy


def masked(model: Any, anatomy: Anatomy, groups: Iterable[int], inputs: Any) -> list[np.ndarray]:
    """Outputs of the whole model, flat, where all channels of these groups are 0 right after what makes them.

    Arguments:
        inputs: as the model takes them, a structure of arrays.
    """
    removed = np.asarray(sorted(groups), np.int64)
    values = [keras.ops.convert_to_tensor(value) for value in keras.tree.flatten(inputs)]
    with _unheard(anatomy, removed):
        return [np.asarray(value) for value in _Masking(anatomy, removed).run(graph_of(model), values)]


def prunable(anatomy: Anatomy) -> list[int]:
    """The groups that a layer with weights makes and that may go."""
    every = [anatomy.units.roots(made.ids)[~anatomy.units.frozen(made.ids)] for made in anatomy.made.values()]
    return sorted({int(root) for roots in every for root in roots})


def drawn(anatomy: Anatomy, share: float, seed: int = 0) -> set[int]:
    """A share of the groups that may go, drawn at random; of every tensor at least one channel stays."""
    rng = np.random.default_rng(seed)
    wanted = [group for group in prunable(anatomy) if rng.random() < share]
    rng.shuffle(wanted)
    tensors = {anatomy.units.roots(label.ids).tobytes(): anatomy.units.roots(label.ids) for label in anatomy.labels.values()}
    for made in anatomy.made.values():
        roots = anatomy.units.roots(made.ids)
        tensors[roots.tobytes()] = roots
    chosen = set(wanted)
    for roots in tensors.values():
        if set(roots.tolist()) <= chosen:
            chosen.discard(int(roots[0]))
    return chosen


def apart(one: Sequence[Any], other: Sequence[Any]) -> float:
    """The largest difference between two lists of arrays, relative to the largest value of the second (at least 1e-3)."""
    worst = 0.0
    for first, second in zip(one, other, strict=True):
        first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
        assert first.shape == second.shape, (first.shape, second.shape)
        assert np.isfinite(second).all()
        largest = max(1e-3, float(np.max(np.abs(second), initial=0.0)))
        worst = max(worst, float(np.max(np.abs(first - second), initial=0.0)) / largest)
    return worst


class _Masking:
    """The graph run call by call, nested models and those repeated over time included."""

    def __init__(self, anatomy: Anatomy, removed: np.ndarray) -> None:
        self._anatomy, self._removed = anatomy, removed

    def run(self, graph: Any, values: Sequence[Any]) -> list[Any]:
        known = {id(tensor): value for tensor, value in zip(keras.tree.flatten(graph.inputs), values, strict=True)}
        for node in nodes_of(graph):
            if isinstance(node.operation, keras.layers.InputLayer):
                continue
            args, kwargs = node.arguments.fill_in(known)
            for tensor, value in zip(node.output_tensors, self._called(node.operation, args, kwargs), strict=True):
                known[id(tensor)] = self._without(tensor, value)
        return [known[id(tensor)] for tensor in keras.tree.flatten(graph.outputs)]

    def _called(self, operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        if isinstance(operation, keras.Layer) and graph_of(operation) is not None:
            read = [value for value in keras.tree.flatten((args, {**kwargs, "mask": None})) if keras.ops.is_tensor(value)]
            return self.run(graph_of(operation), read)
        if isinstance(operation, keras.layers.TimeDistributed) and graph_of(operation.layer) is not None:
            value, = args
            shape = tuple(value.shape)
            folded = keras.ops.reshape(value, (shape[0] * shape[1], *shape[2:]))
            given = self.run(graph_of(operation.layer), [folded])
            return [keras.ops.reshape(each, (shape[0], shape[1], *tuple(each.shape)[1:])) for each in given]
        return keras.tree.flatten(operation(*args, **kwargs))

    def _without(self, tensor: Any, value: Any) -> Any:
        label = self._anatomy.labels[id(tensor)]
        assert len(label.shape) == len(tensor.shape)
        size = tensor.shape[label.axis] if label.axis else None
        assert size is None or size == len(label.ids), (tensor, label)
        gone = np.isin(self._anatomy.units.roots(label.ids), self._removed)
        if not gone.any():
            return value
        form = [1] * len(tensor.shape)
        form[label.axis] = -1
        # Not a product with 0: what is not finite there (0 / 0) has to go, too.
        less = keras.ops.where(gone.reshape(form), keras.ops.zeros_like(value), value)
        known = backend.get_keras_mask(value)
        if known is not None:
            backend.set_keras_mask(less, known)
        return less


@contextlib.contextmanager
def _unheard(anatomy: Anatomy, removed: np.ndarray) -> Iterator[None]:
    """Inside recurrent and attention layers, nothing hears of units that are gone: their rows of weights are 0 for a while."""
    before = []
    for layer in {id(each): each for each in anatomy.model._flatten_layers()}.values():
        for variable, axis, ids in _inner_reads(anatomy, layer):
            gone = np.isin(anatomy.units.roots(ids), removed)
            value = variable.numpy()
            before.append((variable, value))
            variable.assign(np.where(gone.reshape([-1 if at == axis else 1 for at in range(value.ndim)]), 0, value))
    try:
        yield
    finally:
        for variable, value in before:
            variable.assign(value)


def _inner_reads(anatomy: Anatomy, layer: Any) -> Iterator[tuple[Any, int, np.ndarray]]:
    """Variables, their axis and the units of what a layer reads of itself."""
    kinds = (keras.layers.LSTM, keras.layers.GRU, keras.layers.SimpleRNN)
    attention = (keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention)
    if isinstance(layer, kinds):
        found = [(layer.cell.recurrent_kernel, 0)]
    elif isinstance(layer, attention):
        found = [(layer._output_dense.kernel, 0)]
    else:
        found = []
    for variable, axis in found:
        sliced = anatomy.sliced.get(id(variable))
        if sliced is not None and axis in sliced.axes:
            yield variable, axis, sliced.axes[axis]


# -- the other way: a plain chain of layers, by hand -------------------------------------------------------------------------


def silenced(model: Any, removed: Mapping[str, Iterable[int]], inputs: Any) -> np.ndarray:
    """Output of a plain chain of layers, where nothing hears of these units.

    What a convolution or dense layer reads of them has weights 0; depthwise layers, normalisations and the like between
    hand on which channels those are.
    """
    layers = keras.layers
    before = [(variable, variable.numpy()) for variable in model.variables]
    gone = np.zeros(0, np.int64)
    places, channels = 1, 0
    try:
        for layer in model.layers:
            reading = {layers.Conv2D: -2, layers.Conv1D: -2, layers.Conv3D: -2, layers.Dense: 0, layers.Conv2DTranspose: -1}
            if type(layer) in reading:
                kernel = layer.kernel.numpy()
                rows = np.moveaxis(kernel, reading[type(layer)], 0)
                rows[gone] = 0
                layer.kernel.assign(kernel)
                gone = np.asarray(sorted(removed.get(layer.name, ())), np.int64)
                channels = layer.kernel.shape[-2 if isinstance(layer, layers.Conv2DTranspose) else -1]
            elif isinstance(layer, layers.DepthwiseConv2D):
                gone = (gone[:, None] * layer.depth_multiplier + np.arange(layer.depth_multiplier)).ravel()
                channels *= layer.depth_multiplier
            elif isinstance(layer, layers.Flatten):
                places = layer.output.shape[-1] // channels
                gone = (np.arange(places)[:, None] * channels + gone).ravel()
        return np.asarray(model(inputs, training=False))
    finally:
        for variable, value in before:
            variable.assign(value)
