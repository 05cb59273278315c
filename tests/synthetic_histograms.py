"""Histograms and maxima of activations that never were: every filter has a distribution that drifts as training goes on.

Values are drawn, clipped as the activation clips them, and counted on edges that are multiples of a power of two, the width
doubling where the range outgrows it, as the real recorder does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from featwatch.records import Histograms, LayerHealth, LayerInfo

BINS = 64
INPUTS = 32             # samples whose maxima are kept
COUNTED = 100_000       # values per filter above which a layer is sampled
DRAWN = 1200            # values drawn per filter; the counts are scaled up to what would have been counted


@dataclass(frozen=True)
class Filters:
    """What a layer's filters are like: everything follows from the layer's number and the seed."""

    info: LayerInfo
    samples: int
    labels: np.ndarray          # (samples,) −1 = no label
    seed: tuple[int, ...]

    @property
    def positions(self) -> int:
        return math.prod(size or 1 for size in self.info.shape[:-1])

    @property
    def rectified(self) -> bool:
        return self.info.activation in ("relu", "softmax")

    def inputs(self) -> np.ndarray:
        """(inputs,) int32: some samples, of each class about equally many, the same at every epoch."""
        order = np.argsort(self.labels, kind="stable")
        chosen = np.unique(np.linspace(0, len(order) - 1, min(INPUTS, len(order))).round().astype(int)) if len(order) else order
        return order[chosen].astype(np.int32)

    def maxima(self, ceiling: np.ndarray, progress: float, which: np.ndarray) -> np.ndarray:
        """(which, filters): how strongly each of these samples drives each filter, at most its ceiling."""
        rng, n = np.random.default_rng((*self.seed, 1)), self.info.filters
        taste = rng.gamma(0.8, 1.0, (int(self.labels.max(initial=0)) + 1, n))
        taste /= taste.max(0)
        own = rng.beta(4, 2, (self.samples, n))[which]
        liked = (1 - 0.8 * progress) + 0.8 * progress * taste[np.maximum(self.labels[which], 0)]
        driven = own * liked
        driven = driven / np.maximum(driven.max(0), 1e-9) if len(which) else driven
        return driven * ceiling if self.rectified else driven * ceiling - 0.35 * np.abs(ceiling).mean() * rng.random(n)


def histograms(health: LayerHealth, filters: Filters, progress: float, *, bins: int = BINS) -> Histograms:
    """The record that goes with a health record of the same layer and epoch; `progress` 0 … 1 is how much was learnt."""
    rng, n, info = np.random.default_rng((*filters.seed, 2)), filters.info.filters, filters.info
    ceiling, active = health.max_activation.astype(float), health.active_fraction.astype(float)
    shape = rng.uniform(0.5, 2.5, n) + progress * rng.normal(0, 0.4, n)
    drawn = rng.beta(np.maximum(shape, 0.3), 4.5, (DRAWN, n))
    drawn *= ceiling / drawn.max(0)
    if filters.rectified:
        drawn[rng.random((DRAWN, n)) >= active] = 0.0
    else:
        drawn = drawn - 0.4 * np.abs(ceiling) * rng.random(n) - 0.1
    drawn[:, health.dead] = 0.0
    total = filters.samples * filters.positions
    counted = min(total, -(-COUNTED // max(filters.samples, 1)) * filters.samples)
    minimum, maximum = drawn.min(0, initial=np.inf), drawn.max(0, initial=-np.inf)
    edges = dyadic_edges(float(minimum.min()), float(maximum.max()), bins)
    rows = np.stack([np.histogram(column, edges)[0] for column in drawn.T])
    counts = np.maximum(np.floor(rows * (counted / DRAWN)).astype(np.int64), rows > 0)
    counts[np.arange(n), rows.argmax(1)] += counted - counts.sum(1)

    inputs = filters.inputs()
    every = filters.maxima(ceiling, progress, np.arange(filters.samples))
    comparable = n > 2 and filters.samples > 1
    order = float(spearmanr(every[::2].mean(0), every[1::2].mean(0))[0]) if comparable else math.nan
    peaks = every.max(0)
    evenness = float(np.median(every.mean(0)[peaks > 0] / peaks[peaks > 0])) if (peaks > 0).any() else math.nan
    return Histograms(
        epoch=health.epoch, layer=info.name, counts=counts.astype(np.int32), edges=edges, minimum=minimum, maximum=maximum,
        inputs=inputs, maxima=every[inputs], positions=filters.positions, positions_counted=counted // max(filters.samples, 1),
        values_per_filter=counted, exact=counted == total, order_agreement=order, silent_agreement=1.0, evenness=evenness,
        enough_inputs=filters.samples >= 20 and not order < 0.9,
    )  # fmt: skip



def dyadic_edges(low: float, high: float, bins: int) -> np.ndarray:
    """(bins + 1,) multiples of the smallest power of two for which that many bins hold `low` … `high`."""
    exponent = math.floor(math.log2(max(high - low, 1e-6) / bins))
    while True:
        width = 2.0**exponent
        first = math.floor(low / width)
        if first + bins >= math.floor(high / width) + 1:
            return (first + np.arange(bins + 1)) * width
        exponent += 1
