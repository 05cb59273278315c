"""Whose turn it is: which filters of a layer are looked at next, where time does not allow all of them."""

from __future__ import annotations

import numpy as np

PATIENCE = 2        # times the number of filters: when so many others were looked at since, a filter goes before all that changed


class Turns:
    """The filters of one layer in their turns, each once at most in a snapshot.

    First come those that were never looked at, the most active of them before the others; then those whose weights changed
    most since.  Nobody waits for ever: who was passed over `PATIENCE` times as often as there are filters goes before all
    that changed, so that between two looks at a filter there are never more than (PATIENCE + 1) × filters + `most` others.

    Arguments:
        filters: which take part.

    >>> turns = Turns(np.array([4, 7]))
    >>> turns.begin()
    >>> activity, change = np.arange(8.0), np.zeros(8)
    >>> turns.next(activity, 1, change), turns.waiting
    (array([7]), 1)
    """

    def __init__(self, filters: np.ndarray) -> None:
        self._filters = filters
        self._served = np.full(len(filters), -1, np.int64)      # how many had been looked at when each was; −1 = never
        self._looked = 0
        self._began = 0                                         # how many had been when this snapshot began
        self.count = 0                                          # turns that there have been

    def begin(self) -> None:
        """A snapshot begins."""
        self._began = self._looked

    @property
    def waiting(self) -> int:
        """How many filters have not been looked at in this snapshot."""
        return int(np.count_nonzero(self._served < self._began))

    @property
    def unseen(self) -> int:
        """How many filters have never been looked at."""
        return int(np.count_nonzero(self._served < 0))

    def next(self, activity: np.ndarray, most: int, change: np.ndarray | None = None) -> np.ndarray:
        """The filters whose turn it is, `most` at most.

        Arguments:
            activity: of every filter of the layer, (all filters,).
            change: likewise, how much its weights changed since it was looked at last; None = not known.
        """
        active = activity[self._filters]
        changed = np.zeros(len(active)) if change is None else change[self._filters]
        passed_over = self._looked - self._served >= PATIENCE * len(self._filters)
        rank = np.where(self._served < 0, 0, np.where(passed_over, 1, 2))
        within = np.where(rank == 0, -active, np.where(rank == 1, self._served, -changed))
        order = np.lexsort((-active, self._served, within, rank))
        chosen = order[self._served[order] < self._began][:most]
        self._served[chosen] = self._looked
        self._looked += len(chosen)
        self.count += 1
        return self._filters[chosen]
