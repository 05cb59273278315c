"""Which records are in force: the arithmetic of sessions, against the rule as it is written."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tensorboard_plugin_featwatch.entries import MAX_PROBLEMS, Sessions, clipped, run_entry, shortened

MOMENTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 30)), max_size=12, unique_by=lambda pair: pair[1])


@given(sessions=MOMENTS, records=MOMENTS)
def test_in_force_is_the_rule(sessions: list[tuple[int, int]], records: list[tuple[int, int]]) -> None:
    first, opened = (np.array([pair[i] for pair in sessions], dtype) for i, dtype in ((0, np.int64), (1, float)))
    epochs, written = (np.array([pair[i] for pair in records], dtype) for i, dtype in ((0, np.int64), (1, float)))
    # A record (step k, wall time t) is superseded iff there is a session with wall time > t and first step <= k.
    expected = [not any(w > t and f <= k for f, w in sessions) for k, t in records]
    assert Sessions.of(first, opened).in_force(epochs, written).tolist() == expected


def test_generation_reads_back_as_the_same_number() -> None:
    opened = np.array([5.0, 1795172245.5378122])
    assert float(Sessions.of(np.array([0, 3]), opened).generation) == opened[1]
    assert Sessions.of(np.zeros(0, np.int64), np.zeros(0)).generation == "0"


def test_impossible_epochs_and_times_are_left_out_and_said() -> None:
    steps = np.array([-1, 0, 1, 2, 2**62])
    wall_times = np.array([2, 3, np.nan, np.inf, 4.0])
    entry = run_entry("a/featwatch", {"session": (np.array([0]), np.array([1.0])), "epoch": (steps, wall_times)}, [])
    assert entry.series["epoch", ""].epochs.tolist() == [0]
    assert entry.updated == 3
    assert any("4 records" in problem for problem in entry.problems)


def test_a_run_without_a_session_says_so() -> None:
    entry = run_entry("featwatch", {"epoch": (np.array([0]), np.array([1.0]))}, [])
    assert entry.name == "." and entry.generation == "0"
    assert any("No session" in problem for problem in entry.problems)


def test_names_of_runs() -> None:
    expected = {"a/b/featwatch": "a/b", "featwatch": ".", "a/b": "a/b", ".": ".", "xfeatwatch": "xfeatwatch"}
    assert {run: run_entry(run, {}, []).name for run in expected} == expected


def test_problems_are_few_and_short() -> None:
    problems = shortened(f"problem {i % 50}" for i in range(1000))
    assert len(problems) == MAX_PROBLEMS + 1 and problems[-1] == "… and 30 more."
    assert len(clipped("x" * 10_000)) < 100
