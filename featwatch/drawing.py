"""Which samples are drawn from a larger source: in proportion to its classes, the same ones every time.

Every sample gets a random key in the order in which the samples come; of each class those with the lowest
keys are drawn.  So a source that is read in sequence needs to be read only once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


def drawn(labels: np.ndarray, size: int, seed: int) -> np.ndarray:
    """(at most size,) int64, ascending: the rows to keep, stratified by `labels` (samples,).

    Each class gets its share, and at least one sample where `size` allows that.
    """
    if len(labels) <= size:
        return np.arange(len(labels), dtype=np.int64)
    keys = np.random.default_rng(seed).random(len(labels))      # its own: the global generators stay where they are
    _, members_of, counts = np.unique(labels, return_inverse=True, return_counts=True)
    first = np.full(len(counts), np.inf)
    np.minimum.at(first, members_of, keys)
    return lowest(keys, members_of, proportional(counts, size, first))


def lowest(keys: np.ndarray, members_of: np.ndarray, seats: np.ndarray) -> np.ndarray:
    """int64, ascending: of each class c = `members_of` (samples,) the `seats[c]` rows with the lowest keys."""
    order = np.lexsort((keys, members_of))
    counts = np.bincount(members_of, minlength=len(seats))
    rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.sort(order[rank < np.repeat(seats, counts)]).astype(np.int64)


def proportional(counts: np.ndarray, size: int, order: np.ndarray | None = None) -> np.ndarray:
    """How many of `size` < sum(counts) seats each class gets: in proportion, at least one where there are enough.

    Largest remainder (Hamilton), after the classes that would get less than one seat were given one.

    Arguments:
        order: (classes,), of classes with equal claims the one with the lowest goes first; None: in their order.
            Where there are fewer seats than classes, this decides which ones get any.
    """
    order = np.arange(len(counts)) if order is None else order
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
    whole[np.lexsort((order[free], -remainder))[: left - int(whole.sum())]] += 1
    seats[free] = whole
    return seats


class Reservoir:
    """Draws from a source that is read once, holding at most about twice as many samples as are to be kept.

    Of each class those with the lowest keys are held, in proportion to what was seen so far and half as many
    again: so the draw is that of `drawn`, as long as no class turns up much more often late than early.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self.seen = 0
        self._rng = np.random.default_rng(seed)
        self._held: list[_Held] = []
        self._classes: dict[Any, int] = {}              # label -> number, in the order of appearance
        self._counts: list[int] = []                    # samples seen of each class
        self._first: list[float] = []                   # the lowest key seen of each class
        self._highest: list[float] = []                 # keys above this are not held any more, by class

    def add(self, labels: list[Any], parts: list[np.ndarray]) -> None:
        """Take a batch: a label for each sample, and its arrays, (samples, …) each."""
        keys = self._rng.random(len(labels))
        for index, (label, key) in enumerate(zip(labels, keys.tolist(), strict=True)):
            number = self._classes.setdefault(label, len(self._classes))
            if number == len(self._counts):
                self._counts.append(0)
                self._first.append(1.0)
                self._highest.append(1.0)
            self._counts[number] += 1
            self._first[number] = min(self._first[number], key)
            if key <= self._highest[number]:
                self._held.append(_Held(self.seen, number, key, [np.array(part[index]) for part in parts]))
            self.seen += 1
            if len(self._held) > 2 * self.size:
                self._thin()

    def result(self) -> tuple[np.ndarray, list[np.ndarray]]:
        """Which of the samples seen were drawn, (at most size,) int64 ascending, and their arrays."""
        if self.seen > self.size:
            chosen = self._lowest(self.size)
            short = self.size - len(chosen)             # where a class turned up late
            rest = sorted(set(range(len(self._held))) - set(chosen.tolist()), key=lambda index: self._held[index].key)
            self._held = [self._held[index] for index in [*chosen.tolist(), *rest[:short]]]
        held = sorted(self._held, key=lambda one: one.place)
        parts = [np.stack(arrays) for arrays in zip(*(one.parts for one in held), strict=True)]
        return np.array([one.place for one in held], np.int64), parts

    def _thin(self) -> None:
        before = np.bincount([held.number for held in self._held], minlength=len(self._counts))
        self._held = [self._held[index] for index in self._lowest(3 * self.size // 2)]
        after = np.bincount([held.number for held in self._held], minlength=len(self._counts))
        for number in np.flatnonzero(after < before).tolist():
            self._highest[number] = max((held.key for held in self._held if held.number == number), default=self._first[number])

    def _lowest(self, size: int) -> np.ndarray:
        """Which of those held to keep, so that each class has its share of `size` as far as it is held."""
        counts, members_of = np.array(self._counts), np.array([held.number for held in self._held])
        seats = proportional(counts, size, np.array(self._first)) if counts.sum() > size else counts
        return lowest(np.array([held.key for held in self._held]), members_of, seats)


@dataclass(frozen=True)
class _Held:
    place: int                          # among the samples seen
    number: int                         # of its class
    key: float
    parts: list[np.ndarray]
