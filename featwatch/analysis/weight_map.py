"""Filters in the plane by the directions of their weights: principal components, and UMAP (row H5)."""

from __future__ import annotations

import numpy as np

from featwatch.analysis.layout import Task, umap
from featwatch.analysis.linear import largest_eigenvectors
from featwatch.analysis.movement import aligned

NEIGHBORS = 15              # UMAP's, the filter itself included
LEAST_LAID_OUT = 10         # filters
# Filters that are laid out at every record; of more only every so many records, and in between it is the last layout.
LAID_OUT_ALWAYS = 512


def weight_map(cosine: np.ndarray, start: np.ndarray | None = None) -> tuple[np.ndarray, tuple[float, float]]:
    """The directions' two principal components, (filters, 2) float32, and the share of the variance along each.

    `cosine`: (filters, filters), from `featwatch.analysis.acting_weights`.  `start`: (filters, 2), the map of the epoch
    before: the axes are turned, and mirrored if need be, so that the points lie nearest to it (the shares are then still
    those of the components).  Otherwise the largest component along each axis is positive.  By the centred Gram matrix:
    Torgerson 1952.
    """
    count = len(cosine)
    gram = cosine.astype(np.float64)
    means = gram.mean(axis=0)
    gram += means.mean() - means[:, None] - means
    total = float(np.trace(gram))
    points = np.zeros((count, 2))
    axes = min(2, count)
    if count < 2 or not total > 1e-6 * count:
        return points.astype(np.float32), (0.0, 0.0)
    spread, vectors = largest_eigenvectors(gram, axes)
    spread, vectors = np.maximum(spread[::-1], 0.0), vectors[:, ::-1]
    largest = np.abs(vectors).argmax(axis=0)
    points[:, :axes] = vectors * np.sqrt(spread) * np.where(vectors[largest, np.arange(axes)] < 0, -1.0, 1.0)
    known = _known(start, count)
    if start is not None and known.any():
        points = aligned(points, np.where(known[:, None], start, 0.0).astype(np.float64), known.astype(np.float64))
    shares = np.zeros(2)
    shares[:axes] = spread / total
    return points.astype(np.float32), (float(shares[0]), float(shares[1]))


def weight_layout(cosine: np.ndarray, points: np.ndarray, start: np.ndarray | None, seed: int) -> np.ndarray:
    """UMAP of the directions by cosine distance, 1 − cosine, (filters, 2) float32.

    `points`: (filters, 2), from `weight_map`: where a fresh layout starts.  `start`: (filters, 2), the layout before, where
    there is one.
    """
    distance = np.maximum(1 - cosine, 0.0)
    without = np.diag(cosine) == 0                  # no direction: as far from all others, and near each other
    distance[np.ix_(without, without)] = 0.0
    np.fill_diagonal(distance, np.inf)
    k = min(NEIGHBORS, len(cosine)) - 1
    indices = np.argsort(distance, axis=1, kind="stable")[:, :k].astype(np.int32)
    reach = np.take_along_axis(distance, indices.astype(np.intp), axis=1).astype(np.float64)
    known = _known(start, len(cosine))
    if start is not None and known.any():
        start = np.where(known[:, None], start, start[known].mean(axis=0)).astype(np.float32)
    task = Task(
        features=points, indices=indices, distances=reach, n_neighbors=NEIGHBORS, seed=seed,
        start=start if known.any() else None,
    )  # fmt: skip
    return umap(task)


def _known(start: np.ndarray | None, count: int) -> np.ndarray:
    """Of which of so many filters a place is known, (filters,) bool."""
    if start is None or start.shape != (count, 2):
        return np.zeros(count, bool)
    return np.isfinite(start).all(axis=1)


def laid_out_every(filters: int) -> int:
    """A layout is made at every so many records: its time goes with the square of the filters.

    >>> laid_out_every(64), laid_out_every(512), laid_out_every(2048)
    (1, 1, 4)
    """
    return -(-filters // LAID_OUT_ALWAYS)
