"""Dead units that begin anew, or whose bias is raised."""

from __future__ import annotations

import doctest
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import featwatch as fw
from featwatch.prune import reviving

layers = keras.layers
X = np.random.default_rng(0).normal(size=(48, 8, 8, 2)).astype("float32")
Y = np.arange(48) % 3
DEAD = {"conv": [1, 4], "hidden": [0, 5]}


def net(optimizer: Any = "sgd", normalised: bool = True) -> Any:
    """Some of its units are dead: whatever comes in, their biases lie far below."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(6, 3, padding="same", name="conv")(inputs)
    x = layers.BatchNormalization(name="norm")(x) if normalised else x
    x = layers.ReLU(name="relu")(x)
    x = layers.SeparableConv2D(5, 3, activation="relu", name="separable")(x)
    x = layers.Dense(8, activation="relu", name="hidden")(layers.Flatten()(x))
    model = keras.Model(inputs, layers.Dense(3, activation="softmax", name="scores")(x))
    model.compile(optimizer, "sparse_categorical_crossentropy", run_eagerly=True)
    low = model.get_layer("norm").beta if normalised else model.get_layer("conv").bias
    low.assign(_lowered(low, DEAD["conv"]))
    model.get_layer("hidden").bias.assign(_lowered(model.get_layer("hidden").bias, DEAD["hidden"]))
    return model


def _lowered(bias: Any, units: list[int]) -> np.ndarray:
    value = bias.numpy().copy()
    value[units] = -50
    return value


def given(model: Any) -> dict[str, np.ndarray]:
    """The largest value of each unit, layer by layer, over `X`."""
    inner = keras.Model(model.input, [model.get_layer(name).output for name in ("relu", "hidden")])
    conv, hidden = (np.asarray(values) for values in inner(X))
    return {"conv": conv.reshape(-1, conv.shape[-1]), "hidden": hidden}


def test_what_the_model_gives_stays_and_training_finds_a_use_for_them() -> None:
    model = net(keras.optimizers.Adam(0.01))
    model.fit(X, Y, epochs=1, verbose=0)
    before, weights = np.asarray(model(X)), model.get_weights()
    assert (given(model)["conv"][:, DEAD["conv"]] == 0).all() and (given(model)["hidden"][:, DEAD["hidden"]] == 0).all()
    moments = {each.path: each.numpy() for each in model.optimizer.variables}

    revived = fw.prune.revive(model, DEAD)

    assert np.array_equal(before, np.asarray(model(X)))                 # bit for bit
    assert revived.units == DEAD and "4 units begin anew" in str(revived)
    assert all((values[:, DEAD[name]] > 0).any(0).all() for name, values in given(model).items())
    outward = model.get_layer("scores").kernel
    assert (outward.numpy()[DEAD["hidden"]] == 0).all() and (outward.numpy()[[1, 2, 3, 4, 6, 7]] != 0).all()
    for place, (name, units) in {0: ("conv", DEAD["conv"]), -4: ("hidden", DEAD["hidden"])}.items():
        kernel, old = model.get_layer(name).kernel.numpy(), weights[place]
        others = [unit for unit in range(kernel.shape[-1]) if unit not in units]
        inner = kernel if name == "conv" else kernel.reshape(6, 6, 5, 8)
        assert (inner[..., units] != old.reshape(inner.shape)[..., units]).all()
        assert np.array_equal(inner[..., others], old.reshape(inner.shape)[..., others])
    assert _first_moment(model, "hidden/kernel")[:, DEAD["hidden"]].max() == 0
    kept = [1, 2, 3, 4, 6, 7]
    assert np.array_equal(_first_moment(model, "hidden/kernel")[:, kept], _of(moments, "hidden_kernel_momentum")[:, kept])
    assert model.optimizer.iterations == 2

    model.fit(X, Y, epochs=1, verbose=0)
    assert (np.abs(outward.numpy()[DEAD["hidden"]]).max(1) > 0).all()
    assert (np.abs(model.get_layer("separable").pointwise_kernel.numpy()[0, 0, DEAD["conv"]]).max(1) > 0).all()


def _first_moment(model: Any, path: str) -> np.ndarray:
    return _of({each.path: each.numpy() for each in model.optimizer.variables}, path.replace("/", "_") + "_momentum")


def _of(found: dict[str, np.ndarray], end: str) -> np.ndarray:
    (value,) = [value for name, value in found.items() if name.endswith(end)]
    return value


def test_a_normalisation_of_theirs_begins_anew() -> None:
    model = net()
    fw.prune.revive(model, {"conv": [1, 4]})
    gamma, beta, mean, variance = (each.numpy()[[1, 4]].tolist() for each in model.get_layer("norm").weights)
    assert (gamma, beta, mean, variance) == ([1, 1], [0, 0], [0, 0], [1, 1])


def test_the_depthwise_weights_that_read_them_stay_so_that_a_gradient_comes_through() -> None:
    model = net()
    before = model.get_layer("separable").depthwise_kernel.numpy()
    fw.prune.revive(model, {"conv": [1]})
    assert np.array_equal(before, model.get_layer("separable").depthwise_kernel.numpy())
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(X)[:, 0])
    gradient = np.asarray(tape.gradient(loss, model.get_layer("separable").pointwise_kernel.value))
    assert (gradient[0, 0, 1] != 0).any()


@pytest.mark.parametrize("normalised", [True, False])
def test_a_bias_rises_until_the_unit_is_above_0_at_a_share_of_the_probe(normalised: bool) -> None:
    model = net(normalised=normalised)
    before = model.get_weights()
    revived = fw.prune.revive(model, DEAD, way="bias", probe=X, share=0.25)
    assert "above 0 at 25% of the probe" in revived.text
    for name, values in given(model).items():
        if name == "conv":              # what comes after it has changed what enters the other
            active = (values[:, DEAD[name]] > 0).mean(0)
            assert np.allclose(active, 0.25, atol=0.05), active
    changed = [variable.path for variable, old in zip(model.weights, before, strict=True) if not np.array_equal(variable, old)]
    assert changed == ["norm/beta" if normalised else "conv/bias", "hidden/bias"]


def test_what_optimisers_remember_is_forgotten_and_averages_of_weights_follow() -> None:
    model = net(keras.optimizers.SGD(0.01, momentum=0.9, use_ema=True))
    model.fit(X, Y, epochs=1, verbose=0)
    fw.prune.revive(model, {"hidden": [1]})           # not a dead one: of those there was no gradient to remember
    kernel, place = model.get_layer("hidden").kernel, [v.path for v in model.trainable_variables].index("hidden/kernel")
    assert np.array_equal(model.optimizer._model_variables_moving_average[place].numpy()[:, 1], kernel.numpy()[:, 1])
    coming, leading = (model.optimizer.momentums[at].numpy() for at in (place, place + 2))
    assert (coming[:, 1] == 0).all() and (coming[:, 2] != 0).any() and (leading[1] == 0).all() and (leading[2] != 0).any()


def test_no_global_random_number_is_drawn_and_the_seed_tells_which() -> None:
    found = []
    for seed in (0, 0, 1):
        model = net()
        keras.utils.set_random_seed(5)
        fw.prune.revive(model, {"hidden": [0]}, seed=seed)
        found.append(model.get_layer("hidden").kernel.numpy()[:, 0])
        after = np.random.rand(), float(keras.random.uniform(()))
        keras.utils.set_random_seed(5)
        assert after == (np.random.rand(), float(keras.random.uniform(())))
    assert np.array_equal(found[0], found[1]) and not np.array_equal(found[0], found[2])


def test_what_cannot_be_revived_is_refused_and_the_model_stays() -> None:
    inputs = keras.Input((4,))
    first = layers.Dense(4, activation="relu", name="first")(inputs)
    added = layers.Add()([first, layers.Dense(4, activation="relu", name="second")(first)])
    steps = layers.LSTM(3, name="steps")(layers.Reshape((2, 2))(added))
    fixed = layers.Dense(3, activation="relu", name="fixed", trainable=False)(steps)
    model = keras.Model(inputs, layers.Dense(2, activation="relu", use_bias=False, name="last")(fixed))
    model.compile(keras.optimizers.Ftrl(), "mse")
    model.optimizer.build(model.trainable_variables)
    before = model.get_weights()
    revive = fw.prune.revive
    for units, more, message in (
        ({"first": [4]}, {}, "there is no unit 4; the layer has 4"),
        ({"frist": [0]}, {}, "no layer with units called 'frist'"),
        ({"first": [0]}, {"way": "bais"}, "way='bais'"),
        ({"first": [0]}, {"way": "bias"}, "way='bias' needs a probe"),
        ({"first": [0]}, {"way": "bias", "probe": X, "share": 0}, "share=0"),
        ({"first": [0]}, {}, "added to those of 'second'|not all that reads them"),
        ({"steps": [0]}, {}, "units of a LSTM cannot be revived"),
        ({"fixed": [0]}, {}, "the layer is not trained"),
        ({"last": [0]}, {}, "an output of the model"),
        ({"last": [0]}, {"way": "bias", "probe": np.ones((8, 4), "float32")}, "has no bias"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            revive(model, units, **more)
    with pytest.raises(fw.prune.Unsupported, match="Ftrl computes weights from what it remembers"):
        revive(model, {"first": [0]}, way="bias", probe=np.ones((8, 4), "float32"))
    assert all(map(np.array_equal, before, model.get_weights()))


def test_a_layer_may_begin_anew_as_a_whole_and_examples_run() -> None:
    model = net()
    fw.prune.revive(model, {"hidden": range(8)})
    assert (model.get_layer("scores").kernel.numpy() == 0).all()
    fw.prune.revive(model, {"separable": [2], "hidden": [0]})           # one reads the other: from 0
    kernel = model.get_layer("hidden").kernel.numpy().reshape(6, 6, 5, 8)
    assert (kernel[:, :, 2, 0] == 0).all() and (kernel[:, :, 1, 0] != 0).all()
    assert doctest.testmod(reviving, extraglobs={"net": net()}).failed == 0
