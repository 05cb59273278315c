"""How rough kernels are in space: noise after a training tells of too little of it, or too much (row H11)."""

from __future__ import annotations

import numpy as np

SHORTEST_PLANE, SHORTEST_LINE = 3, 5        # weights along an axis, below which neighbours tell nothing


def roughness(kernel: np.ndarray) -> np.ndarray:
    """Geary's C of each filter's weights over their places in the kernel, (filters,) float64.

    0 = neighbours are alike, 1 = as independent noise has it, 2 and more = neighbours are opposed.  NaN where
    weights are all the same or not finite, and where the kernel is too small to tell.

    `kernel`: (rows, columns, inputs, filters), with any number of axes in space.  Neighbours are next to each other
    along one axis.  Numerators and denominators are summed over the input channels; of N places and E pairs of neighbours

        C = (N − 1) / 2E · Σ over channels and pairs (w − w′)² / Σ over channels and places (w − mean of the channel)².

    R. C. Geary 1954, *The contiguity ratio and statistical mapping*, The Incorporated Statistician 5.

    >>> steep = np.arange(9.0).reshape(3, 3, 1, 1)
    >>> roughness(steep)
    array([0.33333333])
    """
    space, channels, filters = kernel.shape[:-2], kernel.shape[-2], kernel.shape[-1]
    unknown = np.full(filters, np.nan)
    long = [length for length in space if length > 1]
    if not long or max(long) < (SHORTEST_LINE if len(long) == 1 else SHORTEST_PLANE) or not channels:
        return unknown
    flat = kernel.reshape(-1, channels, filters)
    finite = np.isfinite(flat).all(axis=(0, 1))
    if not finite.any():
        return unknown
    weights = kernel.astype(np.float64) if finite.all() else np.where(finite, kernel, 0).astype(np.float64)
    weights -= weights.reshape(flat.shape).mean(axis=0)
    differences, pairs, places = np.zeros(filters), 0, len(flat)
    for axis, length in enumerate(space):
        if length > 1:
            differences += _sum_of_squares(np.diff(weights, axis=axis))
            pairs += places // length * (length - 1)
    varies = finite & (flat != flat[:1]).any(axis=(0, 1))
    return np.divide((places - 1) / (2 * pairs) * differences, _sum_of_squares(weights), out=unknown, where=varies)


def _sum_of_squares(values: np.ndarray) -> np.ndarray:
    """(filters,): over all axes but the last."""
    rows = values.reshape(-1, values.shape[-1])
    return np.einsum("ij,ij->j", rows, rows)
