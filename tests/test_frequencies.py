"""The share of high spatial frequencies, against SciPy; and which vectors are flattened pictures."""

from __future__ import annotations

import doctest

import numpy as np
import scipy.fft
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer, load_digits

from featwatch.explain.leading import frequencies as module
from featwatch.explain.leading.frequencies import Frequencies, side_of_squares
from tests.nets import images


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3), st.integers(0, 99))
def test_the_share_of_high_frequencies_is_that_of_scipys_transform(height: int, width: int, channels: int, seed: int) -> None:
    pictures = np.random.default_rng(seed).normal(size=(2, height, width, channels))
    energy = np.square(scipy.fft.dctn(pictures, axes=(1, 2), norm="ortho"))
    along = np.arange(height) / (2 * height), np.arange(width) / (2 * width)
    high = np.hypot(along[0][:, None], along[1][None]) > 0.25
    total = energy.sum(axis=(1, 2, 3)) - energy[:, 0, 0].sum(axis=1)
    expected = np.divide((energy * high[..., None]).sum(axis=(1, 2, 3)), total, out=np.zeros(2), where=total > 1e-12)
    frequencies = Frequencies(height, width)
    assert frequencies.any == high.any()
    if total.min() > 1e-9:
        np.testing.assert_allclose(frequencies.high_share(pictures), expected, atol=1e-9)
        traced = frequencies.traced_high_share(tf.constant(pictures, tf.float32)).numpy()
        np.testing.assert_allclose(traced, expected, atol=1e-4)


def test_noise_has_high_frequencies_and_a_slope_has_none() -> None:
    slope = np.tile(np.linspace(0, 1, 16), (16, 1))[None, ..., None]
    noise = 0.1 * np.random.default_rng(0).normal(size=slope.shape)
    shares = [float(Frequencies(16, 16).high_share(slope + strength * noise)[0]) for strength in (0, 1, 2, 4)]
    assert shares[0] < 1e-3 and np.all(np.diff(shares) > 0) and shares[-1] > 0.25
    assert Frequencies(8, 8).high_share(np.ones((1, 8, 8, 1))) == 0


def test_flattened_pictures_are_recognised_and_tables_are_not() -> None:
    rng = np.random.default_rng(0)
    assert side_of_squares(load_digits().data) == side_of_squares(load_digits().data[:40]) == 8
    assert side_of_squares(images(60, (9, 9, 1))[0].reshape(60, 81)) == 0      # noise around random pictures has no neighbours
    table = load_breast_cancer().data
    assert [side_of_squares(one) for one in (table[:, :25], table, rng.random((99, 64)))] == [0, 0, 0]
    rows = rng.random((99, 8, 1)) + 0.1 * rng.random((99, 8, 8))                 # alike side by side, but not below each other
    assert side_of_squares(rows.reshape(99, 64)) == side_of_squares(np.swapaxes(rows, 1, 2).reshape(99, 64)) == 0
    assert side_of_squares(rng.random((99, 1)) + 0.1 * rng.random((99, 64))) == 0   # all values go together: none are neighbours
    assert side_of_squares(load_digits().data[:, :49]) in (0, 7) and side_of_squares(load_digits().data[:2]) == 0


def test_the_examples_are_true() -> None:
    found = doctest.testmod(module, extraglobs={"np": np})
    assert found.attempted and not found.failed
