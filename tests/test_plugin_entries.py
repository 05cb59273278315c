"""Which records are in force: the arithmetic of sessions, against the rule as it is written."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tensorboard_plugin_featwatch.entries import MAX_PROBLEMS, RunEntry, Sessions, Tags, clipped, run_entries, shortened

MOMENTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 30)), max_size=12, unique_by=lambda pair: pair[1])


def run_entry(run: str, tags: Tags) -> RunEntry:
    return run_entries({run: tags}, {})[run]


def tag(*events: tuple[int, float]) -> tuple[np.ndarray, np.ndarray]:
    """Steps and wall times of a tag's events."""
    return np.array([step for step, _ in events], np.int64), np.array([wall_time for _, wall_time in events], np.float64)


@given(sessions=MOMENTS, records=MOMENTS)
def test_in_force_is_the_rule(sessions: list[tuple[int, int]], records: list[tuple[int, int]]) -> None:
    first, opened = (np.array([pair[i] for pair in sessions], dtype) for i, dtype in ((0, np.int64), (1, float)))
    epochs, written = (np.array([pair[i] for pair in records], dtype) for i, dtype in ((0, np.int64), (1, float)))
    # A record (step k, wall time t) is superseded iff there is a session with wall time > t and first step <= k.
    expected = [not any(w > t and f <= k for f, w in sessions) for k, t in records]
    assert Sessions.of(first, opened).in_force(epochs, written).tolist() == expected


def test_generation_reads_back_as_the_same_number() -> None:
    entry = run_entry("a/featwatch", {"session": tag((0, 5.0), (3, 1795172245.5378122))})
    assert float(entry.generation) == 1795172245.5378122
    assert run_entry("a/featwatch", {}).generation == "0"


def test_impossible_epochs_and_times_are_left_out_and_said() -> None:
    events = tag((-1, 2), (0, 3), (1, np.nan), (2, np.inf), (2**62, 4))
    for run, axis, unit in (("a/featwatch", "epochs", "epoch"), ("a/featwatch/steps", "steps", "step")):
        entry = run_entries({run: {"session": tag((0, 1)), "epoch": events}}, {})["a/featwatch"]
        assert entry.series[axis]["epoch", ""].epochs.tolist() == [0]
        assert entry.updated == 3
        assert any(f'4 records under "epoch" have an impossible {unit} or time' in problem for problem in entry.problems)


def test_a_run_without_a_session_says_so() -> None:
    entry = run_entry("featwatch", {"epoch": tag((0, 1.0))})
    assert entry.name == "." and entry.generation == "0"
    assert any("No session" in problem for problem in entry.problems)


def test_names_of_runs() -> None:
    expected = {"a/b/featwatch": "a/b", "featwatch": ".", "a/b": "a/b", ".": ".", "xfeatwatch": "xfeatwatch"}
    assert {run: run_entry(run, {}).name for run in expected} == expected


def test_the_steps_of_a_run_are_an_axis_of_it() -> None:
    epochs, steps = {"session": tag((0, 1.0)), "epoch": tag((0, 2.0))}, {"session": tag((0, 1.5)), "health/c": tag((400, 3.0))}
    for owner in ("a/featwatch", "featwatch", ".", "one"):
        place = f"{owner}/steps".removeprefix("./")
        (entry,) = run_entries({owner: epochs, place: steps}, {place: ["of the steps"], owner: ["of the epochs"]}).values()
        assert entry.run == owner and (entry.generation, entry.updated) == ("1.5", 3.0)
        assert set(entry.problems) == {"of the steps", "of the epochs"}
        assert entry.of_kind("health") == {} and entry.of_kind("health", "steps")["c"].run == place
        assert entry.described()["steps"] == {"epochs": [[400], [0]], "series": {"health": {"c": 0}, "session": {"": 1}}}
    assert run_entry("a/featwatch", epochs).described()["steps"] is None


def test_what_is_only_called_steps_is_a_run_of_its_own() -> None:
    tags = {"session": tag((0, 1.0))}
    assert list(run_entries({"a/steps": tags, "steps": tags, "b": tags, "steps/featwatch": tags}, {})) == [
        "a/steps", "b", "steps", "steps/featwatch"
    ]  # fmt: skip
    (entry,) = run_entries({"a/featwatch/steps": tags}, {}).values()        # the log of the epochs is not there
    assert entry.run == "a/featwatch" and any("No session" in problem for problem in entry.problems)


def test_each_axis_is_superseded_by_its_own_sessions() -> None:
    """Epoch 5 is step 500: what a session opened there replaces on the axis of epochs says nothing about steps 5 to 499."""
    epochs = {"session": tag((0, 1), (5, 50)), "health/c": tag((4, 10), (5, 11), (6, 12))}
    steps = {"session": tag((0, 1), (500, 51)), "health/c": tag((4, 10), (5, 11), (499, 12), (500, 13), (501, 60))}
    entry = run_entries({"a/featwatch": epochs, "a/featwatch/steps": steps}, {})["a/featwatch"]
    assert entry.of_kind("health")["c"].epochs.tolist() == [4]
    assert entry.of_kind("health", "steps")["c"].epochs.tolist() == [4, 5, 499, 501]


def test_problems_are_few_and_short() -> None:
    problems = shortened(f"problem {i % 50}" for i in range(1000))
    assert len(problems) == MAX_PROBLEMS + 1 and problems[-1] == "… and 30 more."
    assert len(clipped("x" * 10_000)) < 100
