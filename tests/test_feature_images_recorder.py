"""`FeatureImages` in a fit: whose turn it is, the allowance of seconds, and what is recorded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import featwatch as fw
from featwatch.explain import images as explain_images
from featwatch.explain.forms import Unsuitable
from featwatch.explain.painter import Painted
from featwatch.recorders import NothingToSay
from featwatch.recorders.base import Look
from featwatch.recorders.turns import MOST_ACTIVE, Turns
from featwatch.records import FeatureImages
from tests.fits import fit, ours, quick
from tests.nets import functional

L = keras.layers


def test_the_most_active_come_first_and_the_others_in_turn() -> None:
    activity = np.arange(40.0)[::-1]
    turns, seen = Turns(np.arange(40)), []
    for _ in range(2):
        turns.begin()
        while turns.waiting:
            seen.append(turns.next(activity, 16).tolist())
    assert seen[:3] == seen[3:] == [list(range(16)), list(range(16, 32)), list(range(32, 40))]


def test_with_time_for_one_turn_the_most_active_and_the_others_alternate() -> None:
    activity = np.arange(64.0)[::-1]
    turns, seen = Turns(np.arange(64)), []
    for _ in range(8):
        turns.begin()
        seen.append(turns.next(activity, 16))
    assert [turn.tolist() for turn in seen[::2]] == [list(range(16))] * 4
    assert np.concatenate(seen[1::2]).tolist() == [*range(16, 64), *range(16, 32)]


@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 5), st.integers(0, 99))
def test_everybody_has_a_turn_and_nobody_two_in_one_snapshot(filters: int, most: int, turns_each: int, seed: int) -> None:
    turns = Turns(np.arange(100, 100 + filters))
    rng = np.random.default_rng(seed)
    served: set[int] = set()
    for _ in range(4 * filters + 4):
        activity = rng.random(100 + filters)
        turns.begin()
        here: list[int] = []
        for _ in range(turns_each):
            if turns.waiting:
                now = turns.next(activity, most).tolist()
                assert 1 <= len(now) <= most
                here += now
        assert len(set(here)) == len(here)
        assert here[:1] or filters == 0
        served |= set(here)
    assert served == set(range(100, 100 + filters))
    assert MOST_ACTIVE == 16


class Clock:
    """Stands still but where a painter takes its time."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class SlowPainter:
    """Takes `trace` seconds to build and `step` seconds for a step of one image."""

    clock: Clock
    filters: int
    trace: float
    step: float
    made: list[list[int]] = field(default_factory=list)
    at_once: int = 16

    def directions(self, filters: np.ndarray) -> np.ndarray:
        return filters

    def from_patches(self, filters: np.ndarray, steps: int, strongest: np.ndarray, peaks: np.ndarray) -> Painted:
        assert strongest.shape == peaks.shape == (len(filters), 9)
        self.clock.now += self.step * steps * len(filters)
        if steps > 2:
            self.made.append(filters.tolist())
        n = len(filters)
        return Painted(np.zeros((n, 2, 2, 1), np.uint8), np.zeros(n, np.float32), np.zeros(n, np.float32), np.ones(n, bool))

    def record(self, painted: Painted, filters: np.ndarray, *, epoch: int, layer: str, **more: Any) -> FeatureImages:
        return FeatureImages(
            epoch=epoch, layer=layer, filters=filters, pixels=painted.pixels, low=np.zeros(1), high=np.ones(1),
            activation=painted.activation, natural=painted.natural, reached=painted.reached,
            refreshed=np.full(len(filters), epoch), elapsed_seconds=more["seconds"],
        )  # fmt: skip


