"""Small trainings with layers planted in them that add nothing, and healthy ones, on data that ships or is generated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.jobs import cells

Data = tuple[np.ndarray, np.ndarray]            # x (samples, side, side, 1 or 2) float32, y (samples,) int64
TRAINED_ON, PROBED = 900, 300                   # samples
OVER_DEEP_FROM = 4                              # of the over-deep nets' eight layers those from this one on (0 = the first)


@dataclass(frozen=True)
class Training:
    """One of them: names in `DATA`, `NETS` and `PLANTS`; `plant` "" = healthy."""

    data: str
    net: str
    plant: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.data} | {self.net} | {self.plant or 'healthy'} | {self.seed}"


def samples_of(name: str, seed: int) -> tuple[Data, Data]:
    """What to train on, and what to look at."""
    x, y = DATA[name](TRAINED_ON + PROBED, seed)
    return (x[:TRAINED_ON], y[:TRAINED_ON]), (x[TRAINED_ON:], y[TRAINED_ON:])


def compiled(training: Training, shape: tuple[int, ...], classes: int) -> tuple[Any, tuple[str, ...]]:
    """The model, and the names of its layers that add nothing, by construction."""
    import keras

    keras.utils.set_random_seed(training.seed)
    net = NETS[training.net]
    inputs = values = keras.Input(shape)
    planted: tuple[str, ...] = net.over_deep
    for layer in net.layers(keras.layers):
        values = layer(values)
        if training.plant and layer.name == PLANTS[training.plant].behind(net):
            values, planted = PLANTS[training.plant].plant(keras.layers, values, net.activation)
    outputs = keras.layers.Dense(classes, activation="softmax", name="scores")(values)
    model = keras.Model(inputs, outputs, name="net")
    model.compile(keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model, planted


# Data


def digits(count: int, seed: int) -> Data:
    """scikit-learn's digits, 8×8, in an order of the seed's."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(labels))[:count]
    return (images[order].reshape(-1, 8, 8, 1) / 16).astype(np.float32), labels[order].astype(np.int64)


def digits_in_noise(count: int, seed: int) -> Data:
    """A digit somewhere in 12×12 pixels of noise."""
    small, y = digits(count, seed)
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 0.15, (count, 12, 12, 1)).astype(np.float32)
    for image, digit, (row, column) in zip(x, small, rng.integers(0, 5, (count, 2)), strict=True):
        image[row : row + 8, column : column + 8] += digit
    return x, y


def small_cells(count: int, seed: int) -> Data:
    """Generated cells of two classes, 16×16×2."""
    x, y = cells(count, 16, seed)
    return x.astype(np.float32), y.astype(np.int64)


def dice(count: int, seed: int) -> Data:
    """One to six light pips on a dark face, 16×16, moved, turned and lit at random."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 6, count)
    rows, columns = np.mgrid[:16, :16].astype(np.float32)
    corners = [(-1, -1), (1, 1), (-1, 1), (1, -1), (0, -1), (0, 1)]
    x = np.zeros((count, 16, 16, 1), np.float32)
    for image, face in zip(x[..., 0], y, strict=True):
        pips = corners[: (face + 1) // 2 * 2] + ([(0, 0)] if face % 2 == 0 else [])
        angle, light = rng.normal(0, 0.25), rng.uniform(0.6, 1.0)
        turn = 3.8 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        centre = 7.5 + rng.uniform(-1.2, 1.2, 2)
        for pip in pips:
            row, column = centre + turn @ np.array(pip)
            image += light * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 1.6)
    x += rng.normal(0, 0.08, x.shape).astype(np.float32)
    return x, y.astype(np.int64)


def gratings(count: int, seed: int) -> Data:
    """Stripes of one of four directions, 12×12, of any phase and of about one width, in noise."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, count)
    rows, columns = np.mgrid[:12, :12].astype(np.float32)
    angle = (y * np.pi / 4 + rng.normal(0, 0.12, count))[:, None, None]
    wave = 2 * np.pi / rng.uniform(3.5, 5.5, (count, 1, 1))
    x = 0.5 + 0.5 * np.sin(wave * (np.cos(angle) * rows + np.sin(angle) * columns) + rng.uniform(0, 2 * np.pi, (count, 1, 1)))
    x += rng.normal(0, 0.2, x.shape)
    return x[..., None].astype(np.float32), y.astype(np.int64)


