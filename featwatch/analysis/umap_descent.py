"""UMAP's loss in the plane, minimised by its whole gradient instead of random samples of it.

Every pair of samples takes part in every step, so that nothing moves but for a reason: sampled gradients leave
each layout in another place although no feature moved.  Time grows with the square of the samples.

Imported late: numba costs seconds that the training process must not pay.
"""

from __future__ import annotations

import numba
import numpy as np

NEGATIVES = 5.0         # weight of repulsion against attraction: the points that umap-learn pushes away per point pulled closer
_STEPS = 4096           # of the table of UMAP's curve
_MOMENTUM = 0.5
_CLIP = 4.0             # longest step along one axis
_NEAR = 0.001           # umap-learn's, against division by zero


def curve(a: float, b: float) -> np.ndarray:
    """(4098,) float32: 2b / (1 + a·s^b) over s / (1 + s) from 0 to 1, where s is a squared distance."""
    place = np.minimum(np.arange(_STEPS + 2) / _STEPS, 1 - 1e-9)
    squared = place / (1 - place)
    return (2 * b / (1 + a * squared**b)).astype(np.float32)


@numba.njit(fastmath=True)
def _push(x: np.ndarray, y: np.ndarray, charge: np.ndarray, table: np.ndarray, gx: np.ndarray, gy: np.ndarray) -> None:
    """Add to (gx, gy) what pushes all pairs of points apart."""
    one, near, steps = np.float32(1.0), np.float32(_NEAR), np.float32(_STEPS)
    for i in range(len(x)):
        xi, yi, own = x[i], y[i], charge[i]
        sum_x, sum_y = np.float32(0.0), np.float32(0.0)
        for j in range(i + 1, len(x)):
            dx, dy = xi - x[j], yi - y[j]
            square = dx * dx + dy * dy
            push = table[np.int32(square / (square + one) * steps)] / (near + square) * (own + charge[j])
            sum_x += push * dx
            sum_y += push * dy
            gx[j] -= push * dx
            gy[j] -= push * dy
        gx[i] += sum_x
        gy[i] += sum_y


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
    table: np.ndarray,
    rounds: int,
    rate: float,
    begin: int,
    end: int,
    speed: np.ndarray,
) -> np.ndarray:
    """Points (samples, 2) float64 after the steps `begin` to `end` of `rounds` down UMAP's expected loss.

    Each stays within its `reach` of its `anchor`.

    `start`, `anchor`: (samples, 2).  `reach`: (samples,) ≥ 0, may be infinite.  `first` (samples + 1,), `tails`,
    `weights`: the fuzzy graph, symmetric, by rows.  `a`, `b`: the curve of similarity, `table`: `curve(a, b)`.  `rate`: of
    the first step, 1 or less; it falls to 0.  `speed`: (samples, 2) float32, 0 at first, goes from call to call.

    The expectation of algorithm 5 of McInnes, Healy, Melville 2018: Damrich & Hamprecht 2021, *On UMAP's true loss function*,
    theorem 4.1.  A point's step is its gradient divided by the weight of its edges.
    """
    count = len(start)
    x, y = start[:, 0].astype(np.float32), start[:, 1].astype(np.float32)
    gx, gy = np.zeros(count, np.float32), np.zeros(count, np.float32)
    degree = np.zeros(count)
    for i in range(count):
        for edge in range(first[i], first[i + 1]):
            degree[i] += weights[edge]
    charge = (degree * (NEGATIVES / count)).astype(np.float32)
    for turn in range(begin, end):
        gx[:] = 0.0
        gy[:] = 0.0
        _push(x, y, charge, table, gx, gy)
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
