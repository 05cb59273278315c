"""The health of filters, against NumPy and by cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featwatch.analysis.filters import (
    causes,
    dead,
    energy,
    finite_mean,
    negative_fraction,
    not_finite_activations,
    not_finite_weights,
)
from featwatch.records import CAUSES


def relu(values):
    return np.maximum(values, 0)


def test_energy_and_negative_fraction():
    weights = np.array([[3, -4, 0, 0], [-1, -1, -1, -1], [0, 0, 0, 0]], np.float32)
    np.testing.assert_array_equal(energy(weights), [25, 4, 0])
    np.testing.assert_array_equal(negative_fraction(weights), [0.25, 1, 0])
    assert np.isnan(negative_fraction(np.empty((2, 0)))).all()


def test_energy_adds_in_double_precision():
    assert energy(np.full((1, 10_000), 1e-4, np.float32))[0] == pytest.approx(1e-4, rel=1e-6)
    assert energy(np.full((1, 4), 1e30, np.float32))[0] == pytest.approx(4e60, rel=1e-6)


@pytest.mark.parametrize("activation", ["relu", "relu6"])
def test_a_rectifier_that_never_fires_is_dead(activation):
    is_dead, test = dead(np.array([0.0, 1e-9, 6.0]), np.array([0.0, 0.0, 6.0]), activation)
    assert is_dead.tolist() == [True, False, False]
    assert test == "dead: never above 0 for any probe sample"


def test_a_leaky_rectifier_that_calls_itself_relu_lives_below_zero():
    assert dead(np.array([-0.1]), np.array([-0.4]), "relu")[0].tolist() == [False]


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "gelu", "leaky_relu", "linear", "softmax", "my_own"])
def test_any_other_activation_is_dead_when_it_never_varies(activation):
    is_dead, test = dead(np.array([1.0, -0.2, -0.1, 0.0]), np.array([1.0, -0.2, -0.3, -0.1]), activation)
    assert is_dead.tolist() == [True, True, False, False]
    assert test == "dead: the same value at every position of every probe sample"


def test_what_is_not_a_number_is_not_called_dead():
    for activation in ("relu", "tanh"):
        assert dead(np.array([math.nan]), np.array([math.nan]), activation)[0].tolist() == [False]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_which_filters_are_not_finite(value):
    sound, bad = np.zeros((3, 4), np.float32), np.zeros((3, 4), np.float32)
    bad[1, 2] = value
    assert not_finite_activations(sound, sound, sound).tolist() == [False] * 4
    assert not_finite_activations(bad, sound, sound).tolist() == [False, False, True, False]
    assert not_finite_activations(sound, bad, sound).tolist() == [False, False, True, False]
    # Of finite values the sum may be infinite, but it is NaN only where a value was not finite.
    assert not_finite_activations(sound, sound, bad).tolist() == [False, False, math.isnan(value), False]
    assert not_finite_weights(bad.T, None, 4).tolist() == [False, False, True, False]
    assert not_finite_weights(None, bad[1], 4).tolist() == [False, False, True, False]
    assert not_finite_weights(None, None, 4).tolist() == [False] * 4
    np.testing.assert_array_equal(finite_mean(bad), [0, 0, math.nan, 0])


def test_the_mean_adds_in_double_precision():
    means = np.array([[3e38], [3e38], [1e38]], np.float32)
    assert finite_mean(means)[0] == pytest.approx(7e38 / 3, rel=1e-6)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_and_bounds_that_are_not_finite_prove_nothing(value):
    weights = np.array([[value, -1.0], [-1.0, -1.0]])
    found = causes(np.array([True, True]), weights, None, "relu", direct=True, lowest=0.0, highest=1.0)
    assert found.tolist() == ["unexplained", "negative weights"]
    bias, bounds = np.array([0.0, -9.0]), {"lowest": math.nan, "highest": math.nan}
    assert causes(np.array([True, True]), weights, bias, "relu", direct=True, **bounds).tolist() == ["unexplained"] * 2


WEIGHTS = np.array([[0, 0], [-1, -2], [-1, -2], [1, 1], [1, 1], [1, -1]], np.float32)
BIAS = np.array([-1, -0.5, 0.5, -3, -1, -9], np.float32)
ALL_DEAD = np.ones(6, bool)


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        # Inputs not known: a negative weight may meet a negative input.
        ({}, ["no energy", *["unexplained"] * 5]),
        # Inputs of 0 or more: negative weights alone explain the second, the third's bias would lift it.
        ({"lowest": 0.0}, ["no energy", "negative weights", *["unexplained"] * 4]),
        # Inputs from 0 to 1 reach 2 at most: −3 holds that down, −1 does not; 1 is held down by −9.
        ({"lowest": 0.0, "highest": 1.0},
         ["no energy", "negative weights", "unexplained", "negative bias", "unexplained", "negative bias"]),
        # Inputs from −1 to 1: the second reaches 3, more than its bias of −0.5 takes away.
        ({"lowest": -1.0, "highest": 1.0}, ["no energy", *["unexplained"] * 2, "negative bias", "unexplained", "negative bias"]),
        # Inputs from 1 to 2: padding still adds zeros.
        ({"lowest": 1.0, "highest": 2.0}, ["no energy", "negative weights", *["unexplained"] * 3, "negative bias"]),
    ],
)  # fmt: skip
def test_only_proven_causes_are_claimed(bounds, expected):
    assert causes(ALL_DEAD, WEIGHTS, BIAS, "relu", direct=True, **bounds).tolist() == expected


@pytest.mark.parametrize(("lowest", "highest"), [(1.0, 2.0), (-2.0, -1.0)])
def test_padding_adds_zeros_to_the_inputs(lowest, highest):
    """x₁ − x₂ within 1 to 2 is 1 at most, but 2 where x₂ is a padded zero: −1.5 does not hold that down."""
    weights, bias = np.array([[1.0, -1.0]]), np.array([-1.5])
    found = causes(np.array([True]), weights, bias, "relu", direct=True, lowest=lowest, highest=highest)
    assert found.tolist() == ["unexplained"]


def test_behind_a_batch_norm_or_another_activation_signs_prove_nothing():
    expected = ["no energy", *["unexplained"] * 5]
    assert causes(ALL_DEAD, WEIGHTS, BIAS, "relu", direct=False, lowest=0.0, highest=1.0).tolist() == expected
    assert causes(ALL_DEAD, WEIGHTS, BIAS, "tanh", direct=True, lowest=0.0, highest=1.0).tolist() == expected


def test_the_living_have_no_cause_and_a_layer_without_weights_no_explanation():
    assert causes(~ALL_DEAD, WEIGHTS, BIAS, "relu").tolist() == [""] * 6
    assert causes(np.array([True, False]), None, None, "relu").tolist() == ["unexplained", ""]


@pytest.mark.parametrize("bias", [None, np.array([math.nan])])
def test_a_filter_without_a_bias(bias):
    assert causes(np.array([True]), np.array([[-1.0]]), bias, "relu", direct=True, lowest=0.0).tolist() == ["negative weights"]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.floats(-2, 1), st.floats(0, 2))
def test_a_claimed_cause_holds_for_every_input_within_the_bounds(seed, lowest, reach):
    """Claims are made of filters that the probe found dead; no other input within the bounds may wake one."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(8, 3)) * rng.integers(0, 2, (8, 3)) - rng.integers(0, 2, (8, 1))
    bias = rng.normal(size=8) * 2 - 1
    inputs = rng.uniform(lowest, lowest + reach, (200, 3)) * rng.integers(0, 2, (200, 3))      # zeros as padding adds them
    outputs = relu(inputs[:5] @ weights.T + bias)
    is_dead, _ = dead(outputs.max(axis=0), outputs.min(axis=0), "relu")
    why = causes(is_dead, weights, bias, "relu", direct=True, lowest=lowest, highest=lowest + reach)
    assert set(why) <= set(CAUSES)
    np.testing.assert_array_equal(why == "", ~is_dead)
    explained = np.isin(why, ["no energy", "negative weights", "negative bias"])
    assert not relu(inputs @ weights.T + bias)[:, explained].any()
    assert relu(weights.clip(0).sum(axis=1) * max(lowest + reach, 0) + weights.clip(None, 0).sum(axis=1) * min(lowest, 0))[
        why == "negative bias"
    ].all()     # without its bias it could fire
