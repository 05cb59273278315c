"""Histograms on dyadic grids: bins 2^k wide whose edges are multiples of 2^k.

Every grid's edges are edges of all finer ones, so that bins merge into wider bins without any loss: a
histogram can be taken batch by batch before its range is known, and those of different epochs compare.
All bins are half open, [low, high).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

FINE_BINS = 512         # of a histogram while it is taken; it is then merged into as many bins as are wanted
_SMALLEST = -149        # every float32 is a multiple of 2^-149
_MANTISSA = 24          # bits of a float32's; bins narrower than the spacing of the largest value tell nothing


@dataclass(frozen=True)
class Grid:
    """Bins [(first + b) · 2^exponent, (first + b + 1) · 2^exponent) for b = 0 … bins − 1."""

    exponent: int
    first: int
    bins: int

    @classmethod
    def covering(cls, low: float, high: float, bins: int, exponent: int = _SMALLEST) -> Grid:
        """The finest grid of `bins` bins that holds `low` and `high`, finite float32s, with `exponent` at least.

        Bins that are left over do not reach across zero where the values do not; otherwise they are shared
        out to both sides.
        """
        largest = math.frexp(max(abs(low), abs(high)))[1] if low or high else _SMALLEST
        exponent = max(exponent, _SMALLEST, largest - _MANTISSA)
        while _place(high, exponent) - _place(low, exponent) >= bins:
            exponent += 1
        lowest, highest = _place(low, exponent), _place(high, exponent)
        first = lowest - (bins - 1 - (highest - lowest)) // 2
        if lowest >= 0:
            first = max(first, 0)
        elif highest < 0:
            first = min(first, -bins)
        return cls(exponent, first, bins)

    @classmethod
    def of_edges(cls, edges: np.ndarray) -> Grid:
        """The grid with these edges, (bins + 1,) float64."""
        width = edges[1] - edges[0]
        return cls(math.frexp(width)[1] - 1, round(edges[0] / width), len(edges) - 1)

    @property
    def edges(self) -> np.ndarray:
        """(bins + 1,) float64, exact."""
        return np.ldexp(np.arange(self.first, self.first + self.bins + 1, dtype=np.float64), self.exponent)

    def holds(self, low: float, high: float) -> bool:
        """Whether both values, and so all between them, have a bin."""
        return self.first <= _place(low, self.exponent) and _place(high, self.exponent) < self.first + self.bins

    def merged(self, counts: np.ndarray, onto: Grid) -> np.ndarray:
        """(filters, onto.bins): the counts (filters, bins) of this grid on one that is as wide or wider, exactly.

        Raises ValueError where `onto` is finer, or does not reach over a bin that holds something.
        """
        if onto.exponent < self.exponent:
            raise ValueError(f"bins 2^{self.exponent} wide cannot be split into bins 2^{onto.exponent} wide")
        merged = np.zeros((len(counts), onto.bins), counts.dtype)
        filled = np.flatnonzero(counts.any(axis=0))
        places = ((filled + self.first) >> (onto.exponent - self.exponent)) - onto.first
        if places.size and (places[0] < 0 or places[-1] >= onto.bins):
            raise ValueError(f"{onto} does not cover all values that were counted on {self}")
        if places.size:
            starts = np.flatnonzero(np.diff(places, prepend=-1))
            merged[:, places[starts]] = np.add.reduceat(counts[:, filled], starts, axis=1)
        return merged


def _place(value: float, exponent: int) -> int:
    """The index of the bin that holds a value."""
    return math.floor(math.ldexp(value, -exponent))


class StreamingHistogram:
    """The histogram of every filter's values, in one pass, on the finest grid of `bins` bins that holds them all.

    Arguments:
        filters: how many there are.
        bins: of the grid.
    """

    def __init__(self, filters: int, bins: int) -> None:
        self.counts = np.zeros((filters, bins), np.int32)
        self.left_out = np.zeros(filters, np.int64)         # NaN and infinities
        self.grid: Grid | None = None                       # None = nothing finite so far
        self._bins = bins

    def add(self, values: np.ndarray) -> None:
        """Count values, (rows, filters) float32; what is not finite is left out."""
        from featwatch.analysis.binning import count

        values = np.ascontiguousarray(values)
        done = 0
        while done < values.size:
            if self.grid is not None:
                done = count(values, done, self.counts, 2.0**-self.grid.exponent, self.grid.first, self.left_out)
            if done < values.size and not self._make_room(values[done // values.shape[1] :]):
                self.left_out += len(values)
                return

    def _make_room(self, values: np.ndarray) -> bool:
        """Widen the grid until it holds all values that are finite.  False where none is."""
        finite = values[np.isfinite(values)]
        if not finite.size:
            return False
        places = [float(finite.min()), float(finite.max())]
        exponent = _SMALLEST
        if self.grid is not None:
            exponent = self.grid.exponent
            places += list(self.grid.edges[:-1][self.counts.any(axis=0)])
        wider = Grid.covering(min(places), max(places), self._bins, exponent)
        if self.grid is not None:
            self.counts = self.grid.merged(self.counts, wider)
        self.grid = wider
        return True
