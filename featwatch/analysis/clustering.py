"""DBSCAN on a layout, with a radius taken from the k-distance curve (row D1), and samples that stand for a cluster (row D4)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

REPRESENTATIVES = 5
CONSIDERED = 1000       # members of a cluster among which those that stand for it are chosen


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
    """The radius above which the k-distance curve leaves the clusters, in the layout's units; 0 where points coincide.

    The curve: every point's distance to its (`min_samples` − 1)-th neighbour.  Its lower half is made by
    points inside clusters, whatever lies between these, so the radius is a fence above that half:
    median + 10 × (median − lower quartile), and 2 × median at least, for regular grids.

    The textbook's knee, the farthest point from the curve's chord, needs noise to be right: of planted
    evenly filled clusters without noise it tore off 6.4 false ones on average, this rule 0.1.
    """
    from scipy.spatial import cKDTree

    k = min(min_samples, len(points))
    if k < 2:
        return 0.0
    reach = cKDTree(points).query(points, k=[k])[0][:, 0]
    lower, median = np.quantile(reach, [0.25, 0.5])
    return float(max(median + 10.0 * (median - lower), 2.0 * median))


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


def representatives(points: np.ndarray, labels: np.ndarray, shown: int = REPRESENTATIVES) -> np.ndarray:
    """Samples that stand for each cluster, (clusters, shown) int32, the most central first; −1 where a cluster has fewer.

    `points`: (samples, 2), the layout that was clustered.  `labels`: (samples,), −1 = noise.

    The first is the medoid: the member with the least mean distance to all.  Each further one is the member
    that most reduces the mean distance of the members to the nearest one chosen (greedy k-medoids; the gain is
    submodular: Krause & Golovin 2014), so that they show what the cluster holds and not one image five times,
    and no outliers either, as the farthest would be.  Of equal ones the first sample counts.  Distances are
    those of the layout, because the clusters are the layout's.  Where a cluster has more than `CONSIDERED`
    samples they are chosen among, and for, so many of them, evenly spread along its first coordinate.
    """
    chosen = np.full((int(labels.max(initial=-1)) + 1, shown), -1, np.int32)
    for cluster in range(len(chosen)):
        members = np.flatnonzero(labels == cluster)
        if len(members) > CONSIDERED:
            along = members[np.lexsort((points[members, 1], points[members, 0]))]
            members = np.sort(along[np.linspace(0, len(along) - 1, CONSIDERED).round().astype(int)])
        medoids = members[_medoids(points[members], shown)]
        chosen[cluster, : len(medoids)] = medoids
    return chosen


def _medoids(points: np.ndarray, most: int) -> list[int]:
    """Rows that stand for all, each the one that leaves the least distance to the nearest of those taken."""
    from scipy.spatial.distance import cdist

    apart = cdist(points, points)
    left = np.full(len(points), np.inf)
    taken: list[int] = []
    for _ in range(min(most, len(points))):
        remaining = np.minimum(apart, left).sum(axis=1)
        remaining[taken] = np.inf
        taken.append(int(remaining.argmin()))
        left = np.minimum(left, apart[taken[-1]])
    return taken
