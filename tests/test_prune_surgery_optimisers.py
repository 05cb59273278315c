"""After surgery every optimiser goes on exactly as it would in a net that was built small; undone, as if there had been none.

Two steps before it and two after: what is averaged, accumulated or scaled only every so many steps is so at the third.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from featwatch.prune.anatomy import Anatomy
from featwatch.prune.surgery import Unsupported, operate
from tests.surgery_cases import REMOVED, by_hand, carried_by_hand, furthest, net, samples

kinds = keras.optimizers
OPTIMISERS: dict[str, Callable[[], Any]] = {
    "sgd": lambda: kinds.SGD(0.1),
    "nesterov": lambda: kinds.SGD(0.1, momentum=0.9, nesterov=True, clipnorm=0.5),
    "rmsprop_centred": lambda: kinds.RMSprop(0.01, momentum=0.5, centered=True),
    "adagrad": lambda: kinds.Adagrad(0.1),
    "adadelta": lambda: kinds.Adadelta(1.0),
    "amsgrad": lambda: kinds.Adam(0.01, amsgrad=True, global_clipnorm=1.0),
    "adam_cosine": lambda: kinds.Adam(kinds.schedules.CosineDecay(0.02, 10), clipvalue=0.1),
    "adam_averaged": lambda: kinds.Adam(0.01, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=3),
    "adam_accumulated": lambda: kinds.Adam(0.01, gradient_accumulation_steps=3),
    "adamw": lambda: kinds.AdamW(0.01, weight_decay=0.1),
    "adamax": lambda: kinds.Adamax(0.01),
    "nadam": lambda: kinds.Nadam(0.01),
    "ftrl": lambda: kinds.Ftrl(0.1, l1_regularization_strength=0.01, l2_regularization_strength=0.01),
    "lion": lambda: kinds.Lion(0.01, weight_decay=0.01),
    "lamb": lambda: kinds.Lamb(0.01),
    "adafactor": lambda: kinds.Adafactor(0.05),
    "muon": lambda: kinds.Muon(0.01, rms_rate=None),
    "scaled": lambda: kinds.LossScaleOptimizer(kinds.Adam(0.01), initial_scale=8.0, dynamic_growth_steps=3),
}
if hasattr(kinds, "ScheduleFreeAdamW"):
    OPTIMISERS["schedule_free"] = lambda: kinds.ScheduleFreeAdamW(0.01, warmup_steps=3)


def prune(model: Any) -> Any:
    anatomy = Anatomy(model)
    return operate(anatomy, anatomy.groups(REMOVED))


def trained(model: Any, start: int, steps: int) -> Any:
    x, y = samples(96)
    for step in range(start, start + steps):
        model.train_on_batch(x[step * 8 : step * 8 + 8], y[step * 8 : step * 8 + 8])
    return model


def compiled(optimizer: Any) -> Any:
    keras.utils.set_random_seed(3)
    model = net()
    model.compile(optimizer, "sparse_categorical_crossentropy", run_eagerly=True)
    return model


def state(model: Any) -> list[Any]:
    """All that training changes."""
    apart = [model.optimizer._u_product] if hasattr(model.optimizer, "_u_product") else []      # Nadam does not count it
    return [*model.variables, *model.optimizer.variables, *apart]


def numbers(model: Any) -> list[Any]:
    return [each.numpy() for each in state(model)]


@pytest.mark.parametrize("name", OPTIMISERS)
def test_it_goes_on_as_a_net_built_small_and_undone_as_if_nothing_had_been(name: str) -> None:
    model = trained(compiled(OPTIMISERS[name]()), 0, 2)
    small = carried_by_hand(model, run_eagerly=True)
    before = numbers(model)
    whole = numbers(trained(model, 2, 2))
    for variable, value in zip(state(model), before, strict=True):
        variable.assign(value)
    surgery = prune(model)
    assert furthest(numbers(model), numbers(small)) == 0.0
    assert furthest(numbers(trained(model, 2, 2)), numbers(trained(small, 2, 2))) <= 1e-12
    surgery.undo()
    assert furthest(numbers(model), before) == 0.0
    assert furthest(numbers(trained(model, 2, 2)), whole) == 0.0


@pytest.mark.parametrize("steps", [0, 2], ids=["before_the_first_step", "later"])
def test_what_is_excluded_from_weight_decay_stays_excluded(steps: int) -> None:
    def excluding(model: Any) -> Any:
        optimizer = kinds.AdamW(0.01, weight_decay=0.5)
        optimizer.exclude_from_weight_decay(var_list=[model.get_layer("first").kernel], var_names=["bias"])
        return optimizer

    keras.utils.set_random_seed(3)
    model = net()
    model.compile(excluding(model), "sparse_categorical_crossentropy", run_eagerly=True)
    trained(model, 0, steps)
    small = carried_by_hand(model, run_eagerly=True)
    small.optimizer._exclude_from_weight_decay = {small.optimizer._var_key(small.get_layer("first").kernel)}
    small.optimizer._exclude_from_weight_decay_pattern = model.optimizer._exclude_from_weight_decay_pattern
    prune(model)
    trained(model, steps, 1)
    trained(small, steps, 1)
    assert furthest(model.get_weights(), small.get_weights()) <= 1e-12


@pytest.mark.skipif(not hasattr(kinds, "MultiOptimizer"), reason="Keras 3.15 is the first that has it")
def test_several_optimisers_in_one() -> None:
    def of_their_own() -> Any:
        adam, sgd = kinds.Adam(0.01), kinds.SGD(0.1, momentum=0.9)
        return kinds.MultiOptimizer(lambda variable: adam if variable.ndim > 1 else sgd)

    model = trained(compiled(of_their_own()), 0, 2)
    small = net(3, 5, 4)
    small.set_weights([by_hand(value) for value in model.get_weights()])
    small.compile(of_their_own(), "sparse_categorical_crossentropy", run_eagerly=True)
    small.optimizer.build(small.trainable_variables)
    for old, new in zip(model.optimizer.variables, small.optimizer.variables, strict=True):
        new.assign(by_hand(old.numpy()))
    prune(model)
    trained(model, 2, 2)
    trained(small, 2, 2)
    assert furthest(model.get_weights(), small.get_weights()) <= 1e-12


class Remembering(kinds.SGD):
    """An optimiser of a user's own, with something to remember of `shape` for each variable."""

    def __init__(self, shape: Callable[[Any], tuple[int, ...]], referring: bool = False) -> None:
        super().__init__(0.1)
        self.shape, self.referring = shape, referring

    def build(self, variables: Any) -> None:
        super().build(variables)
        if self.referring:
            self.memory = [self.add_variable_from_reference(each, name="memory") for each in variables]
        else:
            self.memory = [self.add_variable(self.shape(each), name="memory") for each in variables]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        memory = self.memory[self._get_variable_index(variable)]
        if self.referring:
            self.assign_add(memory, gradient)
        super().update_step(gradient, variable, learning_rate)


