"""What Keras tells callbacks of an epoch, in numbers."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any


def numbers_of(logs: Mapping[str, Any] | None) -> dict[str, float]:
    """The metrics that are numbers, by name: loss, accuracy, val_loss, …

    >>> numbers_of({"loss": 0.5, "other": None})
    {'loss': 0.5}
    """
    numbers = {}
    for name, value in (logs or {}).items():
        with contextlib.suppress(TypeError, ValueError):
            numbers[str(name)] = float(value)
    return numbers
