"""What the graph of a functional model tells: its operations, and which activation applies to a layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
from keras.src.models.functional import Functional

from featwatch.activations import Passing, passing

_NORMALISATIONS = (keras.layers.BatchNormalization, keras.layers.GroupNormalization, keras.layers.LayerNormalization)
_ACTIVATION_LAYERS = (
    keras.layers.Activation, keras.layers.ReLU, keras.layers.LeakyReLU, keras.layers.PReLU,
    keras.layers.ELU, keras.layers.Softmax,
)  # fmt: skip
# What stands between a layer and its activation without mixing the filters, or doing anything while nothing is trained.
_LET_THROUGH = (
    keras.layers.Dropout, keras.layers.SpatialDropout1D, keras.layers.SpatialDropout2D, keras.layers.SpatialDropout3D,
    keras.layers.GaussianNoise, keras.layers.GaussianDropout, keras.layers.AlphaDropout, keras.layers.ActivityRegularization,
    keras.layers.Identity,
    keras.layers.MaxPooling1D, keras.layers.MaxPooling2D, keras.layers.MaxPooling3D,
    keras.layers.AveragePooling1D, keras.layers.AveragePooling2D, keras.layers.AveragePooling3D,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Applied:
    """The activation that applies to a layer: the operation after which it has been applied, and what came before it."""

    operation: Any                      # the layer itself where it applies its own, or none applies
    name: str                           # "linear" where none applies
    normalisation: Any = None           # the batch normalisation between them, if it comes right after the layer
    direct: bool = True                 # whether nothing else has changed the values in between, but for pooling
    # An activation that the model applies elsewhere first, with the same layer: of an operation the first call is read.
    elsewhere: str = ""


def graph_of(model: Any) -> Any:
    """The functional graph of a functional or sequential model, or None where there is none to run.

    There is none in a subclassed model, in one whose `call` is the user's own, and before a model is built.
    """
    if "call" in vars(model):           # replaced for this one model
        return None
    if isinstance(model, keras.Sequential):
        return model._functional if type(model).call is keras.Sequential.call else None
    own = hasattr(model, "_run_through_graph") and type(model).call is Functional.call
    return model if own else None


def operations_of(graph: Any) -> list[Any]:
    """The graph's operations in graph order, each once, inputs left out."""
    return [
        operation
        for operation in dict.fromkeys(graph.operations)
        if not isinstance(operation, keras.layers.InputLayer)
    ]


def nodes_of(graph: Any) -> list[Any]:
    """The graph's calls of operations, inputs first."""
    return [node for depth in sorted(graph._nodes_by_depth, reverse=True) for node in graph._nodes_by_depth[depth]]


def applied_activation(graph: Any, layer: Any, node: Any) -> Applied:
    """The activation that applies to a layer's output: its own, or the one that follows in the graph.

    Normalisations, dropout and pooling may stand in between, as long as nothing else uses what comes out of the
    layer or of them.  What is not followed by an activation is "linear", and so is what is added to something first.
    """
    own = own_activation(layer)
    if own:
        return Applied(layer, own)
    normalisation, direct, place = None, True, node
    while True:
        following = _only_consumer(graph, place) if len(place.output_tensors) == 1 else None
        if following is None:
            return Applied(layer, "linear")
        name = activation_name(following.operation)
        if name and next(node for node in nodes_of(graph) if node.operation is following.operation) is not following:
            return Applied(layer, "linear", elsewhere=name)
        if name:
            return Applied(following.operation, name, normalisation, direct)
        if isinstance(following.operation, _NORMALISATIONS):
            first = place is node and _normalises_filters(following, layer)
            normalisation, direct = (following.operation, True) if first else (normalisation, False)
        elif not isinstance(following.operation, _LET_THROUGH):
            return Applied(layer, "linear")
        place = following


def passing_of(operation: Any, name: str) -> Passing:
    """Where the activation of this name, which `operation` applies, passes a gradient on."""
    if isinstance(operation, keras.layers.TimeDistributed):
        return passing_of(operation.layer, name)
    own = getattr(operation, "activation", None)
    applying = own if isinstance(own, keras.Layer) else operation       # Dense(8, activation=keras.layers.ELU(0.5))
    ceiling, alpha = getattr(applying, "max_value", None), getattr(applying, "alpha", 1.0)
    known = isinstance(alpha, (int, float)) and not isinstance(alpha, bool)
    return passing(name, alpha=float(alpha) if known else 1.0, ceiling=ceiling if isinstance(ceiling, (int, float)) else None)


def own_activation(layer: Any) -> str:
    """The name of the activation that a layer itself applies last, or "" where it applies none."""
    if isinstance(layer, keras.layers.TimeDistributed):
        return own_activation(layer.layer)
    own = getattr(layer, "activation", None)
    if isinstance(layer, _ACTIVATION_LAYERS):
        return activation_name(layer)
    return _name_of(own) if callable(own) and own is not keras.activations.linear else ""


def activation_name(operation: Any) -> str:
    """The name of the activation function that an operation of the graph applies, or "" where it is something else."""
    if isinstance(operation, keras.layers.Activation):
        return _name_of(operation.activation)
    if isinstance(operation, keras.layers.ReLU):
        plain = not operation.negative_slope and not operation.threshold
        return ("relu" if operation.max_value is None else "relu6") if plain else "leaky_relu"
    if isinstance(operation, keras.layers.LeakyReLU):
        return "leaky_relu"
    if isinstance(operation, _ACTIVATION_LAYERS):
        return type(operation).__name__.lower()
    if isinstance(operation, keras.Layer):
        return ""
    # keras.ops.relu(x) and its like on symbolic tensors: an Operation of that name, in small letters.
    name = "".join(("_" if c.isupper() and i else "") + c.lower() for i, c in enumerate(type(operation).__name__))
    return name if hasattr(keras.activations, name) else ""


def _normalises_filters(node: Any, layer: Any) -> bool:
    """Whether this is a call of a batch normalisation along the axis on which the layer has its filters."""
    if not isinstance(node.operation, keras.layers.BatchNormalization):
        return False
    axes = len(node.input_tensors[0].shape)
    first = getattr(layer, "data_format", None) == "channels_first" and axes > 2
    return bool(node.operation.axis % axes == (1 if first else axes - 1))


def _only_consumer(graph: Any, node: Any) -> Any:
    """The node that uses this node's output, if it is the only one and the output is not an output of the graph."""
    tensor = node.output_tensors[0]
    if any(tensor is output for output in graph.outputs):
        return None
    users = [other for other in nodes_of(graph) if any(tensor is used for used in other.input_tensors)]
    return users[0] if len(users) == 1 and len(users[0].output_tensors) == 1 else None


def _name_of(function: Any) -> str:
    return getattr(function, "__name__", type(function).__name__).lower()
