"""What layers make of samples, position by position."""

from __future__ import annotations

import contextlib
import functools
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from featwatch.graphs import graph_of
from featwatch.layers import LayerChoice, Site, choose
from featwatch.probe import Probe
from featwatch.running import Seen, WritesState, filters_last, first_tensor, refuse_writes, rows_of, run, unreadable
from featwatch.structures import leaves

# (values of a layer (batch, …, filters), bare=whether its bare response is read too) -> what is kept of them.
Kept = Callable[..., tf.Tensor]
_CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
# Operations of TensorFlow's before which a convolution may have been.
_MIXING = frozenset({
    "Conv2D", "Conv3D", "DepthwiseConv2dNative", "Conv2DBackpropInput", "Conv3DBackpropInputV2", "MatMul", "BatchMatMulV2",
    "Einsum", "XlaConvV2", "PartitionedCall", "StatefulPartitionedCall",
})  # fmt: skip


@dataclass(frozen=True, eq=False)
class Response:
    """What one layer made of a batch; both as `kept` gave them."""

    values: np.ndarray                  # after the activation that applies
    bare: np.ndarray | None = None      # of a first convolution, where asked for: w ∗ x, before bias and activation


class Responses:
    """Reads what some layers of a model make of a batch, always with the weights of the moment.

    Traced once; without jit, as little is computed.  By the graph, else by calls, else without tracing.

    Arguments:
        model: a built model.
        sites: of it.
        kept: what is kept of a layer's values, float32 with the filters last; computed on the device.
        bare: whether the response of the first convolutions before bias and activation is wanted.
    """

    def __init__(self, model: Any, sites: Sequence[Site], kept: Kept, *, bare: bool = False) -> None:
        self._model = weakref.ref(model)
        self._sites = tuple(sites)
        self._kept = kept
        self._bare = bare
        self._ways = (*(("graph",) if graph_of(model) is not None else ()), "calls", "eager")
        self._function: Any = None
        self.refused: dict[str, str] = {}   # name of a layer that turned out not to be readable -> why

    def read(self, batch: Any) -> dict[str, Response]:
        """The responses by layer to a batch of one and the same shape each time, layers that cannot be read left out.

        Raises:
            WritesState: the model's code writes variables, so that looking at it would change the training.
            Exception: what the model itself raised, when nothing worked.
        """
        tensors = keras.tree.map_structure(tf.convert_to_tensor, batch)
        found = self._first(tensors) if self._function is None else self._function(tensors)
        return {
            name: Response(values.numpy(), None if bare is None else bare.numpy()) for name, (values, bare) in found.items()
        }

    def _first(self, tensors: Any) -> Any:
        for way in self._ways:
            look = functools.partial(self._look, "calls" if way == "eager" else way)
            self._function = look if way == "eager" else tf.function(look, autograph=False)
            try:
                return self._function(tensors)
            except WritesState:
                raise
            except Exception:
                self._function = None
                if way == "eager":
                    raise
        raise RuntimeError("the model cannot be run")

    def _look(self, way: str, batch: Any) -> dict[str, tuple[tf.Tensor, tf.Tensor | None]]:
        model = self._model()
        if model is None:
            raise RuntimeError("the model is gone")
        self.refused = {}
        seen, rows = _SeenBare(self._bare), rows_of(batch)
        run(model, batch, self._sites, seen, way)
        found = {}
        for site in self._sites:
            reason = unreadable(site, seen, rows)
            if reason:
                self.refused[site.name] = reason
                continue
            bare = seen.bare.get(id(site.layer))
            values = filters_last(first_tensor(seen.left[id(site.tapped)]), site.layer)
            kept = functools.partial(self._kept, bare=bare is not None)
            found[site.name] = kept(values), None if bare is None else kept(filters_last(bare, site.layer))
        if not tf.executing_eagerly():
            refuse_writes(tf.compat.v1.get_default_graph())
        return found


class _SeenBare(Seen):
    """What was seen, and the bare responses of convolutions before which there is no other."""

    def __init__(self, wanted: bool) -> None:
        super().__init__()
        self.bare: dict[int, tf.Tensor] = {}
        self._wanted = wanted

    def __call__(self, operation: Any, args: tuple[Any, ...], outputs: Any) -> None:
        super().__call__(operation, args, outputs)
        new = self._wanted and isinstance(operation, _CONVOLUTIONS) and self.calls[id(operation)] == 1
        if new and args and self._is_first(args[0]):
            with contextlib.suppress(Exception):            # a subclass of the user's may have no such kernel
                self.bare[id(operation)] = _bare(operation, args[0])

    def _is_first(self, entered: tf.Tensor) -> bool:
        if tf.executing_eagerly():              # nothing tells what came before: the first that is called
            return not self.bare
        return not any(operation.type in _MIXING for operation in _before(entered))


def _bare(layer: Any, entered: tf.Tensor) -> tf.Tensor:
    """The response of a convolution before bias and activation."""
    kernel, padding = layer.kernel, layer.padding
    entered = tf.cast(entered, keras.backend.standardize_dtype(kernel.dtype))
    if padding == "causal":
        entered, padding = keras.ops.pad(entered, layer._compute_causal_padding()), "valid"
    return keras.ops.conv(
        entered, kernel, strides=list(layer.strides), padding=padding, dilation_rate=layer.dilation_rate,
        data_format=layer.data_format,
    )  # fmt: skip


def _before(tensor: tf.Tensor) -> Iterator[tf.Operation]:
    """The operations of a graph being traced that a tensor depends on."""
    waiting, seen = [tensor.op], {tensor.op}
    while waiting:
        operation = waiting.pop()
        yield operation
        more = {each.op for each in operation.inputs} - seen
        seen |= more
        waiting += more


def activations(model: Any, layers: LayerChoice, probe: Any) -> dict[str, np.ndarray]:
    """What layers of a model make of samples: by layer (samples, …, filters) float32, after the activation that applies.

    All of it is held in memory.  A layer that cannot be read is left out where nobody named it.

    Arguments:
        model: a built model; it is not changed.
        layers: a name or pattern, a list of them, or a predicate on the layer; None = every convolution and dense layer.
        probe: a `Probe`, or samples: an array, or a dict or tuple of arrays for a model of several inputs.

    Raises:
        ValueError: there is no such layer, or it cannot be read: the message says why.

    Example:
        >>> maps = activations(net, "conv", x[:5])
        >>> maps["conv"].shape
        (5, 6, 6, 4)
    """
    probe = probe if isinstance(probe, Probe) else _all_of(probe)
    sites = choose(model, layers)
    responses = Responses(model, sites, lambda values, bare: values)
    parts: dict[str, list[np.ndarray]] = {}
    for batch, count in probe.batches():
        for name, response in responses.read(batch).items():
            parts.setdefault(name, []).append(response.values[:count])
    if responses.refused and (layers is not None or not parts):
        name, reason = next(iter(responses.refused.items()))
        raise ValueError(f"layers={layers!r}: layer {name!r} cannot be read: {reason}")
    return {name: np.concatenate(values) for name, values in parts.items()}


def _all_of(samples: Any) -> Probe:
    """A probe of all of them, where it can be told how many there are; otherwise of as many as a probe takes."""
    first = leaves(samples)[0][1]
    return Probe(samples, size=max(1, len(first))) if isinstance(first, list) or hasattr(first, "shape") else Probe(samples)
