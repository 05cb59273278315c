"""Samples that are not of the probe, in an embedding of it: beside umap-learn's own transform."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

import featwatch as fw
from featwatch.analysis.layout import Task, umap
from featwatch.analysis.neighbours import nearest
from featwatch.analysis.placing import place
from tests.nets import sequential

DATA = load_digits()
FEATURES, CLASSES = DATA.data[:400].astype(np.float32), DATA.target[:400]
OLD, NEW = slice(0, 300), slice(300, 400)


def layout(features: np.ndarray) -> np.ndarray:
    indices, distances = nearest(features, 15)
    return umap(Task(features=features, indices=indices, distances=distances))


def among_its_class(places: np.ndarray, points: np.ndarray) -> float:
    """The share of placed samples whose 5 nearest points are mostly of their class."""
    near = np.argsort(np.linalg.norm(places[:, None] - points[None], axis=2), axis=1)[:, :5]
    return float(np.mean((CLASSES[OLD][near] == CLASSES[NEW][:, None]).mean(axis=1) > 0.5))


def test_new_samples_come_among_their_like_as_with_umap_learn() -> None:
    from umap import UMAP

    points = layout(FEATURES[OLD])
    mine = among_its_class(place(points, FEATURES[OLD], FEATURES[NEW]), points)
    model = UMAP(random_state=0, n_jobs=1).fit(FEATURES[OLD])
    theirs = among_its_class(model.transform(FEATURES[NEW]), model.embedding_)
    assert mine > 0.85 and mine > theirs - 0.03


def test_the_layouts_own_samples_are_where_they_are_and_order_does_not_matter() -> None:
    points = layout(FEATURES[OLD])
    np.testing.assert_array_equal(place(points, FEATURES[OLD], FEATURES[10:20]), points[10:20])
    order = np.random.default_rng(0).permutation(300)
    there = place(points, FEATURES[OLD], FEATURES[NEW])
    off = np.abs(place(points[order], FEATURES[OLD][order], FEATURES[NEW]) - there).max(axis=1)
    assert np.count_nonzero(off > 1e-4) <= 1        # digits are whole numbers: one sample's last neighbour is tied with the next
    assert place(points, FEATURES[OLD], FEATURES[:0]).shape == (0, 2)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_in_a_layout_of_few(count: int) -> None:
    points = np.arange(2 * count, dtype=np.float32).reshape(count, 2)
    places = place(points, FEATURES[:count], FEATURES[NEW])
    assert places.shape == (100, 2) and np.isfinite(places).all()
    assert np.isfinite(place(points, np.ones((count, 3), np.float32), np.ones((4, 3), np.float32) * 2)).all()


def test_with_a_model_and_its_log(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    model = sequential()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, *model.input_shape[1:])).astype(np.float32)
    model.build((None, *model.input_shape[1:]))
    probe = fw.Probe(x[:40])
    run = fw.snapshot(model, probe, tmp_path, recorders=[fw.Embeddings()], layers=["dense"])
    embedding = run.embedding("dense", 0)
    weights = [weight.copy() for weight in model.get_weights()]
    places = fw.place(model, x[30:], probe, embedding)
    assert places.shape == (30, 2) and np.isfinite(places).all()
    np.testing.assert_allclose(places[:10], embedding.points[30:40], atol=1e-5)      # they are of the probe
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    with pytest.raises(ValueError, match="embedding shows 40 samples and the probe has 20"):
        fw.place(model, x, fw.Probe(x[:20]), embedding)
    with pytest.raises(TypeError, match="embedding is a ndarray"):
        fw.place(model, x, probe, embedding.points)  # type: ignore[arg-type]