@pytest.mark.parametrize("shape", [lambda each: (3,), lambda each: tuple(each.shape)], ids=["another", "the_same"])
def test_what_an_optimiser_of_the_users_own_remembers_is_not_guessed(shape: Callable[[Any], tuple[int, ...]]) -> None:
    model = trained(compiled(Remembering(shape)), 0, 2)
    before = [each.numpy() for each in (*model.variables, *model.optimizer.variables)]
    functions = model.train_function
    with pytest.raises(Unsupported, match=r"Remembering.*memory"):
        prune(model)
    assert furthest([each.numpy() for each in (*model.variables, *model.optimizer.variables)], before) == 0.0
    assert model.train_function is functions


def test_what_it_remembers_by_reference_is_carried() -> None:
    model = trained(compiled(Remembering(lambda each: (), referring=True)), 0, 2)
    before = [each.numpy() for each in model.optimizer.variables]
    prune(model)
    assert furthest([each.numpy() for each in model.optimizer.variables], [by_hand(value) for value in before]) == 0.0
    trained(model, 2, 2)


@pytest.mark.parametrize("compiles", [False, True])
def test_an_optimiser_that_is_not_built_yet(compiles: bool) -> None:
    keras.utils.set_random_seed(3)
    model = net()
    if compiles:
        model.compile("adam", "sparse_categorical_crossentropy", run_eagerly=True)
    prune(model)
    if compiles:
        trained(model, 0, 2)
        assert [tuple(each.shape) for each in model.optimizer._momentums][0] == (2, 2, 3, 3)
    assert np.asarray(model(samples(2)[0])).shape == (2, 4)
