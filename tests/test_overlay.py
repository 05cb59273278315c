"""`explain.overlay` and `important_regions`: the laws of the watershed, and what is painted where."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

import featwatch as fw
from featwatch.analysis import attribution_maps, important_regions
from featwatch.analysis.important_regions import important_regions as regions
from featwatch.explain.attribution.overlays import FRAME, OUTLINE

RNG = np.random.default_rng(3)
maps = st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**31)).map(
    lambda given: np.random.default_rng(given[2]).random(given[:2]) ** 3
)


@settings(max_examples=80, deadline=None)
@given(maps, st.floats(0.1, 1), st.sampled_from([0, 0.7, 1.5]))
def test_laws_of_the_regions(saliency: np.ndarray, share: float, sigma: float) -> None:
    mask = regions(saliency, share=share, sigma=sigma)
    size = ndimage.gaussian_filter(saliency, sigma, mode="constant") if sigma else saliency
    assert mask[np.unravel_index(size.argmax(), size.shape)]
    assert mask[size >= share * size.max()].all()
    if (size <= share / 2 * size.max()).any():
        assert not mask[size <= share / 2 * size.max()].any()
    assert np.array_equal(regions(-saliency, share=share, sigma=sigma), mask)
    assert np.array_equal(regions(saliency * 2.0**20, share=share, sigma=sigma), mask)
    if not sigma:
        assert np.array_equal(regions(saliency.T, share=share, sigma=0).T, mask)


@settings(max_examples=60, deadline=None)
@given(maps, st.floats(0.2, 1))
def test_each_pixel_goes_where_the_largest_step_on_the_way_is_smaller(saliency: np.ndarray, share: float) -> None:
    levels = saliency / saliency.max()
    inside, outside = saliency >= share * saliency.max(), saliency <= share / 2 * saliency.max()
    if not outside.any():
        assert regions(saliency, share=share, sigma=0).all()
        return
    mask = regions(saliency, share=share, sigma=0)
    to_inside, to_outside = least_steps(levels, inside), least_steps(levels, outside)
    assert mask[to_inside < to_outside].all() and not mask[to_outside < to_inside].any()


def least_steps(levels: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """At each pixel the largest step between neighbours on the best way from a source, by repetition until nothing changes."""
    cost = np.where(sources, 0, np.inf)
    while True:
        best = cost.copy()
        for axis in (0, 1):
            for one, other in (((slice(1, None)), slice(None, -1)), (slice(None, -1), slice(1, None))):
                here = (one, slice(None)) if axis == 0 else (slice(None), one)
                there = (other, slice(None)) if axis == 0 else (slice(None), other)
                best[here] = np.minimum(best[here], np.maximum(cost[there], np.abs(levels[here] - levels[there])))
        if np.array_equal(best, cost):
            return cost
        cost = best


def test_two_spots_are_two_regions_and_nothing_is_none() -> None:
    rows, columns = np.mgrid[:40, :60]
    spots = sum(np.exp(-((rows - 20) ** 2 + (columns - c) ** 2) / 18) for c in (12, 45))
    mask = regions(spots)
    labels, count = ndimage.label(mask)
    assert count == 2 and labels[20, 12] != labels[20, 45]
    assert not regions(np.zeros((5, 5))).any()
    assert not regions(np.full((5, 5), np.nan)).any()
    spots[0, 0] = np.nan
    assert np.array_equal(regions(spots), mask)


@pytest.mark.parametrize("channels", [None, 1, 2, 3, 5])
def test_what_matters_is_bright_and_outlined_the_rest_dim_and_the_field_framed(channels: int | None) -> None:
    image = np.full((32, 32) if channels is None else (32, 32, channels), 0.5, np.float32)
    saliency = np.zeros((32, 32))
    saliency[10:18, 12:20] = 1
    shown = fw.explain.overlay(image, saliency, (6, 21, 7, 24), sigma=0)
    assert shown.shape == (256, 256, 3) and shown.dtype == np.uint8
    plain = 128 if channels != 2 else np.array([128, 128, 0])
    assert (shown[14 * 8 : 15 * 8, 15 * 8 : 16 * 8].astype(int) > plain).all()
    assert (shown[:8, :8].astype(int) <= plain).all() and shown[0, 0].any()
    outlined = (shown == OUTLINE).all(axis=-1)
    rows, columns = np.nonzero(outlined)
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (78, 146, 94, 162)
    framed = (shown == FRAME).all(axis=-1)
    rows, columns = np.nonzero(framed)
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (48, 176, 56, 200)
    assert framed.sum() == 2 * 2 * (128 + 144) - 4 * 2 * 2
    assert not ((shown[60:66, 70:80] == FRAME).all(axis=-1)).any()


def test_without_anything_that_matters_the_picture_is_dim() -> None:
    image = RNG.random((16, 20, 3)).astype(np.float32)
    shown = fw.explain.overlay(image, np.zeros((16, 20)), scale=3)
    assert shown.shape == (48, 60, 3) and not (shown == OUTLINE).all(axis=-1).any()
    assert np.abs(shown[::3, ::3] / 255 - 0.45 * image).max() < 0.01
    assert np.array_equal(fw.explain.overlay(image, np.zeros((16, 20)), (-1, -1, -1, -1), scale=3), shown)


def test_channels_of_an_attribution_are_taken_together() -> None:
    image = RNG.random((16, 16, 1)).astype(np.float32)
    signed = RNG.normal(size=(16, 16, 3))
    largest = np.abs(signed).max(axis=-1)
    assert np.array_equal(fw.explain.overlay(image, signed), fw.explain.overlay(image, largest))


def test_what_is_wrong_is_said() -> None:
    image = np.zeros((8, 8, 1))
    with pytest.raises(ValueError, match=r"saliency of the shape \(7, 8\): expected"):
        fw.explain.overlay(image, np.zeros((7, 8)))
    with pytest.raises(ValueError, match="scale=0: give a whole number"):
        fw.explain.overlay(image, np.zeros((8, 8)), scale=0)
    with pytest.raises(ValueError, match="share=0: give a number above 0"):
        fw.explain.overlay(image, np.zeros((8, 8)), share=0)
    with pytest.raises(ValueError, match="sigma=-1"):
        fw.explain.overlay(image, np.zeros((8, 8)), sigma=-1)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.floats(-30, 30))
def test_maps_survive_as_bytes_within_half_a_step(seed: int, magnitude: float) -> None:
    values = np.random.default_rng(seed).normal(size=(3, 2, 4, 5)) * 2.0**magnitude
    values[0, 0] = 0
    pixels, reach = attribution_maps.signed_maps(values)
    back = (pixels - 128.0) / 127 * reach[..., None, None]
    assert (np.abs(back - values) <= reach[..., None, None] / 253).all()
    assert (pixels[0, 0] == 128).all() and reach[0, 0] == 0 and (pixels > 0).all()
    values[1, 1, 2, 2] = np.nan
    pixels, reach = attribution_maps.signed_maps(values)
    assert np.isnan(reach[1, 1]) and (pixels[1, 1] == 128).all() and np.isfinite(reach).sum() == 5


def test_examples() -> None:
    for module in (important_regions, attribution_maps):
        found = doctest.testmod(module)
        assert found.attempted and not found.failed
