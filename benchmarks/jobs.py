"""The trainings whose watching is measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Job:
    """A compiled model, what it is trained on, and what the watch looks at."""

    model: Any
    x: np.ndarray
    y: np.ndarray
    x_probe: np.ndarray
    y_probe: np.ndarray
    epochs: int
    batch_size: int


def digits(epochs: int = 20, held_out: int = 0) -> Job:
    """The demonstration: a small convolutional network on scikit-learn's digits, 400 probe images or as many as are held out."""
    from featwatch.demo import digits as data
    from featwatch.demo import small_net

    (x, y), (x_val, y_val) = data()
    if held_out:
        x, y = np.concatenate([x_val, x]), np.concatenate([y_val, y])
        return Job(small_net(), x[held_out:], y[held_out:], x[:held_out], y[:held_out], epochs, 16)
    return Job(small_net(), x, y, x_val[:400], y_val[:400], epochs, 16)


def wbc(epochs: int = 3, images: int = 1000) -> Job:
    """Ten 3×3 convolutions and three dense layers on generated 78×78×2 cell images, 1,000 probe images (FS's shapes)."""
    import keras

    layers = keras.layers
    blocks = ((32, 32), (64, 64), (128, 128, 128), (256, 256, 256))
    stack: list[Any] = [keras.Input((78, 78, 2))]
    for block in blocks:
        stack += [layers.Conv2D(filters, 3, padding="same", activation="relu") for filters in block]
        stack += [layers.MaxPooling2D(), layers.Dropout(0.25)]
    stack += [layers.Flatten(), layers.Dense(256, activation="relu"), layers.Dense(256, activation="relu")]
    model = keras.Sequential([*stack, layers.Dense(2, activation="softmax")], name="wbc")
    model.compile(keras.optimizers.Adam(1e-4), "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = cells(images + 1000)
    return Job(model, x[:images], y[:images], x[images:], y[images:], epochs, 64)


def resnet(epochs: int = 10, images: int = 1500) -> Job:
    """ResNet-20 (He et al. 2015) with 8, 16, 32 filters on coloured, shifted, noisy digits of 32×32×3, 1,000 probe images."""
    import keras

    layers = keras.layers
    inputs = keras.Input((32, 32, 3))
    x = layers.Activation("relu")(layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same", use_bias=False)(inputs)))
    for stage, filters in enumerate((8, 16, 32)):
        for block in range(3):
            strides = 2 if stage and not block else 1
            shortcut = layers.Conv2D(filters, 1, strides=strides, use_bias=False)(x) if strides == 2 else x
            y = layers.Conv2D(filters, 3, strides=strides, padding="same", use_bias=False)(x)
            y = layers.Activation("relu")(layers.BatchNormalization()(y))
            y = layers.BatchNormalization()(layers.Conv2D(filters, 3, padding="same", use_bias=False)(y))
            x = layers.Activation("relu")(layers.Add(name=f"add_{3 * stage + block}")([y, shortcut]))
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    model = keras.Model(inputs, layers.Dense(10, activation="softmax", name="scores")(x), name="resnet")
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    pictures, classes = coloured_digits(images + 1000)
    return Job(model, pictures[:images], classes[:images], pictures[images:], classes[images:], epochs, 64)


def coloured_digits(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's digits, three times as large, somewhere on 32×32×3 in some colour and in noise; and their classes."""
    from sklearn.datasets import load_digits

    rng, data = np.random.default_rng(seed), load_digits()
    chosen = rng.integers(0, len(data.images), count)
    x = rng.normal(0.2, 0.1, (count, 32, 32, 3)).astype(np.float32)
    for index, which in enumerate(chosen):
        row, column = rng.integers(0, 9, 2)
        large = np.kron(data.images[which] / 16, np.ones((3, 3)))
        x[index, row : row + 24, column : column + 24] += large[..., None] * rng.uniform(0.3, 1, 3)
    return np.clip(x, 0, 1.5), data.target[chosen]


def cells(count: int, size: int = 78, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Generated cells: x (count, size, size, 2) float32, cytoplasm and nucleus; y: one round nucleus, or a lobed one."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size].astype(np.float32)
    y = rng.integers(0, 2, count)
    x = np.zeros((count, size, size, 2), np.float32)
    for index in range(count):
        centre = rng.uniform(0.4 * size, 0.6 * size, 2)
        radius = rng.uniform(0.28, 0.38) * size
        x[index, ..., 0] = _blob(rows, columns, centre, radius)
        lobes = 1 if y[index] == 0 else 3
        for lobe in range(lobes):
            angle = 2 * np.pi * (lobe + rng.random()) / lobes
            offset = 0.0 if lobes == 1 else 0.45 * radius
            place = centre + offset * np.array([np.sin(angle), np.cos(angle)])
            nucleus = _blob(rows, columns, place, radius * (0.55 if lobes == 1 else 0.32))
            x[index, ..., 1] = np.maximum(x[index, ..., 1], nucleus)
    x += rng.normal(0, 0.05, x.shape).astype(np.float32)
    return np.clip(x, 0, 1), y


def _blob(rows: np.ndarray, columns: np.ndarray, centre: np.ndarray, radius: float) -> np.ndarray:
    distance = np.hypot(rows - centre[0], columns - centre[1])
    return 1 / (1 + np.exp((distance - radius) / 1.5))


JOBS: dict[str, Callable[..., Job]] = {"digits": digits, "wbc": wbc, "resnet": resnet}
