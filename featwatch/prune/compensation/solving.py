"""Removed channels as a combination of those that stay: least squares with the ridge that serves samples held out best."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from featwatch.prune.compensation.regression import Known, times

RIDGES = (1e-1, 1e-2, 1e-4, 1e-6, 1e-9)         # of the channels' mean squares
_AS_GOOD = 1.02                                 # a larger ridge is taken if it leaves no more than so many times the least
_NOTHING = 1e-13                                # and what is left is not told from rounding below so much of all


@dataclass(frozen=True, eq=False)
class Combination:
    """removed ≈ kept @ of_kept + constant."""

    kept: np.ndarray                    # (kept,) numbers of channels
    removed: np.ndarray                 # (removed,)
    of_kept: np.ndarray                 # (kept, removed)
    constant: np.ndarray                # (removed,)

    def left(self, value: np.ndarray) -> np.ndarray:
        """(…, removed): of the removed among (…, channels), what the combination does not give, the constant left out."""
        rest = np.take(value, self.removed, -1)
        if not self.of_kept.any():
            return rest
        rows = np.take(value, self.kept, -1).reshape(-1, len(self.kept))
        return rest - times(rows, self.of_kept.astype(value.dtype)).reshape(rest.shape)


def none(kept: np.ndarray, removed: np.ndarray) -> Combination:
    """The combination that gives 0."""
    return Combination(kept, removed, np.zeros((len(kept), len(removed))), np.zeros(len(removed)))


def combination(
    fitted: Known, judging: np.ndarray, kept: np.ndarray, removed: np.ndarray, weights: np.ndarray, constant: bool
) -> Combination:
    """The combination that leaves the least of what the removed channels gave, on other samples than it was fitted to.

    Arguments:
        fitted: what is known of the samples that it is fitted to.
        judging: (rows, channels + 1) of others, the constant 1 last, each times the root of how often it counts.
        weights: (taps, channels, outputs) with which the channels are read: what they weigh little may be left.
        constant: whether a constant may be added.
    """
    one = len(fitted.sizes) - 1
    features = np.append(kept, one) if constant else kept
    features = features[fitted.sizes[features] > 0]
    weighing = weights[:, removed].swapaxes(0, 1).reshape(len(removed), -1)
    importance = times(weighing, weighing.T)
    wanted, seen = judging[:, removed], judging[:, features]
    before = _energy(wanted, importance)
    if not len(features) or not before > 0:
        return none(kept, removed)
    solve = fitted.solving(features, removed, features == one)
    best, found = before, none(kept, removed)
    for ridge in RIDGES:
        solved = solve(ridge)
        if solved is None:
            continue
        solved = solved / fitted.sizes[features][:, None]
        after = _energy(wanted - times(seen, solved.astype(seen.dtype)), importance)
        if after >= best:               # from here on, it only follows the samples that it is fitted to
            break
        if after * _AS_GOOD < best - _NOTHING * before:
            best, found = after, _combination(solved, features, kept, removed, one)
    return found


def _energy(left: np.ndarray, importance: np.ndarray) -> float:
    """What is left of removed channels, (rows, removed), as it is weighed: the sum of squares of what layers make of it."""
    return float(np.sum(times(left, left, across=True) * importance))


def _combination(solved: np.ndarray, features: np.ndarray, kept: np.ndarray, removed: np.ndarray, one: int) -> Combination:
    of_kept, constant = np.zeros((len(kept), len(removed))), np.zeros(len(removed))
    rows = {int(feature): row for row, feature in enumerate(features)}
    for place, channel in enumerate(kept.tolist()):
        if channel in rows:
            of_kept[place] = solved[rows[channel]]
    if one in rows:
        constant = solved[rows[one]]
    return Combination(kept, removed, of_kept, constant)
