"""What pruning leaves alone, and the reason that it gives; what it asks itself."""

from __future__ import annotations

import random
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.backend.common import global_state

from featwatch.prune import plan
from featwatch.prune.anatomy import AN_OUTPUT, Anatomy
from featwatch.prune.rebuild import rebuilt
from featwatch.prune.units import Units
from tests.prune_nets import image_net, inputs_of, series_net, shuffled, vector_net
from tests.pruning_truth import apart, drawn, masked

layers, ops = keras.layers, keras.ops


class Weighted(layers.Layer):
    """A user's own layer, with weights."""

    def build(self, shape: Any) -> None:
        self.scale = self.add_weight(shape=(shape[-1],), name="scale")

    def call(self, x: Any) -> Any:
        return x * self.scale


class Other(layers.Dense):
    """A user's own kind of dense layer, which does something else."""

    def call(self, x: Any, training: Any = None) -> Any:
        return super().call(x) + ops.mean(x)


class Pair(layers.Layer):
    """A user's own layer on two tensors, without weights: what a function makes of them."""

    def __init__(self, function: Any, **options: Any) -> None:
        super().__init__(**options)
        self.function = function

    def call(self, inputs: Any) -> Any:
        return self.function(*inputs)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "function": self.function}


class Wide(layers.Layer):
    """A user's own layer that counts channels when it is built: in a smaller model it would divide by another number."""

    def build(self, shape: Any) -> None:
        self.width = shape[0][-1]

    def call(self, inputs: Any) -> Any:
        return (inputs[0] + inputs[1]) / self.width


class Trained(layers.Layer):
    """A user's own layer that mixes channels in training alone."""

    def call(self, x: Any, training: Any = None) -> Any:
        return x - ops.mean(x, axis=-1, keepdims=True) if training else x


def _two(layer: Any) -> Any:
    return lambda x: layer([x, layers.Conv2D(8, 1, name="beside")(x)])


