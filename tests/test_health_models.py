"""The health of filters of real models, against NumPy on the whole activations that a plain Keras model gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import featwatch as fw
from featwatch.activations import SELU_FLOOR
from tests.fits import fit, quick
from tests.health_nets import ACTIVATED, FILTERS, KINDS, Checkup, activated, bias_of, kernel_of, kinds, of_filter, set_filter
from tests.nets import sequential

layers = keras.layers
# Where a gradient passes, written down a second time.
PASSES = {
    "relu": lambda a: a > 0, "relu6": lambda a: (a > 0) & (a < 6), "ceiling": lambda a: (a > 0) & (a < 0.5),
    "sigmoid": lambda a: (a > 0.01) & (a < 0.99), "tanh": lambda a: abs(a) < 0.99,
    "elu": lambda a: a > -0.99, "half_elu": lambda a: a > -0.49, "selu": lambda a: a > 0.01 - SELU_FLOOR,
    "gelu": lambda a: (a < -0.01) | (a > 0), "silu": lambda a: (a < -0.01) | (a > 0),
}  # fmt: skip
SATURATES = {"sigmoid", "tanh", "elu", "half_elu", "selu"}         # "saturated" at their lower end
CEILINGS = {"relu6", "ceiling", "sigmoid", "tanh"}


def pictures(count: int = 40, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, 8, 8, channels)).astype(np.float32)


def expected_of(values: np.ndarray, function: str) -> dict[str, np.ndarray]:
    """What is to be recorded, from all activations, (samples, …, filters)."""
    rows = values.reshape(-1, values.shape[-1]).astype(np.float64)
    passes = PASSES.get(function, np.isfinite)(rows)
    return {
        "max_activation": rows.max(axis=0), "min_activation": rows.min(axis=0), "mean_activation": rows.mean(axis=0),
        "active_fraction": (rows > 0).mean(axis=0), "responsive_fraction": passes.mean(axis=0),
        "dead": ~passes.any(axis=0) | (np.ptp(rows, axis=0) == 0),
    }  # fmt: skip


def assert_healthy_as(record: Any, values: np.ndarray, function: str) -> None:
    for name, array in expected_of(values, function).items():
        if name == "dead":
            np.testing.assert_array_equal(record.dead, array, err_msg=record.layer)
        else:       # values next to a threshold may be on either side of it by rounding
            share = 3 / values[..., 0].size if name.endswith("fraction") else 0
            where = f"{record.layer}: {name}"
            np.testing.assert_allclose(getattr(record, name), array, rtol=1e-4, atol=1e-5 + share, err_msg=where)


# Every activation


@pytest.fixture(scope="module")
def activation_net():
    keras.utils.set_random_seed(0)
    model, tensors = activated()
    return model, tensors, Checkup(model, pictures())


def planted(model: Any) -> None:
    """Filter 0 far down, 1 far up, 2 without weights, 3 nearly dead; the others as they are."""
    for name in (*ACTIVATED, "added"):
        layer = model.get_layer(name)
        set_filter(layer, 2, lambda own: own.fill(0))
        layer.bias.assign([-60.0, 60.0, 0.25, -1.0, 0.0, 0.0])


def test_health_through_every_activation_is_that_of_the_whole_activations(activation_net):
    model, tensors, checkup = activation_net
    planted(model)
    found, whole = checkup(), checkup.activations(tensors)
    assert set(tensors) <= set(found)
    for name, (function, _) in ACTIVATED.items():
        record = found[name]
        assert_healthy_as(record, whole[name], function)
        np.testing.assert_array_equal(record.cause != "", record.dead)
        low = "saturated" if function in SATURATES else "negative bias" if function in PASSES else ""
        high = "saturated" if function in CEILINGS else ""
        # A softmax's first filter gives exactly 0 and its second exactly 1; the third varies as the others do.
        expected = ["unexplained", "unexplained", ""] if name == "by_softmax" else [low, high, "no energy"]
        assert record.cause[:3].tolist() == expected, name
        assert record.proven[:3].tolist() == [why in ("no energy", "negative bias") for why in expected], name
    assert_healthy_as(found["added"], whole["added"], "linear")
    assert (found["added"].activation, found["added"].dead.tolist()) == ("linear", [False, False, True, False, False, False])


def test_words_tell_which_test_was_used(activation_net):
    model, _, checkup = activation_net
    planted(model)
    found = checkup()
    assert "same value at every position" in found["so_called"].test and found["so_called"].activation == "relu"
    assert "never below 0.5 " in found["ceiling"].test and "never above −0.49 " in found["half_elu"].test
    assert "above 0 " in found["operation"].test and "outside −0.01 to 0" in found["dropped"].test


@pytest.mark.parametrize("seed", range(20))
def test_no_living_filter_of_a_healthy_net_is_called_dead(activation_net, seed):
    """Weights drawn anew after He et al. 2015, small biases, and normalisations as some training may leave them."""
    model, tensors, checkup = activation_net
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D):
            layer.kernel.assign(rng.normal(0, np.sqrt(2 / 27), layer.kernel.shape))
            layer.bias.assign(rng.normal(0, 0.1, FILTERS))
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([rng.normal(1, 0.2, FILTERS), *rng.normal(0, 0.2, (2, FILTERS)), rng.uniform(0.3, 2, FILTERS)])
    found, whole = checkup(), checkup.activations(tensors)
    for name, (function, _) in ACTIVATED.items():
        np.testing.assert_array_equal(found[name].dead, expected_of(whole[name], function)["dead"], err_msg=name)
    assert sum(record.dead.sum() for record in found.values()) <= 0.05 * FILTERS * len(found)


# Every kind of layer


@pytest.fixture(scope="module")
def kinds_net():
    """Inputs of 0 to 1, channel 0 silent."""
    keras.utils.set_random_seed(1)
    model, tensors = kinds()
    x = pictures(channels=4, seed=1)
    x[..., 0] = 0
    return model, tensors, Checkup(model, x)


def test_health_of_every_kind_of_layer_is_that_of_the_whole_activations(kinds_net):
    model, tensors, checkup = kinds_net
    found, whole = checkup(), checkup.activations(tensors)
    for name in KINDS:
        layer, record = model.get_layer(name), found[name]
        assert_healthy_as(record, np.moveaxis(whole[name], 1, -1) if name == "first" else whole[name], "relu")
        assert record.activation == "relu"
        kernel = keras.ops.convert_to_numpy(kernel_of(layer)).astype(np.float64)
        own = [of_filter(layer, kernel, index) for index in range(len(record.dead))]
        np.testing.assert_allclose(record.energy, [np.square(each).sum() for each in own], rtol=1e-5)
        np.testing.assert_allclose(record.negative_fraction, [(each < 0).mean() for each in own], rtol=1e-6)
        np.testing.assert_array_equal(record.bias, keras.ops.convert_to_numpy(bias_of(layer)))
        no_space = name in ("dense", "by_position", "separable", "first")
        assert np.isnan(record.roughness).all() if no_space else np.isfinite(record.roughness).all(), name


# Which filter is given which fault: of the first group, or the first channel, are the filters that can see nothing else.
FAULTS = {"no energy": 0, "negative weights": 1, "negative bias": 2, "dead inputs": 3, "": 4}
OF_GROUPS = {"dead inputs": 0, "": 1, "no energy": 3, "negative weights": 4, "negative bias": 5}
OF_CHANNELS = {"dead inputs": 0, "no energy": 2, "negative weights": 3, "negative bias": 4, "": 5}


def test_every_cause_is_named_in_every_kind_of_layer(kinds_net):
    model, _, checkup = kinds_net
    faults = {"grouped": OF_GROUPS, "depthwise": OF_CHANNELS, "depthwise1d": OF_CHANNELS}
    for name in KINDS:
        layer, mine = model.get_layer(name), faults.get(name, FAULTS)

        def only_silent(own: np.ndarray) -> None:
            if "depthwise" not in layer.name:                       # noqa: B023
                own[..., np.arange(own.shape[-1]) % 4 != 0] = 0

        set_filter(layer, mine["no energy"], lambda own: own.fill(0), -0.1)
        set_filter(layer, mine["negative weights"], lambda own: np.copyto(own, -np.abs(own) - 0.01), 0.0)
        set_filter(layer, mine["negative bias"], lambda own: np.copyto(own, np.abs(own)), -1e4)
        set_filter(layer, mine["dead inputs"], only_silent, -0.1)
        set_filter(layer, mine[""], lambda own: np.copyto(own, np.abs(own) + 0.01), 0.1)
    for name, record in checkup().items():
        mine = faults.get(name, FAULTS)
        if name == "separable":         # its rows see what the depthwise kernels made of the input
            assert (record.cause[0], record.proven[0], record.cause[2], record.cause[4]) == ("no energy", True, "unexplained", "")
        elif name in KINDS:
            assert {record.cause[index]: index for index in mine.values()} == mine, name
            assert record.proven[list(mine.values())].tolist() == [why not in ("dead inputs", "") for why in mine], name


# Through batch normalisation, pooling and layers


@pytest.fixture(scope="module")
def deep_net():
    """Three convolutions, each behind the one before; the second normalised, the third normalised and pooled; a dense layer."""
    keras.utils.set_random_seed(2)
    inputs = x = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, activation="relu", name="one")(x)
    x = layers.BatchNormalization(name="two_norm")(layers.Conv2D(8, 3, use_bias=False, name="two")(x))
    x = layers.ReLU()(x)
    x = layers.BatchNormalization(name="three_norm")(layers.Conv2D(8, 3, name="three")(x))
    x = layers.ReLU()(layers.Dropout(0.5)(layers.MaxPooling2D()(x)))
    x = layers.Dense(4, activation="relu", name="dense")(layers.Flatten()(x))
    model = keras.Model(inputs, layers.Dense(2, name="scores")(x))
    for name in ("one", "two", "three"):            # all alive: positive weights on positive inputs
        kernel = model.get_layer(name).kernel
        kernel.assign(np.abs(keras.ops.convert_to_numpy(kernel)) + 0.01)
    kernel = model.get_layer("dense").kernel
    kernel.assign(np.abs(keras.ops.convert_to_numpy(kernel)) + 0.01)
    return model, Checkup(model, pictures(seed=2))


def only(channels: list[int]) -> Any:
    def change(own: np.ndarray) -> None:
        own[..., np.setdiff1d(np.arange(own.shape[-1]), channels)] = 0
    return change


def test_causes_are_named_through_normalisation_and_pooling_and_what_is_inherited_is_told_apart(deep_net):
    model, checkup = deep_net
    assert not any(record.dead.any() for name, record in checkup().items() if name != "scores")
    one, two, three = (model.get_layer(name) for name in ("one", "two", "three"))
    for index in (0, 1):
        set_filter(one, index, lambda own: None, -100.0)        # nothing lifts them
    set_filter(two, 0, only([0, 1]))                            # sees those two alone
    set_filter(two, 1, only([1, 2]))                            # sees one that lives
    scale, shift, mean, variance = np.ones(8), np.zeros(8), np.zeros(8), np.ones(8)
    shift[0] = -0.1
    scale[2], shift[2] = 0.0, -0.1
    scale[3], shift[3] = 0.005, -5.0                            # 0.5 % of the others'
    scale[4] = -1.0                                             # turns positive weights around
    shift[5] = -100.0
    mean[6] = 100.0                                             # as a running mean that has lost touch
    set_filter(two, 7, lambda own: own.fill(0))
    shift[7] = -0.1
    model.get_layer("two_norm").set_weights([scale, shift, mean, variance])
    set_filter(three, 0, only([0, 2]), 0.0)                     # two layers deep: both are dead in "two"
    set_filter(three, 1, lambda own: None, -1000.0)
    set_filter(three, 2, lambda own: np.copyto(own, -own), 0.0)
    shift = np.zeros(8)
    shift[0] = -0.1
    model.get_layer("three_norm").set_weights([np.ones(8), shift, np.zeros(8), np.ones(8)])

    found = checkup()
    nothing = [""] * 8
    assert found["one"].cause.tolist() == ["negative bias", "negative bias", *nothing[2:]]
    assert found["two"].cause.tolist() == [
        "dead inputs", "", "zero scale", "zero scale", "negative weights", "negative bias", "negative bias", "no energy",
    ]  # fmt: skip
    assert found["two"].proven.tolist() == [False, False, True, False, True, True, True, True]
    np.testing.assert_allclose(found["two"].scale, scale)
    assert found["three"].cause.tolist() == ["dead inputs", "negative bias", "negative weights", *nothing[3:]]
    assert found["three"].proven.tolist() == [False, True, True, *[False] * 5]
    assert found["one"].scale.size == 0 and not found["dense"].dead.any()

    set_filter(model.get_layer("dense"), 0, lambda own: np.copyto(own, np.where(np.arange(len(own)) % 8 < 3, own, 0)), -0.1)
    assert checkup()["dense"].cause.tolist() == ["dead inputs", "", "", ""]     # three layers deep, through pooling


def test_where_bounds_prove_nothing_the_mean_input_tells_what_holds_a_filter_down(deep_net):
    model, checkup = deep_net
    layer = model.get_layer("one")
    # Of inputs of about 0.5: a bias that a sum of 27 · 0.5 · 0.1 does not outweigh, though one of 27 · 1 · 0.1 would.
    set_filter(layer, 0, lambda own: own.fill(0.1), -2.5)
    set_filter(layer, 1, lambda own: np.copyto(own, np.where(np.arange(3) == 0, 0.1, -0.3)), 0.1)
    record = checkup()["one"]
    assert record.cause[:2].tolist() == ["negative bias", "negative weights"]
    assert record.proven[:2].tolist() == [False, False]


# Over a training


class Meddling(keras.callbacks.Callback):
    """Sets the biases of "conv" before each epoch."""

    def __init__(self, biases: list[list[float]]) -> None:
        super().__init__()
        self._biases = biases

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.model.get_layer("conv").bias.assign(self._biases[epoch])


def test_filters_that_die_come_back_and_awake_are_recorded_with_the_record_before(tmp_path: Path):
    """Filter 0 dies and comes back, 1 is dead from the start and awakes, 2 dies, 3 lives."""
    model, far = sequential(), -1e3
    model.get_layer("conv").bias.assign([1, far, 1, 1])
    story = [[1, far, 1, 1], [far, far, 1, 1], [1, far, far, 1], [1, 1, far, 1]]
    fit(model, Meddling(story), quick(tmp_path, recorders=[fw.FilterHealth()]), epochs=4)
    run = fw.load(tmp_path)
    told = [run.health("conv", epoch) for epoch in range(5)]
    assert [record.died.tolist() for record in told] == [[], [], [0], [2], []]
    assert [record.revived.tolist() for record in told] == [[], [], [], [0], []]
    assert [record.awoke.tolist() for record in told] == [[], [], [], [], [1]]
    assert [record.since for record in told] == [-1, 0, 1, 2, 3]
    assert [record.ever_alive.tolist()[1] for record in told] == [False] * 4 + [True]
    fit(model, Meddling([[]] * 4 + [[far, 1, far, 1]]), quick(tmp_path, recorders=[fw.FilterHealth()]), initial_epoch=4, epochs=5)
    again = fw.load(tmp_path).health("conv", 4)             # recorded again before the first step, and compared with the log's
    assert (again.died.tolist(), again.awoke.tolist(), again.since) == ([0], [1], 3)
