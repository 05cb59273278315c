"""Histograms of activations that compare over epochs, and whether a probe has enough inputs to judge filters by."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from featwatch.analysis.dyadic import Grid

SHOWN_INPUTS = 32
# "At least 20 inputs", the same filters silent and the same order when the inputs are halved (row H2).  What
# "the same" is to be is ours: near 0.9 the filters of one half's upper quarter are nearly all in the other's.
LEAST_INPUTS = 20
LEAST_ORDER_AGREEMENT = 0.9
LEAST_SILENT_AGREEMENT = 0.95
_BELOW_ONE = math.nextafter(1.0, 0.0)


def common_grid(low: float, high: float, bins: int, finest: int, before: Grid | None = None) -> Grid:
    """The grid for values from `low` to `high` whose histograms merge with those on the grid `before`.

    `before` itself where it still holds both; otherwise the finest one that is no finer than it, nor than
    2^`finest`.  Where all values are equal the bins reach from them to zero; where all are zero, up to 1.
    """
    if before is not None and before.bins == bins and before.exponent >= finest and before.holds(low, high):
        return before
    if low == high:
        low, high = (0.0, _BELOW_ONE) if low == 0 else (min(low, 0.0), max(high, 0.0))
    exponent = finest if before is None else max(finest, before.exponent)
    return Grid.covering(low, high, bins, exponent)


def stratified(labels: np.ndarray, count: int) -> np.ndarray:
    """(min(count, samples),) int32, ascending: as many samples of each class as there is room for, the first ones of each.

    `labels`: (samples,) int, −1 = no label, a class of its own here.
    """
    return np.sort(np.lexsort((labels, _rank_in_class(labels)))[:count]).astype(np.int32)


@dataclass(frozen=True)
class Sufficiency:
    """How well two halves of a probe agree on a layer's filters; NaN where that cannot be said."""

    order_agreement: float      # Spearman correlation of the filters' mean maxima
    silent_agreement: float     # share of filters that are silent in both or in neither
    evenness: float             # median over filters that are not silent of mean / largest maximum
    enough: bool


def sufficiency(maxima: np.ndarray, labels: np.ndarray) -> Sufficiency:
    """Whether there are enough inputs to judge a layer's filters by, from every filter's maximum on each.

    Arguments:
        maxima: (samples, filters) float32; samples on which one is not finite are left out.
        labels: (samples,) int; both halves get the same share of each class.
    """
    kept = np.isfinite(maxima).all(axis=1)
    maxima, labels = maxima[kept].astype(np.float64), labels[kept]
    if len(maxima) < 2:
        return Sufficiency(math.nan, math.nan, math.nan, False)
    by_class = maxima[np.argsort(labels, kind="stable")]
    halves = by_class[::2], by_class[1::2]
    order = _rank_correlation(*(half.mean(axis=0) for half in halves))
    silent = [half.max(axis=0) <= 0 for half in halves]
    silent_agreement = float(np.mean(silent[0] == silent[1]))
    largest = maxima.max(axis=0)
    heard = largest > 0
    evenness = float(np.median(maxima.mean(axis=0)[heard] / largest[heard])) if heard.any() else math.nan
    enough = (
        len(maxima) >= LEAST_INPUTS
        and not order < LEAST_ORDER_AGREEMENT       # NaN: nothing to order
        and silent_agreement >= LEAST_SILENT_AGREEMENT
    )
    return Sufficiency(order, silent_agreement, evenness, enough)


def _rank_in_class(labels: np.ndarray) -> np.ndarray:
    """(samples,): how many samples of the same class come before each."""
    order = np.argsort(labels, kind="stable")
    in_order = labels[order]
    starts = np.searchsorted(in_order, in_order)
    rank = np.empty(len(labels), np.int64)
    rank[order] = np.arange(len(labels)) - starts
    return rank


def _rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's; NaN where there are fewer than two filters, or all are equal."""
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return math.nan
    from scipy.stats import spearmanr  # late: the training process imports this file, too

    return float(spearmanr(one, other).statistic)
