"""Filters that a user names: numbers, of every layer or by the layers' names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from featwatch.options import whole
from featwatch.phrases import closest

# Numbers of filters, by layer or of all; None = not said.
Filters = Mapping[str, tuple[int, ...]] | tuple[int, ...] | None


def filters_by_layer(filters: Any) -> Filters:
    """The filters that are meant.  Raises TypeError or ValueError."""
    if filters is None:
        return None
    if isinstance(filters, Mapping):
        if not filters:
            raise ValueError("filters={} names no layer; leave it out for the most active filters of every layer")
        return {str(layer): numbers(f"filters[{layer!r}]", each, "[0, 3]") for layer, each in filters.items()}
    return numbers("filters", filters, "[0, 3], or a dict of them by layer")


def numbers(argument: str, value: Any, example: str) -> tuple[int, ...]:
    """Whole numbers of 0 or more, each once, one at least.  Raises TypeError or ValueError."""
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        raise TypeError(f"{argument}={value!r}: give a list of numbers, as in {example}")
    found = tuple(dict.fromkeys(whole(argument, number, 0) for number in value))
    if not found:
        raise ValueError(f"{argument}={value!r} names none; give a list of numbers, as in {example}, or leave it out")
    return found


def check_layers(filters: Filters, layers: Iterable[str]) -> None:
    """Raises ValueError where a layer is named that is none of these."""
    for name in filters if isinstance(filters, Mapping) else ():
        if name not in layers:
            raise ValueError(f"filters: {name!r} is none of this recorder's layers{closest(name, layers)}")
