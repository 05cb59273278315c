"""Further samples in a layout that is there already: nothing of it moves."""

from __future__ import annotations

import numpy as np

ROUNDS = 60
_NEAR = 0.001           # as in UMAP's own descent
_NEGATIVES = 5.0


def place(
    points: np.ndarray, features: np.ndarray, further: np.ndarray, n_neighbors: int = 15, min_dist: float = 0.1
) -> np.ndarray:
    """Where further samples are in a layout, (further, 2) float32.

    `points`: (samples, 2), the layout.  `features`: (samples, features) that it was made of.  `further`: (further, features).
    Each is put at the mean of its neighbours' places, weighted as in UMAP's fuzzy graph, and goes down UMAP's expected loss
    from there, while all others stay.  A sample that is one of the layout's is put where that is.

    McInnes, Healy, Melville 2018, as `umap.UMAP.transform`, by the whole gradient and not by random samples of it.
    """
    if features.ndim != 2 or further.ndim != 2 or features.shape[1] != further.shape[1] or len(points) != len(features):
        raise ValueError(
            f"points {points.shape}, features {features.shape} and further {further.shape} do not go together: "
            "(samples, 2), (samples, features) and (further, features) are needed"
        )
    if not len(further):
        return np.zeros((0, 2), np.float32)
    from umap.umap_ import find_ab_params, smooth_knn_dist

    k = min(n_neighbors, len(points))
    indices, distances = _nearest(further, features, k)
    unit = float(distances.max(initial=0.0)) or 1.0
    near = (distances / unit).astype(np.float32)
    sigmas, rhos = smooth_knn_dist(near, float(max(k, 2)), local_connectivity=0.0)
    weights = np.exp(-np.maximum(near - rhos[:, None], 0.0) / np.maximum(sigmas, 1e-12)[:, None]).astype(np.float64)
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)
    a, b = find_ab_params(1.0, min_dist)
    anchors = points.astype(np.float64)
    places = np.einsum("ij,ijc->ic", weights, anchors[indices])
    for turn in range(ROUNDS):
        places += (1 - turn / ROUNDS) * _step(places, anchors, anchors[indices], weights, float(a), float(b))
    same = distances[:, 0] == 0
    places[same] = anchors[indices[same, 0]]
    return places.astype(np.float32)


def _step(places: np.ndarray, anchors: np.ndarray, hosts: np.ndarray, weights: np.ndarray, a: float, b: float) -> np.ndarray:
    """(further, 2): down the loss of each sample against the layout, at most the way to the middle of its neighbours."""
    way = hosts - places[:, None]
    square = np.einsum("ijc,ijc->ij", way, way) + 1e-12
    pull = 2.0 * a * b * square ** (b - 1.0) / (1.0 + a * square**b) * weights
    step = np.einsum("ij,ijc->ic", pull, way)
    for rows in np.array_split(np.arange(len(places)), max(1, len(places) * len(anchors) // 2_000_000)):
        away = places[rows, None] - anchors[None]
        square = np.einsum("ijc,ijc->ij", away, away)
        push = 2.0 * b / ((_NEAR + square) * (1.0 + a * square**b)) * (_NEGATIVES / len(anchors))
        step[rows] += np.einsum("ij,ijc->ic", push, away)
    longest = np.linalg.norm(way, axis=2).max(axis=1, initial=0.0) if way.size else np.zeros(len(places))
    length = np.linalg.norm(step, axis=1)
    return step * np.minimum(1.0, longest / np.maximum(length, 1e-12))[:, None]


def _nearest(further: np.ndarray, features: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(further, k) indices and distances of the nearest among `features`, nearest first."""
    from scipy.spatial.distance import cdist

    indices, distances = np.empty((len(further), k), np.intp), np.empty((len(further), k))
    for rows in np.array_split(np.arange(len(further)), max(1, len(further) * len(features) // 4_000_000)):
        far = cdist(further[rows].astype(np.float64), features.astype(np.float64))
        indices[rows] = np.argsort(far, axis=1, kind="stable")[:, :k]
        distances[rows] = np.take_along_axis(far, indices[rows], axis=1)
    return indices, distances
