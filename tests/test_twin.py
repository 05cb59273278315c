"""The random twin: another draw of the same initializers, run in place of the model's weights and never assigned."""

from __future__ import annotations

import random
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import featwatch as fw
from featwatch.explain.attribution.twin import Twin
from tests.nets import functional, images, sequential

layers = keras.layers


def rebuilt(model: Any, twin: Twin) -> Any:
    """A real model with the twin's weights."""
    clone = keras.models.clone_model(model)
    clone.set_weights([value.numpy() for value in twin.values(model.weights)])
    return clone


@pytest.mark.parametrize("build", [sequential, functional])
def test_it_is_what_a_model_with_these_weights_gives(build: Any) -> None:
    model = build()
    x, y = images(60)
    model.fit(x, y, verbose=0)
    twin = fw.explain.random_twin(model, seed=3)
    other = rebuilt(model, twin)
    x = x[:3]
    layer = "conv" if build is sequential else "last"
    for found, expected in (
        (fw.explain.saliency(model, layer, None, x, twin=twin), fw.explain.saliency(other, layer, None, x)),
        (fw.explain.saliency(model, layer, None, x, "sum", twin=twin), fw.explain.saliency(other, layer, None, x, "sum")),
        (fw.explain.deconvolution(model, layer, None, x, twin=twin), fw.explain.deconvolution(other, layer, None, x)),
        (fw.explain.occlusion(model, layer, None, x, 3, twin=twin), fw.explain.occlusion(other, layer, None, x, 3)),
    ):
        np.testing.assert_allclose(found.maps, expected.maps, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found.activation, expected.activation, rtol=1e-4, atol=1e-6)
    assert not np.allclose(fw.explain.saliency(model, layer, None, x).maps, fw.explain.saliency(other, layer, None, x).maps)


def test_values_come_from_the_layers_own_initializers() -> None:
    inputs = keras.Input((16, 16, 8))
    z = layers.Conv2D(64, 3, kernel_initializer=keras.initializers.HeNormal(seed=5), bias_initializer="ones", name="he")(inputs)
    z = layers.BatchNormalization(gamma_initializer=keras.initializers.Constant(0.5), name="norm")(z)
    z = layers.DepthwiseConv2D(3, depthwise_initializer=keras.initializers.RandomUniform(2, 3), name="depthwise")(z)
    z = layers.SeparableConv2D(8, 3, pointwise_initializer="orthogonal", name="separable")(z)
    model = keras.Model(inputs, layers.Dense(3, name="dense")(layers.Flatten()(z)))
    rng = np.random.default_rng(0)
    for variable in model.variables:
        variable.assign(rng.normal(7, 1, variable.shape))
    twin = Twin(model)
    drawn = dict(zip([v.path for v in model.variables], [v.numpy() for v in twin.values(model.variables)], strict=True))
    kernel = drawn["he/kernel"]
    assert np.std(kernel) == pytest.approx(np.sqrt(2 / (9 * 8)), rel=0.05) and abs(kernel.mean()) < 0.01
    assert not np.array_equal(kernel, keras.initializers.HeNormal(seed=5)(kernel.shape))     # another seed
    assert (drawn["he/bias"] == 1).all() and (drawn["norm/gamma"] == 0.5).all()
    assert (drawn["norm/moving_mean"] == 0).all() and (drawn["norm/moving_variance"] == 1).all()
    assert drawn["depthwise/kernel"].min() >= 2 and drawn["depthwise/kernel"].max() <= 3 and drawn["depthwise/kernel"].std() > 0.2
    pointwise = drawn["separable/pointwise_kernel"].reshape(-1, 8)
    np.testing.assert_allclose(pointwise.T @ pointwise, np.eye(8), atol=1e-5)
    assert np.abs(drawn["dense/kernel"]).max() <= np.sqrt(6 / (drawn["dense/kernel"].shape[0] + 3)) and not twin.permuted


def test_seeds() -> None:
    model = sequential()
    first, second, other = Twin(model), Twin(model), Twin(model, 1)
    variables = model.weights
    for a, b, c in zip(first.values(variables), second.values(reversed(variables))[::-1], other.values(variables), strict=True):
        assert np.array_equal(a, b)
        assert np.array_equal(a, c) == (not a.numpy().any())        # biases are zero in both
    kernels = [value.numpy().ravel()[:24] for value in first.values(variables) if value.shape.rank > 1]
    assert abs(np.corrcoef(kernels[1], kernels[2])[0, 1]) < 0.9     # each variable has a seed of its own
    for seed in (-1, 1.5, True):
        with pytest.raises(ValueError, match="seed="):
            Twin(model, seed)


