"""Runs a model's own computation so that what goes into and comes out of its layers can be taken.

Nothing is made and nothing is changed: no layer, no model, no name counter, no seed moves.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from featwatch.layers import Site, graph_of, nested_graph


@dataclass(frozen=True, eq=False)
class Reached:
    """What was found at a site."""

    before: tf.Tensor               # what enters the activation that applies to the layer; `after` where that cannot be had
    after: tf.Tensor                # what leaves it: the layer's value everywhere else in featwatch


class _Arrived(BaseException):
    """Ends a run where it was going.  No `Exception`: Keras would wrap it, and a user's layer might catch it."""


def reach(model: Any, inputs: Any, site: Site) -> Reached:
    """The tensors around the activation of one site; what comes after it in the model is not computed.

    Call it while a `tf.function` is traced.  `inputs` may differ in their spatial size from the model's own,
    as long as every layer before the site can take that.

    Raises whatever the layers raise of inputs that do not fit them.
    """
    entered: dict[int, tf.Tensor] = {}
    left: dict[int, tf.Tensor] = {}

    def arrived() -> None:
        if id(site.tapped) in left:
            raise _Arrived

    with keras.StatelessScope(), contextlib.suppress(_Arrived):
        run(graph_of(model), inputs, {id(site.layer), id(site.tapped)}, entered, left, arrived)
    after = left[id(site.tapped)]
    return Reached(_before(site, entered, after), after)


# Operations of TensorFlow's that are an activation by themselves: what enters them is what enters the activation.
_ACTIVATIONS = frozenset({"Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Sigmoid", "Tanh", "Softplus", "Softsign", "Softmax"})


def _before(site: Site, entered: dict[int, tf.Tensor], after: tf.Tensor) -> tf.Tensor:
    if site.tapped is not site.layer:
        return entered.get(id(site.tapped), after)
    operation = after.op
    while operation.type in ("Identity", "Cast") and operation.inputs:
        operation = operation.inputs[0].op
    if operation.type in _ACTIVATIONS:
        return operation.inputs[0]
    return after


def run(
    graph: Any,
    inputs: Any,
    wanted: set[int],
    entered: dict[int, tf.Tensor],
    left: dict[int, tf.Tensor],
    after_each: Callable[[], None] = lambda: None,
) -> Any:
    """The outputs of a graph, nested ones included; the first input and output of every wanted operation are kept."""

    def calling(operation: Any) -> Any:
        nested = nested_graph(operation)

        def call(*args: Any, **kwargs: Any) -> Any:
            if nested is not None:
                outputs = run(nested, args[0] if args else next(iter(kwargs.values())), wanted, entered, left, after_each)
                return outputs[0] if isinstance(outputs, (list, tuple)) and len(outputs) == 1 else outputs
            if isinstance(operation, keras.Layer) and "training" in operation._call_context_args:
                kwargs["training"] = False
            outputs = operation(*args, **kwargs)
            if id(operation) in wanted:
                left.setdefault(id(operation), outputs)
                if args and tf.is_tensor(args[0]):
                    entered.setdefault(id(operation), args[0])
                after_each()
            return outputs

        return call

    return graph._run_through_graph(inputs, operation_fn=calling)
