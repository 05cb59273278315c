"""Whose turn it is among the filters of a layer, how much their weights changed, and the seconds that there are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featwatch.recorders.allowance import Allowance
from featwatch.recorders.turns import PATIENCE, Turns
from featwatch.recorders.weight_changes import NUMBERS, WeightChanges

# Turns


def test_the_most_active_come_first_then_those_that_changed_most() -> None:
    turns, activity, change = Turns(np.arange(6)), np.array([1.0, 5, 3, 4, 0, 2]), np.array([0.1, 0.2, 0.9, 0.0, 0.5, 0.3])
    turns.begin()
    assert turns.next(activity, 4, change).tolist() == [1, 3, 2, 5] and turns.waiting == 2 == turns.unseen
    assert turns.next(activity, 4, change).tolist() == [0, 4] and turns.waiting == 0
    turns.begin()
    assert turns.next(activity, 3, change).tolist() == [2, 4, 5]
    assert turns.next(activity, 9, change).tolist() == [1, 0, 3] and turns.count == 4


def test_those_never_looked_at_come_before_those_that_changed() -> None:
    turns, change = Turns(np.arange(6)), np.array([9.0, 8, 7, 6, 5, 4])
    seen = []
    for _ in range(4):
        turns.begin()
        seen.append(turns.next(np.arange(6.0)[::-1], 2, change).tolist())
    assert seen == [[0, 1], [2, 3], [4, 5], [0, 1]]


def test_where_nothing_is_known_of_changes_they_take_turns() -> None:
    turns, seen = Turns(np.array([3, 5, 7])), []
    for _ in range(6):
        turns.begin()
        seen += turns.next(np.zeros(8), 1).tolist()
    assert seen == [3, 5, 7] * 2


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 20), st.integers(1, 3), st.integers(0, 999), st.booleans())
def test_nobody_waits_for_ever_whatever_changes(filters: int, most: int, turns_each: int, seed: int, same: bool) -> None:
    turns, rng = Turns(np.arange(100, 100 + filters)), np.random.default_rng(seed)
    change = rng.random(100 + filters)
    last, looked, snapshots = dict.fromkeys(range(100, 100 + filters), 0), 0, 12 * filters + 4
    for _ in range(snapshots):
        turns.begin()
        here: list[int] = []
        for _ in range(turns_each):
            if not turns.waiting:
                break
            if not same:
                change = rng.random(100 + filters)
            now = turns.next(rng.random(100 + filters), most, change).tolist()
            assert 1 <= len(now) <= most
            for one in now:
                assert looked - last[one] <= (PATIENCE + 1) * filters + most
                last[one] = looked
            looked += len(now)
            here += now
        assert len(set(here)) == len(here)
    assert all(looked - one <= (PATIENCE + 1) * filters + most for one in last.values())
    assert turns.unseen == 0


# Changes of weights


def test_changes_are_relative_lengths() -> None:
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(5, NUMBERS))
    changes = WeightChanges(5)
    changes.begin(weights)
    changes.looked_at(np.arange(5))
    later = weights + rng.normal(size=weights.shape) * np.array([0, 0.1, 1, 2, 3])[:, None]
    changes.begin(later)
    expected = np.linalg.norm(later - weights, axis=1) / np.linalg.norm(later, axis=1)
    np.testing.assert_allclose(changes.relative, expected, rtol=1e-5)
    changes.looked_at(np.array([2, 4]))
    np.testing.assert_allclose(changes.relative, expected * [1, 1, 0, 1, 0], rtol=1e-5)


@pytest.mark.parametrize("all_one_way", [False, True])
def test_changes_of_wide_filters_are_near_enough(all_one_way: bool) -> None:
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(200, 4000)).astype(np.float32)
    step = np.ones_like(weights) if all_one_way else rng.normal(size=weights.shape).astype(np.float32)
    step *= np.linspace(0.01, 0.5, 200, dtype=np.float32)[:, None]
    changes = WeightChanges(200)
    changes.begin(weights)
    changes.looked_at(np.arange(200))
    changes.begin(weights + step)
    true = np.linalg.norm(step, axis=1) / np.linalg.norm(weights + step, axis=1)
    error = changes.relative / true - 1
    assert abs(error.mean()) < (0.12 if all_one_way else 0.03)      # of one direction all errors are nearly the same
    assert np.sqrt((error**2).mean()) < 0.15                        # 1/√128 and the length's own


@pytest.mark.parametrize("weights", [None, np.zeros((3, 4)), np.zeros((5, 0))], ids=["none", "others", "empty"])
def test_where_weights_are_not_known_nothing_changed(weights: np.ndarray | None) -> None:
    changes = WeightChanges(5)
    changes.begin(weights)
    changes.looked_at(np.array([0, 4]))
    changes.begin(weights)
    assert changes.relative.tolist() == [0.0] * 5


def test_weights_that_are_not_finite_or_all_zero() -> None:
    changes = WeightChanges(3)
    changes.begin(np.array([[1.0, 2.0], [0.0, 0.0], [1.0, 1.0]]))
    changes.looked_at(np.arange(3))
    changes.begin(np.array([[np.nan, np.inf], [0.0, 0.0], [0.0, 0.0]]))
    assert changes.relative[1] == 0 and changes.relative[2] == np.inf and not np.isnan(changes.relative).any()


# The seconds


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_one_snapshot_takes_too_many_is_missing_at_the_next() -> None:
    clock = Clock()
    allowance = Allowance(2.0, 0.5, clock)
    left = []
    for took, trained in [(5.0, 100.0), (0.0, 100.0), (1.0, 1.0), (0.0, 0.0)]:
        allowance.begin()
        left.append(allowance.left)
        clock.now += took
        allowance.end()
        clock.now += trained
    assert left == [2.0, -1.0, 1.0, 0.5]       # 2; 2 − 5 + 2; −1 + 2; 1 − 1 + half a second


def test_seconds_are_saved_up_to_those_of_one_snapshot() -> None:
    clock = Clock()
    allowance = Allowance(2.0, 0.1, clock)
    for _ in range(5):
        allowance.begin()
        assert allowance.left == 2.0 and not allowance.in_debt
        allowance.end()
        clock.now += 10


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0.05, 3), st.floats(0, 30)), min_size=1, max_size=40), st.floats(0.1, 4), st.floats(0.01, 1))
def test_no_more_is_taken_than_granted_but_for_the_last_piece(
    course: list[tuple[float, float]], seconds: float, share: float
) -> None:
    """Whoever takes pieces only while something is left takes no more in all than was granted, and one piece."""
    clock = Clock()
    allowance, taken, granted, largest = Allowance(seconds, share, clock), 0.0, 0.0, 0.0
    for piece, trained in course:
        allowance.begin()
        granted += allowance.granted
        assert 0 <= allowance.granted <= seconds
        while allowance.left > 0:
            clock.now += piece
            taken += piece
            largest = max(largest, piece)
        allowance.end()
        clock.now += trained
        assert taken <= granted + largest + 1e-6


def test_without_a_limit_there_is_always_enough() -> None:
    clock = Clock()
    allowance = Allowance(None, 0.1, clock)
    for _ in range(3):
        allowance.begin()
        clock.now += 1e6
        assert allowance.left == np.inf and not allowance.in_debt
        allowance.end()
