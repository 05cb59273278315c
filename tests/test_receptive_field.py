"""Receptive fields from the graph against gradients: with positive weights everywhere, whatever takes part has one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import featwatch as fw
from featwatch.explain import Box, field_of, receptive_field
from featwatch.layers import choose
from tests.nets import sequential

L = keras.layers
SHAPE = (23, 20, 2)


def vgg(x: Any) -> Any:
    for _ in range(2):
        x = L.Conv2D(2, 3, padding="same", activation="relu")(x)
        x = L.Conv2D(2, 3, padding="same", activation="relu")(x)
        x = L.MaxPooling2D(padding="same")(x)
    return x


def residual(x: Any) -> Any:
    x = L.Conv2D(2, 7, strides=2, padding="same")(x)
    for stride in (1, 2):
        y = L.ReLU()(L.BatchNormalization()(L.Conv2D(2, 3, strides=stride, padding="same")(x)))
        y = L.Conv2D(2, 3, padding="same")(y)
        x = keras.ops.relu(L.Add()([L.Conv2D(2, 1, strides=stride)(x), y]))
    return x


def inception(x: Any) -> Any:
    wide = L.Conv2D(2, 5, padding="same")(L.Conv2D(2, 1)(x))
    pooled = L.MaxPooling2D(3, strides=1, padding="same")(x)
    return L.Conv2D(2, 3, dilation_rate=2, padding="same")(L.Concatenate()([L.Conv2D(2, 1)(x), wide, pooled]))


def separable_after_padding(x: Any) -> Any:
    x = L.SeparableConv2D(2, 3)(L.ZeroPadding2D(((3, 1), (2, 0)))(x))
    return L.Conv2D(2, (3, 5), strides=(2, 1))(L.AveragePooling2D(2)(x))


def padded_behind(x: Any) -> Any:
    x = L.Conv2D(2, 3, strides=2)(L.ZeroPadding2D(((0, 1), (0, 1)))(x))
    scale = L.Reshape((1, 1, 2))(L.GlobalAveragePooling2D()(x))
    return L.Multiply()([x, scale])


def depthwise_cropped(x: Any) -> Any:
    return L.DepthwiseConv2D(3, strides=2, padding="same", dilation_rate=1)(L.Cropping2D(((2, 1), (0, 3)))(x))


def transposed(x: Any) -> Any:
    return L.Conv2DTranspose(2, 4, strides=2, padding="same")(L.Conv2D(2, 3, strides=3)(x))


def transposed_valid(x: Any) -> Any:
    return L.Conv2DTranspose(2, 3, strides=2)(L.Conv2D(2, 3, strides=2, padding="same")(x))


def transposed_with_holes(x: Any) -> Any:
    return L.Conv2D(2, 2)(L.Conv2DTranspose(2, 2, strides=3)(L.MaxPooling2D(4)(x)))


def u_net(x: Any) -> Any:
    down = L.Conv2DTranspose(2, 3, strides=2, padding="same")(L.Conv2D(2, 3, strides=2, padding="same")(x))
    up = L.UpSampling2D()(L.MaxPooling2D(padding="same")(x))
    crop = L.Cropping2D(((0, 1), (0, 0)))
    return L.Conv2D(2, 3)(L.Concatenate()([crop(down), crop(up)]))


def bilinear(x: Any) -> Any:
    return L.Conv2D(2, 2)(L.UpSampling2D(2, interpolation="bilinear")(L.MaxPooling2D(2)(x)))


def bilinear_by_three(x: Any) -> Any:
    return L.UpSampling2D((3, 2), interpolation="bilinear")(L.Conv2D(2, 3)(x))


def squeeze_and_excite(x: Any) -> Any:
    x = L.Conv2D(2, 3)(x)
    scale = L.Conv2D(2, 1, activation="sigmoid")(L.GlobalAveragePooling2D(keepdims=True)(x))
    return L.Multiply()([x, scale])


def nested(x: Any) -> Any:
    stem = keras.Sequential([keras.Input(SHAPE), L.Conv2D(2, 3, strides=2), L.Conv2D(2, 3)])
    inner = keras.Input(stem.output_shape[1:])
    return keras.Model(inner, L.MaxPooling2D(3)(L.Conv2D(2, 3, padding="same")(inner)))(stem(x))


def shared(x: Any) -> Any:
    twice = L.Conv2D(2, 3, padding="same")
    return L.Add()([twice(twice(x)), L.Cropping2D(1)(L.ZeroPadding2D(1)(twice(x)))])


def dilated(x: Any) -> Any:
    return L.Conv2D(2, 3, dilation_rate=3, padding="same")(L.Conv2D(2, 2, padding="same")(x))


def side_by_side(x: Any) -> Any:
    return L.Conv2D(2, 3)(L.Concatenate(axis=1)([L.Conv2D(2, 3)(x), L.Conv2D(2, (5, 3))(x)]))


def through_dense(x: Any) -> Any:
    return L.Dense(2)(L.LayerNormalization()(L.Dense(2)(L.Conv2D(2, 3)(x))))


NETS = [
    vgg, residual, inception, separable_after_padding, padded_behind, depthwise_cropped, transposed, transposed_valid,
    transposed_with_holes, u_net, bilinear, bilinear_by_three, squeeze_and_excite, nested, shared, dilated, side_by_side,
    through_dense,
]  # fmt: skip


def build(net: Callable[[Any], Any], shape: tuple[int, ...] = SHAPE) -> Any:
    inputs = keras.Input(shape)
    return keras.Model(inputs, L.Identity(name="here")(net(inputs)))


def seen(model: Any, unit: tuple[int, ...], trials: int = 12) -> list[tuple[int, int]]:
    """(lo, hi) per spatial axis of all positions at which the unit has a gradient, for any of some random inputs."""
    rng = np.random.default_rng(0)
    weights = [
        tf.constant((np.abs(rng.normal(size=v.shape)) + 0.1) / max(1, np.prod(v.shape[:-1])), tf.float32)
        for v in model.trainable_variables
    ]
    state = [tf.ones(v.shape) if "var" in v.name else tf.zeros(v.shape, v.dtype) for v in model.non_trainable_variables]
    x = tf.constant(rng.uniform(0.1, 1, (8 * trials, *model.input_shape[1:])), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y, _ = model.stateless_call(weights, state, x, training=False)
        value = tf.reduce_sum(y[(slice(None), *unit)])
    where = np.argwhere(np.abs(tape.gradient(value, x)).sum(axis=(0, -1)) > 0)
    return list(zip(where.min(axis=0).tolist(), where.max(axis=0).tolist(), strict=True))


def inside(box: Box) -> list[tuple[int, int]]:
    return list(zip(box.inside.lo, box.inside.hi, strict=True))


def some_units(sizes: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The corners, the centre, and units next to them."""
    last = tuple(size - 1 for size in sizes)
    near = tuple(min(1, size - 1) for size in sizes)
    centre = tuple(size // 2 for size in sizes)
    beside = tuple(min(c + 1, size - 1) for c, size in zip(centre, sizes, strict=True))
    return sorted({(0,) * len(sizes), near, centre, beside, last, (0, *last[1:]), (*last[:-1], 0)})


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.__name__)
def test_the_box_is_where_gradients_are(net: Callable[[Any], Any]) -> None:
    model = build(net)
    field = field_of(model, choose(model, "here")[0])
    for unit in some_units(model.output_shape[1:-1]):
        box, numeric = receptive_field(model, "here", unit), seen(model, unit)
        if box.exact:
            assert inside(box) == numeric, unit
        else:
            assert all(a <= c and b >= d for (a, b), (c, d) in zip(inside(box), numeric, strict=True)), unit
        for axis, (low, high) in enumerate(numeric):
            first = field.offset[axis] + unit[axis] * field.stride[axis]
            assert first <= low and first + field.size[axis] > high, (unit, field)


