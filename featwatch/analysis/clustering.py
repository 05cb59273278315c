"""DBSCAN on a layout, with a radius taken from the k-distance curve (row D1)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Clusters:
    """The clusters and how they agree with the labels; NaN where there is nothing to compare."""

    labels: np.ndarray          # (samples,) int32, −1 = noise
    count: int
    noise_fraction: float
    eps: float
    purity: float
    adjusted_rand: float
    normalized_mutual_info: float


def clusters(points: np.ndarray, classes: np.ndarray, *, eps: float | None, min_samples: int) -> Clusters:
    """DBSCAN clusters of `points` (samples, 2), compared with `classes` (samples,), −1 = not labelled.

    `eps`: the radius in the layout's units, or None to take `automatic_eps`.  `min_samples`: a core
    point's neighbours within it, the point itself included.  Ester et al. 1996.
    """
    from sklearn.cluster import DBSCAN

    radius = automatic_eps(points, min_samples) if eps is None else eps
    # DBSCAN wants a radius above 0; where all points coincide any will do.
    labels = DBSCAN(eps=max(radius, np.finfo(np.float64).tiny), min_samples=min_samples).fit(points).labels_.astype(np.int32)
    return Clusters(labels, len(np.unique(labels[labels >= 0])), float(np.mean(labels < 0)), radius, *agreement(labels, classes))


def automatic_eps(points: np.ndarray, min_samples: int) -> float:
    """The radius at the knee of the k-distance curve, in the layout's units; 0 where all points coincide.

    The curve: every point's distance to its (`min_samples` − 1)-th neighbour, ascending.  Its knee is
    the point farthest below the chord from its first to its last, after the distances beyond the
    upper quartile + 3 × interquartile range are cut to that: else one outlier would draw the chord.
    """
    from scipy.spatial import cKDTree

    count = len(points)
    k = min(min_samples, count)
    if k < 2:
        return 0.0
    reach = np.sort(cKDTree(points).query(points, k=[k])[0][:, 0])
    low, high = np.quantile(reach, [0.25, 0.75])
    curve = np.minimum(reach, high + 3.0 * (high - low))
    if curve[-1] <= curve[0]:
        return float(curve[-1])
    height = (curve - curve[0]) / (curve[-1] - curve[0])
    return float(curve[np.argmax(np.linspace(0.0, 1.0, count) - height)])


def agreement(labels: np.ndarray, classes: np.ndarray) -> tuple[float, float, float]:
    """(purity, adjusted Rand index, normalised mutual information) of clusters and classes; NaN without labelled samples.

    Purity: share of the labelled samples in clusters that belong to their cluster's most frequent
    class; NaN where all is noise.  The other two count noise as a cluster of its own.
    """
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    known = np.asarray(classes) >= 0
    labels, classes = labels[known], np.asarray(classes)[known]
    if not len(labels):
        return math.nan, math.nan, math.nan
    inside = labels >= 0
    table = np.zeros((int(labels.max()) + 2, int(classes.max()) + 1), np.int64)
    np.add.at(table, (labels[inside], classes[inside]), 1)
    purity = float(table.max(axis=1).sum() / inside.sum()) if inside.any() else math.nan
    return purity, float(adjusted_rand_score(classes, labels)), float(normalized_mutual_info_score(classes, labels))
