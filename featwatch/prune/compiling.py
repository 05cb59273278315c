"""A model compiled as another one is: the same loss and metrics, an optimiser of the same configuration without its state."""

from __future__ import annotations

import warnings
from typing import Any

import keras

from featwatch.errors import first_line
from featwatch.prune.copying import known, own_objects


def compiled_like(new: Any, model: Any) -> None:
    """Compile `new` as `model` is; nothing where that one is not compiled.

    The optimiser starts anew: its slots (momenta, second moments) and its count of steps are not carried over.  Where it
    cannot be made, a warning says so, and the model stays as it is, to be compiled by hand.
    """
    if not getattr(model, "compiled", False) or not hasattr(model, "_compile_config"):
        return
    given = dict(model._compile_config.config)
    try:
        given["optimizer"] = _anew(model.optimizer)
        for name in ("metrics", "weighted_metrics"):
            given[name] = keras.tree.map_structure(_anew, given.get(name))
        new.compile(**given)
        new.optimizer.build(new.trainable_variables)
    except Exception as error:
        warnings.warn(
            f"the smaller model is not compiled: {type(error).__name__}: {first_line(error)}; call its compile()",
            UserWarning, stacklevel=4,
        )  # fmt: skip


def _anew(given: Any) -> Any:
    """Optimisers and metrics keep a state, so each model has its own; names and functions are what they are."""
    if not isinstance(given, (keras.optimizers.Optimizer, keras.Metric)):
        return given
    inner = [given, *vars(given).values()]
    inner += [value for each in inner[1:] if isinstance(each, keras.optimizers.Optimizer) for value in vars(each).values()]
    with known(own_objects(inner)):
        return type(given).from_config(given.get_config())
