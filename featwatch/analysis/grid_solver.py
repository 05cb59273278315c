"""Linear assignment of points to the cells of a regular grid, by an auction that looks at few cells.

Imported by `grid` alone, and late: numba costs seconds that the training process must not pay.

Bertsekas 1988, "The auction algorithm": whoever has no cell bids for the cell that is best for it, cost and price together,
and raises its price by as much as it is better than the second best, and by ε.  No one is then worse off than by ε than
with any other cell; costs are whole multiples of more than the number of cells, so that with ε = 1 no assignment is better.
ε begins large and falls: wars over prices are fought in large steps.  The costs are squared distances, so that most cells
are seen to be too far by the blocks that they lie in.
"""

from __future__ import annotations

import numba
import numpy as np

BLOCK = 8               # cells along a side of the blocks by which far ones are passed over
FALL = 5                # ε falls by this factor
_NEVER = 1 << 62


@numba.njit
def _two_best(
    x: int, y: int, real: bool, first: int, prices: np.ndarray, lowest: np.ndarray, columns: int, unit: int, scale: int
) -> tuple[int, int, int]:
    """The best cell for a point, and cost and price of this one and of the second best; block `first` is looked at first."""
    rows, across = len(prices) // columns, (columns + BLOCK - 1) // BLOCK
    cell, best, second = -1, _NEVER, _NEVER
    for turn in range(-1, len(lowest)):
        block = first if turn < 0 else turn
        if turn == first:
            continue
        bottom, left = block // across * BLOCK, block % across * BLOCK
        top, right = min(bottom + BLOCK, rows), min(left + BLOCK, columns)
        if real:
            dx = max(left * unit - x, x - (right - 1) * unit, 0)
            dy = max(bottom * unit - y, y - (top - 1) * unit, 0)
            if scale * (dx * dx + dy * dy) + lowest[block] >= second:
                continue
        elif lowest[block] >= second:
            continue
        for row in range(bottom, top):
            for column in range(left, right):
                value = prices[row * columns + column]
                if real:
                    value += scale * ((column * unit - x) ** 2 + (row * unit - y) ** 2)
                if value < best:
                    cell, best, second = row * columns + column, value, best
                elif value < second:
                    second = value
    return cell, best, second


@numba.njit
def _round(
    x: np.ndarray, y: np.ndarray, mine: np.ndarray, owners: np.ndarray, prices: np.ndarray, lowest: np.ndarray, near: np.ndarray,
    queue: np.ndarray, queued: np.ndarray, columns: int, unit: int, step: int, most_bids: int,
) -> int:  # fmt: skip
    """Lets everyone bid who is not content, until everyone is; how many bids that took, above `most_bids` = it did not end."""
    samples, cells = len(x), len(prices)
    rows, scale, across = cells // columns, cells + 1, (columns + BLOCK - 1) // BLOCK
    head, waiting, bids = 0, cells, 0
    while waiting:
        i = queue[head]
        head, waiting, real, held = (head + 1) % cells, waiting - 1, i < samples, mine[i]
        queued[i] = False
        px, py = (x[i], y[i]) if real else (0, 0)
        cell, best, second = _two_best(px, py, real, near[i], prices, lowest, columns, unit, scale)
        if held >= 0:
            value = prices[held]
            if real:
                value += scale * ((held % columns * unit - px) ** 2 + (held // columns * unit - py) ** 2)
            if value <= best + step:
                continue                    # content with what it has since the last round
            owners[held] = -1
        bids += 1
        if bids > most_bids:
            break
        prices[cell] += step + (second - best if second < _NEVER else 0)
        before = owners[cell]
        owners[cell], mine[i] = i, cell
        if before >= 0:
            mine[before] = -1
            if not queued[before]:
                queue[(head + waiting) % cells] = before
                queued[before] = True
                waiting += 1
        bottom, left = cell // columns // BLOCK * BLOCK, cell % columns // BLOCK * BLOCK
        near[i] = bottom // BLOCK * across + left // BLOCK
        low = _NEVER
        for row in range(bottom, min(bottom + BLOCK, rows)):
            for column in range(left, min(left + BLOCK, columns)):
                low = min(low, prices[row * columns + column])
        lowest[near[i]] = low
    return bids


def assign(
    x: np.ndarray, y: np.ndarray, columns: int, rows: int, unit: int, epsilon: int, most_bids: int
) -> tuple[np.ndarray, np.ndarray, bool]:
    """The cell of each point, (samples,) int64; the price of each cell, (cells,) int64; and whether ε came down to `epsilon`.

    `x`, `y`: (samples,) int64, in units of 1 / `unit` of a cell, from the centre of cell 0; at most columns · rows points.
    `epsilon`: ≥ 1, in units of squared distance / (cells + 1).  After `most_bids` bids, but not in the first round, the last
    round that ended counts.
    """
    cells = columns * rows
    # Those beyond the samples stand for cells that stay empty: every cell is as good for them.
    everyone = np.arange(cells)
    prices, lowest = np.zeros(cells, np.int64), np.zeros(-(-columns // BLOCK) * -(-rows // BLOCK), np.int64)
    owners, mine, near = np.full(cells, -1), np.full(cells, -1), np.zeros(cells, np.int64)
    step, left = max((cells + 1) * (columns**2 + rows**2) * unit**2 // 16, epsilon), _NEVER
    kept, kept_prices = mine, prices
    while True:
        bids = _round(x, y, mine, owners, prices, lowest, near, everyone.copy(), everyone >= 0, columns, unit, step, left)
        if bids > left:
            return kept[: len(x)], kept_prices, False
        kept, kept_prices, left = mine.copy(), prices.copy(), min(left, most_bids) - bids
        if step == epsilon:
            return kept[: len(x)], kept_prices, True
        step = max(step // FALL, epsilon)


@numba.njit
def _best_values(x: np.ndarray, y: np.ndarray, prices: np.ndarray, columns: int, unit: int, best: np.ndarray) -> None:
    """Sets `best` to the least cost and price together of any cell, for each point, by looking at all cells."""
    scale = len(prices) + 1
    for i in range(len(x)):
        low = _NEVER
        for row in range(len(prices) // columns):
            dy = scale * (row * unit - y[i]) ** 2
            for column in range(columns):
                low = min(low, dy + scale * (column * unit - x[i]) ** 2 + prices[row * columns + column])
        best[i] = low


def regret(x: np.ndarray, y: np.ndarray, assigned: np.ndarray, prices: np.ndarray, columns: int, unit: int) -> int:
    """By how much the assignment's sum may be above the least, in units of squared distance / (cells + 1).

    By linear duality, over all pairs: the sum of how much better off each point would be with another cell, at these
    `prices`, and of how much each empty cell costs more than the cheapest one.  All costs are multiples of cells + 1:
    below that, no assignment is better.
    """
    best = np.empty(len(x), np.int64)
    _best_values(x, y, prices, columns, unit, best)
    squared = (assigned % columns * unit - x) ** 2 + (assigned // columns * unit - y) ** 2
    envy = squared * (len(prices) + 1) + prices[assigned] - best
    empty = np.delete(prices, assigned)
    return int(envy.sum() + (empty - prices.min()).sum())
