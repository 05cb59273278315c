"""Exact neighbours, against scikit-learn and on ties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.neighbors import NearestNeighbors

from featwatch.analysis.neighbours import BLOCK_ROWS, NARROW, nearest, squared_distances


@pytest.mark.parametrize("width", [1, 3, NARROW, NARROW + 1, 200])
@pytest.mark.parametrize("count", [2, 40, BLOCK_ROWS, BLOCK_ROWS + 1, 700])
def test_as_scikit_learn_finds_them(count, width):
    features = np.random.default_rng(count + width).normal(size=(count, width)).astype(np.float32)
    k = min(15, count - 1)
    indices, distances = nearest(features, k)
    expected = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(features.astype(np.float64)).kneighbors()
    np.testing.assert_array_equal(indices, expected[1])
    np.testing.assert_allclose(distances, expected[0], rtol=1e-6)


@pytest.mark.parametrize("width", [2, 100])
def test_features_far_from_the_origin_lose_no_accuracy(width):
    """float32 features around 1,000 with a spread of 1: a product that is not centred would be wrong in the third digit."""
    features = (1000 + np.random.default_rng(0).normal(size=(200, width))).astype(np.float32)
    indices, distances = nearest(features, 10)
    exact = np.linalg.norm(features[:, None].astype(np.float64) - features[indices], axis=2)
    np.testing.assert_allclose(distances, exact, rtol=1e-8)
    np.testing.assert_array_equal(
        indices, NearestNeighbors(n_neighbors=10, algorithm="kd_tree").fit(features.astype(np.float64)).kneighbors()[1]
    )


@pytest.mark.parametrize("width", [3, 100])
@pytest.mark.parametrize("scale", [1e-25, 1.0, 1e25])
def test_equally_near_samples_come_by_index_and_duplicates_are_at_zero(width, scale):
    """Grid points have many neighbours at the same distance."""
    rng = np.random.default_rng(1)
    features = (rng.integers(0, 2, (600, 3)) @ np.eye(3, width) * scale).astype(np.float32)
    indices, distances = nearest(features, 200)
    exact = np.abs(features[:, None, :3] - features[None, :, :3]).sum(axis=2) / np.float32(scale)     # squared, on a unit grid
    np.fill_diagonal(exact, np.inf)
    np.testing.assert_array_equal(indices, np.argsort(exact, axis=1, kind="stable")[:, :200])
    same = (features[indices] == features[:, None]).all(axis=2)
    assert (distances[same] == 0).all() and (distances[~same] > 0).all()


def test_nearly_saturated_outputs_are_told_apart():
    """Softmax outputs that differ by 1e-9 are neighbours by these differences, not by index."""
    offsets = np.random.default_rng(2).permutation(50)
    features = np.zeros((51, 10), np.float32)
    features[:50, 1] = offsets * 1e-9
    features[50, 0] = 1.0
    assert sorted(np.abs(offsets[nearest(features, 2)[0][i]] - offsets[i]).max() for i in range(50)) == [1] * 48 + [2] * 2


@settings(deadline=None, max_examples=30)
@given(
    hnp.arrays(np.float32, st.tuples(st.integers(2, 12), st.integers(1, 20)), elements=st.integers(-4, 4).map(float)),
    st.randoms(use_true_random=False),
)
def test_moving_and_reordering_change_nothing(features, random):
    k = min(3, len(features) - 1)
    _, distances = nearest(features, k)
    np.testing.assert_allclose(nearest(features + np.float32(64), k)[1], distances, atol=1e-5)
    order = list(range(len(features)))
    random.shuffle(order)
    np.testing.assert_allclose(nearest(features[order], k)[1], distances[order], atol=1e-5)


def test_blocks_cover_all_rows_and_leave_the_features_alone():
    features = np.random.default_rng(3).normal(size=(2 * BLOCK_ROWS + 7, 20)).astype(np.float32)
    copy = features.copy()
    blocks = list(squared_distances(features))
    assert max(len(block) for _, block in blocks) == BLOCK_ROWS
    whole = np.concatenate([block for _, block in blocks])
    np.testing.assert_allclose(whole, np.square(features[:, None] - features[None]).sum(axis=2), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(features, copy)


@pytest.mark.parametrize(("count", "k"), [(5, 5), (5, -1), (1, 1)])
def test_more_neighbours_than_there_are(count, k):
    with pytest.raises(ValueError, match=f"k={k} neighbours .* {count} samples"):
        nearest(np.zeros((count, 2), np.float32), k)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_no_neighbours(count):
    indices, distances = nearest(np.zeros((count, 2), np.float32), 0)
    assert indices.shape == distances.shape == (count, 0)


def test_features_that_are_not_flat():
    with pytest.raises(ValueError, match=r"shape \(4, 3, 2\)"):
        nearest(np.zeros((4, 3, 2), np.float32), 1)
