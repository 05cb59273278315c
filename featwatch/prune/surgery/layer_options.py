"""What layers know of how many units there are: their options, what they accept, what they were built for."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import keras

from featwatch.prune.surgery import keras_private
from featwatch.prune.surgery.changes import Changes
from featwatch.prune.surgery.resizing import Keeping
from featwatch.prune.surgery.unsupported import Unsupported

_TARGETS = ("target_shape", "newshape")         # the layer's (without the batch axis), the operation's (with it)


def check_options(keeping: Keeping) -> None:
    """Raise `Unsupported` where a layer that gets smaller does not keep an option under its own name."""
    for each in keeping.anatomy.sized:
        if keeping.count(each.ids) < len(each.ids) and each.option not in vars(each.layer):
            raise Unsupported(
                f"{each.layer.name!r} ({type(each.layer).__name__}) does not keep how many {each.option} it has under that name; "
                "plan.apply(model) makes a new model instead"
            )


def set_options(changes: Changes, keeping: Keeping) -> None:
    """Tell layers how many units they have."""
    for sized in keeping.anatomy.sized:
        count = keeping.count(sized.ids) // sized.per
        if getattr(sized.layer, sized.option) != count:
            changes.attribute(sized.layer, sized.option, count)


def follow(changes: Changes, nodes: Sequence[Any], keeping: Keeping) -> None:
    """Tell the operations of these calls the shapes of what they read and give."""
    done = set()
    for node in nodes:
        operation = node.operation
        if id(operation) in done:
            continue
        done.add(id(operation))
        _reform(changes, operation, keeping)
        if isinstance(operation, keras.Layer) and node.input_tensors:
            _accept(changes, operation, [tuple(tensor.shape) for tensor in node.input_tensors])


def _reform(changes: Changes, operation: Any, keeping: Keeping) -> None:
    label = keeping.anatomy.reformed.get(id(operation))
    if label is None:
        return
    for name in _TARGETS:
        target = vars(operation).get(name)
        if target is not None:
            at = label.axis - (len(label.shape) - len(target))
            if target[at] not in (-1, None):
                changes.attribute(operation, name, (*target[:at], keeping.count(label.ids), *target[at + 1 :]))


def _accept(changes: Changes, layer: Any, shapes: Sequence[tuple[int | None, ...]]) -> None:
    """Which inputs a layer accepts, and those that it was built for."""
    held = vars(layer)
    spec = held.get(keras_private.INPUT_SPEC)
    if spec is not None:
        parts = keras.tree.flatten(spec)
        along = list(shapes) if len(parts) == len(shapes) else [shapes[0]] * len(parts)
        fitting = iter([_specified(part, shape) for part, shape in zip(parts, along, strict=True)])
        changes.attribute(layer, keras_private.INPUT_SPEC, keras.tree.map_structure(lambda _: next(fitting), spec))
    built = held.get(keras_private.BUILT_FOR)
    if built and len(built) == 1:
        name, value = next(iter(built.items()))
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
