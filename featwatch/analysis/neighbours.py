"""Distances between samples and their nearest neighbours: all of them by brute force, in blocks of rows, up to a limit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from featwatch.analysis.approximate_neighbours import approximate
from featwatch.analysis.sampling import fixed_part

BLOCK_ROWS = 512        # in a block of distances, at most
BLOCK_BYTES = 32 << 20  # and it takes no more than this, so that several fit into memory whatever the probe
WHOLE = 3_000           # samples up to which all distances are kept at once (72 MB); of more, that many judge a layout
EXACT = 10_000          # samples up to which the nearest are found by brute force
NARROW = 16             # up to so many features, differences cost no more than a matrix product
_GRID = 2.0**38         # squared distances are told apart down to this fraction of the largest

Measure = Callable[[np.ndarray, np.ndarray], np.ndarray]     # (some samples, all samples) -> squared distances


def squared_distances(features: np.ndarray, rows: np.ndarray | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks (rows, squared Euclidean distances of these rows to all samples, float64); duplicates are at exactly 0.

    `features`: (samples, features), finite.  `rows`: indices of the samples wanted; None = all.  Narrow features, where
    saturated outputs and ties occur, are compared by their differences, exactly.  Wide ones by a matrix product of the
    centred values in float64, rounded to a fixed grid, so that equal distances come out equal whatever the block or the
    number of threads.  (In float32 the product would take half the time, and the grid would be too coarse to tell nearly
    saturated outputs apart.)
    """
    values, measure = _centred(features)
    for block in _in_blocks(len(values), rows):
        yield block, measure(values[block], values)


