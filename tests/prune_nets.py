"""Small nets for pruning, one for each kind of operation: `x` is what a convolution or dense layer of 8 units gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

layers, ops = keras.layers, keras.ops


def shuffled(model: Any, seed: int = 0) -> Any:
    """The model with random weights everywhere, biases and statistics of normalisations included."""
    rng = np.random.default_rng(seed)
    if any(isinstance(getattr(layer, "activation", None), keras.Layer) for layer in model._flatten_layers()):
        model(inputs_of(model, 2))      # builds these
    for variable in model.variables:
        if "float" not in str(variable.dtype):
            continue
        value = rng.normal(0, 0.5, tuple(variable.shape))
        if "variance" in variable.name:
            value = np.abs(value) + 0.5
        variable.assign(value + (1 if "gamma" in variable.name else 0))
    return model


def image_net(middle: Callable[[Any], Any], size: int = 8, channels_first: bool = False) -> Any:
    """Images → a convolution of 8 filters, called "before" → what is tried → a dense layer of 3."""
    order = "channels_first" if channels_first else "channels_last"
    inputs = keras.Input((2, size, size) if channels_first else (size, size, 2))
    x = layers.Conv2D(8, 3, padding="same", data_format=order, name="before")(inputs)
    x = middle(x)
    if len(x.shape) > 2:
        x = layers.Flatten()(x)
    return shuffled(keras.Model(inputs, layers.Dense(3, name="after")(x)))


def vector_net(middle: Callable[[Any], Any], units: int = 8) -> Any:
    """Vectors → a dense layer, called "before" → what is tried → a dense layer of 3."""
    inputs = keras.Input((5,))
    x = middle(layers.Dense(units, name="before")(inputs))
    if len(x.shape) > 2:
        x = layers.Flatten()(x)
    return shuffled(keras.Model(inputs, layers.Dense(3, name="after")(x)))


def series_net(middle: Callable[[Any], Any], steps: int = 5) -> Any:
    """Series → a convolution of 8 filters over time, called "before" → what is tried → a dense layer of 3."""
    inputs = keras.Input((steps, 2))
    x = middle(layers.Conv1D(8, 3, padding="same", name="before")(inputs))
    if len(x.shape) > 2:
        x = layers.Flatten()(x)
    return shuffled(keras.Model(inputs, layers.Dense(3, name="after")(x)))


def inputs_of(model: Any, samples: int = 4, seed: int = 1) -> Any:
    """Random inputs for a model, in its structure."""
    rng = np.random.default_rng(seed)

    def drawn(tensor: Any) -> np.ndarray:
        shape = (samples, *(size or 6 for size in tensor.shape[1:]))
        if "int" in str(tensor.dtype):
            return rng.integers(0, 5, shape)
        return rng.normal(size=shape).astype(np.float32)

    return keras.tree.map_structure(drawn, model._inputs_struct if hasattr(model, "_inputs_struct") else model.inputs[0])
