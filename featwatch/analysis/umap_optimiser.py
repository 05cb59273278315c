"""UMAP's stochastic gradient descent in the plane, with a tether that holds every point to where it was.

Imported by `layout` alone, and late: numba costs seconds that the training process must not pay.
"""

from __future__ import annotations

import numba
import numpy as np

NEGATIVES = 5           # points pushed away per point pulled closer, as in umap-learn
_CLIP = 4.0             # largest step along one axis, in units of the learning rate


@numba.njit(inline="always")
def _clip(step: float) -> float:
    return min(_CLIP, max(-_CLIP, step))


@numba.njit
def optimise(
    start: np.ndarray,
    anchor: np.ndarray,
    stiffness: np.ndarray,
    heads: np.ndarray,
    tails: np.ndarray,
    weights: np.ndarray,
    a: float,
    b: float,
    rounds: int,
    rate: float,
    begin: int,
    end: int,
    due: np.ndarray,
    state: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Points (samples, 2) float64 after the rounds `begin` to `end` of `rounds` towards the least of UMAP's cross-entropy
    with the fuzzy graph, plus the tether.

    `start`, `anchor`: (samples, 2).  `stiffness`: (samples,) ≥ 0, the pull towards the anchor; 0 = none,
    infinite = the point stays.  `heads`, `tails`, `weights`: the graph's edges.  `a`, `b`: the curve of
    similarity against distance.  An edge is visited in proportion to its weight, `rounds` times at
    most; the learning rate falls from `rate` to 0.  `due`: when each edge is visited next, empty at first, and given back with
    the points.  `state`: (1,) uint64, the seed at first; it is moved on.  The same on every machine for one seed.

    McInnes, Healy, Melville 2018, algorithm 5.
    """
    points = start.copy()
    count, edges = len(points), len(weights)
    every = weights.max() / weights if edges else weights
    due = due.copy() if begin else every.copy()
    random = state[0] if begin else state[0] * np.uint64(2685821657736338717) + np.uint64(88172645463325252)
    for turn in range(begin + 1, end + 1):
        alpha = rate * (1.0 - (turn - 1.0) / rounds)
        for edge in range(edges):
            if due[edge] > turn:
                continue
            due[edge] += every[edge]
            i, j = heads[edge], tails[edge]
            dx, dy = points[i, 0] - points[j, 0], points[i, 1] - points[j, 1]
            square = dx * dx + dy * dy
            if square > 0.0:
                pull = -2.0 * a * b * square ** (b - 1.0) / (a * square**b + 1.0)
                dx, dy = alpha * _clip(pull * dx), alpha * _clip(pull * dy)
                points[i, 0] += dx
                points[i, 1] += dy
                points[j, 0] -= dx
                points[j, 1] -= dy
            for _ in range(NEGATIVES):
                random ^= random << np.uint64(13)
                random ^= random >> np.uint64(7)
                random ^= random << np.uint64(17)
                j = int(random % np.uint64(count))
                dx, dy = points[i, 0] - points[j, 0], points[i, 1] - points[j, 1]
                square = dx * dx + dy * dy
                push = 2.0 * b / ((0.001 + square) * (a * square**b + 1.0))
                points[i, 0] += alpha * _clip(push * dx)
                points[i, 1] += alpha * _clip(push * dy)
        for i in range(count):
            hold = stiffness[i] * alpha
            hold = hold / (1.0 + hold) if hold < 1e12 else 1.0
            points[i, 0] += hold * (anchor[i, 0] - points[i, 0])
            points[i, 1] += hold * (anchor[i, 1] - points[i, 1])
    state[0] = random
    return points, due
