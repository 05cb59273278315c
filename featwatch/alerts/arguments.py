"""The checks of what a detector is given."""

from __future__ import annotations

import numbers
from typing import Any


def checks_in_a_row(checks: Any) -> int:
    """The number of checks.  Raises TypeError or ValueError unless it is a whole number of at least 1."""
    return a_count("checks", checks, 1)


def a_number(name: str, value: Any, low: float, high: float) -> float:
    """The number.  Raises TypeError or ValueError unless it is one from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}={value!r} is not a number")
    if not low <= float(value) <= high:
        raise ValueError(f"{name}={value!r} is out of range; give a number of {low:g} or more, {high:g} at most")
    return float(value)


def a_count(name: str, value: Any, low: int = 0) -> int:
    """The number.  Raises TypeError or ValueError unless it is a whole one of `low` or more."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name}={value!r} is not a whole number")
    if value < low:
        raise ValueError(f"{name}={value!r} is out of range; give a whole number of {low} or more")
    return int(value)


def a_share(name: str, value: Any) -> float:
    """The share.  Raises TypeError or ValueError unless it is a number from 0 to 1."""
    return a_number(name, value, 0, 1)
