"""How well classes are separated in a feature space (row E11)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from featwatch.analysis.linear_probe import LinearProbe, linear_probe
from featwatch.analysis.neighbours import Distances, as_distances, judges
from featwatch.analysis.sampling import fixed_part

PROBED = 2_000          # labelled samples that a linear probe is trained on, at most: its time grows with their cube


@dataclass(frozen=True)
class Separation:
    """Class separation as numbers; NaN where fewer than two classes are labelled."""

    knn_accuracy: float
    silhouette: float
    probe_accuracy: float
    probe_deviation: float
    neighbors: int          # that voted: never more than there are other samples
    samples: int            # labelled ones
    judged: int             # of these the ones over which the silhouette is a mean
    probed: int             # and the ones that the linear probe knew
    exact_neighbors: bool   # False: those who voted were found by approximate search


def separation(features: np.ndarray | Distances, labels: np.ndarray, k: int) -> Separation:
    """Leave-one-out kNN accuracy, silhouette and linear probe of the labelled samples.

    `features`: (samples, features), or the distances between the samples.  `labels`: (samples,) int, −1 = not labelled,
    left out.  Of many labelled samples the silhouette is a mean over a fixed part, and the linear probe knows a fixed part.
    """
    known = np.nonzero(np.asarray(labels) >= 0)[0]
    labels = np.asarray(labels)[known]
    k = min(k, max(len(labels) - 1, 0))
    if len(np.unique(labels)) < 2:
        nothing = LinearProbe(math.nan, math.nan)
        return Separation(math.nan, math.nan, nothing.accuracy, nothing.deviation, k, len(labels), len(labels), len(labels), True)
    distances = as_distances(features)
    distances = distances if len(known) == len(distances) else distances.of(known)
    chosen = fixed_part(len(labels), PROBED)
    probe = linear_probe(distances.between(chosen), labels[chosen])
    return Separation(
        knn_accuracy=knn_accuracy(distances.nearest(k)[0], labels),
        silhouette=silhouette(distances, labels),
        probe_accuracy=probe.accuracy,
        probe_deviation=probe.deviation,
        neighbors=k,
        samples=len(labels),
        judged=len(judges(len(labels))),
        probed=len(chosen),
        exact_neighbors=distances.exact,
    )


def knn_accuracy(indices: np.ndarray, labels: np.ndarray) -> float:
    """Share of samples whose label is the most frequent among their neighbours; of equally frequent ones the smallest counts.

    `indices`: (samples, k), without the sample itself.  `labels`: (samples,).  So do scikit-learn's
    `KNeighborsClassifier` and `LeaveOneOut`.
    """
    classes, codes = np.unique(labels, return_inverse=True)
    votes = np.zeros((len(codes), len(classes)), np.int32)
    np.add.at(votes, (np.arange(len(codes))[:, None], codes[indices]), 1)
    return float(np.mean(votes.argmax(axis=1) == codes))


def silhouette(features: np.ndarray | Distances, labels: np.ndarray) -> float:
    """Mean silhouette of the samples; NaN unless there are at least two classes and one of them has two samples.

    `features`: (samples, features), or the distances between the samples.  `labels`: (samples,).  A sample alone in its
    class counts 0.  Of more than `neighbours.WHOLE` samples it is the mean over that many, by lot (`neighbours.judges`),
    each against all others.  Rousseeuw 1987; equal to `sklearn.metrics.silhouette_score`.
    """
    classes, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if not 2 <= len(classes) < len(codes):
        return math.nan
    member = np.eye(len(classes))[codes]
    total, judged = 0.0, judges(len(codes))
    for rows, squared in as_distances(features).blocks(judged):
        totals = np.sqrt(squared) @ member
        own = codes[rows]
        each = np.arange(len(own))
        inside = totals[each, own] / np.maximum(sizes[own] - 1, 1)
        means = totals / sizes
        means[each, own] = np.inf
        outside = means.min(axis=1)
        larger = np.maximum(inside, outside)
        width = np.divide(outside - inside, larger, out=np.zeros_like(larger), where=larger > 0)
        total += float(np.where(sizes[own] > 1, width, 0.0).sum())
    return total / len(judged)