DATA: dict[str, Callable[[int, int], Data]] = {
    "digits": digits, "digits in noise": digits_in_noise, "cells": small_cells, "dice": dice, "gratings": gratings,
}  # fmt: skip


# Nets


@dataclass(frozen=True)
class Net:
    """Convolutions of these widths, 0 = pooling; then dense layers of these, or the mean over all positions and none."""

    convolutions: tuple[int, ...]
    dense: tuple[int, ...]
    activation: str = "relu"
    normalised: bool = False                    # batch normalisation before every activation
    over_deep: tuple[str, ...] = ()             # its layers that add nothing, the data being as easy as it is

    def layers(self, layers: Any) -> list[Any]:
        stack: list[Any] = []
        for number, width in enumerate(self.convolutions):
            if not width:
                stack.append(layers.MaxPooling2D(name=f"pool{number}"))
            elif self.normalised:
                stack += [layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"conv{number}")]
                stack += [layers.BatchNormalization(), layers.Activation(self.activation, name=f"act{number}")]
            else:
                stack.append(layers.Conv2D(width, 3, padding="same", activation=self.activation, name=f"conv{number}"))
        stack.append(layers.Flatten() if self.dense or not self.convolutions else layers.GlobalAveragePooling2D())
        return stack + [layers.Dense(width, self.activation, name=f"dense{number}") for number, width in enumerate(self.dense)]

    def behind_a_convolution(self, number: int) -> str:
        """The name of what comes out of the first (0) or the last (−1) convolution."""
        place = [place for place, width in enumerate(self.convolutions) if width][number]
        return f"{'act' if self.normalised else 'conv'}{place}"


def _over_deep(kind: str) -> tuple[str, ...]:
    return tuple(f"{kind}{number}" for number in range(OVER_DEEP_FROM, 8))


NETS: dict[str, Net] = {
    # On which the margins were chosen.
    "conv 16 16 . 32, dense 64": Net((16, 16, 0, 32), (64,)),
    "conv 8 8 ., dense 32": Net((8, 8, 0), (32,)),
    "dense 64 64": Net((), (64, 64)),
    "dense 128 64 64, tanh": Net((), (128, 64, 64), "tanh"),
    "dense 8 × 64": Net((), (64,) * 8, over_deep=_over_deep("dense")),
    "conv 12 . 24 24 ., dense 48": Net((12, 0, 24, 24, 0), (48,)),
    "conv 16 16 . 32 32 ., dense 64 64": Net((16, 16, 0, 32, 32, 0), (64, 64)),
    "conv 16 . 32 32, normalised, mean": Net((16, 0, 32, 32), (), normalised=True),
    "conv 24 ., dense 40, elu": Net((24, 0), (40,), "elu"),
    "dense 96 96 96": Net((), (96, 96, 96)),
    "dense 200 50": Net((), (200, 50)),
    "dense 8 × 96": Net((), (96,) * 8, over_deep=_over_deep("dense")),
    "conv 8 × 16, dense 32": Net((16,) * 8, (32,), over_deep=_over_deep("conv")),
    # On which they are judged.
    "conv 20 . 40 ., dense 80": Net((20, 0, 40, 0), (80,)),
    "conv 10 10 . 20 20, mean": Net((10, 10, 0, 20, 20), ()),
    "dense 150 75": Net((), (150, 75)),
    "dense 80 80 80, elu": Net((), (80, 80, 80), "elu"),
    "dense 8 × 48": Net((), (48,) * 8, over_deep=_over_deep("dense")),
}


# Layers that add nothing


