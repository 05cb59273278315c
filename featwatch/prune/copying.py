"""New layers for those of a model: of the same configuration, with fewer units where units go.

Every layer is made anew from what it says of itself, as Keras does when it loads a model.  What Keras would need to be
told by name for that (functions, classes of the user's own) is at hand here, in the layer itself.
"""

from __future__ import annotations

import inspect
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state
from keras.src.saving.serialization_lib import SafeModeScope

from featwatch.errors import first_line

Kept = Callable[[np.ndarray], np.ndarray]           # numbers of units -> places of those that stay


def copied(operation: Any, options: Mapping[int, Mapping[str, Any]]) -> Any:
    """A new layer, or operation of `keras.ops`, of the same name and configuration; nothing of its weights.

    Arguments:
        options: by the identity of a layer what is to be different in its configuration; of those inside it, too.

    Raises:
        ValueError: the layer cannot be made from its configuration.
    """
    if type(operation) is keras.layers.Lambda and id(operation) not in options:
        return _same_function(operation)
    try:
        configuration = _configuration(operation, options)
        # Safe mode guards against code in files of others; this configuration has just been taken from a layer that runs.
        with known(_own(operation)), SafeModeScope(False):
            new = type(operation).from_config(configuration)
    except Exception as error:
        raise ValueError(
            f"the layer {operation.name!r} ({type(operation).__name__}) cannot be made anew from its configuration, so no "
            f"smaller model can be: {type(error).__name__}: {first_line(error)}. Give it get_config() and from_config()"
        ) from error
    new.name = operation.name                       # operations of `keras.ops` would take the next number
    return new


def state_carried(old: Any, new: Any) -> None:
    """Give a layer what it has learnt beside its weights: vocabularies, and statistics that are ready for use."""
    for one, other in zip(layers_in(old), layers_in(new), strict=True):
        if hasattr(one, "save_assets") and hasattr(one, "load_assets"):
            with tempfile.TemporaryDirectory() as folder:
                one.save_assets(folder)
                other.load_assets(folder)
        if isinstance(other, keras.layers.Normalization) and other.built:
            other.finalize_state()                  # what it computes with is made of its variables
        if other._trainable != one._trainable:
            other._trainable = one._trainable       # its setter would do the same to all variables and layers within


def layers_in(operation: Any) -> list[Any]:
    """The layer and those within it; none for an operation of `keras.ops`."""
    return list(operation._flatten_layers()) if isinstance(operation, keras.Layer) else []


def _configuration(operation: Any, options: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)        # that a lambda is unsafe to write down
        configuration = operation.get_config()
    if isinstance(operation, keras.Layer):
        for name, value in configuration.items():
            own = getattr(operation, "forward_layer" if name == "layer" and hasattr(operation, "forward_layer") else name, None)
            if inspect.isfunction(own):
                configuration[name] = own                   # rather than its name, or its bytes
            elif isinstance(own, keras.Layer) and isinstance(value, dict) and isinstance(value.get("config"), dict):
                # What is wrapped: by TimeDistributed, Bidirectional, RNN; or an activation that is a layer.
                configuration[name] = {**value, "config": {**value["config"], **_configuration(own, options)}}
                configuration[name].pop("build_config", None)       # it is built for what it will read
    return {**configuration, **options.get(id(operation), {})}


def _same_function(layer: Any) -> Any:
    """A `Lambda` by hand: Keras would write its function down as bytes, and what it closes over would be lost."""
    new = type(layer)(
        layer.function, output_shape=layer._output_shape, mask=layer.mask, arguments=layer.arguments, name=layer.name,
        dtype=layer.dtype_policy,
    )  # fmt: skip
    new.trainable = layer.trainable
    return new


@contextmanager
def known(objects: Mapping[str, Any]) -> Iterator[None]:
    """While it lasts Keras finds these by name, beside what it is told already."""
    told = global_state.get_global_attribute("custom_objects_scope_dict", {})
    with keras.saving.custom_object_scope({**objects, **told}):
        yield


def _own(operation: Any) -> dict[str, Any]:
    """Functions and classes of the user's own in a layer and those within it, by name."""
    found: dict[str, Any] = {}
    for layer in layers_in(operation):
        found.update(own_objects([layer, *vars(layer).values()]))
    return found


def own_objects(values: Iterable[Any]) -> dict[str, Any]:
    """Of these the functions, and the classes of the objects, that are not Keras' own, by name."""
    found = {}
    for value in values:
        named = value if inspect.isfunction(value) or inspect.isclass(value) else type(value)
        module = getattr(named, "__module__", None) or ""
        if module.split(".")[0] not in ("keras", "tensorflow", "builtins", "numpy"):
            found[named.__name__] = named
    return found
