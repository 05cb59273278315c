"""Where activation functions pass a gradient on: against Keras' functions and TensorFlow's gradients of them."""

from __future__ import annotations

import doctest

import keras
import numpy as np
import pytest
import tensorflow as tf

from featwatch import activations
from featwatch.activations import SELU_FLOOR, Passing, passing
from featwatch.graphs import passing_of
from featwatch.reductions import About, responsive
from featwatch.sketch import Sketch

KNOWN = sorted(set(activations._PASSING) | {"leaky_relu", "linear"})
X = (np.linspace(-30, 30, 60_001) + 0.0003).astype(np.float32)      # no kink lies on it


def curve(name: str) -> tuple[np.ndarray, np.ndarray]:
    """What Keras' function of this name makes of `X`, and its slope."""
    x = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = getattr(keras.activations, name)(x)
    return y.numpy(), tape.gradient(y, x).numpy()


def passes(where: Passing, y: np.ndarray) -> np.ndarray:
    found = responsive(tf.constant(y[None, :, None].repeat(1, 2)), About(Sketch.of_length(1), 1, passing=where))
    assert found.shape == (1, 1)
    each = responsive(tf.constant(y[:, None, None]), About(Sketch.of_length(1), 1, passing=where))
    np.testing.assert_allclose(found.numpy()[0, 0], each.numpy().mean(), rtol=1e-4)
    return each.numpy()[:, 0] == 1


@pytest.mark.parametrize("name", KNOWN)
def test_where_no_gradient_is_said_to_pass_there_is_next_to_none_and_elsewhere_there_is_some(name):
    y, slope = curve(name)
    steepest, passing_here = np.abs(slope).max(), passes(passing(name), y)
    if name in ("exponential",):        # its slope is its value
        steepest = 1.0
    if not passing(name).gap:           # of those that come back to 0 the values near 0 stand for both sides
        assert np.abs(slope[~passing_here]).max(initial=0) <= 0.05 * steepest
        assert np.abs(slope[passing_here]).min() > 0
    assert passing_here.any()


@pytest.mark.parametrize("name", KNOWN)
def test_values_lie_in_the_range_and_are_as_seen(name):
    y, _ = curve(name)
    where = passing(name)
    assert where.least <= y.min() + 1e-6 and y.max() - 1e-6 <= where.most
    assert where.as_seen(y.min(keepdims=True), y.max(keepdims=True)) == where
    if where.least > -np.inf:
        assert where.as_seen(np.array([where.least - 0.1, 0]), np.array([0, 0])).everywhere
    if where.most < np.inf:
        assert where.as_seen(np.array([0, 0]), np.array([0, where.most + 0.1])).everywhere


@pytest.mark.parametrize("name", [name for name in KNOWN if passing(name).rectifies])
def test_what_enters_a_rectifier_below_its_knee_leaves_it_off(name):
    (y, slope), where = curve(name), passing(name)
    below = where.knee >= X
    assert where.says(y[below].min(), y[below].max()) == "off"
    assert np.abs(slope[below]).max() <= 0.03
    above = where.knee + (0.4 if where.knee else 0.001) < X     # and not far above it
    assert where.says(y[above].min(), y[above].max()) == ""


@pytest.mark.parametrize(
    ("name", "minimum", "maximum", "expected"),
    [
        ("relu", 0.0, 0.0, "off"), ("relu", 0.0, 1e-30, ""), ("relu6", 6.0, 6.0, "full"), ("relu6", 0.0, 6.0, ""),
        ("tanh", -1.0, -0.995, "off"), ("tanh", 0.995, 1.0, "full"), ("tanh", -1.0, 1.0, ""),
        ("gelu", -0.01, 0.0, "off"), ("gelu", -0.17, 0.0, ""), ("gelu", -0.01, 0.1, ""),
        ("selu", -SELU_FLOOR, -1.75, "off"), ("linear", 0.0, 0.0, ""), ("relu", np.nan, np.nan, ""),
    ],
)  # fmt: skip
def test_what_a_filter_does_is_said_of_one_and_of_many(name, minimum, maximum, expected):
    where = passing(name)
    assert where.says(minimum, maximum) == expected
    low, high = np.array([minimum] * 2), np.array([maximum] * 2)
    assert where.off(low, high).tolist() == [expected == "off"] * 2
    assert where.full(low).tolist() == [expected == "full"] * 2


def test_a_function_s_end_is_kept_but_for_the_rounding_of_half_precision():
    """0 has none: a rectifier that leaks one in a thousand is none."""
    one, zero = np.ones(1), np.zeros(1)
    assert passing("relu").as_seen(zero - 0.001, one).everywhere
    assert passing("tanh").as_seen(zero, one * 1.008) == passing("tanh")
    assert passing("tanh").as_seen(zero, one * 1.02).everywhere and passing("tanh").as_seen(-one * 1.02, zero).everywhere


def test_parameters_of_layers_and_functions_are_read():
    layers = keras.layers
    assert passing_of(layers.ReLU(max_value=1.5), "relu6").high == 1.5
    assert passing_of(layers.ELU(alpha=0.5), "elu").low == -0.49
    assert passing_of(layers.Dense(2, activation=layers.ELU(0.5)), "elu").low == -0.49
    assert passing_of(layers.TimeDistributed(layers.Dense(2, activation=layers.ELU(0.5))), "elu").low == -0.49
    assert passing("elu", alpha=0.01).low == pytest.approx(-0.005)
    assert (passing("relu").bounded, passing("relu6").bounded) == (False, True)


def test_the_examples_run():
    assert doctest.testmod(activations).failed == 0
