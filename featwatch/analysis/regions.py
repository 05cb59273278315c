"""Estimated decision regions in the plane of a layout (row E5)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from featwatch.analysis.grid import Box, mapped
from featwatch.records import Embedding, GridMap, Predictions

MARGIN = 0.04               # of the longer side, around the points
FINEST = 2048               # cells along a side at most
SMOOTHING = 0.0125          # standard deviation of the Gaussian, as a share of the longer side
_UNIT = 2.0**20             # weights are whole numbers of its inverse: sums are exact, in whatever order, here and in the page


@dataclass(frozen=True, eq=False)
class Regions:
    """A raster of classes over the plane; row 0 is at the bottom.

    >>> import numpy as np
    >>> found = regions(np.array([[0.0, 0.0], [3.0, 0.0]]), np.array([4, 7]), neighbors=1, resolution=4, smoothing=0)
    >>> found.cells
    array([[4, 4, 7, 7]], dtype=int32)
    """

    cells: np.ndarray           # (rows, columns) int32, the class of each cell
    margin: np.ndarray          # (rows, columns) float32, 0 to 1: its lead over the next class, as a share of the votes
    left: float                 # centre of the cell in row 0 and column 0
    bottom: float
    step: float                 # side of a cell

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """(left, right, bottom, top) edges, as Matplotlib's `imshow(cells, origin="lower", extent=…)` takes them."""
        rows, columns = self.cells.shape
        left, bottom = self.left - self.step / 2, self.bottom - self.step / 2
        return left, left + columns * self.step, bottom, bottom + rows * self.step

    def boundary(self) -> np.ndarray:
        """Line segments along which regions meet: (segments, 2 ends, x and y) float64, by marching squares.

        Between two unlike cells the line passes where their leads are in balance.
        """
        aside, above = self._crossed(0, 1), self._crossed(1, 0)
        # The four sides of each square between four centres: (rows − 1, columns − 1, 4 sides, x and y), NaN where not crossed.
        sides = np.stack([aside[:-1], aside[1:], above[:, :-1], above[:, 1:]], axis=2).reshape(-1, 4, 2)
        crossed = ~np.isnan(sides[:, :, 0])
        number = crossed.sum(axis=1)
        through = sides[number == 2][crossed[number == 2]].reshape(-1, 2, 2)
        meeting = sides[number > 2]
        middle = np.nanmean(meeting, axis=1, keepdims=True)
        spokes = np.stack([np.broadcast_to(middle, meeting.shape), meeting], axis=2)[crossed[number > 2]]
        return np.concatenate([through, spokes])

    def _crossed(self, up: int, right: int) -> np.ndarray:
        """Where the way from each cell to its neighbour leaves its region: (rows, columns, x and y), NaN = nowhere."""
        rows, columns = self.cells.shape[0] - up, self.cells.shape[1] - right
        here, there = (slice(0, rows), slice(0, columns)), (slice(up, None), slice(right, None))
        lead = self.margin[here].astype(np.float64)
        both = lead + self.margin[there]
        along = np.divide(lead, both, out=np.full(both.shape, 0.5), where=both > 0)
        row, column = np.indices((rows, columns))
        crossings = np.stack([self.left + (column + along * right) * self.step, self.bottom + (row + along * up) * self.step], -1)
        return np.where((self.cells[here] == self.cells[there])[..., None], np.nan, crossings)


def regions(
    points: np.ndarray,
    classes: np.ndarray,
    *,
    neighbors: int = 3,
    resolution: int = 200,
    smoothing: float = SMOOTHING,
    extent: tuple[float, float, float, float] | None = None,
) -> Regions:
    """The region of every class: at each cell the nearest samples vote, a Gaussian smooths the votes, the most votes win.

    Arguments:
        points: (samples, 2), where the samples are.  Those that are not finite do not vote.
        classes: (samples,), the class that the model predicts for each; −1 = none, it does not vote.
        neighbors: how many vote.  Of equally near samples those with the smaller indices do.
        resolution: cells along the longer side, 1 to 2,048; cells are squares.
        smoothing: the Gaussian's standard deviation as a share of the longer side; 0 = none.  It is cut at four
            standard deviations, and the votes at the raster's edge go on beyond it.
        extent: (left, right, bottom, top) to be covered; None = the points, and 4 % of the longer side around them.

    Of classes with equally many votes the smallest wins.  Raises ValueError for anything else, and where no sample votes.

    Source: FS; k-nearest-neighbour classification of the plane by the *predicted* classes, its boundary smoothed.
    """
    points, classes = np.asarray(points, np.float64), np.asarray(classes)
    if points.ndim != 2 or points.shape[1] != 2 or classes.shape != points.shape[:1]:
        given = f"points of shape {points.shape} and classes of shape {classes.shape}"
        raise ValueError(f"{given}; (samples, 2) and (samples,) are needed")
    limits = {"neighbors": (neighbors, 1, math.inf), "resolution": (resolution, 1, FINEST), "smoothing": (smoothing, 0, 1)}
    for name, (value, low, high) in limits.items():
        if not low <= value <= high:
            raise ValueError(f"{name}={value!r} is out of range; give a number from {low} to {high}")
    votes = (classes >= 0) & np.isfinite(points).all(axis=1)
    if not votes.any():
        raise ValueError("no sample has both a predicted class and a finite place; there are no regions")
    points, classes = points[votes], classes[votes].astype(np.int32)
    x, y, step = _raster(points, extent, int(resolution))
    centres = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    nearest = nearest_samples(points, centres, min(int(neighbors), len(points)))
    cells, margin = _smoothed(classes[nearest].reshape(len(y), len(x), -1), smoothing * max(len(x), len(y)))
    return Regions(cells, margin, float(x[0]), float(y[0]), step)


