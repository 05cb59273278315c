"""Runs a model's own computation so that what goes into and comes out of its layers can be taken.

Nothing is made and nothing is changed: no layer, no model, no name counter, no seed moves.  A
`StatelessScope` catches whatever a Keras layer would assign or add to its losses.

There are two ways to run.  The "graph" of a functional model is run operation by operation.  Otherwise,
and within layers of the user's own, `calls` are intercepted: `layer.call` is replaced, while the model
is called, by one that passes everything through and tells what it saw.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import keras
import tensorflow as tf
from keras.src.backend.common import global_state

from featwatch.graphs import graph_of
from featwatch.layers import Site

Told = Callable[[Any, tuple[Any, ...], Any], None]      # (operation, positional arguments, outputs)
Calling = Callable[[Any, Any, Any], Any]                # (operation, its arguments, those by name) -> what it gives
State = Iterable[tuple[Any, Any]]                       # Keras variables, and the values that they are to have meanwhile


@dataclass(eq=False)
class Seen:
    """What was seen of the operations that were looked for, by their identity; of several calls the first."""

    entered: dict[int, Any] = field(default_factory=dict)
    left: dict[int, Any] = field(default_factory=dict)
    calls: dict[int, int] = field(default_factory=dict)     # in the order of the first calls

    def __call__(self, operation: Any, args: tuple[Any, ...], outputs: Any) -> None:
        self.calls[id(operation)] = self.calls.get(id(operation), 0) + 1
        self.left.setdefault(id(operation), outputs)
        if args and tf.is_tensor(args[0]):
            self.entered.setdefault(id(operation), args[0])


def run(
    model: Any, inputs: Any, sites: Iterable[Site], told: Told, way: str = "graph", state: State = (),
    calling: Calling | None = None,
) -> Any:  # fmt: skip
    """The model's outputs for `inputs`, in inference; `told` is called after each call of an operation of the sites.

    Arguments:
        way: "graph", for a model that has one, or "calls".
        state: values that some variables have meanwhile; the variables themselves stay as they are.
        calling: calls the operations of a graph, in the place of a plain call.
    """
    graph = graph_of(model) if way == "graph" else None
    around = [operation for site in sites if graph is None or site.inside for operation in (site.layer, site.tapped)]
    with keras.StatelessScope(state_mapping=list(state)), _counters_kept(), _intercepted(around, told):
        if graph is None:
            return model(inputs, training=False) if model._call_has_training_arg else model(inputs)
        wanted = {id(operation) for site in sites if not site.inside for operation in (site.layer, site.tapped)}
        return _run_graph(graph, inputs, wanted, told, calling or _plainly)


_WRITING = (
    "Assign", "ResourceScatter", "ResourceApply", "RngReadAndSkip", "RngSkip", "StatefulUniform", "StatefulStandard",
    "StatefulTruncated", "StatefulRandom", "LookupTableInsert", "LookupTableImport",
)  # fmt: skip
_CALLING = frozenset({"PartitionedCall", "StatefulPartitionedCall", "While", "StatelessWhile", "If", "StatelessIf", "Case"})


class WritesState(RuntimeError):
    """The model's code writes variables that are not Keras': running it would change the training."""


def filters_last(values: tf.Tensor, layer: Any) -> tf.Tensor:
    """(batch, …, channels) float32: what enters or leaves a layer, whatever its data format."""
    values = tf.cast(values, tf.float32)
    if getattr(layer, "data_format", None) == "channels_first" and values.shape.rank > 2:
        return tf.experimental.numpy.moveaxis(values, 1, -1)
    return values


def first_tensor(outputs: Any) -> Any:
    """The tensor that stands for what a layer gave: of several, such as a recurrent layer's states, the first."""
    flat = keras.tree.flatten(outputs)
    return flat[0] if flat else None


def rows_of(inputs: Any) -> int | None:
    """How many samples a batch of inputs has; None where its shape does not tell."""
    flat = keras.tree.flatten(inputs)
    return flat[0].shape[0] if flat and flat[0].shape.rank else None


def unreadable(site: Site, seen: Seen, rows: int | None) -> str:
    """Why what was seen of a site in a batch of so many samples cannot be read, or ""."""
    for operation in (site.layer, site.tapped):
        if id(operation) not in seen.calls:
            return "the model does not call it in inference, or from within a tf.function of its own"
    value = first_tensor(seen.left[id(site.tapped)])
    if not tf.is_tensor(value) or not isinstance(value, tf.Tensor):
        return f"it gives a {type(value).__name__}, not a tensor"
    if not tf.executing_eagerly() and getattr(value, "graph", None) is not tf.compat.v1.get_default_graph():
        return "it is called within a loop, a condition or a tf.function of the model's own, where its values cannot be had"
    if value.dtype.is_complex or not (value.dtype.is_floating or value.dtype.is_integer or value.dtype.is_bool):
        return f"it gives values of the type {value.dtype.name}"
    if value.shape.rank is None or value.shape.rank < 2:
        return f"it gives values of the shape {tuple(value.shape) if value.shape.rank is not None else 'unknown'}; " \
               "two axes or more are needed, the samples first"
    if None not in (rows, value.shape[0]) and value.shape[0] != rows:
        return f"it gives {value.shape[0]} rows for {rows} samples, so that no row is one sample's"
    if None in value.shape[1:] or 0 in value.shape[1:]:
        return f"it gives values of the shape {tuple(value.shape)}; every axis but the first has to be fixed"
    return ""


