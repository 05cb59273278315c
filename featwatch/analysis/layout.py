"""Layouts of the samples in the plane (rows E1, E3): functions from a `Task` to points."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from featwatch.analysis import umap_layout
from featwatch.analysis.layout_task import Layout, Task, Trace, in_canonical_order
from featwatch.analysis.linear import pca
from featwatch.analysis.neighbours import EXACT, nearest
from featwatch.analysis.steady import steady

__all__ = ["LAYOUTS", "Layout", "Task", "Trace", "near_in_plane", "pca", "tsne", "umap", "users"]

umap = in_canonical_order(umap_layout.umap)


@in_canonical_order
def tsne(task: Task) -> np.ndarray:
    """t-SNE by scikit-learn, (samples, 2) float32, from the start where there is one; perplexity = `n_neighbors`, 5 to 50.

    With a start no sample moves farther than its features did in proportion: see `steady`.
    van der Maaten, Hinton 2008; Barnes-Hut, van der Maaten 2014.
    """
    count = len(task.features)
    if count < 5:
        return pca(task)
    from sklearn.manifold import TSNE

    fresh = task.start is None
    init = umap_layout.scattered(task) * 1e-4 / umap_layout.EXTENT if fresh else np.asarray(task.start)
    perplexity = min(max(5.0, min(50.0, float(task.n_neighbors))), (count - 1) / 3)
    model = TSNE(
        perplexity=perplexity, init=init.astype(np.float32), random_state=task.seed,
        # Exaggeration gathers scattered points; points that start where they belong would only be thrown about.
        early_exaggeration=12.0 if fresh else 1.0, max_iter=750 if fresh else 250,
    )  # fmt: skip
    points = model.fit_transform(task.features)
    return points.astype(np.float32) if fresh else steady(task, points, lambda moved, reach: moved).astype(np.float32)


def users(function: Callable[..., np.ndarray]) -> Layout:
    """A layout by the user's `function(features, *, start, seed)`, which must return finite points (samples, 2).

    The layout raises ValueError where it does not.
    """
    name = getattr(function, "__name__", repr(function))

    def layout(task: Task) -> np.ndarray:
        start = None if task.start is None else task.start.copy()
        points = np.asarray(function(task.features.copy(), start=start, seed=task.seed))
        expected = (len(task.features), 2)
        if points.shape != expected or not np.issubdtype(points.dtype, np.number) or np.iscomplexobj(points):
            raise ValueError(f"layout {name} gave {points.dtype} of shape {points.shape}; real numbers, {expected}, are needed")
        with np.errstate(over="ignore"):        # what is beyond float32 becomes infinite
            points = points.astype(np.float32)
        if not np.isfinite(points).all():
            raise ValueError(f"layout {name} returned points that are not finite as float32")
        return points

    return layout


def near_in_plane(points: np.ndarray, k: int) -> np.ndarray:
    """(samples, k) int32: who is nearest in a layout; exact for any number of samples."""
    if len(points) <= EXACT:
        return nearest(points, k)[0]
    from scipy.spatial import cKDTree

    found = cKDTree(points).query(points, k + 1)[1]
    others = found != np.arange(len(points))[:, None]
    others[others.all(axis=1), -1] = False          # of more than k at one spot the sample itself may not be among the found
    return found[others].reshape(len(points), k).astype(np.int32)


LAYOUTS: dict[str, Layout] = {"umap": umap, "tsne": tsne, "pca": pca}