def regions_of(embedding: Embedding, predictions: Predictions, grid: GridMap | None, share: float, **options: Any) -> Regions:
    """The `regions` of an embedding, its samples moved by `share`, 0 to 1, to their cells of `grid`; `options` are theirs."""
    points = embedding.points if grid is None else mapped(embedding.points, grid.cells, Box.of(grid), share)
    return regions(points, predictions.classes, **options)


def nearest_samples(points: np.ndarray, centres: np.ndarray, k: int) -> np.ndarray:
    """Indices of the `k` points nearest to each centre, nearest first, (centres, k); of equally near ones the first come first.

    `points`: (samples, 2) and `centres`: (centres, 2), finite.  1 ≤ k ≤ samples.
    """
    from scipy.spatial import cKDTree

    # Of samples in one place only the first k can be wanted; without the others a tie is soon seen through.
    _, place = np.unique(points, axis=0, return_inverse=True)
    order = np.argsort(place.ravel(), kind="stable")
    starts = np.flatnonzero(np.diff(place.ravel()[order], prepend=-1))
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    kept = np.sort(order[rank < k])
    tree = cKDTree(points[kept])
    found = np.empty((len(centres), k), np.intp)
    waiting, candidates = np.arange(len(centres)), min(k + 8, len(kept))
    while len(waiting):
        distances, indices = (part.reshape(len(waiting), -1) for part in tree.query(centres[waiting], k=candidates))
        indices = kept[indices]
        dx, dy = (centres[waiting, None, axis] - points[indices, axis] for axis in (0, 1))
        squared = dx * dx + dy * dy
        best = np.lexsort((indices, squared), axis=-1)[:, :k]
        found[waiting] = np.take_along_axis(indices, best, axis=1)
        # A tree breaks ties as it likes: where those beyond its last candidate may be as near, more are looked at.
        settled = distances[:, -1] > distances[:, k - 1] * (1 + 1e-9)
        waiting = waiting[~settled] if candidates < len(kept) else waiting[:0]
        candidates = min(2 * candidates, len(kept))
    return found


def _raster(
    points: np.ndarray, extent: tuple[float, float, float, float] | None, resolution: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Centres of the columns and of the rows, and the side of a cell."""
    if extent is None:
        (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
        pad = (max(x1 - x0, y1 - y0) or 1.0) * MARGIN
        x0, x1, y0, y1 = x0 - pad, x1 + pad, y0 - pad, y1 + pad
    else:
        x0, x1, y0, y1 = map(float, extent)
        if not (math.isfinite(x0 + x1 + y0 + y1) and x0 <= x1 and y0 <= y1):
            raise ValueError(f"extent={extent!r} is no rectangle; give (left, right, bottom, top)")
    step = (max(x1 - x0, y1 - y0) or 1.0) / resolution

    def along(low: float, high: float) -> np.ndarray:
        count = max(1, math.ceil((high - low) / step - 1e-9))
        return (low + high) / 2 - (count - 1) / 2 * step + np.arange(count) * step

    return along(x0, x1), along(y0, y1), float(step)


def _smoothed(votes: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """The class with most of the smoothed votes, and its lead; `votes`: (rows, columns, voters), `sigma` in cells."""
    from scipy.ndimage import correlate1d

    weights = kernel(sigma)
    cells = np.full(votes.shape[:2], -1, np.int32)
    best, second = np.zeros(cells.shape), np.zeros(cells.shape)
    for key in np.unique(votes):
        share = (votes == key).sum(axis=2).astype(np.float64)
        for axis in (1, 0):
            share = correlate1d(share, weights, axis=axis, mode="nearest")
        ahead = share > best
        second = np.where(ahead, best, np.maximum(second, share))
        cells[ahead], best[ahead] = key, share[ahead]
    return cells, ((best - second) / (votes.shape[2] * _UNIT * _UNIT)).astype(np.float32)


def kernel(sigma: float) -> np.ndarray:
    """A Gaussian's weights, (2 · radius + 1,), `sigma` in cells: whole numbers that add up to about 2^20."""
    radius = int(4 * sigma + 0.5)
    weights = [math.exp(-0.5 * i * i / (sigma * sigma)) if i else 1.0 for i in range(radius + 1)]
    total = weights[0] + sum(2 * weight for weight in weights[1:])
    half = np.array([math.floor(weight / total * _UNIT + 0.5) for weight in weights], np.float64)
    return np.concatenate([half[:0:-1], half])
