"""UMAP's loss in the plane, minimised by its whole gradient instead of random samples of it.

Every pair of samples takes part in every step, so that nothing moves but for a reason: sampled gradients leave
each layout in another place although no feature moved.  Time grows with the square of the samples.

Imported late: numba costs seconds that the training process must not pay.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.polynomial.chebyshev import cheb2poly, chebfit

NEGATIVES = 5.0         # weight of repulsion against attraction: the points that umap-learn pushes away per point pulled closer
_DEGREE = 11
_FARTHEST = 2000.0      # squared distance beyond which the curve is no longer followed: there nothing is left of it
_MOMENTUM = 0.5
_CLIP = 4.0             # longest step along one axis
_NEAR = 0.001           # umap-learn's, against division by zero


def curve(a: float, b: float) -> np.ndarray:
    """(12,) float32: UMAP's repulsion as a polynomial p, lowest power first, so that 2b / (1 + a·s^b) is p(u) / (1 + s).

    s: a squared distance; u = (s − 1) / (s + 1).  To within 6 % for `min_dist` 0.1, and 21 % for any, at the worst distance
    of a range of 1 to 10⁸: powers of any exponent would take six times as long.
    """
    nodes = np.cos(np.pi * (np.arange(4000) + 0.5) / 4000)
    share = np.minimum((nodes + 1) / 2, 1 - 1 / _FARTHEST)
    squared = share / (1 - share)
    wanted = 2 * b / (1 + a * squared**b) * (1 + squared)
    return cheb2poly(chebfit(nodes, wanted, _DEGREE, w=1 / wanted)).astype(np.float32)


@numba.njit(fastmath=True, error_model="numpy")
def _push(x: np.ndarray, y: np.ndarray, charge: np.ndarray, p: np.ndarray, gx: np.ndarray, gy: np.ndarray) -> None:
    """Write to (gx, gy) what pushes each point away from all others; every pair twice, so that the inner loop only reads."""
    p0, p1, p2, p3, p4, p5, p6, p7, p8, p9, p10, p11 = p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8], p[9], p[10], p[11]
    one, near = np.float32(1.0), np.float32(_NEAR)
    for i in range(len(x)):
        xi, yi, own = x[i], y[i], charge[i]
        sum_x, sum_y = np.float32(0.0), np.float32(0.0)
        for j in range(len(x)):
            dx, dy = xi - x[j], yi - y[j]
            square = dx * dx + dy * dy
            share = one / (one + square)
            u = (square - one) * share
            high = (((((p11 * u + p10) * u + p9) * u + p8) * u + p7) * u + p6) * u + p5
            value = ((((high * u + p4) * u + p3) * u + p2) * u + p1) * u + p0
            push = value * share / (near + square) * (own + charge[j])
            sum_x += push * dx
            sum_y += push * dy
        gx[i] = sum_x
        gy[i] = sum_y


@numba.njit
def descend(
    start: np.ndarray,
    anchor: np.ndarray,
    reach: np.ndarray,
    first: np.ndarray,
    tails: np.ndarray,
    weights: np.ndarray,
    a: float,
    b: float,
    repulsion: np.ndarray,
    rounds: int,
    rate: float,
    begin: int,
    end: int,
    speed: np.ndarray,
) -> np.ndarray:
    """Points (samples, 2) float64 after the steps `begin` to `end` of `rounds` down UMAP's expected loss.

    Each stays within its `reach` of its `anchor`.

    `start`, `anchor`: (samples, 2).  `reach`: (samples,) ≥ 0, may be infinite.  `first` (samples + 1,), `tails`,
    `weights`: the fuzzy graph, symmetric, by rows.  `a`, `b`: the curve of similarity, `repulsion`: `curve(a, b)`.  `rate`: of
    the first step, 1 or less; it falls to 0.  `speed`: (samples, 2) float32, 0 at first, goes from call to call.

    The expectation of algorithm 5 of McInnes, Healy, Melville 2018: Damrich & Hamprecht 2021, *On UMAP's true loss function*,
    theorem 4.1.  A point's step is its gradient divided by the weight of its edges.
    """
    count = len(start)
    x, y = start[:, 0].astype(np.float32), start[:, 1].astype(np.float32)
    gx, gy = np.empty(count, np.float32), np.empty(count, np.float32)
    degree = np.zeros(count)
    for i in range(count):
        for edge in range(first[i], first[i + 1]):
            degree[i] += weights[edge]
    charge = (degree * (NEGATIVES / count)).astype(np.float32)
    for turn in range(begin, end):
        _push(x, y, charge, repulsion, gx, gy)
        pace = rate * (1.0 - turn / rounds) * (1.0 - _MOMENTUM)
        for i in range(count):
            pull_x, pull_y = 0.0, 0.0
            for edge in range(first[i], first[i + 1]):
                j = tails[edge]
                dx, dy = float(x[i]) - float(x[j]), float(y[i]) - float(y[j])
                square = dx * dx + dy * dy + 1e-12
                bent = square ** (b - 1.0)
                pull = 4.0 * a * b * bent / (1.0 + a * bent * square) * weights[edge]
                pull_x -= pull * dx
                pull_y -= pull * dy
            if degree[i] > 0.0:
                step_x, step_y = (float(gx[i]) + pull_x) / degree[i], (float(gy[i]) + pull_y) / degree[i]
                speed[i, 0] = _MOMENTUM * speed[i, 0] + pace * min(_CLIP, max(-_CLIP, step_x))
                speed[i, 1] = _MOMENTUM * speed[i, 1] + pace * min(_CLIP, max(-_CLIP, step_y))
        for i in range(count):
            x[i] += speed[i, 0]
            y[i] += speed[i, 1]
            dx, dy = float(x[i]) - anchor[i, 0], float(y[i]) - anchor[i, 1]
            far = np.sqrt(dx * dx + dy * dy)
            if far > reach[i]:
                x[i] = anchor[i, 0] + dx * reach[i] / far
                y[i] = anchor[i, 1] + dy * reach[i] / far
    points = np.empty((count, 2))
    points[:, 0] = x
    points[:, 1] = y
    for i in range(count):
        if reach[i] == 0.0:
            points[i] = anchor[i]
    return points
