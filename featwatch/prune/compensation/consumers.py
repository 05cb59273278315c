"""Layers that mix channels, as linear maps: which weights stand for which channel, and where each channel is read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from featwatch.graphs import graph_of, nodes_of
from featwatch.prune.anatomy import Anatomy

layers = keras.layers
_CONVOLUTIONS = (layers.Conv1D, layers.Conv2D, layers.Conv3D)
_TRANSPOSED = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
_SEPARABLE = (layers.SeparableConv1D, layers.SeparableConv2D)


@dataclass(eq=False)
class Consumer:
    """A layer that makes each of its outputs of all channels that it reads.

    A channel may stand at several places of what is read, after `Flatten`; `groups` of a convolution read parts of it.
    """

    layer: Any
    name: str
    kernel: Any                         # the variable that mixes
    ids: np.ndarray                     # (channels,) units, of one group
    groups: int = 1
    places: int = 1                     # at which each channel is read by weights of its own, after `Flatten`
    places_first: bool = True           # in the kernel the places, then the channels
    positions: int | None = None        # of a sample at which channels are read; None = not known beforehand
    bias: Any = None                    # where a constant can be added to each output
    shift: Any = None                   # without a bias: moving mean of the normalisation that follows, and nothing else does
    border: bool = False                # whether it reads zeros around its input, which are no values of the channels
    uniform: bool = True                # whether each output reads all weights, so that a constant is the same for all

    @property
    def constant(self) -> bool:
        """Whether a constant can be added to what it gives."""
        return self.uniform and (self.bias is not None or self.shift is not None)

    def weights(self) -> np.ndarray:
        """(groups, taps, channels, outputs) float64: the kernel."""
        return self._split(self.kernel.numpy().astype(np.float64))

    def kernel_of(self, weights: np.ndarray) -> np.ndarray:
        """A kernel of its own shape with these weights."""
        if isinstance(self.layer, layers.Dense):
            value = weights[0] if self.places_first else weights[0].swapaxes(0, 1)
        else:
            value = self._mixing(weights)
        return value.reshape(self.kernel.shape).astype(self.kernel.numpy().dtype)

    def kernel_for(self, weights: np.ndarray) -> np.ndarray:
        """What `linear` takes, float32, of (groups, taps, channels, outputs): all of its weights, or those of some channels."""
        if isinstance(self.layer, layers.Dense):
            return weights[0].reshape(-1, weights.shape[-1]).astype(np.float32)
        value = self._mixing(weights)
        return value.reshape(*self.kernel.shape[:-2], *value.shape[1:]).astype(np.float32)

    def _mixing(self, weights: np.ndarray) -> np.ndarray:
        """(taps, channels, outputs), or the other way round where the layer has it so."""
        value = np.moveaxis(weights, 0, -2).reshape(weights.shape[1], weights.shape[2], -1)
        return value.swapaxes(1, 2) if isinstance(self.layer, _TRANSPOSED) else value

    def _split(self, value: np.ndarray) -> np.ndarray:
        channels, groups = len(self.ids), self.groups
        if isinstance(self.layer, layers.Dense):
            form = (self.places, channels, -1) if self.places_first else (channels, self.places, -1)
            value = value.reshape(form)
            return (value if self.places_first else value.swapaxes(0, 1))[None]
        if isinstance(self.layer, _TRANSPOSED):
            value = value.swapaxes(-1, -2)
        value = value.reshape(-1, channels, value.shape[-1])
        return np.moveaxis(value.reshape(*value.shape[:2], groups, -1), 2, 0)

    # -- on tensors ----------------------------------------------------------------------------------------------------

    def read(self, x: Any) -> np.ndarray:
        """(batch, …, groups · channels) float32: what the weights are multiplied with, channels last."""
        layer = self.layer
        if isinstance(layer, _SEPARABLE):
            x = keras.ops.depthwise_conv(
                x, keras.ops.cast(layer.depthwise_kernel, x.dtype), strides=layer.strides, padding=layer.padding,
                dilation_rate=layer.dilation_rate, data_format=layer.data_format,
            )  # fmt: skip
        value = np.asarray(keras.ops.cast(x, "float32"))
        if getattr(layer, "data_format", None) == "channels_first":
            value = np.moveaxis(value, 1, -1)
        if self.places > 1:             # (batch, places, channels)
            form = (self.places, len(self.ids)) if self.places_first else (len(self.ids), self.places)
            value = value.reshape(len(value), *form)
            value = value if self.places_first else value.swapaxes(1, 2)
        if getattr(layer, "padding", None) == "causal":
            left = (layer.kernel_size[0] - 1) * layer.dilation_rate[0]
            value = np.pad(value, ((0, 0), (left, 0), (0, 0)))
        return value

    def linear(self, value: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        """(batch, …, outputs) float32: what it gives of `read`, without its bias and activation.

        Arguments:
            kernel: as `kernel_for` gives it, for as many channels as `value` has.
        """
        layer = self.layer
        if isinstance(layer, layers.Dense):
            rows = value.reshape(-1, len(kernel))
            form = value.shape[:1] if self.places > 1 else value.shape[:-1]
            return np.asarray(keras.ops.matmul(rows, kernel)).reshape(*form, kernel.shape[-1])
        given, own = (keras.ops.convert_to_tensor(each) for each in (value, kernel))
        if isinstance(layer, _TRANSPOSED):
            return np.asarray(
                keras.ops.conv_transpose(
                    given, own, strides=list(layer.strides), padding=layer.padding, output_padding=layer.output_padding,
                    data_format="channels_last", dilation_rate=layer.dilation_rate,
                )
            )  # fmt: skip
        if isinstance(layer, _SEPARABLE):
            return np.asarray(keras.ops.conv(given, own, strides=1, padding="valid", data_format="channels_last"))
        return np.asarray(
            keras.ops.conv(
                given, own, strides=list(layer.strides), padding="same" if layer.padding == "same" else "valid",
                dilation_rate=layer.dilation_rate, data_format="channels_last",
            )
        )  # fmt: skip

    def times_read(self, shape: Sequence[int]) -> tuple[np.ndarray, float]:
        """How many weights each position of `read` meets, (…), and how many meet zeros around it.

        Arguments:
            shape: of `read`, with the samples first and the channels last.
        """
        spatial, layer = shape[1:-1], self.layer
        if not isinstance(layer, _CONVOLUTIONS):
            return np.ones(spatial), 0.0
        counts, whole = np.ones(()), 1.0
        for size, kernel, stride, dilation in zip(
            spatial, layer.kernel_size, layer.strides, layer.dilation_rate, strict=True
        ):
            reach = (kernel - 1) * dilation + 1
            if layer.padding == "same":
                windows = -(-size // stride)
                before = max((windows - 1) * stride + reach - size, 0) // 2
            else:
                windows, before = (size - reach) // stride + 1, 0
            at = np.add.outer(np.arange(windows) * stride, np.arange(kernel) * dilation).ravel() - before
            inside = at[(at >= 0) & (at < size)]
            counts = np.multiply.outer(counts, np.bincount(inside, minlength=size).astype(float))
            whole *= len(at)
        outside = whole - float(counts.sum())
        if layer.padding == "causal":       # the zeros on the left are part of `read`
            left = (layer.kernel_size[0] - 1) * layer.dilation_rate[0]
            outside, counts = float(counts[:left].sum()), np.where(np.arange(len(counts)) < left, 0, counts)
        return counts, outside


@dataclass(eq=False)
class Consumers:
    """Layers whose weights can make up for channels that they no longer read, and those of which that is not known."""

    known: list[Consumer] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def consumers(anatomy: Anatomy, groups: set[int]) -> Consumers:
    """The layers of a model that read channels of these groups and mix them."""
    found, seen = Consumers(), set()
    calls = _calls(anatomy.graph)
    readers = _readers(anatomy.graph)
    for node in calls:
        layer = node.operation
        if id(layer) in seen or not isinstance(layer, keras.Layer):
            continue
        seen.add(id(layer))
        if not _loses(anatomy, layer, groups):
            continue
        name = anatomy.names.get(id(layer), layer.name)
        consumer = _consumer(anatomy, layer, name)
        if consumer is None:
            found.unknown.append(name)
            continue
        if consumer.uniform and consumer.bias is None and sum(other.operation is layer for other in calls) == 1:
            consumer.shift = _mean_after(node, readers)
        consumer.positions = _positions(consumer, tuple(node.input_tensors[0].shape)[1:])
        found.known.append(consumer)
    return found


def _positions(consumer: Consumer, shape: Sequence[int | None]) -> int | None:
    size = math.prod(-1 if each is None else each for each in shape)
    return None if None in shape else size // (consumer.groups * len(consumer.ids))


def _loses(anatomy: Anatomy, layer: Any, groups: set[int]) -> bool:
    """Whether a layer mixes channels and reads some that go; of its own units it may read some, too (a recurrent layer)."""
    made = anatomy.made.get(anatomy.names.get(id(layer), ""))
    if made is None or not made.mixes:
        return False
    reading = [(variable, 0) for variable in layer.variables if len(variable.shape) > 1]
    for kinds, name, axis in ((_CONVOLUTIONS, "kernel", -2), (_TRANSPOSED, "kernel", -1), (_SEPARABLE, "pointwise_kernel", -2)):
        if type(layer) in kinds:
            reading = [(getattr(layer, name), axis)]
    sliced = [(anatomy.sliced.get(id(variable)), axis % len(variable.shape)) for variable, axis in reading]
    every = [found.axes[axis] for found, axis in sliced if found is not None and axis in found.axes]
    return any(np.isin(anatomy.units.roots(ids), list(groups)).any() for ids in every)


def _consumer(anatomy: Anatomy, layer: Any, name: str) -> Consumer | None:
    kind = type(layer)
    if kind not in (*_CONVOLUTIONS, *_TRANSPOSED, *_SEPARABLE, layers.Dense):
        return None
    bias = layer.bias if layer.use_bias else None
    if kind in _CONVOLUTIONS:
        ids = _ids(anatomy, layer.kernel, -2)
        border = layer.padding in ("same", "causal") and (max(layer.kernel_size) > 1)
        return Consumer(layer, name, layer.kernel, ids, groups=layer.groups, bias=bias, border=border)
    if kind in _TRANSPOSED:
        return Consumer(layer, name, layer.kernel, _ids(anatomy, layer.kernel, -1), bias=bias, uniform=False)
    if kind in _SEPARABLE:
        return Consumer(layer, name, layer.pointwise_kernel, _ids(anatomy, layer.pointwise_kernel, -2), bias=bias)
    ids = _ids(anatomy, layer.kernel, 0)
    channels, places, first = _unrolled(anatomy.units.roots(ids))
    own = ids[:channels] if first else ids.reshape(channels, places)[:, 0]
    return Consumer(layer, name, layer.kernel, own, places=places, places_first=first, bias=bias)


def _unrolled(roots: np.ndarray) -> tuple[int, int, bool]:
    """(channels, places, whether the places come first) of what was flattened; (all, 1, True) where nothing was."""
    channels = len(np.unique(roots))
    places, rest = divmod(len(roots), channels)
    if rest or places == 1:
        return len(roots), 1, True
    if (roots.reshape(places, channels) == roots[:channels]).all():
        return channels, places, True
    rows = roots.reshape(channels, places)
    return (channels, places, False) if (rows == rows[:, :1]).all() else (len(roots), 1, True)


def _ids(anatomy: Anatomy, variable: Any, axis: int) -> np.ndarray:
    return anatomy.sliced[id(variable)].axes[axis % len(variable.shape)]


def _calls(graph: Any) -> list[Any]:
    """All calls of a graph and of those nested in it, once each."""
    found = []
    for node in nodes_of(graph):
        nested = graph_of(node.operation) if isinstance(node.operation, keras.Layer) else None
        found += _calls(nested) if nested is not None and not node.is_input else [node]
    return list({id(node): node for node in found}.values())


def _readers(graph: Any) -> dict[int, list[Any]]:
    """By the identity of a tensor what reads it; what leaves a graph is read by that."""
    found: dict[int, list[Any]] = {}
    for each in _graphs(graph):
        for node in nodes_of(each):
            for tensor in node.input_tensors:
                found.setdefault(id(tensor), []).append(node.operation)
        for tensor in keras.tree.flatten(each.outputs):
            found.setdefault(id(tensor), []).append(each)
    return found


def _graphs(graph: Any) -> Iterator[Any]:
    yield graph
    for node in nodes_of(graph):
        nested = graph_of(node.operation) if isinstance(node.operation, keras.Layer) and not node.is_input else None
        if nested is not None:
            yield from _graphs(nested)


def _mean_after(node: Any, readers: dict[int, list[Any]]) -> Any:
    """The moving mean of the batch normalisation that alone reads what a layer without an activation gives."""
    following = readers.get(id(node.output_tensors[0]), [])
    linear = getattr(node.operation, "activation", None) in (None, keras.activations.linear)
    if not linear or len(following) != 1 or type(following[0]) is not layers.BatchNormalization:
        return None
    normalisation = following[0]
    calls = math.fsum(len(inbound.input_tensors) for inbound in normalisation._inbound_nodes)
    return normalisation.moving_mean if calls == 1 else None
