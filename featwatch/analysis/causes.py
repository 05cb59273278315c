"""Why filters are dead: what their weights, biases and inputs prove, and what they show on the probe (row H4)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from featwatch.activations import Passing
from featwatch.analysis.filters import energy
from featwatch.folding import Normalisation, folded

# A norm, or a scale, below this share of the median of the layer's filters counts as none.
NEGLIGIBLE = 0.01
# Of two that hold a filter down, the one that is this many times the other is the cause.
PREVAILS = 2.0


@dataclass(frozen=True, eq=False)
class Entered:
    """What entered a layer over the probe, by channel; each (channels,)."""

    minimum: np.ndarray
    maximum: np.ndarray
    mean: np.ndarray

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest value of all; infinite where that is not known."""
        low, high = float(self.minimum.min(initial=np.inf)), float(self.maximum.max(initial=-np.inf))
        return (-np.inf if np.isnan(low) else low), (np.inf if np.isnan(high) else high)

    @property
    def silent(self) -> np.ndarray:
        """(channels,) bool: which were 0 throughout."""
        return (self.minimum == 0) & (self.maximum == 0)


@dataclass(frozen=True, eq=False, kw_only=True)
class Layer:
    """What of a layer the causes are looked for in.

    Arguments:
        weights: (filters, weights per filter), or None; bias: (filters,), None or NaN = there is none.
        normalisation: the batch normalisation between the weights and the activation.
        passing: where the activation passes a gradient on; as the values show it (`Passing.as_seen`).
        decisive: whether a filter whose row of weights is 0 says the same of everything.
        sums: whether filters are weighted sums of what enters the layer, zeros that padding adds included.
        direct: whether between those sums and the activation nothing else stands but pooling.
        entered: what entered the layer, or None where that is not known.
        inputs_per_filter: channels, fastest in a row of `weights`, that a filter looks at; 0 = not known.
    """

    weights: np.ndarray | None
    bias: np.ndarray | None = None
    normalisation: Normalisation | None = None
    passing: Passing = Passing()
    decisive: bool = True
    sums: bool = True
    direct: bool = True
    entered: Entered | None = None
    inputs_per_filter: int = 0


def causes(
    is_dead: np.ndarray, minimum: np.ndarray, maximum: np.ndarray, layer: Layer
) -> tuple[np.ndarray, np.ndarray]:
    """Why each filter is dead, (filters,) str from `records.CAUSES`, "" for the living; and whether that is proven, bool.

    `is_dead`, `minimum`, `maximum`: (filters,), of what leaves the activation.  The first of these that holds.
    Weights w and bias b are those that act, the batch normalisation folded in:

    * "no energy": every weight is 0 (proven, in a layer that is `decisive` and `direct`), or both the norm of the weights and
      that of those that act are below 1 % of their median over the layer's filters that have any (measured).
    * "zero scale": the batch normalisation's γ is 0 (proven, in a layer that is `direct`), or |γ| is below 1 % of the
      layer's median (measured).
    * "dead inputs": every channel on which the filter has a weight was 0 over the whole probe (measured).
    * "saturated": it stays at an end of a function that is no rectifier, or at a rectifier's ceiling (measured).
    * Of a rectifier that is off, directly behind the weights, with w·x ≤ U over all inputs x within the bounds
      (proven): "negative weights" where no weight is positive, U ≤ 0 and b ≤ 0; "negative bias" where U > 0 and
      U + b ≤ 0.  Where that leaves it open, by the mean input x̄ of each channel, borders ignored (measured):
      "negative bias" where w·x̄ > 0 > b, "negative weights" where w·x̄ ≤ 0 ≤ b, and where both hold the filter down,
      the one that is twice the other.
    * "unexplained": none of these, and always in a layer without weights.

    A smooth rectifier's proofs ask for U + b at its knee, below which no gradient passes.  Pooling leaves proofs as
    they are: neither a maximum nor a mean exceeds U + b where no value does.  Weights that are not finite, and
    bounds that are NaN, prove nothing.
    """
    cause, proven = np.where(is_dead, "unexplained", "").astype("U16"), np.zeros(len(is_dead), bool)
    rows = np.flatnonzero(is_dead)
    if layer.weights is None or not len(rows):
        return cause, proven
    with np.errstate(invalid="ignore", over="ignore"):      # weights and inputs may not be finite
        for name, holds, sure in _Examination(layer, layer.weights, rows, minimum[rows], maximum[rows]).findings():
            found = rows[holds & (cause[rows] == "unexplained")]
            cause[found], proven[found] = name, sure
    return cause, proven


