"""Checked arguments: the value, or an error that names the argument, the value and the cure."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any


def whole(argument: str, value: Any, low: int, high: int | None = None) -> int:
    """`value` as an int from `low` to `high`.  Raises TypeError or ValueError."""
    cure = f"give a whole number of {low} or more" + (f", {high} at most" if high is not None else "")
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{argument}={value!r} is not a whole number; {cure}")
    number = int(value)
    if number < low or (high is not None and number > high):
        raise ValueError(f"{argument}={value!r} is out of range; {cure}")
    return number


def real(argument: str, value: Any, low: float, high: float = math.inf, *, open_below: bool = False) -> float:
    """`value` as a finite float from `low` (or above it, with `open_below`) to `high`.  Raises TypeError or ValueError."""
    limits = f"above {low:g}" if open_below else f"of {low:g} or more"
    cure = f"give a number {limits}" + (f", {high:g} at most" if math.isfinite(high) else "")
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{argument}={value!r} is not a number; {cure}")
    number = float(value)
    if not math.isfinite(number) or not low <= number <= high or (open_below and number == low):
        raise ValueError(f"{argument}={value!r} is out of range; {cure}")
    return number


def one_of(argument: str, value: Any, allowed: Sequence[str], other: str = "") -> str:
    """`value`, which is one of the strings that are allowed.  Raises ValueError; `other`: what else would do, in words."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{argument}={value!r}: expected " + " or ".join([*map(repr, allowed), *([other] if other else [])]))
    return value
