"""Reductions over the whole probe: what a batch gives is folded into a running result on the host.

Where one row per sample would be too much to keep.  A fold takes what the reduction of its name in
`featwatch.reductions` gave for a batch.
"""

from __future__ import annotations

import math
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


ROWS_AT_ONCE = 2048         # of a `MomentFold`: joining takes the time of a few hundred rows, whatever their number


class MomentFold:
    """How the filters vary together, over rows of values that are finite.

    It gives, in float64,

    * `moment_mean`: (filters,),
    * `moment_covariance`: (filters, filters), divided by the number of rows; NaN where there is none,
    * `moment_rows`: () int64, rows that counted,
    * `moment_positions`: () int64, positions of a sample that were taken.

    Batches are joined by the pairwise update of Chan, Golub & LeVeque 1979, each about its own mean, so that what
    two proportional filters differ by is not lost in large means.
    """

    def __init__(self) -> None:
        self._rows = 0
        self._positions = 0
        self._mean: np.ndarray | None = None
        self._scatter: np.ndarray | None = None
        self._held: list[np.ndarray] = []

    def add(self, values: np.ndarray) -> None:
        """Take one batch, (rows, positions, filters) float32."""
        filters = values.shape[-1]
        self._positions = values.shape[1]
        flat = values.reshape(values.shape[0] * values.shape[1], filters)
        finite = np.isfinite(flat).all(axis=1)
        self._held.append(flat if finite.all() else flat[finite])
        if sum(map(len, self._held)) >= ROWS_AT_ONCE:
            self._join()

    def _join(self) -> None:
        if not self._held:
            return
        flat, self._held = np.concatenate(self._held), []
        filters = flat.shape[1]
        if self._mean is None or self._scatter is None:
            self._mean, self._scatter = np.zeros(filters), np.zeros((filters, filters))
        if not len(flat):
            return
        mean = flat.mean(axis=0, dtype=np.float64)
        centred = flat - mean.astype(np.float32)
        rows, delta = len(flat), mean - self._mean
        total = self._rows + rows
        self._scatter += (centred.T @ centred).astype(np.float64)
        self._scatter += np.outer(delta, delta) * (self._rows * rows / total)
        self._mean += delta * (rows / total)
        self._rows = total

    def result(self) -> dict[str, np.ndarray]:
        self._join()
        assert self._mean is not None and self._scatter is not None, "no batch was added"
        rows = self._rows or math.nan
        return {
            "moment_mean": self._mean if self._rows else np.full_like(self._mean, np.nan),
            "moment_covariance": self._scatter / rows,
            "moment_rows": np.array(self._rows, np.int64),
            "moment_positions": np.array(self._positions, np.int64),
        }


class ChannelFold:
    """One number a channel over all samples: the smallest of what the batches give, the largest, or their mean.

    It gives (channels,) float32 under the name of the reduction.
    """

    def __init__(self, name: str, join: np.ufunc) -> None:
        self._name = name
        self._join = join
        self._rows = 0
        self._joined: np.ndarray | None = None

    def add(self, values: np.ndarray) -> None:
        """Take one batch, (rows, channels) float32."""
        with np.errstate(invalid="ignore", over="ignore"):      # what enters may not be finite
            found = self._join.reduce(values, axis=0, dtype=np.float64 if self._join is np.add else None)
            self._joined = found if self._joined is None else self._join(self._joined, found)
        self._rows += len(values)

    def result(self) -> dict[str, np.ndarray]:
        assert self._joined is not None, "no batch was added"
        found = self._joined / self._rows if self._join is np.add else self._joined
        return {self._name: found.astype(np.float32)}       # a mean of such lies among them


# Name of the reduction -> what makes a fresh fold for a layer.
FOLDS: dict[str, Callable[[About], Fold]] = {
    "sampled_values": lambda about: HistogramFold(),
    "moment_values": lambda about: MomentFold(),
    "input_channel_minimum": lambda about: ChannelFold("input_channel_minimum", np.minimum),
    "input_channel_maximum": lambda about: ChannelFold("input_channel_maximum", np.maximum),
    "input_channel_mean": lambda about: ChannelFold("input_channel_mean", np.add),
}
