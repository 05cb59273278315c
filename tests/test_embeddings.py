"""What `Embeddings` records beside the points: movements, stability, who travelled, stages, the layer before."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from sklearn.datasets import load_digits
from sklearn.manifold import trustworthiness

import featwatch as fw
from featwatch.analysis.layout import near_in_plane
from featwatch.analysis.neighbours import nearest
from featwatch.recorders.base import LayerSnapshot
from featwatch.records import Embedding, LayerInfo
from tests.nets import images, sequential

FEATURES = load_digits().data[:120].astype(np.float32)


def snapshot(features: np.ndarray, epoch: int = 0, layer: str = "dense", **more: Any) -> LayerSnapshot:
    info = LayerInfo(name=layer, type="Dense", shape=features.shape[1:], filters=features.shape[1], tapped=layer,
                     activation="relu", parameters=1, features=features.shape[1], sketch=features.shape[1])  # fmt: skip
    reductions = {"features": features, "largest": features.argmax(axis=1).astype(np.int32)}
    return LayerSnapshot(epoch=epoch, info=info, labels=np.zeros(len(features), np.int32), reductions=reductions, **more)


def following(recorder: fw.Embeddings, before: Embedding, features: np.ndarray, then: np.ndarray) -> Embedding:
    return recorder.analyse(snapshot(features, before.epoch + 1, previous=before, previous_reductions={"features": then}))


def drifted(seed: int = 0) -> np.ndarray:
    """Everything moves a little, five samples far."""
    rng = np.random.default_rng(seed)
    after = FEATURES + rng.normal(scale=0.3, size=FEATURES.shape).astype(np.float32)
    after[:5] = FEATURES[60:65] + 0.1
    return after


@pytest.mark.parametrize("layout", ["umap", "tsne", "pca"])
def test_movements_and_stability_are_what_they_are_said_to_be(layout: str) -> None:
    recorder, after = fw.Embeddings(layout), drifted()
    first = recorder.analyse(snapshot(FEATURES))
    assert first.started_from == -1 and math.isnan(first.stability) and not first.movement.size and first.travelled == ()
    second = following(recorder, first, after, FEATURES)
    now, then = after - after.mean(0), FEATURES - FEATURES.mean(0)
    grown = np.sqrt((now**2).sum() / (then**2).sum())
    unit = np.median(np.sort(np.linalg.norm(after[:, None] - after[None], axis=2), axis=1)[:, 15])
    expected = np.linalg.norm(now - grown * then, axis=1) / unit
    np.testing.assert_allclose(second.movement, expected, rtol=1e-4)
    way = np.linalg.norm(second.points - first.points, axis=1)
    assert second.stability == pytest.approx(pearsonr(expected, way).statistic, abs=1e-4)
    assert second.stability_rank == pytest.approx(spearmanr(second.movement, way).statistic, abs=1e-4)
    spread = first.points - first.points.mean(axis=0)
    assert second.points_moved == pytest.approx(np.median(way) / np.sqrt((spread**2).sum(axis=1).mean()), rel=1e-4)
    assert second.features_moved == pytest.approx(np.median(expected), rel=1e-4)
    assert {entry["sample"] for entry in second.travelled[:5]} == set(range(5)) and len(second.travelled) == 10
    assert [entry["distance"] for entry in second.travelled] == pytest.approx(sorted(second.movement, reverse=True)[:10])
    assert second.started_from == 0 and second.trustworthiness == pytest.approx(
        trustworthiness(after, second.points, n_neighbors=15), abs=1e-6
    )


def test_what_moves_more_in_features_moves_more_in_the_plane() -> None:
    recorder = fw.Embeddings()
    first = recorder.analyse(snapshot(FEATURES))
    after = FEATURES + (np.linspace(0, 1.5, 120)[:, None] * np.random.default_rng(0).normal(size=FEATURES.shape)).astype("f4")
    second = following(recorder, first, after, FEATURES)
    assert second.stability_rank > 0.5 and second.neighbors_kept > 0.5
    assert 0.05 <= second.freedom <= 3.2
    still = following(recorder, second, after, after)
    np.testing.assert_array_equal(still.points, second.points)
    assert math.isnan(still.stability) and still.travelled == ()


def test_a_resumed_run_continues_from_where_the_layout_was() -> None:
    """Its features before are not known: the layout may move, but not jump."""
    recorder = fw.Embeddings()
    first = recorder.analyse(snapshot(FEATURES))
    again = recorder.analyse(snapshot(drifted(), 1, previous=first))
    fresh = recorder.analyse(snapshot(drifted(), 1))
    assert again.started_from == 0 and not again.movement.size and math.isnan(again.stability)
    near, far = (np.median(np.linalg.norm(points - first.points, axis=1)) for points in (again.points, fresh.points))
    assert near < far / 3
    other = recorder.analyse(snapshot(FEATURES[:50], 1, previous=first))
    assert other.started_from == -1


def test_a_layout_does_not_start_from_one_that_was_made_by_another_method() -> None:
    """What is near in one is not in another: principal components of small features are all within UMAP's least distance."""
    pca, small = fw.Embeddings("pca"), FEATURES * np.float32(1e-6)
    first = pca.analyse(snapshot(small))
    other = fw.Embeddings().analyse(snapshot(small, 1, previous=first))
    assert other.started_from == -1 and other.trustworthiness > 0.9
    np.testing.assert_array_equal(other.points, fw.Embeddings().analyse(snapshot(small, 1)).points)
    assert pca.analyse(snapshot(small, 1, previous=first)).started_from == 0


