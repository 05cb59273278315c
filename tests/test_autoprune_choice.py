"""What steps choose: shares of layers over several steps, and counts of filters that Keras would mistake."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import featwatch as fw
from featwatch.prune.anatomy import Anatomy
from featwatch.prune.auto.ledger import Ledger
from featwatch.prune.auto.steps import Wish, next_step, units_of
from featwatch.prune.candidates import candidates
from featwatch.prune.choosing import ordered

layers = keras.layers


def account(model: Any) -> Ledger:
    anatomy = Anatomy(model)
    return Ledger.of(units_of(anatomy), candidates(anatomy).prunable)


def stepwise(model: Any, wish: Wish, most: int = 99) -> list[dict[str, int]]:
    """How many units each layer has lost after each step."""
    ledger, found = account(model), list[dict[str, int]]()
    while len(found) < most and (step := next_step(model, wish, ledger, None)) is not None:
        model = step.plan.apply(model)
        ledger.remove(step.plan.removed)
        found.append({name: ledger.gone(name) for name in ledger.original})
    return found


def test_each_layer_loses_the_same_share_however_many_steps_it_takes() -> None:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([
        keras.Input((3,)), layers.Dense(32, name="wide"), layers.Dense(8, name="middle"), layers.Dense(4, name="narrow"),
        layers.Dense(2, name="out"),
    ])  # fmt: skip
    lost = stepwise(model, Wish(criterion="l2", ratio_per_step=0.1, max_ratio=0.75, max_ratio_per_layer=0.9, per_layer=True))
    assert len(lost) == 9 and lost[-1] == {"wide": 24, "middle": 6, "narrow": 3, "out": 0}
    for each in lost:                           # never further apart than by the unit that comes next
        shares = {name: (each[name] / count, 1 / count) for name, count in (("wide", 32), ("middle", 8), ("narrow", 4))}
        highest = max(share for share, _ in shares.values())
        assert all(share + unit >= highest for share, unit in shares.values()), each


def test_what_a_layer_lost_before_counts() -> None:
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4, name="a"), layers.Dense(4, name="b"), layers.Dense(2)])
    possible = candidates(Anatomy(model))
    scores = np.arange(8.0)
    assert ordered(possible, scores, per_layer=True).places.tolist() == [0, 4, 1, 5, 2, 6]
    order = ordered(possible, scores, per_layer=True, lost={"a": 0.5})         # of 8 units: the next one is 5/8 of all
    assert order.places.tolist() == [4, 5, 0, 1, 6, 2]
    assert order.turns.tolist() == [0.25, 0.5, 0.625, 0.75, 0.75, 0.875]


def first_channels(*wide: int) -> Any:
    """Convolutions over 6 columns, the channels first: with 6 filters Keras would add the bias along the columns."""
    x = inputs = keras.Input((1, 5, 6))
    for number, filters in enumerate(wide):
        x = layers.Conv2D(filters, 3, padding="same", data_format="channels_first", name=f"conv{number}")(x)
        x = layers.ReLU()(x)
    return keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D(data_format="channels_first")(x)))


def graded(layer: Any, weights: Any) -> Any:
    """Earlier units first."""
    return None if weights is None else np.arange(1.0, len(weights) + 1)


@pytest.mark.parametrize(("round_to", "left"), [(1, 7), (2, 8), (4, 8)])
def test_a_plan_leaves_no_count_of_filters_that_keras_mistakes(round_to: int, left: int) -> None:
    model = first_channels(12)
    plan = fw.prune.plan(model, ratio=0.5, criterion=graded, round_to=round_to)
    assert plan.removed["conv0"] == list(range(12 - left))
    assert any("columns" in note and "conv0" in note for note in plan.notes) == (round_to != 4)
    beyond = fw.prune.plan(model, ratio=0.6, criterion=graded)
    assert len(beyond.removed["conv0"]) == 7 and not beyond.notes


@pytest.mark.parametrize(("round_to", "gone"), [(1, [5, 1]), (2, [4, 2]), (3, [3, 3])])
def test_a_step_takes_others_in_the_place_of_what_would_leave_such_a_count(round_to: int, gone: list[int]) -> None:
    model = first_channels(12, 18)

    def first(layer: Any, weights: Any) -> Any:
        return None if weights is None else np.arange(1.0, len(weights) + 1) + (1000.0 if layer.name == "conv1" else 1.0)

    wish = Wish(criterion=first, ratio_per_step=0.2, max_ratio=0.6, max_ratio_per_layer=0.9, round_to=round_to)
    step = next_step(model, wish, account(model), None)
    assert step is not None
    assert [len(step.plan.removed.get(name, ())) for name in ("conv0", "conv1")] == gone
    assert any("conv0" in note and "columns" in note for note in step.plan.notes)
