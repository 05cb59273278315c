"""Whose maps of exemplars are made at a snapshot: layers by turns, filters by turns, within records and seconds."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import featwatch as fw
from featwatch.recorders import exemplar_maps
from featwatch.recorders.turns import Turns

BATCH = 8


class Chooser:
    """A recorder that chooses, snapshot after snapshot, from activities that are given."""

    def __init__(self, filters: dict[str, int], side: int = 4, **options: Any) -> None:
        self.recorder = fw.ExemplarMaps(**{"top": 1, "seconds": None, **options})
        self.shapes = {name: (side, side, count) for name, count in filters.items()}
        self.look: Any = SimpleNamespace(
            probe=SimpleNamespace(batch_size=BATCH),
            state={"turns": {name: Turns(np.arange(count)) for name, count in filters.items()}, "before": {}},
        )

    def __call__(self, maxima: dict[str, np.ndarray]) -> dict[str, list[int]]:
        """By layer the filters, in the order in which layers chose."""
        self.look.state.pop("order", None)
        return {name: filters.tolist() for name, (_, filters) in self.recorder._chosen(self.look, self.shapes, maxima).items()}


def peaked(filters: int, samples: int = 40, seed: int = 0) -> np.ndarray:
    """(samples, filters): every filter is most active at a sample of its own, the first filters more than the later ones."""
    values = 0.01 * np.random.default_rng(seed).random((samples, filters))
    values[(7 * np.arange(filters) + seed) % samples, np.arange(filters)] = 100.0 - np.arange(filters)
    return values


def test_layers_choose_first_in_turns() -> None:
    """One batch of samples is all there is time for: whoever chooses first has it."""
    chooser = Chooser({"a": 8, "b": 8, "c": 8}, seconds=1.0)
    chooser.look.state["seconds"] = 1.0
    maxima = {name: peaked(8, seed=seed) for seed, name in enumerate("abc")}
    assert [list(chooser(maxima)) for _ in range(6)] == [["a"], ["b"], ["c"]] * 2


@pytest.mark.parametrize(
    ("seconds", "known", "most"), [(1.0, 1.0, 1), (5.0, 2.0, 2), (1.0, 30.0, 1), (1.0, None, 4), (None, 2.0, 99)]
)
def test_as_many_samples_are_read_as_fit_into_the_seconds(seconds: float | None, known: float | None, most: int) -> None:
    chooser = Chooser({"a": 64, "b": 64}, seconds=seconds)
    if known is not None:
        chooser.look.state["seconds"] = known
    found = chooser({"a": peaked(64, 400), "b": peaked(64, 400, seed=3)})
    filters = sum(map(len, found.values()))
    assert filters == min(most * BATCH, 128)                    # each has a sample of its own


def test_the_most_active_come_first_and_later_those_that_changed_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exemplar_maps, "MOST_PIXELS", 2 * 16)       # two filters fit into a record
    chooser = Chooser({"a": 6})
    maxima = peaked(6)
    maxima[:, [4, 1]] += 200
    assert [chooser({"a": maxima})["a"] for _ in range(3)] == [[1, 4], [0, 2], [3, 5]]
    maxima = maxima.copy()
    maxima[:, [2, 5]] += 5.0, 9.0
    assert chooser({"a": maxima})["a"] == [2, 5]
    # Against what they were when they were looked at last: now nobody changed.
    maxima = maxima.copy()
    maxima[:, 0] -= 1.0
    assert 0 in chooser({"a": maxima})["a"]


def test_a_record_holds_so_many_pixels_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    for top, side, size, samples in ((1, 4, 24, 40), (3, 4, 24, 40), (3, 9, 3, 40), (3, 4, 24, 2)):
        chooser = Chooser({"a": 30}, side=side, top=top, size=size)
        shown = (-(-side // -(-side // size))) ** 2 * min(top, samples)
        for most in (shown - 1, 5 * shown, 5 * shown + shown - 1, 17 * shown):
            monkeypatch.setattr(exemplar_maps, "MOST_PIXELS", most)
            assert len(chooser({"a": peaked(30, samples)})["a"]) == max(1, most // shown)


def test_a_filter_that_is_nowhere_finite_counts_as_silent() -> None:
    chooser = Chooser({"a": 20}, seconds=1.0)
    chooser.look.state["seconds"] = 1.0
    maxima = peaked(20)
    maxima[:, 0], maxima[3, 1] = np.nan, np.inf
    found = chooser({"a": maxima})["a"]
    assert 0 not in found and len(found) == 8 and math.isfinite(chooser.look.state["before"]["a"].sum())


def test_what_a_batch_takes_and_the_record_are_those_of_what_was_read() -> None:
    clock, maxima = iter([10.0, 16.0]).__next__, peaked(4)
    chooser = Chooser({"a": 4}, top=2, seconds=50.0)
    chooser.recorder._clock = clock
    maps = np.random.default_rng(1).normal(size=(4, 2, 4, 4)).astype(np.float32)
    maps[2, 1, 3, 3] = np.inf
    look = chooser.look
    look.sites, look.shape, look.epoch = {"a": None}, chooser.shapes.get, 3
    look.snapshots = {"a": SimpleNamespace(reductions={"maximum": maxima})}
    look.state["pairs"] = SimpleNamespace(refused={}, batches=4, read=lambda probe, chosen: {"a": maps})
    (record,) = chooser.recorder.explain(look)
    assert look.state["seconds"] == 1.5                         # of a batch
    finite = np.array([True, True, False, True])
    assert np.isfinite(record.low).tolist() == np.isfinite(record.high).tolist() == finite.tolist()
    found = record.low[:, None, None, None] + record.pixels / 255 * (record.high - record.low)[:, None, None, None]
    np.testing.assert_allclose(found[finite], maps[finite], atol=np.ptp(maps[finite]) / 255)
    np.testing.assert_array_equal(record.samples, np.argsort(-maxima, axis=0, kind="stable")[:2].T)
    assert (record.filters_in_all, record.full_size, record.note) == (4, (4, 4), "filters with a value that is not finite: 1")