def test_movements_whose_squares_are_beyond_float32() -> None:
    recorder, unit = fw.Embeddings("pca"), np.float32(2.0**80)
    first, huge = (recorder.analyse(snapshot(FEATURES * scale)) for scale in (1, unit))
    second = following(recorder, first, drifted(), FEATURES)
    found = following(recorder, huge, drifted() * unit, FEATURES * unit)
    assert found.points_moved == pytest.approx(second.points_moved, rel=1e-4)
    assert found.stability == pytest.approx(second.stability, abs=1e-4)


def test_layer_against_layer() -> None:
    recorder = fw.Embeddings(start="layer")
    first = recorder.analyse(snapshot(FEATURES))
    wide = np.concatenate([FEATURES, FEATURES**2 / 8], axis=1)
    beside = recorder.analyse(snapshot(wide, layer="scores", beside=first))
    apart = recorder.analyse(snapshot(wide, layer="scores"))
    assert beside.beside == "dense" and beside.started_from == 0 and math.isnan(beside.stability)
    way = [np.median(np.linalg.norm(found.points - first.points, axis=1)) for found in (beside, apart)]
    assert way[0] < way[1] / 2 and beside.neighbors_kept > apart.neighbors_kept - 0.1
    assert fw.Embeddings().analyse(snapshot(wide, layer="scores", beside=first)).beside == ""


def test_stages_are_kept_where_they_are_wished() -> None:
    plain, staged = fw.Embeddings().analyse(snapshot(FEATURES)), fw.Embeddings(stages=6).analyse(snapshot(FEATURES))
    np.testing.assert_array_equal(plain.points, staged.points)
    assert plain.stages.shape == (0, 0, 0) and staged.stages.shape == (6, 120, 2) and staged.rounds.shape == (6,)
    np.testing.assert_allclose(staged.stages[-1], staged.points, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"start": "previous"}, "start='previous' is not known; choose 'epoch' or 'layer'"),
        ({"stages": 33}, "stages=33 is out of range"),
        ({"stages": 4, "layout": "pca"}, "stages=4 can be kept of layout='umap' only"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        fw.Embeddings(**options)


@pytest.mark.parametrize("count", [1, 2, 3, 16])
def test_few_samples(count: int) -> None:
    recorder = fw.Embeddings()
    first = recorder.analyse(snapshot(FEATURES[:count]))
    second = following(recorder, first, drifted()[:count], FEATURES[:count])
    assert second.points.shape == (count, 2) and np.isfinite(second.points).all()
    constant = np.ones((count, 4), np.float32)
    for record in (recorder.analyse(snapshot(constant)), following(recorder, first, constant, constant)):
        assert np.isfinite(record.points).all()


def test_neighbours_in_the_plane_by_tree_are_those_by_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.random.default_rng(0).normal(size=(300, 2))
    expected = nearest(points, 7)[0]
    monkeypatch.setattr("featwatch.analysis.layout.EXACT", 10)
    np.testing.assert_array_equal(near_in_plane(points, 7), expected)
    doubled = np.repeat(points[:10], 20, axis=0)
    near = near_in_plane(doubled, 7)
    assert (near != np.arange(200)[:, None]).all() and near.shape == (200, 7)


def test_labels_play_no_part() -> None:
    one = snapshot(FEATURES)
    other = dataclasses.replace(one, labels=np.arange(120, dtype=np.int32) % 7, shared={})
    np.testing.assert_array_equal(fw.Embeddings().analyse(one).points, fw.Embeddings().analyse(other).points)


def test_snapshots_one_by_one_and_resumed_runs_continue_the_layout(tmp_path: Path) -> None:
    """Of weights that did not change: what is unknown is only how far features moved."""
    x, y = images(120)
    model, probe = sequential(), fw.Probe(x, y)
    recorders = [fw.Embeddings(), fw.Clusters()]
    first = fw.snapshot(model, probe, tmp_path, recorders=recorders, epoch=0).embedding("dense", 0)
    run = fw.snapshot(model, probe, tmp_path, recorders=recorders, epoch=3)
    second = run.embedding("dense", 3)
    assert second.started_from == 0
    radius = np.linalg.norm(first.points - first.points.mean(axis=0), axis=1).mean()
    assert np.median(np.linalg.norm(second.points - first.points, axis=1)) < 0.1 * radius
    np.testing.assert_array_equal(run.clusters("dense", 3).identities, run.clusters("dense", 0).identities)
    again = fw.snapshot(model, probe, tmp_path, recorders=recorders, epoch=3)
    assert again.embedding("dense", 3).started_from == 3 and again.clusters("dense", 3).last == 0
