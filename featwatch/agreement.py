"""Whether model, probe and the `output` argument fit together: found out at the start of `fit`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from featwatch.errors import RefusedValue
from featwatch.graphs import graph_of
from featwatch.predictions import holds_classes, loss_of
from featwatch.probe import Probe
from featwatch.survey import Output


def check_inputs(model: Any, probe: Probe) -> None:
    """Refuse a probe that the graph of a model cannot take.  Raises RefusedValue with the cure.

    What a model without a graph takes is found out by calling it.
    """
    graph = graph_of(model)
    if graph is None:
        return
    struct = graph._inputs_struct
    expected = {getattr(tensor, "name", str(index)): tensor for index, tensor in enumerate(keras.tree.flatten(struct))}
    if isinstance(probe.x, dict):
        wanted = list(struct) if isinstance(struct, dict) else list(expected)
        missing = [name for name in wanted if name not in probe.x]
        if missing:
            raise RefusedValue(
                f"the model {model.name!r} takes the inputs {', '.join(map(repr, wanted))}; the probe has "
                f"{', '.join(map(repr, probe.x))}: name them as the model does"
            )
        given = [probe.x[name] for name in (sorted(wanted) if isinstance(struct, dict) else wanted)]
        given = keras.tree.flatten(given)
    else:
        given = keras.tree.flatten(probe.x)
    if len(given) != len(expected):
        cure = "pass x as a dict or a tuple of as many arrays"
        if isinstance(probe.x, tuple) and len(expected) == 1 and len(given) == 2 and given[1].ndim == 1:
            cure = "if the second is the labels, pass them by themselves: Probe(x, y)"
        takes = f"{_inputs(len(expected))} ({', '.join(expected)})"
        raise RefusedValue(f"the model {model.name!r} takes {takes} and the probe gives {len(given)}: {cure}")
    for (name, tensor), array in zip(expected.items(), given, strict=True):
        _check_shape(model.name, name if len(expected) > 1 else "", tuple(tensor.shape[1:]), tuple(array.shape[1:]))


def _check_shape(model: str, name: str, expected: tuple[int | None, ...], given: tuple[int, ...]) -> None:
    if len(expected) == len(given) and all(want in (None, have) for want, have in zip(expected, given, strict=True)):
        return
    if expected in ((1,), ()) and given in ((1,), ()):      # Keras itself goes from one to the other
        return
    cure = "pass samples of the same shape and scaling as in training"
    if expected == (*given, 1):
        cure = "pass x[..., None]"
    elif len(expected) == 1 and expected[0] == int(np.prod(given)):
        cure = f"pass x.reshape(-1, {expected[0]})"
    where = f" for its input {name!r}" if name else ""
    raise RefusedValue(f"the probe's samples have the shape {given} and the model {model!r} takes {expected}{where}: {cure}")


def class_output(model: Any, outputs: Sequence[Output], wanted: int | str | None) -> int:
    """Index of the output that holds the class scores; −1 where there are several and none can be told.

    Of several, where none is `wanted`, the only one whose loss is one of classes.  Raises RefusedValue where
    the model has no such output.
    """
    names = [output.name for output in outputs]
    if isinstance(wanted, str):
        if wanted not in names:
            raise RefusedValue(f"output={wanted!r}: the model {model.name!r} has the outputs {', '.join(names)}")
        return names.index(wanted)
    if wanted is not None:
        if not -len(names) <= wanted < len(names):
            raise RefusedValue(f"output={wanted}: the model {model.name!r} has {len(names)} output{'s' * (len(names) > 1)}")
        return wanted % len(names)
    if len(names) == 1:
        return 0
    likely = [index for index, name in enumerate(names) if holds_classes(loss_of(model, index, name))]
    return likely[0] if len(likely) == 1 else -1


def check_labels(model: Any, outputs: Sequence[Output], output: int, probe: Probe) -> None:
    """Refuse labels beyond the classes that the output has.  Raises RefusedValue."""
    if output < 0 or not holds_classes(loss_of(model, output, outputs[output].name)) or len(outputs[output].shape) != 1:
        return
    columns = outputs[output].shape[0]
    classes = 2 if columns == 1 else columns
    highest = int(probe.labels.max()) if len(probe) else -1
    if classes is not None and highest >= classes:
        raise RefusedValue(
            f"the probe's labels go up to {highest} and the output {outputs[output].name!r} of the model {model.name!r} has "
            f"{classes} classes, 0 to {classes - 1}: number the probe's labels as in training"
        )


def _inputs(count: int) -> str:
    return f"{count} inputs" if count != 1 else "one input"
