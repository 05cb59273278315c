"""`FeatureImages` in a fit: whose turn it is, the allowance of seconds, and what is recorded."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest

import featwatch as fw
from featwatch import wire
from featwatch.explain import filtering
from featwatch.explain.ascent import images as explain_images
from featwatch.explain.ascent.painter import Painted
from featwatch.explain.ascent.recipe import Recipe
from featwatch.explain.forms import Unsuitable
from featwatch.recorders import NothingToSay
from featwatch.recorders.base import Look
from featwatch.recorders.feature_work import bounded
from featwatch.records import FeatureImages
from tests.fits import fit, ours, quick
from tests.nets import functional

L = keras.layers


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
    unreached: int = -1

    def directions(self, filters: np.ndarray) -> np.ndarray:
        return filters

    steps = 10

    def paint(self, filters: np.ndarray, steps: int | None, strongest: np.ndarray, peaks: np.ndarray) -> Painted:
        assert strongest.shape == peaks.shape == (len(filters), 9)
        self.clock.now += self.step * (steps or self.steps) * len(filters)
        if steps is None:
            self.made.append(filters.tolist())
        n = len(filters)
        return Painted(
            np.zeros((n, 2, 2, 1), np.uint8), np.zeros(n, np.float32), np.zeros(n, np.float32), filters != self.unreached,
            np.full(n, 10, np.int32), np.zeros((n, 3), np.float32), np.zeros((n, 1, 2, 2, 1), np.uint8), (8,), 10, "patches",
        )  # fmt: skip

    def record(self, painted: Painted, filters: np.ndarray, *, epoch: int, layer: str, **more: Any) -> FeatureImages:
        return FeatureImages(
            epoch=epoch, layer=layer, filters=filters, pixels=painted.pixels, low=np.zeros(1), high=np.ones(1),
            activation=painted.activation, natural=painted.natural, reached=painted.reached, init=painted.init,
            refreshed=np.full(len(filters), epoch), elapsed_seconds=more["seconds"], filters_in_all=self.filters,
        )  # fmt: skip


class Bench:
    """Looks at slow layers with a clock of its own."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, layers: dict[str, tuple[int, float, float]], training: float = 60.0, **options: Any
    ) -> None:
        self.clock = Clock()
        self.painters = {name: SlowPainter(self.clock, *layer) for name, layer in layers.items()}
        self.training = training        # seconds between two looks
        self.recorder = fw.FeatureImages(steps=10, **{"filtered": 0, **options})
        self.recorder._clock = self.clock
        self.state: dict[str, Any] = {}
        self.weights: dict[str, np.ndarray] = {}
        self.taken: list[float] = []

        def painter_of(model: Any, site: Any, probe: Any, *, recipe: Recipe) -> SlowPainter:
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
            snapshots={
                name: SimpleNamespace(
                    reductions=r, layer=name, epoch=epoch, weights=self.weights.get(name),
                    info=SimpleNamespace(shape=(4, 4, 8) if name in "abc" else (8,)),
                )  # fmt: skip
                for name, r in reductions.items()
            },
        )  # fmt: skip
        began = self.clock.now
        found = list(self.recorder.explain(look))
        self.taken.append(self.clock.now - began)
        self.clock.now += self.training
        return found


def test_a_snapshot_keeps_to_its_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, {"a": (8, 0.5, 0.001), "b": (64, 0.5, 0.004), "c": (200, 0.5, 0.01)}, seconds=2.0)
    for epoch in range(100):
        bench.look(epoch)
    assert max(bench.taken) <= 2.0 + 0.5 + 0.25 * 2.0       # who is new takes its first batch in any case
    assert np.mean(bench.taken) > 1.0
    assert all(sum(bench.taken[:looks]) <= 1.1 * 2.0 * looks for looks in range(1, 101))
    for painter in bench.painters.values():
        assert set(sum(painter.made, [])) == set(range(painter.filters))


