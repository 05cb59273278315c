"""What filters are like, which are dead, and what became of them, against NumPy and by cases worked out by hand."""

from __future__ import annotations

import doctest
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featwatch.activations import passing
from featwatch.analysis import filters
from featwatch.analysis.filters import (
    dead,
    energy,
    finite_mean,
    lives,
    negative_fraction,
    not_finite_activations,
    not_finite_weights,
)


def test_energy_and_negative_fraction():
    weights = np.array([[3, -4, 0, 0], [-1, -1, -1, -1], [0, 0, 0, 0]], np.float32)
    np.testing.assert_array_equal(energy(weights), [25, 4, 0])
    np.testing.assert_array_equal(negative_fraction(weights), [0.25, 1, 0])
    assert np.isnan(negative_fraction(np.empty((2, 0)))).all()


def test_energy_adds_in_double_precision():
    assert energy(np.full((1, 10_000), 1e-4, np.float32))[0] == pytest.approx(1e-4, rel=1e-6)
    assert energy(np.full((1, 4), 1e30, np.float32))[0] == pytest.approx(4e60, rel=1e-6)


# What leaves four filters: always 0; some of it above; constant above 0; varying below 0.
LOW, HIGH = np.array([0.0, 0.0, 2.0, -0.4]), np.array([0.0, 1e-9, 2.0, -0.1])


def died(activation, minimum, maximum, **more):
    return dead(np.array(minimum), np.array(maximum), passing(activation, **more))[0].tolist()


def test_a_rectifier_that_never_fires_is_dead():
    is_dead, test = dead(LOW[:3], HIGH[:3], passing("relu"))
    assert is_dead.tolist() == [True, False, True]
    assert test == "dead: never above 0 for any probe sample, or always the same value"


def test_a_rectifier_with_a_ceiling_is_dead_at_either_end():
    is_dead, test = dead(np.array([0.0, 6.0, 0.0, 5.9]), np.array([0.0, 6.0, 6.0, 6.0]), passing("relu6"))
    assert is_dead.tolist() == [True, True, False, False]
    assert test == "dead: never above 0 or never below 6 for any probe sample, or always the same value"
    assert died("relu6", [1.0, 0.9], [1.0, 1.0], ceiling=1.0) == [True, False]


@pytest.mark.parametrize(
    ("activation", "minimum", "maximum", "words"),
    [
        ("sigmoid", [0.0, 0.995, 0.0, 0.2], [0.008, 1.0, 1.0, 0.3], "never above 0.01 or never below 0.99"),
        ("tanh", [-1.0, 0.992, -1.0, -0.2], [-0.991, 1.0, 1.0, 0.3], "never above −0.99 or never below 0.99"),
        ("elu", [-1.0, -0.995, -1.0, 3.0], [-0.992, -0.991, -0.9, 5.0], "never above −0.99"),
        ("selu", [-1.758, -1.757, -1.758, 3.0], [-1.75, -1.755, -1.7, 5.0], "never above −1.748"),
        ("gelu", [-0.01, -1e-6, -0.02, -0.01], [0.0, 0.0, 0.0, 0.1], "never outside −0.01 to 0"),
        ("silu", [-0.003, -1e-6, -0.2, -0.01], [-0.001, -1e-7, -0.1, 0.1], "never outside −0.01 to 0"),
        ("softplus", [0.0, 0.001, 0.001, 1.0], [0.009, 0.002, 0.02, 2.0], "never above 0.01"),
    ],
)
def test_at_one_end_a_filter_is_dead_and_between_the_ends_it_is_saturated_but_alive(activation, minimum, maximum, words):
    assert died(activation, minimum, maximum) == [True, True, False, False]
    assert dead(LOW, HIGH, passing(activation))[1] == f"dead: {words} for any probe sample, or always the same value"


@pytest.mark.parametrize("activation", ["leaky_relu", "prelu", "linear", "softmax", "my_own"])
def test_where_a_gradient_always_passes_a_filter_is_dead_when_it_never_varies(activation):
    is_dead, test = dead(np.array([1.0, -0.2, -0.3, 0.0]), np.array([1.0, -0.2, -0.2, 1e-9]), passing(activation))
    assert is_dead.tolist() == [True, True, False, False]
    assert test == "dead: the same value at every position of every probe sample"


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu", "linear"])
def test_what_is_not_a_number_is_not_called_dead(activation):
    assert died(activation, [math.nan], [math.nan]) == [False]


def test_of_one_value_nobody_knows_whether_it_varies():
    assert dead(LOW, HIGH, passing("leaky_relu"), several=False)[0].tolist() == [False] * 4
    assert dead(LOW[:3], HIGH[:3], passing("relu"), several=False)[0].tolist() == [True, False, False]


# died, revived, awoke


ALIVE, DEAD, UNKNOWN = "alive", "dead", "unknown"
STATES = st.sampled_from([ALIVE, DEAD, UNKNOWN])


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 4).flatmap(lambda n: st.lists(st.tuples(*[STATES] * n), min_size=1, max_size=6)))
def test_what_became_of_filters_is_what_their_history_says(history):
    """Against a plain loop over every filter's states; what is not known is no state to come from or to go to."""
    before = None
    for epoch, states in enumerate(history):
        is_dead, known = np.array(states) == DEAD, np.array(states) != UNKNOWN
        found = lives(is_dead, known, before)
        before = is_dead, known, found.ever_alive
        for index, state in enumerate(states):
            past = [earlier[index] for earlier in history[:epoch]]
            turn = (past[-1] if past else UNKNOWN, state)
            assert (index in found.died) == (turn == (ALIVE, DEAD))
            assert (index in found.revived) == (turn == (DEAD, ALIVE) and ALIVE in past)
            assert (index in found.awoke) == (turn == (DEAD, ALIVE) and ALIVE not in past)
            assert found.ever_alive[index] == (ALIVE in (*past, state))
        assert all(which.dtype == np.int32 for which in (found.died, found.revived, found.awoke))


def test_the_examples_run():
    assert doctest.testmod(filters).failed == 0


# what is not finite


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
