"""How much the weights of each filter changed since it was looked at."""

from __future__ import annotations

import numpy as np

NUMBERS = 64        # that are kept of a filter's weights: distances between them have a relative error of about 1/11
_SEED = 7


class WeightChanges:
    """A small sketch of each filter's weights as they were when it was looked at, and as they are.

    Weights are added up in 64 places with random signs, which keeps distances in expectation, exactly where a filter
    has no more than that many: a layer's weights themselves may be too many to be kept twice.

    >>> changes = WeightChanges(2)
    >>> changes.begin(np.array([[1.0, 0.0], [0.0, 2.0]]))
    >>> changes.looked_at(np.array([0, 1]))
    >>> changes.begin(np.array([[1.0, 0.0], [0.0, 1.0]]))
    >>> changes.relative
    array([0., 1.])
    """

    def __init__(self, filters: int) -> None:
        self._now = np.zeros((filters, 0))
        self._then = np.zeros((filters, 0))
        self._signs = np.zeros(0)

    def begin(self, weights: np.ndarray | None) -> None:
        """The weights as they are now, (filters, weights per filter); None, or those of another number of filters = not known."""
        if weights is None or len(weights) != len(self._now):
            return
        count = weights.shape[1]
        if len(self._signs) != count:
            self._signs = np.random.default_rng(_SEED).choice(np.array([-1.0, 1.0], np.float32), count)
            self._then = np.zeros((len(weights), min(count, NUMBERS)))
        padded = np.zeros((len(weights), -(-count // NUMBERS) * NUMBERS if count > NUMBERS else count), np.float32)
        with np.errstate(all="ignore"):         # of weights that left their range
            padded[:, :count] = weights * self._signs
            folded = padded.reshape(len(weights), -1, min(count, NUMBERS) or 1).sum(axis=1, dtype=np.float64)
        self._now = np.nan_to_num(folded, posinf=0.0, neginf=0.0)

    def looked_at(self, filters: np.ndarray) -> None:
        """These filters are looked at with the weights as they are now."""
        if self._then.shape == self._now.shape:
            self._then[filters] = self._now[filters]

    @property
    def relative(self) -> np.ndarray:
        """(filters,) the length of the change over the length of the weights now; 0 where that is not known."""
        if self._then.shape != self._now.shape:
            return np.zeros(len(self._now))
        change, length = (np.linalg.norm(values, axis=1) for values in (self._now - self._then, self._now))
        return np.divide(change, length, out=np.where(change > 0, np.inf, 0.0), where=length > 0)
