"""The variables of a model, each with the rows of the units that stay."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from featwatch.prune.anatomy import Anatomy
from featwatch.prune.surgery.changes import Changes

Places = Callable[[Any], dict[int, np.ndarray]]         # of a variable: axis -> the places that stay, where some go


class Keeping:
    """What of every variable stays when these groups go."""

    def __init__(self, anatomy: Anatomy, groups: Iterable[int]) -> None:
        self.anatomy, self.groups = anatomy, frozenset(int(group) for group in groups)
        self._known: dict[int, tuple[np.ndarray, np.ndarray]] = {}      # by the array's identity: it, and what stays of it
        self._places: dict[int, dict[int, np.ndarray]] = {}
        for identity, sliced in anatomy.sliced.items():
            kept = {axis: self.kept(ids) for axis, ids in sliced.axes.items()}
            fewer = {axis: places for axis, places in kept.items() if len(places) < len(sliced.axes[axis])}
            if fewer:
                self._places[identity] = fewer

    def places(self, variable: Any) -> dict[int, np.ndarray]:
        """Axis -> the places along it that stay, of the axes along which a variable loses some."""
        return self._places.get(id(variable), {})

    def kept(self, ids: np.ndarray) -> np.ndarray:
        """The places among these units of those that stay."""
        found = self._known.get(id(ids))
        if found is None:
            found = self._known[id(ids)] = ids, self.anatomy.kept(ids, self.groups)
        return found[1]

    def count(self, ids: np.ndarray) -> int:
        """How many of these units stay."""
        return len(self.kept(ids))

    def variables(self) -> list[Any]:
        """The model's variables that get smaller."""
        return [self.anatomy.sliced[identity].variable for identity in self._places]


def taken(value: np.ndarray, places: dict[int, np.ndarray]) -> np.ndarray:
    """An array with these places along its axes, and no others."""
    for axis, kept in places.items():
        value = np.take(value, kept, axis)
    return value


def resize(
    changes: Changes, smaller: Sequence[tuple[Any, dict[int, np.ndarray]]], values: Mapping[int, tuple[Any, np.ndarray]]
) -> None:
    """Give each variable the rows that stay, of its value or of the one that is given for it."""
    for variable, places in smaller:
        value = tf.convert_to_tensor(values[id(variable)][1] if id(variable) in values else variable.value, variable.dtype)
        changes.variable(variable, _shorter(value, dict(sorted(places.items()))))


def _shorter(value: tf.Tensor, places: dict[int, np.ndarray]) -> Any:
    """The same where it is, but for the processor: there NumPy picks columns several times faster than TensorFlow."""
    if "CPU" in value.device:
        return taken(value.numpy(), places)
    for axis, kept in places.items():
        value = tf.gather(value, kept, axis=axis)
    return value
