"""Class separation, against scikit-learn and on planted classes."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import silhouette_samples, silhouette_score
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from featwatch.analysis import neighbours
from featwatch.analysis.neighbours import Distances
from featwatch.analysis.sampling import fixed_part
from featwatch.analysis.separation import knn_accuracy, separation, silhouette


def planted(count=120, width=6, classes=4, spread=2.0, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    return (rng.normal(size=(classes, width))[labels] * spread + rng.normal(size=(count, width))).astype(np.float32), labels


def by_scikit_learn(features, labels, k):
    """Leave-one-out: every sample is classified by a classifier of the others."""
    features, everyone = features.astype(np.float64), np.arange(len(labels))
    models = [KNeighborsClassifier(k, algorithm="brute").fit(features[everyone != i], labels[everyone != i]) for i in everyone]
    return np.mean([model.predict(features[i : i + 1])[0] == labels[i] for i, model in enumerate(models)])


def nearest_by_scikit_learn(features, k):
    return NearestNeighbors(n_neighbors=k, algorithm="brute").fit(features.astype(np.float64)).kneighbors()[1]


@pytest.mark.parametrize("k", [1, 2, 4, 15])
@pytest.mark.parametrize("spread", [0.0, 0.7, 3.0])
def test_as_scikit_learn_counts(k, spread):
    """Even k and classes that overlap: many ties, which scikit-learn gives to the smallest label."""
    features, labels = planted(count=48, spread=spread, seed=k)
    found = separation(features, labels, k)
    assert found.knn_accuracy == pytest.approx(by_scikit_learn(features, labels, k), abs=1e-12)
    assert found.silhouette == pytest.approx(silhouette_score(features.astype(np.float64), labels), abs=1e-9)
    assert (found.neighbors, found.samples) == (k, 48)


def test_across_blocks():
    features, labels = planted(count=1100, width=30)
    assert silhouette(features, labels) == pytest.approx(silhouette_score(features.astype(np.float64), labels), abs=1e-9)


def test_a_tied_vote_goes_to_the_smallest_label():
    assert knn_accuracy(np.array([[1, 2], [0, 2], [0, 1]]), np.array([3, 7, 9])) == pytest.approx(0.0)
    assert knn_accuracy(np.array([[2, 1], [2, 0], [3, 1], [2, 1]]), np.array([3, 3, 7, 7])) == pytest.approx(0.5)


def test_separated_classes_and_labels_by_lot():
    features, labels = planted(count=300, spread=50.0)
    assert separation(features, labels, 15).knn_accuracy == 1.0
    assert separation(features, labels, 15).silhouette > 0.9
    shuffled = separation(features, np.random.default_rng(1).permutation(labels), 15)
    assert shuffled.knn_accuracy < 0.4 and abs(shuffled.silhouette) < 0.1


def test_samples_without_a_label_are_left_out():
    features, labels = planted()
    some = labels.copy()
    some[::3] = -1
    found, expected = separation(features, some, 5), separation(features[some >= 0], labels[some >= 0], 5)
    assert dataclasses.astuple(found) == pytest.approx(dataclasses.astuple(expected), abs=1e-9)
    assert found.samples == 80


def test_no_more_neighbours_than_there_are():
    features, labels = planted(count=6, classes=2)
    found = separation(features, labels, 15)
    assert found.neighbors == 5
    assert found.knn_accuracy == pytest.approx(by_scikit_learn(features, labels, 5))


@pytest.mark.parametrize("labels", [[], [-1, -1, -1], [4], [4, 4, 4], [-1, 2, 2]])
def test_fewer_than_two_classes_say_nothing(labels):
    found = separation(np.ones((len(labels), 3), np.float32), np.array(labels, np.int32), 15)
    assert all(map(math.isnan, (found.knn_accuracy, found.silhouette, found.probe_accuracy, found.probe_deviation)))
    assert found.samples == np.sum(np.array(labels) >= 0)


def test_classes_of_one_sample():
    features, labels = planted(count=30)
    assert math.isnan(silhouette(features, np.arange(30)))
    labels[0] = 99
    assert silhouette(features, labels) == pytest.approx(silhouette_score(features.astype(np.float64), labels), abs=1e-9)


def test_features_that_are_all_equal():
    found = separation(np.ones((10, 40), np.float32), np.arange(10) % 2, 4)
    assert found.silhouette == 0.0
    assert 0.0 <= found.knn_accuracy <= 1.0


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.sampled_from([2.0**-20, 0.5, 4.0, 2.0**30]), st.floats(-100, 100))
def test_scale_place_and_order_do_not_matter(seed, width, scale, shift):
    features, labels = planted(count=40, width=width, seed=seed)
    order = np.random.default_rng(seed).permutation(40)
    before = separation(features, labels, 5)
    after = separation((features.astype(np.float64)[order] + shift) * scale, labels[order] + 3, 5)
    assert after.knn_accuracy == pytest.approx(before.knn_accuracy)
    assert after.silhouette == pytest.approx(before.silhouette, abs=1e-9)


def test_distances_are_computed_once_for_everything(monkeypatch):
    """Given the distances, nothing looks at the features again, labelled in part or not."""
    features, labels = planted(count=300, width=40)
    distances = Distances(features)
    distances.nearest(3)
    expected = separation(features, labels, 5)
    monkeypatch.setattr(neighbours, "_centred", lambda _: pytest.fail("the features were compared again"))
    assert separation(distances, labels, 5) == expected
    labels[::4] = -1
    assert separation(distances, labels, 5).samples == 225


def test_of_many_samples_a_part_judges_and_it_is_said(monkeypatch):
    features, labels = planted(count=900, width=20, spread=0.6)
    whole = separation(features, labels, 15)
    assert (whole.judged, whole.probed, whole.exact_neighbors) == (900, 900, True)
    monkeypatch.setattr(neighbours, "WHOLE", 300)
    monkeypatch.setattr("featwatch.analysis.separation.PROBED", 400)
    part = separation(features, labels, 15)
    assert (part.judged, part.probed, part.samples, part.exact_neighbors) == (300, 400, 900, True)
    assert part.knn_accuracy == whole.knn_accuracy
    each = silhouette_samples(features.astype(np.float64), labels)
    assert part.silhouette == pytest.approx(each[fixed_part(900, 300)].mean(), abs=1e-9)
    assert part.silhouette == pytest.approx(whole.silhouette, abs=0.02) and part.silhouette != whole.silhouette
    assert part.probe_accuracy == pytest.approx(whole.probe_accuracy, abs=0.08)


def test_neighbours_by_approximate_search_vote_too(monkeypatch):
    features, labels = planted(count=600, width=20, spread=0.6)
    exact = separation(features, labels, 15)
    monkeypatch.setattr(neighbours, "EXACT", 500)
    monkeypatch.setattr(neighbours, "WHOLE", 300)
    monkeypatch.setattr(neighbours, "approximate", lambda features, k: (nearest_by_scikit_learn(features, k),) * 2)
    found = separation(features, labels, 15)
    assert not found.exact_neighbors and found.knn_accuracy == exact.knn_accuracy