IMAGES = {
    "layer normalisation": (lambda x: layers.LayerNormalization()(x), "LayerNormalization"),
    "root mean square": (lambda x: layers.RMSNormalization()(x), "RMSNormalization"),
    "unit norm": (lambda x: layers.UnitNormalization()(x), "UnitNormalization"),
    "groups": (lambda x: layers.GroupNormalization(1)(x), "GroupNormalization"),
    "spectral": (lambda x: layers.SpectralNormalization(layers.Conv2D(4, 3))(x), "SpectralNormalization"),
    "softmax": (lambda x: layers.Softmax()(x), "Softmax"),
    "softmax as activation": (lambda x: layers.Activation("softmax")(x), "takes a softmax over it and the others"),
    "glu": (lambda x: ops.glu(x), "mixes channels"),
    "softmax operation": (lambda x: ops.softmax(x), "Softmax"),
    "mean over channels": (lambda x: layers.Conv2D(2, 1)(ops.mean(x, axis=-1, keepdims=True)), "taken over it and the others"),
    "a product of matrices": (lambda x: ops.matmul(x, layers.Conv2D(8, 1)(x)), "multiplies it with others"),
    "einsum": (lambda x: ops.einsum("bhwc,bhwd->bcd", x, x), "multiplies it with others"),
    "rolled": (lambda x: ops.roll(x, 1, axis=-1), "shifts channels"),
    "every other": (lambda x: x[..., ::2], "every 2th channel"),
    "a single one": (lambda x: x[..., 3], "a single channel"),
    "all squeezed": (lambda x: ops.squeeze(layers.GlobalMaxPooling2D(keepdims=True)(x)), "every axis of length 1"),
    "vector taken for biases": (lambda x: x + np.arange(8, dtype="float32").reshape(8, 1, 1), "Keras takes for one of channels"),
    "a function that mixes": (lambda x: layers.Lambda(lambda v: v - ops.mean(v, axis=-1, keepdims=True))(x), "mixes channels"),
    "a function that counts": (lambda x: layers.Lambda(lambda v: v * ops.arange(1.0, v.shape[-1] + 1))(x), "is not known"),
    "a function that draws": (lambda x: layers.Lambda(lambda v: v + keras.random.normal(ops.shape(v)))(x), "is not known"),
    "noise of a fixed shape": (lambda x: layers.Dropout(0.2, noise_shape=(None, 1, 1, 8))(x), "so many channels"),
    "two, one of which mixes": (_two(Pair(lambda a, b: a + 0.1 * ops.mean(b, axis=-1, keepdims=True))), "mixes channels"),
    "two, one of which is permuted": (_two(Pair(lambda a, b: a + b[..., ::-1])), "mixes channels"),
    "two, of other samples": (_two(Pair(lambda a, b: a + ops.flip(b, axis=0))), "mixes channels or samples"),
    "two, by place": (_two(Pair(lambda a, b: a + b * ops.arange(1.0, b.shape[-1] + 1))), "mixes channels"),
    "two, by as many": (_two(Pair(lambda a, b: (a + b) / b.shape[-1])), "mixes channels"),
    "two, by as many as there were": (_two(Wide()), "(Wide) makes of it is not known"),
    "samples made even": (lambda x: layers.Lambda(lambda v: v - ops.mean(v, axis=0))(x), "mixes channels or samples"),
    "samples among channels": (
        lambda x: ops.transpose(ops.transpose(x, (3, 1, 2, 0)), (3, 1, 2, 0)), "moves the axis of the samples"),
    "samples one axis on": (lambda x: ops.squeeze(ops.expand_dims(x, 0), 0), "moves the axis of the samples"),
    "samples tiled": (lambda x: ops.tile(x, (2, 1, 1, 1)), "repeats samples"),
    "samples split": (lambda x: layers.Add()(ops.split(x, 2, axis=0)), "takes samples apart"),
    "samples repeated": (lambda x: ops.repeat(x, 2, axis=0), "repeats samples"),
    "samples turned round": (lambda x: ops.flip(x, axis=0), "turns samples round"),
    "samples averaged": (lambda x: x - ops.mean(x, axis=0), "over samples"),
    "channels padded with others": (
        lambda x: ops.pad(x, ((0, 0), (0, 0), (0, 0), (1, 1)), mode="reflect"), "pads channels with others"),
    "in training": (lambda x: Trained()(x), "(Trained) makes of it is not known"),
    "its own weights": (lambda x: Weighted()(x), "weights or a state of its own"),
    "another dense": (lambda x: Other(8)(x), "weights or a state of its own"),
    "normalised elsewhere": (lambda x: layers.BatchNormalization(axis=1)(x), "another axis"),
    "pooled elsewhere": (lambda x: layers.GlobalAveragePooling2D()(layers.Permute((1, 3, 2))(x)), "another axis"),
}
SERIES = {
    "masking": (lambda x: layers.LSTM(3)(layers.Masking()(x)), "Masking"),
    "stateless no more": (lambda x: layers.LSTM(3, stateful=True)(x), "from batch to batch"),
    "attention": (lambda x: layers.Attention()([x, x]), "Attention"),
    "einsum layer": (lambda x: layers.EinsumDense("btc,cd->btd", (5, 4))(x), "EinsumDense"),
    "cells": (lambda x: layers.RNN(layers.LSTMCell(3))(x), "RNN"),
    "softmax in a gate": (lambda x: layers.LSTM(3, activation="softmax")(x), "takes a softmax"),
}
CASES = [
    *((f"image: {name}", image_net, *case) for name, case in IMAGES.items()),
    *((f"series: {name}", series_net, *case) for name, case in SERIES.items()),
]


