"""Nested inputs: dicts and tuples of arrays, taken apart and put together again.

The same structures that `keras.tree` knows, without importing Keras for them; a dict keeps the order of
its keys.  A list is a leaf: lists of numbers are arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def is_nested(structure: Any) -> bool:
    """Whether this is a container of leaves, not a leaf."""
    return isinstance(structure, (Mapping, tuple))


def leaves(structure: Any, path: str = "") -> list[tuple[str, Any]]:
    """Every leaf with its path below `path`, as a user would type it: `x['a'][0]`."""
    if isinstance(structure, Mapping):
        return [leaf for key, part in structure.items() for leaf in leaves(part, f"{path}[{key!r}]")]
    if isinstance(structure, tuple):
        return [leaf for index, part in enumerate(structure) for leaf in leaves(part, f"{path}[{index}]")]
    return [(path, structure)]


def mapped(function: Callable[[Any], Any], structure: Any) -> Any:
    """The same structure with `function(leaf)` in the place of every leaf."""
    return filled(structure, [function(leaf) for _, leaf in leaves(structure)])


def filled(structure: Any, values: list[Any]) -> Any:
    """The same structure with the values in the places of its leaves, in the order of `leaves`."""
    return _filled(structure, iter(values).__next__)


def described(structure: Any, describe: Callable[[Any], str]) -> str:
    """The structure in words, e.g. `{'a': …, 'b': (…, …)}`."""
    if isinstance(structure, Mapping):
        return "{" + ", ".join(f"{key!r}: {described(part, describe)}" for key, part in structure.items()) + "}"
    if isinstance(structure, tuple):
        return "(" + ", ".join(described(part, describe) for part in structure) + ")"
    return describe(structure)


def _filled(structure: Any, next_value: Callable[[], Any]) -> Any:
    if isinstance(structure, Mapping):
        return {key: _filled(part, next_value) for key, part in structure.items()}
    if isinstance(structure, tuple) and hasattr(structure, "_fields"):
        return type(structure)(*(_filled(part, next_value) for part in structure))
    if isinstance(structure, tuple):
        return tuple(_filled(part, next_value) for part in structure)
    return next_value()
