"""Every kind of layer, made smaller in place: it gives, says and accepts what the rebuilt one does; undone, what it did."""

from __future__ import annotations

import json
import warnings
from typing import Any

import keras
import numpy as np
import pytest

from featwatch.prune.anatomy import Anatomy
from featwatch.prune.rebuild import rebuilt
from featwatch.prune.surgery import operate
from tests.prune_nets import inputs_of
from tests.pruning_truth import apart, drawn
from tests.test_prune_rules import CASES

# Those whose options, arguments or parts are kept in ways of their own; all cases pass, and take a minute.
KINDS = [
    "image: grouped", "image: a group for each channel", "image: transposed", "image: separable", "image: slopes as activation",
    "image: normalisation", "image: rescaling by channel", "image: excited, flat", "image: shuffled by operations",
    "image: thirds", "image: nested twice", "image: shared", "image: numbers by channel", "image: slice from behind",
    "image: slice by operation", "image: taken", "image: reshaped, open", "vector: to an image", "series: LSTM from states",
    "series: GRU", "series: both ways", "series: both ways, apart", "series: at each step", "series: a model at each step",
    "series: heads, of another size", "series: heads, gated, without bias", "series: heads in groups",
]  # fmt: skip


def told(model: Any) -> list[Any]:
    """What all layers say of themselves: what they accept, were built for, and give."""
    found: list[Any] = []
    for layer in model._flatten_layers():
        specs = [(each.axes, each.shape, each.ndim) for each in keras.tree.flatten(layer.input_spec) if each is not None]
        built = getattr(layer, "_build_shapes_dict", None) or {}
        shapes = [{name: _plain(shape) for name, shape in each.items()} for each in (built, layer.get_build_config() or {})]
        found.append((type(layer).__name__, specs, shapes, [tuple(each.shape) for each in layer.variables]))
    return found


def options(model: Any) -> list[Any]:
    """What all layers and operations are made with, as it is written down."""
    return [{**each, "inbound_nodes": None} for each in json.loads(_written(model))["layers"]]


def _written(model: Any) -> str:
    """What a model says of itself, written down."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")         # that functions of one's own are unsafe to write down
        return json.dumps(model.get_config())


def _made_of(written: str, kind: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kind.from_config(json.loads(written))


def _plain(shape: Any) -> Any:
    return tuple(_plain(each) for each in shape) if isinstance(shape, (list, tuple)) else shape


def same_as_rebuilt(model: Any) -> None:
    """Check the model made smaller in place against the rebuilt one."""
    inputs = inputs_of(model)
    before, said = keras.tree.flatten(model(inputs, training=False)), (told(model), repr(model.get_config()))
    anatomy = Anatomy(model)
    groups = drawn(anatomy, 0.4)
    small = rebuilt(anatomy, groups)
    surgery = operate(anatomy, groups)
    assert surgery.notes == ()
    assert apart(keras.tree.flatten(model(inputs, training=False)), keras.tree.flatten(small(inputs, training=False))) < 1e-6
    assert (told(model), options(model)) == (told(small), options(small))
    again = _made_of(_written(model), type(model))
    again.set_weights(model.get_weights())
    assert apart(keras.tree.flatten(again(inputs, training=False)), keras.tree.flatten(small(inputs, training=False))) < 1e-6
    Anatomy(model)
    surgery.undo()
    assert all(np.array_equal(a, b) for a, b in zip(before, keras.tree.flatten(model(inputs, training=False)), strict=True))
    assert (told(model), repr(model.get_config())) == said


@pytest.mark.parametrize("name", KINDS)
def test_in_place_is_rebuilt(name: str) -> None:
    _, net, middle = next(case for case in CASES if case[0] == name)
    same_as_rebuilt(net(middle))
