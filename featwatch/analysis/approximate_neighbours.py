"""Nearly the nearest neighbours, where there are too many samples to compare each with each."""

from __future__ import annotations

import numpy as np

SEED = 0                # the same neighbours every time
CANDIDATES = 2          # times as many are sought as are wanted: of 20,000 samples 99.4 % of the 15 nearest are found, not 92 %
_BLOCK_BYTES = 32 << 20
_BLOCK_ROWS = 1024


def approximate(features: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """About the `k` nearest other samples of every sample, nearest first: indices int32 and distances float64, (samples, k).

    `features`: (samples, features), finite.  Those that are found are measured again in float64; of equally near ones the
    one with the smaller index comes first.  The same for the same features on any number of threads; samples in another
    order may have other neighbours.  The first search of a process compiles for half a minute.

    Dong, Charikar, Li 2011, *Efficient k-nearest neighbor graph construction for generic similarity measures*, by pynndescent.
    """
    features = np.asarray(features)
    count = len(features)
    smallest, largest = (edge.astype(np.float64) for edge in (features.min(axis=0), features.max(axis=0)))
    centre, reach = (smallest + largest) / 2, float((largest - smallest).max(initial=0.0))
    if reach == 0:              # the search takes its time over samples that are all equal
        return _first(count, k), np.zeros((count, k))
    scaled = np.empty(features.shape, np.float32)
    for start in range(0, count, _BLOCK_ROWS):
        block = features[start : start + _BLOCK_ROWS]
        scaled[start : start + _BLOCK_ROWS] = (block - centre) / reach      # no square is beyond float32
    found = _search(scaled, min(CANDIDATES * k + 1, count))
    del scaled
    return _measured(features, found, k)


def _search(values: np.ndarray, count: int) -> np.ndarray:
    """(samples, count) indices of candidates, the sample itself among them or not; −1 where none was found."""
    from pynndescent import NNDescent

    return np.asarray(NNDescent(values, n_neighbors=count, random_state=SEED, n_jobs=1).neighbor_graph[0])


def _measured(features: np.ndarray, found: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest of the candidates `found`, (samples, candidates), by index and distance."""
    count, width = features.shape
    found = np.sort(found, axis=1)
    indices, distances = np.empty((count, k), np.int32), np.empty((count, k))
    size = max(1, _BLOCK_BYTES // (8 * width * found.shape[1]))
    for start in range(0, count, size):
        rows = np.arange(start, min(start + size, count))
        candidates = found[rows]
        steps = features[candidates].astype(np.float64)
        steps -= features[rows, None]
        squared = np.einsum("ijk,ijk->ij", steps, steps)
        repeated = np.diff(candidates, axis=1, prepend=-1) == 0
        squared[(candidates < 0) | (candidates == rows[:, None]) | repeated] = np.inf
        order = np.argsort(squared, axis=1, kind="stable")[:, :k]
        indices[rows] = np.take_along_axis(candidates, order, axis=1)
        distances[rows] = np.sqrt(np.take_along_axis(squared, order, axis=1))
    for row in np.nonzero(np.isinf(distances).any(axis=1))[0]:      # the search found too few
        squared = np.square(features.astype(np.float64) - features[row]).sum(axis=1)
        squared[row] = np.inf
        indices[row] = np.argsort(squared, kind="stable")[:k]
        distances[row] = np.sqrt(squared[indices[row]])
    return indices, distances


def _first(count: int, k: int) -> np.ndarray:
    """(count, k): the first k samples, for each without itself."""
    others = np.tile(np.arange(k + 1, dtype=np.int32), (count, 1))
    itself = np.minimum(np.arange(count), k)
    return others[others != itself[:, None]].reshape(count, k)
