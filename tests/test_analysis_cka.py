"""Linear CKA, against the formula on full matrices, and by what it does not see."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featwatch.analysis.cka import MOST_SAMPLES, cka, gram_vector, similarities
from featwatch.analysis.sampling import fixed_part


def plain(one: np.ndarray, other: np.ndarray) -> float:
    """Kornblith et al. 2019, equation 3: HSIC(K, L) / √(HSIC(K, K) HSIC(L, L)) with the centring matrix written out."""
    count = len(one)
    centre = np.eye(count) - np.ones((count, count)) / count
    grams = [(centre @ features.astype(np.float64)) @ (centre @ features.astype(np.float64)).T for features in (one, other)]
    cross, first, second = (np.sum(a * b.T) for a, b in ((grams[0], grams[1]), (grams[0],) * 2, (grams[1],) * 2))
    return float(cross / math.sqrt(first * second))


def layers(seed: int, count: int = 30, widths: tuple[int, int] = (7, 12)) -> tuple[np.ndarray, np.ndarray]:
    """Two layers of which the second is made of the first, and of noise."""
    rng = np.random.default_rng(seed)
    one = rng.normal(size=(count, widths[0])) * rng.uniform(0.1, 3, widths[0])
    return one, np.maximum(one @ rng.normal(size=widths), 0) + rng.uniform(0, 3) * rng.normal(size=(count, widths[1]))


def of(one: np.ndarray, other: np.ndarray) -> float:
    return cka(gram_vector(one), gram_vector(other))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.integers(1, 80), st.integers(1, 80))
def test_as_the_formula_gives_it(seed, count, width, other_width):
    one, other = layers(seed, count, (width, other_width))
    assert of(one, other) == pytest.approx(plain(one, other), abs=1e-5)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-30, 1e-3, 7.0, 1e30]), st.floats(-50, 50))
def test_rotation_scale_and_place_do_not_matter(seed, scale, shift):
    one, other = layers(seed)
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(7, 7)))
    expected = of(one, other)
    assert of((one @ turn + shift) * scale, other) == pytest.approx(expected, abs=1e-5)
    assert of(other, one) == pytest.approx(expected, abs=1e-12)
    order = np.random.default_rng(seed).permutation(30)
    assert of(one[order], other[order]) == pytest.approx(expected, abs=1e-5)
    assert 0.0 <= expected <= 1.0


@pytest.mark.parametrize("width", [1, 16, 1500])
def test_a_layer_is_like_itself_and_like_a_rotated_and_scaled_copy(width):
    one = np.random.default_rng(width).normal(size=(200, width)).astype(np.float32)
    assert of(one, one) == 1.0
    assert of(one, -3.0 * one[:, ::-1] + 5.0) == pytest.approx(1.0, abs=1e-6)


def test_float32_features_far_from_the_origin_lose_no_accuracy():
    one, other = layers(3, 200)
    far = (1000 + one).astype(np.float32)
    assert of(far, other) == pytest.approx(plain(far.astype(np.float64) - 1000, other), abs=1e-5)


def test_unrelated_layers_are_as_alike_as_the_docstring_says():
    rng = np.random.default_rng(0)
    assert of(rng.normal(size=(500, 500)), rng.normal(size=(500, 500))) == pytest.approx(0.5, abs=0.02)
    assert of(rng.normal(size=(1000, 10)), rng.normal(size=(1000, 10))) == pytest.approx(0.01, abs=0.005)


def test_all_pairs_are_compared_as_pairs_are():
    one, other = layers(5, 400)
    vectors = [gram_vector(features) for features in (one, other, one[:, :2], np.ones((400, 3)))]
    table = similarities(vectors)
    for i in range(3):
        for j in range(3):
            assert table[i, j] == pytest.approx(cka(vectors[i], vectors[j]), abs=1e-12)
    assert np.isnan(table[3]).all() and np.isnan(table[:, 3]).all() and (np.diagonal(table)[:3] == 1).all()


@pytest.mark.parametrize("value", [0.0, 0.1, 1e30, -7e-12])
@pytest.mark.parametrize("count", [1, 2, 997])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_constant_features_are_like_none(value, count, dtype):
    constant = np.full((count, 5), value, dtype)
    assert math.isnan(of(constant, np.random.default_rng(0).normal(size=(count, 3))))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_features_that_are_not_finite_are_like_none(value):
    one, other = layers(0)
    one[3, 2] = value
    assert math.isnan(of(one, other))


def test_no_samples_and_no_features():
    assert math.isnan(of(np.zeros((0, 3)), np.zeros((0, 2))))
    assert math.isnan(of(np.zeros((5, 0)), np.zeros((5, 2))))
    assert similarities([]).shape == (0, 0)


def test_of_many_samples_a_fixed_part_is_compared():
    one, other = layers(1, MOST_SAMPLES + 500)
    chosen = fixed_part(len(one), MOST_SAMPLES)
    assert len(chosen) == MOST_SAMPLES and len(np.unique(chosen)) == MOST_SAMPLES and (np.diff(chosen) > 0).all()
    np.testing.assert_array_equal(chosen, fixed_part(len(one), MOST_SAMPLES))
    assert of(one, other) == pytest.approx(plain(one[chosen], other[chosen]), abs=1e-5)
    assert of(one, other) == pytest.approx(plain(one, other), abs=0.03)


def test_a_part_of_a_probe_whose_classes_take_turns_has_all_of_them():
    classes = np.arange(20 * MOST_SAMPLES) % 20
    assert np.bincount(classes[fixed_part(len(classes), MOST_SAMPLES)], minlength=20).min() > 30


def test_layers_of_other_samples_are_refused():
    with pytest.raises(ValueError, match=r"different numbers of samples .* \[15, 21\]"):
        cka(gram_vector(np.zeros((5, 2))), gram_vector(np.zeros((6, 2))))