def test_many_layers_that_take_long_to_trace_take_no_more_than_the_seconds_of_all_snapshots(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layers = {f"layer{number}": (32, 1.5, 0.002) for number in range(20)}
    bench = Bench(monkeypatch, layers, seconds=2.0)
    for epoch in range(60):
        bench.look(epoch)
    assert max(bench.taken) <= 2.0 + 1.5
    assert all(sum(bench.taken[:looks]) <= 2.0 * looks + 1.5 for looks in range(1, 61))
    for painter in bench.painters.values():
        assert set(sum(painter.made, [])) == set(range(32))


def test_a_short_training_is_not_slowed_down_by_more_than_the_share(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, {"a": (32, 0.1, 0.0002), "b": (64, 0.1, 0.001)}, training=2.0, seconds=2.0, share=0.2)
    for epoch in range(40):
        bench.look(epoch)
    later = np.array(bench.taken[1:])
    assert later.mean() <= 1.1 * 0.2 * 2.0 and (later > 0).all()
    for painter in bench.painters.values():
        assert set(sum(painter.made, [])) == set(range(painter.filters))


def test_where_seconds_are_owed_a_small_image_is_made_all_the_same_and_a_large_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small = Bench(monkeypatch, {"a": (8, 9.0, 0.005)}, seconds=2.0)
    assert all(len(small.look(epoch)) == 1 for epoch in range(4))
    assert [len(made) for made in small.painters["a"].made] == [8, 1, 1, 1]
    large = Bench(monkeypatch, {"a": (8, 9.0, 0.1)}, seconds=2.0)
    found = [large.look(epoch) for epoch in range(9)]       # 9 s and 2.2 for the first image are paid back 2 s at a time
    assert isinstance(found[0][0], FeatureImages) and "no time for any image" in str(found[1][0])
    assert found[2:6] == [[]] * 4 and all(isinstance(record, FeatureImages) for (record,) in found[6:])


def test_what_is_too_slow_has_its_turn_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, {"quick": (8, 0.1, 0.001), "slow": (6, 4.0, 0.5)}, seconds=1.0)
    records = [record for epoch in range(60) for record in bench.look(epoch)]
    assert set(sum(bench.painters["slow"].made, [])) == set(range(6))
    assert len(bench.painters["quick"].made) > 10
    assert all(isinstance(record, FeatureImages) for record in records)
    assert all(sum(bench.taken[:looks]) <= looks + 15 for looks in range(1, 61))        # the first image of "slow"


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


def test_what_changed_most_comes_first_once_all_have_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, {"a": (6, 0, 0.1)}, seconds=2.0)
    bench.weights["a"] = np.ones((6, 3), np.float32)
    for epoch in range(4):
        bench.look(epoch)
    bench.weights["a"] = np.ones((6, 3), np.float32) + np.array([0.1, 0, 3, 0, 2, 0])[:, None]
    bench.look(4)
    assert [sorted(made) for made in bench.painters["a"].made] == [[0], [1], [2, 3], [4, 5], [2, 4]]


def test_what_is_to_be_known_of_the_images_is_in_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, {"a": (6, 0, 0.1)}, seconds=2.0)
    bench.painters["a"].unreached = 2
    notes = [record.note for epoch in range(3) for record in bench.look(epoch)][::2]
    alike = "every sample activates filter{} {} alike: what the image starts from was not chosen by it"
    assert notes[0] == "time for 1 filter; 5 wait for a later snapshot; " + alike.format("", 0)
    assert notes[1].endswith(
        f"; no gradient comes from filter 2: dead, or out of reach of this start; {alike.format('s', '2–3')}"
    )


def test_snapshots_of_the_ascent_are_bounded() -> None:
    record = FeatureImages(
        epoch=0, layer="a", filters=np.arange(4), pixels=np.zeros((4, 64, 64, 3), np.uint8), low=np.zeros(3), high=np.ones(3),
        activation=np.zeros(4), natural=np.zeros(4), reached=np.ones(4, bool), refreshed=np.zeros(4),
        snapshot_steps=np.array([1, 8, 32]), snapshot_pixels=np.arange(3, dtype=np.uint8)[None, :, None, None, None]
        * np.ones((4, 3, 64, 64, 3), np.uint8),
    )  # fmt: skip
    each = 4 * 64 * 64 * 3
    assert bounded(record, 3 * each) == (record, "")
    fewer, said = bounded(record, 3 * each - 1)
    assert fewer.snapshot_steps.tolist() == [8, 32] and fewer.snapshot_pixels[0, :, 0, 0, 0].tolist() == [1, 2]
    assert said == "images after 1 steps left out: all snapshots would be 0.1 MB"
    none, said = bounded(record, each - 1)
    assert none.snapshot_steps.size == none.snapshot_pixels.size == 0 and "after 1, 8, 32 steps left out" in said
    assert wire.decode(wire.encode(none)).snapshot_steps.size == 0


