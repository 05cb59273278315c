"""When a step of pruning may be tried, and how large it is after some were undone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

LONGER, SMALLER = 2, 0.5        # times the wait and the share of a step, after each one that was undone


@dataclass
class Pace:
    """How steps follow each other.

    After a step `cooldown` epochs pass until the next.  After one that was undone it takes twice as long, and the next is
    half as large; after `tries` in a row nothing more is tried.  A step that held makes the wait as it was, not the size:
    what was too much once is not tried again.

    >>> pace = Pace(cooldown=2, tries=2)
    >>> pace.begin(0)
    >>> pace.ready(1), pace.ready(2), pace.share
    (False, True, 1.0)
    >>> pace.undone(3)
    >>> pace.ready(6), pace.ready(7), pace.share, pace.over
    (False, True, 0.5, False)
    >>> pace.undone(8)
    >>> pace.over
    True
    """

    cooldown: int
    tries: int
    share: float = 1.0                  # of a step's size
    _from: int = 0                      # the epoch at which waiting began
    _wait: int = 0
    _undone: int = 0                    # in a row

    def begin(self, epoch: int) -> None:
        """A training begins at an epoch: what is pruned has been trained for a while first, and no wait gets shorter."""
        self._from, self._wait = epoch, max(self.cooldown, self.next - epoch)

    def go_on(self, steps: Iterable[tuple[int, bool]]) -> None:
        """Go on after steps that an earlier process made, oldest first: at which epoch each was decided, and whether it held."""
        for epoch, held in steps:
            if held:
                self.held()
                self.stepped(epoch)
            else:
                self.undone(epoch)

    @property
    def next(self) -> int:
        """The first epoch at the end of which a step may be tried."""
        return self._from + self._wait

    def ready(self, epoch: int) -> bool:
        """Whether a step may be tried at the end of this epoch."""
        return not self.over and epoch >= self.next

    def stepped(self, epoch: int) -> None:
        """A step was made at the end of this epoch."""
        self._from, self._wait = epoch, self.cooldown

    def held(self) -> None:
        """The guard let the last step pass."""
        self._undone = 0

    def undone(self, epoch: int) -> None:
        """The last step was undone at the end of this epoch."""
        self._undone += 1
        self.share *= SMALLER
        self._from, self._wait = epoch, self.cooldown * LONGER**self._undone

    @property
    def over(self) -> bool:
        """Whether so many steps in a row were undone that no further one is tried."""
        return self._undone >= self.tries
