"""What is refused before anything is touched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from featwatch.prune.surgery.resizing import Keeping
from featwatch.prune.surgery.unsupported import Unsupported


def check(keeping: Keeping, values: Mapping[int, tuple[Any, np.ndarray]]) -> None:
    """Raise where these groups cannot go, or the model is not one that can be made smaller in place.

    Raises:
        ValueError: a group has to stay, or is all that a layer has; the model is not the one that was looked at;
            a value does not fit its variable.
        Unsupported: weights are quantised, or adapted by LoRA.
    """
    anatomy = keeping.anatomy
    _check_layers(keeping)
    known = {id(variable) for variable in anatomy.model.variables}
    for sliced in anatomy.sliced.values():
        shape = tuple(sliced.variable.shape)
        if id(sliced.variable) not in known or any(shape[axis] != len(ids) for axis, ids in sliced.axes.items()):
            raise ValueError(
                f"{sliced.variable.path!r}, now {shape}: the model was changed after its anatomy was made; make another"
            )
    emptied = anatomy.emptied(keeping.groups)
    if emptied:
        raise ValueError(f"nothing would be left of {emptied[0]!r}: leave at least one unit")
    mistaken = anatomy.mistaken(keeping.groups)
    if mistaken:
        raise ValueError(
            f"{mistaken[0]!r} would have as many filters as columns, and Keras would add its bias along these: leave one more"
        )
    for name, made in anatomy.made.items():
        going = np.ones(len(made.ids), bool)
        going[keeping.kept(made.ids)] = False
        stuck = np.flatnonzero(going & anatomy.units.frozen(made.ids))
        if len(stuck):
            raise ValueError(f"unit {stuck[0]} of {name!r} has to stay: {anatomy.units.why(int(made.ids[stuck[0]]))}")
    for variable, value in values.values():
        if id(variable) not in known or np.shape(value) != tuple(variable.shape):
            raise ValueError(f"values: {np.shape(value)} is not what {variable.path!r}, {tuple(variable.shape)}, can be")


def _check_layers(keeping: Keeping) -> None:
    for layer in keeping.anatomy.model._flatten_layers():
        if not any(keeping.places(variable) for variable in layer.weights):
            continue
        if getattr(layer, "quantization_mode", None) is not None:
            raise Unsupported(f"{layer.name!r} is quantised ({layer.quantization_mode}): prune first, then quantise")
        if getattr(layer, "lora_enabled", False):
            raise Unsupported(f"{layer.name!r} is adapted by LoRA: prune first, then adapt")