def test_given_filters_are_made_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, {"a": (8, 0, 0.001), "b": (8, 0, 0.001)}, filters=[5, 2, 5])
    assert [sorted(record.filters) for record in bench.look(0)] == [[2, 5], [2, 5]]
    bench = Bench(monkeypatch, {"a": (8, 0, 0.001), "b": (8, 0, 0.001)}, filters={"b": [1]})
    assert [(record.layer, record.filters.tolist()) for record in bench.look(0)] == [("b", [1])]
    with pytest.raises(ValueError, match="layer 'a' has the filters 0 to 7, and no filter 8"):
        Bench(monkeypatch, {"a": (8, 0, 0.001)}, filters=[8]).look(0)
    with pytest.raises(ValueError, match="'conf' is none of this recorder's layers .did you mean 'conv'"):
        Bench(monkeypatch, {"conv": (8, 0, 0.001)}, filters={"conf": [0]}).look(0)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"filters": []}, ValueError, "names none"),
        ({"filters": {}}, ValueError, "names no layer"),
        ({"filters": {"a": [-1]}}, ValueError, r"filters\['a'\]=-1 is out of range"),
        ({"filters": 3}, TypeError, "give a list"),
        ({"filters": [1.5]}, TypeError, "not a whole number"),
        ({"steps": 0}, ValueError, "steps=0"),
        ({"seconds": 0}, ValueError, "seconds=0"),
        ({"basis": "fourrier"}, ValueError, "expected 'fourier' or 'pixels'"),
        ({"init": None}, ValueError, "init=None: expected 'patches' or"),
        ({"share": 0}, ValueError, "share=0"),
        ({"snapshots": (0,)}, ValueError, "snapshots=0"),
        ({"startz": 3}, TypeError, "startz=3: there is no such choice; did you mean 'starts'"),
        ({"starts": 3, "keep": "all"}, ValueError, "keep 'best' or 'mean'"),
    ],
)
def test_options_are_checked(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fw.FeatureImages(**options)


def test_layers_take_turns_in_filtering_once_all_filters_have_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, {"a": (8, 0.1, 0.001), "b": (8, 0.1, 0.001), "dense": (8, 0.1, 0.001)}, seconds=2.0, filtered=2)

    def filtered(model: Any, site: Any, probe: Any, filters: np.ndarray, strongest: np.ndarray) -> dict[str, Any]:
        bench.clock.now += 1.0
        if site.name == "b":
            raise Unsuitable("not this one")
        return {"filtered_filters": filters}

    monkeypatch.setattr(filtering, "filtered_feature_images", filtered)
    found = [bench.look(epoch) for epoch in range(4)]
    said = [str(each) for look in found for each in look if isinstance(each, NothingToSay)]
    assert said == ["layer 'b' has no filtered images: not this one"]
    records = [each for look in found for each in look if isinstance(each, FeatureImages)]
    # The deeper one comes first, and is asked no more.
    assert [each.filtered_filters.tolist() for each in records if each.layer == "a"] == [[], [0, 1], [0, 1], [0, 1]]
    assert not any(each.filtered_filters.size for each in records if each.layer != "a") and max(bench.taken) <= 2.1


def test_several_layers_are_filtered_where_half_of_the_seconds_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, dict.fromkeys("abc", (8, 0.1, 0.001)), seconds=3.0, filtered=2)

    def filtered(model: Any, site: Any, probe: Any, filters: np.ndarray, strongest: np.ndarray) -> dict[str, Any]:
        bench.clock.now += 0.7
        return {"filtered_filters": filters}

    monkeypatch.setattr(filtering, "filtered_feature_images", filtered)
    found = [[each for each in bench.look(epoch) if isinstance(each, FeatureImages)] for epoch in range(4)]
    had = [sorted(each.layer for each in look if each.filtered_filters.size) for look in found]
    assert had == [["b", "c"], ["a", "c"], ["a", "b"], ["b", "c"]] and all(len(look) == 3 for look in found)
    assert max(bench.taken) <= 3.1


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
        assert record.snapshot_steps.tolist() == [1] and record.snapshot_pixels.shape == (filters, 1, size, size, 1)
        assert record.features.shape[0] == filters and record.settings["guard"] == 0.25
        assert record.filtered_filters.size == (0 if layer == "scores" else 4)
    model.set_weights(kernels[2])                   # the model as it was looked at: what entered its last layer's ReLU
    record = run.feature_images("last", 2)
    values = model.get_layer("last").output
    canvas = np.zeros((6, 8, 8, 1), np.float32)
    canvas[:, 1:, 1:] = record.images               # "last" sees 7 by 7: stem 3, block 3, itself 3
    mine = keras.Model(model.inputs, values).predict(canvas, verbose=0)
    assert mine.shape == (6, 4, 4, 6)
    np.testing.assert_allclose(record.activation, mine[np.arange(6), 2, 2, record.filters], rtol=0.05, atol=0.02)
