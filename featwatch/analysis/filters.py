"""The health of a layer's filters: their weights, whether they are dead, and why (rows H3, H4)."""

from __future__ import annotations

import numpy as np

RECTIFIERS = frozenset({"relu", "relu6"})
NEVER_POSITIVE = "dead: never above 0 for any probe sample"
NEVER_VARIES = "dead: the same value at every position of every probe sample"


def energy(weights: np.ndarray) -> np.ndarray:
    """Each filter's sum of squared weights, (filters,) float64.  `weights`: (filters, weights per filter)."""
    return np.square(weights, dtype=np.float64).sum(axis=1)


def negative_fraction(weights: np.ndarray) -> np.ndarray:
    """Each filter's share of weights below 0, (filters,); NaN where it has none.  `weights`: (filters, weights per filter)."""
    if not weights.shape[1]:
        return np.full(len(weights), np.nan)
    return (weights < 0).mean(axis=1)


def not_finite_activations(maxima: np.ndarray, minima: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Which filters have NaN or infinity among their activations, (filters,) bool.

    Each argument: (samples, filters), of the positions of each sample.  A device may pass over NaN when
    it looks for a maximum, but not when it adds; and a sum may become infinite where no value was.
    """
    return ~(np.isfinite(maxima) & np.isfinite(minima) & ~np.isnan(means)).all(axis=0)


def not_finite_weights(weights: np.ndarray | None, bias: np.ndarray | None, filters: int) -> np.ndarray:
    """Which filters have NaN or infinity among their weights or in their bias, (filters,) bool.

    `weights`: (filters, weights per filter).  `bias`: (filters,).  None = the layer has none.
    """
    finite = np.ones(filters, bool)
    if weights is not None:
        finite &= np.isfinite(weights).all(axis=1)
    if bias is not None:
        finite &= np.isfinite(bias)
    return ~finite


def finite_mean(means: np.ndarray) -> np.ndarray:
    """Each filter's mean over samples, (filters,) float64, NaN where a sample's is not finite.  `means`: (samples, filters)."""
    finite = np.isfinite(means)
    return np.where(finite.all(axis=0), np.where(finite, means, 0).mean(axis=0, dtype=np.float64), np.nan)


def dead(maximum: np.ndarray, minimum: np.ndarray, activation: str) -> tuple[np.ndarray, str]:
    """Which filters are dead (filters,) bool, and the test that was used, in words.

    `maximum`, `minimum`: (filters,) of what leaves the activation, over all samples and positions.
    A rectifier that never fires has neither output nor gradient.  Any other activation lets a
    gradient through below 0, so only a filter that says the same of everything is dead: a saturated
    sigmoid, a linear filter without weights.  A leaky rectifier may call itself "relu" too: one
    whose output varies below 0 is alive.
    """
    constant = maximum == minimum
    if activation in RECTIFIERS:
        return constant & (maximum <= 0), NEVER_POSITIVE
    return constant, NEVER_VARIES


def causes(
    is_dead: np.ndarray,
    weights: np.ndarray | None,
    bias: np.ndarray | None,
    activation: str,
    *,
    direct: bool = False,
    lowest: float = -np.inf,
    highest: float = np.inf,
) -> np.ndarray:
    """Why each filter is dead, (filters,) str from `records.CAUSES`, "" for the living; only what the numbers prove.

    `is_dead`: (filters,).  `weights`: (filters, weights per filter).  `bias`: (filters,), None or NaN
    = there is none.  `direct`: nothing but this activation comes after the weights.  `lowest`,
    `highest`: bounds of the values that enter the layer; padding adds zeros to them.

    "no energy": every weight is 0.  For a rectifier directly behind the weights, with w·x ≤ U over all
    inputs x within the bounds: "negative weights" where no weight is positive, U ≤ 0 and bias ≤ 0 (no
    input can lift it); "negative bias" where U > 0 and U + bias ≤ 0.  Weights that are not finite, and
    bounds that are NaN, prove nothing.
    """
    result = np.where(is_dead, "unexplained", "").astype("U16")
    if weights is None:
        return result
    provable = is_dead & ~not_finite_weights(weights, None, len(weights))
    weights = np.where(provable[:, None], weights, 0)
    result[provable & ~weights.any(axis=1)] = "no energy"
    if not direct or activation not in RECTIFIERS:
        return result
    offset = np.zeros(len(weights)) if bias is None else np.nan_to_num(bias.astype(np.float64))
    positive = np.maximum(weights, 0).sum(axis=1, dtype=np.float64)
    negative = np.minimum(weights, 0).sum(axis=1, dtype=np.float64)
    highest, lowest = (np.inf if np.isnan(highest) else highest), (-np.inf if np.isnan(lowest) else lowest)
    reach = _times(positive, max(highest, 0.0)) + _times(negative, min(lowest, 0.0))
    open_cases = provable & (result == "unexplained")
    result[open_cases & (positive == 0) & (reach <= 0) & (offset <= 0)] = "negative weights"
    result[open_cases & (reach > 0) & (reach + offset <= 0)] = "negative bias"
    return result


def _times(total: np.ndarray, bound: float) -> np.ndarray:
    """total × bound, where 0 times a bound that is not known is 0."""
    return np.multiply(total, bound, out=np.zeros_like(total), where=total != 0)
