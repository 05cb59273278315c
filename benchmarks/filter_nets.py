"""Small networks of many kinds, drawn by a seed, and the data they are trained on: where faults of filters are planted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.planted_layers import dice, digits, gratings, small_cells

Data = tuple[np.ndarray, np.ndarray]            # x (samples, …) float32, y (samples,) int64
KINDS = ("dense", "conv", "conv, normalised", "depthwise", "residual", "1-D")
ACTIVATIONS = ("relu6", "leaky_relu", "gelu", "tanh", "sigmoid", "elu")     # of odd seeds; of even ones it is relu
TRAINED_ON, PROBED = 500, 300                   # samples


@dataclass(frozen=True)
class Stage:
    """A layer with weights, and what acts after it."""

    layer: str
    activation: str                             # "linear" = none
    out: str                                    # the layer behind which the activation has been applied
    between: tuple[str, ...] = ()               # what stands between the layer and an activation of its own, in order
    normalisation: str = ""                     # the first of these, where that is a batch normalisation


@dataclass(frozen=True, eq=False)
class FilterNet:
    """A compiled model, its stages in graph order without the layer of the scores, and its data."""

    name: str
    model: Any
    stages: tuple[Stage, ...]
    train: Data
    probe: Data


def drawn(kind: str, seed: int) -> FilterNet:
    """The network of this kind that belongs to the seed."""
    import keras

    rng = np.random.default_rng((seed, KINDS.index(kind)))
    activation = ACTIVATIONS[(seed // 2 + KINDS.index(kind)) % len(ACTIVATIONS)] if seed % 2 else "relu"
    data = str(rng.choice(list(DATA[kind if kind in DATA else "images"])))
    x, y = DATA[kind if kind in DATA else "images"][data](TRAINED_ON + PROBED, seed)
    keras.utils.set_random_seed(seed)
    building = _Building(rng, activation)
    inputs = keras.Input(x.shape[1:])
    values = building.net(kind, inputs)
    scores = keras.layers.Dense(int(y.max()) + 1, activation="softmax", name="scores")(values)
    model = keras.Model(inputs, scores, name="net")
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    train, probe = (x[:TRAINED_ON], y[:TRAINED_ON]), (x[TRAINED_ON:], y[TRAINED_ON:])
    return FilterNet(f"{kind} | {activation} | {data} | {seed}", model, tuple(building.stages), train, probe)


@dataclass
class _Building:
    rng: np.random.Generator
    activation: str
    stages: list[Stage] = field(default_factory=list)

    def net(self, kind: str, values: Any) -> Any:
        import keras

        layers, rng = keras.layers, self.rng
        if kind == "dense":
            values = layers.Flatten()(values)
            for place in range(int(rng.integers(2, 4))):
                plain = bool(place and rng.random() < 0.2)           # a layer without activation, as in a bottleneck
                values = self.stage(layers.Dense, values, normalised=rng.random() < 0.3, linear=plain)
            return values
        if kind == "1-D":
            normalised = rng.random() < 0.5
            values = self.stage(layers.Conv1D, values, 5, normalised=normalised)
            values = layers.MaxPooling1D()(values)
            values = self.stage(layers.Conv1D, values, 3, normalised=normalised)
            return self.stage(layers.Dense, layers.GlobalAveragePooling1D()(values))
        first = int(rng.choice((3, 5)))
        if kind == "conv":
            values = self.stage(layers.Conv2D, values, first, pooled=rng.random() < 0.3)
            values = self.stage(layers.Conv2D, layers.MaxPooling2D()(values), 3)
            values = layers.MaxPooling2D()(values) if values.shape[1] > 2 else values
            return self.stage(layers.Dense, layers.Flatten()(values))
        if kind == "conv, normalised":
            for size in (first, 3, 3)[: int(rng.integers(2, 4))]:
                values = self.stage(layers.Conv2D, values, size, normalised=True)
            values = layers.GlobalAveragePooling2D()(values)
            return self.stage(layers.Dense, values)
        if kind == "depthwise":
            values = self.stage(layers.Conv2D, values, first, normalised=True)
            values = self.stage(layers.DepthwiseConv2D, values, 3, normalised=True)
            values = self.stage(layers.Conv2D, layers.MaxPooling2D()(values), 1, normalised=True)
            return self.stage(layers.Dense, layers.GlobalAveragePooling2D()(values))
        values = shortcut = self.stage(layers.Conv2D, values, first, normalised=True)
        values = self.stage(layers.Conv2D, values, 3, normalised=True)
        values = self.stage(layers.Conv2D, values, 3, width=shortcut.shape[-1], linear=True)
        values = layers.Add()([layers.BatchNormalization()(values), shortcut])
        values = layers.GlobalAveragePooling2D()(layers.Activation(self.activation)(values))
        return self.stage(layers.Dense, values)

    def stage(
        self, make: Any, values: Any, size: int = 0, *, normalised: bool = False, linear: bool = False, pooled: bool = False,
        width: int = 0,
    ) -> Any:  # fmt: skip
        """One more: weights, then normalisation or pooling where that is wanted, then the activation in one of its forms."""
        import keras

        rng, place = self.rng, len(self.stages)
        name, activation = f"stage{place}", "linear" if linear else self.activation
        options: dict[str, Any] = {"name": name, "use_bias": not normalised or linear or bool(rng.random() < 0.5)}
        shape: tuple[Any, ...] = (width or int(rng.integers(12, 33)), *([size] if size else []))
        if make is keras.layers.DepthwiseConv2D:
            shape, options["depth_multiplier"] = (size,), int(rng.integers(1, 3))
        if size:
            options["padding"] = str(rng.choice(("same", "valid")) if not width and place == 0 else "same")
        within = not normalised and not pooled and rng.random() < 0.6
        values = make(*shape, activation=activation if within else None, **options)(values)
        if linear or within:
            self.stages.append(Stage(name, activation, name))
            return values
        between = []
        if normalised:
            between.append(f"norm{place}")
            values = keras.layers.BatchNormalization(name=between[0], scale=bool(rng.random() < 0.85), momentum=0.9)(values)
        if pooled:
            between.append(f"pool{place}")
            values = keras.layers.MaxPooling2D(name=between[-1])(values)
        values = keras.layers.Activation(activation, name=f"act{place}")(values)
        self.stages.append(Stage(name, activation, f"act{place}", tuple(between), between[0] if normalised else ""))
        return values


def waves(count: int, seed: int) -> Data:
    """One of four frequencies at any phase on two channels of 32 steps, in noise."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, count)
    phase = rng.uniform(0, 2 * np.pi, (count, 1, 1)) + np.array([0, 0.7])
    steps = np.arange(32.0)[None, :, None]
    x = np.sin(steps * (0.3 + 0.25 * y + rng.normal(0, 0.03, count))[:, None, None] + phase)
    return (x + rng.normal(0, 0.4, x.shape)).astype(np.float32), y.astype(np.int64)


