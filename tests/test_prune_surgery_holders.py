"""Who holds a model's variables is found, and nobody else; models that share layers follow, or it is refused."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import keras
import numpy as np
import pytest

from featwatch.prune.anatomy import Anatomy
from featwatch.prune.surgery import Unsupported, operate
from featwatch.prune.surgery.holders import holders
from tests.prune_nets import vector_net

layers = keras.layers


def plain(middle: Any = lambda x: x) -> Any:
    """Five numbers → a dense layer of 8, "before" → a dense layer of 3, "after"."""
    return vector_net(middle)


def around(model: Any) -> Any:
    """A model with a layer of its own that calls another."""
    inputs = keras.Input((5,))
    return keras.Model(inputs, layers.Dense(2)(model(inputs)))


def prune(model: Any, removed: Any, **given: Any) -> Any:
    anatomy = Anatomy(model)
    return operate(anatomy, anatomy.groups(removed), **given)


class HalfMade(keras.Model):
    """As one that is being taken apart."""

    @property
    def variables(self) -> Any:
        raise AttributeError("not yet")


def test_all_who_hold_a_variable_are_found_once_and_nobody_else() -> None:
    model, unrelated, half = plain(), plain(), HalfMade()
    outer = around(model)
    stoppings = []
    for each in (model, unrelated, outer):
        each.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(momentum=0.9)), "mse")
        each.optimizer.build(each.trainable_variables)
        stoppings.append(keras.callbacks.EarlyStopping())
        stoppings[-1].set_model(each)
    found = holders(model.get_layer("before").weights, model)
    assert [id(each) for each in found.models] == [id(model), id(outer)]
    assert sorted(map(id, found.optimizers)) == sorted([id(model.optimizer), id(outer.optimizer)])
    assert sorted(map(id, found.callbacks)) == sorted([id(stoppings[0]), id(stoppings[2])])
    del half


def test_the_best_weights_of_a_model_around_it_follow() -> None:
    model = plain()
    outer = around(model)
    stopping = keras.callbacks.EarlyStopping()
    stopping.set_model(outer)
    best = stopping.best_weights = [value + 1 for value in outer.get_weights()]
    later = keras.callbacks.EarlyStopping()                     # has none so far
    later.set_model(model)
    surgery = prune(model, {"before": [0, 3]})
    assert surgery.notes == ()
    wanted = [np.delete(best[0], [0, 3], 1), np.delete(best[1], [0, 3]), np.delete(best[2], [0, 3], 0), *best[3:]]
    assert all(np.array_equal(one, other) for one, other in zip(stopping.best_weights, wanted, strict=True))
    later.best_weights = model.get_weights()
    surgery.undo()
    assert stopping.best_weights is best and later.best_weights is None


def test_a_model_that_nobody_has_any_more_does_not_hinder() -> None:
    model = plain()
    other = keras.Model(model.inputs, layers.Dense(2)(model.get_layer("before").output))
    with pytest.raises(Unsupported, match="models="):
        prune(model, {"before": [0]})
    gc.disable()                                    # or it may be gone by chance
    try:
        del other
        prune(model, {"before": [0]})
    finally:
        gc.enable()
    assert model.get_layer("before").units == 7


def test_where_units_that_stay_would_go_along_it_is_refused() -> None:
    inputs = keras.Input((5,))
    a, b = layers.Dense(6, name="a")(inputs), layers.Dense(6, name="b")(inputs)
    model = keras.Model(inputs, layers.Dense(2)(layers.Concatenate()([a, b])))
    other = keras.Model(inputs, layers.Add()([a, b]), name="other")
    with pytest.raises(Unsupported, match=r"in the model 'other', which shares '(a|b)', other units go along"):
        prune(model, {"a": [0]}, models=[other])
    assert prune(model, {"a": [0], "b": [0]}).notes == ()
    assert other.output_shape == (None, 5)


def test_where_units_have_to_stay_it_is_refused() -> None:
    model = plain()
    other = keras.Model(model.inputs, layers.Softmax()(model.get_layer("before").output), name="other")
    with pytest.raises(Unsupported, match="'other' shares units of 'before' that have to stay there: "):
        prune(model, {"before": [0]}, models=[other])
    assert model.get_layer("before").units == 8


def test_a_model_that_reads_units_as_its_inputs_follows() -> None:
    model = plain()
    codes = keras.Input((8,))
    decoder = keras.Model(codes, model.get_layer("after")(codes))
    numbers = np.random.default_rng(0).normal(size=(4, 8)).astype("float32")
    numbers[:, 2] = 0
    wanted = np.asarray(decoder(numbers))
    surgery = prune(model, {"before": [2]})
    assert surgery.notes == ()
    again = keras.Model.from_config(decoder.get_config())
    for each in (decoder, again):
        each.set_weights(model.get_layer("after").get_weights())
        assert each.input_shape == (None, 7) and each.layers[0].batch_shape == (None, 7)
        np.testing.assert_allclose(np.asarray(each(np.delete(numbers, 2, 1))), wanted, atol=1e-6)
    surgery.undo()
    assert decoder.input_shape == (None, 8)
    np.testing.assert_array_equal(np.asarray(decoder(numbers)), wanted)


def test_units_of_its_own_that_are_tied_to_its_inputs_go_where_it_is_named() -> None:
    model = plain()
    codes, others = keras.Input((8,)), keras.Input((4,))
    added = layers.Add()([codes, layers.Dense(8, name="own")(others)])
    decoder = keras.Model([codes, others], model.get_layer("after")(added))
    assert prune(model, {"before": [2]}, models=[decoder]).notes == ()
    assert decoder.get_layer("own").units == 7
    assert decoder([np.zeros((2, 7)), np.zeros((2, 4))]).shape == (2, 3)


def test_what_was_compiled_before_holds_no_old_variable() -> None:
    model = plain()
    model.predict(np.zeros((2, 5)), verbose=0)
    value = model.get_layer("before").kernel.value
    old = weakref.ref(value), weakref.ref(value.handle)         # a compiled function holds the second alone
    del value
    prune(model, {"before": [0]})
    gc.collect()
    assert [each() for each in old] == [None, None]
