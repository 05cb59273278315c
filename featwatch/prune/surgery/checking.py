"""The check of a model made smaller: every tensor of its graph against the whole model run with the units masked.

Both runs take one small random batch, call by call, at inference, and write nothing: whatever layers assign is dropped.
What the masked one shares with slicing is only which channels are which units.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from featwatch.errors import first_line
from featwatch.graphs import nodes_of
from featwatch.prune.labelled import Labelled
from featwatch.prune.surgery import keras_private
from featwatch.prune.surgery.resizing import Keeping
from featwatch.prune.surgery.symbolic import inner_graph, shape_of
from featwatch.running import _counters_kept
from featwatch.streams import untouched_random_state

_OPEN = (32, 64, 128, 224)              # lengths tried for axes that may have any
_TOLERANCE = {"float64": 1e-9, "float32": 1e-4, "float16": 3e-2, "bfloat16": 0.2}


class Mismatch(RuntimeError):
    """The smaller model does not give what the whole one would with these units masked."""


@dataclass(frozen=True, eq=False)
class Given:
    """What a call gave: of each channel two sums over samples and places, with weights drawn at random for each place."""

    name: str
    dtype: str
    numbers: np.ndarray                 # (2, channels) float64


def batch_for(graph: Any, length: int, seed: int = 0) -> list[Any]:
    """One random sample for each input of a graph; `length` of every axis that may have any."""
    rng = np.random.default_rng(seed)
    found = []
    for tensor in keras.tree.flatten(graph.inputs):
        shape = [size or (length if at else 1) for at, size in enumerate(tensor.shape)]
        kind = keras.backend.standardize_dtype(tensor.dtype)
        if tensor.sparse or getattr(tensor, "ragged", False) or kind == "string":
            raise ValueError(f"the input {tensor.name!r} takes what is not an array of numbers")
        value = rng.normal(size=shape) if "float" in kind else rng.integers(0, 2, shape)
        found.append(keras.ops.cast(keras.ops.convert_to_tensor(value), kind))
    return found


class Check:
    """What the model has to give once the units are gone; found out before it is changed."""

    def __init__(self, keeping: Keeping, values: Mapping[int, tuple[Any, np.ndarray]]) -> None:
        self._keeping = keeping
        self._wanted: list[Given] = []
        self.reason = ""                # why nothing can be compared; "" where it can
        for length in _OPEN if any(None in tensor.shape[1:] for tensor in keeping.anatomy.graph.inputs) else _OPEN[:1]:
            try:
                self._batch = batch_for(keeping.anatomy.graph, length)
                self._wanted = self._run(masked=True, values=values)
                self.reason = ""
                break
            except Exception as error:  # what the user's own layers may raise on a made-up batch
                self.reason = first_line(error)

    @property
    def said(self) -> str:
        """What there is to say of it; "" where all can be compared."""
        name = self._keeping.anatomy.model.name
        return f"what {name!r} gives could not be compared with the masked model: {self.reason}" if self.reason else ""

    def passed(self) -> None:
        """Raise `Mismatch` where the model, now smaller, gives anything else."""
        if self.reason:
            return
        for wanted, found in zip(self._wanted, self._run(masked=False, values={}), strict=True):
            largest = np.max(np.abs(wanted.numbers), initial=0.0)
            bound = _TOLERANCE.get(found.dtype, 1e-4) * (largest if np.isfinite(largest) else 1.0) + 1e-12
            if wanted.numbers.shape != found.numbers.shape:
                raise Mismatch(f"{found.name!r} gives {found.numbers.shape[1]} channels, not {wanted.numbers.shape[1]}")
            if not np.allclose(found.numbers, wanted.numbers, rtol=0, atol=bound, equal_nan=True):
                worst = float(np.max(np.abs(found.numbers - wanted.numbers)))
                raise Mismatch(f"{found.name!r} gives something else than with the units masked: {worst:.2g} of {largest:.2g}")

    def _run(self, masked: bool, values: Mapping[int, tuple[Any, np.ndarray]]) -> list[Given]:
        state = dict(values)
        if masked:
            for variable, value in _unheard(self._keeping, values):
                state[id(variable)] = variable, value
        mapping = [(variable, keras.ops.convert_to_tensor(value, variable.dtype)) for variable, value in state.values()]
        found: list[Given] = []
        with untouched_random_state(), _counters_kept(), keras.StatelessScope(state_mapping=mapping):
            batch = [self._entering(*each, masked) for each in zip(self._inputs(), self._batch, strict=True)]
            _Running(self._keeping, masked, found).run(self._keeping.anatomy.graph, batch)
        return found

    def _inputs(self) -> list[Any]:
        return list(keras.tree.flatten(self._keeping.anatomy.graph.inputs))

    def _entering(self, tensor: Any, values: Any, masked: bool) -> Any:
        """What enters the model: one that shares layers may read units of them as its inputs."""
        label = self._keeping.anatomy.labels[id(tensor)]
        kept = self._keeping.kept(label.ids)
        if not label.axis or len(kept) == len(label.ids):
            return values
        less = keras.ops.take(values, kept, axis=label.axis)
        if not masked:
            return less
        places = np.full(len(label.ids), len(kept))
        places[kept] = np.arange(len(kept))
        padded = keras.ops.concatenate([less, keras.ops.zeros_like(keras.ops.take(less, [0], axis=label.axis))], axis=label.axis)
        return keras.ops.take(padded, places, axis=label.axis)


class _Running:
    """A graph run call by call; models that it calls, once or at every step of time, too."""

    def __init__(self, keeping: Keeping, masked: bool, found: list[Given]) -> None:
        self._keeping, self._masked, self._found = keeping, masked, found
        self._drawn: dict[tuple[int, tf.DType], tf.Tensor] = {}
        self._masks: dict[tuple[int, int, int], tf.Tensor] = {}

    def run(self, graph: Any, values: Sequence[Any]) -> list[Any]:
        known = {id(tensor): value for tensor, value in zip(keras.tree.flatten(graph.inputs), values, strict=True)}
        for node in nodes_of(graph):
            if node.is_input or any(id(tensor) not in known for tensor in node.input_tensors):
                continue
            args, kwargs = node.arguments.fill_in(known)
            given = self._called(node.operation, args, kwargs)
            for tensor, value in zip(node.output_tensors, given, strict=True):
                known[id(tensor)] = self._noted(node.operation.name, tensor, value)
        return [known[id(tensor)] for tensor in keras.tree.flatten(graph.outputs)]

    def _called(self, operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        nested = inner_graph(operation)
        if nested is not None and isinstance(operation, keras.layers.TimeDistributed):
            shape = tuple(args[0].shape)
            given = self.run(nested, [keras.ops.reshape(args[0], (shape[0] * shape[1], *shape[2:]))])
            return [keras.ops.reshape(each, (shape[0], shape[1], *tuple(each.shape)[1:])) for each in given]
        if nested is not None:
            return self.run(nested, [each for each in keras.tree.flatten((args, kwargs)) if keras.ops.is_tensor(each)])
        return keras.tree.flatten(keras_private.calling(operation, training=False)(*args, **kwargs))

    def _noted(self, name: str, tensor: Any, value: Any) -> Any:
        label = self._keeping.anatomy.labels.get(id(tensor))
        if label is None:
            return value
        kept = self._keeping.kept(label.ids) if label.axis else None
        if self._masked and kept is not None and len(kept) < len(label.ids):
            # Not a product with 0: what is not finite there has to go, too.
            less = tf.where(self._here(label, kept, len(value.shape)), value, tf.zeros((), value.dtype))
            value = keras_private.masked_like(less, value)
        elif not self._masked:
            told, shape = shape_of(label, self._keeping), tuple(value.shape)
            if len(told) != len(shape) or any(one not in (None, two) for one, two in zip(told[1:], shape[1:], strict=True)):
                raise Mismatch(f"{name!r} gives the shape {shape}, not {told}")
        self._found.append(Given(name, keras.backend.standardize_dtype(value.dtype), self._numbers(value, label.axis, kept)))
        return value

    def _here(self, label: Labelled, kept: np.ndarray, axes: int) -> tf.Tensor:
        """Whether each channel stays, to be compared with tensors of so many axes."""
        known = self._masks.get((id(label.ids), label.axis, axes))
        if known is None:
            here = np.zeros(len(label.ids), bool)
            here[kept] = True
            known = tf.constant(here.reshape([-1 if axis == label.axis else 1 for axis in range(axes)]))
            self._masks[id(label.ids), label.axis, axes] = known
        return known

    def _numbers(self, value: Any, axis: int, kept: np.ndarray | None) -> np.ndarray:
        # With TensorFlow's own functions: there are many small tensors, and Keras' take several times as long for each.
        kind = tf.float64 if value.dtype == tf.float64 else tf.float32
        shape = value.shape
        channels = int(shape[axis]) if axis else 1
        rows = tf.experimental.numpy.moveaxis(value, axis, -1) if 0 < axis < len(shape) - 1 else value
        rows = tf.reshape(rows if rows.dtype == kind else tf.cast(rows, kind), (-1, channels))
        numbers = tf.matmul(self._weights(int(rows.shape[0]), kind), rows).numpy().astype(np.float64)
        return numbers[:, kept] if self._masked and kept is not None else numbers

    def _weights(self, places: int, kind: tf.DType) -> tf.Tensor:
        if (places, kind) not in self._drawn:
            drawn = np.random.default_rng(places).uniform(-1, 1, (2, places)) / places**0.5
            self._drawn[places, kind] = tf.constant(drawn, kind)
        return self._drawn[places, kind]


def _unheard(keeping: Keeping, values: Mapping[int, tuple[Any, np.ndarray]]) -> Iterator[tuple[Any, np.ndarray]]:
    """Weights with which recurrent and attention layers, which read what they make themselves, hear of no unit that goes."""
    attention = (keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention)
    for layer in {id(each): each for each in keeping.anatomy.model._flatten_layers()}.values():
        if isinstance(layer, (keras.layers.LSTM, keras.layers.GRU, keras.layers.SimpleRNN)):
            variable = layer.cell.recurrent_kernel
        elif isinstance(layer, attention):
            variable = layer._output_dense.kernel
        else:
            continue
        kept = keeping.places(variable).get(0)
        if kept is not None:
            whole = values[id(variable)][1] if id(variable) in values else variable.numpy()
            less = np.zeros_like(whole)
            less[kept] = whole[kept]
            yield variable, less
