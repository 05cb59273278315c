"""Random small nets for pruning, made of a list of draws: convolutions of all kinds, merges, shared and nested parts, heads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

layers, ops = keras.layers, keras.ops
SIZE = 4
Draw = tuple[int, int, int]             # which step, which of the tensors so far, and a number for the step


class _Net:
    """Tensors so far, all (samples, SIZE, SIZE, channels), and parts to use again."""

    def __init__(self) -> None:
        self.tensors: list[Any] = []
        self.parts: dict[int, Any] = {}

    def fitting(self, x: Any, number: int) -> Any:
        """Another tensor, of as many channels."""
        other = self.tensors[number % len(self.tensors)]
        if other.shape[-1] == x.shape[-1]:
            return other
        return layers.Conv2D(x.shape[-1], 1)(other)

    def part(self, channels: int) -> Any:
        """A model from so many channels to as many, the same one every time."""
        if channels not in self.parts:
            entering = keras.Input((SIZE, SIZE, channels))
            x = layers.Conv2D(channels + 2, 1, activation="relu")(entering)
            x = layers.Conv2D(channels, 3, padding="same")(layers.BatchNormalization()(x))
            self.parts[channels] = keras.Model(entering, x)
        return self.parts[channels]


def _excited(net: _Net, x: Any, number: int) -> Any:
    s = layers.GlobalAveragePooling2D(keepdims=bool(number % 2))(x)
    s = layers.Dense(x.shape[-1], activation="sigmoid")(layers.Dense(3, activation="relu")(s))
    return layers.Multiply()([x, s if number % 2 else layers.Reshape((1, 1, -1))(s)])


def _shuffled(net: _Net, x: Any, number: int) -> Any:
    channels = x.shape[-1]
    groups = next((count for count in (2, 3, 5) if channels % count == 0), 1)
    spread = layers.Reshape((SIZE, SIZE, groups, channels // groups))(x)
    return layers.Reshape((SIZE, SIZE, channels))(layers.Permute((1, 2, 4, 3))(spread))


def _grouped(net: _Net, x: Any, number: int) -> Any:
    groups = next((count for count in (2, 3, 5) if x.shape[-1] % count == 0), 1)
    return layers.Conv2D(groups * (1 + number % 3), 3, padding="same", groups=groups)(x)


def _split(net: _Net, x: Any, number: int) -> Any:
    cut = 1 + number % max(1, x.shape[-1] - 1)
    one, other = ops.split(x, [cut], axis=-1) if x.shape[-1] > 1 else (x, x)
    return layers.Concatenate()([other, layers.Conv2D(4, 1, activation="relu")(one)])


def _sliced(net: _Net, x: Any, number: int) -> Any:
    start = number % x.shape[-1]
    return layers.Concatenate()([x[..., start:], layers.Conv2D(3, 1)(x)])


STEPS: list[Callable[[_Net, Any, int], Any]] = [
    lambda net, x, number: layers.Conv2D(3 + number, 3, padding="same", activation="relu", use_bias=bool(number % 2))(x),
    lambda net, x, number: layers.Conv2D(4 + number, 1)(x),
    _grouped,
    lambda net, x, number: layers.Conv2D(x.shape[-1] * (1 + number % 2), 3, padding="same", groups=x.shape[-1])(x),
    lambda net, x, number: layers.DepthwiseConv2D(3, padding="same", depth_multiplier=1 + number % 2)(x),
    lambda net, x, number: layers.SeparableConv2D(4 + number, 3, padding="same", depth_multiplier=1 + number % 2)(x),
    lambda net, x, number: layers.Conv2DTranspose(3 + number, 3, padding="same")(x),
    lambda net, x, number: layers.BatchNormalization(scale=bool(number % 2), center=bool(number % 3))(x),
    lambda net, x, number: layers.Activation(["relu", "sigmoid", "softplus", "gelu"][number % 4])(x),
    lambda net, x, number: layers.PReLU(shared_axes=[1, 2] if number % 2 else None)(x),
    lambda net, x, number: layers.Add()([x, net.fitting(x, number)]),
    lambda net, x, number: [layers.Multiply(), layers.Maximum(), layers.Subtract()][number % 3]([x, net.fitting(x, number)]),
    lambda net, x, number: layers.Concatenate()([x, net.tensors[number % len(net.tensors)]]),
    _excited,
    lambda net, x, number: [layers.MaxPooling2D, layers.AveragePooling2D][number % 2](3, 1, padding="same")(x),
    lambda net, x, number: layers.Permute((2, 1, 3))(x),
    _shuffled,
    _split,
    _sliced,
    lambda net, x, number: net.part(x.shape[-1])(x),
    lambda net, x, number: net.part(x.shape[-1])(net.part(x.shape[-1])(x)),
    lambda net, x, number: layers.Cropping2D(1)(layers.ZeroPadding2D(1)(x)),
    lambda net, x, number: x * np.linspace(0.5, 2, x.shape[-1], dtype="float32") + 0.5,
    lambda net, x, number: ops.where(x > 0, x, ops.tanh(net.fitting(x, number))),
    lambda net, x, number: layers.Dense(3 + number, activation="relu")(x),
    lambda net, x, number: ops.transpose(ops.flip(x, axis=-1), (0, 2, 1, 3)),
    lambda net, x, number: layers.Reshape((SIZE, SIZE, -1))(layers.Flatten()(x)),
    lambda net, x, number: layers.LayerNormalization()(x),
]  # fmt: skip

HEADS: list[Callable[[Any], Any]] = [
    lambda x: layers.Dense(6, activation="relu")(layers.Flatten()(x)),
    lambda x: layers.GlobalMaxPooling2D()(x),
    lambda x: layers.GRU(4)(layers.Reshape((SIZE * SIZE, -1))(x)),
    lambda x: layers.Bidirectional(layers.LSTM(3))(layers.Reshape((SIZE, -1))(x)),
    lambda x: layers.GlobalAveragePooling1D()(_attended(layers.Reshape((SIZE * SIZE, -1))(x))),
    lambda x: layers.GlobalAveragePooling1D()(layers.TimeDistributed(layers.Dense(5))(layers.Reshape((SIZE * SIZE, -1))(x))),
    lambda x: ops.mean(x, axis=(1, 2)),
]


def _attended(x: Any) -> Any:
    return layers.MultiHeadAttention(3, 2)(x, x)


def random_net(steps: Sequence[Draw], head: int, outputs: int = 1) -> Any:
    """The net that these draws make; two inputs, one or two outputs."""
    net = _Net()
    inputs = {"image": keras.Input((SIZE, SIZE, 2), name="image"), "mask": keras.Input((SIZE, SIZE, 1), name="mask")}
    x = layers.Conv2D(6, 3, padding="same")(inputs["image"])
    net.tensors = [x, layers.Add()([x, layers.Conv2D(6, 1)(inputs["mask"])])]
    for step, source, number in steps:
        # The later tensors are taken more often: chains rather than bushes.
        x = net.tensors[-1 - source % min(2, len(net.tensors))]
        net.tensors.append(STEPS[step % len(STEPS)](net, x, number))
    given = [layers.Dense(2)(HEADS[(head + at) % len(HEADS)](net.tensors[-1 - at])) for at in range(outputs)]
    model = keras.Model(inputs, given if outputs > 1 else given[0])
    rng = np.random.default_rng(head)
    for variable in model.variables:
        if "float" in str(variable.dtype):
            fan_in = max(1, int(np.prod(tuple(variable.shape)[:-1])))
            value = rng.normal(0, 1 / np.sqrt(fan_in) if len(variable.shape) > 1 else 0.3, tuple(variable.shape))
            value = np.abs(value) + 0.5 if "variance" in variable.name else value
            variable.assign(value + (1 if "gamma" in variable.name else 0))
    return model
