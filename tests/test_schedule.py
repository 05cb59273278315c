"""Schedules: 0, n, 2n, … and the last epoch, whoever asks and however seldom."""

from __future__ import annotations

import doctest
import itertools
import math
import pickle
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import featwatch
from featwatch import schedule
from featwatch.schedule import At, Every, LogSpaced, Schedule, as_schedule, at, can_fire, every, log_spaced

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])     # a loaded machine is no failure

PERIOD = st.integers(1, 50)


def due_epochs(when: Schedule, asked: list[int], previous: int | None = None, last: int | None = None) -> list[int]:
    """The epochs, of those that are asked about one after the other, that are due."""
    due = []
    for epoch in asked:
        if when.due(previous, epoch, epoch == last):
            due.append(epoch)
        previous = epoch
    return due


@PATIENT
@given(PERIOD, st.integers(0, 200))
def test_multiples_and_the_last_epoch_are_due(n: int, last: int) -> None:
    assert due_epochs(every(epochs=n), list(range(last + 1)), last=last) == sorted({*range(0, last + 1, n), last})


def test_a_hand_counted_training() -> None:
    assert due_epochs(every(epochs=4), list(range(11)), last=10) == [0, 4, 8, 10]
    assert due_epochs(every(), list(range(4))) == [0, 1, 2, 3]
    assert due_epochs(every(epochs=100), list(range(11))) == [0]


@PATIENT
@given(PERIOD, st.sets(st.integers(0, 300), min_size=1))
def test_an_epoch_that_was_jumped_over_is_made_up_for_once(n: int, asked: set[int]) -> None:
    epochs = [0, *sorted(asked - {0})]
    expected = [0] + [b for a, b in zip(epochs, epochs[1:], strict=False) if any(k % n == 0 for k in range(a + 1, b + 1))]
    assert due_epochs(every(epochs=n), epochs) == expected


@PATIENT
@given(PERIOD, st.integers(0, 100), st.integers(0, 100))
def test_a_resumed_training_is_due_where_an_uninterrupted_one_is(n: int, first: int, more: int) -> None:
    resumed = due_epochs(every(epochs=n), list(range(first, first + more)))
    assert resumed == [k for k in range(first, first + more) if k % n == 0]


@PATIENT
@given(PERIOD, st.integers(0, 100), st.integers(0, 100))
def test_a_training_that_starts_over_is_due_from_the_start_again(n: int, reached: int, back: int) -> None:
    when = every(epochs=n)
    if back < reached:
        assert when.due(reached, back, last=False) == (back % n == 0)
    assert not when.due(reached, reached, last=False)
    assert when.due(reached, reached, last=True)


def test_it_says_what_it_is() -> None:
    assert str(every(epochs=5)) == "every(epochs=5)"
    assert eval(str(every(epochs=5)), {"every": every}) == every(epochs=5) == Every(5)
    assert hash(every()) == hash(Every(1))
    assert pickle.loads(pickle.dumps(every(epochs=3))) == every(epochs=3)
    assert (featwatch.every, featwatch.at, featwatch.log_spaced) == (every, at, log_spaced)
    assert str(log_spaced()) == "log_spaced(base=2)" and log_spaced(2.0) == LogSpaced(2)
    assert str(log_spaced(1.5, unit="steps")) == "log_spaced(base=1.5, unit='steps')" and str(every(steps=9)) == "every(steps=9)"


def test_numpy_integers_are_whole_numbers() -> None:
    when = every(epochs=np.int64(3))
    assert when == Every(3) and type(when.period) is int
    assert type(at(np.int64(3)).points[0]) is int and at(steps=np.array([3, 5])) == at(steps=[3, 5])


@pytest.mark.parametrize("epochs", [0, -1, np.int64(0)])
def test_less_than_one_epoch_is_refused(epochs: int) -> None:
    with pytest.raises(ValueError, match=r"epochs=-?\d: expected at least 1, as in every\(epochs=1\)"):
        every(epochs=epochs)


@pytest.mark.parametrize("epochs", [1.0, 2.5, "3", True, np.True_, [1], float("nan")])
def test_what_is_no_whole_number_is_refused(epochs: object) -> None:
    with pytest.raises(TypeError, match="expected a whole number of epochs"):
        every(epochs=epochs)
    with pytest.raises(TypeError, match="expected a whole number of epochs"):
        Every(epochs)


# Every kind of schedule, however those who ask may jump


