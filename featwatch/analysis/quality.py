"""How far a layout may be believed: what it keeps of the neighbourhoods in the feature space."""

from __future__ import annotations

import math

import numpy as np

from featwatch.analysis.neighbours import Distances, as_distances, judges


def trustworthiness(features: np.ndarray | Distances, layout_neighbours: np.ndarray) -> float:
    """Trustworthiness, 0 to 1: 1 less the penalty for layout neighbours that are none in the feature space.

    `features`: (samples, features), or the distances between the samples.  `layout_neighbours`: (samples, k), the
    nearest in the layout.  NaN unless k < samples / 2, beyond which the measure is not defined.  Of more than
    `neighbours.WHOLE` samples it is the mean over that many, by lot (`neighbours.judges`), each among all others.

    Venna & Kaski 2001; equal to `sklearn.manifold.trustworthiness`.
    """
    count, k = layout_neighbours.shape
    if k == 0 or 2 * k >= count:
        return math.nan
    penalty, judged = 0, judges(count)
    for rows, squared in as_distances(features).blocks(judged):
        penalty += int(np.maximum(_ranks(rows, squared, layout_neighbours[rows].astype(np.intp)) - k, 0).sum())
    return 1.0 - 2.0 * penalty / (len(judged) * k * (2.0 * count - 3.0 * k - 1.0))


def neighbours_kept(feature_neighbours: np.ndarray, layout_neighbours: np.ndarray) -> float:
    """Mean share, 0 to 1, of a sample's nearest neighbours in the feature space that are so in the layout too.

    Both: (samples, k) indices.  NaN where k is 0.
    """
    if feature_neighbours.shape != layout_neighbours.shape:
        raise ValueError(f"neighbours of shapes {feature_neighbours.shape} and {layout_neighbours.shape}; they must be equal")
    if not feature_neighbours.size:
        return math.nan
    kept = (feature_neighbours[:, :, None] == layout_neighbours[:, None, :]).any(axis=2)
    return float(kept.mean())


def _ranks(rows: np.ndarray, squared: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
    """(rows, k): which nearest of its row each neighbour is, from 1; of equally near ones the smaller index comes first.

    `squared`: (rows, samples) squared distances.  `neighbours`: (rows, k) columns.
    """
    others = squared.copy()
    others[np.arange(len(rows)), rows] = np.inf         # a sample is not its own neighbour
    distance = np.take_along_axis(others, neighbours, axis=1)
    ordered = np.sort(others, axis=1)
    nearer = np.array([line.searchsorted(values) for line, values in zip(ordered, distance, strict=True)])
    following = np.take_along_axis(ordered, np.minimum(nearer + 1, ordered.shape[1] - 1), axis=1)
    tied = following == distance
    for place in np.nonzero(tied.any(axis=0))[0]:
        lines = np.nonzero(tied[:, place])[0]
        column = neighbours[lines, place, None]
        equal = others[lines] == distance[lines, place, None]
        nearer[lines, place] += np.count_nonzero(equal & (np.arange(others.shape[1]) < column), axis=1)
    return nearer + 1
