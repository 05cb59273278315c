"""What layers and operations know of how many units there are: options, arguments of calls, shapes that they accept."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import keras

from featwatch.graphs import graph_of
from featwatch.prune import following
from featwatch.prune.copying import copied, layers_in
from featwatch.prune.surgery import keras_private
from featwatch.prune.surgery.changes import Changes
from featwatch.prune.surgery.resizing import Keeping
from featwatch.prune.surgery.symbolic import calls, inner_graph
from featwatch.prune.surgery.unsupported import Unsupported
from featwatch.running import _counters_kept
from featwatch.streams import untouched_random_state

Attribute = tuple[Any, str, Any]                # whose, its name, its new value


def attributes(keeping: Keeping) -> list[Attribute]:
    """Attributes that change.  To be asked for before any has been: what they become is made of what they are.

    Raises:
        Unsupported: one is not kept where Keras keeps it.
    """
    found = []
    for owner, name, value in following.attributes(keeping.anatomy, keeping.groups):
        if not hasattr(owner, name):
            raise Unsupported(
                f"{getattr(owner, 'name', owner)!r} ({type(owner).__name__}) has no attribute {name!r} that says how many units "
                "it has; plan.apply(model) makes a new model instead"
            )
        old = getattr(owner, name)
        if not (old is value or (isinstance(value, (int, str, tuple, list)) and type(old) is type(value) and old == value)):
            found.append((owner, name, value))
    for node in calls(keeping.anatomy.graph):
        args, kwargs = node.arguments.args, node.arguments.kwargs
        new = following.arguments(keeping.anatomy, node.operation, keeping.groups, args, kwargs)
        if new[0] is not args or new[1] is not kwargs:
            found.append((node, keras_private.ARGUMENTS, keras_private.arguments(*new)))
    options = following.options(keeping.anatomy, keeping.groups)
    for operation in {id(node.operation): node.operation for node in calls(keeping.anatomy.graph)}.values():
        said = keras_private.said_anew(operation, options.get(id(operation), {}))
        if said is not None:
            found.append((operation, keras_private.SAID, said))
    return found


def follow(changes: Changes, nodes: Sequence[Any]) -> None:
    """Tell the layers of these calls the shapes of what they read and give, after all else is changed."""
    done = set()
    for node in nodes:
        layer = node.operation
        if id(layer) in done or not isinstance(layer, keras.Layer) or not node.input_tensors:
            continue
        done.add(id(layer))
        graph = inner_graph(layer)
        if graph is None and len(layers_in(layer)) > 1:
            _made_anew(changes, node)
            continue
        _accept(changes, layer, [tuple(tensor.shape) for tensor in node.input_tensors])
        if graph is not None and graph_of(layer) is None:          # a model that is called at every step of time
            _accept(changes, layer.layer, [tuple(tensor.shape) for tensor in keras.tree.flatten(graph.inputs)])


def _made_anew(changes: Changes, node: Any) -> None:
    """A layer of layers: each is told what it would know had it been built for these shapes."""
    with untouched_random_state(), _counters_kept():
        new = copied(node.operation, {})
        args, kwargs = node.arguments.convert(keras_private.unconnected)
        given = new(*args, **kwargs)
        activation = getattr(new, "activation", None)
        if isinstance(activation, keras.Layer) and not activation.built:        # Keras builds it when it is first run
            activation.build(given.shape)
    for old, fresh in zip(layers_in(node.operation), layers_in(new), strict=True):
        for name in (keras_private.INPUT_SPEC, keras_private.BUILT_FOR):
            if vars(old).get(name) is not None and vars(fresh).get(name) is not None:
                changes.attribute(old, name, vars(fresh)[name])


def _accept(changes: Changes, layer: Any, shapes: Sequence[tuple[int | None, ...]]) -> None:
    """Which inputs a layer accepts, and those that it was built for."""
    held = vars(layer)
    if held.get(keras_private.BUILT_INPUT_SHAPE) is not None:
        changes.attribute(layer, keras_private.BUILT_INPUT_SHAPE, shapes[0])
    spec = held.get(keras_private.INPUT_SPEC)
    if spec is not None:
        parts = keras.tree.flatten(spec)
        along = list(shapes) if len(parts) == len(shapes) else [shapes[0]] * len(parts)
        fitting = iter([_specified(part, shape) for part, shape in zip(parts, along, strict=True)])
        changes.attribute(layer, keras_private.INPUT_SPEC, keras.tree.map_structure(lambda _: next(fitting), spec))
    built = held.get(keras_private.BUILT_FOR)
    if built and len(built) == 1:
        name, value = next(iter(built.items()))
        if value is None:
            return
        one = not isinstance(value, (list, dict)) and not (isinstance(value, tuple) and value and not _is_size(value[0]))
        changes.attribute(layer, keras_private.BUILT_FOR, {name: shapes[0] if one else list(shapes)})


def _is_size(value: Any) -> bool:
    return value is None or isinstance(value, int)


def _specified(spec: Any, shape: tuple[int | None, ...]) -> Any:
    fitting = copy.copy(spec)
    if getattr(spec, "axes", None):
        fitting.axes = {axis: shape[axis] for axis in spec.axes}
    if getattr(spec, "shape", None):
        fitting.shape = tuple(None if old is None else new for old, new in zip(spec.shape, shape, strict=True))
    return fitting
