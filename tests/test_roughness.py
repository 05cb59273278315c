"""How rough kernels are: Geary's C against a plain loop, and what noise and waves give."""

from __future__ import annotations

import doctest
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featwatch.analysis import roughness as module
from featwatch.analysis.roughness import roughness


def by_loop(kernel: np.ndarray) -> list[float]:
    """Geary 1954 with neighbours along one axis, numerators and denominators summed over the input channels."""
    *space, channels, filters = kernel.shape
    places = list(itertools.product(*map(range, space)))
    found = []
    for f in range(filters):
        numerator = denominator = weights = 0.0
        for c in range(channels):
            values = {place: float(kernel[(*place, c, f)]) for place in places}
            mean = sum(values.values()) / len(places)
            denominator += sum((value - mean) ** 2 for value in values.values()) / (len(places) - 1)
            for one, other in itertools.permutations(places, 2):
                if sum(abs(a - b) for a, b in zip(one, other, strict=True)) == 1:
                    numerator += (values[one] - values[other]) ** 2
                    weights += 1
        found.append(numerator / (2 * weights / channels * denominator))
    return found


@pytest.mark.parametrize("space", [(3, 3), (5, 2), (1, 5), (7,), (3, 3, 3), (4, 1, 3)])
def test_geary_s_c_equals_a_plain_loop(space):
    kernel = np.random.default_rng(0).normal(size=(*space, 2, 3)).astype(np.float32)
    np.testing.assert_allclose(roughness(kernel), by_loop(kernel), rtol=1e-6)


def test_noise_is_one_waves_are_less_and_a_chessboard_is_more():
    rng = np.random.default_rng(0)
    assert roughness(rng.normal(size=(5, 5, 64, 200))).mean() == pytest.approx(1, abs=0.005)
    rows, columns = np.mgrid[:7, :7]
    wave, chessboard = np.sin(rows / 3 + columns / 5), (-1.0) ** (rows + columns)
    smooth, opposed = roughness(np.stack([wave, chessboard], axis=-1)[:, :, None])
    assert smooth < 0.2 and opposed > 1.9


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100), st.booleans(), st.floats(-100, 100))
def test_scale_sign_and_a_constant_change_nothing(seed, scale, negative, constant):
    kernel = np.random.default_rng(seed).normal(size=(3, 4, 2, 2))
    expected = roughness(kernel)
    np.testing.assert_allclose(roughness(kernel * (-scale if negative else scale) + constant), expected, rtol=1e-5)
    np.testing.assert_allclose(roughness(kernel[::-1].swapaxes(0, 1)), expected, rtol=1e-9)


@pytest.mark.parametrize("shape", [(1, 1, 4, 2), (2, 2, 4, 2), (4, 4, 2), (1, 4, 4, 2), (6, 2), (3, 3, 0, 2)])
def test_kernels_that_are_too_small_tell_nothing(shape):
    """Of (6, 2), a dense layer's, no axis is one in space; (4, 4, 2) and (1, 4, 4, 2) are lines of four weights."""
    found = roughness(np.random.default_rng(0).normal(size=shape))
    assert found.shape == (2,) and np.isnan(found).all()


@pytest.mark.filterwarnings("error")
def test_a_constant_kernel_and_one_that_is_not_finite_are_not_known_and_spoil_no_other():
    kernel = np.random.default_rng(0).normal(size=(3, 3, 2, 5)).astype(np.float32)
    alone = roughness(kernel)[[3, 4]]
    kernel[..., 0], kernel[..., 1] = 0.1, 0.0
    kernel[1, 1, 0, 2] = math.inf
    found = roughness(kernel)
    assert np.isnan(found[:3]).all()
    np.testing.assert_array_equal(found[3:], alone)
    kernel[0, 0, 0, 3:] = math.nan
    assert np.isnan(roughness(kernel)).all()
    huge = np.random.default_rng(0).normal(size=(3, 3, 1, 1)).astype(np.float32)
    np.testing.assert_allclose(roughness(huge * np.float32(1e37)), roughness(huge), rtol=1e-5)


def test_the_example_runs():
    assert doctest.testmod(module).failed == 0
