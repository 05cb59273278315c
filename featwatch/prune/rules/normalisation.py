"""Normalisations by channel, and layers that have a number of their own for each."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras.src.applications.convnext import LayerScale

from featwatch.prune.labelled import Call, Kept, Rewritten, Sized
from featwatch.prune.rules import Given, rule

layers = keras.layers


@rule(layers.BatchNormalization)
def batch_normalisation(anatomy: Any, call: Call) -> Given:
    """Mean, variance, gamma and beta, each (channels,)."""
    read = call.read
    if call.operation.axis % len(read.shape) != read.axis:
        return anatomy.keep(call, f"{call.name!r} normalises along another axis than it is on")
    anatomy.note(call, read.ids, mixes=False)
    for variable in call.operation.variables:
        if tuple(variable.shape) == (len(read.ids),):
            anatomy.has(call, variable, {0: read.ids})
    return read.shaped(call.shape)


@rule(layers.GroupNormalization)
def group_normalisation(anatomy: Any, call: Call) -> Given:
    """Gamma and beta (channels,).  The channels of a group go together, and the group with them; one group cannot."""
    layer, read = call.operation, call.read
    if layer.axis % len(read.shape) != read.axis:
        return anatomy.keep(call, f"{call.name!r} normalises along another axis than it is on")
    if layer.groups == 1:
        return anatomy.keep(call, f"{call.name!r} (GroupNormalization) scales it by what all channels give together")
    rows = read.ids.reshape(layer.groups, -1)
    anatomy.units.tie(rows[:, :1], rows)
    if call.name not in anatomy.made:
        anatomy.sized.append(Sized(layer, "groups", read.ids, rows.shape[1]))
    anatomy.note(call, read.ids, mixes=False)
    for variable in (layer.gamma, layer.beta):
        if variable is not None:
            anatomy.has(call, variable, {0: read.ids})
    return read.shaped(call.shape)


@rule(LayerScale)
def layer_scale(anatomy: Any, call: Call) -> Given:
    """Gamma (channels,)."""
    if not call.read.last:
        return anatomy.keep(call, f"{call.name!r} scales along another axis than it is on")
    if call.name not in anatomy.made:
        anatomy.sized.append(Sized(call.operation, "projection_dim", call.read.ids))
    anatomy.note(call, call.read.ids, mixes=False)
    anatomy.has(call, call.operation.gamma, {-1: call.read.ids})
    return call.read.shaped(call.shape)


@rule(layers.PReLU)
def prelu(anatomy: Any, call: Call) -> Given:
    """Alpha, of the input's shape, 1 where it is shared."""
    alpha, read = call.operation.alpha, call.read
    if read.axis - 1 not in range(len(alpha.shape)) or len(alpha.shape) != len(read.shape) - 1:
        return anatomy.keep(call, f"{call.name!r} has slopes along other axes than it is on")
    if alpha.shape[read.axis - 1] == len(read.ids) > 1:
        anatomy.note(call, read.ids, mixes=False)
        anatomy.has(call, alpha, {read.axis - 1: read.ids})
    return read.shaped(call.shape)


@rule(layers.Rescaling)
def rescaling(anatomy: Any, call: Call) -> Given:
    """Scale and offset: numbers, or one of each for each channel."""
    layer, read = call.operation, call.read
    arrays = {name: np.asarray(getattr(layer, name)) for name in ("scale", "offset") if np.ndim(getattr(layer, name))}
    if not arrays:
        return read.shaped(call.shape)
    fits = read.last and keras.config.image_data_format() == "channels_last"
    if not fits or any(array.shape not in ((len(read.ids),), (1,)) for array in arrays.values()):
        return anatomy.keep(call, f"{call.name!r} rescales along another axis than it is on")

    def less(kept: Kept) -> dict[str, Any]:
        stay = kept(read.ids)
        return {name: (array[stay] if len(array) > 1 else array).tolist() for name, array in arrays.items()}

    anatomy.rewrite(Rewritten(layer, read.ids, less))
    return read.shaped(call.shape)


@rule(layers.Normalization)
def normalisation(anatomy: Any, call: Call) -> Given:
    """Mean and variance, given or learnt, along some axes."""
    layer, read = call.operation, call.read
    if read.axis not in layer._keep_axis:
        return read.shaped(call.shape)
    at = layer._keep_axis.index(read.axis)
    said = {} if layer.input_mean is None else {"mean": layer.input_mean, "variance": layer.input_variance}
    given = {name: np.asarray(value) for name, value in said.items()}
    back = len(layer._keep_axis) - at
    if not given:
        for variable in (layer.adapt_mean, layer.adapt_variance):
            anatomy.has(call, variable, {at: read.ids})
    anatomy.note(call, read.ids, mixes=False)

    def configuration(kept: Kept) -> dict[str, Any]:
        stay, found = kept(read.ids), {}
        for name, array in given.items():
            own = array.ndim >= back and array.shape[-back] == len(read.ids)
            found[name] = (np.take(array, stay, array.ndim - back) if own else array).tolist()
        return found

    def attributes(kept: Kept) -> list[tuple[Any, str, Any]]:
        stay = kept(read.ids)
        found: list[tuple[Any, str, Any]] = [(layer, f"input_{name}", value) for name, value in configuration(kept).items()]
        for name, axis in (("_broadcast_shape", read.axis), ("_mean_and_var_shape", at)):
            old = getattr(layer, name)
            found.append((layer, name, type(old)([*old[:axis], len(stay), *old[axis + 1 :]])))
        for name in ("mean", "variance"):
            whole = getattr(layer, name)
            left = np.take(keras.ops.convert_to_numpy(whole), stay, read.axis)
            found.append((layer, name, keras.ops.convert_to_tensor(left, dtype=whole.dtype)))
        return found

    anatomy.rewrite(Rewritten(layer, read.ids, configuration, attributes))
    return read.shaped(call.shape)