def refuse_writes(graph: Any) -> None:
    """Raise WritesState where a traced graph, or a function that it calls, writes a variable."""
    operations = [(operation.type, operation.name) for operation in graph.get_operations()]
    if any(kind in _CALLING for kind, _ in operations):
        library = graph.as_graph_def().library.function
        operations += [(node.op, node.name) for function in library for node in function.node_def]
    for kind, name in operations:
        if kind.startswith(_WRITING):
            raise WritesState(
                f"the model writes a tf.Variable in inference ({kind} in {name!r}), so that looking at it would change "
                "the training: use keras variables (self.add_weight), which a look leaves alone"
            )


@dataclass(frozen=True, eq=False)
class Reached:
    """What was found at a site."""

    before: tf.Tensor               # what enters the activation that applies to the layer; `after` where that cannot be had
    after: tf.Tensor                # what leaves it: the layer's value everywhere else in featwatch


class _Arrived(BaseException):
    """Ends a run where it was going.  No `Exception`: Keras would wrap it, and a user's layer might catch it."""


def reach(model: Any, inputs: Any, site: Site, state: State = (), calling: Calling | None = None) -> Reached:
    """The tensors around the activation of one site; what comes after it in the model is not computed.

    Call it while a `tf.function` is traced.  `inputs` may differ in their spatial size from the model's own,
    as long as every layer before the site can take that.  `state`, `calling`: as for `run`.

    Raises whatever the layers raise of inputs that do not fit them.
    """
    seen = Seen()

    def told(operation: Any, args: tuple[Any, ...], outputs: Any) -> None:
        seen(operation, args, outputs)
        if operation is site.tapped:
            raise _Arrived

    with contextlib.suppress(_Arrived):
        run(model, inputs, [site], told, "graph" if graph_of(model) is not None else "calls", state, calling)
    after = seen.left[id(site.tapped)]
    return Reached(_before(site, seen.entered, after), after)


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


def _plainly(operation: Any, args: Any, kwargs: Any) -> Any:
    return operation(*args, **kwargs)


def _run_graph(graph: Any, inputs: Any, wanted: set[int], told: Told, calling: Calling) -> Any:
    def of(operation: Any) -> Any:
        nested = graph_of(operation) if isinstance(operation, keras.Layer) else None

        def call(*args: Any, **kwargs: Any) -> Any:
            if nested is not None:
                outputs = _run_graph(nested, args[0] if args else next(iter(kwargs.values())), wanted, told, calling)
                return outputs[0] if isinstance(outputs, (list, tuple)) and len(outputs) == 1 else outputs
            if isinstance(operation, keras.Layer) and "training" in operation._call_context_args:
                kwargs["training"] = False
            outputs = calling(operation, args, kwargs)
            if id(operation) in wanted:
                told(operation, args, outputs)
            return outputs

        return call

    if isinstance(inputs, dict) and isinstance(graph._inputs_struct, dict):
        inputs = {name: inputs[name] for name in graph._inputs_struct}      # what else there is, Keras would warn of
    return graph._run_through_graph(graph._standardize_inputs(inputs), operation_fn=of)


@contextlib.contextmanager
def _counters_kept() -> Iterator[None]:
    """Leaves Keras' counters of names as they were: some of its functions, `keras.ops.pad` for one, take one at each call."""
    counters = global_state.get_global_attribute("object_name_uids")
    before = dict(counters) if counters is not None else {}
    try:
        yield
    finally:
        counters = global_state.get_global_attribute("object_name_uids")
        if counters is not None:
            counters.clear()
            counters.update(before)


@contextlib.contextmanager
def _intercepted(operations: Iterable[Any], told: Told) -> Iterator[None]:
    """While it lasts, calls of the operations in this thread are told of; other threads notice nothing."""
    thread = threading.get_ident()
    before: list[tuple[Any, Any]] = []
    try:
        for operation in dict.fromkeys(operations):
            before.append((operation, vars(operation).get("call")))
            # Past Keras' own `__setattr__`, which would track what is set.
            object.__setattr__(operation, "call", _telling(operation, operation.call, told, thread))
        yield
    finally:
        for operation, own in before:
            if own is not None:                         # the user had replaced it, too
                object.__setattr__(operation, "call", own)
            else:
                object.__delattr__(operation, "call")


def _telling(operation: Any, original: Any, told: Told, thread: int) -> Any:
    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        outputs = original(*args, **kwargs)
        if threading.get_ident() == thread:
            told(operation, args, outputs)
        return outputs

    return call