@pytest.mark.parametrize(("net", "middle", "reason"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_cannot_lose_units_keeps_them_and_says_why(net: Any, middle: Any, reason: str) -> None:
    if "stateful=True" in reason or reason == "from batch to batch":
        inputs = keras.Input(batch_shape=(4, 5, 2))
        x = middle(layers.Conv1D(8, 3, name="before")(inputs))
        model = keras.Model(inputs, layers.Dense(3, name="after")(x))
    else:
        model = net(middle)
    anatomy = Anatomy(model)
    assert reason in anatomy.frozen()["before"]
    assert "beside" not in anatomy.made or reason in anatomy.frozen()["beside"]
    assert anatomy.frozen()["after"] == AN_OUTPUT
    groups = drawn(anatomy, 0.5)            # others may go
    if groups:
        inputs = inputs_of(model)
        assert apart(keras.tree.flatten(rebuilt(anatomy, groups)(inputs)), masked(model, anatomy, groups, inputs)) < 1e-5


def test_a_quantised_layer_and_one_with_lora_are_left_alone() -> None:
    model = vector_net(lambda x: layers.Dense(6, name="quantised")(x))
    model.get_layer("quantised").quantize("int8")
    frozen = Anatomy(model).frozen()
    assert "quantised" in frozen["before"]
    model = vector_net(lambda x: layers.Dense(6, name="adapted")(x))
    model.get_layer("adapted").enable_lora(2)
    assert "LoRA" in Anatomy(model).frozen()["before"]


def test_asking_an_operation_moves_no_generator_and_changes_no_layer() -> None:
    def noisy(values: Any) -> Any:
        return values + keras.random.normal((1,)) * random.random() * np.random.rand() * tf.random.normal(())

    function = layers.Lambda(noisy)
    model = image_net(lambda x: function(x))
    keras.utils.set_random_seed(7)
    expected = (random.random(), np.random.rand(), float(tf.random.normal(())), float(keras.random.normal(())))
    keras.utils.set_random_seed(7)
    attributes, variables = dict(vars(function)), [variable.numpy() for variable in model.variables]
    Anatomy(model)
    assert (random.random(), np.random.rand(), float(tf.random.normal(())), float(keras.random.normal(()))) == expected
    assert dict(vars(function)) == attributes and not function.losses
    for variable, value in zip(model.variables, variables, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_asking_a_layer_takes_no_name() -> None:
    model = image_net(_two(Pair(lambda a, b: a + b)))
    counters = dict(global_state.get_global_attribute("object_name_uids"))
    assert "before" not in Anatomy(model).frozen()
    assert global_state.get_global_attribute("object_name_uids") == counters


def test_the_first_reason_stands_and_everything_that_is_tied_has_one() -> None:
    inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(4, 3, padding="same", name="first")(inputs)
    y = layers.BatchNormalization(name="second")(layers.Conv2D(4, 1, name="third")(x))
    model = shuffled(keras.Model(inputs, layers.Add()([x, y])))
    assert Anatomy(model).frozen() == dict.fromkeys(["first", "third", "second"], AN_OUTPUT)


def test_a_layer_that_is_called_along_another_axis_too_keeps_its_weights() -> None:
    inputs = keras.Input((6, 4))
    shared = layers.Dense(6, name="shared")
    x = layers.Conv1D(6, 3, padding="same", name="before")(inputs)
    turned = layers.Permute((2, 1))(layers.Conv1D(5, 3, padding="same", name="turned")(inputs))
    for order in ([x, turned], [turned, x]):        # whichever comes first
        given = [shared(each) for each in order]
        model = shuffled(keras.Model(inputs, layers.Dense(2)(layers.Flatten()(layers.Concatenate(axis=1)(given)))))
        anatomy, values = Anatomy(model), inputs_of(model)
        assert {"shared", "before"} <= set(anatomy.frozen()) and "turned" not in anatomy.frozen()
        groups = anatomy.groups({"turned": [1, 4]})
        assert apart([rebuilt(anatomy, groups)(values)], masked(model, anatomy, groups, values)) < 1e-5


def test_weights_that_others_use_keep_their_shapes() -> None:
    inputs = keras.Input((5,), dtype="int32")
    embedding = layers.Embedding(9, 6, name="words")
    x = layers.GlobalAveragePooling1D()(embedding(inputs))
    hidden = layers.Dense(6, name="hidden")
    y = hidden(x)
    for given, user in (
        (layers.Dense(2)(ops.exp(y) * hidden.bias), "hidden"),
        (layers.Lambda(lambda v: ops.matmul(v, ops.transpose(embedding.embeddings)))(y), "words"),
        (layers.Lambda(lambda v: ops.matmul(v, ops.transpose(embedding(np.arange(9)))))(y), "words"),
    ):
        assert user in Anatomy(keras.Model(inputs, given)).frozen()


def test_a_layer_that_no_rule_knows_is_among_those_that_stay() -> None:
    model = image_net(lambda x: Weighted(name="own")(layers.EinsumDense("bhwc,cd->bhwd", (8, 8, 4), name="einsum")(x)))
    frozen = Anatomy(model).frozen()
    assert "EinsumDense" in frozen["einsum"] and "no" in frozen["own"]


def test_a_form_that_a_rule_cannot_follow_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    model = image_net(lambda x: layers.Conv2D(4, 3, name="odd")(layers.Permute((2, 1, 3), name="odd_order")(x)))
    monkeypatch.setattr(model.get_layer("odd_order"), "dims", (2, 1))
    assert Anatomy(model).frozen()["before"] == "'odd_order' cannot be followed (ValueError: 3 is not in list)"


def test_units_that_are_tied_share_the_first_reason() -> None:
    units = Units()
    one, other, third = (units.fresh(2) for _ in range(3))
    units.freeze(one[:1], "first")
    units.tie(one, other)
    units.freeze(other, "second")
    units.tie(third[::-1], one)
    assert [units.why(int(each)) for each in (*one, *other, *third)] == ["first", "second"] * 2 + ["second", "first"]
    assert units.frozen(units.fresh(1)).tolist() == [False] and units.why(6) == ""


def test_a_channel_spread_over_all_others_stays_while_they_may_go() -> None:
    model = image_net(lambda x: layers.Multiply()([x, layers.Conv2D(1, 1, name="gate")(x)]))
    anatomy = Anatomy(model)
    assert "spreads it" in anatomy.frozen()["gate"] and "before" not in anatomy.frozen()


def test_what_would_be_left_without_a_channel_is_named() -> None:
    def halves(x: Any) -> Any:
        one, other = ops.split(x, 2, axis=-1)
        return layers.Concatenate()([layers.Conv2D(3, 1, name="reader")(one), other])

    keras.backend.clear_session()       # numbers in the names of operations begin again
    anatomy = Anatomy(image_net(halves))
    assert anatomy.emptied(()) == []
    assert anatomy.emptied(anatomy.groups({"before": range(4), "reader": [0, 2]})) == ["split"]
    assert anatomy.emptied(anatomy.groups({"before": range(8)})) == ["before", "split"]
    with pytest.raises(ValueError, match=r"a tensor of shape \(None, 8, 8, 4\) within the model would have no channel left"):
        plan(anatomy.model, units={"before": range(4)})
    assert anatomy.emptied(anatomy.groups({"before": range(1, 8), "reader": range(3)}))[:2] == ["split", "reader"]


def test_groups_are_found_without_a_loop_over_channels() -> None:
    inputs = keras.Input((16,))
    x = layers.Dense(13_000)(inputs)
    model = keras.Model(inputs, layers.Dense(2)(layers.BatchNormalization()(x)))
    anatomy = Anatomy(model)
    found = anatomy.prunable()
    assert len(found) == 13_000
    group = int(anatomy.groups({"dense" if "dense" in anatomy.made else next(iter(anatomy.made)): [7]}).pop())
    assert {name: units.tolist() for name, units in found[group].items()} == dict.fromkeys(list(anatomy.made)[:2], [7])