def nearest(features: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The `k` nearest other samples of every sample, nearest first: indices int32 and distances float64, (samples, k).

    `features`: (samples, features).  Of equally near samples the one with the smaller index comes
    first.  Raises ValueError unless 0 ≤ k < samples.  Approximate for more than `EXACT` samples: see `Distances`.
    """
    return Distances(features).nearest(k)


class Distances:
    """The distances between samples, and who is nearest: computed once for all that ask.

    Up to `WHOLE` samples all distances are kept; of more they are computed again in blocks of rows wherever they are
    needed.  Of more than `EXACT` samples the nearest are found by approximate search (`exact` is False).

    Arguments:
        features: (samples, features), finite.

    >>> distances = Distances(np.array([[0.0], [1.0], [5.0]]))
    >>> distances.nearest(1)[0].ravel(), distances.exact
    (array([1, 0, 1], dtype=int32), True)
    """

    def __init__(self, features: np.ndarray) -> None:
        if np.ndim(features) != 2:
            raise ValueError(f"features has shape {np.shape(features)}; (samples, features) is expected")
        self.features = features
        self._whole: np.ndarray | None = None
        self._nearest: tuple[np.ndarray, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.features)

    @property
    def exact(self) -> bool:
        """Whether `nearest` gives the nearest, or what an approximate search took for them."""
        return len(self) <= EXACT

    def between(self, rows: np.ndarray) -> np.ndarray:
        """(rows, rows) float64: the squared distances among some of the samples."""
        if len(self) <= WHOLE:
            return self._all()[np.ix_(rows, rows)]
        return Distances(self.features[rows])._all()

    def of(self, rows: np.ndarray) -> Distances:
        """The distances among some of the samples, cut from these where they are kept."""
        part = Distances(self.features[rows])
        if len(self) <= WHOLE:
            part._whole = self.between(rows)
        return part

    def blocks(self, rows: np.ndarray | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Blocks (rows, squared distances of these rows to all samples, float64), which the caller must not change.

        `rows`: indices of the samples wanted; None = all.
        """
        if len(self) > WHOLE:
            yield from squared_distances(self.features, rows)
            return
        for block in _in_blocks(len(self), rows):
            yield block, self._all()[block]

    def nearest(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """As `nearest`, of these features; asked for fewer than before, it cuts what it has."""
        if not 0 <= k < max(len(self), 1):
            most = max(len(self) - 1, 0)
            raise ValueError(f"k={k} neighbours were asked for among {len(self)} samples; at most {most} are there")
        if self._nearest is None or self._nearest[0].shape[1] < k:
            self._nearest = _by_blocks(self.blocks(), len(self), k) if self.exact else approximate(self.features, k)
        indices, distances = self._nearest
        return indices[:, :k], distances[:, :k]

    def _all(self) -> np.ndarray:
        """(samples, samples): by one product of the features with themselves, which takes half the time of that of two."""
        if self._whole is None:
            values, measure = _centred(self.features)
            self._whole = measure(values, values)
        return self._whole


def as_distances(features: np.ndarray | Distances) -> Distances:
    """The distances, or those between (samples, features)."""
    return features if isinstance(features, Distances) else Distances(features)


def judges(count: int) -> np.ndarray:
    """Indices of the samples by which something is judged that looks at the distances to all others: all, or `WHOLE` by lot."""
    return fixed_part(count, WHOLE)


def _in_blocks(count: int, rows: np.ndarray | None) -> Iterator[np.ndarray]:
    wanted = np.arange(count) if rows is None else rows
    size = max(1, min(BLOCK_ROWS, BLOCK_BYTES // (8 * max(count, 1))))
    for start in range(0, len(wanted), size):
        yield wanted[start : start + size]


def _by_blocks(blocks: Iterable[tuple[np.ndarray, np.ndarray]], count: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    indices = np.empty((count, k), np.int32)
    distances = np.empty((count, k))
    for rows, block in blocks:
        squared = block.copy()
        squared[np.arange(len(rows)), rows] = np.inf        # a sample is not its own neighbour
        indices[rows] = _smallest(squared, k)
        distances[rows] = np.sqrt(np.take_along_axis(squared, indices[rows].astype(np.intp), axis=1))
    return indices, distances


def _smallest(values: np.ndarray, k: int) -> np.ndarray:
    """Columns of the k smallest of each row, ascending, ties by column."""
    if k == 0:
        return np.empty((len(values), 0), np.int32)
    limit = np.partition(values, k - 1, axis=1)[:, k - 1 : k]
    chosen = values <= limit
    tied = np.nonzero(np.count_nonzero(chosen, axis=1) > k)[0]
    if len(tied):
        # Of the columns at the limit only the first ones are taken: which of them `argpartition` keeps is anyone's guess.
        below, at = values[tied] < limit[tied], values[tied] == limit[tied]
        chosen[tied] = below | (at & (np.cumsum(at, axis=1) <= k - below.sum(axis=1, keepdims=True)))
    columns = np.nonzero(chosen)[1].reshape(len(values), k)
    order = np.argsort(np.take_along_axis(values, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1).astype(np.int32)


def _centred(features: np.ndarray) -> tuple[np.ndarray, Measure]:
    """The features, wide ones about their mean, as (samples, features) float64, and how their distances are measured."""
    values = np.array(features, dtype=np.float64, order="C")
    if values.ndim != 2:
        raise ValueError(f"features has shape {np.shape(features)}; (samples, features) is expected")
    if values.shape[1] <= NARROW:       # as they are: a mean is another number for samples in another order
        return values, _by_differences
    values -= values.mean(axis=0) if len(values) else 0.0
    return values, _by_product(values)


def _by_differences(block: np.ndarray, values: np.ndarray) -> np.ndarray:
    from scipy.spatial.distance import cdist

    return cdist(block, values, "sqeuclidean")


def _by_product(values: np.ndarray) -> Measure:
    norms = np.einsum("ij,ij->i", values, values)
    grid = max(float(norms.max(initial=0.0)), np.finfo(np.float64).tiny) * 4 / _GRID

    def measure(block: np.ndarray, values: np.ndarray) -> np.ndarray:
        squared = block @ values.T
        squared *= -2.0
        squared += norms
        squared += np.einsum("ij,ij->i", block, block)[:, None]
        squared /= grid
        np.rint(squared, out=squared)
        np.maximum(squared, 0.0, out=squared)
        squared *= grid
        return squared

    return measure