class Bench:
    """Looks at slow layers with a clock of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, layers: dict[str, tuple[int, float, float]], **options: Any) -> None:
        self.clock = Clock()
        self.painters = {name: SlowPainter(self.clock, *layer) for name, layer in layers.items()}
        self.recorder = fw.FeatureImages(steps=10, **options)
        self.recorder._clock = self.clock
        self.state: dict[str, Any] = {}

        def painter_of(model: Any, site: Any, probe: Any, *, basis: str) -> SlowPainter:
            painter = self.painters[site.name]
            self.clock.now += painter.trace
            if not painter.filters:
                raise Unsuitable("it has none")
            return painter

        monkeypatch.setattr(explain_images, "painter_of", painter_of)

    def look(self, epoch: int, activity: float = 1.0) -> list[FeatureImages | NothingToSay]:
        reductions = {
            name: {"maximum": np.full((20, max(1, p.filters)), activity), "peak": np.zeros((20, max(1, p.filters)), int)}
            for name, p in self.painters.items()
        }
        look = Look(
            model=None, probe=None, epoch=epoch, step=-1, state=self.state,
            sites={name: SimpleNamespace(name=name) for name in self.painters},
            snapshots={name: SimpleNamespace(reductions=r, layer=name, epoch=epoch) for name, r in reductions.items()},
        )  # fmt: skip
        return list(self.recorder.explain(look))

    def seconds(self) -> Iterator[float]:
        for epoch in range(100):
            before = self.clock.now
            self.look(epoch)
            yield self.clock.now - before


def test_a_snapshot_keeps_to_its_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, {"a": (8, 0.5, 0.001), "b": (64, 0.5, 0.004), "c": (200, 0.5, 0.01)}, seconds=2.0)
    taken = list(bench.seconds())
    assert max(taken[3:]) <= 2.0 and np.mean(taken[3:]) > 1.0
    assert max(taken[:3]) <= 2.0 + 0.5 + 0.25 * 2.0         # who is new takes its first batch in any case
    for painter in bench.painters.values():
        assert set(sum(painter.made, [])) == set(range(painter.filters))


def test_what_is_too_slow_has_its_turn_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, {"quick": (8, 0.1, 0.001), "slow": (6, 4.0, 0.5)}, seconds=1.0)
    records = [record for epoch in range(30) for record in bench.look(epoch)]
    assert set(sum(bench.painters["slow"].made, [])) == set(range(6))
    assert len(bench.painters["quick"].made) > 10
    assert all(isinstance(record, FeatureImages) for record in records)


def test_without_a_limit_everything_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, {"a": (8, 1, 1), "b": (40, 1, 1)}, seconds=None)
    for epoch in range(2):
        a, b = bench.look(epoch)
        assert sorted(a.filters) == list(range(8)) and sorted(b.filters) == list(range(40))
        assert (a.refreshed == epoch).all() and (a.epoch, a.layer, b.layer) == (epoch, "a", "b")
    assert b.elapsed_seconds == 40 * 10


def test_a_layer_without_feature_images_is_mentioned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, {"a": (8, 0, 0.001), "none": (0, 0, 0)})
    reason, record = bench.look(0)
    assert "'none' has no feature images: it has none" in str(reason) and record.layer == "a"
    assert [record.layer for record in bench.look(1)] == ["a"]
    assert "not finite" in str(bench.look(2, activity=np.nan)[0])           # and the layer comes back
    assert [record.layer for record in bench.look(3)] == ["a"]


def test_given_filters_are_made_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, {"a": (8, 0, 0.001), "b": (8, 0, 0.001)}, filters=[5, 2, 5])
    assert [sorted(record.filters) for record in bench.look(0)] == [[2, 5], [2, 5]]
    bench = Bench(monkeypatch, {"a": (8, 0, 0.001), "b": (8, 0, 0.001)}, filters={"b": [1]})
    assert [(record.layer, record.filters.tolist()) for record in bench.look(0)] == [("b", [1])]
    with pytest.raises(ValueError, match="layer 'a' has the filters 0 to 7, and no filter 8"):
        Bench(monkeypatch, {"a": (8, 0, 0.001)}, filters=[8]).look(0)
    with pytest.raises(ValueError, match="'conf' is none of this recorder's layers; did you mean 'conv'"):
        Bench(monkeypatch, {"conv": (8, 0, 0.001)}, filters={"conf": [0]}).look(0)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"filters": []}, ValueError, "names no filter"),
        ({"filters": {}}, ValueError, "names no layer"),
        ({"filters": {"a": [-1]}}, ValueError, r"filters\['a'\]=-1 is out of range"),
        ({"filters": 3}, TypeError, "give a list"),
        ({"filters": [1.5]}, TypeError, "not a whole number"),
        ({"steps": 0}, ValueError, "steps=0"),
        ({"seconds": 0}, ValueError, "seconds=0"),
        ({"basis": "fourrier"}, ValueError, "expected 'fourier' or 'pixels'"),
        ({"init": None}, ValueError, "expected 'patches' or 'noise'"),
    ],
)
def test_options_are_checked(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fw.FeatureImages(**options)


def test_in_a_fit(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    model = functional()
    recorder = fw.FeatureImages(schedule=fw.at(0, 2), steps=8, seconds=None, layers=["stem", "last", "scores"])
    kernels: dict[int, Any] = {}

    class Keep(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            kernels[epoch + 1] = [w.copy() for w in model.get_weights()]

    fit(model, quick(tmp_path, recorders=[recorder]), Keep(), epochs=2)
    assert not ours(recwarn)
    run = fw.load(tmp_path)
    for layer, (filters, size) in {"stem": (4, 3), "last": (6, 7), "scores": (3, 8)}.items():
        for epoch in (0, 2):
            record = run.feature_images(layer, epoch)
            assert record.epoch == epoch and sorted(record.filters) == list(range(filters)) and record.reached.all()
            assert record.images.shape == (filters, size, size, 1) and record.patch == (layer != "scores")
    model.set_weights(kernels[2])                   # the model as it was looked at: what entered its last layer's ReLU
    record = run.feature_images("last", 2)
    values = model.get_layer("last").output
    canvas = np.zeros((6, 8, 8, 1), np.float32)
    canvas[:, 1:, 1:] = record.images               # "last" sees 7 by 7: stem 3, block 3, itself 3
    mine = keras.Model(model.inputs, values).predict(canvas, verbose=0)
    assert mine.shape == (6, 4, 4, 6)
    np.testing.assert_allclose(record.activation, mine[np.arange(6), 2, 2, record.filters], rtol=0.05, atol=0.02)
