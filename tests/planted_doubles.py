"""A net whose layers have filters that are multiples of others, or sums of a few, in all the ways that layers can."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

layers = keras.layers


def _branches() -> Any:
    """Branches from one picture."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((8, 8, 3))
    flat = layers.Flatten()(inputs)

    def batch_norm(x: Any, name: str) -> Any:
        return layers.ReLU(name=f"{name}_relu")(layers.BatchNormalization(name=f"{name}_bn")(x))

    last = layers.SeparableConv2D(8, 3, activation="relu", name="separable")(inputs)
    every = [
        layers.Conv2D(10, 3, activation="relu", name="conv")(inputs),
        batch_norm(layers.Conv2D(10, 3, use_bias=False, name="normed")(inputs), "normed"),
        layers.MaxPooling2D()(batch_norm(layers.Conv2D(6, 3, name="pooled")(inputs), "pooled")),
        layers.DepthwiseConv2D(3, depth_multiplier=2, activation="relu", name="depthwise")(inputs),
        layers.Conv2D(9, 3, groups=3, activation="relu", name="grouped")(inputs),
        layers.Conv2DTranspose(6, 3, activation="relu", name="transposed")(inputs),
        layers.Conv1D(6, 3, activation="relu", name="conv1d")(layers.Reshape((64, 3))(inputs)),
        last,
    ]
    dense = [
        layers.Dense(8, activation="tanh", name="tanh")(flat),
        layers.Dense(8, name="linear")(flat),
        layers.Dense(8, activation="gelu", name="gelu")(flat),
        layers.Dense(12, activation="relu", name="sums")(flat),
        layers.Dense(8, activation="softmax", name="softmax")(flat),
    ]
    model = keras.Model(inputs, layers.Concatenate()([layers.Flatten()(x) for x in every] + dense))
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if "bias" in {weight.name for weight in layer.weights}:
            layer.bias.assign(rng.normal(scale=0.05, size=layer.bias.shape))
    return model


def double(model: Any, name: str, of: int, filters: dict[int, float]) -> None:
    """Make filters of a layer so many times another."""
    layer = model.get_layer(name)
    kernel = np.array(layer.kernel.numpy())
    filters_last = np.swapaxes(kernel, -2, -1) if "transposed" in name else kernel      # a view
    for each, factor in filters.items():
        filters_last[..., each] = factor * filters_last[..., of]
    layer.kernel.assign(kernel)
    if layer.use_bias:
        bias = np.array(layer.bias.numpy())
        for each, factor in filters.items():
            bias[each] = factor * bias[of]
        layer.bias.assign(bias)


def double_through_norm(model: Any, name: str, of: int, filters: dict[int, float]) -> None:
    """Filters with other weights, and a normalisation that makes the same of them, so many times."""
    rng = np.random.default_rng(1)
    layer, norm = model.get_layer(name), model.get_layer(f"{name}_bn")
    variables = (norm.gamma, norm.beta, *norm.variables[2:])
    kernel, gamma, beta, mean, variance = (np.array(variable.numpy()) for variable in (layer.kernel, *variables))
    bias = np.array(layer.bias.numpy()) if layer.use_bias else None
    gamma[:], beta[:] = rng.uniform(0.5, 1.5, len(gamma)), rng.normal(scale=0.2, size=len(gamma))
    mean[:], variance[:] = rng.normal(scale=0.3, size=len(gamma)), rng.uniform(0.1, 2, len(gamma))
    for each, factor in filters.items():
        within = rng.uniform(-3, 3)         # of either sign: γ turns it back
        kernel[..., each] = within * kernel[..., of]
        inside = 0.0 if bias is None else bias[of]
        if bias is not None:
            bias[each] = within * inside + 0.1
        gamma[each] = factor * gamma[of] / within * np.sqrt((variance[each] + norm.epsilon) / (variance[of] + norm.epsilon))
        scale = gamma[each] / np.sqrt(variance[each] + norm.epsilon)
        scale_of = gamma[of] / np.sqrt(variance[of] + norm.epsilon)
        b = 0.0 if bias is None else bias[each]
        beta[each] = factor * (scale_of * (inside - mean[of]) + beta[of]) - scale * (b - mean[each])
    layer.kernel.assign(kernel)
    if bias is not None:
        layer.bias.assign(bias)
    for variable, value in zip(variables, (gamma, beta, mean, variance), strict=True):
        variable.assign(value)


def net() -> Any:
    """The branches with their doubles, sums, and dead and constant filters."""
    model = _branches()
    double(model, "conv", 0, {7: 1.0, 3: 4.0})
    double(model, "conv", 2, {5: 0.25})
    double_through_norm(model, "normed", 4, {1: 1.0, 9: 0.3})
    double_through_norm(model, "pooled", 0, {5: 2.0})
    kernel = np.array(model.get_layer("depthwise").kernel.numpy())
    kernel[:, :, 1, 1] = 3 * kernel[:, :, 1, 0]     # filters 2 and 3 look at channel 1,
    kernel[:, :, 2, 0] = kernel[:, :, 0, 0]         # and 4 looks at channel 2 as 0 does at channel 0
    model.get_layer("depthwise").kernel.assign(kernel)
    model.get_layer("depthwise").bias.assign(np.array([0, 0, 0.1, 0.3, 0, 0]))
    double(model, "grouped", 3, {4: 2.0, 6: 1.0})   # 3 to 5 look at one channel, 6 to 8 at another
    double(model, "transposed", 1, {2: 1.5})
    double(model, "conv1d", 0, {4: 0.5})
    separable = model.get_layer("separable")
    pointwise, bias = np.array(separable.pointwise_kernel.numpy()), np.array(separable.bias.numpy())
    pointwise[..., 6], bias[6] = 2 * pointwise[..., 1], 2 * bias[1]
    separable.pointwise_kernel.assign(pointwise)
    separable.bias.assign(bias)
    double(model, "tanh", 0, {1: 1.0, 2: -1.0, 3: 2.0})
    double(model, "gelu", 0, {1: 1.0, 3: 2.0})
    double(model, "linear", 0, {1: -2.0})
    linear = model.get_layer("linear")
    kernel = np.array(linear.kernel.numpy())
    kernel[:, 4] = 0.5 * kernel[:, 2] - 2 * kernel[:, 3]
    kernel[:, 6] = 0                                # constant
    linear.kernel.assign(kernel)
    summed = model.get_layer("sums")
    kernel, bias = np.array(summed.kernel.numpy()), np.array(summed.bias.numpy())
    kernel[:, :4], bias[:4] = np.abs(kernel[:, :4]), 0.1    # inputs are not negative: these four never rest
    kernel[:, 11], bias[11] = kernel[:, 0] + kernel[:, 1], 0.2
    kernel[:, 7], bias[7] = 0.5 * kernel[:, 2] + kernel[:, 3] + 2 * kernel[:, 0], 0.35
    bias[5] = -100                                  # dead
    summed.kernel.assign(kernel)
    summed.bias.assign(bias)
    double(model, "softmax", 0, {3: 1.0})
    return model
