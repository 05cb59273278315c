"""Which filters of a layer are the same ones before and after it was pruned: the same number then means another filter."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from featwatch.records import LayerInfo, Pruning, Session
from featwatch.records.pruning import PRUNED, UNDONE

MAX_FILTERS = 1 << 16           # of a layer, in a log that nobody need trust
MAX_NUMBERS = 1 << 20           # of all eras of a layer: where there are more, the first eras are forgotten


@dataclass(frozen=True, eq=False)
class Era:
    """A stretch of a training in which a layer has the same filters, by the same numbers."""

    begins: int                 # the epoch, or step, from which on
    filters: np.ndarray         # (filters,) int64, ascending: who each of them is; equal in two eras = the same filter


class Numbering:
    """Where filters of a layer are found in records from before and after it was pruned.

    Without eras, as where a log holds no session, filters are taken for the same wherever there are as many.

    >>> first, pruned = Era(0, np.array([0, 1, 2, 3])), Era(6, np.array([0, 2, 3]))
    >>> numbering = Numbering([first, pruned])
    >>> numbering.found(np.array([0, 1, 2]), of=(9, 3), at=(2, 4)).tolist()
    [0, 2, 3]
    >>> numbering.found(np.array([0, 1, 2]), of=(2, 4), at=(9, 3)).tolist()
    [0, -1, 1]
    """

    def __init__(self, eras: Sequence[Era] = ()) -> None:
        self.eras = tuple(eras)
        self._begins = np.array([era.begins for era in eras], np.int64)

    def era(self, place: int) -> int:
        """Index of the era of an epoch, or step; −1 = of before the first."""
        return int(np.searchsorted(self._begins, place, side="right")) - 1

    def found(self, filters: np.ndarray, *, of: tuple[int, int], at: tuple[int, int]) -> np.ndarray:
        """(filters,) int64: the numbers that filters have at another place; −1 = they are not there, or nothing tells which.

        Arguments:
            of: the place that their numbers are of, and how many filters were recorded there.
            at: the other place, and how many were recorded there.
        """
        one, other = self.era(of[0]), self.era(at[0])
        if one == other:
            return filters if of[1] == at[1] else np.full(len(filters), -1)
        if min(one, other) < 0:
            return np.full(len(filters), -1)
        before, after = self.eras[one].filters, self.eras[other].filters
        if (len(before), len(after)) != (of[1], at[1]):
            return np.full(len(filters), -1)
        slot = np.minimum(np.searchsorted(after, before[filters]), len(after) - 1)
        return np.where(after[slot] == before[filters], slot, -1) if len(after) else np.full(len(filters), -1)


def numbering(layer: str, sessions: Iterable[tuple[int, Session]], prunings: Iterable[Pruning]) -> Numbering:
    """What a log tells of a layer's filters.

    Sessions say from when on there are how many; recorded steps of pruning say which ones went and came back.  Where there are
    others and no step says which, as after `Plan.apply_inplace`, all filters are taken for new ones.

    Arguments:
        sessions: with the epochs, or steps, from which on they hold.
    """
    steps = sorted((step for step in prunings if step.action in (PRUNED, UNDONE)), key=lambda step: step.epoch)
    found: list[Era] = []
    before: np.ndarray | None = None            # the filters that there were before the last step, where that may be undone
    epochs, fresh, since, held = [step.epoch for step in steps], 0, 0, 0
    for place, session in sorted(sessions, key=lambda each: each[0]):
        count = _filters(layer, session.layers)
        if count < 0:
            continue
        filters = found[-1].filters if found else np.zeros(0, np.int64)
        for step in steps[bisect_left(epochs, since) : bisect_left(epochs, session.epoch)] if found else ():
            filters, before = _followed(filters, before, step, layer)
        since = session.epoch
        if len(filters) != count:
            filters, before = np.arange(fresh, fresh + count), None
            fresh += count
        if not found or not np.array_equal(filters, found[-1].filters):
            held += count
            if held > MAX_NUMBERS:
                found, held = [], count
            found.append(Era(place, filters))
    return Numbering(found)


def _followed(
    filters: np.ndarray, before: np.ndarray | None, step: Pruning, layer: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """The filters that are left after a step, none where that cannot be told, and those that there were before it."""
    given = step.removed.get(layer, ()) if isinstance(step.removed, Mapping) else ()
    if not given:
        return filters, before
    if step.action == UNDONE:
        return (filters[:0] if before is None else before), None
    if not isinstance(given, (list, tuple)) or not all(_whole(unit, len(filters)) for unit in given):
        return filters[:0], None
    return np.delete(filters, np.array(given, np.int64)), filters


def _filters(layer: str, layers: Any) -> int:
    """How many filters a session says that a layer has; −1 = it does not say."""
    for info in map(LayerInfo.of, layers if isinstance(layers, (list, tuple)) else ()):
        if info is not None and info.name == layer:
            return info.filters if _whole(info.filters, MAX_FILTERS) else -1
    return -1


def _whole(value: Any, below: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < below
