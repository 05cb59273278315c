"""Keras' own nets at small inputs, with weights that make every channel matter."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from featwatch.graphs import graph_of

# The smallest inputs that these take; all others take 32 pixels.
_SIDES = {"Inception": 75, "Xception": 71, "NASNet": 64}

EVERY = tuple(
    name for name in dir(keras.applications)
    if name[0].isupper() and callable(getattr(keras.applications, name))
)  # fmt: skip


def net(name: str, classes: int = 10) -> Any:
    """A net of `keras.applications` by its name, with random weights and without a softmax."""
    side = next((side for start, side in _SIDES.items() if name.startswith(start)), 32)
    build = getattr(keras.applications, name)
    return build(weights=None, input_shape=(side, side, 3), classes=classes, classifier_activation=None)


def inputs_of(model: Any, count: int = 4, seed: int = 0) -> np.ndarray:
    """(count, side, side, 3) float32: random pictures of 0 to 255, some of which are smooth."""
    rng = np.random.default_rng(seed)
    _, side, _, channels = model.input_shape
    grain = rng.uniform(0, 255, (count, side, side, channels))
    slope = np.linspace(0, 255, side)[None, :, None, None] * rng.uniform(0, 1, (count, 1, 1, channels))
    return (0.5 * grain + 0.5 * slope).astype(np.float32)


def enliven(model: Any, seed: int = 0) -> None:
    """Set a model's weights at random so that values neither vanish nor grow over the layers, and no statistic is 0 or 1.

    Kernels as He et al. (2015), biases around 0; normalisations: those of random pictures, made uneven.
    """
    rng = np.random.default_rng(seed)
    normalising = [layer for layer in _layers(model) if isinstance(layer, keras.layers.BatchNormalization)]
    for variable in model.trainable_variables:
        shape = tuple(variable.shape)
        if variable.name in ("gamma", "scale"):
            # ConvNeXt's layer scales are of the size of what they add to.
            value = rng.uniform(0.6, 1.4, shape)
        elif len(shape) < 2:
            value = rng.normal(0, 0.1, shape)
        else:
            depthwise = "depthwise" in variable.path or "dw" in variable.path or shape[-1] == 1
            read = np.prod(shape[:-2]) if depthwise else np.prod(shape[:-1])
            value = rng.normal(0, np.sqrt(2 / read), shape)
        variable.assign(value)
    momenta = [layer.momentum for layer in normalising]
    for layer in normalising:
        layer.momentum = 0.0
    model(inputs_of(model, 24, seed + 1), training=True)
    for layer, momentum in zip(normalising, momenta, strict=True):
        layer.momentum = momentum
        variance = layer.moving_variance.numpy()
        # Channels that hardly vary over so few samples would blow up what the others' unevenness does to them.
        variance = np.maximum(variance, 0.1 * variance.mean() + 1e-6)
        uneven = rng.normal(0, 0.1, variance.shape) * np.sqrt(variance)
        layer.moving_mean.assign(layer.moving_mean.numpy() + uneven)
        layer.moving_variance.assign(variance * rng.uniform(0.7, 1.4, variance.shape))


def _layers(model: Any) -> list[Any]:
    return [layer for layer in model._flatten_layers() if graph_of(layer) is None] if graph_of(model) is not None else []