class Scales(layers.Layer):
    """Weights whose initializer nobody keeps."""

    def build(self, shape: Any) -> None:
        self.scale = self.add_weight(shape=(shape[-1],), initializer="random_normal", name="scale")

    def call(self, x: Any) -> Any:
        return x * self.scale


def test_what_cannot_be_drawn_is_permuted_and_that_is_said() -> None:
    inputs = keras.Input((8, 8, 6))
    model = keras.Model(inputs, layers.Conv2D(2, 3, name="conv")(Scales(name="scales")(inputs)))
    twin = fw.explain.random_twin(model)
    found = fw.explain.saliency(model, "conv", None, np.ones((1, 8, 8, 6), np.float32), "sum", twin=twin)
    assert found.note == "in the random twin the weights scales/scale are the model's, permuted"
    own, drawn = model.get_layer("scales").scale, twin.values([model.get_layer("scales").scale])[0]
    assert not np.array_equal(own, drawn) and np.array_equal(np.sort(own), np.sort(drawn))


def test_an_initializer_that_cannot_be_seeded_is_not_called() -> None:
    calls = []

    def initializer(shape: Any, dtype: Any = None) -> Any:
        calls.append(1)
        return keras.random.normal(shape)

    inputs = keras.Input((8, 8, 1))
    model = keras.Model(inputs, layers.Conv2D(2, 3, kernel_initializer=initializer, name="conv")(inputs))
    called = len(calls)
    twin = Twin(model)
    twin.values(model.variables)
    assert len(calls) == called and twin.permuted == ["conv/kernel"]


def test_statistics_of_the_data_stay() -> None:
    normalise = layers.Normalization()
    normalise.adapt(np.random.default_rng(0).normal(3, 2, (50, 8, 8, 3)) * [1, 2, 3])
    model = keras.Sequential([keras.Input((8, 8, 3)), normalise, layers.Conv2D(2, 3, name="conv")])
    twin = Twin(model)
    for variable, value in zip(model.variables, twin.values(model.variables), strict=True):
        kept = variable.path.startswith(normalise.name) or "bias" in variable.path
        assert np.array_equal(variable, value) == kept
    assert not twin.permuted


def test_nothing_is_assigned_and_no_random_state_moves() -> None:
    model = functional()
    x = images(3)[0]
    keras.utils.set_random_seed(3)
    before = [[v.numpy().tobytes() for v in model.variables], random.getstate(), np.random.get_state()[1].tolist()]
    fw.explain.saliency(model, "last", None, x, twin=True)
    fw.explain.occlusion(model, "last", [0], x, 3, twin=fw.explain.random_twin(model, 5))
    assert [[v.numpy().tobytes() for v in model.variables], random.getstate(), np.random.get_state()[1].tolist()] == before
    after = tf.random.uniform(()).numpy(), layers.Dropout(0.1).seed_generator.state.numpy().tolist()
    keras.utils.set_random_seed(3)
    assert (tf.random.uniform(()).numpy(), layers.Dropout(0.1).seed_generator.state.numpy().tolist()) == after


def test_it_does_not_follow_the_weights() -> None:
    model = sequential()
    x, y = images(60)
    before = fw.explain.saliency(model, "conv", None, x[:3], twin=True)
    model.fit(x, y, epochs=2, verbose=0)
    after = fw.explain.saliency(model, "conv", None, x[:3], twin=True)
    assert np.array_equal(before.maps, after.maps) and np.array_equal(before.activation, after.activation)


def test_only_what_the_layer_depends_on_is_drawn() -> None:
    model = sequential()
    twin = Twin(model)
    fw.explain.saliency(model, "conv", None, images(2)[0], twin=twin)
    assert len(twin._values) == 2                   # kernel and bias


def test_another_models_twin_is_refused() -> None:
    with pytest.raises(ValueError, match="it is another model's"):
        fw.explain.saliency(sequential(), "conv", None, images(2)[0], twin=Twin(functional()))
