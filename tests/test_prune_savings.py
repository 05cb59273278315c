"""Parameters and multiply-adds, against TensorFlow's own graph of a model; and measured latency."""

from __future__ import annotations

import math
import time
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import featwatch as fw
from featwatch.prune.anatomy import Anatomy
from featwatch.prune.latency import any_batch, latencies
from featwatch.prune.savings import Sizes
from tests import nets

layers = keras.layers


def in_the_graph(model: Any) -> int:
    """Multiply-adds of all operations that TensorFlow makes of a model for one sample."""
    specs = keras.tree.map_structure(lambda tensor: tf.TensorSpec((1, *tensor.shape[1:]), tensor.dtype), model.inputs)
    specs = specs[0] if len(specs) == 1 else specs
    traced = tf.function(lambda inputs: model(inputs, training=False), autograph=False).get_concrete_function(specs)
    total = 0
    for operation in traced.graph.get_operations():
        if operation.type in ("Conv2D", "Conv3D", "DepthwiseConv2dNative"):     # a one-dimensional one is made one of two
            total += math.prod(operation.inputs[1].shape) * math.prod(operation.outputs[0].shape[1:-1])
        elif operation.type in ("Conv2DBackpropInput", "Conv3DBackpropInputV2"):
            total += math.prod(operation.inputs[1].shape) * math.prod(operation.inputs[2].shape[1:-1])
        elif operation.type in ("MatMul", "BatchMatMulV2", "Einsum"):
            assert operation.type != "Einsum"
            turned = operation.get_attr("transpose_a") if operation.type == "MatMul" else operation.get_attr("adj_x")
            total += math.prod(operation.outputs[0].shape) * operation.inputs[0].shape[-2 if turned else -1]
    return total


def of(model: Any, groups: Any = ()) -> tuple[int, int]:
    sizes = Sizes(Anatomy(model))
    assert not sizes.uncounted
    return sizes.of(groups)


def of_every_kind() -> Any:
    inputs = keras.Input((8, 8, 4))
    x = layers.Conv2D(8, 3, padding="same", strides=2, use_bias=False)(inputs)
    x = layers.BatchNormalization()(x)
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same")(x)
    x = layers.SeparableConv2D(6, 3, padding="same", activation="relu")(x)
    x = layers.Conv2DTranspose(6, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.Add()([x, layers.Conv2D(6, 1)(x)])
    x = layers.Dense(5, activation="relu")(x)                   # at every position
    x = layers.Reshape((64, 5))(x)
    x = layers.Conv1D(7, 3, padding="causal")(x)
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, layers.Dense(3)(x))


def shared_and_nested() -> Any:
    block = keras.Sequential([keras.Input((8, 8, 4)), layers.Conv2D(4, 3, padding="same", activation="relu")])
    conv = layers.Conv2D(4, 3, padding="same")
    inputs = keras.Input((8, 8, 4))
    x = block(conv(conv(inputs)))
    x = layers.Add()([x, block(x)])
    return keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))


@pytest.mark.parametrize("make", [of_every_kind, shared_and_nested, nets.functional, nets.sequential])
def test_counts_are_those_of_the_graph(make: Any) -> None:
    model = make()
    assert of(model) == (model.count_params(), in_the_graph(model))
    small = fw.prune.plan(model, ratio=0.4, criterion="random").apply(model)
    assert of(small) == (small.count_params(), in_the_graph(small))


def test_grouped_and_dilated_convolutions_by_hand() -> None:
    inputs = keras.Input((9, 9, 4))
    x = layers.Conv2D(8, 3, groups=2, name="grouped")(inputs)
    x = layers.Conv2D(5, 3, dilation_rate=2, name="dilated")(x)
    model = keras.Model(inputs, layers.Conv2D(10, 1, groups=5, name="each")(x))
    assert of(model) == (model.count_params(), 49 * 9 * 2 * 8 + 9 * 9 * 8 * 5 + 9 * 10)


