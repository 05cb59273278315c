"""The units of a model that can go: numbers for channels, tied together where one cannot go without the other."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components


class Units:
    """Numbers, one for each channel that something makes; tied ones go together, frozen ones stay.

    What is tied to a frozen one is frozen, whichever came first.

    >>> units = Units()
    >>> first, second = units.fresh(3), units.fresh(3)
    >>> units.tie(first, second)
    >>> units.freeze(second[:1], "an output")
    >>> units.roots(first).tolist() == units.roots(second).tolist()
    True
    >>> units.frozen(first).tolist(), units.why(int(first[0]))
    ([True, False, False], 'an output')
    """

    def __init__(self) -> None:
        self._count = 0
        self._tied: list[tuple[np.ndarray, np.ndarray]] = []
        self._frozen: list[tuple[np.ndarray, str]] = []
        self._roots: np.ndarray | None = None
        self._reasons: np.ndarray | None = None

    def fresh(self, count: int) -> np.ndarray:
        """(count,) int64: new numbers."""
        first, self._count = self._count, self._count + count
        self._roots = self._reasons = None
        return np.arange(first, self._count)

    def tie(self, first: np.ndarray, second: np.ndarray) -> None:
        """Make each of the first go with that of the second at its place; the two are broadcast."""
        one, other = np.broadcast_arrays(first, second)
        self._tied.append((one.ravel(), other.ravel()))
        self._roots = self._reasons = None

    def freeze(self, ids: np.ndarray, why: str) -> None:
        """Keep these, and what is tied to them, for this reason; the first reason given is the one told."""
        self._frozen.append((np.unique(ids), why))
        self._reasons = None

    def roots(self, ids: np.ndarray) -> np.ndarray:
        """For each of these the number of its group: the same for all that go together."""
        return self._settled()[np.asarray(ids, np.int64)]

    def frozen(self, ids: np.ndarray) -> np.ndarray:
        """Whether each of these has to stay."""
        return self._why()[self.roots(ids)] >= 0

    def why(self, one: int) -> str:
        """The reason for which one has to stay; "" where it may go."""
        reason = int(self._why()[self._settled()[one]])
        return self._frozen[reason][1] if reason >= 0 else ""

    def _settled(self) -> np.ndarray:
        if self._roots is None:
            pairs = self._tied or [(np.zeros(0, np.int64),) * 2]
            one, other = (np.concatenate(each) for each in zip(*pairs, strict=True))
            graph = coo_matrix((np.ones(len(one), bool), (one, other)), shape=(self._count, self._count))
            self._roots = connected_components(graph, directed=False)[1].astype(np.int64)
        return self._roots

    def _why(self) -> np.ndarray:
        """For each group, by number, which of the reasons keeps it; -1 = none."""
        if self._reasons is None:
            settled = self._settled()
            reasons = np.full(int(settled.max(initial=-1)) + 1, -1, np.int64)
            for number in reversed(range(len(self._frozen))):       # the first one is to stand
                reasons[settled[self._frozen[number][0]]] = number
            self._reasons = reasons
        return self._reasons


def gone(roots: np.ndarray, removed: Iterable[int]) -> np.ndarray:
    """Whether each of these groups is among those that are removed."""
    numbers = removed if isinstance(removed, np.ndarray) else np.fromiter(removed, np.int64)
    return np.isin(roots, numbers)