def powers(base: float, most: int) -> set[int]:
    """0 and the rounded powers of `base` up to `most`, in whole numbers: base = p / q exactly."""
    ratio = Fraction(base)
    points, power = {0}, Fraction(1)
    while power <= most + 1:
        points.add(math.floor(power + Fraction(1, 2)))
        power *= ratio
    return {point for point in points if point <= most}


MOST = 400
POINTS = st.sets(st.integers(0, MOST), min_size=1, max_size=12)
UNIT = st.sampled_from(schedule.UNITS)
SCHEDULES = st.one_of(
    st.tuples(PERIOD, UNIT).map(lambda drawn: (every(**{drawn[1]: drawn[0]}), set(range(0, MOST + 1, drawn[0])), True)),
    POINTS.map(lambda points: (at(*points), points, False)),
    POINTS.map(lambda points: (at(steps=points), points, False)),
    st.tuples(st.fractions("9/8", 9, max_denominator=8), UNIT).map(
        lambda drawn: (log_spaced(float(drawn[0]), unit=drawn[1]), powers(float(drawn[0]), MOST), True)
    ),
)
Case = tuple[Schedule, set[int], bool]      # the points that it is due at; whether the last one is, too


@PATIENT
@given(SCHEDULES, st.lists(st.integers(1, 60), max_size=30))
def test_every_stretch_with_points_in_it_is_due_once(case: Case, jumps: list[int]) -> None:
    when, points, _ = case
    asked = [k for k in itertools.accumulate(jumps, initial=0) if k <= MOST]
    crossed = [b for a, b in zip([-1, *asked], asked, strict=False) if any(a < point <= b for point in points)]
    assert due_epochs(when, asked) == crossed
    assert due_epochs(when, list(range(MOST + 1))) == sorted(points)
    assert (0 in crossed) == (0 in points)


@PATIENT
@given(SCHEDULES, st.integers(0, MOST), st.integers(0, MOST))
def test_asking_twice_at_one_point_is_due_once_and_going_back_starts_over(case: Case, one: int, other: int) -> None:
    when, points, with_last = case
    assert not when.due(one, one, last=False) and when.due(one, one, last=True) == with_last
    low, high = sorted((one, other))
    if low < high:
        assert when.due(high, low, last=False) == (low in points)
        assert when.due(None, low, last=False) == (low in points)


@PATIENT
@given(SCHEDULES, st.integers(0, MOST), st.integers(0, MOST))
def test_what_can_never_be_due_is_known_before(case: Case, one: int, other: int) -> None:
    when, _, _ = case
    first, last = sorted((one, other))
    assert can_fire(when, first, last) == bool(due_epochs(when, list(range(first, last + 1)), last=last))
    assert can_fire(when, first, None) or isinstance(when, At)
    assert can_fire(as_schedule(lambda epoch: False), 0, 3)


@PATIENT
@given(SCHEDULES)
def test_every_schedule_is_its_text_and_survives_pickling(case: Case) -> None:
    when = case[0]
    assert eval(str(when), {"every": every, "at": at, "log_spaced": log_spaced}) == when == as_schedule(when)
    assert pickle.loads(pickle.dumps(when)) == when and hash(when) == hash(when)
    assert when.unit in schedule.UNITS


def test_powers_that_a_float_cannot_hold_are_never_reached() -> None:
    when = log_spaced(base=1e200)
    assert due_epochs(when, [0, 1, 2, 10**18]) == [0, 1]
    assert due_epochs(log_spaced(base=1 + 1e-9), list(range(20))) == list(range(20))
    assert not log_spaced(base=2).due(2**61, 2**61 + 5, last=False) and log_spaced(base=2).due(2**61, 2**62, last=False)


