"""Removed channels as a combination of those that stay: least squares with the ridge that serves samples held out best."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

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
        """(…, channels): of what is read, what the combination does not give, the constant left out; 0 for what is kept."""
        rest = np.zeros_like(value)
        rest[..., self.removed] = value[..., self.removed] - value[..., self.kept] @ self.of_kept.astype(value.dtype)
        return rest


def none(kept: np.ndarray, removed: np.ndarray) -> Combination:
    """The combination that gives 0."""
    return Combination(kept, removed, np.zeros((len(kept), len(removed))), np.zeros(len(removed)))


def combination(
    fitted: np.ndarray, judging: np.ndarray, kept: np.ndarray, removed: np.ndarray, weights: np.ndarray, constant: bool
) -> Combination:
    """The combination that leaves the least of what the removed channels gave, on other samples than it was fitted to.

    Gram matrices are enough for it: with K the kept and R the removed channels, B = (G_KK + λ)⁻¹ G_KR (ridge regression), and
    the second moments of what it leaves are G_RR − Bᵀ G_KR − G_RK B + Bᵀ G_KK B.

    Arguments:
        fitted, judging: (channels + 1, channels + 1) sums of products, the constant 1 last.
        weights: (taps, channels, outputs) with which the channels are read: what they weigh little may be left.
        constant: whether a constant may be added.
    """
    features = np.append(kept, len(fitted) - 1) if constant else kept
    size = np.sqrt(np.diagonal(fitted)[features])
    features, size = features[size > 0], size[size > 0]
    weighing = weights[:, removed].swapaxes(0, 1).reshape(len(removed), -1)
    importance = weighing @ weighing.T
    before = float(np.sum(judging[np.ix_(removed, removed)] * importance))
    if not len(features) or not before > 0:
        return none(kept, removed)
    gram, across = (fitted[np.ix_(features, each)] / size[:, None] for each in (features, removed))
    gram = gram / size
    penalised = np.where(features == len(fitted) - 1, RIDGES[-1], 1.0)
    best, found = before, none(kept, removed)
    for ridge in RIDGES:
        try:
            solved = cho_solve(cho_factor(gram + np.diag(ridge * penalised)), across)
        except LinAlgError:
            continue
        solved = solved / size[:, None]
        after = _left(judging, features, removed, solved, importance)
        if after >= best:               # from here on, it only follows the samples that it is fitted to
            break
        if after * _AS_GOOD < best - _NOTHING * before:
            best, found = after, _combination(solved, features, kept, removed, len(fitted) - 1)
    return found


def _left(judging: np.ndarray, features: np.ndarray, removed: np.ndarray, solved: np.ndarray, importance: np.ndarray) -> float:
    across = judging[np.ix_(features, removed)]
    moments = judging[np.ix_(removed, removed)] - solved.T @ across - across.T @ solved
    moments = moments + solved.T @ judging[np.ix_(features, features)] @ solved
    return float(np.sum(moments * importance))


def _combination(solved: np.ndarray, features: np.ndarray, kept: np.ndarray, removed: np.ndarray, one: int) -> Combination:
    of_kept, constant = np.zeros((len(kept), len(removed))), np.zeros(len(removed))
    rows = {int(feature): row for row, feature in enumerate(features)}
    for place, channel in enumerate(kept.tolist()):
        if channel in rows:
            of_kept[place] = solved[rows[channel]]
    if one in rows:
        constant = solved[rows[one]]
    return Combination(kept, removed, of_kept, constant)
