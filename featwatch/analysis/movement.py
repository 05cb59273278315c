"""How far samples moved from one epoch to the next, in a feature space and in the plane (row E3)."""

from __future__ import annotations

import math

import numpy as np


def relative_movement(features: np.ndarray, before: np.ndarray, unit: float) -> np.ndarray:
    """How far each sample moved, (samples,) float64, in units of `unit`; what no distance between samples shows is left out.

    `features`, `before`: (samples, features) now and before.  Both are centred and brought to the size of `features`
    (root of the mean square): training shifts a whole layer and lets it grow, which changes no neighbourhood.
    """
    now, then = _centred(features), _centred(before)
    size, was = _size(now), _size(then)
    if size == 0 or was == 0 or unit <= 0:
        return np.zeros(len(now)) if size == was else np.full(len(now), math.inf)
    return np.linalg.norm(now - then * (size / was), axis=1) / unit


def aligned(points: np.ndarray, onto: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """`points`, shifted, turned and if need be mirrored so as to lie nearest to `onto`, both (samples, 2); sizes stay.

    Orthogonal Procrustes, Schönemann 1966.  `weights`: (samples,) ≥ 0, how much each sample counts.
    """
    weights = np.ones(len(points)) if weights is None else weights
    total = weights.sum()
    if not len(points) or not total > 0:
        return points
    shares = (weights / total)[:, None]
    here, there = (points * shares).sum(axis=0), (onto * shares).sum(axis=0)
    left, _, right = np.linalg.svd(((points - here) * shares).T @ (onto - there))
    return (points - here) @ (left @ right) + there


def stability(movement: np.ndarray, travelled: np.ndarray) -> tuple[float, float]:
    """Pearson's r and Spearman's ρ of how far samples moved in features and in the plane; NaN where one of them is constant.

    Both: (samples,).  Vernier et al. 2020, *Quantitative Evaluation of Time-Dependent Multidimensional Projection
    Techniques*, for a single step in time.
    """
    from scipy.stats import rankdata

    finite = np.isfinite(movement) & np.isfinite(travelled)
    movement, travelled = movement[finite], travelled[finite]
    return _correlation(movement, travelled), _correlation(rankdata(movement), rankdata(travelled))


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = (values - values.mean() if len(values) else values for values in (a, b))
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / scale if scale > 0 else math.nan


def _centred(features: np.ndarray) -> np.ndarray:
    values = np.asarray(features, np.float64)
    return values - values.mean(axis=0) if len(values) else values


def _size(values: np.ndarray) -> float:
    return math.sqrt(float(np.mean(np.einsum("ij,ij->i", values, values)))) if len(values) else 0.0
