"""The linear layout: principal components (row E1)."""

from __future__ import annotations

import numpy as np

from featwatch.analysis.layout_task import Task
from featwatch.analysis.movement import aligned


def pca(task: Task) -> np.ndarray:
    """The two directions of largest variance, (samples, 2) float32; 0 where there is no such direction.

    How the plane is turned is free: with a start it lies as near to that as can be, otherwise the directions are the
    axes, with their largest components positive.
    """
    from scipy.linalg import eigh

    values = np.asarray(task.features, np.float64)
    count, width = values.shape
    points = np.zeros((count, 2))
    values = values - values.mean(axis=0)
    axes = min(2, width, count)
    gram = values.T @ values if width <= count else values @ values.T
    spread, vectors = eigh(gram, subset_by_index=[len(gram) - axes, len(gram) - 1])
    if width > count:
        vectors = values.T @ vectors / np.sqrt(np.maximum(spread, np.finfo(np.float64).tiny))
    vectors = vectors[:, ::-1]
    vectors = vectors * np.where(spread[::-1] > np.trace(gram) * 1e-12, 1.0, 0.0)
    largest = np.abs(vectors).argmax(axis=0)
    points[:, :axes] = values @ (vectors * np.where(vectors[largest, np.arange(axes)] < 0, -1.0, 1.0))
    if task.start is not None:
        points = aligned(points, np.asarray(task.start, np.float64))
    return points.astype(np.float32)
