"""Layers whose activation bends nothing, and first kernels like noise, on records worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featwatch.alerts import LinearActivation, NoisyKernels
from featwatch.alerts.straight import bend
from featwatch.records import AN_OUTPUT, Predictions, Record
from tests.filter_records import each, health, raised, session

# Activations that bend nothing


@pytest.mark.parametrize(
    ("activation", "straight", "bent"),
    [
        ("relu", {"active_fraction": 0.995}, {"active_fraction": 0.98}),
        ("elu", {"active_fraction": 0.995}, {"active_fraction": 0.98}),
        ("relu6", {"responsive_fraction": 0.995, "active_fraction": 1.0}, {"responsive_fraction": 0.7, "active_fraction": 1.0}),
        ("leaky_relu", {"active_fraction": 0.005}, {"active_fraction": 0.05}),
        ("prelu", {"active_fraction": np.tile([0.995, 0.005], 4)}, {"active_fraction": 0.5}),
        ("tanh", {"min_activation": -0.24, "max_activation": 0.24}, {"min_activation": -0.4, "max_activation": 0.2}),
        ("sigmoid", {"min_activation": 0.39, "max_activation": 0.61}, {"min_activation": 0.2, "max_activation": 0.61}),
        ("gelu", {"min_activation": 2.2, "max_activation": 7.0}, {"min_activation": -0.1, "max_activation": 7.0}),
        ("silu", {"min_activation": 4.0, "max_activation": 9.0}, {"min_activation": 0.01, "max_activation": 3.0}),
    ],
)
def test_a_layer_acts_linearly_where_its_values_stay_on_a_straight_part(activation: str, straight: dict, bent: dict) -> None:
    detector = LinearActivation(checks=2)
    records = [health(epoch, activation=activation, **straight) for epoch in range(2)]
    (alert,) = raised(detector, records)
    assert (alert.layer, alert.filters, alert.severity, alert.evidence["straight"]) == ("conv", (), "advice", 8)
    assert f"8 of 8 living filters stay on a straight part of {activation}" in alert.text
    assert raised(detector, [health(epoch, activation=activation, **bent) for epoch in range(2)]) == []
    assert raised(detector, [*records, *(health(epoch, activation=activation, **bent) for epoch in (2, 3))]) == []
    assert raised(detector, [session(AN_OUTPUT), *records]) == []


def test_nine_in_ten_living_filters_have_to_be_straight():
    active = np.where(np.arange(20) < 2, 0.5, 1.0)
    assert len(raised(LinearActivation(checks=1), [health(0, filters=20, active_fraction=active)])) == 1
    active[2] = 0.5
    assert raised(LinearActivation(checks=1), [health(0, filters=20, active_fraction=active)]) == []
    dead = np.isin(np.arange(20), (1, 2))
    assert len(raised(LinearActivation(checks=1), [health(0, filters=20, active_fraction=active, dead=dead)])) == 1
    assert raised(LinearActivation(checks=1), [health(0, dead=True, active_fraction=0.0)]) == []


@pytest.mark.parametrize("activation", ["linear", "softmax", "exponential", "own"])
def test_nothing_is_said_of_other_activations(activation: str) -> None:
    assert raised(LinearActivation(checks=1), [health(0, activation=activation, active_fraction=1.0)]) == []


FUNCTIONS = {
    "tanh": math.tanh, "sigmoid": lambda z: 1 / (1 + math.exp(-z)), "softplus": lambda z: math.log1p(math.exp(z)),
    "softsign": lambda z: z / (1 + abs(z)), "gelu": lambda z: z * 0.5 * (1 + math.erf(z / 2**0.5)),
    "silu": lambda z: z / (1 + math.exp(-z)),
}  # fmt: skip


@given(st.sampled_from(sorted(FUNCTIONS)), st.floats(-2.5, 2.5), st.floats(0.1, 3.0))
def test_bend_is_the_distance_from_the_tangent(name: str, start: float, width: float) -> None:
    function = FUNCTIONS[name]
    first = abs(start) if name in ("gelu", "silu") else start
    last, middle = first + width, first + width / 2
    low, high = function(first), function(last)
    slope = (function(middle + 1e-5) - function(middle - 1e-5)) / 2e-5
    apart = max(abs(function(z) - function(middle) - slope * (z - middle)) for z in (first, last))
    found = bend(name, np.array([low]), np.array([high]))[0]
    assert found == pytest.approx(apart / ((high - low) / 2), rel=1e-3, abs=1e-5)


def test_a_constant_and_what_is_below_zero_have_no_bend():
    assert np.isnan(bend("tanh", np.array([0.3, np.nan]), np.array([0.3, 1.0]))).all()
    assert bend("gelu", np.array([-0.1, 0.3]), np.array([5.0, 0.3])).tolist() == [np.inf, pytest.approx(np.nan, nan_ok=True)]


# Kernels like noise


def predictions(epoch: int, accuracy: float) -> Predictions:
    nothing = np.zeros(4, np.float32)
    return Predictions(
        epoch=epoch, classes=nothing.astype(np.int32), certainty=nothing, scores=np.zeros((4, 2), np.float32), accuracy=accuracy
    )


def noisy(epochs: range = range(8), roughness: float = 1.0, filters: int = 16) -> list[Record]:
    return [health(epoch, filters=filters, roughness=roughness) for epoch in epochs]


def test_kernels_like_noise_are_told_of_after_some_epochs():
    told = each(NoisyKernels(), [session(), *noisy(), *noisy(range(8, 11), roughness=0.5)])
    assert told == [""] * 7 + ["[]"] + [""] * 2 + ["gone", ""]
    (alert,) = raised(NoisyKernels(), [session(), *noisy()])
    assert (alert.severity, alert.since, alert.raised) == ("advice", 5, 6)
    assert alert.text == "its kernels are as rough as noise: Geary's C is 1.00 in the median of 16"


def test_while_the_model_still_learns_kernels_may_be_noise():
    rising = [record for epoch, health in enumerate(noisy()) for record in (predictions(epoch, 0.1 + 0.1 * epoch), health)]
    assert raised(NoisyKernels(), [session(), *rising]) == []
    level = [record for epoch, health in enumerate(noisy()) for record in (predictions(epoch, 0.9), health)]
    assert len(raised(NoisyKernels(), [session(), *level])) == 1


@pytest.mark.parametrize(
    ("why", "entry", "records"),
    [
        ("smooth", session(), noisy(roughness=0.8)),
        ("few", session(), noisy(filters=6)),
        ("small", session(field_size=(3, 3)), noisy()),
        ("deep", session(reads_input=False), noisy()),
        ("not known", session(), noisy(roughness=np.nan)),
        ("no session", health(0), noisy(range(1, 8))),
    ],
)
def test_no_noise_where(why: str, entry: Record, records: list[Record]) -> None:
    assert raised(NoisyKernels(), [entry, *records]) == []
