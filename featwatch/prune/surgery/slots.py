"""What an optimiser remembers for each variable: sliced as the variable is, or refused before anything is touched."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from featwatch.prune.surgery import keras_private
from featwatch.prune.surgery.changes import Changes
from featwatch.prune.surgery.resizing import Places
from featwatch.prune.surgery.unsupported import Unsupported

Stays = dict[int, np.ndarray]              # axis -> places that stay


def slots(optimizer: Any, places: Places) -> list[tuple[Any, Stays]]:
    """The variables of an optimiser and of those inside it that get smaller, and what of them stays.

    Arguments:
        places: of a trained variable, axis -> places that stay.

    Raises:
        Unsupported: it remembers something that cannot be told to belong to one variable, element for element.
    """
    return [slot for part in keras_private.parts_of(optimizer) for slot in _slots(part, places)]


def _slots(optimizer: Any, places: Places) -> list[tuple[Any, Stays]]:
    trained = keras_private.trained_by(optimizer)
    smaller = [variable for variable in trained if places(variable)]
    if not smaller:
        return []
    found: dict[int, tuple[Any, Stays]] = {}
    known = {id(variable) for variable in trained}
    for name, held in vars(optimizer).items():
        if name == "_trainable_variables" or not isinstance(held, (list, tuple)) or len(held) != len(trained):
            continue
        for variable, slot in zip(trained, held, strict=True):
            if hasattr(slot, "path") and id(slot) not in known:
                stays = _along(optimizer, name, slot, variable, places(variable))
                if stays is not None:
                    found[id(slot)] = slot, stays
    for variable in keras_private.own_variables(optimizer):
        if id(variable) not in found and id(variable) not in known and variable.ndim:
            raise Unsupported(
                f"the optimiser {optimizer.name!r} ({type(optimizer).__name__}) remembers {variable.path!r}, of shape "
                f"{tuple(variable.shape)}, and not for one variable: what of it would go is not known; use one of Keras' own"
            )
    return [each for each in found.values() if each[1]]


def _along(optimizer: Any, name: str, slot: Any, variable: Any, stays: Stays) -> Stays | None:
    """What of a slot stays; None where it is none of this variable."""
    shape, of = tuple(slot.shape), tuple(variable.shape)
    axes = len(of)
    ours = type(optimizer).__module__.startswith("keras.")
    if not shape:
        return {}
    if ours and name == "_r" and axes > 1 and shape == of[:-1]:                 # Adafactor: means over the last axis
        return {axis: kept for axis, kept in stays.items() if axis < axes - 1}
    if ours and name == "_c" and axes > 1 and shape == of[:-2] + of[-1:]:       # and over the one before it
        return {min(axis, axes - 2): kept for axis, kept in stays.items() if axis != axes - 2}
    # Of an optimiser that is not Keras' own, only what `add_variable_from_reference` made is element for element.
    if shape == of and (ours or slot.name.startswith(variable.path.replace("/", "_"))):
        return dict(stays)
    return None


def keys(optimizer: Any, variables: Iterable[Any]) -> list[list[Any]]:
    """Under what each part of an optimiser knows these variables now."""
    known = list(variables)
    return [[keras_private.key_of(part, variable) for variable in known] for part in keras_private.parts_of(optimizer)]


def rename(changes: Changes, optimizer: Any, old: list[list[Any]], new: list[list[Any]]) -> None:
    """Tell an optimiser, and those inside it, of variables by their new keys; both as `keys` gives them."""
    for part, before, now in zip(keras_private.parts_of(optimizer), old, new, strict=True):
        names = dict(zip(before, now, strict=True))
        for name, held in list(vars(part).items()):
            if isinstance(held, dict) and any(key in names for key in held):
                changes.attribute(part, name, {names.get(key, key): value for key, value in held.items()})
            elif isinstance(held, (set, frozenset)) and any(key in names for key in held):
                changes.attribute(part, name, type(held)(names.get(key, key) for key in held))
