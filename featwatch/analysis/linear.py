"""The linear layout: principal components (row E1)."""

from __future__ import annotations

import numpy as np

from featwatch.analysis.layout_task import Task
from featwatch.analysis.movement import aligned

_LARGE = 100            # from this size on two eigenvectors are found alone: of 600 samples in 0.06 s, where all take up to 3.4 s


def pca(task: Task) -> np.ndarray:
    """The two directions of largest variance, (samples, 2) float32; 0 where there is no such direction.

    How the plane is turned is free: with a start it lies as near to that as can be, otherwise the directions are the
    axes, with their largest components positive.
    """
    values = np.asarray(task.features, np.float64)
    count, width = values.shape
    points = np.zeros((count, 2))
    values = values - values.mean(axis=0)
    axes = min(2, width, count)
    gram = values.T @ values if width <= count else values @ values.T
    spread, vectors = largest_eigenvectors(gram, axes)
    if width > count:
        vectors = values.T @ vectors / np.sqrt(np.maximum(spread, np.finfo(np.float64).tiny))
    vectors = vectors[:, ::-1]
    vectors = vectors * np.where(spread[::-1] > np.trace(gram) * 1e-12, 1.0, 0.0)
    largest = np.abs(vectors).argmax(axis=0)
    points[:, :axes] = values @ (vectors * np.where(vectors[largest, np.arange(axes)] < 0, -1.0, 1.0))
    if task.start is not None:
        points = aligned(points, np.asarray(task.start, np.float64))
    return points.astype(np.float32)


def largest_eigenvectors(gram: np.ndarray, many: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest eigenvalues (many,), ascending, and their vectors (size, many), of a symmetric matrix."""
    from scipy.linalg import eigh
    from scipy.sparse.linalg import ArpackError, eigsh

    size = len(gram)
    if size > _LARGE and np.trace(gram) > 0:
        try:
            spread, vectors = eigsh(gram, many, v0=np.linspace(1.0, 2.0, size))
            order = np.argsort(spread)
            return spread[order], vectors[:, order]
        except ArpackError:         # eigenvalues too close together for it
            pass
    return eigh(gram, subset_by_index=[size - many, size - 1])