EXACT = {vgg, residual, inception, padded_behind, nested, dilated, shared, separable_after_padding, squeeze_and_excite}


@pytest.mark.parametrize("net", sorted(EXACT, key=NETS.index), ids=lambda net: net.__name__)
def test_regular_nets_are_exact(net: Callable[[Any], Any]) -> None:
    model = build(net)
    assert receptive_field(model, "here").exact
    assert field_of(model, choose(model, "here")[0]).kind == "exact"


@pytest.mark.parametrize(
    ("shape", "layers"),
    [
        ((40, 2), [L.Conv1D(2, 3, padding="causal", dilation_rate=2), L.MaxPooling1D(3), L.Conv1D(2, 2, padding="same")]),
        ((40, 2), [L.ZeroPadding1D(2), L.SeparableConv1D(2, 5, strides=2), L.UpSampling1D(2), L.Cropping1D((1, 3))]),
        ((9, 8, 7, 2), [L.Conv3D(2, (3, 2, 1), padding="same"), L.AveragePooling3D(2), L.Conv3D(2, 2)]),
    ],
    ids=["causal", "sequence", "volume"],
)
def test_one_and_three_dimensions(shape: tuple[int, ...], layers: list[Any]) -> None:
    model = keras.Sequential([keras.Input(shape), *layers, L.Identity(name="here")])
    for unit in some_units(model.output_shape[1:-1]):
        assert inside(receptive_field(model, "here", unit)) == seen(model, unit)


def test_channels_first_has_its_space_elsewhere() -> None:
    def net(order: str, shape: tuple[int, ...]) -> Any:
        layers = [L.Conv2D(4, 3, strides=2, padding="same", data_format=order), L.ReLU(),
                  L.MaxPooling2D(2, data_format=order), L.Conv2D(4, (3, 2), data_format=order, name="here")]  # fmt: skip
        return keras.Sequential([keras.Input(shape), *layers])

    first, last = net("channels_first", (3, 40, 36)), net("channels_last", (40, 36, 3))
    for unit in (None, (0, 0), (4, 5)):
        assert receptive_field(first, "here", unit) == receptive_field(last, "here", unit)


