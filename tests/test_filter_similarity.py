"""`FilterSimilarity` on real networks with planted doubles and sums, against NumPy on the full activations."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

import featwatch as fw
from featwatch import wire
from featwatch.recorders.base import LayerSnapshot, NothingToSay
from featwatch.recorders.filter_similarity import FilterSimilarity
from featwatch.records import LayerInfo, Similarity

layers = keras.layers
X = load_digits().images[:240, :, :, None].astype(np.float32) / 16
THREE = np.concatenate([X, X[:, ::-1], X.transpose(0, 2, 1, 3)], axis=-1)      # three channels that differ


def planted() -> Any:
    """Branches from one picture, each a layer with doubles that the names of the tests tell."""
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
    kernel, gamma, beta, mean, variance = (np.array(v.numpy()) for v in (layer.kernel, norm.gamma, norm.beta, *norm.variables[2:]))
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
    for variable, value in zip((norm.gamma, norm.beta, *norm.variables[2:]), (gamma, beta, mean, variance), strict=True):
        variable.assign(value)


@pytest.fixture(scope="module")
def model() -> Any:
    model = planted()
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


@pytest.fixture(scope="module")
def run(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return fw.snapshot(model, fw.Probe(THREE), tmp_path_factory.mktemp("similar"), recorders=[FilterSimilarity()])


def activations(model: Any, name: str) -> np.ndarray:
    """(rows, filters) float64 after the activation that applies, computed by Keras alone."""
    known = {layer.name for layer in model.layers}
    layer = model.get_layer(f"{name}_relu" if f"{name}_relu" in known else name)
    values = keras.ops.convert_to_numpy(keras.Model(model.input, layer.output)(THREE))
    return values.reshape(-1, values.shape[-1]).astype(np.float64)


def groups(record: Similarity) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(record.group == group).tolist()) for group in set(record.group[record.group >= 0])}


DOUBLES = {
    "conv": [{0, 3, 7}, {2, 5}], "normed": [{1, 4, 9}], "pooled": [{0, 5}], "depthwise": [{2, 3}], "grouped": [{3, 4}],
    "transposed": [{1, 2}], "conv1d": [{0, 4}], "separable": [{1, 6}], "tanh": [{0, 1, 2}], "gelu": [{0, 1}],
    "linear": [{0, 1}], "sums": [], "softmax": [{0, 3}],
}  # fmt: skip


@pytest.mark.parametrize("name", DOUBLES)
def test_doubles_are_found_and_nothing_else(run: Any, model: Any, name: str) -> None:
    record = run.similarity(name, 0)
    assert groups(record) == {frozenset(group) for group in DOUBLES[name]}
    values = activations(model, name)
    doubles = record.keep != np.arange(len(record.keep))
    for each in np.flatnonzero(doubles):
        assert doubles[record.keep[each]] == False  # noqa: E712
        design = np.stack([values[:, record.keep[each]], np.ones(len(values))], axis=1)
        factor, offset = np.linalg.lstsq(design, values[:, each])[0]
        assert record.factor[each] == pytest.approx(factor, rel=1e-4)
        assert record.offset[each] == pytest.approx(offset, abs=1e-4 * np.abs(values[:, each]).max())
        assert record.residual[each] < 2e-3
        expected = "activations" if (name, each) == ("tanh", 2) else "weights" if name == "softmax" else "both"
        assert record.by[each] == expected or (name == "tanh" and record.by[each] in ("activations", "both"))
        assert record.removable[each] == (name != "softmax")
    alone = record.group < 0
    assert np.isnan(record.residual[alone]).all() and (record.by[alone] == "").all()
    np.testing.assert_array_equal(record.keep[alone], np.flatnonzero(alone))
    assert record.removable_count <= doubles.sum() + (name in ("linear", "sums")) * 2
