"""What is known of each group of units that go together, put together from the layers and weights that it is in."""

from __future__ import annotations

import numpy as np


class Tally:
    """Means over everything that tells of a candidate.

    >>> tally = Tally(2)
    >>> tally.add(np.array([0, 1, -1]), np.array([1.0, 2.0, 3.0]))
    >>> tally.add(np.array([1]), np.array([5.0]))
    >>> tally.scores().tolist()
    [0.5, 1.0]
    """

    def __init__(self, candidates: int) -> None:
        self._sum = np.zeros(candidates)
        self._count = np.zeros(candidates)

    def add(self, places: np.ndarray, values: np.ndarray) -> None:
        """Take in the values of some units, relative to their mean.

        Arguments:
            places: (units,) int64 of candidates; −1 = of units that stay, which the mean is of, too.
            values: (units,) of 0 or more; NaN = nothing is known of a unit.
        """
        values = np.asarray(values, np.float64)
        known = np.isfinite(values)
        mean = float(values[known].mean()) if known.any() else 0.0
        # Of a layer that does nothing, no unit is worth more than another.
        relative = values / mean if mean > 0 else np.zeros_like(values)
        taken = known & (places >= 0)
        np.add.at(self._sum, places[taken], relative[taken])
        np.add.at(self._count, places[taken], 1)

    def scores(self) -> np.ndarray:
        """(candidates,) float64; NaN where nothing is known."""
        with np.errstate(invalid="ignore"):
            return self._sum / np.where(self._count > 0, self._count, np.nan)
