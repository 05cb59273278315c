"""Rules of pruning, one kind of operation at a time: what is pruned gives what the whole model gives with units masked."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras.src.applications.inception_resnet_v2 import CustomScaleLayer

from featwatch.prune.anatomy import Anatomy
from featwatch.prune.rebuild import rebuilt
from tests.prune_nets import image_net, inputs_of, series_net, vector_net
from tests.pruning_truth import apart, drawn, masked, prunable

layers, ops = keras.layers, keras.ops
FIRST = "channels_first"


def _both(x: Any, *others: Any) -> Any:
    return layers.Concatenate()([x, *others])


def _excited(x: Any) -> Any:
    s = layers.GlobalAveragePooling2D(keepdims=True)(x)
    s = layers.Conv2D(8, 1, activation="sigmoid")(layers.Conv2D(3, 1, activation="relu")(s))
    return layers.Multiply()([x, s])


def _excited_flat(x: Any) -> Any:
    s = layers.Dense(8, activation="sigmoid")(layers.Dense(3, activation="relu")(layers.GlobalAveragePooling2D()(x)))
    return layers.Multiply()([x, layers.Reshape((1, 1, 8))(s)])


def _shuffled(x: Any) -> Any:
    x = layers.Reshape((8, 8, 2, 4))(x)
    return layers.Reshape((8, 8, 8))(layers.Permute((1, 2, 4, 3))(x))


def _shuffled_ops(x: Any) -> Any:
    x = ops.transpose(ops.reshape(x, (-1, 8, 8, 2, 4)), (0, 1, 2, 4, 3))
    return layers.Conv2D(4, 3, groups=2)(ops.reshape(x, (-1, 8, 8, 8)))


def _halves(x: Any) -> Any:
    one, other = ops.split(x, 2, axis=-1)
    return layers.Concatenate()([layers.Conv2D(4, 3, padding="same")(one), other])


def _thirds(x: Any) -> Any:
    one, two, three = ops.split(x, [3, 5], axis=-1)
    return layers.Concatenate()([three, one, ops.relu(two)])


def _nested_twice(x: Any) -> Any:
    entering = keras.Input((8, 8, 8))
    inner = keras.Model(entering, layers.Conv2D(8, 3, padding="same", activation="relu")(entering))
    return inner(inner(x))


def _shared(x: Any) -> Any:
    shared, also = layers.Conv2D(8, 3, padding="same"), layers.BatchNormalization()
    return layers.Add()([also(shared(x)), also(shared(layers.Conv2D(8, 1)(x)))])


IMAGES = {
    "convolution": lambda x: layers.Conv2D(6, 3, activation="relu")(x),
    "convolution without bias": lambda x: layers.Conv2D(6, 3, use_bias=False, dilation_rate=2)(x),
    "grouped": lambda x: layers.Conv2D(6, 3, groups=2)(x),
    "a group for each channel": lambda x: layers.Conv2D(16, 3, groups=8)(x),
    "transposed": lambda x: layers.Conv2DTranspose(6, 3, strides=2)(x),
    "depthwise": lambda x: layers.DepthwiseConv2D(3, depth_multiplier=2)(x),
    "separable": lambda x: layers.SeparableConv2D(6, 3, depth_multiplier=2)(x),
    "batch normalisation": lambda x: layers.BatchNormalization()(x),
    "without gamma": lambda x: layers.BatchNormalization(scale=False)(x),
    "without beta": lambda x: layers.BatchNormalization(center=False)(x),
    "normalised in groups": lambda x: layers.GroupNormalization(4)(x),
    "each channel normalised": lambda x: layers.GroupNormalization(-1, scale=False)(x),
    "slopes": lambda x: layers.PReLU()(x),
    "shared slopes": lambda x: layers.PReLU(shared_axes=[1, 2])(x),
    "slopes as activation": lambda x: layers.Conv2D(6, 3, activation=layers.PReLU(shared_axes=[1, 2]))(x),
    "leaky": lambda x: layers.LeakyReLU()(x),
    "softplus": lambda x: layers.Activation("softplus")(x),
    "a function": lambda x: layers.Activation(lambda v: v * ops.sigmoid(v))(x),
    "max pooling": lambda x: layers.MaxPooling2D()(x),
    "average pooling": lambda x: layers.AveragePooling2D(2, padding="same")(x),
    "global": lambda x: layers.GlobalAveragePooling2D()(x),
    "global, axes kept": lambda x: layers.GlobalMaxPooling2D(keepdims=True)(x),
    "adaptive": lambda x: layers.AdaptiveAveragePooling2D(2)(x),
    "padding": lambda x: layers.ZeroPadding2D((1, 2))(x),
    "cropping": lambda x: layers.Cropping2D(1)(x),
    "upsampling": lambda x: layers.UpSampling2D(interpolation="bilinear")(x),
    "resizing": lambda x: layers.Resizing(5, 4)(x),
    "dropout": lambda x: layers.GaussianNoise(0.3)(layers.SpatialDropout2D(0.3)(layers.Dropout(0.3)(x))),
    "permuted": lambda x: layers.Permute((3, 1, 2))(x),
    "rescaling": lambda x: layers.Rescaling(2.0, 1.0)(x),
    "rescaling by channel": lambda x: layers.Rescaling(list(range(1, 9)), list(range(8)))(x),
    "normalisation": lambda x: layers.Normalization(mean=list(range(8)), variance=list(range(1, 9)))(x),
    "normalisation of all": lambda x: layers.Normalization(axis=None, mean=1.0, variance=2.0)(x),
    "sum": lambda x: layers.Add()([x, layers.Conv2D(8, 1)(x)]),
    "difference": lambda x: layers.Subtract()([layers.Conv2D(8, 1)(x), x]),
    "largest": lambda x: layers.Maximum()([x, layers.Conv2D(8, 1)(x), layers.Conv2D(8, 3, padding="same")(x)]),
    "excited": _excited,
    "excited, flat": _excited_flat,
    "spread": lambda x: layers.Multiply()([x, layers.Conv2D(1, 1, activation="sigmoid")(x)]),
    "beside": lambda x: layers.Conv2D(4, 1)(_both(layers.Conv2D(5, 3, padding="same")(x), x)),
    "above": lambda x: layers.Concatenate(axis=1)([x, layers.Conv2D(8, 1)(x)]),
    "shuffled": _shuffled,
    "shuffled by operations": _shuffled_ops,
    "halves": _halves,
    "thirds": _thirds,
    "nested twice": _nested_twice,
    "shared": _shared,
    "numbers": lambda x: ops.exp(-(x * 2.0 + 1) / 3),
    "numbers by channel": lambda x: x * np.arange(1, 9, dtype="float32") + np.ones((1, 8), "float32"),
    "numbers by place": lambda x: x * np.arange(8, dtype="float32").reshape(8, 1, 1),
    "where": lambda x: ops.where(x > 0.1, x, layers.Conv2D(8, 1)(x)),
    "where, by channel": lambda x: ops.where(x > np.arange(8) / 10, x, -1.0),
    "mean": lambda x: ops.mean(x, axis=(1, 2)),
    "largest along rows": lambda x: ops.max(x, axis=1, keepdims=True),
    "variance": lambda x: ops.var(x, axis=2),
    "softmax over places": lambda x: ops.softmax(x, axis=1),
    "layer over places": lambda x: layers.Softmax(axis=(1, 2))(x),
    "slice": lambda x: layers.Conv2D(3, 1)(x[:, 1:6, ::2, 2:7]),
    "slice from behind": lambda x: layers.Concatenate()([x[..., -3:], x[..., :-3]]),
    "a row": lambda x: x[:, 2],
    "rows": lambda x: layers.Concatenate()(ops.unstack(x[:, :3], axis=1)),
    "a new axis": lambda x: x[:, None, ..., ::-1],
    "slice by operation": lambda x: ops.slice(x, (0, 1, 0, 2), (-1, 5, 8, 4)),
    "taken": lambda x: ops.take(x, [7, 0, 1, 2, 2, 5], axis=-1),
    "padded": lambda x: ops.pad(x, ((0, 0), (1, 1), (1, 0), (0, 0))),
    "channels padded": lambda x: layers.Add()([ops.pad(x, ((0, 0), (0, 0), (0, 0), (1, 3))), layers.Conv2D(12, 1)(x)]),
    "dense over places": lambda x: layers.Dense(4, activation=layers.PReLU())(layers.Permute((3, 1, 2))(x)),
    "moved": lambda x: ops.moveaxis(x, -1, 1),
    "swapped": lambda x: ops.swapaxes(x, 1, 3),
    "expanded": lambda x: ops.squeeze(ops.expand_dims(ops.mean(x, axis=(1, 2)), (1, 3)), axis=3),
    "tiled": lambda x: layers.Conv2D(3, 1)(ops.tile(x, (1, 1, 2, 2))),
    "repeated": lambda x: layers.Conv2D(3, 1)(ops.repeat(x, 2, axis=-1)),
    "flipped": lambda x: ops.flip(x, axis=(1, 3)),
    "stacked": lambda x: ops.stack([x, layers.Conv2D(8, 1)(x)], axis=1),
    "a function of its own": lambda x: layers.Lambda(lambda v: v * v + 1)(x),
    "a scaled sum": lambda x: CustomScaleLayer(0.3)([x, layers.Conv2D(8, 1)(x)]),
    "a function of three": lambda x: layers.Lambda(lambda v: v[0] * ops.sigmoid(v[1]) + v[2])(
        [x, layers.Conv2D(8, 1)(x), layers.Conv2D(8, 3, padding="same")(x)]),
    "a function that moves axes": lambda x: layers.Lambda(lambda v: ops.mean(v, axis=1))(x),
    "reshaped, rows": lambda x: layers.Dense(4)(layers.Reshape((-1, 8))(x)),
    "reshaped, open": lambda x: layers.Dense(4)(ops.reshape(x, (-1, 8, 64))),
    "flat and back": lambda x: layers.Conv2D(3, 1)(layers.Reshape((4, 16, 8))(layers.Flatten()(x))),
}
VECTORS = {
    "dense": lambda x: layers.Dense(6, activation="relu")(x),
    "dense with slopes": lambda x: layers.Dense(6, activation=layers.PReLU())(x),
    "unit by unit": lambda x: layers.BatchNormalization()(x),
    "repeated": lambda x: layers.RepeatVector(3)(x),
    "to an image": lambda x: layers.Conv2D(3, 3)(layers.Reshape((4, 4, 2))(layers.Dense(32)(x))),
    "product": lambda x: layers.Dot(axes=-1)([x, layers.Dense(8)(x)]),
    "cosine": lambda x: layers.Dot(axes=1, normalize=True)([x, layers.Dense(8)(x)]),
    "a function with an argument": lambda x: layers.Lambda(lambda v, by: by * v, arguments={"by": 3.0})(x),
    "where from": lambda x: ops.where(layers.Dense(8)(x) > 0, x, 0.0),
}
SERIES = {
    "convolution over time": lambda x: layers.Conv1D(6, 3, padding="causal")(x),
    "grouped over time": lambda x: layers.Conv1D(6, 3, groups=2)(x),
    "transposed over time": lambda x: layers.Conv1DTranspose(6, 3)(x),
    "depthwise over time": lambda x: layers.DepthwiseConv1D(3, depth_multiplier=2)(x),
    "separable over time": lambda x: layers.SeparableConv1D(6, 3)(x),
    "LSTM": lambda x: layers.LSTM(6)(x),
    "LSTM over time": lambda x: layers.LSTM(4, return_sequences=True)(layers.LSTM(6, return_sequences=True)(x)),
    "LSTM of states": lambda x: _both(*layers.LSTM(6, return_state=True)(x)),
    "LSTM from states": lambda x: layers.LSTM(6)(x, initial_state=layers.LSTM(6, return_state=True)(x)[1:]),
    "GRU": lambda x: layers.GRU(6)(x),
    "GRU, reset before": lambda x: layers.GRU(6, reset_after=False)(x),
    "GRU without bias": lambda x: layers.GRU(6, use_bias=False, go_backwards=True)(x),
    "simple": lambda x: layers.SimpleRNN(6, activation="sigmoid")(x),
    "both ways": lambda x: layers.Bidirectional(layers.LSTM(5))(x),
    "both ways, over time": lambda x: layers.Bidirectional(layers.GRU(5, return_sequences=True), merge_mode="sum")(x),
    "both ways, apart": lambda x: _both(*layers.Bidirectional(layers.SimpleRNN(5), merge_mode=None)(x)),
    "at each step": lambda x: layers.TimeDistributed(layers.Dense(6, activation="relu"))(x),
    "normalised at each step": lambda x: layers.TimeDistributed(layers.BatchNormalization())(x),
    "a model at each step": lambda x: layers.TimeDistributed(
        keras.Sequential([keras.Input((8,)), layers.Dense(6, activation="relu"), layers.Dense(4)]))(x),
    "heads": lambda x: layers.MultiHeadAttention(4, 3)(x, x),
    "heads, of another size": lambda x: layers.MultiHeadAttention(4, 3, value_dim=2, output_shape=6)(x, layers.Conv1D(5, 1)(x)),
    "heads, gated, without bias": lambda x: layers.MultiHeadAttention(3, 3, use_gate=True, use_bias=False)(x, x, x),
    "heads and their scores": lambda x: layers.Reshape((-1,))(
        layers.MultiHeadAttention(4, 3)(x, x, return_attention_scores=True)[1]),
    "heads, residual": lambda x: layers.Add()([x, layers.MultiHeadAttention(4, 3)(x, x, use_causal_mask=True)]),
    "heads in groups": lambda x: layers.GroupQueryAttention(3, 4, 2)(x, x),
    "pooled over time": lambda x: layers.GlobalMaxPooling1D()(layers.AveragePooling1D(2)(x)),
    "cumulated": lambda x: ops.cumsum(x, axis=1),
    "padded over time": lambda x: layers.Cropping1D(1)(layers.ZeroPadding1D(2)(layers.UpSampling1D(2)(x))),
}
CASES = [
    *((f"image: {name}", image_net, middle) for name, middle in IMAGES.items()),
    *((f"vector: {name}", vector_net, middle) for name, middle in VECTORS.items()),
    *((f"series: {name}", series_net, middle) for name, middle in SERIES.items()),
]


def same(model: Any, share: float = 0.5, seeds: tuple[int, ...] = (0,)) -> Anatomy:
    """Check that pruned is masked, and that masking nothing leaves all as it is; gives the anatomy."""
    anatomy = Anatomy(model)
    inputs = inputs_of(model)
    whole = masked(model, anatomy, (), inputs)
    assert apart(whole, keras.tree.flatten(model(inputs, training=False))) < 1e-6
    for seed in seeds:
        groups = drawn(anatomy, share, seed)
        assert groups, "nothing can go"
        expected = masked(model, anatomy, groups, inputs)
        assert apart(expected, whole) > 1e-3, "masking changes nothing, so it shows nothing"
        small = rebuilt(anatomy, groups)
        assert apart(keras.tree.flatten(small(inputs, training=False)), expected) < 1e-5
        assert small.count_params() < model.count_params()
    return anatomy


@pytest.mark.parametrize(("net", "middle"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_pruned_is_masked(net: Any, middle: Any) -> None:
    anatomy = same(net(middle))
    assert "before" not in anatomy.frozen()
    assert set(anatomy.prunable()) == set(prunable(anatomy))
