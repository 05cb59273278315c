"""What is refused, and what goes wrong on the way, leaves the model as it was: bit for bit, object for object."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import pytest

from featwatch.prune.anatomy import Anatomy
from featwatch.prune.surgery import Mismatch, Unsupported, keras_private, operate, operating
from featwatch.prune.surgery.changes import Changes
from tests.surgery_cases import REMOVED, furthest, net, samples

LOSS = "sparse_categorical_crossentropy"


@pytest.fixture(scope="module")
def model() -> Any:
    keras.utils.set_random_seed(2)
    model = net(dtype="float32")
    model.compile("adam", LOSS, run_eagerly=True)
    model.train_on_batch(*samples(8, dtype="float32"))
    return model


@contextmanager
def untouched(model: Any) -> Iterator[None]:
    held = [*model.variables, *model.optimizer.variables]
    values = [each.numpy() for each in held]
    shapes = [tuple(tensor.shape) for layer in model.layers for tensor in [layer.output]]
    configuration, functions = model.get_config(), (model.train_function, model.predict_function)
    random = np.random.get_state()[1].copy()
    yield
    assert all(one is other for one, other in zip([*model.variables, *model.optimizer.variables], held, strict=True))
    assert furthest([each.numpy() for each in held], values) == 0.0
    assert shapes == [tuple(tensor.shape) for layer in model.layers for tensor in [layer.output]]
    assert model.get_config() == configuration
    assert (model.train_function is None) == (functions[0] is None)
    assert (np.random.get_state()[1] == random).all()
    model.train_on_batch(*samples(8, dtype="float32"))


def test_another_keras(model: Any, monkeypatch: Any) -> None:
    anatomy = Anatomy(model)
    monkeypatch.setattr(keras_private.check_keras, "__defaults__", ("3.99.1",))
    with untouched(model), pytest.raises(Unsupported, match=r"Keras 3\.99\.1.*plan\.apply"):
        operate(anatomy, anatomy.groups(REMOVED))


def test_units_that_have_to_stay(model: Any) -> None:
    anatomy = Anatomy(model)
    with untouched(model), pytest.raises(ValueError, match="unit 1 of 'classes' has to stay: "):
        operate(anatomy, anatomy.groups({"classes": [1]}))


def test_all_units(model: Any) -> None:
    anatomy = Anatomy(model)
    with untouched(model), pytest.raises(ValueError, match="nothing would be left of '(first|normalised|second)'"):
        operate(anatomy, anatomy.groups({"first": range(5)}))


def test_an_anatomy_of_before(model: Any) -> None:
    anatomy = Anatomy(model)
    with untouched(model):
        surgery = operate(anatomy, anatomy.groups({"first": [0]}))
        with pytest.raises(ValueError, match="changed after its anatomy was made"):
            operate(anatomy, anatomy.groups({"first": [1]}))
        surgery.undo()
    with pytest.raises(RuntimeError, match="undone already"):
        surgery.undo()


def test_undone_in_the_reverse_order_only(model: Any) -> None:
    first = operate(anatomy := Anatomy(model), anatomy.groups({"first": [0]}))
    second = operate(anatomy := Anatomy(model), anatomy.groups({"second": [0]}))
    with pytest.raises(RuntimeError, match="once more since"):
        first.undo()
    second.undo()
    first.undo()
    assert tuple(model.get_layer("second").kernel.shape) == (2, 2, 5, 7)


def test_values_that_do_not_fit(model: Any) -> None:
    anatomy = Anatomy(model)
    with untouched(model), pytest.raises(ValueError, match=r"values: \(3,\) is not what"):
        operate(anatomy, anatomy.groups(REMOVED), values=[(model.get_layer("second").bias, np.zeros(3, "float32"))])


def test_quantised_layers() -> None:
    keras.utils.set_random_seed(2)
    model = net(dtype="float32")
    anatomy = Anatomy(model)
    model.get_layer("classes").quantize("int8")
    with pytest.raises(ValueError, match="changed after"):
        operate(anatomy, anatomy.groups({"hidden": [0]}))
    anatomy = Anatomy(model)
    operate(anatomy, anatomy.groups({"first": [0]}))            # what no quantised layer reads may go
    assert model.get_layer("first").filters == 4


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("place", ["resize", "layer_options.follow", "symbolic.reshape", "slots.rename", "best_weights.follow"])
def test_whatever_fails_on_the_way(model: Any, monkeypatch: Any, place: str, error: type[BaseException]) -> None:
    *module, name = place.split(".")
    owner = getattr(operating, module[0]) if module else operating
    whole = getattr(owner, name)

    def failing(*args: Any, **given: Any) -> None:
        whole(*args, **given)
        raise error("on the way")

    anatomy = Anatomy(model)
    monkeypatch.setattr(owner, name, failing)
    with untouched(model):
        with pytest.raises(error, match="on the way"):
            operate(anatomy, anatomy.groups(REMOVED))
        monkeypatch.undo()


def test_an_anatomy_that_is_wrong_is_found_out(model: Any) -> None:
    anatomy = Anatomy(model)
    sliced = anatomy.sliced[id(model.get_layer("hidden").kernel)]
    sliced.axes[0] = np.roll(sliced.axes[0], 1)                 # the rows that the units next to them are read by
    with untouched(model), pytest.raises(Mismatch, match="hidden"):
        operate(anatomy, anatomy.groups({"second": [0, 4]}))


def test_a_layer_that_is_left_out_is_found_out(model: Any) -> None:
    anatomy = Anatomy(model)
    del anatomy.sliced[id(model.get_layer("normalised").moving_mean)]
    with untouched(model), pytest.raises(Exception, match="normalised|shape|broadcast|dimensions"):
        operate(anatomy, anatomy.groups({"first": [1]}))


def test_what_compensates_is_assigned_first(model: Any) -> None:
    anatomy = Anatomy(model)
    kernel, bias = np.full((6, 4), 2.0, "float32"), np.arange(4, dtype="float32")
    layer = model.get_layer("classes")
    with untouched(model):
        surgery = operate(anatomy, anatomy.groups({"hidden": [0]}), values=[(layer.kernel, kernel), (layer.bias, bias)])
        assert (layer.kernel.numpy() == 2).all() and tuple(layer.kernel.shape) == (5, 4)
        assert (layer.bias.numpy() == bias).all()
        surgery.undo()


def test_an_interruption_while_it_is_undone_waits_until_all_is_as_it_was(model: Any, monkeypatch: Any) -> None:
    anatomy = Anatomy(model)
    with untouched(model):
        surgery = operate(anatomy, anatomy.groups(REMOVED))
        whole, times = keras_private.store, []

        def interrupting(*args: Any) -> None:
            times.append(args)
            if len(times) == 3:
                raise KeyboardInterrupt
            whole(*args)

        monkeypatch.setattr(keras_private, "store", interrupting)
        with pytest.raises(KeyboardInterrupt):
            surgery.undo()
        monkeypatch.undo()


def test_what_was_changed_twice_is_what_it_was_first() -> None:
    layer, changes = keras.layers.Dense(3), Changes()
    for units in (2, 1):
        changes.attribute(layer, "units", units)
    changes.take_back()
    assert layer.units == 3
