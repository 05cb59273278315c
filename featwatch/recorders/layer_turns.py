"""Which layers have their turn, where the seconds of a snapshot are not enough for all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from featwatch.recorders.allowance import Allowance

_AGAIN = 0.25                       # of what a layer took at first: most of that was tracing


class LayerTurns:
    """The layers in their turns: at each snapshot first those that have waited longest, of those that there is time for.

    The first of all need not fit where nothing is owed, so that what is slow has its turn all the same.

    Arguments:
        seconds, share, clock: as of `Allowance`.
    """

    def __init__(self, seconds: float | None, share: float, clock: Callable[[], float]) -> None:
        self._allowance = Allowance(seconds, share, clock)
        self._clock = clock
        self._snapshot = 0
        self._served: dict[str, int] = {}       # the snapshot at which each layer had its last turn
        self._first: dict[str, float] = {}      # seconds
        self._later: dict[str, float] = {}      # likewise, at its last turn but the first
        self.left_out: list[str] = []           # for which there was no time at this snapshot

    def of(self, names: Sequence[str]) -> Iterator[str]:
        """The names whose turn it is at this snapshot; what is done until the next one is asked for is what it takes."""
        self._allowance.begin()
        self.left_out = []
        made = False
        try:
            for name in sorted(names, key=lambda name: self._served.get(name, -1)):
                if not self._fits(self._expected(name), nothing_yet=not made):
                    self.left_out.append(name)
                    continue
                began = self._clock()
                yield name
                (self._later if name in self._first else self._first)[name] = self._clock() - began
                self._served[name] = self._snapshot
                made = True
        finally:
            self._snapshot += 1
            self._allowance.end()

    @property
    def said(self) -> str:
        """What there is to say of those for which there was no time."""
        return f"no time for {', '.join(self.left_out)}: layers that wait have their turns first at a later snapshot"

    def _fits(self, expected: float, nothing_yet: bool) -> bool:
        if nothing_yet and (not self._allowance.in_debt or expected <= self._allowance.small):
            return True
        return expected <= self._allowance.left

    def _expected(self, name: str) -> float:
        if name in self._later:
            return self._later[name]
        if name in self._first:
            return _AGAIN * self._first[name]
        return float(np.median(list(self._first.values()))) if self._first else 0.0