class _Examination:
    """The dead filters of a layer, by their `rows`."""

    def __init__(self, layer: Layer, weights: np.ndarray, rows: np.ndarray, minimum: np.ndarray, maximum: np.ndarray) -> None:
        self._layer = layer
        self._rows = rows
        self._every_weight = weights
        self._finite = np.isfinite(weights[rows]).all(axis=1)
        self._weights = np.where(self._finite[:, None], weights[rows], 0)
        self._acting, self._bias = folded(self._weights, _of(layer.bias, rows), _of_filters(layer.normalisation, rows))
        self._off, self._full = layer.passing.off(minimum, maximum), layer.passing.full(minimum)

    def findings(self) -> Iterator[tuple[str, np.ndarray, bool]]:
        """Causes from the first to the last: the name, for which of the filters it holds, and whether that is proven."""
        layer, finite = self._layer, self._finite
        yield "no energy", finite & ~self._weights.any(axis=1), layer.decisive and layer.direct
        yield "no energy", finite & self._negligible_weights(), False
        if layer.normalisation is not None:
            scale = np.abs(layer.normalisation.scale.astype(np.float64))
            yield "zero scale", scale[self._rows] == 0, layer.direct
            yield "zero scale", _negligible(scale)[self._rows], False
        yield "dead inputs", finite & self._dead_inputs(), False
        yield "saturated", self._full | (self._off & (not layer.passing.rectifies)), False
        off = self._off & finite & layer.passing.rectifies
        if layer.sums and layer.direct:
            for name, holds in self._proofs():
                yield name, off & holds, True
        if layer.direct:
            for name, holds in self._leanings():
                yield name, off & holds, False

    def _negligible_weights(self) -> np.ndarray:
        """Which have next to no weights, and none that the batch normalisation made up for."""
        norms = np.sqrt(energy(np.where(np.isfinite(self._every_weight), self._every_weight, 0)))
        normalisation = self._layer.normalisation
        acting = norms if normalisation is None else norms * np.abs(normalisation.factor)
        return (_negligible(norms) & _negligible(acting))[self._rows]

    def _dead_inputs(self) -> np.ndarray:
        weights, channels = self._by_channel(self._weights), self._channels()
        if weights is None or channels is None or self._layer.entered is None:
            return np.zeros(len(self._rows), bool)
        uses: np.ndarray = (weights != 0).any(axis=1)
        silent = self._layer.entered.silent[channels]
        return uses.any(axis=1) & (silent | ~uses).all(axis=1)

    def _proofs(self) -> Iterator[tuple[str, np.ndarray]]:
        lowest, highest = (-np.inf, np.inf) if self._layer.entered is None else self._layer.entered.bounds
        positive = np.maximum(self._acting, 0).sum(axis=1)
        negative = np.minimum(self._acting, 0).sum(axis=1)
        reach = _times(positive, max(highest, 0.0)) + _times(negative, min(lowest, 0.0))      # padding adds zeros
        sure = reach + self._bias <= self._layer.passing.knee
        yield "negative weights", sure & (positive == 0) & (reach <= 0)
        yield "negative bias", sure & (reach > 0)

    def _leanings(self) -> Iterator[tuple[str, np.ndarray]]:
        weights, channels = self._by_channel(self._acting), self._channels()
        if weights is None or channels is None or self._layer.entered is None:
            return
        pull, bias = (weights.sum(axis=1) * self._layer.entered.mean[channels]).sum(axis=1), self._bias
        both = (pull <= 0) & (bias < 0)
        yield "negative bias", np.where(both, -bias >= PREVAILS * -pull, (pull > 0) & (bias < 0))
        yield "negative weights", np.where(both, -pull >= PREVAILS * -bias, (pull <= 0) & (bias >= 0))

    def _by_channel(self, weights: np.ndarray) -> np.ndarray | None:
        """(dead filters, positions, channels): the rows unfolded; None where that is not known."""
        each = self._layer.inputs_per_filter
        return weights.reshape(len(weights), -1, each) if each and not weights.shape[1] % each else None

    def _channels(self) -> np.ndarray | None:
        """(dead filters, channels) int: which of those that enter the layer each filter looks at; None where not known.

        Filters in equal groups look at equal groups of channels, in order.
        """
        each, entered, filters = self._layer.inputs_per_filter, self._layer.entered, len(self._every_weight)
        if not each or entered is None or len(entered.mean) % each or filters % (len(entered.mean) // each):
            return None
        per_group = filters // (len(entered.mean) // each)
        return (self._rows // per_group)[:, None] * each + np.arange(each)


def _negligible(sizes: np.ndarray) -> np.ndarray:
    """Which are below 1 % of the median of those above 0."""
    some = sizes[np.isfinite(sizes) & (sizes > 0)]
    return sizes < NEGLIGIBLE * np.median(some) if len(some) else np.zeros(len(sizes), bool)


def _of(values: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    return None if values is None else values[rows]


def _of_filters(normalisation: Normalisation | None, rows: np.ndarray) -> Normalisation | None:
    if normalisation is None:
        return None
    return Normalisation(*(part[rows] for part in (
        normalisation.factor, normalisation.offset, normalisation.scale, normalisation.shift
    )))  # fmt: skip


def _times(total: np.ndarray, bound: float) -> np.ndarray:
    """total × bound, where 0 times a bound that is not known is 0."""
    return np.multiply(total, bound, out=np.zeros_like(total), where=total != 0)
