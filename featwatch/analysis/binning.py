"""Counting values into bins, compiled: five to ten times faster than `numpy.bincount`.

Imported late, when the first values are to be counted: numba costs a second that nobody else is to pay.
"""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True)
def count(values: np.ndarray, start: int, counts: np.ndarray, scale: float, first: int, left_out: np.ndarray) -> int:
    """The index, in C order, of the first value from `start` on that fits no bin; `values.size` where all do.

    `values`: (rows, filters) float32.  `counts`: (filters, bins) int32, added to: bin b holds
    first + b ≤ value · scale < first + b + 1.  `left_out`: (filters,) int64, added to for NaN and infinities.
    """
    rows, filters = values.shape
    bins = counts.shape[1]
    for row in range(start // filters, rows):
        for column in range(start - row * filters if row * filters < start else 0, filters):
            value = values[row, column] * scale     # exact: in float64, and the scale is a power of two
            place = np.floor(value) - first
            if place >= 0.0 and place < bins:         # never so for NaN
                counts[column, np.uint32(place)] += 1
            elif np.isfinite(value):
                return row * filters + column
            else:
                left_out[column] += 1
    return rows * filters
