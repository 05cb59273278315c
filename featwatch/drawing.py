"""Which samples are drawn from a larger source: in proportion to its classes, the same ones every time.

Every sample gets a random key in the order in which the samples come; of each class those with the lowest
keys are drawn.  So a source that is read in sequence needs to be read only once.
"""

from __future__ import annotations

import numpy as np


def drawn(labels: np.ndarray, size: int, seed: int) -> np.ndarray:
    """(at most size,) int64, ascending: the rows to keep, stratified by `labels` (samples,).

    Each class gets its share, and at least one sample where `size` allows that.
    """
    if len(labels) <= size:
        return np.arange(len(labels), dtype=np.int64)
    keys = np.random.default_rng(seed).random(len(labels))      # its own: the global generators stay where they are
    _, members_of, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return lowest(keys, members_of, proportional(counts, size))


def lowest(keys: np.ndarray, members_of: np.ndarray, seats: np.ndarray) -> np.ndarray:
    """int64, ascending: of each class c = `members_of` (samples,) the `seats[c]` rows with the lowest keys."""
    order = np.lexsort((keys, members_of))
    counts = np.bincount(members_of, minlength=len(seats))
    rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.sort(order[rank < np.repeat(seats, counts)]).astype(np.int64)


def proportional(counts: np.ndarray, size: int) -> np.ndarray:
    """How many of `size` < sum(counts) seats each class gets: in proportion, at least one where there are enough.

    Largest remainder (Hamilton), after the classes that would get less than one seat were given one.
    """
    seats = np.zeros(len(counts), np.int64)
    free = np.ones(len(counts), bool)
    if size >= len(counts):
        while True:
            rare = free & (counts * (size - seats.sum()) < counts[free].sum())
            if not rare.any():
                break
            seats[rare], free[rare] = 1, False
    left = size - int(seats.sum())
    total = int(counts[free].sum())
    whole, remainder = np.divmod(counts[free] * left, max(total, 1))
    whole[np.argsort(-remainder, kind="stable")[: left - int(whole.sum())]] += 1
    seats[free] = whole
    return seats
