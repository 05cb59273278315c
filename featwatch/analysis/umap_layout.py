"""UMAP that stays where it is while the features do (rows E1, E3)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from featwatch.analysis.layout_task import Task, Trace
from featwatch.analysis.linear import pca
from featwatch.analysis.steady import better, movements, resettled, steady

# Measured on the dense layer of a digits net, neighbours kept (k = 15).  1,000 samples, 31 epochs: umap-learn 0.608, sampled
# gradients from the epoch before 0.589, whole ones 0.645 with 100 rounds and 0.642 with 30.  600 samples: 0.656, whole 0.69.
FRESH_ROUNDS = 200      # of sampled gradients, from the PCA
POLISHING_ROUNDS = 60   # of whole ones after them
FREE_ROUNDS = 40        # of whole ones from the epoch before
WITHIN_ROUNDS = 30      # and again, within reach
WHOLE = 10_000          # samples up to which whole gradients are worth their time: that goes with the square
WARM_ROUNDS = 100       # of sampled gradients from the epoch before, above that
EXTENT = 10.0           # half the width of the plane in which a fresh layout starts, as in umap-learn
JITTER = 1e-3           # tells apart samples with equal features; far below the distance of neighbours, about 0.1
STIFFNESS = 0.3         # tether of a sample whose features moved by the distance of its neighbours
STIFFEST = 300.0        # and of one whose features did not move at all
FARTHEST = 1e6          # a start beyond this, or not finite, is none: squared distances would leave float32


def umap(task: Task) -> np.ndarray:
    """UMAP of the samples, (samples, 2) float32, from exact neighbours; the same for the same seed on any number of threads.

    With a start, the layout moves from there, no sample farther than its features did in proportion: see `steady`.  For more
    than `WHOLE` samples by sampled gradients, every point tethered to where it was, the more the less its features moved.

    McInnes, Healy, Melville 2018.
    """
    count = len(task.features)
    if count < 3:
        return pca(task)
    if task.start is not None and not np.abs(task.start).max() <= FARTHEST:     # a comparison with NaN is false
        task = replace(task, start=None)
    graph = _Graph(task)
    if task.start is None:
        points = graph.anew(scattered(task), task.trace)
    elif count <= WHOLE:
        start = np.asarray(task.start, np.float64)
        moved = movements(task)
        placed, guests = resettled(task, moved)
        free = graph.whole(placed, start, np.full(count, np.inf), FREE_ROUNDS, 1.0)
        if np.median(moved) > 1 and task.before is not None:
            free = better(task, free, graph.anew(scattered(task)))
        taken: list[tuple[np.ndarray, np.ndarray]] = []

        def within(points: np.ndarray, reach: np.ndarray) -> np.ndarray:
            taken[:] = [(points, reach)]
            return graph.whole(points, start, reach, WITHIN_ROUNDS, 0.5)

        points = steady(task, free, within, guests)
        if task.trace is not None and taken:
            graph.whole(taken[0][0], start, taken[0][1], WITHIN_ROUNDS, 0.5, task.trace)
    else:
        points = graph.sampled(np.asarray(task.start, np.float64), tether(task), WARM_ROUNDS, task.trace, last=True)
    return points.astype(np.float32)


class _Graph:
    """The fuzzy graph of a task, and the two ways down UMAP's loss from it."""

    def __init__(self, task: Task) -> None:
        from umap.umap_ import find_ab_params

        self._count = len(task.features)
        self._seed = task.seed
        self._a, self._b = (float(value) for value in find_ab_params(1.0, task.min_dist))
        self._heads, self._tails, self._weights = fuzzy_graph(task)

    def anew(self, start: np.ndarray, trace: Trace | None = None) -> np.ndarray:
        """Points from a start that means nothing."""
        points = self.sampled(start, np.zeros(self._count), FRESH_ROUNDS, trace, last=self._count > WHOLE)
        if self._count > WHOLE:
            return points
        return self.whole(points, points, np.full(self._count, np.inf), POLISHING_ROUNDS, 1.0, trace, FRESH_ROUNDS)

    def sampled(
        self, start: np.ndarray, stiffness: np.ndarray, rounds: int, trace: Trace | None = None, last: bool = False
    ) -> np.ndarray:
        """Points after rounds of sampled gradients, tethered to the start.  `last`: whole ones do not follow."""
        from featwatch.analysis.umap_optimiser import optimise

        visited = self._weights >= self._weights.max(initial=0.0) / rounds
        heads, tails, weights = self._heads[visited], self._tails[visited], self._weights[visited]
        points, due, state = start, np.zeros(0), np.array([self._seed], np.uint64)
        pictures = 0 if trace is None else trace.stages - 1 if last else trace.stages // 2
        for begin, end in _spans(rounds, pictures):
            if trace is not None and pictures:
                trace.add(begin, points)
            points, due = optimise(
                points, start, stiffness, heads, tails, weights, self._a, self._b, rounds, 1.0, begin, end, due, state
            )
        if trace is not None and last:
            trace.add(rounds, points)
        return points

    def whole(
        self, points: np.ndarray, anchor: np.ndarray, reach: np.ndarray, rounds: int, rate: float,
        trace: Trace | None = None, done: int = 0,
    ) -> np.ndarray:  # fmt: skip
        """Points after rounds of whole gradients, each within its reach of its anchor."""
        from featwatch.analysis.umap_descent import curve, descend

        first = np.searchsorted(self._heads, np.arange(self._count + 1)).astype(np.int64)
        repulsion = curve(self._a, self._b)
        speed = np.zeros((self._count, 2), np.float32)
        pictures = 0 if trace is None else trace.stages - len(trace.points) - 1
        for begin, end in _spans(rounds, pictures):
            if trace is not None and pictures:
                trace.add(done + begin, points)
            points = descend(
                points, anchor, reach, first, self._tails, self._weights, self._a, self._b, repulsion,
                rounds, rate, begin, end, speed,
            )  # fmt: skip
        if trace is not None:
            trace.add(done + rounds, points)
        return points


def _spans(rounds: int, most: int) -> list[tuple[int, int]]:
    """The rounds in `most` spans at most, about equally long, each from its first to before its last."""
    parts = max(1, min(most, rounds))
    ends = [rounds * part // parts for part in range(parts + 1)]
    return list(zip(ends[:-1], ends[1:], strict=True))


def fuzzy_graph(task: Task) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """UMAP's fuzzy graph of the exact neighbours, by rows: heads and tails int32, weights float64, one entry per direction."""
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
    graph = graph.tocsr()
    graph.sort_indices()
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
    """How strongly each point is held to its start, (samples,): `STIFFNESS` / (movement of its features)², at most `STIFFEST`."""
    moved = movements(task)
    return STIFFNESS / np.maximum(moved**2, STIFFNESS / STIFFEST)
