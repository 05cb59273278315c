"""Gradients that nothing blocks: they tell what a value depends on, not by how much.

Where a ReLU is off, a pooling takes another maximum, or a sigmoid is saturated, a gradient is zero though the value
may depend on what is there; and over many layers the gradients of what is seen at the edge of a receptive field become
too small for a floating-point number.  Of operations traced within `unblocked`, in that one graph, gradients are led
through such places, and made anew, positive and of moderate size, wherever they are not zero.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import ops

_NAME = "FeatwatchUnblocked"
# Each value is made of the values at the same place: the gradient goes there.  StopGradient blocks gradients only.
_OF_ONE = (
    "Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Sigmoid", "Tanh", "Softplus", "Softsign", "Erf", "Abs", "Sign", "Floor", "Ceil",
    "Round", "Rint", "Square", "Sqrt", "Rsqrt", "Exp", "Expm1", "Log", "Log1p", "ClipByValue", "StopGradient",
)  # fmt: skip
_OF_TWO = ("Maximum", "Minimum")
_POOLING = {"MaxPool": tf.raw_ops.AvgPoolGrad, "MaxPool3D": tf.raw_ops.AvgPool3DGrad}
_OVER_AXES = ("Max", "Min")
# Nothing is blocked here; the gradient is made anew, so that it stays of moderate size.
_SUMMING = (
    "Conv2D", "Conv3D", "DepthwiseConv2dNative", "Conv2DBackpropInput", "Conv3DBackpropInputV2", "MatMul", "BatchMatMul",
    "BatchMatMulV2", "BatchMatMulV3", "Einsum", "AvgPool", "AvgPool3D", "Mean", "Sum", "Softmax", "Mul",
)  # fmt: skip
_EVERY = (*_OF_ONE, *_OF_TWO, *_POOLING, *_OVER_AXES, *_SUMMING)


@contextlib.contextmanager
def unblocked() -> Iterator[None]:
    """Operations traced meanwhile, in the graph that is being built, pass gradients on wherever they read something."""
    with tf.compat.v1.get_default_graph().gradient_override_map({kind: _NAME + kind for kind in _EVERY}):
        yield


def _anew(upwards: Any) -> tf.Tensor:
    """Random between ½ and 1½ where it is not zero: equal numbers would cancel out where something is normalised."""
    upwards = tf.convert_to_tensor(upwards)
    # A seed of its own: no global state moves.
    chance = tf.random.stateless_uniform(tf.shape(upwards), (3, 5), 0.5, 1.5)
    return tf.where(tf.equal(upwards, 0), tf.zeros_like(upwards), tf.cast(chance, upwards.dtype))


def _of_one(operation: Any, upwards: Any) -> Any:
    return [_anew(upwards), *[None] * (len(operation.inputs) - 1)]


def _of_two(operation: Any, upwards: Any) -> Any:
    one, other = (tf.shape(value) for value in operation.inputs)
    axes = tf.raw_ops.BroadcastGradientArgs(s0=one, s1=other)
    anew = _anew(upwards)
    return [tf.reshape(tf.reduce_sum(anew, axis), shape) for axis, shape in zip(axes, (one, other), strict=True)]


def _of_window(operation: Any, upwards: Any) -> Any:
    if operation.get_attr("padding") == b"EXPLICIT":
        return ops._gradient_registry.lookup(operation.type)(operation, upwards)
    settings = {name: operation.get_attr(name) for name in ("ksize", "strides", "padding", "data_format")}
    shape = tf.shape(operation.inputs[0])
    return _POOLING[operation.type](orig_input_shape=shape, grad=_anew(upwards), **settings)


def _over_axes(operation: Any, upwards: Any) -> Any:
    shape = tf.shape(operation.inputs[0])
    axes = tf.reshape(operation.inputs[1] % tf.size(shape), (-1, 1))
    kept = tf.tensor_scatter_nd_update(shape, axes, tf.ones_like(axes[:, 0]))
    return [tf.broadcast_to(tf.reshape(_anew(upwards), kept), shape), None]


def _summing(operation: Any, upwards: Any) -> Any:
    return ops._gradient_registry.lookup(operation.type)(operation, _anew(upwards))


_RULES = ((_OF_ONE, _of_one), (_OF_TWO, _of_two), (_POOLING, _of_window), (_OVER_AXES, _over_axes), (_SUMMING, _summing))
for _kinds, _rule in _RULES:
    for _kind in _kinds:
        tf.RegisterGradient(_NAME + _kind)(_rule)