def test_numbers_of_a_small_net_by_hand() -> None:
    model = keras.Sequential([keras.Input((32, 32, 3)), L.Conv2D(4, 5, padding="same", name="a"), L.MaxPooling2D(),
                              L.Conv2D(4, 3, name="b"), L.Flatten(), L.Dense(2, name="c")])  # fmt: skip
    a = receptive_field(model, "a", (0, 31))
    assert (a.lo, a.hi, a.size, a.stride, a.exact) == ((-2, 29), (2, 33), (5, 5), (1, 1), True)
    assert (a.inside.lo, a.inside.hi) == ((0, 29), (2, 31))
    b = receptive_field(model, "b")             # its centre is (7, 7): pooled 7 … 9, from 14 … 19, from 12 … 21
    assert (b.lo, b.hi, b.stride) == ((12, 12), (21, 21), (2, 2))
    assert receptive_field(model, "b", (-1, -1)) == receptive_field(model, "b", (13, 13))
    c = receptive_field(model, "c")
    assert (c.lo, c.hi, c.stride, c.exact) == ((0, 0), (31, 31), (0, 0), True)
    field = field_of(model, choose(model, "b")[0])
    assert (field.size, field.stride, field.offset, field.kind) == ((10, 10), (2, 2), (-2, -2), "exact")
    assert field_of(model, choose(model, "c")[0]).size == (32, 32)


def test_layers_within_a_nested_model() -> None:
    inner = keras.Sequential([keras.Input((10, 10, 2)), L.Conv2D(2, 3, name="x"), L.Conv2D(2, 3, name="y")], name="block")
    inputs = keras.Input((21, 21, 1))
    model = keras.Model(inputs, inner(L.Conv2D(2, 3, strides=2)(inputs)))
    assert receptive_field(model, "block/x").size == (7, 7)
    assert receptive_field(model, "block/y").size == receptive_field(model, inner.layers[1]).size == (11, 11)


class Mirror(L.ReLU):
    def call(self, x: Any) -> Any:
        return keras.ops.flip(super().call(x), axis=1)


def test_an_operation_that_is_not_known_is_measured() -> None:
    model = build(lambda x: L.Conv2D(2, 3)(Mirror()(x)))
    box = receptive_field(model, "here", (0, 0))
    assert (box.lo, box.hi, box.stride, box.kind) == ((20, 0), (22, 2), (-1, 1), "measured")
    field = field_of(model, choose(model, "here")[0])
    assert (field.size, field.stride, field.offset, field.kind) == ((3, 3), (-1, 1), (20, 0), "measured")
    model = build(lambda x: L.Conv2D(2, 3)(L.Lambda(lambda x: x + 1)(x)))
    assert receptive_field(model, "here", (0, 0)).hi == (2, 2)


def test_an_operation_that_is_not_known_and_cannot_be_measured_may_see_everything() -> None:
    model = build(lambda x: L.Conv2D(2, 3)(L.Lambda(lambda x: tf.cast(tf.cast(x, tf.int32), tf.float32))(x)))
    box = receptive_field(model, "here", (0, 0))
    assert (box.lo, box.hi, box.kind) == ((0, 0), (22, 19), "superset")
    assert field_of(model, choose(model, "here")[0]).kind == "superset"


def test_an_input_without_a_size() -> None:
    model = build(lambda x: L.Conv2D(2, 3, padding="same")(L.Conv2D(2, 5, strides=2, padding="same")(x)), (None, None, 1))
    box = receptive_field(model, "here", (4, 4))
    assert not box.exact and box.lo == (4, 4) and box.hi == (13, 13)         # one wider: either padding of the strided one
    model = build(lambda x: squeeze_and_excite(x), (None, None, 1))
    with pytest.raises(ValueError, match="whose size the model leaves open"):
        receptive_field(model, "here")
    assert "leaves open" in field_of(model, choose(model, "here")[0]).kind


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.conv = L.Conv2D(2, 3, name="conv")

    def call(self, x: Any) -> Any:
        return self.conv(x)


def test_what_cannot_be_told_is_said() -> None:
    model = sequential()
    with pytest.raises(ValueError, match="did you mean 'conv'"):
        receptive_field(model, "conf")
    with pytest.raises(ValueError, match=r"the map of layer 'conv' has the size \(6, 6\)"):
        receptive_field(model, "conv", (6, 0))
    with pytest.raises(ValueError, match="expected one layer"):
        receptive_field(model, "*")
    own = Subclassed()
    own(np.zeros((1, 8, 8, 1), np.float32))
    assert receptive_field(own, "conv").kind == "measured"
    one, other = keras.Input((8, 8, 1)), keras.Input((8, 8, 1))
    summed = L.Add()([L.Conv2D(1, 3, name="first")(one), L.Conv2D(1, 3)(other)])
    both = keras.Model([one, other], L.Conv2D(2, 3, name="both")(summed))
    assert receptive_field(both, "first").size == (3, 3)
    with pytest.raises(ValueError, match="several inputs"):
        receptive_field(both, "both")
    assert fw.explain.receptive_field is receptive_field
