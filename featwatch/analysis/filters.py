"""What the weights and activations of a layer's filters are like, and which filters are dead (rows H3, H4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from featwatch.activations import Passing


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


def dead(minimum: np.ndarray, maximum: np.ndarray, passing: Passing, *, several: bool = True) -> tuple[np.ndarray, str]:
    """Which filters are dead (filters,) bool, and the test that was used, in words.

    Dead is a filter that says the same of everything, or whose activation function passes no gradient on for
    anything: a rectifier that never fires, a sigmoid that never leaves one end of its range.  One that is now at
    one end and now at the other is saturated, but alive.  NaN is never dead.

    Arguments:
        minimum, maximum: (filters,) of what leaves the activation, over all samples and positions.
        passing: where the activation passes a gradient on; as the values show it (`Passing.as_seen`).
        several: whether there are several samples or positions; of one value nobody knows whether it varies.

    >>> dead(np.array([0.0, 0.0, 2.0]), np.array([0.0, 1.0, 2.0]), Passing(low=0.0))[0]
    array([ True, False,  True])
    """
    stuck = passing.off(minimum, maximum) | passing.full(minimum)
    return stuck | ((minimum == maximum) & several), _in_words(passing)


def _in_words(passing: Passing) -> str:
    ways = []
    if passing.low > -np.inf:
        ways.append(f"never above {passing.low:.4g}")
    if passing.gap:
        ways.append(f"never outside -{passing.gap:g} to 0")
    if passing.high < np.inf:
        ways.append(f"never below {passing.high:.4g}")
    if not ways:
        return "dead: the same value at every position of every probe sample"
    return f"dead: {' or '.join(ways)} for any probe sample, or always the same value".replace("-", "−")


@dataclass(frozen=True, eq=False)
class Lives:
    """What became of a layer's filters since the record before."""

    ever_alive: np.ndarray          # (filters,) bool: now or in any record before
    died: np.ndarray                # (n,) int32 each: indices of filters; those that were alive
    revived: np.ndarray             # that were dead, and alive before that
    awoke: np.ndarray               # that are alive for the first time


def lives(is_dead: np.ndarray, known: np.ndarray, before: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None) -> Lives:
    """What became of filters since the record before.

    Arguments:
        is_dead: (filters,) bool.
        known: (filters,) bool: whose activations are finite.  Others neither die nor come to life.
        before: the same two of the record before, and who had ever been alive by then; None where there is none.

    >>> was = np.array([True, False]), np.array([True, True]), np.array([False, True])
    >>> now = lives(np.array([False, True]), np.array([True, True]), was)
    >>> now.died.tolist(), now.revived.tolist(), now.awoke.tolist(), now.ever_alive.tolist()
    ([1], [], [0], [True, True])
    """
    alive = known & ~is_dead
    if before is None:
        nobody = np.zeros(0, np.int32)
        return Lives(alive, nobody, nobody, nobody)
    was_dead, was_known, ever_alive = before
    rose = alive & was_dead             # who was dead was known
    died, revived, awoke = known & is_dead & was_known & ~was_dead, rose & ever_alive, rose & ~ever_alive
    return Lives(alive | ever_alive, *(np.flatnonzero(which).astype(np.int32) for which in (died, revived, awoke)))
