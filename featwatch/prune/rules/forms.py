"""What writes the same values in another form: flattening, reshaping, permuting axes."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np

from featwatch.prune.labelled import Call, Labelled
from featwatch.prune.rules import rule, unknown

layers = keras.layers


@rule(layers.Flatten)
def flattened(anatomy: Any, call: Call) -> Labelled | list[Labelled]:
    """Each channel has as many places as there were positions; channels-first ones are flattened with the channels last."""
    read = call.read
    places = math.prod(size or 0 for at, size in enumerate(read.shape) if at not in (0, read.axis))
    if None in read.shape[1:]:
        return unknown.unknown(anatomy, call)
    first = read.axis == 1 and not read.last and call.operation.data_format != "channels_first"
    if not read.last and read.axis != 1:
        return unknown.unknown(anatomy, call)
    return Labelled(call.shape, 1, np.repeat(read.ids, places) if first else np.tile(read.ids, places))


@rule(layers.Permute)
def permuted(anatomy: Any, call: Call) -> Labelled:
    """The axes in another order."""
    return call.read.shaped(call.shape, list(call.operation.dims).index(call.read.axis) + 1)


@rule(layers.Reshape, "Reshape")
def reshaped(anatomy: Any, call: Call) -> Labelled | list[Labelled]:
    """The axis along which each place has its own units, if there is one."""
    read, shape = call.read, call.shape
    if None in read.shape[1:] or None in shape[1:] or not read.axis:
        return unknown.unknown(anatomy, call)
    whole: tuple[int, ...] = tuple(size or 0 for size in read.shape[1:])
    around = [1] * (read.axis - 1) + [-1] + [1] * (len(read.shape) - 1 - read.axis)
    ids = np.broadcast_to(read.ids.reshape(around), whole).reshape([size or 0 for size in shape[1:]])
    roots = anatomy.units.roots(ids)
    for axis in reversed(range(ids.ndim)):
        rows, owners = (np.moveaxis(each, axis, 0).reshape(ids.shape[axis], -1) for each in (ids, roots))
        if (owners == owners[:, :1]).all() and (len(rows) > 1 or len(read.ids) == 1):
            given = Labelled(shape, axis + 1, rows[:, 0].copy())
            anatomy.reformed[id(call.operation)] = given
            return given
    return unknown.unknown(anatomy, call)
