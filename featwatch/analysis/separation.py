"""How well classes are separated in a feature space (row E11)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from featwatch.analysis.neighbours import nearest, squared_distances


@dataclass(frozen=True)
class Separation:
    """Class separation as numbers; NaN where fewer than two classes are labelled."""

    knn_accuracy: float
    silhouette: float
    neighbors: int      # that voted: never more than there are other samples
    samples: int        # labelled ones


def separation(features: np.ndarray, labels: np.ndarray, k: int) -> Separation:
    """Leave-one-out kNN accuracy and silhouette of the labelled samples.

    `features`: (samples, features).  `labels`: (samples,) int, −1 = not labelled, left out.
    """
    known = np.asarray(labels) >= 0
    features, labels = np.asarray(features)[known], np.asarray(labels)[known]
    k = min(k, max(len(labels) - 1, 0))
    if len(np.unique(labels)) < 2:
        return Separation(math.nan, math.nan, k, len(labels))
    indices, _ = nearest(features, k)
    return Separation(knn_accuracy(indices, labels), silhouette(features, labels), k, len(labels))


def knn_accuracy(indices: np.ndarray, labels: np.ndarray) -> float:
    """Share of samples whose label is the most frequent among their neighbours; of equally frequent ones the smallest counts.

    `indices`: (samples, k), without the sample itself.  `labels`: (samples,).  So do scikit-learn's
    `KNeighborsClassifier` and `LeaveOneOut`.
    """
    classes, codes = np.unique(labels, return_inverse=True)
    votes = np.zeros((len(codes), len(classes)), np.int32)
    np.add.at(votes, (np.arange(len(codes))[:, None], codes[indices]), 1)
    return float(np.mean(votes.argmax(axis=1) == codes))


def silhouette(features: np.ndarray, labels: np.ndarray) -> float:
    """Mean silhouette of the samples; NaN unless there are at least two classes and one of them has two samples.

    `features`: (samples, features).  `labels`: (samples,).  A sample alone in its class counts 0.
    Rousseeuw 1987; equal to `sklearn.metrics.silhouette_score`, in memory for a block of rows.
    """
    classes, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if not 2 <= len(classes) < len(codes):
        return math.nan
    member = np.eye(len(classes))[codes]
    widths = np.empty(len(codes))
    for rows, squared in squared_distances(features):
        totals = np.sqrt(squared) @ member
        own = codes[rows]
        each = np.arange(len(own))
        inside = totals[each, own] / np.maximum(sizes[own] - 1, 1)
        means = totals / sizes
        means[each, own] = np.inf
        outside = means.min(axis=1)
        larger = np.maximum(inside, outside)
        width = np.divide(outside - inside, larger, out=np.zeros_like(larger), where=larger > 0)
        widths[rows] = np.where(sizes[own] > 1, width, 0.0)
    return float(widths.mean())
