"""Layouts of the samples in the plane (rows E1, E3): functions from a `Task` to points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# Measured over 15 epochs of a digits net, 1,000 samples.  Fresh: keeps 61 % of the 15 nearest neighbours
# where umap-learn's 500 rounds keep 62 %.  Warm: half the rounds keep 2 % fewer, twice as many 0 % more.
FRESH_ROUNDS = 200
WARM_ROUNDS = 100
EXTENT = 10.0           # half the width of the plane in which a fresh layout starts, as in umap-learn
JITTER = 1e-3           # tells apart samples with equal features; far below the distance of neighbours, about 0.1
STIFFNESS = 0.3         # tether of a sample whose features moved by the distance of its neighbours
STIFFEST = 300.0        # and of one whose features did not move at all: it stays


@dataclass(frozen=True, eq=False, kw_only=True)
class Task:
    """What a layout is made of."""

    features: np.ndarray                    # (samples, features), finite
    indices: np.ndarray                     # (samples, k): the nearest others in the feature space, nearest first
    distances: np.ndarray                   # (samples, k)
    n_neighbors: int = 15                   # the sample itself counts as one, as everywhere with UMAP
    min_dist: float = 0.1
    seed: int = 0
    start: np.ndarray | None = None         # (samples, 2) points of the epoch before, or a fresh start
    before: np.ndarray | None = None        # (samples, features) that `start` was made of, where they are known


Layout = Callable[[Task], np.ndarray]


def umap(task: Task) -> np.ndarray:
    """UMAP of the samples, (samples, 2) float32, from exact neighbours; the same for the same seed on any number of threads.

    With a start, every point is tethered to where it was, the more the less its features moved, so
    that what moves in the plane is what moved in the feature space.

    McInnes, Healy, Melville 2018.
    """
    count = len(task.features)
    if count < 3:
        return pca(task)
    from umap.umap_ import find_ab_params

    from featwatch.analysis.umap_optimiser import optimise

    fresh = task.start is None
    start = scattered(task) if fresh else np.asarray(task.start, np.float64)
    stiffness = np.zeros(count) if fresh else tether(task)
    rounds = FRESH_ROUNDS if fresh else WARM_ROUNDS
    a, b = find_ab_params(1.0, task.min_dist)
    heads, tails, weights = fuzzy_graph(task)
    visited = weights >= weights.max() / rounds
    points = optimise(
        start, start, stiffness, heads[visited], tails[visited], weights[visited],
        float(a), float(b), rounds, 1.0, task.seed,
    )  # fmt: skip
    return points.astype(np.float32)


def pca(task: Task) -> np.ndarray:
    """The two directions of largest variance, (samples, 2) float32; 0 where there is no such direction.

    A direction's sign is free: it follows the start where there is one, and otherwise makes the
    direction's largest component positive.
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
        agreement = (points * (task.start - task.start.mean(axis=0))).sum(axis=0)
        points *= np.where(agreement < 0, -1.0, 1.0)
    return points.astype(np.float32)


def tsne(task: Task) -> np.ndarray:
    """t-SNE by scikit-learn, (samples, 2) float32, from the start where there is one; perplexity = `n_neighbors`, 5 to 50.

    van der Maaten, Hinton 2008; Barnes-Hut, van der Maaten 2014.
    """
    count = len(task.features)
    if count < 5:
        return pca(task)
    from sklearn.manifold import TSNE

    fresh = task.start is None
    init = scattered(task) * 1e-4 / EXTENT if fresh else np.asarray(task.start)
    perplexity = min(max(5.0, min(50.0, float(task.n_neighbors))), (count - 1) / 3)
    model = TSNE(
        perplexity=perplexity, init=init.astype(np.float32), random_state=task.seed,
        # Exaggeration gathers scattered points; points that start where they belong would only be thrown about.
        early_exaggeration=12.0 if fresh else 1.0, max_iter=750 if fresh else 250,
    )  # fmt: skip
    return model.fit_transform(task.features).astype(np.float32)


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
        if not np.isfinite(points).all():
            raise ValueError(f"layout {name} returned points that are not finite")
        return points.astype(np.float32)

    return layout


LAYOUTS: dict[str, Layout] = {"umap": umap, "tsne": tsne, "pca": pca}


def fuzzy_graph(task: Task) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """UMAP's fuzzy graph of the exact neighbours: heads and tails int32, weights float64, one entry per direction."""
    from umap.umap_ import fuzzy_simplicial_set

    count, k = len(task.features), min(task.n_neighbors - 1, task.indices.shape[1])
    itself = np.arange(count, dtype=np.int32)[:, None]
    # The graph is the same at every scale, but umap-learn's search for it is not: it begins at 1 and ends after 64 halvings.
    unit = float(task.distances.max(initial=0.0)) or 1.0
    graph, _, _ = fuzzy_simplicial_set(
        np.empty((count, 1)), k + 1, np.random.RandomState(task.seed), "euclidean",
        knn_indices=np.hstack([itself, task.indices[:, :k]]),
        knn_dists=np.hstack([np.zeros((count, 1)), task.distances[:, :k] / unit]).astype(np.float32),
    )  # fmt: skip
    graph = graph.tocoo()
    return graph.row.astype(np.int32), graph.col.astype(np.int32), graph.data.astype(np.float64)


def scattered(task: Task) -> np.ndarray:
    """Where a fresh layout starts: the PCA within ±`EXTENT`, equal points told apart by a little noise.

    Not the spectral start: it is no better here (measured), and fails on some graphs that fall apart.
    """
    points = pca(task).astype(np.float64)
    largest = np.abs(points).max(initial=0.0)
    scale = EXTENT / largest if largest > 0 else 0.0
    return points * scale + np.random.default_rng(task.seed).normal(scale=JITTER, size=points.shape)


def tether(task: Task) -> np.ndarray:
    """How strongly each point is held to its start, (samples,): `STIFFNESS` / (movement of its features)², at most `STIFFEST`.

    The unit of movement is the median distance to the farthest of the nearest neighbours.
    `STIFFNESS` everywhere where the features before are not known.
    """
    if task.before is None or task.before.shape != task.features.shape:
        return np.full(len(task.features), STIFFNESS)
    moved = np.linalg.norm(task.features.astype(np.float64) - task.before, axis=1)
    reach = task.distances[:, -1].astype(np.float64)
    unit = float(np.median(reach[reach > 0])) if (reach > 0).any() else 0.0
    pull, stays = STIFFNESS * unit**2, np.full(len(moved), STIFFEST)
    return np.divide(pull, moved**2, out=stays, where=moved**2 * STIFFEST > pull)