def test_given_epochs_are_all_there_is() -> None:
    assert due_epochs(at(0, 1, 2, 5, 10), list(range(12)), last=11) == [0, 1, 2, 5, 10]
    assert at(5, 0, 5) == at(0, 5) and str(at(5, 0, 5)) == "at(0, 5)" and str(at(steps=[7])) == "at(steps=[7])"
    assert not can_fire(at(20), 0, 10) and can_fire(at(20), 0, None) and not can_fire(at(3), 4, None)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: every(epochs=1, steps=2), TypeError, "give one of the two"),
        (lambda: every(steps=0), ValueError, r"steps=0: expected at least 1, as in every\(steps=1\)"),
        (lambda: every(steps=2.0), TypeError, "expected a whole number of steps"),
        (lambda: Every(1, "days"), ValueError, "unit='days': expected 'epochs' or 'steps'"),
        (lambda: at(), ValueError, r"at\(\): name the epochs to record, as in at\(0, 1, 5\)"),
        (lambda: at(steps=[]), ValueError, r"name the steps to record, as in at\(steps=\[100, 200\]\)"),
        (lambda: at(3, -1), ValueError, "-1 is before any training"),
        (lambda: at(1.0), TypeError, "1.0 is not a whole number of epochs"),
        (lambda: at([0, 1]), TypeError, r"\[0, 1\] is not a whole number of epochs, as in at\(0, 1, 5\)"),
        (lambda: at(True), TypeError, "True is not a whole number"),
        (lambda: at(1, steps=[2]), TypeError, "give epochs or steps, not both"),
        (lambda: at(steps=5), TypeError, r"steps=5: expected a list of steps"),
        (lambda: at(steps="12"), TypeError, "'1' is not a whole number of steps"),
        (lambda: log_spaced(1), ValueError, r"base=1: expected a number above 1, as in log_spaced\(base=2\)"),
        (lambda: log_spaced(base=-2), ValueError, "above 1"),
        (lambda: log_spaced(base=math.nan), ValueError, "above 1"),
        (lambda: log_spaced(base=math.inf), ValueError, "above 1"),
        (lambda: log_spaced(base="2"), TypeError, "above 1"),
        (lambda: log_spaced(base=None), TypeError, "above 1"),
        (lambda: log_spaced(base=True), TypeError, "above 1"),
        (lambda: log_spaced(unit="days"), ValueError, "unit='days': expected 'epochs' or 'steps'"),
    ],
)
def test_what_makes_no_schedule_is_refused_with_the_cure(make: Callable[[], object], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        make()


class Odd:
    """A schedule of a user's own."""

    def due(self, previous: int | None, current: int, last: bool) -> bool:
        return current % 2 == 1


def test_a_schedule_of_ones_own_counts_in_epochs_unless_it_says_otherwise() -> None:
    when = as_schedule(Odd())
    assert when.unit == "epochs" and due_epochs(when, list(range(6))) == [1, 3, 5] and "Odd" in str(when)
    assert as_schedule(when) is when and can_fire(when, 0, 0)
    stepwise = type("Stepwise", (Odd,), {"unit": "steps"})()
    assert as_schedule(stepwise) is stepwise and isinstance(stepwise, Schedule)
    with pytest.raises(ValueError, match="counts in 'days'"):
        as_schedule(type("Daily", (Odd,), {"unit": "days"})())


def test_the_door_takes_what_a_user_may_pass() -> None:
    assert as_schedule(None) == every()
    assert as_schedule(every(epochs=7)) == every(epochs=7)
    primes = as_schedule(lambda epoch: epoch in (2, 3, 5, 7))
    assert due_epochs(primes, list(range(10)), last=9) == [2, 3, 5, 7]
    assert as_schedule(lambda epoch: np.bool_(epoch == 1)).due(None, 1, False) is True


def test_a_function_gives_its_name() -> None:
    def late_ones(epoch: int) -> bool:
        return epoch > 10

    class Moody:
        def __call__(self, epoch: int) -> bool:
            return False

    assert str(as_schedule(late_ones)) == "late_ones"
    assert str(as_schedule(Moody())) == "Moody"


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (5, r"schedule=5: expected every\(epochs=5\)"),
        (0, r"expected every\(epochs=n\)"),
        (True, r"expected every\(epochs=n\)"),
        ("every 5", r"expected every\(epochs=n\)"),
        ([0, 1, 2], r"expected at\(0, 1, 2\)"),
        ([0.5], r"expected every\(epochs=n\)"),
        (range(20), r"expected at\(0, 1, 2, 3, 4, 5, 6, 7, …\)"),
        (every, r"call it, as in schedule=every\(epochs=1\)"),
        (Every, "call it"),
        (at, r"schedule=at: call it, as in schedule=at\(0, 1, 5\)"),
        (log_spaced, r"call it, as in schedule=log_spaced\(base=2\)"),
    ],
)
def test_the_door_refuses_the_rest_with_the_cure(value: object, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        as_schedule(value)


def test_the_examples_run() -> None:
    results = doctest.testmod(schedule)
    assert results.attempted and not results.failed
