"""Which filters of a layer are multiples of each other (row H5)."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

# A deviation below this share of the mean is what float32 rounds off, not what a filter says.
CONSTANT = 1e-5
# Nor is a variance below this one: squares of such distances fall out of float32, in which they are summed up, and what is
# left of the filter's covariances goes beyond any correlation.  A GELU far below 0 gives deviations of 1e-35.
FAINT = 1e-30
# What float32 leaves of a correlation: measured up to 1.1e-6 on 17,000 rows of rectified values.
ROUNDING = 1e-6
ROWS_PER_NUMBER = 10        # rows for each number that is fitted, at least
LUCK = 0.01                 # probability that a layer of independent filters gives one that looks redundant
# Of filters with the same weights, |ρ| at least.  Those of depthwise and grouped convolutions may look at different inputs.
SAME_INPUTS = 0.98


@dataclass(frozen=True, eq=False)
class Moments:
    """How the filters of a layer vary, and over how many rows.

    Arguments:
        covariance: (filters, filters) float64.
        varies: (filters,) bool, False for filters that say the same of every row.
        correlation: (filters, filters) float64; 0 where one of the two does not vary, and of a filter with itself 1 or 0.
        rows: samples × positions.
        effective: (filters,) float64, rows that carry the filter's variance, at least so many: see `moments`.
    """

    mean: np.ndarray
    covariance: np.ndarray
    varies: np.ndarray
    correlation: np.ndarray
    rows: int
    effective: np.ndarray

    @property
    def deviation(self) -> np.ndarray:
        return np.sqrt(np.diag(self.covariance))

    def enough(self, terms: int, residual: float) -> np.ndarray:
        """Whose reproduction by a weighted sum of `terms` others and a constant would be no luck, (filters,) bool."""
        if self.rows < ROWS_PER_NUMBER * (terms + 1):
            return np.zeros(len(self.mean), bool)
        return self.varies & (self.effective >= rows_needed(int(self.varies.sum()), terms, residual))


def moments(mean: np.ndarray, covariance: np.ndarray, rows: int, minimum: np.ndarray, maximum: np.ndarray) -> Moments:
    """What the covariance of the filters tells, and how much of it a few rows may have decided.

    Arguments:
        mean, covariance: (filters,) and (filters, filters) float64, divided by the number of `rows`.
        minimum, maximum: (filters,) of the values.

    The rows that carry a filter's variance are as many as (Σ d²)² / Σ d⁴ says, with d its distances from the mean (Kish
    1965), and that is Σ d² / max d² or more, which needs no more than the extremes.  A filter that fires for one sample
    has 1; a normal one over 1,000 rows has about 100.
    """
    variance = np.diag(covariance).copy()
    with np.errstate(invalid="ignore", over="ignore"):
        largest = np.maximum(np.abs(maximum.astype(np.float64) - mean), np.abs(minimum.astype(np.float64) - mean)) ** 2
    varies = (variance > np.square(CONSTANT * mean)) & (variance > FAINT) & np.isfinite(largest)
    scale = np.where(varies, 1 / np.sqrt(np.where(varies, variance, 1.0)), 0.0)
    correlation = np.clip(covariance * scale[:, None] * scale, -1.0, 1.0)
    np.fill_diagonal(correlation, varies)
    effective = np.where(varies, rows * variance / np.maximum(largest, np.finfo(np.float64).tiny), 0.0)
    return Moments(mean, covariance, varies, correlation, rows, np.minimum(effective, rows))


@functools.lru_cache(maxsize=256)
def rows_needed(filters: int, terms: int, residual: float) -> int:
    """So many rows at least that a reproduction with this residual is no luck.

    Of a normal filter k fixed others and a constant leave, over n rows, a share of the variance that is
    Beta((n − 1 − k) / 2, k / 2) distributed.  With f filters there are f · C(f − 1, k) ways to choose; the rows are the
    fewest for which this many times the probability of a share of `residual`² or less is `LUCK` at most (Bonferroni).

    >>> rows_needed(512, 3, 0.02), rows_needed(512, 1, 0.02), rows_needed(512, 3, 0.3)
    (12, 7, 35)
    """
    from scipy.special import betainc, gammaln

    if filters <= terms:
        return terms + 2
    ways = math.log(filters) + float(gammaln(filters) - gammaln(terms + 1) - gammaln(filters - terms))

    def lucky(rows: int) -> bool:
        share = float(betainc((rows - 1 - terms) / 2, terms / 2, residual**2))
        return share > 0 and ways + math.log(share) > math.log(LUCK)

    low, high = terms + 2, 2 * (terms + 2)
    while lucky(high):
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if lucky(middle) else (low, middle)
    return low


@dataclass(frozen=True, eq=False, kw_only=True)
class Multiples:
    """The groups, as `featwatch.records.Similarity` has them."""

    group: np.ndarray
    keep: np.ndarray
    factor: np.ndarray
    offset: np.ndarray
    residual: np.ndarray
    by: np.ndarray

    @property
    def double(self) -> np.ndarray:
        """(filters,) bool: those of whose group another would stay."""
        return self.keep != np.arange(len(self.keep))


def multiples(moments: Moments, pairs: np.ndarray, classes: np.ndarray | None, removed: np.ndarray | None = None) -> Multiples:
    """The groups of filters that are multiples of one of them, with the regression on that.

    Arguments:
        pairs: (filters, filters) bool, by activations: from `alike`.
        classes: (filters,) int, by weights: from `featwatch.analysis.acting_weights`; None = they cannot be compared.
        removed: (filters,) bool: see `kept`.
    """
    every = np.arange(len(moments.mean))
    same = np.zeros_like(pairs)
    if classes is not None:
        same = (classes[:, None] == classes) & (classes >= 0)[:, None] & (np.abs(moments.correlation) >= SAME_INPUTS)
        np.fill_diagonal(same, False)
    variance = np.diag(moments.covariance)
    keep = kept(pairs | same, variance, removed)
    double, group = keep != every, numbered(keep)
    factor, offset = np.ones(len(every)), np.zeros(len(every))
    factor[double] = moments.covariance[every, keep][double] / variance[keep][double]
    offset[double] = (moments.mean - factor * moments.mean[keep])[double]
    left = np.where(double, np.sqrt(1 - np.square(moments.correlation[every, keep])), 0.0)
    ways = (same[every, keep] & double) + 2 * (pairs[every, keep] & double)
    np.bitwise_or.at(ways, keep[double], ways[double])      # of the filter that stays: all that its doubles are
    return Multiples(
        group=group,
        keep=keep,
        factor=factor.astype(np.float32),
        offset=offset.astype(np.float32),
        residual=np.where(group >= 0, left, np.nan).astype(np.float32),
        by=np.array(["", "weights", "activations", "both"])[ways],
    )


def alike(moments: Moments, residual: float) -> np.ndarray:
    """Which filters are multiples of each other by their activations, up to a constant, (filters, filters) bool.

    The regression of one on the other leaves √(1 − ρ²) of its deviation, RMS, which may be `residual`; ρ may be negative.
    """
    known = moments.enough(1, residual)
    found = 1 - np.square(moments.correlation) <= residual**2
    found &= known[:, None] & known
    np.fill_diagonal(found, False)
    return found


def kept(pairs: np.ndarray, strength: np.ndarray, removed: np.ndarray | None = None) -> np.ndarray:
    """The filter that would stay for each, (filters,) int32: itself where it is alone, or stays.

    Arguments:
        pairs: (filters, filters) bool, symmetric: which are multiples of each other.  That may hold for A and B and for B and
            C, and not for A and C: so a group is one filter and its own multiples.
        strength: (filters,), the variance.
        removed: (filters,) bool, those that were doubles before: the others stay, as long as it makes no difference.

    The filter with the most multiples takes them, then the next of those that are left; of equals that which was not
    removed before, then the one with the larger variance, to within 1 %, then the first.
    """
    count = len(pairs)
    result = np.arange(count, dtype=np.int32)
    magnitude = np.round(np.log(np.maximum(strength, np.finfo(np.float64).tiny)), 2)
    before = np.zeros(count, bool) if removed is None else removed
    order = np.lexsort((np.arange(count), -magnitude, before))
    preference = np.empty(count)
    preference[order] = np.arange(count, 0, -1) / (count + 1)
    degree = pairs.sum(axis=1).astype(np.float64)
    waiting = degree > 0
    while waiting.any():
        stays = int(np.argmax(np.where(waiting, degree + preference, -1.0)))
        taken = np.flatnonzero(pairs[stays] & waiting)
        result[taken] = stays
        gone = np.append(taken, stays)
        waiting[gone] = False
        degree -= pairs[:, gone].sum(axis=1)
        waiting &= degree > 0
    return result


def numbered(keep: np.ndarray) -> np.ndarray:
    """The groups by number, in the order of their first members, (filters,) int32; −1 for filters that are alone."""
    sizes = np.bincount(keep, minlength=len(keep))
    together = sizes[keep] > 1
    group = np.full(len(keep), -1, np.int32)
    firsts = dict.fromkeys(keep[together].tolist())
    number = {stays: index for index, stays in enumerate(firsts)}
    group[together] = [number[stays] for stays in keep[together].tolist()]
    return group
