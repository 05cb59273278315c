"""Small networks and data that several tests share."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np

layers = keras.layers
INPUTS = ("input_channel_minimum", "input_channel_maximum", "input_channel_mean")
EVERYTHING = ("features", "maximum", "minimum", "mean", "active", *INPUTS)


def images(
    count: int = 150, shape: tuple[int, ...] = (8, 8, 1), classes: int = 3, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Noise around one random picture per class: (x float32 in 0..1, y int64)."""
    rng = np.random.default_rng(seed)
    y = np.arange(count) % classes
    x = 0.7 * rng.random((classes, *shape))[y] + 0.3 * rng.random((count, *shape))
    return x.astype(np.float32), y


def compiled(model: Any) -> Any:
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def sequential(shape: tuple[int, ...] = (8, 8, 1), classes: int = 3) -> Any:
    return compiled(
        keras.Sequential(
            [
                keras.Input(shape),
                layers.Conv2D(4, 3, activation="relu", name="conv"),
                layers.Dropout(0.2, name="dropout"),
                layers.Flatten(name="flatten"),
                layers.Dense(8, activation="relu", name="dense"),
                layers.Dense(classes, activation="softmax", name="scores"),
            ],
            name="small",
        )
    )


def afresh(build: Any) -> Any:
    """What `build` makes, as it was made: the same model each time, so that what Keras traces to train it is traced once.

    For tests that do not mind what else was done with the model; its weights and the optimiser's state are as at first.
    """
    model, weights, steps = _kept(build)
    for variable, value in zip((*model.weights, *model.optimizer.variables), (*weights, *steps), strict=True):
        variable.assign(value)
    model.stop_training = False
    return model


@functools.cache
def _kept(build: Any) -> tuple[Any, list[np.ndarray], list[np.ndarray]]:
    model = build()
    model.optimizer.build(model.trainable_variables)
    return model, [variable.numpy() for variable in model.weights], [variable.numpy() for variable in model.optimizer.variables]


def functional(shape: tuple[int, ...] = (8, 8, 1), classes: int = 3) -> Any:
    """A residual network with batch-norm, an activation as a layer, one as an operation, and a nested block."""
    block = keras.Sequential(
        [keras.Input((6, 6, 4)), layers.Conv2D(4, 3, padding="same", name="inner"), layers.Activation("gelu", name="gelu")],
        name="block",
    )
    inputs = keras.Input(shape, name="pictures")
    x = layers.Conv2D(4, 3, use_bias=False, name="stem")(inputs)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.ReLU(name="stem_relu")(x)
    x = layers.Add(name="sum")([x, block(x)])
    x = keras.ops.relu(layers.Conv2D(6, 3, name="last")(x))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return compiled(keras.Model(inputs, layers.Dense(classes, activation="softmax", name="scores")(x), name="residual"))


def keras_layout(features: np.ndarray, *, start: np.ndarray | None, seed: int) -> np.ndarray:
    """A user's layout in a module that imports Keras, which the analysis worker does not have."""
    return features[:, :2]
