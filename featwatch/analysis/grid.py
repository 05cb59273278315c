"""The points of a layout on a regular grid: each in a cell of its own, all together as near as can be (row E7)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from featwatch.records import GridMap

MOST_EXACT = 10_000     # samples up to which the least sum is looked for; above, one that is nearly as small
NEARLY = 0.01           # by so much at most the mean squared distance is then above the least, in squared cells
FINENESS = 1024         # positions are told apart down to this fraction of a cell
REACH = 32              # points farther out than so many grid widths are drawn in to there
TAIL = 0.02             # share of the points on each side that does not decide how large the grid is
STILL = 0.05            # the grid stays where it is while its middle would move, or its side change, by less than this share
_MOST_BIDS = 2000       # per cell: ten times what the worst layouts need


@dataclass(frozen=True)
class Box:
    """Where a grid's cells are: their number, the centre of cell 0 (row 0 is at the bottom), and their side."""

    columns: int
    rows: int
    left: float
    bottom: float
    cell: float

    @staticmethod
    def of(grid: GridMap) -> Box:
        """Where a record's cells are."""
        return Box(grid.columns, grid.rows, grid.left, grid.bottom, grid.cell)

    @property
    def middle(self) -> tuple[float, float]:
        return self.left + (self.columns - 1) / 2 * self.cell, self.bottom + (self.rows - 1) / 2 * self.cell

    def centres(self, cells: np.ndarray) -> np.ndarray:
        """The centres (…, 2) float64 of `cells`, which are counted row by row."""
        return np.stack([self.left + cells % self.columns * self.cell, self.bottom + cells // self.columns * self.cell], axis=-1)


def box_over(points: np.ndarray, before: Box | None = None) -> Box:
    """The grid for `points` (samples, 2): nearly a square, of no more rows and columns than needed, as large as the layout.

    How many cells it has depends on the number of samples alone, so that epochs and layers compare.  Its side is what the
    points span along the wider axis, by quantiles, so that one outlier does not blow it up; 1 where all points coincide.
    `before`, the grid of an earlier epoch, is kept where the new one would be almost the same.
    """
    if len(points) == 0 or points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError(f"points of shape {points.shape}; (samples, 2), at least one and all finite, are needed")
    columns = math.isqrt(len(points) - 1) + 1
    rows = -(-len(points) // columns)
    values = points.astype(np.float64)
    low, high = np.quantile(values, [TAIL, 1 - TAIL], axis=0)
    side = float((high - low).max()) / (1 - 2 * TAIL) or float(np.ptp(values, axis=0).max()) or 1.0
    x, y = (float(value) for value in (low + high) / 2)
    cell = side / columns
    if before is not None and (before.columns, before.rows) == (columns, rows) and before.cell > 0:
        moved = max(abs(x - before.middle[0]), abs(y - before.middle[1]))
        if moved <= STILL * columns * before.cell and abs(cell - before.cell) <= STILL * before.cell:
            return before
    return Box(columns, rows, x - (columns - 1) / 2 * cell, y - (rows - 1) / 2 * cell, cell)


@dataclass(frozen=True, eq=False)
class Assignment:
    """The cell of each sample, (samples,) int32, and whether no other assignment has a smaller sum of squared distances."""

    cells: np.ndarray
    exact: bool


def assignment(points: np.ndarray, box: Box) -> Assignment:
    """The assignment of `points` (samples, 2) to the cells of `box` with the least sum of squared distances.

    Least for positions rounded to 1/1,024 of a cell, and proven so by linear duality over all pairs of points and cells.  It is
    not `exact` above 10,000 samples, where the mean may be up to 0.01 squared cells above the least.  Of samples in one place
    those with the smaller indices have the smaller cells.  Deterministic.

    Sources: FS for the idea; Bertsekas 1988 for how.  Jonker & Volgenant 1987 find the same, in forty times the time.
    """
    from featwatch.analysis.grid_solver import assign, regret

    count, cells = len(points), box.columns * box.rows
    if count > cells:
        raise ValueError(f"{count} points do not fit into {box.columns} × {box.rows} cells")
    unit = _unit(box)
    relative = (points.astype(np.float64) - (box.left, box.bottom)) / box.cell
    reach = REACH * box.columns
    x, y = np.rint(np.clip(relative, -reach, reach) * unit).astype(np.int64).T.copy()
    order = np.lexsort((y, x, x * 73856093 ^ y * 19349663))      # by place and not by index: which of equally good ones is found
    x, y = x[order], y[order]
    finest = 1 if count <= MOST_EXACT else max(1, int(NEARLY * unit**2 * (cells + 1)))
    found, prices, _ = assign(x, y, box.columns, box.rows, unit, finest, _MOST_BIDS * cells)
    exact = regret(x, y, found, prices, box.columns, unit) <= cells
    _, place = np.unique(np.stack([x, y], axis=1), axis=0, return_inverse=True)
    place = place.ravel()
    ordered = np.empty(count, np.int32)
    ordered[order[np.argsort(place, kind="stable")]] = found[np.lexsort((found, place))]
    return Assignment(ordered, exact)


def mapped(points: np.ndarray, cells: np.ndarray, box: Box, share: float) -> np.ndarray:
    """Points (samples, 2) float32 on the straight lines from `points` (`share` 0) to the centres of their `cells` (1).

    Raises ValueError unless 0 ≤ `share` ≤ 1 and every sample has a cell of the grid.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"mapped={share!r} is out of range; give a share from 0, the layout, to 1, the grid")
    if len(cells) != len(points) or not all(0 <= cell < box.columns * box.rows for cell in (cells.min(), cells.max())):
        raise ValueError(f"{len(cells)} cells do not fit {len(points)} samples and a grid of {box.columns} × {box.rows}")
    return ((1 - share) * points.astype(np.float64) + share * box.centres(cells)).astype(np.float32)


def _unit(box: Box) -> int:
    """Into how many steps a cell's side is divided: as many as leave all costs and prices within 64-bit integers."""
    largest = 2 * (REACH * max(box.columns, box.rows) + box.columns) ** 2 * (box.columns * box.rows + 1)
    return max(1, min(FINENESS, 1 << int(math.log2(2**61 / largest) / 2)))
