"""Schedules: 0, n, 2n, … and the last epoch, whoever asks and however seldom."""

from __future__ import annotations

import doctest
import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import featwatch
from featwatch import schedule
from featwatch.schedule import Every, Schedule, as_schedule, every

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
    assert featwatch.every is every


def test_numpy_integers_are_whole_numbers() -> None:
    when = every(epochs=np.int64(3))
    assert when == Every(3) and type(when.epochs) is int


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


def test_schedules_by_step_are_said_to_be_missing() -> None:
    with pytest.raises(ValueError, match=r"every\(steps=200\): schedules by step are not there yet; use every\(epochs=n\)"):
        every(steps=200)


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
        ([0, 1, 2], r"expected every\(epochs=n\)"),
        (every, r"call it, as in schedule=every\(epochs=1\)"),
        (Every, "call it"),
    ],
)
def test_the_door_refuses_the_rest_with_the_cure(value: object, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        as_schedule(value)


def test_the_examples_run() -> None:
    results = doctest.testmod(schedule)
    assert results.attempted and not results.failed
