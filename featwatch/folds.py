"""Reductions over the whole probe: what a batch gives is folded into a running result on the host.

Where one row per sample would be too much to keep.  A fold takes what the reduction of its name in
`featwatch.reductions` gave for a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from featwatch.analysis.dyadic import FINE_BINS, StreamingHistogram
from featwatch.reductions import About


class Fold(Protocol):
    """A running result over batches."""

    def add(self, values: np.ndarray) -> None:
        """Take one batch, (rows, …), padding rows left out."""

    def result(self) -> Mapping[str, np.ndarray]:
        """The arrays that stand in `LayerSnapshot.reductions` instead of the rows, by name."""


class HistogramFold:
    """The histogram of every filter's values, on the finest dyadic grid of `FINE_BINS` bins that holds them all.

    It gives, trimmed to the bins that hold something,

    * `histogram_counts`: (filters, bins) int32,
    * `histogram_edges`: (bins + 1,) float64; one edge and no bins where no value was finite,
    * `histogram_left_out`: (filters,) int64, values that were NaN or infinite,
    * `histogram_positions`: () int64, positions of a sample that were counted.
    """

    def __init__(self) -> None:
        self._histogram: StreamingHistogram | None = None
        self._positions = 0

    def add(self, values: np.ndarray) -> None:
        """Count one batch, (rows, positions, filters) float32."""
        filters = values.shape[-1]
        if self._histogram is None:
            self._histogram = StreamingHistogram(filters, FINE_BINS)
            self._positions = values.shape[1]
        self._histogram.add(values.reshape(-1, filters))

    def result(self) -> dict[str, np.ndarray]:
        histogram = self._histogram
        assert histogram is not None, "no batch was added"
        filled = np.flatnonzero(histogram.counts.any(axis=0))
        used = slice(filled[0], filled[-1] + 1) if filled.size else slice(0, 0)
        edges = histogram.grid.edges if histogram.grid is not None else np.zeros(1)
        return {
            "histogram_counts": np.ascontiguousarray(histogram.counts[:, used]),
            "histogram_edges": edges[used.start : used.stop + 1],
            "histogram_left_out": histogram.left_out,
            "histogram_positions": np.array(self._positions, np.int64),
        }


# Name of the reduction -> what makes a fresh fold for a layer.
FOLDS: dict[str, Callable[[About], Fold]] = {"sampled_values": lambda about: HistogramFold()}
