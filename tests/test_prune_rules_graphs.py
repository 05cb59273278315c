"""Rules of pruning on whole graphs: axes, several inputs and outputs, masks, precisions, and what several layers share."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from featwatch.prune import plan
from featwatch.prune.anatomy import Anatomy
from featwatch.prune.following import attributes, options
from featwatch.prune.rebuild import rebuilt
from featwatch.prune.surgery import operate
from tests.prune_nets import image_net, inputs_of, shuffled
from tests.pruning_truth import apart, drawn, masked, silenced
from tests.test_prune_rules import same

layers, ops = keras.layers, keras.ops
FIRST = "channels_first"

CHANNELS_FIRST = {
    "convolution": lambda x: layers.Conv2D(6, 3, data_format=FIRST)(x),
    "grouped": lambda x: layers.Conv2D(6, 3, groups=2, data_format=FIRST)(x),
    "depthwise": lambda x: layers.DepthwiseConv2D(3, depth_multiplier=2, data_format=FIRST)(x),
    "separable": lambda x: layers.SeparableConv2D(6, 3, data_format=FIRST)(x),
    "transposed": lambda x: layers.Conv2DTranspose(6, 3, data_format=FIRST)(x),
    "normalised": lambda x: layers.PReLU(shared_axes=[2, 3])(layers.BatchNormalization(axis=1)(x)),
    "pooled": lambda x: layers.MaxPooling2D(data_format=FIRST)(layers.ZeroPadding2D(1, data_format=FIRST)(x)),
    "upsampled": lambda x: layers.UpSampling2D(data_format=FIRST)(layers.Cropping2D(1, data_format=FIRST)(x)),
    "global": lambda x: layers.GlobalAveragePooling2D(data_format=FIRST)(x),
    "flat, channels last": lambda x: layers.Flatten(data_format=FIRST)(x),
    "softmax over columns": lambda x: layers.Softmax()(x),
    "excited": lambda x: layers.Multiply()([x, layers.Reshape((8, 1, 1))(
        layers.Dense(8, activation="sigmoid")(layers.GlobalAveragePooling2D(data_format=FIRST)(x)))]),
    "beside": lambda x: layers.Concatenate(axis=1)([x, layers.Conv2D(4, 1, data_format=FIRST)(x)]),
    "shuffled": lambda x: layers.Reshape((8, 9, 9))(layers.Permute((2, 1, 3, 4))(layers.Reshape((2, 4, 9, 9))(x))),
    "to an image": lambda x: layers.Conv2D(3, 3, data_format=FIRST, use_bias=False)(
        layers.Reshape((6, 5, 5))(layers.Dense(150)(layers.GlobalAveragePooling2D(data_format=FIRST)(x)))),
    "sliced": lambda x: x[:, 2:7, 1:],
}  # fmt: skip


@pytest.mark.parametrize("middle", CHANNELS_FIRST.values(), ids=CHANNELS_FIRST.keys())
def test_channels_first(middle: Any) -> None:
    anatomy = same(image_net(middle, 9, channels_first=True))
    assert "before" not in anatomy.frozen()


def test_filters_first_as_many_as_columns_are_refused() -> None:
    """Keras 3.15 adds a bias of as many numbers as there are columns along these."""
    anatomy = Anatomy(image_net(lambda x: layers.Conv2D(4, 3, data_format=FIRST)(x), 8, channels_first=True))
    assert "bias along these" in anatomy.frozen()["before"]
    anatomy = Anatomy(image_net(lambda x: layers.Conv2D(4, 3, data_format=FIRST)(x), 6, channels_first=True))
    two, three = anatomy.groups({"before": [0, 1]}), anatomy.groups({"before": [0, 1, 2]})
    assert anatomy.mistaken(two) == ["before"] and not anatomy.mistaken(three)
    for refused in (rebuilt, operate):
        with pytest.raises(ValueError, match="as many filters as columns"):
            refused(anatomy, two)
    with pytest.raises(ValueError, match="as many filters as columns"):
        plan(anatomy.model, units={"before": [0, 1]})


@pytest.mark.parametrize("middle", [
    lambda x: layers.Conv3D(5, 2, activation="relu")(x),
    lambda x: layers.Conv3D(6, 2, groups=2)(layers.MaxPooling3D(2, padding="same")(x)),
    lambda x: layers.Conv3DTranspose(5, 2)(x),
    lambda x: layers.UpSampling3D()(layers.Cropping3D(1)(layers.ZeroPadding3D(1)(x))),
    lambda x: layers.GlobalMaxPooling3D(keepdims=True)(layers.BatchNormalization()(x)),
])  # fmt: skip
def test_volumes(middle: Any) -> None:
    inputs = keras.Input((4, 4, 4, 2))
    x = middle(layers.Conv3D(6, 3, padding="same", name="before")(inputs))
    assert "before" not in same(shuffled(keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x))))).frozen()


def test_open_sizes() -> None:
    inputs = keras.Input((None, None, 2))
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    y = layers.Conv2DTranspose(8, 3, strides=2, padding="same")(layers.MaxPooling2D()(x))
    x = layers.Conv2D(4, 1)(layers.Concatenate()([x, y]))
    x = layers.GlobalAveragePooling1D()(ops.reshape(x, (-1, 36, 4)))
    same(shuffled(keras.Model(inputs, layers.Dense(3)(x))))


def test_several_inputs_and_outputs_in_dictionaries() -> None:
    inputs = {"picture": keras.Input((6, 6, 2), name="picture"), "words": keras.Input((4,), dtype="int32", name="words")}
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(6, 3, activation="relu", name="seen")(inputs["picture"]))
    y = layers.GlobalAveragePooling1D()(layers.Embedding(9, 6, name="read")(inputs["words"]))
    both = layers.Dense(8, activation="relu", name="both")(layers.Concatenate()([x, y, layers.Subtract()([x, y])]))
    model = keras.Model(inputs, {"kind": layers.Dense(3, name="kind")(both), "size": layers.Dense(1, name="size")(both)})
    anatomy = same(shuffled(model))
    assert set(anatomy.frozen()) == {"kind", "size"}


def test_an_inner_output_is_left_alone() -> None:
    inputs = keras.Input((6, 6, 2))
    x = layers.Conv2D(6, 3, name="shown")(inputs)
    y = layers.Conv2D(5, 3, name="hidden")(x)
    anatomy = same(shuffled(keras.Model(inputs, [x, layers.Dense(2)(layers.Flatten()(y))])))
    assert "shown" in anatomy.frozen() and "hidden" not in anatomy.frozen()


def test_masks_of_embeddings_reach_what_heeds_them() -> None:
    inputs = keras.Input((5,), dtype="int32")
    x = layers.Embedding(6, 8, mask_zero=True, name="words")(inputs)
    x = layers.Bidirectional(layers.LSTM(4, return_sequences=True), name="both")(layers.Dropout(0.1)(x))
    x = layers.MultiHeadAttention(4, 3, name="attention")(x, x)
    model = shuffled(keras.Model(inputs, layers.Dense(2, name="end")(layers.GRU(5, name="last")(x))))
    anatomy = same(model)
    assert set(anatomy.frozen()) == {"end"}
    assert {"attention", "attention/heads", "both", "words", "last"} <= set(anatomy.made)


def test_nested_models_in_nested_models_called_with_different_tensors() -> None:
    def block(size: int, name: str) -> Any:
        entering = keras.Input((size,))
        return keras.Model(entering, layers.Dense(size, activation="relu", name="inside")(entering), name=name)

    inner = block(6, "inner")
    entering = keras.Input((6,))
    outer = keras.Model(
        entering, layers.Add()([inner(entering), inner(inner(entering))]), name="outer")
    one, other = keras.Input((3,)), keras.Input((4,))
    x, y = layers.Dense(6, name="one")(one), layers.Dense(6, name="other")(other)
    model = shuffled(keras.Model([one, other], layers.Dense(2, name="end")(layers.Concatenate()([outer(x), outer(y), x]))))
    anatomy = same(model)
    assert set(anatomy.frozen()) == {"end"}
    assert "outer/inner/inside" in anatomy.made


def test_a_sequential_model_within_a_model_and_shared_weights() -> None:
    inputs = keras.Input((8, 8, 2))
    stem = keras.Sequential([layers.Conv2D(6, 3, name="first"), layers.BatchNormalization(), layers.ReLU()], name="stem")
    tied = layers.Dense(6, name="tied")
    x = layers.GlobalAveragePooling2D()(stem(inputs))
    x = tied(tied(x))
    anatomy = same(shuffled(keras.Model(inputs, layers.Dense(2)(x))))
    assert "stem/first" in anatomy.made


def test_an_adapted_normalisation_within_a_model() -> None:
    inputs = keras.Input((5,))
    layer = layers.Normalization()
    layer.adapt(np.random.default_rng(0).normal(2, 3, (50, 8)))
    model = keras.Model(inputs, layers.Dense(2)(layer(layers.Dense(8, name="before")(inputs))))
    assert "before" not in same(model).frozen()


@pytest.mark.parametrize("policy", ["float64", "mixed_bfloat16"])
def test_precisions(policy: str) -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = image_net(lambda x: layers.Conv2D(6, 3, activation="relu")(layers.BatchNormalization()(x)))
    finally:
        keras.config.set_dtype_policy(before)
    anatomy, inputs = Anatomy(model), inputs_of(model)
    groups = drawn(anatomy, 0.4)
    small = rebuilt(anatomy, groups)
    assert small.dtype_policy.name == model.dtype_policy.name == policy
    given = small(inputs)
    expected = masked(model, anatomy, groups, inputs)
    assert given.dtype == ("float64" if policy == "float64" else "bfloat16")
    assert apart([ops.cast(given, "float64")], [np.asarray(expected[0], np.float64)]) < (1e-12 if policy == "float64" else 0.05)


def test_masking_by_labels_and_by_hand_agree() -> None:
    model = keras.Sequential([
        keras.Input((8, 8, 3)), layers.Conv2D(6, 3, padding="same", name="one"), layers.BatchNormalization(), layers.ReLU(),
        layers.DepthwiseConv2D(3, depth_multiplier=2), layers.Conv2DTranspose(5, 3, activation="tanh", name="two"),
        layers.MaxPooling2D(), layers.Flatten(), layers.Dense(7, activation="relu", name="three"), layers.Dense(3),
    ])  # fmt: skip
    shuffled(model)
    anatomy, inputs = Anatomy(model), inputs_of(model)
    for seed in range(5):
        groups = drawn(anatomy, 0.4, seed)
        by_hand = silenced(model, anatomy.going(groups), inputs)
        assert apart(masked(model, anatomy, groups, inputs), [by_hand]) < 1e-6
        assert apart([rebuilt(anatomy, groups)(inputs)], [by_hand]) < 1e-5


def test_options_and_attributes_say_the_same_of_what_follows() -> None:
    inputs = keras.Input((6, 2))
    x = layers.Conv1D(8, 3, padding="same", name="first")(inputs)
    one, other = ops.split(x, [5], axis=-1)
    x = layers.LSTM(6, return_sequences=True, name="second")(layers.Concatenate()([other, one]))
    x = layers.MultiHeadAttention(4, 2, output_shape=5, name="third")(x, x)
    model = keras.Model(inputs, layers.Dense(1)(layers.Flatten()(layers.Reshape((2, 3, 5))(x))))
    anatomy = Anatomy(model)
    groups = anatomy.groups({"first": [0, 4, 6], "second": [3], "third": [1, 2], "third/heads": [3]})
    told = {model.get_layer(name): options(anatomy, groups)[id(model.get_layer(name))] for name in ("first", "second", "third")}
    assert [list(each.items()) for each in told.values()] == [
        [("filters", 5)], [("units", 5)], [("num_heads", 3), ("output_shape", (3,))]
    ]  # fmt: skip
    held = {(type(owner).__name__, name): value for owner, name, value in attributes(anatomy, groups)}
    assert held["Conv1D", "filters"] == 5 and held["Split", "indices_or_sections"] == (3,)
    assert held["LSTMCell", "units"] == held["LSTMCell", "output_size"] == 5 and held["LSTMCell", "state_size"] == [5, 5]
    assert held["MultiHeadAttention", "_num_heads"] == 3 and held["MultiHeadAttention", "_output_shape"] == (3,)
    assert held["Reshape", "target_shape"] == (2, 3, 3)


def test_the_same_places_of_all_groups_go_together() -> None:
    inputs = keras.Input((6, 6, 2))
    x = layers.Conv2D(6, 3, name="before")(inputs)
    x = layers.Conv2D(9, 3, groups=3, name="grouped")(x)
    x = layers.Conv2D(18, 3, groups=9, padding="same", name="each")(x)
    anatomy = Anatomy(keras.Model(inputs, layers.Dense(1, name="end")(layers.Flatten()(x))))
    assert anatomy.going(anatomy.groups({"before": [1]})) == {"before": [1, 3, 5]}
    every = [0, 1, 6, 7, 12, 13]
    assert anatomy.going(anatomy.groups({"grouped": [3]})) == {"grouped": [0, 3, 6], "each": every}
    assert anatomy.going(anatomy.groups({"each": [12]})) == {"grouped": [0, 3, 6], "each": every}
    assert {group: list(units) for group, units in anatomy.prunable().items()} == {
        **{int(anatomy.units.roots(anatomy.made["before"].ids)[at]): ["before"] for at in range(2)},
        **{int(anatomy.units.roots(anatomy.made["grouped"].ids)[at]): ["grouped", "each"] for at in range(3)},
    }


def test_a_dense_layer_over_places_keeps_its_units_and_lets_channels_go() -> None:
    """As in MLP-Mixer."""
    inputs = keras.Input((6, 6, 2))
    x = layers.Reshape((9, 6))(layers.Conv2D(6, 2, strides=2, name="patches")(inputs))
    y = layers.Dense(9, name="out")(layers.Dense(5, activation="softmax", name="in")(layers.Permute((2, 1))(x)))
    x = layers.Add()([x, layers.Permute((2, 1))(y)])
    x = layers.Add()([x, layers.Dense(6, name="down")(layers.Dense(8, activation="gelu", name="up")(x))])
    anatomy = same(shuffled(keras.Model(inputs, layers.Dense(2, name="end")(layers.GlobalAveragePooling1D()(x)))))
    assert set(anatomy.frozen()) == {"in", "out", "end"}
    assert anatomy.going(anatomy.groups({"patches": [2]})) == {"patches": [2], "down": [2]}


DEAD_STAYS_DEAD = {
    "pooled at the borders": lambda x: layers.AveragePooling2D(3, 1, padding="same")(x),
    "padded": lambda x: layers.ZeroPadding2D(2)(layers.LeakyReLU()(x)),
    "shuffled": lambda x: layers.Reshape((8, 8, 8))(layers.Permute((1, 2, 4, 3))(layers.Reshape((8, 8, 2, 4))(x))),
    "in parts": lambda x: layers.Concatenate()([x[..., 3:], layers.Activation("gelu")(x[..., :3]), x]),
    "upsampled": lambda x: layers.UpSampling2D(interpolation="bilinear")(ops.flip(x, axis=(1, 3))),
    "excited": lambda x: layers.Multiply()([
        x, layers.Dense(8, activation="sigmoid")(layers.GlobalMaxPooling2D(keepdims=True)(x))]),
    "through depthwise filters": lambda x: layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x),
}  # fmt: skip


@pytest.mark.parametrize("middle", DEAD_STAYS_DEAD.values(), ids=DEAD_STAYS_DEAD.keys())
def test_dead_units_go_without_a_trace(middle: Any) -> None:
    """Units that give 0 everywhere, padding included, are heard of nowhere: pruned equals the whole (G2)."""
    model = image_net(lambda x: layers.Conv2D(5, 5, padding="same")(middle(layers.ReLU()(x))))
    before, anatomy, inputs = model.get_layer("before"), Anatomy(model), inputs_of(model)
    groups = anatomy.groups({"before": [1, 6]})
    dead = np.isin(np.arange(8), anatomy.going(groups)["before"])
    before.bias.assign(np.where(dead, -1e4, before.bias.numpy()))
    assert apart([rebuilt(anatomy, groups)(inputs)], [model(inputs)]) < 1e-5
