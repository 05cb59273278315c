"""The variables of a model, each with the rows of the units that stay."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from featwatch.prune.anatomy import Anatomy
from featwatch.prune.surgery.changes import Changes


class Keeping:
    """What of every variable stays when these groups go."""

    def __init__(self, anatomy: Anatomy, groups: Iterable[int]) -> None:
        self.anatomy, self.groups = anatomy, frozenset(int(group) for group in groups)
        self._places: dict[int, dict[int, np.ndarray]] = {}
        for identity, sliced in anatomy.sliced.items():
            kept = {axis: anatomy.kept(ids, self.groups) for axis, ids in sliced.axes.items()}
            fewer = {axis: places for axis, places in kept.items() if len(places) < len(sliced.axes[axis])}
            if fewer:
                self._places[identity] = fewer

    def places(self, variable: Any) -> dict[int, np.ndarray]:
        """Axis -> the places along it that stay, of the axes along which a variable loses some."""
        return self._places.get(id(variable), {})

    def count(self, ids: np.ndarray) -> int:
        """How many of these units stay."""
        return len(self.anatomy.kept(ids, self.groups))

    def variables(self) -> list[Any]:
        """The model's variables that get smaller."""
        return [self.anatomy.sliced[identity].variable for identity in self._places]


def taken(value: np.ndarray, places: dict[int, np.ndarray]) -> np.ndarray:
    """An array with these places along its axes, and no others."""
    for axis, kept in places.items():
        value = np.take(value, kept, axis)
    return value


def resize(changes: Changes, smaller: Sequence[tuple[Any, dict[int, np.ndarray]]]) -> None:
    """Give each variable the rows that stay."""
    for variable, places in smaller:
        changes.variable(variable, taken(variable.numpy(), places))
