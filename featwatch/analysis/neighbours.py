"""Exact k nearest neighbours by brute force, in blocks of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

BLOCK_ROWS = 512        # a block of squared distances of 5,000 samples takes 20 MB
CACHE_BYTES = 64 << 20  # distances of up to 2,896 samples are kept while a layer is analysed
NARROW = 16             # up to so many features, differences cost no more than a matrix product
_GRID = 2.0**38         # squared distances are told apart down to this fraction of the largest

Measure = Callable[[np.ndarray, np.ndarray], np.ndarray]     # (block, all samples) -> squared distances


def squared_distances(features: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Blocks (rows, squared Euclidean distances of these rows to all samples, float64); duplicates are at exactly 0.

    `features`: (samples, features), finite.  Narrow features, where saturated outputs and ties occur,
    are compared by their differences, exactly.  Wide ones by a matrix product of the centred values
    in float64, rounded to a fixed grid, so that equal distances come out equal whatever the block or
    the number of threads.
    """
    values = np.ascontiguousarray(features, dtype=np.float64)
    if values.ndim != 2:
        raise ValueError(f"features has shape {np.shape(features)}; (samples, features) is expected")
    values = values - values.mean(axis=0) if len(values) else values
    measure = _by_differences if values.shape[1] <= NARROW else _by_product(values)
    for start in range(0, len(values), BLOCK_ROWS):
        rows = slice(start, min(start + BLOCK_ROWS, len(values)))
        yield rows, measure(values[rows], values)


def nearest(features: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The `k` nearest other samples of every sample, nearest first: indices int32 and distances float64, (samples, k).

    `features`: (samples, features).  Of equally near samples the one with the smaller index comes
    first.  Raises ValueError unless 0 ≤ k < samples.
    """
    return _nearest(squared_distances(features), len(features), k)


def _nearest(blocks: Iterable[tuple[slice, np.ndarray]], count: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    if not 0 <= k < max(count, 1):
        raise ValueError(f"k={k} neighbours were asked for among {count} samples; at most {max(count - 1, 0)} are there")
    indices = np.empty((count, k), np.int32)
    distances = np.empty((count, k))
    for rows, block in blocks:
        squared, within = block.copy(), np.arange(len(block))
        squared[within, np.arange(rows.start, rows.stop)] = np.inf      # a sample is not its own neighbour
        indices[rows] = _smallest(squared, k)
        distances[rows] = np.sqrt(np.take_along_axis(squared, indices[rows].astype(np.intp), axis=1))
    return indices, distances


class Distances:
    """The distances between samples: computed once where they fit into `CACHE_BYTES`, and in blocks of rows otherwise.

    Arguments:
        features: (samples, features), finite.
    """

    def __init__(self, features: np.ndarray) -> None:
        self.features = features
        self._kept: list[tuple[slice, np.ndarray]] | None = None
        self._nearest: tuple[np.ndarray, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.features)

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Blocks (rows, squared distances of these rows to all samples, float64), which the caller must not change."""
        if self._kept is None:
            if 8 * len(self) ** 2 > CACHE_BYTES:
                yield from squared_distances(self.features)
                return
            self._kept = list(squared_distances(self.features))
        yield from self._kept

    def nearest(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """As `nearest`, of these features; asked for fewer than before, it cuts what it has."""
        if self._nearest is None or self._nearest[0].shape[1] < k:
            self._nearest = _nearest(self.blocks(), len(self), k)
        indices, distances = self._nearest
        return indices[:, :k], distances[:, :k]


def _smallest(values: np.ndarray, k: int) -> np.ndarray:
    """Columns of the k smallest of each row, ascending, ties by column."""
    if k == 0:
        return np.empty((len(values), 0), np.int32)
    limit = np.partition(values, k - 1, axis=1)[:, k - 1 : k]
    below, at = values < limit, values == limit
    wanted = k - below.sum(axis=1, keepdims=True)
    # Of the columns at the limit only the first ones are taken: which of them `argpartition` keeps is anyone's guess.
    chosen = below | (at & (np.cumsum(at, axis=1) <= wanted))
    columns = np.nonzero(chosen)[1].reshape(len(values), k)
    order = np.argsort(np.take_along_axis(values, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1).astype(np.int32)


def _by_differences(block: np.ndarray, values: np.ndarray) -> np.ndarray:
    from scipy.spatial.distance import cdist

    return cdist(block, values, "sqeuclidean")


def _by_product(values: np.ndarray) -> Measure:
    norms = np.einsum("ij,ij->i", values, values)
    grid = max(float(norms.max(initial=0.0)), np.finfo(np.float64).tiny) * 4 / _GRID

    def measure(block: np.ndarray, values: np.ndarray) -> np.ndarray:
        squared = norms[None, :] - 2.0 * (block @ values.T)
        squared += np.einsum("ij,ij->i", block, block)[:, None]
        squared /= grid
        np.rint(squared, out=squared)
        np.maximum(squared, 0.0, out=squared)
        squared *= grid
        return squared

    return measure
