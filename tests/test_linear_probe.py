"""The linear probe, against scikit-learn's ridge regression with leave-one-out inside its folds, and by what must not matter."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from featwatch.analysis import linear_probe as module
from featwatch.analysis.linear_probe import FEW, FOLDS, STRENGTHS, linear_probe, stratified_folds


def squared(features: np.ndarray) -> np.ndarray:
    features = features.astype(np.float64)
    return np.square(features[:, None] - features[None]).sum(axis=2)


def planted(count=120, width=12, classes=3, spread=1.0, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    return rng.normal(size=(classes, width))[labels] * spread + rng.normal(size=(count, width)), labels


def digits(count=300):
    features, labels = load_digits(return_X_y=True)
    return features[:count], labels[:count]


def capped(wanted: np.ndarray, given: np.ndarray) -> float:
    return np.minimum(np.square(wanted - given), 1).sum()


def by_scikit_learn(features: np.ndarray, labels: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """The same folds and penalties; everything else is scikit-learn's."""
    _, first, codes = np.unique(labels, return_index=True, return_inverse=True)
    codes = np.argsort(np.argsort(first))[codes]
    folds = stratified_folds(codes, min(FOLDS, len(codes)), seed)
    centred = features - features.mean(axis=0)
    unit = np.median(np.square(centred).sum(axis=1))
    shares, right = [], 0
    for fold in range(folds.max() + 1):
        train, test = folds != fold, folds == fold
        model = RidgeCV(STRENGTHS * unit, scoring=make_scorer(capped, greater_is_better=False))
        model.fit(features[train], np.eye(codes.max() + 1)[codes[train]])
        hits = model.predict(features[test]).argmax(axis=1) == codes[test]
        shares.append(hits.mean())
        right += hits.sum()
    return right / len(codes), float(np.std(shares))


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0, 3.0])
@pytest.mark.parametrize(("count", "width"), [(120, 12), (80, 200), (60, 1)])
def test_as_scikit_learn_counts(count, width, spread):
    features, labels = planted(count, width, spread=spread, seed=count)
    found = linear_probe(squared(features), labels)
    accuracy, deviation = by_scikit_learn(features, labels)
    # The walk downhill may stop at another valley than the deepest where there is nothing to find, and a sample on the border
    # may fall to either side.
    assert found.accuracy == pytest.approx(accuracy, abs=1.01 / count if spread else 0.08)
    if found.accuracy == accuracy:
        assert found.deviation == pytest.approx(deviation, abs=1e-9)


def test_of_digits_as_good_as_what_one_would_use():
    """Logistic regression, its penalty chosen by cross-validation within each of five stratified folds."""
    features, labels = digits()
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    logistic = GridSearchCV(model, {"logisticregression__C": [0.01, 0.1]}, cv=3)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    expected = cross_val_score(logistic, features, labels, cv=folds).mean()
    assert linear_probe(squared(features), labels).accuracy == pytest.approx(expected, abs=0.03)
    assert by_scikit_learn(features, labels)[0] == pytest.approx(linear_probe(squared(features), labels).accuracy, abs=0.0034)


def test_what_is_left_out_is_what_a_model_without_it_says():
    """Both identities, against models that are fitted without a fold, and without a fold and a sample, one by one."""
    features, labels = planted(24, 5)
    parts = [slice(0, 8), slice(8, 16), slice(16, 24)]
    wanted = np.eye(3)[labels]
    gram = module._gram(squared(features))
    errors, right = module._left_out(gram, wanted.astype(np.float32), parts, 0.3)
    unit = np.median(np.square(features - features.mean(axis=0)).sum(axis=1))
    for fold, part in enumerate(parts):
        others = np.setdiff1d(np.arange(24), np.arange(24)[part])

        def fitted(rows, at, unit=unit):
            centre, mean = features[rows].mean(axis=0), wanted[rows].mean(axis=0)
            x = features[rows] - centre
            weights = np.linalg.solve(x.T @ x + 0.3 * unit * np.eye(5), x.T @ (wanted[rows] - mean))
            return (features[at] - centre) @ weights + mean     # (samples, classes)

        hits = (fitted(others, np.arange(24)[part]).argmax(axis=1) == labels[part]).sum()
        error = sum(capped(wanted[i], fitted(np.setdiff1d(others, [i]), [i])[0]) for i in others)
        assert right[fold] == hits
        assert errors[fold] == pytest.approx(error, rel=1e-4)


