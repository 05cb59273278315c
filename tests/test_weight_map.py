"""Filters by their weights as they act: which have the same, and where they are in the plane."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from featwatch.analysis.acting_weights import cosines, directions, weight_classes
from featwatch.analysis.weight_map import laid_out_every, weight_layout, weight_map
from featwatch.folding import Normalisation


def classes(weights: np.ndarray, offsets: Any = 0.0, activation: str = "relu", norm: Normalisation | None = None) -> list[int]:
    unit, lengths = directions(weights.astype(np.float32), norm)
    offsets = np.broadcast_to(np.asarray(offsets, np.float64), (len(weights),))
    return weight_classes(unit, cosines(unit)[0], lengths, offsets, activation).tolist()


W = np.random.default_rng(0).normal(size=(2, 20))
SCALED = np.array([W[0], 3 * W[0], W[1], -W[0], W[0]])


@pytest.mark.parametrize(
    ("activation", "expected"),
    [("relu", [0, 0, -1, -1, 0]), ("leaky_relu", [0, 0, -1, -1, 0]), ("linear", [0, 0, -1, 0, 0]),
     ("gelu", [0, -1, -1, -1, 0]), ("prelu", [0, -1, -1, -1, 0]), ("relu6", [0, -1, -1, -1, 0])],
)  # fmt: skip
def test_which_weights_are_the_same_depends_on_the_activation(activation: str, expected: list[int]) -> None:
    assert classes(SCALED, np.array([1.0, 3, 1, -1, 1]), activation) == expected
    assert classes(SCALED, np.array([1.0, 3, 1, -1, 1.001]), activation)[4] == -1       # another bias


def test_weights_are_the_same_within_a_ten_thousandth() -> None:
    rng = np.random.default_rng(1)
    off = rng.normal(size=20)
    off /= np.linalg.norm(off) / np.linalg.norm(W[0])
    assert classes(np.array([W[0], W[0] + 5e-5 * off])) == [0, 0]
    assert classes(np.array([W[0], W[0] + 2e-4 * off])) == [-1, -1]
    assert classes(np.array([0 * W[0], 0 * W[0]])) == [-1, -1]      # no weights are no double
    assert classes(np.array([[np.nan] * 20, W[0], W[0]])) == [-1, 1, 1]


def test_weights_of_any_size_have_a_direction() -> None:
    for size in (1e-38, 1e-20, 1e20, 3e37):
        unit, lengths = directions((W * size).astype(np.float32), None)
        np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, rtol=1e-5)
        np.testing.assert_allclose(lengths, np.linalg.norm(W, axis=1) * size, rtol=1e-3)
    norm = Normalisation(np.array([-2.0, 0.0]), np.zeros(2), np.ones(2), np.zeros(2))
    unit, lengths = directions(W.astype(np.float32), norm)
    np.testing.assert_allclose(unit[0], -W[0] / np.linalg.norm(W[0]), rtol=1e-5)
    assert lengths[0] == pytest.approx(2 * np.linalg.norm(W[0])) and lengths[1] == 0 and not unit[1].any()


def test_long_weights_are_folded() -> None:
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(30, 20_000)).astype(np.float32)
    weights[7] = 2 * weights[3]
    weights[9] = weights[3] + rng.normal(size=20_000)
    unit, lengths = directions(weights, None)
    found, exact = cosines(unit)
    assert not exact and np.abs(found - unit @ unit.T).max() < 5 / np.sqrt(8192)
    assert weight_classes(unit, found, lengths, np.zeros(30), "relu").tolist() == [3 if i in (3, 7) else -1 for i in range(30)]
    unit, _ = directions(np.abs(weights), None)     # of one sign: without random signs they would add up
    assert np.abs(cosines(unit)[0] - unit @ unit.T).max() < 5 / np.sqrt(8192)


def test_the_map_stays_where_it_was_while_the_weights_turn() -> None:
    rng = np.random.default_rng(0)
    weights = (rng.normal(size=(40, 2)) * [1.0, 0.98]) @ rng.normal(size=(2, 30)) + 0.05 * rng.normal(size=(40, 30))
    start, (first, second) = weight_map(cosines(directions(weights, None)[0])[0])
    assert first >= second > 0.3 and first + second <= 1 + 1e-6
    moved = weights + 0.02 * rng.normal(size=weights.shape)
    free, _ = weight_map(cosines(directions(moved, None)[0])[0])
    steady, _ = weight_map(cosines(directions(moved, None)[0])[0], start)
    gaps = [np.subtract.outer(points, points)[:, range(2), :, range(2)] for points in (free, steady)]
    np.testing.assert_allclose(np.square(gaps[0]).sum(axis=0), np.square(gaps[1]).sum(axis=0), atol=1e-4)    # turned, not bent
    assert np.linalg.norm(steady - start, axis=1).max() < 0.2
    mirrored, _ = weight_map(cosines(directions(weights, None)[0])[0], start * [-1, 1])
    np.testing.assert_allclose(mirrored, start * [-1, 1], atol=1e-4)


def test_the_map_of_next_to_nothing() -> None:
    for weights in (np.zeros((3, 4)), np.ones((1, 4)), np.ones((3, 4))):
        points, explained = weight_map(cosines(directions(weights, None)[0])[0])
        assert not points.any() and points.shape == (len(weights), 2) and explained == (0.0, 0.0)
    points, explained = weight_map(cosines(directions(np.array([[1.0, 0], [0, 1]]), None)[0])[0])
    assert np.abs(points[0] - points[1]).max() == pytest.approx(np.sqrt(2)) and explained[0] == pytest.approx(1)
    nowhere = np.full((2, 2), np.nan)
    assert np.isfinite(weight_map(np.eye(2), nowhere)[0]).all()


def test_a_layout_puts_like_weights_together_and_goes_on_from_the_last() -> None:
    rng = np.random.default_rng(0)
    kinds = np.repeat(np.arange(3), 12)
    weights = rng.normal(size=(3, 25))[kinds] + 0.3 * rng.normal(size=(36, 25))
    weights[5] = 0
    cosine = cosines(directions(weights, None)[0])[0]
    points = weight_layout(cosine, weight_map(cosine)[0], None, 0)
    inside = np.delete(np.arange(36), 5)
    way = np.linalg.norm(points[inside, None] - points[inside], axis=2) + np.diag(np.full(35, np.inf))
    assert (kinds[inside][way.argmin(axis=1)] == kinds[inside]).all()
    start = points.copy()
    start[8] = np.nan
    again = weight_layout(cosine, weight_map(cosine)[0], start, 0)
    assert np.isfinite(again).all() and np.linalg.norm(np.delete(again - points, [5, 8], axis=0), axis=1).max() < 3
    assert [laid_out_every(count) for count in (10, 512, 513, 2048)] == [1, 1, 2, 4]
