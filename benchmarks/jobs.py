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


def digits(epochs: int = 20) -> Job:
    """The demonstration: a small convolutional network on scikit-learn's digits, 400 probe images."""
    from featwatch.demo import digits as data
    from featwatch.demo import small_net

    (x, y), (x_val, y_val) = data()
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


JOBS: dict[str, Callable[..., Job]] = {"digits": digits, "wbc": wbc}
