"""What AutoPrune decides by: the guard, the pace, the account of units, the limits of a step."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featwatch.prune.auto.guard import Guard, checked_guard, direction
from featwatch.prune.auto.ledger import Ledger, replayed
from featwatch.prune.auto.limits import allowed, in_blocks, share_of
from featwatch.prune.auto.pace import Pace
from featwatch.prune.auto.telling import forget_best, in_a_line
from featwatch.prune.candidates import Candidates, Member
from featwatch.records import Pruning


def chain(*units: int) -> Candidates:
    """Layers one after the other, each of whose units can go by itself."""
    members, first = {}, 0
    for number, count in enumerate(units):
        members[f"layer{number}"] = Member(SimpleNamespace(), np.arange(first, first + count), True)
        first += count
    wholes = [member.places for member in members.values()]
    return Candidates(np.arange(first), first, members, wholes, lookup=np.arange(first))


def account(candidates: Candidates) -> Ledger:
    return Ledger.of({name: len(member.places) for name, member in candidates.members.items()}, candidates.prunable)


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("loss", "min"), ("val_loss", "min"), ("val_mean_squared_error", "min"), ("val_out_loss", "min"), ("mae", "min"),
        ("accuracy", "max"), ("val_acc", "max"), ("val_auc_1", "max"), ("sparse_top_k_categorical_accuracy", "max"),
        ("val_f1_score", "max"), ("val_mean_io_u", "max"), ("steps", ""), ("lossless", ""), ("loss_accuracy", ""),
    ],
)  # fmt: skip
def test_the_direction_of_a_metric_is_told_by_its_words(name: str, better: str) -> None:
    assert direction(name) == better


@pytest.mark.parametrize(
    ("better", "before", "now", "worse"),
    [
        ("min", 1.0, 1.05, False), ("min", 1.0, 1.0501, True), ("min", -1.0, -0.96, False), ("min", -1.0, -0.94, True),
        ("max", 0.8, 0.77, False), ("max", 0.8, 0.75, True), ("max", 0.0, 0.0, False), ("min", 0.0, 1e-9, True),
        ("min", math.nan, 7.0, False), ("min", 1.0, math.nan, True), ("max", 1.0, math.inf, True),
    ],
)  # fmt: skip
def test_worse_is_relative_to_the_value_before(better: str, before: float, now: float, worse: bool) -> None:
    assert Guard("x", 0.05, better).worse(before, now) == worse


def test_a_guard_is_asked_which_way_is_better_where_its_name_does_not_tell() -> None:
    assert checked_guard(None) is None
    assert checked_guard(("val_loss", 0)) == Guard("val_loss", 0.0, "min")
    assert checked_guard(["speed", 0.1, "max"]) == Guard("speed", 0.1, "max")
    with pytest.raises(ValueError, match=r"'speed'.*say so, \('speed', 0.1, 'max'\)"):
        checked_guard(("speed", 0.1))
    with pytest.raises(ValueError, match="which is better='up'"):
        checked_guard(("speed", 0.1, "up"))
    with pytest.raises(ValueError, match="how much worse=-1"):
        checked_guard(("val_loss", -1))
    for wrong in ("val_loss", 0.05, ("val_loss",), (0.05, "val_loss"), ("", 0.1)):
        with pytest.raises(TypeError, match="guard="):
            checked_guard(wrong)


def test_steps_wait_longer_and_get_smaller_each_time_that_one_is_undone() -> None:
    pace = Pace(cooldown=3, tries=3)
    pace.begin(10)
    assert [epoch for epoch in range(10, 15) if pace.ready(epoch)] == [13, 14]
    pace.stepped(13)
    assert pace.next == 16
    pace.undone(14)
    assert (pace.next, pace.share) == (20, 0.5)
    pace.stepped(20)
    pace.held()
    pace.stepped(23)
    pace.undone(24)
    assert (pace.next, pace.share) == (30, 0.25)        # one that held made the wait as it was, not the size
    pace.undone(31)
    assert (pace.next, pace.share) == (43, 0.125)
    pace.undone(50)
    assert pace.over and not pace.ready(10_000)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(2, 9), min_size=1, max_size=3), st.data())
def test_the_account_numbers_units_as_before_all_pruning(units: list[int], data: Any) -> None:
    ledger = Ledger.of({f"layer{i}": count for i, count in enumerate(units)}, sum(units))
    truth = {name: list(range(count)) for name, count in ledger.original.items()}
    steps: list[Pruning] = []
    for epoch in range(4):
        removed = {}
        for name, left in truth.items():
            gone = sorted(data.draw(st.sets(st.integers(0, len(left) - 1), max_size=len(left) - 1)))
            if gone:
                removed[name] = gone
        expected = {name: [truth[name][unit] for unit in gone] for name, gone in removed.items()}
        before = {name: list(left) for name, left in truth.items()}
        origin = ledger.remove(removed)
        assert origin == expected
        truth = {name: [one for one in left if one not in expected.get(name, ())] for name, left in truth.items()}
        steps.append(Pruning(epoch=epoch, action="pruned", removed=removed, origin=origin, units_original=sum(units)))
        if data.draw(st.booleans()):
            ledger.put_back(origin)
            truth = before
            steps.append(Pruning(epoch=epoch, action="undone", removed=removed, origin=origin, units_original=sum(units)))
        assert {name: left.tolist() for name, left in ledger.left.items()} == truth
    now = {name: len(left) for name, left in truth.items()}
    again = replayed(steps, now)
    assert again is not None and again.prunable == sum(units) and again.original == ledger.original
    assert {name: left.tolist() for name, left in again.left.items()} == truth


def test_records_of_another_model_are_not_replayed() -> None:
    step = Pruning(epoch=1, action="pruned", removed={"conv": [1]}, origin={"conv": [1]}, units_original=4)
    assert replayed([step], {"conv": 3}) is not None
    assert replayed([step], {"other": 3}) is None
    assert replayed([], {"conv": 3}) is None
    twice = Pruning(epoch=2, action="pruned", removed={"conv": [0]}, origin={"conv": [1]}, units_original=4)
    assert replayed([step, twice], {"conv": 3}) is None         # unit 1 cannot go twice
    far = Pruning(epoch=2, action="pruned", removed={"conv": [0]}, origin={"conv": [99]}, units_original=4)
    assert replayed([far], {"conv": 3}) is None


@settings(deadline=None, max_examples=80)
@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=4), st.integers(0, 40), st.floats(0, 1), st.integers(0, 2**16), st.data()
)
def test_no_limit_is_ever_passed(units: list[int], most: int, per_layer: float, seed: int, data: Any) -> None:
    candidates, generator = chain(*units), np.random.default_rng(seed)
    ledger = Ledger.of({f"layer{i}": count + data.draw(st.integers(0, 5)) for i, count in enumerate(units)}, sum(units))
    for number, count in enumerate(units):                      # some had gone before
        ledger.left[f"layer{number}"] = np.arange(count)
    order = generator.permutation(len(candidates))
    chosen = allowed(order, candidates, ledger, most, per_layer)
    assert len(chosen) <= most and len(set(chosen.tolist())) == len(chosen)
    full = []
    for name, member in candidates.members.items():
        going = int(np.isin(member.places, chosen).sum())
        room = max(0, share_of(per_layer, ledger.original[name]) - ledger.gone(name))
        assert going <= room
        full.append(going >= room or going == len(member.places))
    if len(chosen) < most:
        assert all(full)                                        # it stopped for nothing but the limits


def test_shares_are_those_of_decimals() -> None:
    assert [share_of(ratio, 10) for ratio in (0.3, 0.6, 0.7, 0.29)] == [3, 6, 7, 2]
    assert share_of(0.29, 100) == 29


def test_with_round_to_units_go_in_blocks_that_leave_multiples() -> None:
    candidates = chain(10, 8)
    scores = np.concatenate([np.arange(10.0), np.arange(8.0) + 0.5])
    order = np.argsort(scores, kind="stable")
    places, first = in_blocks(order, candidates, scores, 4)
    assert first == 2 and places[:2].tolist() == [0, 1]         # 10 -> 8
    assert sorted(places[2:6].tolist()) == [10, 11, 12, 13]     # 8 -> 4, on average before 2 to 5
    assert sorted(places.tolist()) == [*range(10), *range(10, 18)]


def test_no_wait_gets_shorter_by_a_second_fit() -> None:
    pace = Pace(cooldown=2, tries=3)
    pace.begin(0)
    pace.undone(5)
    assert pace.next == 9
    pace.begin(5)
    assert pace.next == 9
    pace.begin(8)
    assert pace.next == 10


def test_what_was_best_of_a_larger_model_is_forgotten_where_weights_are_restored() -> None:
    restores, stops = keras.callbacks.EarlyStopping(restore_best_weights=True), keras.callbacks.EarlyStopping()
    for each in (restores, stops):
        each.best, each.best_weights = 0.5, [np.ones(2)]
    forget_best([keras.callbacks.TerminateOnNaN(), restores, stops])
    assert restores.best is None and restores.best_weights is None and stops.best == 0.5
    assert restores._is_improvement(7.0, restores.best)             # the next epoch is the best so far


def test_each_step_is_said_in_a_line() -> None:
    sizes = {"units_before": 20, "units_after": 15, "parameters_before": 4000, "parameters_after": 2000}
    proposed = Pruning(epoch=3, action="proposed", criterion="l2", **sizes)
    assert in_a_line(proposed).endswith("would prune after epoch 3: 5 of 20 units, by 'l2'; parameters 4,000 → 2,000 (−50.0 %)")
    undone = Pruning(epoch=4, action="undone", units_before=15, units_after=20, reason="val_loss came to 3", note="what was lost")
    assert in_a_line(undone) == "featwatch: undone after epoch 4: 5 units came back: val_loss came to 3; what was lost"
