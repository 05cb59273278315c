"""How often in a row: what makes a finding an alert, and an alert a thing of the past."""

from __future__ import annotations

import numpy as np


class Persistence:
    """Whether something holds: it begins to after `raise_after` checks in a row, and ends after `resolve_after` without.

    So what comes and goes from check to check neither raises an alert nor resolves one.
    """

    def __init__(self, raise_after: int, resolve_after: int, *, holds_since: int | None = None) -> None:
        self._raise_after = raise_after
        self._resolve_after = resolve_after
        self.holds = holds_since is not None
        self.since = holds_since if holds_since is not None else -1     # epoch of the first of the checks that raised it
        self._against = 0                   # checks in a row that contradict `holds`
        self._first = -1                    # epoch of the first of them

    def update(self, epoch: int, wrong: bool) -> bool:
        """Whether it holds after this check."""
        if wrong == self.holds:
            self._against = 0
            return self.holds
        if not self._against:
            self._first = epoch
        self._against += 1
        if self._against >= (self._resolve_after if self.holds else self._raise_after):
            self.holds, self._against = wrong, 0
            if wrong:
                self.since = self._first
        return self.holds


class Streaks:
    """For each of several things: for how many checks in a row it has been so, and since which epoch."""

    def __init__(self, size: int) -> None:
        self.checks = np.zeros(size, np.int64)
        self.since = np.full(size, -1, np.int64)

    def __len__(self) -> int:
        return len(self.checks)

    def go_on(self, which: np.ndarray, checks: int, since: int) -> None:
        """Take it that these, (n,) indices, had been so in `checks` checks already."""
        self.checks[which] = checks
        self.since[which] = since

    def update(self, epoch: int, now: np.ndarray) -> None:
        """Take another check into account.  `now`: (things,) bool."""
        self.since = np.where(now & (self.checks == 0), epoch, self.since)
        self.checks = np.where(now, self.checks + 1, 0)

    def lasting(self, checks: int) -> np.ndarray:
        """Indices of what has been so in the last `checks` checks."""
        return np.flatnonzero(self.checks >= checks)
