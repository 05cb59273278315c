"""Pruning a model in place, and undoing it."""

from __future__ import annotations

import gc
import itertools
import time
import weakref
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from featwatch.prune.anatomy import Anatomy
from featwatch.prune.surgery import backups, best_weights, keras_private, layer_options, refusing, slots, symbolic
from featwatch.prune.surgery.changes import Changes
from featwatch.prune.surgery.checking import Check
from featwatch.prune.surgery.holders import Holders, holders
from featwatch.prune.surgery.resizing import Keeping, Places, resize
from featwatch.prune.surgery.sharing import along
from featwatch.prune.surgery.unsupported import Unsupported

_NUMBERS = itertools.count()
_DONE: weakref.WeakKeyDictionary[Any, list[int]] = weakref.WeakKeyDictionary()      # model -> surgeries that hold, by number


class Surgery:
    """What was done to a model, and how to undo it.  It holds a copy of the model and the optimiser as they were.

    `seconds`: what it took, without tracing the training function again.  `removed`: layer -> units, all that went.
    `notes`: what else there is to say.
    """

    def __init__(self, model: Any, changes: Changes, removed: dict[str, list[int]], notes: Sequence[str]) -> None:
        self.removed, self.notes, self.seconds = removed, tuple(notes), 0.0
        self._model, self._changes, self._number = weakref.ref(model), changes, next(_NUMBERS)
        _DONE.setdefault(model, []).append(self._number)

    def undo(self) -> None:
        """Put back shapes, weights and the optimiser's state as they were right before; what was trained since is lost.

        Raises:
            RuntimeError: it is undone already, or the model was made smaller once more since.
        """
        model = self._model()
        done = _DONE.get(model, []) if model is not None else []
        if self._number not in done:
            raise RuntimeError("this surgery is undone already")
        if done[-1] != self._number:
            raise RuntimeError("the model was made smaller once more since: undo that first")
        self._changes.take_back()
        done.pop()


def operate(
    anatomy: Anatomy,
    groups: Iterable[int],
    *,
    values: Sequence[tuple[Any, np.ndarray]] = (),
    callbacks: Sequence[Any] = (),
    models: Sequence[Any] = (),
) -> Surgery:
    """Remove these groups from the model that the anatomy is of: the same model, layers, variables and optimisers, smaller.

    In the middle of `fit`, too: training goes on with the new sizes, and its functions are traced once more.  The best weights
    of an `EarlyStopping` are sliced, and so are other models that share layers, as far as nothing of their own goes.  What the
    model gives is compared, tensor by tensor, with what it gave with the units masked.  Beside the backups of a
    `BackupAndRestore` it is written down what went: see `resumed`.

    What cannot be found stays what it was: copies of weights (`model.get_weights()`) that a callback of the user's own holds,
    files of weights alone that were saved before, functions that were compiled with `tf.function` outside of a model.

    Arguments:
        values: variables of the model and what they are to be before anything is cut, arrays of their shapes.
        callbacks: further ones that hold `best_weights`; of Keras' own `EarlyStopping` all are found.
        models: further ones that share layers and that may lose units of layers of their own.

    Raises:
        ValueError: the groups, or the values, are none for this model.
        Unsupported: this Keras, or something about this model or optimiser, is not known to work.
        Mismatch: the smaller model does not give what the masked one does.
        In all cases, and when interrupted, the model is as it was.
    """
    started = time.perf_counter()
    keras_private.check_keras()
    keeping, told = Keeping(anatomy, groups), {id(variable): (variable, value) for variable, value in values}
    refusing.check(keeping, told)
    found, keepings = _all(keeping, callbacks, models)
    places = _merged(keepings)
    smaller = list({id(variable): (variable, places(variable)) for each in keepings for variable in each.variables()}.values())
    variables = [variable for variable, _ in smaller]
    for optimizer in found.optimizers:
        smaller += slots.slots(optimizer, places)
    attributes = [attribute for each in keepings for attribute in layer_options.attributes(each)]
    checks = [Check(each, told) for each in keepings]
    removed, notes = anatomy.going(keeping.groups), [check.said for check in checks if check.said]

    changes = Changes()
    try:
        changes.restoring(lambda: keras_private.drop_all_functions(found.models))
        _remember(changes, [each.anatomy.model for each in keepings], found.optimizers, {id(variable) for variable, _ in smaller})
        for variable, value in told.values():
            if not places(variable):            # what would be put back is remembered above
                variable.assign(value)
        notes += best_weights.follow(changes, found.callbacks, anatomy.model, places)
        before = [slots.keys(optimizer, variables) for optimizer in found.optimizers]
        resize(changes, smaller, told)
        for optimizer, old in zip(found.optimizers, before, strict=True):
            slots.rename(changes, optimizer, old, slots.keys(optimizer, variables))
        for owner, name, value in attributes:
            changes.attribute(owner, name, value)
        nodes = [node for each in keepings for node in symbolic.reshape(changes, each)]
        layer_options.follow(changes, nodes)
        keras_private.drop_all_functions(found.models)
        for check in checks:
            check.passed()
        notes += backups.follow(found.callbacks, keepings)
    except BaseException:
        changes.take_back()
        raise
    surgery = Surgery(anatomy.model, changes, removed, notes)
    surgery.seconds = time.perf_counter() - started
    return surgery


def _all(keeping: Keeping, callbacks: Sequence[Any], models: Sequence[Any]) -> tuple[Holders, list[Keeping]]:
    """Who holds something that gets smaller, and what stays of each model."""
    try:
        return _found(keeping, callbacks, models)
    except Unsupported:
        pass
    gc.collect()            # it may be a model that nobody has any more, but for the error while that is at hand
    return _found(keeping, callbacks, models)


def _found(keeping: Keeping, callbacks: Sequence[Any], models: Sequence[Any]) -> tuple[Holders, list[Keeping]]:
    found = holders(keeping.variables(), keeping.anatomy.model, models, callbacks)
    others = along(keeping, found.models, models)
    own = [variable for other in others for variable in other.variables()]
    return (holders(own, keeping.anatomy.model, found.models[1:], found.callbacks) if own else found), [keeping, *others]


def _merged(keepings: Sequence[Keeping]) -> Places:
    def places(variable: Any) -> dict[int, np.ndarray]:
        return next((each.places(variable) for each in keepings if each.places(variable)), {})

    return places


def _remember(changes: Changes, models: Sequence[Any], optimizers: Sequence[Any], resized: set[int]) -> None:
    """Have the numbers put back, too, of what keeps its shape."""
    held = [variable for model in models for variable in model.variables]
    held += [variable for optimizer in optimizers for variable in keras_private.state_of(optimizer)]
    for variable in {id(each): each for each in held if id(each) not in resized}.values():
        value = variable.numpy()
        changes.restoring(lambda variable=variable, value=value: variable.assign(value))    # type: ignore[misc]
