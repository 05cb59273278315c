"""Clusters of a layout: planted ones are counted right, and agreement is as scikit-learn gives it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import DBSCAN
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.neighbors import NearestNeighbors

from featwatch.analysis.clustering import agreement, automatic_eps, clusters


def gauss(rng, count):
    return rng.normal(size=(count, 2))


def disk(rng, count):
    """Evenly filled and with an edge, as UMAP makes clusters."""
    radius, angle = 2.5 * np.sqrt(rng.uniform(size=count)), rng.uniform(0, 2 * np.pi, count)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def planted(count, *, samples=1000, noise=0.0, scale=1.0, seed=0, shape=gauss, gap=9.0):
    """Points around `count` centres that stand on a grid, the first points noise; and the centres' numbers."""
    rng = np.random.default_rng(seed)
    side = math.ceil(math.sqrt(count))
    centres = np.stack(np.divmod(np.arange(count), side), axis=1) * gap
    classes = rng.integers(0, count, samples)
    points = centres[classes] + shape(rng, samples)
    stray = int(noise * samples)
    points[:stray] = rng.uniform(-gap, side * gap, (stray, 2))
    classes[:stray] = -1
    return points * scale, classes


@pytest.mark.parametrize("shape", [disk, gauss])
@pytest.mark.parametrize("noise", [0.0, 0.02, 0.08])
@pytest.mark.parametrize("count", [1, 2, 5, 10])
def test_planted_clusters_are_counted(count, noise, shape):
    points, classes = planted(count, noise=noise, shape=shape, seed=count)
    found = clusters(points, classes, eps=None, min_samples=5)
    # Noise and the tails of a normal distribution hold a few points that stand together.
    assert sum(np.sum(found.labels == c) >= 20 for c in range(found.count)) == count
    assert found.count - count <= 2 * (noise > 0 or shape is gauss)
    assert found.noise_fraction <= noise + 0.03
    assert found.purity > 0.99
    assert count == 1 or found.adjusted_rand > 0.94


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1e4, 1e30])
def test_the_scale_of_the_layout_does_not_matter(scale):
    points, classes = planted(5)
    found, scaled = (clusters(points * factor, classes, eps=None, min_samples=5) for factor in (1.0, scale))
    np.testing.assert_array_equal(scaled.labels, found.labels)


@pytest.mark.parametrize("samples", [200, 3000])
def test_the_number_of_samples_does_not_matter(samples):
    points, classes = planted(4, samples=samples)
    assert clusters(points, classes, eps=None, min_samples=5).count == 4


def test_one_outlier_does_not_move_the_radius():
    points, _ = planted(5)
    far = np.vstack([points, [[1e9, 1e9]]])
    assert automatic_eps(far, 5) == pytest.approx(automatic_eps(points, 5), rel=0.02)
    found = clusters(far, np.zeros(1001, int), eps=None, min_samples=5)
    assert (found.count, found.labels[-1]) == (5, -1)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.integers(2, 8), st.sampled_from([2.0**-30, 0.25, 8.0, 2.0**40]))
def test_the_radius_grows_with_the_layout(seed, count, min_samples, scale):
    points = np.random.default_rng(seed).normal(size=(count, 2))
    assert automatic_eps(points * scale, min_samples) == automatic_eps(points, min_samples) * scale
    assert automatic_eps(points[::-1], min_samples) == automatic_eps(points, min_samples)


def test_the_radius_by_its_rule():
    points = np.random.default_rng(0).normal(size=(77, 2))
    reach = NearestNeighbors(n_neighbors=4).fit(points).kneighbors()[0][:, -1]     # the 4th other one = 5 with itself
    lower, median = np.percentile(reach, [25, 50])
    assert automatic_eps(points, 5) == pytest.approx(median + 10 * (median - lower))


def test_points_at_regular_distances_are_one_cluster():
    """Most distances are the same, so that the curve's lower half is flat; those a little longer belong to them."""
    line = np.concatenate([np.arange(70.0), 70 + 1.5 * np.arange(30.0)])
    points = np.stack([line, np.zeros(100)], axis=1)
    found = clusters(points, np.zeros(100, int), eps=None, min_samples=2)
    assert (found.count, found.noise_fraction, found.eps) == (1, 0.0, 2.0)


def test_a_given_radius_is_used():
    points, classes = planted(3)
    found = clusters(points, classes, eps=0.7, min_samples=8)
    np.testing.assert_array_equal(found.labels, DBSCAN(eps=0.7, min_samples=8).fit(points).labels_)
    assert found.eps == 0.7
    assert found.noise_fraction == np.mean(found.labels == -1)
    assert found.count == found.labels.max() + 1


@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_points_that_all_coincide(count):
    found = clusters(np.ones((count, 2), np.float32), np.zeros(count, int), eps=None, min_samples=5)
    assert found.eps == 0.0
    assert (found.count, found.noise_fraction) == ((1, 0.0) if count >= 5 else (0, 1.0))


def test_all_noise():
    found = clusters(np.arange(20.0).reshape(10, 2) ** 3, np.arange(10) % 2, eps=1e-6, min_samples=2)
    assert (found.count, found.noise_fraction) == (0, 1.0)
    assert math.isnan(found.purity)
    assert found.adjusted_rand == 0.0


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_agreement_as_scikit_learn_gives_it(seed):
    rng = np.random.default_rng(seed)
    labels, classes = rng.integers(-1, 4, 50), rng.integers(-1, 6, 50)
    purity, rand, information = agreement(labels, classes)
    known = classes >= 0
    assert rand == pytest.approx(adjusted_rand_score(classes[known], labels[known]))
    assert information == pytest.approx(normalized_mutual_info_score(classes[known], labels[known]))
    most = sum(np.bincount(classes[known & (labels == c)]).max(initial=0) for c in range(4))
    assert purity == pytest.approx(most / np.sum(known & (labels >= 0)))


def test_agreement_without_labels():
    assert all(math.isnan(value) for value in agreement(np.array([0, 0, 1]), np.array([-1, -1, -1])))
