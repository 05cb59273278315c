"""Gradients that pass through a ReLU which is off, where otherwise nothing would pass.

A start at which every ReLU on the way is off gives no gradient and stays where it is.  For some steps
then gradients are let through that would switch units on (as in Lucid's `redirected_relu_grad`).  Only the
gradients of operations that are traced within `redirected` are concerned, in that one graph: nothing of
the model is touched.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

_GRADIENT = "FeatwatchRedirected"
_WHEN = "featwatch/redirected_when"     # collection of a graph: a boolean, whether to redirect


@contextlib.contextmanager
def redirected(when: tf.Tensor) -> Iterator[None]:
    """Operations traced meanwhile in the graph of `when`, a boolean scalar, have redirected gradients where it is true."""
    graph = tf.compat.v1.get_default_graph()
    graph.clear_collection(_WHEN)
    graph.add_to_collection(_WHEN, when)
    with graph.gradient_override_map({"Relu": _GRADIENT, "Relu6": _GRADIENT}):
        yield


@tf.RegisterGradient(_GRADIENT)
def _redirected_gradient(operation: Any, upwards: tf.Tensor) -> tf.Tensor:
    """`upwards`: the objective's gradient with regard to what the ReLU gives; the objective is to grow."""
    x = operation.inputs[0]
    capped = operation.type == "Relu6"
    gradient = tf.raw_ops.Relu6Grad if capped else tf.raw_ops.ReluGrad
    passed = gradient(gradients=upwards, features=x)
    found = operation.graph.get_collection(_WHEN)
    if not found:
        return passed

    def opened() -> tf.Tensor:
        blocked = tf.reduce_all(tf.equal(passed, 0), axis=list(range(1, x.shape.rank)), keepdims=True)
        # Where a sample is blocked nothing comes from where its ReLU is on; so what remains is what would switch it on.
        useful = tf.where(x >= 6, tf.minimum(upwards, 0), tf.nn.relu(upwards)) if capped else tf.nn.relu(upwards)
        return tf.where(blocked, useful, passed)

    return tf.cond(found[0], opened, lambda: passed)
