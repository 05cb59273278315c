"""Which layers a watch looks at, and which tensor stands for each of them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

import keras

from featwatch.activations import Passing
from featwatch.graphs import applied_activation, graph_of, nodes_of, operations_of, own_activation, passing_of

LayerChoice = str | Sequence[str] | Callable[[Any], bool] | None

# What "every conv and dense layer" means.
_WATCHED_BY_DEFAULT = (
    keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D,
    keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose,
    keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv1D, keras.layers.SeparableConv2D,
    keras.layers.Dense,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Site:
    """A place in the network: a layer, the models and layers around it, and the operation whose output stands for it."""

    layer: Any                      # keras.Layer
    path: tuple[str, ...]           # names of the nested models and composite layers around it, outermost first
    tapped: Any                     # keras Operation: the activation that applies, or the layer itself
    activation: str                 # its name; "linear" where there is none
    calls: int = 1                  # how often the model calls the layer
    inside: bool = False            # whether it is within code of the user's own, where no graph leads: read by interception
    tensors: int = 1                # that it gives; of several the first is read
    number: int = 0                 # > 0 where several layers at one place have this name
    normalisation: Any = None       # the batch normalisation right after the layer, where its activation comes after that
    direct: bool = True             # whether nothing but that, dropout and pooling stands between the layer and its activation
    passing: Passing = Passing()    # where the activation passes a gradient on
    elsewhere: str = ""             # an activation that follows, by a layer that the model calls elsewhere first

    @property
    def name(self) -> str:
        """Unique in the model: the layer's name below those of the models and layers around it."""
        return "/".join((*self.path, self.layer.name)) + (f"#{self.number}" if self.number else "")


@dataclass(frozen=True, eq=False)
class Layers:
    """What of a model can be watched."""

    sites: list[Site]               # in graph order; within code of the user's own, in the order in which the layers were made
    refused: dict[str, str]         # name of a layer that cannot be -> why


def layers_of(model: Any) -> Layers:
    """Every layer of a model, those of nested models and of the user's own composite layers included.

    For what lies within the user's own code this is a guess, as long as nobody has called it: see `survey`.
    """
    refused: dict[str, str] = {}
    graph = graph_of(model)
    found = list(_of_graph(graph, (), False, refused) if graph is not None else _inside(model, (), refused))
    names: dict[str, int] = {}
    sites = []
    for site in found:
        count = names[site.name] = names.get(site.name, 0) + 1
        sites.append(replace(site, number=count) if count > 1 else site)
    return Layers(sites, refused)


def sites(model: Any) -> list[Site]:
    """Every layer of the model that gives one tensor, in graph order."""
    return layers_of(model).sites


def choose(model: Any, choice: LayerChoice) -> list[Site]:
    """The layers of a model that `choice` names, in graph order.  Arguments and errors as of `pick`."""
    return pick(layers_of(model), choice, model.name)


def pick(layers: Layers, choice: LayerChoice, model_name: str) -> list[Site]:
    """The layers that `choice` names, in graph order.

    Arguments:
        choice: None for every convolution and dense layer; a name or pattern (`"conv*"`); a list of
            them; or a predicate on the layer.

    Raises:
        ValueError: a name or pattern that matches nothing (the closest name is given), or nothing at all is chosen.
        TypeError: `choice` is none of these.
    """
    every = layers.sites
    if choice is None:
        chosen = [site for site in every if _watched_by_default(site.layer)]
        if not chosen:
            why = "".join(f"; {name!r} cannot be: {reason}" for name, reason in list(layers.refused.items())[:3])
            cure = f": name the layers to watch, e.g. layers=[{every[0].name!r}]" if every else " that could be watched" + why
            raise ValueError(f"the model {model_name!r} has no convolution and no dense layer{cure}")
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
        if pattern in layers.refused:
            raise ValueError(f"layers: {pattern!r} cannot be watched: {layers.refused[pattern]}")
        if not any(_matches(site, pattern) for site in every):
            for name, reason in layers.refused.items():
                if fnmatchcase(name, pattern):
                    raise ValueError(f"layers: {name!r} cannot be watched: {reason}")
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


def _of_graph(graph: Any, path: tuple[str, ...], inside: bool, refused: dict[str, str]) -> Iterator[Site]:
    for operation in operations_of(graph):
        if not isinstance(operation, keras.Layer):
            continue
        nested = graph_of(operation)
        if nested is not None:
            yield from _of_graph(nested, (*path, operation.name), inside, refused)
            continue
        nodes = [node for node in nodes_of(graph) if node.operation is operation]
        reason = _no_tensor(nodes[0].output_tensors) if nodes else "the model's output does not depend on it"
        if reason:
            refused["/".join((*path, operation.name))] = reason
        else:
            found = applied_activation(graph, operation, nodes[0])
            yield Site(
                operation, path, found.operation, found.name, len(nodes), inside, len(nodes[0].output_tensors),
                normalisation=found.normalisation, direct=found.direct, passing=passing_of(found.operation, found.name),
                elsewhere=found.elsewhere,
            )  # fmt: skip
        if _is_composite(operation):
            yield from _inside(operation, (*path, operation.name), refused)


def _inside(layer: Any, path: tuple[str, ...], refused: dict[str, str]) -> Iterator[Site]:
    """The layers that code of the user's own calls: nobody knows yet in which order, how often, and whether at all."""
    for sub in dict.fromkeys(layer._layers):
        nested = graph_of(sub)
        if nested is not None:
            yield from _of_graph(nested, (*path, sub.name), True, refused)
            continue
        activation = own_activation(sub) or "linear"
        yield Site(sub, path, sub, activation, inside=True, passing=passing_of(sub, activation))
        if _is_composite(sub):
            yield from _inside(sub, (*path, sub.name), refused)


def _is_composite(layer: Any) -> bool:
    """Whether a layer is one of the user's own that calls others; Keras' own composites are watched as a whole."""
    own = not type(layer).__module__.startswith("keras.") or isinstance(layer, keras.Sequential)
    return bool(own and layer._layers)


def _no_tensor(tensors: Sequence[Any]) -> str:
    """Why what a layer gives cannot be watched, or ""."""
    if not tensors:
        return "it gives no tensor"
    shape = tuple(tensors[0].shape)
    return f"it gives one number per sample, its shape is {shape}" if len(shape) < 2 else ""


def _watched_by_default(layer: Any) -> bool:
    each = layer.layer if isinstance(layer, keras.layers.TimeDistributed) else layer
    return isinstance(each, _WATCHED_BY_DEFAULT)


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
