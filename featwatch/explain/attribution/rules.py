"""What a ReLU passes back: as the gradient, as in a DeconvNet, or as in guided backpropagation.

A rule holds for operations that are traced within `ruled`, in that one graph: nothing of the model is
touched.  It needs no ReLU layer: what counts is the operation that TensorFlow traces, whoever called it.

    gradient    passes back what arrives, where the ReLU was on
    deconv      passes back what arrives and is positive, wherever that is (Zeiler and Fergus 2014,
                *Visualizing and Understanding Convolutional Networks*)
    guided      both: what arrives and is positive, where the ReLU was on (Springenberg et al. 2015,
                *Striving for Simplicity: The All Convolutional Net*)
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

MODES = ("deconv", "guided", "gradient")
_GRADIENTS = {"deconv": "FeatwatchDeconv", "guided": "FeatwatchGuided"}
# All that let a positive value through.  Of those that let through some of the negative ones, too, nothing comes back from there.
RECTIFIERS = ("Relu", "Relu6", "LeakyRelu", "Elu", "Selu")


@contextlib.contextmanager
def ruled(mode: str) -> Iterator[None]:
    """Operations traced meanwhile in the current graph pass back what `mode`, one of `MODES`, says."""
    graph = tf.compat.v1.get_default_graph()
    overridden = dict.fromkeys(RECTIFIERS, _GRADIENTS[mode]) if mode in _GRADIENTS else {}
    with graph.gradient_override_map(overridden):
        yield


def rectifiers_before(after: tf.Tensor) -> tuple[int, int]:
    """On the way to `after`: how many operations a rule can hold for, and how many calls it does not see into."""
    waiting, seen = [after.op], {after.op}
    found = hidden = 0
    while waiting:
        operation = waiting.pop()
        found += operation.type in RECTIFIERS
        hidden += operation.type in ("PartitionedCall", "StatefulPartitionedCall", "While", "StatelessWhile", "If", "StatelessIf")
        more = {each.op for each in operation.inputs} - seen
        seen |= more
        waiting += more
    return found, hidden


@tf.RegisterGradient("FeatwatchDeconv")
def _deconv(operation: Any, upwards: tf.Tensor) -> tf.Tensor:
    return tf.nn.relu(upwards)


@tf.RegisterGradient("FeatwatchGuided")
def _guided(operation: Any, upwards: tf.Tensor) -> tf.Tensor:
    x = operation.inputs[0]
    on = x > 0
    if operation.type == "Relu6":
        on &= x < 6
    elif operation.type == "Selu":                  # its slope is not 1
        upwards *= tf.cast(_SELU_SLOPE, upwards.dtype)
    return tf.where(on, tf.nn.relu(upwards), tf.zeros_like(upwards))


_SELU_SLOPE = 1.0507009873554805
