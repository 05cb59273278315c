"""What the worker does before the first snapshot arrives, while the first epoch trains."""

from __future__ import annotations

import numpy as np


def warm_up() -> None:
    """Import what the analyses need and compile what they run, on a few samples."""
    import scipy.linalg.lapack  # noqa: F401
    import scipy.stats  # noqa: F401

    from featwatch.analysis.clustering import clusters
    from featwatch.analysis.grid import assignment, box_over
    from featwatch.analysis.layout import Task, umap
    from featwatch.analysis.neighbours import nearest

    features = np.random.default_rng(0).normal(size=(32, 4)).astype(np.float32)
    indices, distances = nearest(features, 5)
    points = umap(Task(features=features, indices=indices, distances=distances, n_neighbors=5))
    clusters(points, np.zeros(len(points), np.int32), eps=None, min_samples=5)
    assignment(points, box_over(points))
