"""Whose turn it is: which filters of a layer are looked at next, where time does not allow all of them."""

from __future__ import annotations

import numpy as np

MOST_ACTIVE = 16


class Turns:
    """The filters of one layer in their turns.

    At each snapshot the most active filters come first, then those that have waited longest.  Where the
    time of a snapshot is enough for one turn only, the two kinds alternate.

    Arguments:
        filters: which take part.
    """

    def __init__(self, filters: np.ndarray) -> None:
        self._filters = filters
        self._served = np.full(len(filters), -1, np.int64)      # the turn in which each was looked at last
        self._turn = 0
        self._snapshot = 0                                      # the turn with which this snapshot began
        self._last_was_top = False

    @property
    def count(self) -> int:
        """How many turns there have been."""
        return self._turn

    def begin(self) -> None:
        """A snapshot begins."""
        self._snapshot = self._turn

    @property
    def waiting(self) -> int:
        """How many filters have not been looked at in this snapshot."""
        return int(np.count_nonzero(self._served < self._snapshot))

    def next(self, activity: np.ndarray, most: int) -> np.ndarray:
        """The filters whose turn it is, `most` at most.

        Arguments:
            activity: of every filter of the layer, (all filters,).
        """
        here = activity[self._filters]
        waiting = np.flatnonzero(self._served < self._snapshot)
        top = waiting[np.argsort(-here[waiting], kind="stable")][: min(most, MOST_ACTIVE)]
        is_top = self._turn == self._snapshot and not self._last_was_top
        if not is_top:
            # Those that have waited longest, among them the most active; in a snapshot's only turn not the top again.
            others = np.setdiff1d(waiting, top) if self._turn == self._snapshot else waiting
            candidates = others if len(others) else waiting
            top = candidates[np.lexsort((-here[candidates], self._served[candidates]))][:most]
        self._served[top] = self._turn
        self._turn += 1
        self._last_was_top = is_top
        return self._filters[top]
