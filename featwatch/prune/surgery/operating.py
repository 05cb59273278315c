"""Pruning a model in place, and undoing it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from featwatch.prune.anatomy import Anatomy
from featwatch.prune.surgery import keras_private, layer_options, slots, symbolic
from featwatch.prune.surgery.changes import Changes
from featwatch.prune.surgery.resizing import Keeping, resize


class Surgery:
    """What was done to a model, and how to undo it."""

    def __init__(self, changes: Changes, model: Any) -> None:
        self._changes, self._model = changes, model
        self.seconds = 0.0              # that it took, without tracing the training function again
        self.notes: tuple[str, ...] = ()    # what else there is to say

    def undo(self) -> None:
        """Put back shapes, weights and the optimiser's state as they were right before; what was trained since is lost."""
        self._changes.take_back()


def operate(
    anatomy: Anatomy,
    groups: Iterable[int],
    *,
    values: Sequence[tuple[Any, np.ndarray]] = (),
    callbacks: Sequence[Any] = (),
    models: Sequence[Any] = (),
) -> Surgery:
    """Remove these groups from the model that the anatomy is of, its compiled optimiser's state included.

    Arguments:
        values: variables of the model and what to assign to them first: what compensates for what goes.

    Raises:
        Unsupported: this Keras, or something about this model or optimiser, is not known to work; the model is untouched.
    """
    started = time.perf_counter()
    keras_private.check_keras()
    model = anatomy.model
    keeping = Keeping(anatomy, groups)
    optimizer = getattr(model, "optimizer", None)
    variables = keeping.variables()
    todo = [(variable, keeping.places(variable)) for variable in variables]
    todo += slots.slots(optimizer, keeping.places) if optimizer is not None else []
    layer_options.check_options([each for each in anatomy.sized if keeping.count(each.ids) < len(each.ids)])

    changes = Changes()
    try:
        changes.restoring(lambda: keras_private.drop_functions(model))
        _remember(changes, model, optimizer, {id(variable) for variable, _ in todo})
        for variable, value in values:
            before = variable.numpy()
            changes.restoring(lambda variable=variable, before=before: variable.assign(before))    # type: ignore[misc]
            variable.assign(value)
        old = slots.keys(optimizer, variables) if optimizer is not None else {}
        resize(changes, todo)
        if optimizer is not None:
            new = slots.keys(optimizer, variables)
            slots.rename(changes, optimizer, {part: dict(zip(old[part], new[part], strict=True)) for part in old})
        layer_options.set_options(changes, keeping)
        layer_options.follow(changes, symbolic.reshape(changes, anatomy.graph, keeping), keeping)
        keras_private.drop_functions(model)
    except BaseException:
        changes.take_back()
        raise
    surgery = Surgery(changes, model)
    surgery.seconds = time.perf_counter() - started
    return surgery


def _remember(changes: Changes, model: Any, optimizer: Any, resized: set[int]) -> None:
    """Have the numbers put back, too, of what keeps its shape."""
    kept = [*model.variables, *(optimizer.variables if optimizer is not None else ())]
    for variable in {id(each): each for each in kept if id(each) not in resized}.values():
        value = variable.numpy()
        changes.restoring(lambda variable=variable, value=value: variable.assign(value))    # type: ignore[misc]
