"""How far a layout may be believed, against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.manifold import trustworthiness as by_scikit_learn

from featwatch.analysis import neighbours
from featwatch.analysis.neighbours import Distances, nearest
from featwatch.analysis.quality import neighbours_kept, trustworthiness


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(3, 80), st.integers(2, 40), st.floats(0, 3))
def test_trustworthiness_as_scikit_learn_gives_it(seed, count, width, noise):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, width))
    points = features[:, :2] + noise * rng.normal(size=(count, 2))
    k = max(1, min(15, (count - 1) // 2))
    expected = by_scikit_learn(features, points, n_neighbors=k)
    assert trustworthiness(features, nearest(points, k)[0]) == pytest.approx(expected, abs=1e-12)


def test_across_blocks():
    rng = np.random.default_rng(0)
    features, points = rng.normal(size=(1100, 20)), rng.normal(size=(1100, 2))
    assert trustworthiness(features, nearest(points, 15)[0]) == pytest.approx(by_scikit_learn(features, points, n_neighbors=15))


def test_a_faithful_layout_and_one_by_lot():
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(300, 2))
    features = plane @ np.linalg.qr(rng.normal(size=(40, 2)))[0].T * 7
    near = nearest(features, 15)[0]
    faithful, by_lot = nearest(plane, 15)[0], nearest(rng.normal(size=(300, 2)), 15)[0]
    assert trustworthiness(features, faithful) == 1.0
    assert neighbours_kept(near, faithful) == 1.0
    assert trustworthiness(features, by_lot) == pytest.approx(0.5, abs=0.05)
    assert neighbours_kept(near, by_lot) == pytest.approx(15 / 299, abs=0.02)


def test_neighbours_kept_counts_them_wherever_they_stand():
    assert neighbours_kept(np.array([[1, 2], [0, 2], [0, 1]]), np.array([[2, 1], [3, 0], [3, 4]])) == pytest.approx(0.5)


def test_samples_that_are_equal_cost_no_trust():
    """All features alike: the neighbours in the layout are as near as any, when they come by index."""
    assert trustworthiness(np.ones((20, 3)), nearest(np.zeros((20, 2)), 5)[0]) == 1.0


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(5, 60), st.integers(2, 30))
def test_ties_are_ranked_by_index(seed, count, width):
    """Integer features have many neighbours at one distance; a stable sort ranks them."""
    rng = np.random.default_rng(seed)
    features, k = rng.integers(0, 2, (count, width)) @ np.eye(width), max(1, (count - 1) // 4)
    near = nearest(rng.normal(size=(count, 2)), k)[0]
    exact = np.abs(features[:, None] - features[None]).sum(axis=2)
    np.fill_diagonal(exact, np.inf)
    ranks = np.argsort(np.argsort(exact, axis=1, kind="stable"), axis=1) + 1
    penalty = np.maximum(np.take_along_axis(ranks, near.astype(np.intp), axis=1) - k, 0).sum()
    expected = 1 - 2 * penalty / (count * k * (2 * count - 3 * k - 1))
    assert trustworthiness(features, near) == pytest.approx(expected, abs=1e-12)


def test_distances_that_are_there_are_used(monkeypatch):
    rng = np.random.default_rng(0)
    features, near = rng.normal(size=(200, 30)), nearest(rng.normal(size=(200, 2)), 15)[0]
    distances, expected = Distances(features), trustworthiness(features, near)
    distances.nearest(5)
    monkeypatch.setattr(neighbours, "_centred", lambda _: pytest.fail("the features were compared again"))
    assert trustworthiness(distances, near) == expected


def test_of_many_samples_a_part_judges(monkeypatch):
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(900, 2))
    features = np.hstack([plane, 0.6 * rng.normal(size=(900, 18))])
    near = nearest(plane, 15)[0]
    whole = trustworthiness(features, near)
    monkeypatch.setattr(neighbours, "WHOLE", 300)
    part = trustworthiness(features, near)
    assert part == pytest.approx(whole, abs=0.02) and part != whole
    exact = np.linalg.norm(features[:, None] - features[None], axis=2)
    np.fill_diagonal(exact, np.inf)
    ranks = np.argsort(np.argsort(exact, axis=1), axis=1) + 1
    judged = neighbours.judges(900)
    assert len(judged) == 300
    penalty = np.maximum(np.take_along_axis(ranks, near.astype(np.intp), axis=1)[judged] - 15, 0).sum()
    assert part == pytest.approx(1 - 2 * penalty / (300 * 15 * (2 * 900 - 3 * 15 - 1)), abs=1e-12)


@pytest.mark.parametrize(("count", "k"), [(1, 0), (2, 1), (4, 2), (10, 5)])
def test_where_it_is_not_defined(count, k):
    features = np.random.default_rng(0).normal(size=(count, 3))
    assert math.isnan(trustworthiness(features, nearest(features, k)[0]))


def test_no_neighbours():
    assert math.isnan(neighbours_kept(np.empty((1, 0), int), np.empty((1, 0), int)))


def test_neighbours_of_different_number():
    with pytest.raises(ValueError, match=r"\(4, 3\) and \(4, 2\)"):
        neighbours_kept(np.zeros((4, 3), int), np.zeros((4, 2), int))
