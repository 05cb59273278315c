"""What units of functional models depend on, found without featwatch: by gradients in double precision.

The model is built once more, with everything that can block a gradient replaced by something linear that reads the same
positions, and with positive weights: a gradient is then not zero wherever something is read, and in double precision it is
not lost over a hundred layers.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

L = keras.layers
_AVERAGES = {L.MaxPooling1D: L.AveragePooling1D, L.MaxPooling2D: L.AveragePooling2D, L.MaxPooling3D: L.AveragePooling3D}


def linear(model: Any, seed: int = 0) -> Any:
    """A copy of a functional model that reads the same, with positive weights; linear but for products and normalisations."""
    copy = keras.models.clone_model(model, clone_function=_linear, recursive=True)
    rng = np.random.default_rng(seed)
    values = []
    for variable in copy.weights:
        if "variance" in variable.name:
            values.append(np.ones(variable.shape))
        elif "mean" in variable.name or variable.name == "count":
            values.append(np.zeros(variable.shape))
        elif len(variable.shape) < 2:
            values.append(np.ones(variable.shape))
        else:       # values around 1, so that products of them neither vanish nor grow
            each = int(np.prod(variable.shape[:-1])) if "depthwise" not in variable.path else int(np.prod(variable.shape[:-2]))
            values.append(0.3 * rng.uniform(0.5, 1.5, variable.shape) / each)
    copy.set_weights(values)
    return copy


def _linear(layer: Any) -> Any:
    config = layer.get_config()
    if isinstance(layer, keras.Layer):
        config["dtype"] = "float64"
    if "activation" in config and isinstance(layer, (L.Activation, L.Dense)) or hasattr(layer, "kernel_size"):
        config["activation"] = "linear"
    if isinstance(layer, (L.ReLU, L.LeakyReLU, L.ELU, L.PReLU)):
        return L.Activation("linear", name=layer.name, dtype="float64")
    for kind, average in _AVERAGES.items():
        if isinstance(layer, kind):
            return average.from_config(config)
    return type(layer).from_config(config)


def seen_by(copy: Any, layer: str, units: list[tuple[int, ...]], trials: int = 2) -> list[tuple[tuple[int, int], ...]]:
    """For each unit of a layer of `linear(model)` (lo, hi) per spatial axis of the input, whose channels come last."""
    part = keras.Model(copy.inputs, copy.get_layer(layer).output)
    rng = np.random.default_rng(1)
    found = np.zeros((len(units), *copy.input_shape[1:-1]), bool)
    for _ in range(trials):
        x = tf.constant(rng.uniform(0.1, 1, (len(units), *copy.input_shape[1:])))
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = part(x, training=False)
            of_units = [y[(row, *unit)] for row, unit in enumerate(units)]
            value = tf.add_n([tf.reduce_sum(each * rng.uniform(0.5, 1, y.shape[-1])) for each in of_units])
        found |= (tape.gradient(value, x).numpy() != 0).any(axis=-1)
    spans = []
    for mask in found:
        where = np.argwhere(mask)
        spans.append(tuple(zip(where.min(axis=0).tolist(), where.max(axis=0).tolist(), strict=True)))
    return spans
