"""Exact neighbours, against scikit-learn and on ties."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.neighbors import NearestNeighbors

from featwatch.analysis import neighbours
from featwatch.analysis.approximate_neighbours import approximate
from featwatch.analysis.neighbours import BLOCK_ROWS, NARROW, Distances, nearest, squared_distances


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


def by_scikit_learn(features: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    distances, indices = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(features.astype(np.float64)).kneighbors()
    return indices, distances


@pytest.mark.parametrize("width", [3, 40])
def test_distances_are_the_same_kept_or_computed_again(width, monkeypatch):
    """Whole and in blocks, of some rows and of all: the grid makes them equal to the last bit."""
    features = np.random.default_rng(0).integers(0, 3, (700, width)).astype(np.float32)
    kept = Distances(features)
    whole = np.concatenate([block for _, block in kept.blocks()])
    np.testing.assert_array_equal(whole, np.concatenate([block for _, block in squared_distances(features)]))
    some = np.array([699, 3, 3, 511, 512])
    ((rows, block),) = kept.blocks(some)
    np.testing.assert_array_equal(rows, some)
    np.testing.assert_array_equal(block, whole[some])
    np.testing.assert_array_equal(kept.between(some), whole[np.ix_(some, some)])
    monkeypatch.setattr(neighbours, "WHOLE", 100)
    again = Distances(features)
    np.testing.assert_array_equal(np.concatenate([block for _, block in again.blocks()]), whole)
    np.testing.assert_array_equal(np.concatenate([block for _, block in again.blocks(some)]), whole[some])
    np.testing.assert_allclose(again.between(some), whole[np.ix_(some, some)], rtol=1e-9)
    for one, other in zip(again.nearest(15), kept.nearest(15), strict=True):
        np.testing.assert_array_equal(one, other)


def test_fewer_neighbours_are_cut_from_more(monkeypatch):
    features = np.random.default_rng(1).normal(size=(80, 20))
    distances = Distances(features)
    indices, lengths = distances.nearest(20)
    monkeypatch.setattr(neighbours, "_by_blocks", lambda *_: pytest.fail("searched again"))
    np.testing.assert_array_equal(distances.nearest(7)[0], indices[:, :7])
    np.testing.assert_array_equal(distances.nearest(7)[1], lengths[:, :7])


@pytest.mark.parametrize("most", [1000, 100])
def test_some_of_the_samples(most, monkeypatch):
    monkeypatch.setattr(neighbours, "WHOLE", most)
    features = np.random.default_rng(2).normal(size=(300, 30)).astype(np.float32)
    part = Distances(features).of(np.arange(0, 300, 3))
    assert len(part) == 100
    expected = by_scikit_learn(features[::3], 9)
    np.testing.assert_array_equal(part.nearest(9)[0], expected[0])
    np.testing.assert_allclose(part.nearest(9)[1], expected[1], rtol=1e-6)


def test_blocks_stay_small_whatever_the_probe(monkeypatch):
    monkeypatch.setattr(neighbours, "BLOCK_BYTES", 8 * 1000 * 10)
    assert max(len(rows) for rows, _ in squared_distances(np.zeros((1000, 20)))) == 10


def found_by_pynndescent(features: np.ndarray, *, missing: int) -> np.ndarray:
    """What a search may give: the sample itself among the candidates, in any order, and −1 where it found too few."""
    found = np.hstack([np.arange(len(features))[:, None], by_scikit_learn(features, 12)[0]])
    found = np.random.default_rng(0).permuted(found, axis=1)
    found[5, :missing] = -1
    found[6, :3] = by_scikit_learn(features, 1)[0][6]       # one of them three times
    return found


@pytest.mark.parametrize("missing", [0, 3, 11])
def test_what_a_search_finds_is_measured_again(missing, monkeypatch):
    features = np.random.default_rng(3).normal(size=(60, 20)).astype(np.float32)
    found = found_by_pynndescent(features, missing=missing)
    monkeypatch.setattr("featwatch.analysis.approximate_neighbours._search", lambda *_: found)
    indices, distances = approximate(features, 5)
    expected = by_scikit_learn(features, 5)
    # Of the candidates that are missing some may be among the five; too few are made up for.
    others = ~np.isin(np.arange(60), [5, 6] if missing < 8 else [6])
    np.testing.assert_array_equal(indices[others], expected[0][others])
    np.testing.assert_allclose(distances[others], expected[1][others], rtol=1e-9)
    assert 5 not in indices[5] and len(set(indices[5])) == len(set(indices[6])) == 5


def test_equal_samples_need_no_search(monkeypatch):
    monkeypatch.setattr("featwatch.analysis.approximate_neighbours._search", lambda *_: pytest.fail("searched"))
    indices, distances = approximate(np.full((6, 4), 0.1, np.float32), 3)
    assert (distances == 0).all()
    np.testing.assert_array_equal(indices, [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2], [0, 1, 2], [0, 1, 2]])
    exact = nearest(np.full((6, 4), 0.1, np.float32), 3)[0]
    np.testing.assert_array_equal(indices, exact)


def test_beyond_a_limit_neighbours_are_sought_and_it_is_said(monkeypatch):
    features = np.random.default_rng(4).normal(size=(50, 20))
    monkeypatch.setattr(neighbours, "EXACT", 49)
    monkeypatch.setattr(neighbours, "approximate", lambda features, k: (np.zeros((50, k)), np.ones((50, k))))
    distances = Distances(features)
    assert not distances.exact and (distances.nearest(4)[1] == 1).all()
    monkeypatch.setattr(neighbours, "EXACT", 50)
    assert Distances(features).exact
    with pytest.raises(ValueError, match="k=50 neighbours .* 50 samples"):
        distances.nearest(50)


@pytest.mark.slow
def test_the_search_itself():
    """In a process of its own, where it compiles for half a minute: nearly all neighbours, on any number of threads the same."""
    script = (
        "import sys; sys.modules['tensorflow'] = sys.modules['keras'] = None\n"
        "import numba, numpy as np\n"
        "from featwatch.analysis.approximate_neighbours import approximate\n"
        "from featwatch.analysis.neighbours import nearest\n"
        "rng = np.random.default_rng(0)\n"
        "features = (rng.normal(size=(3000, 12)) @ rng.normal(size=(12, 60))).astype(np.float32)\n"
        "state = np.random.get_state()[1].copy()\n"
        "numba.set_num_threads(2)\n"
        "found, exact = approximate(features, 15)[0], nearest(features, 15)[0]\n"
        "numba.set_num_threads(1)\n"
        "kept = (found[:, :, None] == exact[:, None]).any(axis=2).mean()\n"
        "print(kept, (approximate(features, 15)[0] == found).all(), (np.random.get_state()[1] == state).all())\n"
    )
    environment = {**os.environ, "NUMBA_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    kept, same, unmoved = done.stdout.split()
    assert float(kept) > 0.98 and (same, unmoved) == ("True", "True")


@pytest.mark.parametrize("width", [2, NARROW])
def test_distances_between_narrow_features_are_bit_by_bit_those_of_permuted_samples(width):
    """Saturated outputs: their mean is rounded in another way where samples come in another order, and so were distances."""
    rng = np.random.default_rng(0)
    features = np.exp(8 * rng.normal(size=(500, width)))
    features = (features / features.sum(axis=1, keepdims=True)).astype(np.float32)
    order = rng.permutation(500)
    (_, squared), = squared_distances(features)
    (_, permuted), = squared_distances(features[order])
    np.testing.assert_array_equal(permuted, squared[np.ix_(order, order)])
    apart = ((features[:, None].astype(float) - features[None]) ** 2).sum(axis=2)
    np.testing.assert_allclose(squared, apart, rtol=1e-14)
