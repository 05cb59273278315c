"""Which layers a watch looks at, and which tensor stands for each of them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import keras

LayerChoice = str | Sequence[str] | Callable[[Any], bool] | None

# What "every conv and dense layer" means.
_WATCHED_BY_DEFAULT = (
    keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D,
    keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose,
    keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv1D, keras.layers.SeparableConv2D,
    keras.layers.Dense,
)  # fmt: skip
_NORMALISATIONS = (keras.layers.BatchNormalization, keras.layers.GroupNormalization, keras.layers.LayerNormalization)
_ACTIVATION_LAYERS = (
    keras.layers.Activation, keras.layers.ReLU, keras.layers.LeakyReLU, keras.layers.PReLU,
    keras.layers.ELU, keras.layers.Softmax,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Site:
    """A place in the network: a layer, the nested models around it, and the operation whose output stands for it."""

    layer: Any                      # keras.Layer
    path: tuple[str, ...]           # names of the nested models around it, outermost first
    tapped: Any                     # keras Operation: the activation that applies, or the layer itself
    activation: str                 # its name; "linear" where there is none
    calls: int                      # how often its graph calls the layer

    @property
    def name(self) -> str:
        """Unique in the model: the layer's name below those of the nested models around it."""
        return "/".join((*self.path, self.layer.name))


def graph_of(model: Any) -> Any:
    """The functional graph of a functional or sequential model.

    Raises:
        TypeError: it is neither a functional nor a sequential model.
        ValueError: it has not been built.
    """
    if isinstance(model, keras.Sequential):
        if not model.built or model._functional is None:
            raise ValueError(
                f"the sequential model {model.name!r} is not built: "
                "begin it with keras.Input(shape), or call model.build(...) before fit"
            )
        return model._functional
    if not hasattr(model, "_run_through_graph"):
        raise TypeError(
            f"{type(model).__name__} is a subclassed model; featwatch reads functional and sequential models so far: "
            "build it with keras.Model(inputs, outputs), or watch the functional part of it"
        )
    return model


def sites(model: Any) -> list[Site]:
    """Every layer of the model that gives one tensor, in graph order, those of nested models included."""
    return list(_walk(graph_of(model), ()))


def choose(model: Any, choice: LayerChoice) -> list[Site]:
    """The layers that `choice` names, in graph order.

    Arguments:
        choice: None for every convolution and dense layer; a name or pattern (`"conv*"`); a list of
            them; or a predicate on the layer.

    Raises:
        ValueError: a name or pattern that matches nothing (the closest name is given), or nothing at all is chosen.
        TypeError: `choice` is none of these.
    """
    every = sites(model)
    if choice is None:
        chosen = [site for site in every if isinstance(site.layer, _WATCHED_BY_DEFAULT)]
        if not chosen:
            cure = f": name the layers to watch, e.g. layers=[{every[0].name!r}]" if every else " and none that could be watched"
            raise ValueError(f"the model {model.name!r} has no convolution and no dense layer{cure}")
        return chosen
    if callable(choice):
        chosen = [site for site in every if choice(site.layer)]
        if not chosen:
            raise ValueError("layers: the predicate is true of no layer; the model has " + _listed(every))
        return chosen
    patterns = [choice] if isinstance(choice, str) else list(choice)
    if not patterns:
        raise ValueError("layers=[] watches nothing; leave it out to watch every convolution and dense layer")
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise TypeError(f"layers: {pattern!r} is no name; give names or patterns as strings, or a predicate on the layer")
        if not any(_matches(site, pattern) for site in every):
            raise ValueError(_unknown(pattern, every))
    return [site for site in every if any(_matches(site, pattern) for pattern in patterns)]


def check_choice(choice: LayerChoice) -> None:
    """Refuse, before any model is known, what can name no layer.  Raises TypeError or ValueError."""
    if choice is None or callable(choice) or (isinstance(choice, str) and choice):
        return
    if isinstance(choice, str) or not isinstance(choice, Sequence):
        raise TypeError(f"layers={choice!r}: give a name or pattern such as 'conv*', a list of them, or a predicate on the layer")
    if not choice:
        raise ValueError("layers=[] watches nothing; leave it out to watch every convolution and dense layer")
    for pattern in choice:
        if not isinstance(pattern, str):
            raise TypeError(f"layers: {pattern!r} is no name; give names or patterns as strings, or a predicate on the layer")


def _walk(graph: Any, path: tuple[str, ...]) -> Iterator[Site]:
    seen: set[int] = set()
    for operation in graph.operations:
        if not isinstance(operation, keras.Layer) or isinstance(operation, keras.layers.InputLayer) or id(operation) in seen:
            continue
        seen.add(id(operation))
        nested = nested_graph(operation)
        if nested is not None:
            yield from _walk(nested, (*path, operation.name))
            continue
        nodes = [node for node in _nodes(graph) if node.operation is operation]
        if not nodes or len(nodes[0].output_tensors) != 1 or len(nodes[0].output_tensors[0].shape) < 2:
            continue
        tapped, activation = _applied_activation(graph, operation, nodes[0])
        yield Site(operation, path, tapped, activation, len(nodes))


def nested_graph(operation: Any) -> Any:
    """The graph of a functional or sequential model that is used as a layer, or None."""
    if isinstance(operation, keras.Sequential):
        return operation._functional
    return operation if hasattr(operation, "_run_through_graph") else None


def _nodes(graph: Any) -> list[Any]:
    """The graph's calls of operations, inputs first."""
    return [node for depth in sorted(graph._nodes_by_depth, reverse=True) for node in graph._nodes_by_depth[depth]]


def _applied_activation(graph: Any, layer: Any, node: Any) -> tuple[Any, str]:
    """The operation after which the layer's activation has been applied, and that activation's name."""
    own = getattr(layer, "activation", None)
    if callable(own) and own is not keras.activations.linear:
        return layer, _name_of(own)
    if isinstance(layer, _ACTIVATION_LAYERS):
        return layer, activation_name(layer)
    following = _only_consumer(graph, node)
    if following is not None and isinstance(following.operation, _NORMALISATIONS):
        following = _only_consumer(graph, following)
    if following is not None:
        name = activation_name(following.operation)
        if name:
            return following.operation, name
    return layer, "linear"


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


def _only_consumer(graph: Any, node: Any) -> Any:
    """The node that uses this node's output, if it is the only one and the output is not an output of the graph."""
    tensor = node.output_tensors[0]
    if any(tensor is output for output in graph.outputs):
        return None
    users = [other for other in _nodes(graph) if any(tensor is used for used in other.input_tensors)]
    return users[0] if len(users) == 1 and len(users[0].output_tensors) == 1 else None


def _name_of(function: Any) -> str:
    return getattr(function, "__name__", type(function).__name__).lower()


def _matches(site: Site, pattern: str) -> bool:
    return fnmatchcase(site.name, pattern) or (not site.path and fnmatchcase(site.layer.name, pattern))


def _unknown(pattern: str, every: Sequence[Site]) -> str:
    names = [site.name for site in every]
    close = difflib.get_close_matches(pattern, names, n=1, cutoff=0.0)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    what = "no layer matches" if any(c in pattern for c in "*?[") else "no layer is called"
    return f"layers: {what} {pattern!r}{hint} The model has {_listed(every)}"


def _listed(every: Sequence[Site], most: int = 12) -> str:
    names = [site.name for site in every]
    return ", ".join(names[:most]) + (f", … ({len(names)} in all)" if len(names) > most else "")
