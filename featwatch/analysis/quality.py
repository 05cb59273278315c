"""How far a layout may be believed: what it keeps of the neighbourhoods in the feature space."""

from __future__ import annotations

import math

import numpy as np

from featwatch.analysis.neighbours import squared_distances


def trustworthiness(features: np.ndarray, layout_neighbours: np.ndarray) -> float:
    """Trustworthiness, 0 to 1: 1 less the penalty for layout neighbours that are none in the feature space.

    `features`: (samples, features).  `layout_neighbours`: (samples, k), the nearest in the layout.
    NaN unless k < samples / 2, beyond which the measure is not defined.  Venna & Kaski 2001; equal to
    `sklearn.manifold.trustworthiness`.
    """
    count, k = layout_neighbours.shape
    if k == 0 or 2 * k >= count:
        return math.nan
    penalty = 0
    for rows, squared in squared_distances(features):
        squared[np.arange(len(squared)), np.arange(rows.start, rows.stop)] = np.inf
        columns = np.arange(count)
        for neighbour in layout_neighbours[rows].T:
            distance = np.take_along_axis(squared, neighbour[:, None].astype(np.intp), axis=1)
            nearer = (squared < distance) | ((squared == distance) & (columns < neighbour[:, None]))
            penalty += int(np.maximum(nearer.sum(axis=1) + 1 - k, 0).sum())
    return 1.0 - 2.0 * penalty / (count * k * (2.0 * count - 3.0 * k - 1.0))


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
