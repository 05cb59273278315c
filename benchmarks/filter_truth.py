"""What is true of a network's filters, from the full activations and the weights alone, with NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from benchmarks.acting_weights import Acting
from benchmarks.filter_nets import FilterNet, Stage, before_activation, by_filter, entering_and_leaving
from benchmarks.planting import RECTIFIERS

STRAIGHT = 0.1          # of a filter's deviation that a straight line leaves, RMS, where its activation acts as one
# Open ends of the range within which a gradient passes, at 1 % of it.
RANGES = {"tanh": (-0.99, 0.99), "sigmoid": (0.01, 0.99), "relu6": (0.0, 6.0), "relu": (0.0, np.inf), "elu": (-0.99, np.inf)}
NEARLY_ZERO = 0.01      # GELU between −this and 0 passes hardly anything


@dataclass(frozen=True, eq=False)
class Facts:
    """Of one stage.  All arrays (filters,), but for the values."""

    stage: Stage
    values: np.ndarray                          # (samples × positions, filters) float64, behind the activation
    maximum: np.ndarray
    minimum: np.ndarray
    mean: np.ndarray
    active: np.ndarray                          # share of values above 0
    responsive: np.ndarray                      # share of values at which a gradient passes
    constant: np.ndarray
    dead: np.ndarray
    size: np.ndarray                            # what a filter weighs: its scale where that follows, else its weights' norm
    acting: np.ndarray                          # norm of the weights as they act
    energy: np.ndarray                          # sum of squared weights of the layer itself
    negative: np.ndarray                        # share of them below 0
    roughness: np.ndarray                       # Geary's C of the kernels; empty but for convolutions in two dimensions
    crooked: np.ndarray                         # what a straight line through before and behind the activation leaves, RMS

    @cached_property
    def covariance(self) -> np.ndarray:
        """(filters, filters)."""
        return np.atleast_2d(np.cov(self.values.T, ddof=0))

    @property
    def linear(self) -> bool:
        """Whether the activation acts as a straight line on nine of ten of its living filters at least."""
        alive = ~self.dead
        return bool(alive.any()) and float((self.crooked[alive] <= STRAIGHT).mean()) >= 0.9


def facts(net: FilterNet, x: np.ndarray | None = None) -> dict[str, Facts]:
    """By layer, over the probe or other samples; the layer of the scores too, as far as it goes."""
    entered = [np.asarray(each) for each in entering_and_leaving(net)(net.probe[0] if x is None else x, training=False)]
    found = {}
    for place, stage in enumerate(net.stages):
        values = by_filter(entered[len(net.stages) + place])
        before = by_filter(before_activation(net, stage, entered[place]))
        found[stage.layer] = _of(stage, values, before, Acting(net, stage))
    return found


def _of(stage: Stage, values: np.ndarray, before: np.ndarray, acting: Acting) -> Facts:
    maximum, minimum = values.max(axis=0), values.min(axis=0)
    low, high = RANGES.get(stage.activation, (-np.inf, np.inf))
    passes = (values > low) & (values < high)
    if stage.activation == "gelu":
        passes &= (values > 0) | (values < -NEARLY_ZERO)
    off, full = maximum <= low, minimum >= high
    if stage.activation == "gelu":
        off = (maximum <= 0) & (minimum >= -NEARLY_ZERO)
    constant = np.ptp(values, axis=0) <= 1e-5 * np.abs(values).max(axis=0)
    size = np.abs(acting.scale) if acting.normalised else np.sqrt(acting.raw_energy)
    norm = np.linalg.norm(acting.weights, axis=1)
    return Facts(
        stage, values, maximum, minimum, values.mean(axis=0), (values > 0).mean(axis=0), passes.mean(axis=0), constant,
        constant | off | full, size, norm, acting.raw_energy, acting.raw_negative, geary(acting.kernel),
        _crooked(before, values),
    )  # fmt: skip


def geary(kernel: np.ndarray) -> np.ndarray:
    """(filters,): Geary's C (1954) of kernels, (rows, columns, inputs, filters), with neighbours along rows and columns."""
    if kernel.ndim != 4 or min(kernel.shape[:2]) < 3:
        return np.zeros(0)
    rows, columns = kernel.shape[:2]
    steps = sum(np.square(np.diff(kernel, axis=axis)).sum(axis=(0, 1, 2)) for axis in (0, 1))
    pairs = rows * (columns - 1) + columns * (rows - 1)
    spread = np.square(kernel - kernel.mean(axis=(0, 1))).sum(axis=(0, 1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((rows * columns - 1) * steps / (2 * pairs * spread))


def _crooked(before: np.ndarray, behind: np.ndarray) -> np.ndarray:
    x, y = before - before.mean(axis=0), behind - behind.mean(axis=0)
    across, along, total = (x * y).sum(axis=0), (x * x).sum(axis=0), (y * y).sum(axis=0)
    known = (along > 0) & (total > 0)
    explained = np.divide(across**2, along * total, out=np.ones_like(total), where=known)
    return np.sqrt(np.maximum(1 - explained, 0))


def firing(true: Facts) -> np.ndarray | None:
    """How often each filter of a rectifier, or of a smooth one, passes a gradient, (filters,); None of other functions."""
    return true.active if rectifies(true.stage) else true.responsive if true.stage.activation == "gelu" else None


def saturating(true: Facts) -> np.ndarray | None:
    """How often each filter of a function with an end does; None of other functions.  1 of a rectifier that is off."""
    if true.stage.activation not in ("tanh", "sigmoid", "relu6", "elu"):
        return None
    off = (true.active < 0.01) & (true.stage.activation == "relu6")
    return np.where(off, 1.0, true.responsive)


def rectifies(stage: Stage) -> bool:
    return stage.activation in RECTIFIERS


def unexplained(covariance: np.ndarray, filter: int, by: np.ndarray) -> float:
    """What the least squares of a filter's values on those of others, and a constant, leave, RMS, of its own deviation.

    `covariance`: (filters, filters) of all.  `by`: indices of the others.
    """
    own, across = covariance[filter, filter], covariance[by, filter]
    if own <= 0:
        return 0.0
    scale = np.sqrt(np.maximum(covariance[by, by], 1e-30))
    known = covariance[np.ix_(by, by)] / np.outer(scale, scale)
    slopes = np.linalg.lstsq(known, across / scale, rcond=1e-10)[0] / scale
    return left_by(covariance, filter, by, slopes)


def left_by(covariance: np.ndarray, filter: int, by: np.ndarray, slopes: np.ndarray) -> float:
    """What is left of a filter's deviation, RMS, when so many times the others are taken from it."""
    weights = np.zeros(len(covariance))
    weights[filter] = 1
    np.subtract.at(weights, by, slopes)
    own = covariance[filter, filter]
    return float(np.sqrt(max(weights @ covariance @ weights, 0.0) / own)) if own > 0 else 0.0
