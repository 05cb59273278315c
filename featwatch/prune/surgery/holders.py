"""What else in this process holds a model's variables, and would go on with what they were before.

A function that TensorFlow has compiled keeps the variables that it was compiled with.  A second model that shares layers,
an optimiser, an `EarlyStopping` with its best weights, backups: each has to follow, so each is looked for.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from featwatch.prune.surgery import keras_private

_CALLBACKS = (keras.callbacks.EarlyStopping, keras.callbacks.BackupAndRestore)
_KINDS: tuple[tuple[type, ...], ...] = ((keras.Model,), (keras.optimizers.Optimizer,), _CALLBACKS)


@dataclass(frozen=True)
class Holders:
    """Who holds some of the variables."""

    models: list[Any] = field(default_factory=list)
    optimizers: list[Any] = field(default_factory=list)
    callbacks: list[Any] = field(default_factory=list)


def holders(variables: Iterable[Any], model: Any, models: Sequence[Any] = (), callbacks: Sequence[Any] = ()) -> Holders:
    """Models, optimisers and callbacks that hold some of these variables; those that were given come first.

    What is hidden from Python's garbage collection (`gc.freeze`) is not found.

    Arguments:
        model: the one that is operated on.
    """
    wanted = {id(variable) for variable in variables}
    found = Holders([model, *models], [model.optimizer] if getattr(model, "optimizer", None) is not None else [], [*callbacks])
    alive = _alive()
    for each in alive[0]:
        if _new(each, found.models) and any(id(variable) in wanted for variable in _variables(each)):
            found.models.append(each)
    for each in alive[1]:
        if _new(each, found.optimizers) and any(id(variable) in wanted for variable in keras_private.trained_by(each)):
            found.optimizers.append(each)
    inner = {id(part) for one in found.optimizers for part in list(keras_private.parts_of(one))[1:]}
    found.optimizers[:] = [each for each in found.optimizers if id(each) not in inner]
    for each in alive[2]:
        if _new(each, found.callbacks) and any(each.model is one for one in found.models):
            found.callbacks.append(each)
    return found


def _alive() -> tuple[list[Any], list[Any], list[Any]]:
    """All models, optimisers and callbacks of this kind in the process."""
    found: tuple[list[Any], list[Any], list[Any]] = ([], [], [])
    objects = gc.get_objects()          # a million and more: so by the class itself, which runs nobody's code
    place = {kind: number for kind in set(map(type, objects)) for number, of in enumerate(_KINDS) if issubclass(kind, of)}
    for each in [each for each in objects if type(each) in place]:
        found[place[type(each)]].append(each)
    return found


def _new(one: Any, known: Sequence[Any]) -> bool:
    return all(one is not each for each in known)


def _variables(model: Any) -> list[Any]:
    try:
        return list(model.variables)
    except Exception:                   # half made, or being taken apart
        return []