def bumps(count: int, seed: int) -> Data:
    """One to three bumps along 40 steps, never below 0."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, count)
    steps = np.arange(40.0)
    x = np.abs(rng.normal(0, 0.1, (count, 40, 1)))
    for row, number in zip(x[..., 0], y, strict=True):
        for place in rng.choice(np.arange(4, 37, 8), number + 1, replace=False) + rng.normal(0, 1, number + 1):
            row += rng.uniform(0.6, 1.2) * np.exp(-((steps - place) ** 2) / 4)
    return x.astype(np.float32), y.astype(np.int64)


def clouds(count: int, seed: int) -> Data:
    """Five Gaussian clouds in 24 dimensions."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 5, count)
    return (rng.normal(0, 1.1, (5, 24))[y] + rng.normal(0, 1, (count, 24))).astype(np.float32), y.astype(np.int64)


DATA: dict[str, dict[str, Callable[[int, int], Data]]] = {
    "images": {"digits": digits, "gratings": gratings, "cells": small_cells, "dice": dice},
    "1-D": {"waves": waves, "bumps": bumps},
    "dense": {"digits": digits, "clouds": clouds},
}


def entering_and_leaving(net: FilterNet) -> Any:
    """A model that gives, of each stage in order, what enters its layer, then what leaves its activation."""
    import keras

    layers = [net.model.get_layer(stage.layer).input for stage in net.stages]
    outs = [net.model.get_layer(stage.out).output for stage in net.stages]
    return keras.Model(net.model.input, [*layers, *outs])


def before_activation(net: FilterNet, stage: Stage, entered: np.ndarray) -> np.ndarray:
    """What enters the stage's activation, (samples, …, filters), where this enters its layer."""
    import keras

    layer = net.model.get_layer(stage.layer)
    own, layer.activation = layer.activation, keras.activations.linear
    try:
        values = layer(entered)
    finally:
        layer.activation = own
    for name in stage.between:
        values = net.model.get_layer(name)(values, training=False)
    return np.asarray(values)


def by_filter(values: np.ndarray) -> np.ndarray:
    """(samples × positions, filters) float64."""
    return values.reshape(-1, values.shape[-1]).astype(np.float64)


def trained(net: FilterNet, epochs: int) -> None:
    """Train on for so many epochs."""
    if epochs:
        net.model.fit(*net.train, epochs=epochs, batch_size=32, verbose=0)


def all_kinds(each: int, first: int = 0) -> Sequence[tuple[str, int]]:
    """So many networks of each kind: kind and seed."""
    return [(kind, first + number) for number in range(each) for kind in KINDS]