@dataclass(frozen=True)
class Plant:
    """`behind`: the name of the layer of a net behind which it goes.  `plant`: puts it there, and says which layers it is."""

    behind: Callable[[Net], str]
    plant: Callable[[Any, Any, str], tuple[Any, tuple[str, ...]]]


def dirac(shape: Sequence[int], dtype: Any = None) -> np.ndarray:
    """The kernel of a convolution that changes nothing: 1 in the middle, from each channel to itself."""
    kernel = np.zeros(shape, np.float32)
    kernel[shape[0] // 2, shape[1] // 2] = np.eye(*shape[2:])
    return kernel


def _identity_convolution(trained: bool) -> Callable[[Any, Any, str], tuple[Any, tuple[str, ...]]]:
    def plant(layers: Any, values: Any, activation: str) -> tuple[Any, tuple[str, ...]]:
        width = values.shape[-1]
        same = activation if activation == "relu" else "linear"         # a rectifier changes nothing behind another one
        settings = {"padding": "same", "activation": same, "kernel_initializer": dirac, "trainable": trained}
        return layers.Conv2D(width, 3, name="planted", **settings)(values), ("planted",)

    return plant


def _identity_dense(trained: bool) -> Callable[[Any, Any, str], tuple[Any, tuple[str, ...]]]:
    def plant(layers: Any, values: Any, activation: str) -> tuple[Any, tuple[str, ...]]:
        settings = {"activation": "linear", "kernel_initializer": "identity", "trainable": trained}
        return layers.Dense(values.shape[-1], name="planted", **settings)(values), ("planted",)

    return plant


def _linear_convolution(layers: Any, values: Any, activation: str) -> tuple[Any, tuple[str, ...]]:
    return layers.Conv2D(values.shape[-1], 1, name="planted")(values), ("planted",)


def _dense_again(layers: Any, values: Any, activation: str) -> tuple[Any, tuple[str, ...]]:
    return layers.Dense(values.shape[-1], activation, name="planted")(values), ("planted",)


def _closed_branch(layers: Any, values: Any, activation: str) -> tuple[Any, tuple[str, ...]]:
    """A residual block whose branch gives 0: its sum is what went in."""
    width = values.shape[-1]
    branch = layers.Conv2D(width, 3, padding="same", activation=activation, name="branch")(values)
    branch = layers.Conv2D(width, 3, padding="same", kernel_initializer="zeros", trainable=False, name="closed")(branch)
    return layers.Add(name="planted")([values, branch]), ("planted",)


def _open_branch(layers: Any, values: Any, activation: str) -> tuple[Any, tuple[str, ...]]:
    """A residual block that learns: the control of the closed one."""
    width = values.shape[-1]
    branch = layers.Conv2D(width, 3, padding="same", activation=activation, name="branch")(values)
    branch = layers.Conv2D(width, 3, padding="same", name="open")(branch)
    return layers.Activation(activation, name="applied")(layers.Add(name="sum")([values, branch])), ()


def _first(net: Net) -> str:
    return net.behind_a_convolution(0)


def _last(net: Net) -> str:
    return net.behind_a_convolution(-1)


def _end(net: Net) -> str:
    return f"dense{len(net.dense) - 1}"


PLANTS: dict[str, Plant] = {
    "identity convolution, early, frozen": Plant(_first, _identity_convolution(False)),
    "identity convolution, early, trained": Plant(_first, _identity_convolution(True)),
    "identity convolution, late, frozen": Plant(_last, _identity_convolution(False)),
    "identity convolution, late, trained": Plant(_last, _identity_convolution(True)),
    "linear 1×1 convolution": Plant(_last, _linear_convolution),
    "closed residual branch": Plant(_last, _closed_branch),
    "healthy residual block": Plant(_last, _open_branch),
    "identity dense, frozen": Plant(_end, _identity_dense(False)),
    "identity dense, trained": Plant(_end, _identity_dense(True)),
    "dense once more": Plant(_end, _dense_again),
}
