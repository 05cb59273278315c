"""Receptive fields of nets that are more than convolutions, against gradients that featwatch has no part in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from featwatch.explain import field_of, receptive_field
from featwatch.layers import choose
from tests.test_receptive_field import inside, some_units

L, ops = keras.layers, keras.ops
PICTURE, SEQUENCE, VIDEO = (16, 14, 2), (17, 3), (6, 8, 7, 1)


def self_attention(x: Any) -> Any:
    x = L.Conv1D(4, 3, padding="causal")(x)
    return L.MultiHeadAttention(2, 2)(x, x)


def causal_attention(x: Any) -> Any:
    return L.MultiHeadAttention(2, 2)(x, x, use_causal_mask=True)


def transformer(x: Any) -> Any:
    x = L.Conv1D(4, 4, strides=4)(x)
    normed = L.LayerNormalization()(x)
    x = x + L.MultiHeadAttention(2, 2)(normed, normed)
    return x + L.Dense(4)(L.Dense(8, activation="gelu")(L.LayerNormalization()(x)))


def vision_transformer(x: Any) -> Any:
    x = L.Reshape((-1, 4))(L.Conv2D(4, 4, strides=4)(x))
    return x + L.MultiHeadAttention(1, 4)(L.LayerNormalization()(x), x)


def mixer(x: Any) -> Any:
    y = L.Permute((2, 1))(L.Dense(17)(L.Permute((2, 1))(x)))
    return L.Conv1D(2, 3)(x + y)


def wavenet(x: Any) -> Any:
    for rate in (1, 2, 4):
        gate = L.Conv1D(3, 2, padding="causal", dilation_rate=rate, activation="sigmoid")(x)
        x = x + gate * L.Conv1D(3, 2, padding="causal", dilation_rate=rate, activation="tanh")(x)
    return x


def recurrent(x: Any) -> Any:
    return L.LSTM(3, return_sequences=True)(L.Conv1D(3, 2, strides=2)(x))


def both_ways(x: Any) -> Any:
    return L.Bidirectional(L.GRU(2, return_sequences=True))(x)


def last_state(x: Any) -> Any:
    return L.Dense(2)(L.SimpleRNN(3)(x))


def layer_normalised(x: Any) -> Any:
    return L.Conv2D(2, 3, padding="same")(L.LayerNormalization()(L.Conv2D(3, 3, strides=2)(x)))


def normalised_over_space(x: Any) -> Any:
    return L.LayerNormalization(axis=(1, 2, 3))(L.Conv2D(2, 3)(x))


def group_normalised(x: Any) -> Any:
    return L.Conv2D(2, 3)(ops.relu(L.GroupNormalization(2)(L.Conv2D(4, 3)(x))))


def batch_normalised_residual(x: Any) -> Any:
    y = L.BatchNormalization()(L.Conv2D(2, 3, padding="same", use_bias=False)(x))
    return ops.relu(y + x)


def with_operations(x: Any) -> Any:
    y = ops.max_pool(ops.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), 3, 1)
    return L.Conv2D(2, 3)(ops.sqrt(ops.abs(y) + 1.0) * ops.tanh(x))


def moved_about(x: Any) -> Any:
    return L.Conv2D(2, 3)(ops.concatenate([ops.roll(x, 5, axis=1), x[:, ::-1]], axis=-1))


def mean_over_rows(x: Any) -> Any:
    return L.Conv2D(2, (1, 3))(ops.mean(x, axis=1, keepdims=True))


def resized(x: Any) -> Any:
    return L.Conv2D(2, 2)(L.Resizing(9, 7)(L.Conv2D(2, 3)(x)))


def unshuffled(x: Any) -> Any:
    x = ops.reshape(ops.transpose(ops.reshape(x, (-1, 8, 2, 7, 2, 2)), (0, 1, 3, 2, 4, 5)), (-1, 8, 7, 8))
    return L.Conv2D(2, 3, padding="same")(x)


def gated_by_the_mean(x: Any) -> Any:
    x = L.Conv2D(2, 3)(x)
    return x * L.Dense(2, activation="sigmoid")(ops.mean(x, axis=(1, 2), keepdims=True))


def grouped(x: Any) -> Any:
    return L.Conv2D(4, 3, groups=2)(L.SeparableConv2D(4, 3, dilation_rate=2)(x))


def over_time(x: Any) -> Any:
    return L.TimeDistributed(L.Conv2D(2, 3, strides=2))(x)


def convolutional_lstm(x: Any) -> Any:
    return L.ConvLSTM2D(2, 3, return_sequences=True)(x)


def volumes(x: Any) -> Any:
    return L.MaxPooling3D((1, 2, 2))(L.Conv3D(2, (2, 3, 3), padding="same")(x))


def in_parts(x: Any) -> Any:
    return L.Concatenate(axis=1)([L.Conv2D(2, 3)(x[:, :8]), L.Conv2D(2, 3)(x[:, 8:])])


NETS = [
    (self_attention, SEQUENCE, "exact"), (transformer, SEQUENCE, "exact"), (vision_transformer, PICTURE, "exact"),
    (mixer, SEQUENCE, "exact"), (wavenet, SEQUENCE, "exact"), (both_ways, SEQUENCE, "exact"), (last_state, SEQUENCE, "exact"),
    (layer_normalised, PICTURE, "exact"), (normalised_over_space, PICTURE, "exact"), (group_normalised, PICTURE, "exact"),
    (batch_normalised_residual, PICTURE, "exact"), (gated_by_the_mean, PICTURE, "exact"), (grouped, PICTURE, "exact"),
    (volumes, VIDEO, "exact"),
    (causal_attention, SEQUENCE, "measured"), (recurrent, SEQUENCE, "measured"), (with_operations, PICTURE, "measured"),
    (moved_about, PICTURE, "measured"), (mean_over_rows, PICTURE, "measured"), (resized, PICTURE, "measured"),
    (unshuffled, PICTURE, "measured"), (over_time, VIDEO, "measured"), (convolutional_lstm, VIDEO, "measured"),
    (in_parts, PICTURE, "measured"),
]  # fmt: skip


def build(net: Callable[[Any], Any], shape: tuple[int, ...]) -> Any:
    inputs = keras.Input(shape)
    return keras.Model(inputs, L.Identity(name="here")(net(inputs)))


def seen(model: Any, units: list[tuple[int, ...]], samples: int = 12) -> list[list[tuple[int, int]]]:
    """Of each unit (lo, hi) per spatial axis of all positions at which it has a gradient, for any of some weights and inputs."""
    rng = np.random.default_rng(0)
    found = np.zeros((len(units), *model.input_shape[1:-1]), bool)
    for trial in range(4):
        weights = [
            tf.constant((np.abs(rng.normal(size=v.shape)) + 0.1) / max(1, np.prod(v.shape[:-1])), tf.float32)
            for v in model.trainable_variables
        ]
        state = [tf.constant(v.numpy()) for v in model.non_trainable_variables]
        shape = (len(units) * samples, *model.input_shape[1:])
        x = tf.constant(rng.uniform(0.1, 1, shape) if trial % 2 else rng.normal(size=shape), tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y, _ = model.stateless_call(weights, state, x, training=False)
            of_units = [y[(slice(row * samples, (row + 1) * samples), *unit)] for row, unit in enumerate(units)]
            value = tf.add_n([tf.reduce_sum(each * rng.uniform(0.5, 1, y.shape[-1]).astype("f")) for each in of_units])
        gradient = np.abs(tape.gradient(value, x)).reshape(len(units), samples, *model.input_shape[1:])
        found |= (gradient > 0).any(axis=(1, -1))
    where = [np.argwhere(mask) for mask in found]
    return [list(zip(each.min(axis=0).tolist(), each.max(axis=0).tolist(), strict=True)) for each in where]


@pytest.mark.parametrize(("net", "shape", "kind"), NETS, ids=[net.__name__ for net, *_ in NETS])
def test_the_box_is_where_gradients_are(net: Callable[[Any], Any], shape: tuple[int, ...], kind: str) -> None:
    """`kind`: "exact" where everything is known, or what is measured is all that there can be."""
    model = build(net, shape)
    field = field_of(model, choose(model, "here")[0])
    sizes = model.output_shape[1:-1]
    units = some_units(sizes) if sizes else [()]
    assert receptive_field(model, "here").kind == kind
    for unit, truth in zip(units, seen(model, units), strict=True):
        box = receptive_field(model, "here", unit)
        assert box.kind != "superset" and inside(box) == truth, (unit, box)
        for axis, (low, high) in enumerate(truth):
            along = unit[axis] if len(unit) == len(truth) else 0
            first = field.offset[axis] + along * field.stride[axis]
            assert first <= low and first + field.size[axis] > high, (unit, field)
