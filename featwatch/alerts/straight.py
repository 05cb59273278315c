"""How far an activation function is from a straight line where a filter's values lie."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np

_STEP, _REACH = 0.002, 40.0


def bend(activation: str, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """How far a smooth function departs from its tangent, by half of the filter's range: (filters,).

    The tangent is that in the middle of the inputs that give these values.  0 is straight; a hyperbolic tangent
    between ±0.24, or a sigmoid between 0.38 and 0.62, has 0.02.  NaN where the values are one and the same, or the function
    is not `smooth`; infinite where one that comes back to 0 from below (GELU, SiLU) gives less than 0.

    Arguments:
        low, high: (filters,) of the values that leave the function.
    """
    unknown = np.full(len(low), np.nan)
    if activation not in _SMOOTH:
        return unknown
    inputs, values, slopes = _table(activation)
    low, high = low.astype(np.float64), high.astype(np.float64)
    judged = high > low + 1e-6 * np.maximum(np.abs(low), np.abs(high))
    first, last = _inverse(low, inputs, values), _inverse(high, inputs, values)
    middle = (first + last) / 2
    value, slope = (_at(middle, inputs, known) for known in (values, slopes))
    apart = np.maximum(np.abs(low - value - slope * (first - middle)), np.abs(high - value - slope * (last - middle)))
    found = np.divide(apart, (high - low) / 2, out=unknown, where=judged)
    return np.where(judged & (low < 0), np.inf, found) if activation in _FROM_ZERO else found


def smooth(activation: str) -> bool:
    """Whether the function of this name is known, and one that bends everywhere a little."""
    return activation in _SMOOTH


def _inverse(wanted: np.ndarray, inputs: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The inputs that give these values; beyond the table an unbounded function rises as its input does."""
    found = np.interp(wanted, values, inputs)
    return np.where(wanted > values[-1], inputs[-1] + wanted - values[-1], found)


def _at(places: np.ndarray, inputs: np.ndarray, known: np.ndarray) -> np.ndarray:
    beyond = known[-1] + (places - inputs[-1] if known[-1] > 2 else 0.0)
    return np.where(places > inputs[-1], beyond, np.interp(places, inputs, known))


@cache
def _table(activation: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs, values and slopes of a function, where it rises."""
    low = 0.0 if activation in _FROM_ZERO else -_REACH
    inputs = np.linspace(low, _REACH, round((_REACH - low) / _STEP) + 1)
    values = _SMOOTH[activation](inputs)
    return inputs, values, np.gradient(values, inputs, edge_order=2)


def _gelu(z: np.ndarray) -> np.ndarray:
    return z * np.array([0.5 * (1 + math.erf(value / math.sqrt(2))) for value in z])


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def _softplus(z: np.ndarray) -> np.ndarray:
    return np.logaddexp(0.0, z)


def _silu(z: np.ndarray) -> np.ndarray:
    return z * _sigmoid(z)


_SMOOTH: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "tanh": np.tanh, "sigmoid": _sigmoid, "softsign": lambda z: z / (1 + np.abs(z)), "softplus": _softplus,
    "gelu": _gelu, "silu": _silu, "swish": _silu, "mish": lambda z: z * np.tanh(_softplus(z)),
}  # fmt: skip
_FROM_ZERO = frozenset({"gelu", "silu", "swish", "mish"})
