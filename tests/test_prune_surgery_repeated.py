"""Many surgeries in one process: nothing of those before is kept, and variables go by the names that they had."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import keras
import numpy as np
import pytest

from featwatch.prune.anatomy import Anatomy
from featwatch.prune.surgery import operate


def net(eagerly: bool) -> Any:
    layers = keras.layers
    model = keras.Sequential([keras.Input((3,)), layers.Dense(20, name="hidden"), layers.Dense(2, name="scores")])
    model.compile("adam", "mse", run_eagerly=eagerly)
    return model


def without_one(model: Any) -> Any:
    anatomy = Anatomy(model)
    return operate(anatomy, anatomy.groups({"hidden": [0]}))


def held(model: Any) -> list[weakref.ref[Any]]:
    """What is there now of what surgery replaces: the values of variables and slots, and the compiled function."""
    values = [variable.value for variable in (*model.layers[0].variables, *model.optimizer.variables) if variable.ndim]
    return [weakref.ref(each) for each in [*values, model.train_function] if each is not None]


@pytest.mark.parametrize(("eagerly", "times"), [(True, 15), (False, 1)])
def test_what_was_before_is_let_go(eagerly: bool, times: int) -> None:
    x, y = np.ones((4, 3), np.float32), np.ones((4, 2), np.float32)
    model = net(eagerly)
    model.train_on_batch(x, y)
    before, counts = [], []
    for number in range(times):
        before += held(model)
        surgery = without_one(model)
        before += [weakref.ref(surgery), weakref.ref(surgery._changes)]
        del surgery
        model.train_on_batch(x, y)
        if number in (4, times - 1):            # the fifth: once all is imported and cached
            gc.collect()
            counts.append(len(gc.get_objects()))
    left = {id(each()) for each in before if each() is not None}
    # What keeps its shape keeps its value; there is nothing else.
    assert left <= {id(variable.value) for variable in (*model.variables, *model.optimizer.variables)}
    assert len(before) > 8 * times and len(left) < 8
    assert counts[-1] - counts[0] < 10 * times
    assert model.get_layer("hidden").units == 20 - times


def test_variables_keep_their_names() -> None:
    model = net(True)
    model.train_on_batch(np.ones((4, 3), np.float32), np.ones((4, 2), np.float32))
    every = [*model.variables, *model.optimizer.variables]
    before = [(variable.path, variable.value.name, variable.value.trainable, variable.value.device) for variable in every]
    surgery = without_one(model)
    assert before == [(variable.path, variable.value.name, variable.value.trainable, variable.value.device) for variable in every]
    surgery.undo()
    assert before == [(variable.path, variable.value.name, variable.value.trainable, variable.value.device) for variable in every]
