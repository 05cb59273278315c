"""Plans: what is chosen, what goes along, what it saves, and what is refused."""

from __future__ import annotations

import doctest
import importlib
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import featwatch as fw
from featwatch.prune.anatomy import Anatomy
from featwatch.prune.candidates import candidates
from featwatch.prune.planning import MOST_PER_LAYER
from featwatch.prune.savings import Sizes
from tests import nets

layers = keras.layers


@pytest.fixture(scope="module")
def residual() -> Any:
    return nets.functional()


@pytest.fixture(scope="module")
def mixed() -> Any:
    """All kinds of layers that multiply: grouped, depthwise, separable, transposed, a concatenation, a stream of sums."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="stem")(inputs)
    x = layers.BatchNormalization(name="stem_norm")(x)
    x = keras.ops.relu(x)
    a = layers.Conv2D(8, 3, padding="same", groups=2, activation="relu", name="grouped")(x)
    b = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="spread")(x)
    c = layers.SeparableConv2D(6, 3, padding="same", activation="relu", name="separable")(b)
    x = layers.Concatenate(name="both")([a, c])
    x = layers.Conv2DTranspose(6, 2, strides=2, activation="relu", name="wider")(x)
    x = layers.Add(name="sum")([x, layers.Conv2D(6, 1, name="branch")(x)])
    x = layers.Flatten(name="flat")(layers.MaxPooling2D(4, name="pool")(x))
    x = layers.Dense(12, activation="relu", name="hidden")(x)
    return keras.Model(inputs, layers.Dense(3, activation="softmax", name="scores")(x), name="mixed")


# -- choosing ----------------------------------------------------------------------------------------------------------


def test_units_that_are_named_go_with_what_belongs_to_them(residual: Any) -> None:
    plan = fw.prune.plan(residual, units={"stem": [1]})
    # The block's output is added to the stem's: the two have one set of channels.
    assert plan.removed == {"stem": [1], "norm": [1], "block/inner": [1]}
    assert plan.chosen == {"stem": [1]}
    assert plan.along == {"norm": [1], "block/inner": [1]}
    assert "block/inner (1)" in " ".join(plan.notes) and "norm" not in " ".join(plan.notes)
    assert list(plan.frozen) == ["scores"]
    assert plan.units == {"stem": 4, "norm": 4, "block/inner": 4, "last": 6, "scores": 3}


def test_savings_by_hand(residual: Any) -> None:
    plan = fw.prune.plan(residual, units={"last": [0, 5]})
    # last: 3 × 3 × 4 weights and a bias for each unit, at 4 × 4 positions; scores: three weights for each.
    savings = plan.savings
    assert savings.parameters_before == residual.count_params()
    assert savings.parameters_before - savings.parameters_after == 2 * (3 * 3 * 4 + 1 + 3)
    assert savings.multiply_adds_before == 36 * 9 * 4 + 36 * 9 * 16 + 16 * 9 * 24 + 6 * 3
    assert savings.multiply_adds_before - savings.multiply_adds_after == 2 * (16 * 9 * 4 + 3)


@pytest.mark.parametrize("criterion", ["l2", "random"])
@pytest.mark.parametrize("per_layer", [False, True])
def test_the_ratio_is_honoured_and_plans_are_nested(mixed: Any, criterion: str, per_layer: bool) -> None:
    possible = candidates(Anatomy(mixed))
    before: set[tuple[str, int]] = set()
    for ratio in (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0):
        plan = fw.prune.plan(mixed, ratio=ratio, criterion=criterion, per_layer=per_layer)
        gone = sum(map(len, plan.chosen.values()))
        named = {(name, unit) for name, units in plan.removed.items() for unit in units}
        if ratio <= 0.75 and not per_layer:
            assert gone == int(ratio * possible.prunable) and not plan.notes
        assert not per_layer or gone == int(ratio * possible.prunable) or "share is rounded down" in plan.notes[0]
        assert gone <= ratio * possible.prunable + 1e-9
        assert before <= named
        before = named
        for name, units in plan.removed.items():
            assert len(units) < plan.units[name]
            assert len(units) <= max(ratio, MOST_PER_LAYER) * plan.units[name] + 1e-9


def test_the_least_weights_go_first(mixed: Any) -> None:
    small = keras.models.clone_model(mixed)
    hidden = small.get_layer("hidden")
    kernel, bias = hidden.get_weights()
    kernel[:, [2, 7]] *= 1e-3
    hidden.set_weights([kernel, bias])
    scores = small.get_layer("scores")
    kernel, bias = scores.get_weights()
    kernel[[2, 7]] *= 1e-3
    scores.set_weights([kernel, bias])
    plan = fw.prune.plan(small, ratio=0.07)
    assert plan.chosen == {"hidden": [2, 7]}


def test_a_function_of_the_users_own_decides(mixed: Any) -> None:
    seen = {}

    def first_units(layer: Any, weights: Any) -> Any:
        seen[layer.name] = None if weights is None else weights.shape
        return np.arange(1, 13) if layer.name == "hidden" else None

    plan = fw.prune.plan(mixed, ratio=0.07, criterion=first_units)
    assert plan.chosen == {"hidden": [0, 1]}
    assert plan.criterion == "first_units"
    assert seen["stem"] == (8, 27) and seen["separable"] == (6, 16) and "stem_norm" not in seen
    # Of all others it says nothing: they stay.
    assert list(fw.prune.plan(mixed, ratio=0.9, criterion=first_units).chosen) == ["hidden"]


def test_layers_keep_multiples(mixed: Any) -> None:
    plan = fw.prune.plan(mixed, ratio=0.5, round_to=4)
    for name in ("stem", "grouped", "hidden"):
        assert (plan.units[name] - len(plan.removed.get(name, ()))) % 4 == 0
    assert any("multiples of 4" in note for note in plan.notes)
    # 6 is no multiple of 4: all stay, or 4.
    assert plan.units["wider"] - len(plan.removed.get("wider", ())) in (4, 6)


def test_the_best_of_those_that_would_go_stay_for_a_multiple(mixed: Any) -> None:
    def last_units(layer: Any, weights: Any) -> Any:
        return np.arange(12, 0, -1) if layer.name == "hidden" else None

    assert fw.prune.plan(mixed, ratio=0.2, criterion=last_units).chosen == {"hidden": [6, 7, 8, 9, 10, 11]}
    assert fw.prune.plan(mixed, ratio=0.2, criterion=last_units, round_to=4).chosen == {"hidden": [8, 9, 10, 11]}


def test_ignored_layers_stay_and_what_is_tied_to_them(residual: Any) -> None:
    plan = fw.prune.plan(residual, ratio=0.6, ignore=["block/*"])
    assert set(plan.removed) == {"last"}
    assert "ignored" in plan.frozen["block/inner"] and "block/inner" in plan.frozen["stem"]
    assert any("asked for" in note for note in plan.notes)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(ratio=st.floats(0, 1), seed=st.integers(0, 50), per_layer=st.booleans(), round_to=st.integers(1, 5))
def test_savings_are_what_the_smaller_model_has(mixed: Any, ratio: float, seed: int, per_layer: bool, round_to: int) -> None:
    plan = fw.prune.plan(mixed, ratio=ratio, criterion="random", seed=seed, per_layer=per_layer, round_to=round_to)
    small = plan.apply(mixed)
    parameters, multiply_adds = Sizes(Anatomy(small)).of(())
    assert small.count_params() == parameters == plan.savings.parameters_after
    assert multiply_adds == plan.savings.multiply_adds_after
    for name, units in plan.removed.items():
        assert len(Anatomy(small).made[name].ids) == plan.units[name] - len(units)


# -- refusals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        ({}, ValueError, "either units="),
        ({"units": {"stem": [0]}, "ratio": 0.5}, ValueError, "not both"),
        ({"ratio": 1.5}, ValueError, "ratio=1.5"),
        ({"ratio": "much"}, TypeError, "ratio='much'"),
        ({"ratio": 0.5, "criterion": "l1"}, ValueError, "criterion='l1'"),
        ({"ratio": 0.5, "criterion": "activity"}, ValueError, "probe=featwatch.Probe"),
        ({"ratio": 0.5, "round_to": 0}, ValueError, "round_to=0"),
        ({"ratio": 0.5, "round_to": 2.5}, TypeError, "round_to=2.5"),
        ({"ratio": 0.5, "max_ratio_per_layer": 2}, ValueError, "max_ratio_per_layer=2"),
        ({"ratio": 0.5, "ignore": ["stem", "lost"]}, ValueError, "did you mean 'last'"),
        ({"ratio": 0.5, "ignore": "block"}, ValueError, r"called 'block' .did you mean 'block/\*'"),
        ({"ratio": 0.5, "ignore": [3]}, TypeError, "3 is no name"),
        ({"ratio": 0.5, "criterion": lambda layer, weights: [1.0]}, ValueError, r"shape \(1,\); give \(4,\)"),
        ({"ratio": 0.5, "criterion": lambda layer, weights: "x"}, TypeError, "give a number for each"),
        ({"ratio": 0.5, "criterion": lambda layer, weights: -np.ones(len(weights))}, ValueError, "below 0"),
        ({"units": ["stem"]}, TypeError, "no mapping"),
        ({"units": {"stom": [0]}}, ValueError, "did you mean 'stem'"),
        ({"units": {"stem": [4]}}, ValueError, "there is no unit 4; the layer has 4, numbered 0 to 3"),
        ({"units": {"stem": [-1]}}, ValueError, "there is no unit -1"),
        ({"units": {"stem": [1, 1]}}, ValueError, "more than once"),
        ({"units": {"stem": 1}}, TypeError, "as a list"),
        ({"units": {"stem": [1.5]}}, TypeError, "as a list"),
        ({"units": {"stem": [0, 1, 2, 3]}}, ValueError, "all of its 4 units"),
        ({"units": {"scores": [0]}}, ValueError, "unit 0 of 'scores' cannot go: .*softmax"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(residual: Any, arguments: dict[str, Any], kind: type, said: str) -> None:
    before = [value.copy() for value in residual.get_weights()]
    with pytest.raises(kind, match=said):
        fw.prune.plan(residual, **arguments)
    assert all(np.array_equal(one, other) for one, other in zip(before, residual.get_weights(), strict=True))


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.layer = layers.Dense(3)

    def call(self, x: Any) -> Any:
        return self.layer(x)


def called() -> Any:
    model = Subclassed()
    model(np.zeros((1, 2), np.float32))
    return model


def quantised() -> Any:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(8, name="wide"), layers.Dense(3)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")         # of the input layer, which has nothing to quantise
        model.quantize("int8")
    return model


@pytest.mark.parametrize(
    ("make", "kind", "said"),
    [
        (lambda: keras.Sequential([layers.Dense(3)]), ValueError, "not built"),
        (called, ValueError, "functional model"),
        (quantised, ValueError, "quantised"),
        (lambda: "model.keras", TypeError, "no keras.Model"),
    ],
)
def test_models_that_cannot_be_pruned(make: Callable[[], Any], kind: type, said: str) -> None:
    with pytest.raises(kind, match=said):
        fw.prune.plan(make(), ratio=0.5)


def test_a_model_in_which_nothing_can_go() -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="only")])
    plan = fw.prune.plan(model, ratio=0.5)
    assert not plan.removed and "no unit of this model can go" in plan.notes[0]
    assert plan.frozen == {"only": "it is an output of the model"}
    assert "Nothing goes." in str(plan)


@pytest.mark.parametrize("module", ["criteria.tally", "words", "table", "units", "command", "outlook"])
def test_examples_give_what_they_say(module: str) -> None:
    found = doctest.testmod(importlib.import_module(f"featwatch.prune.{module}"))
    assert found.attempted and not found.failed
