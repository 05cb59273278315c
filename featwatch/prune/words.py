"""Layers as they are named in a sentence."""

from __future__ import annotations

from collections.abc import Sequence


def several(names: Sequence[str], most: int = 4) -> str:
    """The names, or the first ones and how many more there are.

    >>> several(["a"]), several(["a", "b", "c"]), several(["a", "b", "c", "d", "e"])
    ('a', 'a, b and c', 'a, b, c and 2 more layers')
    """
    if len(names) <= most:
        return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
    return ", ".join(names[: most - 1]) + f" and {len(names) - most + 1} more layers"
