"""Pictures side by side, alike ones as neighbours: a layout of their features, mapped to a grid (row F6)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from featwatch.analysis.grid import assignment, box_over
from featwatch.analysis.layout import Task, umap
from featwatch.analysis.neighbours import nearest

FEWEST = 4              # pictures of which a layout is made; fewer stand in their order
_HOSTS = 3              # nearest known pictures among which a new one starts


@dataclass(frozen=True, eq=False)
class Earlier:
    """An arrangement to continue from: of these pictures the points, and the features that they were made of."""

    numbers: np.ndarray         # (pictures,) who they are
    points: np.ndarray          # (pictures, 2)
    features: np.ndarray        # (pictures, features)


@dataclass(frozen=True, eq=False)
class Arrangement:
    """Where pictures stand."""

    points: np.ndarray          # (pictures, 2) float32
    cells: np.ndarray           # (pictures,) int32: row · columns + column from the top left, all different
    columns: int
    rows: int
    note: str = ""              # why it is no layout


def arrangement(
    numbers: np.ndarray,
    features: np.ndarray,
    earlier: Earlier | None = None,
    *,
    n_neighbors: int = 15,
    min_dist: float = 0.1,
    seed: int = 0,
) -> Arrangement:
    """The UMAP of pictures by the directions of their features, and its points' nearest places on a grid, all together.

    Where most pictures stood in an `earlier` arrangement, it starts from that, and none moves farther than its features did
    in proportion; new ones begin among those that they are most alike.  Fewer than four pictures, and pictures with equal
    features, stand in the order of their numbers.

    Arguments:
        numbers: (pictures,) who they are, ascending.
        features: (pictures, features), finite.
        n_neighbors, min_dist: UMAP's.

    >>> found = arrangement(np.arange(3), np.eye(3))
    >>> found.cells, found.columns, found.note
    (array([0, 1, 2], dtype=int32), 2, 'fewer than 4 images: in the order of their filters')

    McInnes, Healy, Melville 2018 for the layout; FS for the idea.
    """
    count = len(features)
    if count < FEWEST:
        return _in_order(count, f"fewer than {FEWEST} images: in the order of their filters")
    values = directions(features)
    if not np.ptp(values, axis=0).any():
        return _in_order(count, "all images have the same features, or multiples of them: in the order of their filters")
    indices, distances = nearest(values, min(n_neighbors, count - 1))
    start, before = _start(numbers, values, earlier)
    task = Task(
        features=values, indices=indices, distances=distances, n_neighbors=n_neighbors, min_dist=min_dist, seed=seed,
        start=start, before=before,
    )  # fmt: skip
    points = umap(task)
    box = box_over(points, box_over(earlier.points) if earlier is not None and start is not None else None)
    cells = assignment(points, box).cells
    rows, columns = np.divmod(cells, box.columns)                       # which count from the bottom
    return Arrangement(points, ((box.rows - 1 - rows) * box.columns + columns).astype(np.int32), box.columns, box.rows)


def directions(features: np.ndarray) -> np.ndarray:
    """The features, each picture's of length 1, (pictures, features) float64; all zeros stay that.

    How strongly a picture drives a layer says little about what is in it.  Measured on three layers of a digits net: pixels of
    neighbours on the grid correlate by 0.38, 0.42 and 0.43, with the lengths left in by 0.30, 0.39 and 0.42, by chance by
    0.00, 0.19 and 0.21.
    """
    values = features.astype(np.float64)
    largest = np.abs(values).max(axis=1, keepdims=True)
    values = np.divide(values, largest, out=values, where=largest > 0)          # squares stay within range
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return np.divide(values, length, out=values, where=length > 0)


def _start(
    numbers: np.ndarray, values: np.ndarray, earlier: Earlier | None
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Where the pictures start, and the features that this was made of; (None, None) where fewer than half are known."""
    if earlier is None or earlier.features.shape[1:] != values.shape[1:] or not np.isfinite(earlier.points).all():
        return None, None
    _, here, there = np.intersect1d(numbers, earlier.numbers, return_indices=True)
    if 2 * len(here) < len(numbers) or len(here) < FEWEST or not np.ptp(directions(earlier.features), axis=0).any():
        return None, None               # an arrangement in order, of few or of equals, is nothing to start from either
    known = np.zeros(len(numbers), bool)
    known[here] = True
    start, before = np.zeros((len(numbers), 2)), values.copy()
    start[here] = earlier.points[there]
    before[here] = directions(earlier.features[there])
    for new in np.flatnonzero(~known):
        ways = np.linalg.norm(values[here] - values[new], axis=1)
        order = here[np.argsort(ways, kind="stable")]
        start[new] = start[order[:_HOSTS]].mean(axis=0)
        # As if it came from the farthest there is: a sample that did moves as it likes (`steady.resettled`).
        before[new] = before[order[-1]]
    return start.astype(np.float32), before


def _in_order(count: int, note: str) -> Arrangement:
    """In rows from the top left; the points are the cells' centres."""
    columns = int(np.ceil(np.sqrt(count))) if count else 0
    rows = -(-count // columns) if count else 0
    cells = np.arange(count, dtype=np.int32)
    points = np.stack([cells % max(columns, 1), rows - 1 - cells // max(columns, 1)], axis=1).astype(np.float32)
    return Arrangement(points, cells, columns, rows, note)
