"""The seconds that a recorder may take of the training thread, over all snapshots."""

from __future__ import annotations

import math
from collections.abc import Callable

SMALL = 0.05            # of the seconds of a snapshot: what costs no more is made at any


ANY = 1e9               # a share that limits nothing


class Allowance:
    """An account: each snapshot grants seconds, what was taken beyond them is missing at the next ones.

    Arguments:
        seconds: that a snapshot grants at most, and that may be saved up; None = no limit.
        share: of the time since the snapshot before, which one grants at most.
        clock: gives the time in seconds.

    >>> time = iter([0.0, 0.0, 5.0, 9.0, 9.0]).__next__
    >>> allowance = Allowance(2.0, 0.5, time)
    >>> allowance.begin()
    >>> allowance.left
    2.0
    >>> allowance.end()                 # after 5 s, 3 too many
    >>> allowance.begin()               # another 4 s later: 2 are granted
    >>> allowance.left
    -1.0
    """

    def __init__(self, seconds: float | None, share: float, clock: Callable[[], float]) -> None:
        self._seconds = math.inf if seconds is None else seconds
        self._share = share
        self._clock = clock
        self._balance = 0.0
        self._began = 0.0
        self._ended = -math.inf
        self.granted = 0.0              # by this snapshot

    def begin(self) -> None:
        """A snapshot begins.  The first one grants all its seconds: how long an epoch takes is not known yet."""
        self._began = self._clock()
        self.granted = min(self._seconds, self._share * (self._began - self._ended))
        self._balance = min(self._balance + self.granted, self._seconds)

    @property
    def left(self) -> float:
        """Seconds; negative when too many were taken."""
        return self._balance - (self._clock() - self._began)

    @property
    def small(self) -> float:
        """What may be taken though nothing is left; less than is granted, so that debts are paid off all the same."""
        return min(SMALL * self._seconds, self.granted / 2) if math.isfinite(self._seconds) else 0.0

    @property
    def in_debt(self) -> bool:
        """Whether snapshots before took so much that of what this one was granted less than half was left."""
        return self._balance < self.granted / 2

    def end(self) -> None:
        """The snapshot is done."""
        self._ended = self._clock()
        if math.isfinite(self._seconds):
            self._balance -= self._ended - self._began
