"""Which classes each filter answers to (row H6)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MARGIN = 0.4                # "exceeds its overall mean by more than 40 %": row H6
CONFIDENCE = 0.975          # one-sided, of the t distribution: two standard errors where there are many samples


@dataclass(frozen=True, eq=False)
class Specific:
    """Each filter's mean by class, and the classes to which it is specific."""

    means: np.ndarray           # (classes, filters) float64; NaN for a class without samples
    overall: np.ndarray         # (filters,) mean of these means
    samples: np.ndarray         # (classes,) int: labelled so
    modality: np.ndarray        # (filters,) int: 1 or 2 classes; 0 = none or more; −1 = undefined
    first: np.ndarray           # (filters,) int: the class with the largest mean among them; −1 = none
    second: np.ndarray
    negative: int               # filters that are undefined because they go too far below zero, or have no mean above it
    non_finite: int             # because a value was NaN or infinite


def specific_units(
    activations: np.ndarray, labels: np.ndarray, below_zero: np.ndarray | None = None, *, margin: float = MARGIN
) -> Specific:
    """Which classes each filter is specific to: its mean over the class exceeds its overall mean by more than `margin` of it.

    The overall mean is that of the classes' means: a class with many samples in the probe would otherwise pull it
    towards its own and could never exceed it, and whether a filter is specific would depend on how the probe was drawn.

    A class counts only if the excess is also larger than chance gives: than t standard errors of the class's mean, for
    Student's t at 97.5 %, which is 2 for many samples and 12.7 for two.  A class of one sample never counts.

    The comparison says nothing, and the filter is undefined, where the overall mean is not above zero, or where what
    lies below zero averages more than `margin` of it: a class could then exceed it although the filter gave no more
    above zero.  As long as it averages less, P_c ≥ m_c > (1 + margin) m ≥ m + N = P, where m = P − N are the parts
    above and below zero.

    Arguments:
        activations: (samples, filters), each sample's mean over positions.
        labels: (samples,) int, −1 = no label: left out.  At least one is labelled.
        below_zero: (samples, filters), the mean of what lies below zero, as a number ≥ 0; None = nothing does.

    >>> given = np.array([[4.0, 1.0], [4.1, 1.1], [1.0, 1.0], [1.1, 1.1], [0.0, 1.0], [0.1, 1.1]])
    >>> found = specific_units(given, np.array([0, 0, 1, 1, 2, 2]))
    >>> found.modality.tolist(), found.first.tolist()
    ([1, 0], [0, -1])
    """
    from scipy.special import stdtrit  # late: whoever lists the recorders imports this file

    known = labels >= 0
    order = np.argsort(labels[known], kind="stable")
    sorted_labels = labels[known][order]
    samples = np.bincount(sorted_labels)
    present = np.flatnonzero(samples)
    starts, counts = np.searchsorted(sorted_labels, present), samples[present]
    values = activations[known][order].astype(np.float64)
    finite = np.isfinite(values).all(axis=0)
    values[:, ~finite] = 0.0

    means = np.add.reduceat(values, starts, axis=0) / counts[:, None]
    overall = means.mean(axis=0)
    scatter = np.add.reduceat(np.square(values - np.repeat(means, counts, axis=0)), starts, axis=0)
    degrees = np.maximum(counts - 1, 1)[:, None]
    error = np.sqrt(scatter / degrees / counts[:, None])
    below = np.zeros_like(overall)
    if below_zero is not None and below_zero.any():
        below = (np.add.reduceat(below_zero[known][order].astype(np.float64), starts, axis=0) / counts[:, None]).mean(axis=0)
    defined = finite & (overall > 0) & (below <= margin * overall)

    excess = means - overall
    many = (counts > 1)[:, None]
    specific = defined & many & (excess > margin * overall) & (excess > stdtrit(degrees, CONFIDENCE) * error)
    number = specific.sum(axis=0)
    first, second = _two_largest(np.where(specific, means, -np.inf))
    by_class = np.full((len(samples), len(overall)), np.nan)
    by_class[present] = means
    by_class[:, ~finite] = np.nan
    return Specific(
        means=by_class,
        overall=np.where(finite, overall, np.nan),
        samples=samples,
        modality=np.where(defined, np.where(number <= 2, number, 0), -1),
        first=np.where(number > 0, present[first], -1),
        second=np.where(number > 1, present[second], -1),
        negative=int(np.count_nonzero(finite & ~defined)),
        non_finite=int(np.count_nonzero(~finite)),
    )


def only_largest(means: np.ndarray, kept: int) -> np.ndarray:
    """(classes, filters): of each filter its `kept` largest means, and NaN for the others."""
    if len(means) <= kept:
        return means
    ranked = np.argsort(np.where(np.isnan(means), -np.inf, means), axis=0, kind="stable")
    thinned = means.copy()
    np.put_along_axis(thinned, ranked[: len(means) - kept], np.nan, axis=0)
    return thinned


def _two_largest(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(filters,) the rows with the largest and the second largest value; of equal ones the first."""
    first = values.argmax(axis=0)
    others = values.copy()
    np.put_along_axis(others, first[None], -np.inf, axis=0)
    return first, others.argmax(axis=0)
