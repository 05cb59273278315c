"""What the check of a model made smaller finds, and what it lets pass; values that are told; changes that are taken back."""

from __future__ import annotations

import random
from typing import Any

import keras
import numpy as np
import pytest

from featwatch.prune.anatomy import Anatomy
from featwatch.prune.surgery import Mismatch, keras_private, operate, operating
from featwatch.prune.surgery.changes import Changes
from tests.prune_nets import series_net, vector_net

layers = keras.layers


def prune(model: Any, removed: Any, **given: Any) -> Any:
    anatomy = Anatomy(model)
    return operate(anatomy, anatomy.groups(removed), **given)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_hundredth_is_found_out_and_rounding_is_not(scale: float, monkeypatch: Any) -> None:
    model = vector_net(lambda x: x)
    for layer in model.layers[1:]:
        layer.bias.assign(np.zeros(layer.bias.shape))
    kernel = model.get_layer("after").kernel
    kernel.assign(kernel * scale)
    before, resize = kernel.numpy(), operating.resize
    for error, found in ((1e-2, True), (1e-6, False)):

        def wrong(*given: Any, error: float = error) -> None:
            resize(*given)
            kernel.assign(kernel * (1 + error))

        monkeypatch.setattr(operating, "resize", wrong)
        if found:
            with pytest.raises(Mismatch, match="after"):
                prune(model, {"before": [1, 4]})
        else:
            prune(model, {"before": [1, 4]}).undo()
        assert np.array_equal(kernel.numpy(), before)


def test_what_is_not_a_number_in_both_is_the_same() -> None:
    assert prune(vector_net(keras.ops.log), {"before": [1]}).notes == ()


def test_what_a_layer_reads_of_itself_may_be_told() -> None:
    model = series_net(lambda x: layers.SimpleRNN(4, name="repeated")(x))
    variable = model.get_layer("repeated").cell.recurrent_kernel
    value = np.arange(16, dtype="float32").reshape(4, 4) / 10
    assert prune(model, {"repeated": [1]}, values=[(variable, value)]).notes == ()
    np.testing.assert_array_equal(variable.numpy(), np.delete(np.delete(value, 1, 0), 1, 1))


def test_values_of_another_model_are_refused() -> None:
    model, other = vector_net(lambda x: x), vector_net(lambda x: x)
    with pytest.raises(ValueError, match=r"values: \(3,\) is not what"):
        prune(model, {"before": [1]}, values=[(other.get_layer("after").bias, np.zeros(3))])


def number(name: str) -> int:
    return int(name.rpartition("_")[2]) if "_" in name else 0


def test_layers_made_to_be_asked_draw_nothing_and_count_for_nothing() -> None:
    model = series_net(lambda x: layers.MultiHeadAttention(2, 3, name="attending")(x, x))
    drawing = layers.Lambda(lambda value: value + 0 * np.random.random())
    model = keras.Model(model.inputs, drawing(model.outputs[0]))
    before, drawn = number(layers.Softmax().name), []           # attention has one of these
    for prunes in (False, True):
        keras.utils.set_random_seed(0)
        if prunes:
            prune(model, {"before": [1]})
        drawn.append([random.random(), np.random.random(), float(keras.random.uniform(()))])
    assert drawn[0] == drawn[1]
    assert number(layers.Softmax().name) == before + 1


class Thing:
    """Something with an attribute that is a property."""

    held = 3

    @property
    def size(self) -> int:
        return self.held

    @size.setter
    def size(self, value: int) -> None:
        self.held = value


def test_changes_of_what_was_not_there_and_of_properties_are_taken_back() -> None:
    thing, changes = Thing(), Changes()
    changes.attribute(thing, "size", 2)
    changes.attribute(thing, "new", 1)
    assert thing.held == 2
    changes.take_back()
    assert thing.size == 3 and not hasattr(thing, "new")


def test_what_fails_while_changes_are_taken_back_stops_no_other() -> None:
    changes, done = Changes(), []

    def failing() -> None:
        raise ValueError("the first")

    changes.restoring(lambda: done.append(1))
    changes.restoring(failing)
    changes.restoring(lambda: done.append(2))
    with pytest.raises(ValueError, match="the first"):
        changes.take_back()
    assert done == [2, 1]


def test_a_variable_that_is_half_changed_is_what_it_was(monkeypatch: Any) -> None:
    variable, changes = keras.Variable(np.arange(3.0)), Changes()

    def half(one: Any, value: Any) -> None:
        one._shape = tuple(value.shape)
        raise MemoryError

    monkeypatch.setattr(keras_private, "put", half)
    with pytest.raises(MemoryError):
        changes.variable(variable, np.arange(2.0))
    changes.take_back()
    assert tuple(variable.shape) == (3,)
