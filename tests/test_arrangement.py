"""Feature images on a grid, alike ones as neighbours: of planted groups, from epoch to epoch, and in a fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import featwatch as fw
from featwatch import wire
from featwatch.analysis.arrangement import Earlier, arrangement
from featwatch.recorders import NothingToSay
from featwatch.records import FeatureArrangement, FeatureImages
from tests.fits import PROBE, fit, quick
from tests.nets import sequential


def grouped(groups: int, each: int, seed: int = 0, numbers: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """(pictures, numbers) features around one place per group, and the groups, in a random order."""
    rng = np.random.default_rng(seed)
    group = rng.permutation(np.repeat(np.arange(groups), each))
    return (3 * rng.normal(size=(groups, numbers))[group] + rng.normal(size=(len(group), numbers))).astype(np.float32), group


def agreement(cells: np.ndarray, columns: int, group: np.ndarray) -> float:
    """The share of pairs of pictures side by side, or one above the other, that are of one group."""
    at = {int(cell): int(one) for cell, one in zip(cells, group, strict=True)}
    pairs = [
        (at[cell], at[beside])
        for cell in at
        for beside in ((cell + 1,) if (cell + 1) % columns else ()) + (cell + columns,)
        if beside in at
    ]
    return float(np.mean([one == other for one, other in pairs]))


@pytest.mark.parametrize(("groups", "each", "least"), [(4, 16, 0.75), (8, 8, 0.6), (3, 40, 0.8)])
def test_neighbours_on_the_grid_are_of_one_planted_group(groups: int, each: int, least: float) -> None:
    features, group = grouped(groups, each)
    found = arrangement(np.arange(len(group)), features)
    rng = np.random.default_rng(0)
    chance = np.mean([agreement(rng.permutation(found.cells), found.columns, group) for _ in range(50)])
    # Of 4 groups in quarters of an 8 by 8 grid, 96 of 112 pairs are of one group: 0.86 is the most that there can be.
    assert agreement(found.cells, found.columns, group) > max(least, 2 * chance)


def brute_force(points: np.ndarray, cells: np.ndarray, columns: int, rows: int) -> bool:
    """Whether no two pictures would together be nearer to their cells if they changed places, with y upwards."""
    low, high = np.quantile(points.astype(float), [0.02, 0.98], axis=0)
    middle = (low + high) / 2
    side = (high - low).max() / 0.96 / columns
    x, y = cells % columns, rows - 1 - cells // columns
    centre = middle + side * (np.stack([x, y], axis=1) - [(columns - 1) / 2, (rows - 1) / 2])
    cost = ((points[:, None] - centre[None]) ** 2).sum(axis=2)
    own = np.diag(cost)
    gain = own[:, None] + own[None] - cost - cost.T
    return bool(gain.max() <= 1e-2 * side**2)


def test_the_top_of_the_plane_is_the_top_of_the_grid() -> None:
    features, _ = grouped(4, 16)
    found = arrangement(np.arange(64), features)
    assert (found.columns, found.rows) == (8, 8) and sorted(found.cells) == list(range(64))
    assert brute_force(found.points, found.cells, found.columns, found.rows)
    row = found.cells // found.columns
    assert np.corrcoef(found.points[:, 1], row)[0, 1] < -0.5


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 30), st.integers(2, 5), st.integers(0, 99), st.booleans())
def test_everyone_has_a_cell_of_their_own(count: int, numbers: int, seed: int, equal: bool) -> None:
    features = np.random.default_rng(seed).normal(size=(count, numbers)).astype(np.float32)
    if equal:
        features[:] = features[0] * 2.0 ** np.arange(count, dtype=np.float32)[:, None]
    found = arrangement(np.arange(count), features)
    assert len(set(found.cells.tolist())) == count and found.points.shape == (count, 2) and np.isfinite(found.points).all()
    assert found.cells.min() >= 0 and found.cells.max() < found.columns * found.rows
    assert found.columns * (found.rows - 1) < count <= found.columns * found.rows
    assert bool(found.note) == (count < 4 or equal)


def test_sizes_of_features_do_not_matter() -> None:
    features, _ = grouped(3, 10)
    plain, huge, tiny = (arrangement(np.arange(30), scale * features) for scale in (1.0, 2.0**100, 2.0**-100))
    assert plain.cells.tolist() == huge.cells.tolist() == tiny.cells.tolist()


def test_the_same_seed_gives_the_same() -> None:
    features, _ = grouped(3, 10)
    one, two = (arrangement(np.arange(30), features, seed=7) for _ in range(2))
    assert np.array_equal(one.points, two.points) and np.array_equal(one.cells, two.cells)


def test_it_stays_where_it_is_while_the_features_do_and_new_ones_join_those_they_are_alike() -> None:
    features, group = grouped(4, 16, seed=3)
    first = arrangement(np.arange(50), features[:50])
    before = Earlier(np.arange(50), first.points, features[:50])
    same = arrangement(np.arange(50), features[:50], before)
    radius = np.sqrt(((first.points - first.points.mean(axis=0)) ** 2).sum(axis=1).mean())
    assert np.linalg.norm(same.points - first.points, axis=1).max() < 0.02 * radius
    assert (same.cells == first.cells).mean() > 0.9
    all_of_them = arrangement(np.arange(64), features, before)
    anew = arrangement(np.arange(64), features, seed=5)
    assert np.median(np.linalg.norm(all_of_them.points[:50] - first.points, axis=1)) < 0.2 * radius
    for new in range(50, 64):           # nearest to the middle of its own group
        middles = [first.points[group[:50] == one].mean(axis=0) for one in range(4)]
        assert np.argmin(np.linalg.norm(middles - all_of_them.points[new], axis=1)) == group[new]
    kept = agreement(all_of_them.cells, all_of_them.columns, group)
    assert kept > 0.9 * agreement(anew.cells, anew.columns, group)


def test_an_earlier_arrangement_of_others_is_none() -> None:
    features, _ = grouped(3, 10)
    before = Earlier(np.arange(20, 50), np.zeros((30, 2), np.float32), features)
    assert np.array_equal(arrangement(np.arange(30), features, before).cells, arrangement(np.arange(30), features).cells)
    other = Earlier(np.arange(30), np.zeros((30, 2), np.float32), features[:, :5])
    assert np.array_equal(arrangement(np.arange(30), features, other).cells, arrangement(np.arange(30), features).cells)


# The recorder


def images(epoch: int, filters: list[int], features: np.ndarray) -> FeatureImages:
    n = len(filters)
    return FeatureImages(
        epoch=epoch, layer="conv", filters=np.array(filters, np.int32), pixels=np.zeros((n, 2, 2, 1), np.uint8),
        low=np.zeros(1), high=np.ones(1), activation=np.zeros(n), natural=np.zeros(n), reached=np.ones(n, bool),
        refreshed=np.full(n, epoch, np.int32), features=features.astype(np.float32), filters_in_all=64,
    )  # fmt: skip


class Snapshot:
    layer, step = "conv", -1

    def __init__(self, record: FeatureImages | None, previous: Any = None) -> None:
        self.epoch = record.epoch if record else 0
        self.results = {"feature_images": record} if record else {}
        self.previous = previous


def test_images_made_later_replace_earlier_ones() -> None:
    features, _ = grouped(4, 5)
    recorder = fw.FeatureArrangement()
    first = recorder.analyse(Snapshot(images(0, [9, 4, 2, 7, 0], features[:5])))
    second = recorder.analyse(Snapshot(images(5, [4, 11], features[5:7]), first))
    assert second.filters.tolist() == [0, 2, 4, 7, 9, 11] and second.made.tolist() == [0, 0, 5, 0, 0, 5]
    np.testing.assert_array_equal(second.features, features[[4, 2, 5, 3, 0, 6]])
    assert sorted(second.cells) != second.cells.tolist() or second.note == ""
    again = wire.decode(wire.encode(second))
    np.testing.assert_allclose(again.features, second.features, rtol=2**-10)
    resumed = recorder.analyse(Snapshot(images(10, [0], features[7:8]), again))
    assert resumed.made.tolist() == [10, 0, 5, 0, 0, 5]


def test_few_equal_and_not_finite_features_are_said() -> None:
    features, _ = grouped(4, 5)
    recorder = fw.FeatureArrangement()
    few = recorder.analyse(Snapshot(images(0, [5, 3], features[:2])))
    assert few.note == "fewer than 4 images: in the order of their filters" and few.cells.tolist() == [0, 1]
    more = recorder.analyse(Snapshot(images(1, [0, 1, 2], features[2:5]), few))
    assert more.note == "" and more.filters.tolist() == [0, 1, 2, 3, 5]
    equal = recorder.analyse(Snapshot(images(0, [0, 1, 2, 3], np.ones((4, 3)))))
    assert "the same features" in equal.note and equal.cells.tolist() == [0, 1, 2, 3]
    features[2] = np.nan
    odd = recorder.analyse(Snapshot(images(0, [0, 1, 2, 3, 4], features[:5])))
    assert odd.filters.tolist() == [0, 1, 3, 4]
    assert odd.note == "without filters 2, whose images have features that are not finite"
    assert recorder.analyse(Snapshot(None)) is None
    with pytest.raises(NothingToSay, match="none has finite features"):
        recorder.analyse(Snapshot(images(0, [0], np.full((1, 3), np.inf))))
    with pytest.raises(NothingToSay, match="features were not recorded"):
        recorder.analyse(Snapshot(replace(images(0, [0], np.ones((1, 3))), features=np.zeros((0, 0), np.float32))))


def test_its_options_and_what_was_before_reach_the_layout() -> None:
    features, _ = grouped(4, 8)
    chosen: dict[str, Any] = {"n_neighbors": 5, "min_dist": 0.4, "seed": 3}
    recorder, everyone = fw.FeatureArrangement(**chosen), list(range(32))
    first = recorder.analyse(Snapshot(images(0, everyone, features)))
    own = arrangement(np.arange(32), features, **chosen)
    np.testing.assert_array_equal(first.points, own.points)
    np.testing.assert_array_equal(first.cells, own.cells)
    for option, value in {"n_neighbors": 15, "min_dist": 0.1, "seed": 0}.items():
        assert not np.array_equal(first.points, arrangement(np.arange(32), features, **{**chosen, option: value}).points)
    moved = features + 0.3 * np.random.default_rng(1).normal(size=features.shape).astype(np.float32)
    second = recorder.analyse(Snapshot(images(5, everyone, moved), first))
    went_on = arrangement(np.arange(32), moved, Earlier(first.filters, first.points, first.features), **chosen)
    np.testing.assert_array_equal(second.points, went_on.points)
    assert not np.array_equal(second.points, arrangement(np.arange(32), moved, **chosen).points)


def test_features_of_another_size_or_that_are_lost_are_not_kept() -> None:
    features, _ = grouped(4, 5)
    recorder = fw.FeatureArrangement()
    first = recorder.analyse(Snapshot(images(0, [0, 1, 2, 3, 4], features[:5])))
    other = recorder.analyse(Snapshot(images(5, [1, 3, 6, 8], features[:4, :7]), first))
    assert other.filters.tolist() == [1, 3, 6, 8] and other.features.shape == (4, 7)
    lost = features[:2].copy()
    lost[1] = np.nan
    later = recorder.analyse(Snapshot(images(5, [0, 3], lost), first))      # of its new image, the old ones are not
    assert later.filters.tolist() == [0, 1, 2, 4] and later.note.startswith("without filters 3")
    few = fw.FeatureArrangement().analyse(Snapshot(images(0, [5, 3], np.array([[1.0, 2], [np.nan, 1]]))))
    assert few.note.startswith("fewer than 4 images: ") and "; without filters 3, whose images" in few.note


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_neighbors": 1}, ValueError, "n_neighbors=1"),
        ({"min_dist": 2}, ValueError, "min_dist=2"),
        ({"seed": -1}, ValueError, "seed=-1"),
    ],
)
def test_options_are_checked(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fw.FeatureArrangement(**options)
    with pytest.raises(ValueError, match="FeatureArrangement builds on FeatureImages; add featwatch.FeatureImages"):
        fw.Watch("unused", PROBE, recorders=[fw.FeatureArrangement()])


def recorders(**options: Any) -> list[Any]:
    every = fw.every(epochs=1)
    return [fw.FeatureArrangement(schedule=every), fw.FeatureImages(steps=4, seconds=None, schedule=every, **options)]


def test_in_fits_with_a_worker_that_go_on_and_are_resumed(tmp_path: Path) -> None:
    model = sequential()
    watch = fw.Watch(tmp_path, PROBE, layers=["conv", "dense"], recorders=recorders(), strict=True)
    fit(model, watch, epochs=1)
    fit(model, watch, epochs=1)                                             # the same watch goes on
    resumed = fw.Watch(tmp_path, PROBE, layers=["conv", "dense"], recorders=recorders(filters=[0, 1]), strict=True)
    fit(model, resumed, epochs=3, initial_epoch=2)
    run = fw.load(tmp_path)
    assert run.recorded(FeatureArrangement.kind, "dense") == [0, 1, 2, 3]
    dense, conv = run.arrangement("dense", 2), run.arrangement("conv", 2)
    assert dense.filters.tolist() == list(range(8)) and dense.made.tolist() == [2] * 8 and dense.features.shape[0] == 8
    assert conv.filters.tolist() == list(range(4)) and not conv.note and (conv.columns, conv.rows) == (2, 2)
    last = run.arrangement("dense", 3)
    assert last.made.tolist() == [3, 3] + [2] * 6                         # the others are those of the training before
    assert not [entry for entry in run.journal if entry["kind"] == "failed"]


def test_layers_without_an_image_at_a_snapshot_are_passed_over_in_silence(tmp_path: Path) -> None:
    images_of = fw.FeatureImages(filters={"conv": [0, 1, 2, 3]}, steps=2, seconds=None)
    watch = quick(tmp_path, layers=["conv", "dense"], recorders=[fw.FeatureArrangement(), images_of], strict=True)
    fit(sequential(), watch, epochs=1)
    run = fw.load(tmp_path)
    assert run.recorded(FeatureArrangement.kind, "conv") == [0, 1] and run.recorded(FeatureArrangement.kind, "dense") == []
    assert [entry for entry in run.journal if entry.get("recorder") == "feature_arrangement"] == []


def test_images_are_made_where_an_arrangement_is_due_and_of_its_layers_only(tmp_path: Path) -> None:
    images_of = fw.FeatureImages(steps=2, seconds=None, schedule=fw.at(1))
    arranged = fw.FeatureArrangement(layers="conv", schedule=fw.at(2))
    fit(sequential(), quick(tmp_path, layers=["conv", "dense"], recorders=[arranged, images_of], strict=True), epochs=3)
    run = fw.load(tmp_path)
    assert run.recorded("feature_images", "conv") == [1, 2] and run.recorded("feature_images", "dense") == [1]
    assert run.recorded("arrangement", "conv") == [2] and run.recorded("arrangement", "dense") == []