def test_planted_classes_and_labels_by_lot():
    features, labels = planted(300, 40, classes=4, spread=3.0)
    assert linear_probe(squared(features), labels).accuracy == 1.0
    by_lot = linear_probe(squared(features), np.random.default_rng(1).permutation(labels))
    assert by_lot.accuracy == pytest.approx(0.25, abs=0.1)
    assert 0 < by_lot.deviation < 0.15


def test_what_neighbours_cannot_tell_apart_a_linear_classifier_can():
    """Two classes that differ in one of many noisy directions, of which it finds the direction."""
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 2
    features = rng.normal(size=(400, 60))
    features[:, 0] += 5 * labels
    assert linear_probe(squared(features), labels).accuracy > 0.95


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-20, 1.0, 1e20]), st.floats(-100, 100))
def test_rotation_scale_place_and_the_names_of_classes_do_not_matter(seed, scale, shift):
    features, labels = planted(60, 8, spread=1.0, seed=seed)
    before = linear_probe(squared(features), labels)
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(8, 8)))
    names = np.random.default_rng(seed).permutation(99)[:3]
    assert linear_probe(squared(features), names[labels]) == before
    assert linear_probe(squared(((features @ turn) + shift) * scale), labels).accuracy == pytest.approx(before.accuracy, abs=0.04)


def test_the_same_on_any_number_of_threads():
    features, labels = digits(FEW + 50)             # fewer are looked at by one
    distances = squared(features)
    with threadpool_limits(1):
        one = linear_probe(distances, labels)
    with threadpool_limits(2):
        assert linear_probe(distances, labels) == one


def test_folds_are_fixed_stratified_and_of_one_size():
    codes = np.repeat([0, 1, 2, 3], [50, 33, 7, 2])
    folds = stratified_folds(codes, 5, 0)
    np.testing.assert_array_equal(folds, stratified_folds(codes, 5, 0))
    assert (folds != stratified_folds(codes, 5, 1)).any()
    for code, size in enumerate([50, 33, 7, 2]):
        counts = np.bincount(folds[codes == code], minlength=5)
        assert counts.max() - counts.min() <= 1 and counts.sum() == size
    assert np.ptp(np.bincount(folds)) <= 1


@pytest.mark.parametrize("labels", [[], [4], [4, 4, 4], [1, 2], [5, 3, 1, 0]])
def test_where_there_is_nothing_to_tell_apart(labels):
    found = linear_probe(squared(np.arange(2.0 * len(labels)).reshape(-1, 2)), np.array(labels, int))
    assert math.isnan(found.accuracy) and math.isnan(found.deviation)


@pytest.mark.parametrize("labels", [[0, 0, 1], [0, 0, 1, 1], [0, 1, 0, 1, 2], [7, 7, 7, 7, 7, 7, 7, 1]])
def test_a_few_samples_will_do(labels):
    found = linear_probe(squared(np.array(labels, float)[:, None] * 100), np.array(labels))
    assert 0 <= found.accuracy <= 1 and found.deviation >= 0


def test_a_sample_alone_in_its_class_is_never_classified_rightly():
    features, labels = planted(60, 4, spread=50.0)
    labels[7] = 9
    assert linear_probe(squared(features), labels).accuracy <= 59 / 60


def test_samples_that_are_all_equal_are_of_the_most_frequent_class():
    assert linear_probe(np.zeros((50, 50)), np.repeat([3, 8], [20, 30])).accuracy == pytest.approx(0.6)


def test_duplicates_and_a_few_directions():
    labels = np.repeat([0, 1, 2], 40)
    assert linear_probe(squared(np.eye(3)[labels]), labels).accuracy == 1.0


@pytest.mark.parametrize("far", [1e3, 1e5, 1e9])
def test_an_outlier_is_survived(far):
    features, labels = planted(200, 30, spread=2.0)
    expected = linear_probe(squared(features), labels).accuracy
    features[0] *= far
    found = linear_probe(squared(features), labels)
    assert 0 <= found.accuracy <= 1
    if far == 1e3:
        assert found.accuracy == pytest.approx(expected, abs=0.02)
