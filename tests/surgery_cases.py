"""A net in which every axis length names its units, so that it can be made smaller by hand, with nothing of featwatch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

KEPT = {5: [0, 2, 4], 7: [1, 2, 3, 5, 6], 6: [0, 3, 4, 5]}             # length of an axis -> places that stay
REMOVED = {"first": [1, 3], "second": [0, 4], "hidden": [1, 2]}
CLASSES = 4


def net(first: int = 5, second: int = 7, hidden: int = 6, dtype: str = "float64", kind: Any = keras.Model) -> Any:
    """Convolution, batch normalisation, convolution, pooling, dense, dense; kernels of side 2 on images of 3 channels."""
    layers = keras.layers
    inputs = keras.Input((5, 5, 3), dtype=dtype.replace("mixed_float16", "float32"), name="images")
    x = layers.Conv2D(first, 2, use_bias=False, dtype=dtype, name="first")(inputs)
    x = layers.BatchNormalization(dtype=dtype, name="normalised")(x)
    x = layers.ReLU(dtype=dtype, name="relu")(x)
    x = layers.Conv2D(second, 2, activation="tanh", dtype=dtype, name="second")(x)
    x = layers.GlobalAveragePooling2D(dtype=dtype, name="pooled")(x)
    x = layers.Dense(hidden, activation="tanh", dtype=dtype, name="hidden")(x)
    return kind(inputs, layers.Dense(CLASSES, activation="softmax", dtype=dtype, name="classes")(x), name="net")


def small_net(dtype: str = "float64", kind: Any = keras.Model) -> Any:
    """The same with as many units as stay."""
    return net(3, 5, 4, dtype, kind)


def by_hand(value: np.ndarray) -> np.ndarray:
    """What stays of an array of the net, or of its optimiser."""
    value = np.asarray(value)
    for axis, length in enumerate(value.shape):
        if length in KEPT:
            value = np.take(value, KEPT[length], axis)
    return value


def samples(count: int = 24, seed: int = 0, dtype: str = "float64") -> tuple[np.ndarray, np.ndarray]:
    """Images and classes, drawn at random."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 5, 5, 3)).astype(dtype), rng.integers(0, CLASSES, count)


def carried_by_hand(model: Any, kind: Any = keras.Model, **compiling: Any) -> Any:
    """A net built small, with weights and optimiser state of `model`, sliced by the lengths of axes alone."""
    small = small_net(model.layers[1].dtype_policy.name, kind)
    small.set_weights([by_hand(value) for value in model.get_weights()])
    for layer in model.layers:
        small.get_layer(layer.name).trainable = layer.trainable
    optimizer = type(model.optimizer).from_config(model.optimizer.get_config())
    small.compile(optimizer, model.loss, **compiling)
    if model.optimizer.built:
        optimizer.build(small.trainable_variables)
        copy_state(model.optimizer, optimizer)
    return small


def copy_state(old: Any, new: Any) -> None:
    """All variables of an optimiser, in their order, sliced by hand."""
    assert len(old.variables) == len(new.variables)
    for one, other in zip(old.variables, new.variables, strict=True):
        other.assign(by_hand(one.numpy()))
    if hasattr(old, "_u_product"):                              # Nadam does not count it among its variables
        new._u_product.assign(old._u_product.numpy())


def furthest(one: Sequence[Any], other: Sequence[Any]) -> float:
    """The largest difference between two lists of arrays of the same shapes."""
    pairs = list(zip(one, other, strict=True))
    assert all(np.shape(a) == np.shape(b) for a, b in pairs), [(np.shape(a), np.shape(b)) for a, b in pairs]
    return max(float(np.max(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)), initial=0.0)) for a, b in pairs)
