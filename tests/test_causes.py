"""Why filters are dead: every cause planted, what is proven against inputs within the bounds, and what is not claimed."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, ndtr

from featwatch.activations import passing
from featwatch.analysis.causes import Entered, Layer, causes
from featwatch.analysis.filters import dead
from featwatch.folding import Normalisation
from featwatch.records import CAUSES

RELU = passing("relu")


def relu(values):
    return np.maximum(values, 0)


FUNCTIONS = {
    "relu": relu, "relu6": lambda z: relu(z).clip(None, 6), "gelu": lambda z: z * ndtr(z), "silu": lambda z: z * expit(z),
}  # fmt: skip


def within(lowest=-np.inf, highest=np.inf, mean=math.nan, channels=2) -> Entered:
    """Every channel lies between these."""
    return Entered(*(np.full(channels, value, np.float64) for value in (lowest, highest, mean)))


def named(layer: Layer, *, low=0.0, high=0.0, of=None):
    """The causes and which are proven, where every filter is dead with these values."""
    filters = len(layer.weights) if of is None else of
    return [found.tolist() for found in causes(np.ones(filters, bool), np.full(filters, low), np.full(filters, high), layer)]


WEIGHTS = np.array([[0, 0], [-1, -2], [-1, -2], [1, 1], [1, 1], [1, -1]], np.float32)
BIAS = np.array([-1, -0.5, 0.5, -3, -1, -9], np.float32)


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
def test_what_the_bounds_prove(bounds, expected):
    layer = Layer(weights=WEIGHTS, bias=BIAS, passing=RELU, entered=within(**bounds))
    assert named(layer) == [expected, [why != "unexplained" for why in expected]]
    for half in (0.5, -0.5):                # the same through a normalisation that is no change, and one that turns all around
        scale = np.full(6, half)
        folded = Normalisation(scale, np.zeros(6), scale, np.zeros(6))
        turned = Layer(weights=WEIGHTS / half, bias=BIAS / half, normalisation=folded, passing=RELU, entered=within(**bounds))
        assert named(turned)[0] == expected


@pytest.mark.parametrize(("lowest", "highest"), [(1.0, 2.0), (-2.0, -1.0)])
def test_padding_adds_zeros_to_the_inputs(lowest, highest):
    """x₁ − x₂ within 1 to 2 is 1 at most, but 2 where x₂ is a padded zero: −1.5 does not hold that down."""
    layer = Layer(weights=np.array([[1.0, -1.0]]), bias=np.array([-1.5]), passing=RELU, entered=within(lowest, highest))
    assert named(layer)[0] == ["unexplained"]


def test_a_bias_that_holds_down_what_negative_inputs_would_lift():
    """Its weights are all negative, but of inputs down to −1 they make 3: it is the bias that keeps it off."""
    layer = Layer(weights=np.array([[-1.0, -2.0]]), bias=np.array([-9.0]), passing=RELU, entered=within(-1.0, 1.0))
    assert named(layer) == [["negative bias"], [True]]


def test_signs_prove_nothing_where_something_else_comes_in_between():
    """Another layer between weights and activation; filters that are no sums of what enters; another activation."""
    layer = Layer(weights=WEIGHTS, bias=BIAS, passing=RELU, entered=within(0.0, 1.0, 0.5))
    expected = ["no energy", *["unexplained"] * 5]
    assert named(replace(layer, direct=False)) == [expected, [False] * 6]
    assert named(replace(layer, direct=False, inputs_per_filter=2)) == [expected, [False] * 6]
    assert named(replace(layer, sums=False)) == [expected, [True, *[False] * 5]]
    assert named(replace(layer, sums=False, decisive=False)) == [expected, [False] * 6]
    assert named(replace(layer, passing=passing("linear"))) == [expected, [True, *[False] * 5]]


def test_the_living_have_no_cause_and_a_layer_without_weights_no_explanation():
    layer, zeros = Layer(weights=WEIGHTS, passing=RELU), np.zeros(6)
    assert [found.tolist() for found in causes(np.zeros(6, bool), zeros, zeros, layer)] == [[""] * 6, [False] * 6]
    assert named(Layer(weights=None, passing=passing("sigmoid")), of=2) == [["unexplained"] * 2, [False] * 2]


@pytest.mark.parametrize("bias", [None, np.array([math.nan])])
def test_a_filter_without_a_bias(bias):
    layer = Layer(weights=np.array([[-1.0]]), bias=bias, passing=RELU, entered=within(0.0))
    assert named(layer) == [["negative weights"], [True]]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_and_inputs_that_are_not_finite_prove_nothing(value):
    weights = np.array([[value, -1.0], [-1.0, -1.0]])
    layer = Layer(weights=weights, passing=RELU, entered=within(0.0, 1.0, 0.5), inputs_per_filter=2)
    assert named(layer) == [["unexplained", "negative weights"], [False, True]]
    unknown = within(math.nan, math.nan, value)
    layer = Layer(weights=np.array([[-1.0, 1.0], [0.0, 1.0]]), bias=np.array([0.0, -9.0]), passing=RELU, entered=unknown)
    assert named(layer)[0] == ["unexplained"] * 2
    broken = Normalisation(*(np.full(2, value) for _ in range(4)))
    assert set(named(replace(layer, normalisation=broken, inputs_per_filter=2))[0]) <= {"unexplained", "negative bias"}


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.floats(-2, 1), st.floats(0, 2), st.sampled_from(sorted(FUNCTIONS)))
def test_a_proven_cause_holds_for_every_input_within_the_bounds(seed, lowest, reach, activation):
    """Claims are made of filters that the probe found dead; no other input within the bounds may wake one."""
    rng = np.random.default_rng(seed)
    smooth = activation in ("gelu", "silu")
    weights = rng.normal(size=(8, 3)) * rng.integers(0, 2, (8, 3)) - rng.integers(0, 2, (8, 1))
    bias = rng.normal(size=8) * 2 - (7 if smooth else 1)
    scale, offset = rng.choice([-1.0, 0.5, 1.0, 2.0], 8), rng.normal(size=8) * 0.1
    normalisation = Normalisation(scale, offset, scale, offset)
    inputs = rng.uniform(lowest, lowest + reach, (200, 3)) * rng.integers(0, 2, (200, 3))      # zeros as padding adds them

    def outputs(x):
        z = (x @ weights.T + bias) * scale + offset
        return FUNCTIONS[activation](z)

    seen, where = outputs(inputs[:5]), passing(activation)
    low, high = seen.min(axis=0), seen.max(axis=0)
    is_dead, _ = dead(low, high, where)
    entered = Entered(np.full(3, lowest), np.full(3, lowest + reach), inputs.mean(axis=0))
    layer = Layer(weights=weights, bias=bias, normalisation=normalisation, passing=where, entered=entered, inputs_per_filter=3)
    why, proven = causes(is_dead, low, high, layer)
    assert set(why) <= set(CAUSES)
    np.testing.assert_array_equal(why == "", ~is_dead)
    every = outputs(inputs)
    off = where.off(every.min(axis=0), every.max(axis=0)) | (np.ptp(every, axis=0) < 1e-12)
    assert off[proven].all()
    acting = weights * scale[:, None]
    lifted = relu(acting).sum(axis=1) * max(lowest + reach, 0) - relu(-acting).sum(axis=1) * min(lowest, 0)
    assert (lifted[proven & (why == "negative bias")] > 0).all()        # without its bias it could fire


# What the probe shows


@pytest.mark.parametrize(
    ("weights", "bias", "expected"),
    [
        ([1.0, 1.0], -3.5, "negative bias"),            # 3 on average: the bias takes it away
        ([1.0, -2.0], 0.5, "negative weights"),         # −3 on average, although the bias lifts
        ([1.0, -2.0], -1.0, "negative weights"),        # both, the weights three times as much
        ([1.0, -2.0], -6.0, "negative bias"),           # both, the bias twice as much
        ([1.0, -2.0], -2.0, "unexplained"),             # both about as much
        ([1.0, -2.0], -4.0, "unexplained"),
        ([1.0, 1.0], 1.0, "unexplained"),               # neither
    ],
)  # fmt: skip
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_where_bounds_leave_it_open_the_mean_input_tells(weights, bias, expected, activation):
    mean = Entered(np.full(2, -9.0), np.full(2, 9.0), np.array([1.0, 2.0]))
    layer = Layer(weights=np.array([weights]), bias=np.array([bias]), passing=passing(activation), entered=mean)
    assert named(layer) == [["unexplained"], [False]]
    layer = replace(layer, inputs_per_filter=2)
    assert named(layer) == [[expected], [False]]
    positions = replace(layer, weights=np.array([[*np.multiply(weights, 3), *np.multiply(weights, -2)]]))
    assert named(positions) == [[expected], [False]]
    offset = Normalisation(np.full(1, -0.5), np.array([bias * 1.5]), np.full(1, -0.5), np.zeros(1))     # −0.5 w x − 0.5 b + 1.5 b
    assert named(replace(layer, weights=layer.weights * -2, normalisation=offset)) == [[expected], [False]]


def test_weights_that_are_next_to_nothing():
    """Of norms 1, 1, 1, 1, 0.009 and 0.011 the median is 1; filters without any weight do not count."""
    weights = np.array([[1, 0], [0, 1], [-1, 0], [0, 1], [0.009, 0], [0, 0.011], [0, 0], [0, 0], [0, 0]])
    layer = Layer(weights=weights, passing=passing("linear"))
    assert named(layer)[0] == [*["unexplained"] * 4, "no energy", "unexplained", *["no energy"] * 3]
    assert named(layer)[1] == [*[False] * 6, *[True] * 3]


def test_a_normalisation_that_makes_up_for_small_weights():
    """Its fourth filter's weights are a thousandth of the others', but act as theirs do."""
    weights, bias = np.array([[1.0], [1.0], [1.0], [0.001], [0.001]]), np.full(5, -9.0)
    normalisation = Normalisation(np.array([1.0, 1.0, 1.0, 1000.0, 1.0]), np.zeros(5), np.ones(5), np.zeros(5))
    layer = Layer(weights=weights, bias=bias, normalisation=normalisation, passing=RELU)
    assert named(layer)[0] == [*["unexplained"] * 4, "no energy"]


def test_a_scale_of_nothing():
    weights, scale = np.ones((5, 2)), np.array([1.0, -1.0, 0.0, 0.009, 2.0])
    normalisation = Normalisation(scale, np.zeros(5), scale.astype(np.float32), np.zeros(5, np.float32))
    layer = Layer(weights=weights, normalisation=normalisation, passing=RELU)
    expected = ["unexplained", "unexplained", "zero scale", "zero scale", "unexplained"]
    assert named(layer) == [expected, [False, False, True, False, False]]
    assert named(replace(layer, direct=False)) == [expected, [False] * 5]


def test_inputs_that_are_dead():
    """Channels 1 and 2 of four are silent: a filter that looks at others too has another cause."""
    entered = Entered(np.array([0.0, 0.0, 0.0, -1.0]), np.array([1.0, 0.0, 0.0, 0.0]), np.array([0.5, 0.0, 0.0, -0.5]))
    weights = np.array([[0, 1, 1, 0], [0, -1, 0, 0], [1, 1, 1, 0], [0, 1, 0, 1e-6], [0, 0, 0, 0]])
    layer = Layer(weights=weights, passing=passing("linear"), entered=entered, inputs_per_filter=4)
    assert named(layer) == [["dead inputs", "dead inputs", "unexplained", "unexplained", "no energy"], [*[False] * 4, True]]
    assert named(replace(layer, inputs_per_filter=0))[0] == [*["unexplained"] * 4, "no energy"]
    assert named(replace(layer, entered=None))[0] == [*["unexplained"] * 4, "no energy"]
    twice = replace(layer, weights=np.concatenate([np.zeros((5, 4)), weights], axis=1))     # at another position of the kernel
    assert named(twice)[0] == named(layer)[0]


@pytest.mark.parametrize(
    ("each", "filters", "expected"),
    [
        (2, 4, ["unexplained", "unexplained", "dead inputs", "dead inputs"]),               # two groups of two channels
        (1, 8, [*["unexplained"] * 4, *["dead inputs"] * 4]),                               # depthwise, two filters a channel
        (3, 4, ["unexplained"] * 4), (2, 3, ["unexplained"] * 3),                           # nothing that adds up
    ],
)  # fmt: skip
def test_each_group_of_filters_has_its_own_channels(each, filters, expected):
    entered = Entered(np.zeros(4), np.array([1.0, 1.0, 0.0, 0.0]), np.array([0.5, 0.5, 0.0, 0.0]))
    layer = Layer(weights=np.ones((filters, 9 * each)), passing=passing("linear"), entered=entered, inputs_per_filter=each)
    assert named(layer)[0] == expected


@pytest.mark.parametrize(
    ("activation", "low", "high", "expected"),
    [
        ("sigmoid", 0.995, 1.0, "saturated"), ("sigmoid", 0.0, 0.005, "saturated"), ("sigmoid", 0.5, 0.5, "unexplained"),
        ("tanh", -1.0, -0.995, "saturated"), ("elu", -1.0, -0.995, "saturated"), ("softplus", 0.0, 0.001, "saturated"),
        ("relu6", 6.0, 6.0, "saturated"), ("relu6", 0.0, 0.0, "negative bias"), ("gelu", -0.001, 0.0, "negative bias"),
        ("hard_sigmoid", 0.0, 0.0, "saturated"), ("leaky_relu", -0.5, -0.5, "unexplained"), ("relu", 2.0, 2.0, "unexplained"),
    ],
)  # fmt: skip
def test_a_filter_at_an_end_of_its_range_is_saturated_and_a_rectifier_that_is_off_is_not(activation, low, high, expected):
    layer = Layer(weights=np.ones((1, 1)), bias=np.array([-9.0]), passing=passing(activation), entered=within(0.0, 1.0))
    assert named(layer, low=low, high=high)[0] == [expected]


def test_the_first_cause_that_holds_is_named():
    """No weights, no scale, no inputs: each filter has one fault less."""
    scale = np.array([0.0, 0.0, 1.0, 1.0])
    layer = Layer(
        weights=np.array([[0.0, 0.0], [-1.0, 0.0], [-1.0, 0.0], [0.0, -1.0]]), bias=np.full(4, -9.0),
        normalisation=Normalisation(scale, np.zeros(4), scale, np.zeros(4)), passing=RELU,
        entered=Entered(np.zeros(2), np.array([0.0, 1.0]), np.array([0.0, 0.5])), inputs_per_filter=2,
    )  # fmt: skip
    assert named(layer) == [["no energy", "zero scale", "dead inputs", "negative weights"], [True, True, False, True]]