def test_recurrent_layers_and_attention_by_hand() -> None:
    series = keras.Input((5, 6))
    x = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(series)
    x = layers.TimeDistributed(layers.Dense(6))(x)
    x = layers.MultiHeadAttention(2, 3, name="attention")(x, x)
    x = layers.GRU(4)(x)
    model = keras.Model(series, layers.Dense(2)(x))
    lstm = 2 * 5 * (6 * 16 + 4 * 16)
    attention = 4 * 5 * 6 * 2 * 3 + 2 * (5 * 5 * 2 * 3)
    assert of(model) == (model.count_params(), lstm + 5 * 8 * 6 + attention + 5 * (6 * 12 + 4 * 12) + 4 * 2)


def test_what_is_not_known_is_said() -> None:
    open_size = keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(4, 3), layers.Conv2D(2, 3)])
    plan = fw.prune.plan(open_size, ratio=0.5)
    assert plan.savings.multiply_adds_before == plan.savings.multiply_adds_after == -1
    assert "multiply-adds" not in str(plan) and "parameters" in str(plan)

    class Own(layers.Layer):
        def build(self, shape: Any) -> None:
            self.table = self.add_weight(shape=(shape[-1], 4))

        def call(self, x: Any) -> Any:
            return x @ self.table

    model = keras.Sequential([keras.Input((6,)), layers.Dense(8), Own(name="own"), layers.Dense(3)])
    plan = fw.prune.plan(model, ratio=0.5)
    assert any("multiply-adds lack those of own" in note for note in plan.notes)
    assert plan.savings.multiply_adds_before == 6 * 8 + 4 * 3


def test_the_count_of_resnet50_is_the_published_one() -> None:
    model = keras.applications.ResNet50(weights=None)
    began = time.process_time()
    plan = fw.prune.plan(model, ratio=0.5)
    taken = time.process_time() - began
    assert plan.savings.multiply_adds_before == 3_857_973_248 and plan.savings.parameters_before == model.count_params()
    assert sum(map(len, plan.chosen.values())) == 5728
    assert taken < 3                                    # 0.5 s, quiet


def test_latency_tells_a_large_model_from_a_small_one() -> None:
    def dense(units: int) -> Any:
        return keras.Sequential([keras.Input((256,)), layers.Dense(units), layers.Dense(units), layers.Dense(2)])

    small, large = dense(8), dense(2048)
    first, second = latencies([small, large], any_batch(small, 64), seconds=0.3)
    assert first.milliseconds < second.milliseconds and first.batch == 64 and first.rounds == second.rounds >= 7
    assert first.low <= first.milliseconds <= first.high
    assert any_batch(keras.Sequential([keras.Input((None, 3)), layers.Dense(2)])) is None
    whole = any_batch(keras.Sequential([keras.Input((4,), dtype="int32"), layers.Embedding(3, 2)]))
    assert whole.dtype == np.int32 and whole.shape == (32, 4)


def test_samples_tell_the_multiply_adds_of_a_model_that_leaves_sizes_open() -> None:
    image, words = keras.Input((None, None, 3), name="image"), keras.Input((None, 5), name="words")
    seen = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, padding="same", name="seen")(image))
    heard = layers.GlobalAveragePooling1D()(layers.Conv1D(6, 3, name="heard")(words))
    model = keras.Model([image, words], layers.Dense(2)(layers.Concatenate()([seen, heard])))
    pictures, phrases = np.zeros((4, 8, 10, 3), np.float32), np.zeros((4, 7, 5), np.float32)
    wanted = 80 * 4 * 27 + 5 * 6 * 15 + 10 * 2
    for x in ((pictures, phrases), {"words": phrases, "image": pictures}):
        plan = fw.prune.plan(model, units={"seen": [0], "heard": [1, 2]}, probe=fw.Probe(x))
        assert plan.savings.multiply_adds_before == wanted
        assert plan.savings.multiply_adds_after == 80 * 3 * 27 + 5 * 4 * 15 + 7 * 2
        assert any("for samples of (8, 10, 3) and (7, 5)" in note for note in plan.notes)
    other = fw.Probe((pictures, np.zeros((4, 7, 6), np.float32)))               # of another model
    assert fw.prune.plan(model, units={"seen": [0]}, probe=other).savings.multiply_adds_before == -1
    fixed = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="a"), layers.Dense(2)])
    assert not fw.prune.plan(fixed, ratio=0.4, probe=fw.Probe(np.zeros((4, 4), np.float32))).notes
