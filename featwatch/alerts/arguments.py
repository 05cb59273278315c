"""The checks of what a detector is given."""

from __future__ import annotations

import numbers
from typing import Any


def checks_in_a_row(checks: Any) -> int:
    """The number of checks.  Raises TypeError or ValueError unless it is a whole number of at least 1."""
    if isinstance(checks, bool) or not isinstance(checks, numbers.Integral):
        raise TypeError(f"checks={checks!r} is not a whole number")
    if checks < 1:
        raise ValueError(f"checks={checks!r} is out of range; give a whole number of 1 or more")
    return int(checks)


def a_share(name: str, value: Any) -> float:
    """The share.  Raises TypeError or ValueError unless it is a number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}={value!r} is not a number")
    share = float(value)
    if not 0 <= share <= 1:
        raise ValueError(f"{name}={value!r} is out of range; give a number of 0 or more, 1 at most")
    return share
