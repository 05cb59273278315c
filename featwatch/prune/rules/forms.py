"""What writes the same values in another form: flattening and reshaping."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np

from featwatch.prune.labelled import Call, Kept, Labelled, Rewritten, Shape
from featwatch.prune.rules import Given, rule, unknown

layers = keras.layers


@rule(layers.Flatten, "Ravel")
def flattened(anatomy: Any, call: Call) -> Given:
    """Each channel at as many places as there were positions; channels-first ones are flattened with the channels last."""
    read = call.read
    if not isinstance(call.operation, keras.Layer) or None in read.shape[1:] or not read.axis:
        return unknown.unknown(anatomy, call)
    whole = _everywhere(read, 1)
    if call.operation.data_format == "channels_first" and whole.ndim > 1:
        whole = np.moveaxis(whole, 0, -1)
    return Labelled(call.shape, 1, whole.ravel())


@rule(layers.Reshape, "Reshape")
def reshaped(anatomy: Any, call: Call) -> Given:
    """The axis that the channels are on afterwards; where they are spread over several, those along the others go together."""
    read, shape = call.read, call.shape
    if not read.axis:
        return unknown.unknown(anatomy, call)
    start, begin = _known(read, shape)
    if not begin:
        return unknown.unknown(anatomy, call)
    target: list[int] = [size or 0 for size in shape[begin:]]
    ids = _everywhere(read, start).reshape(target)
    axis = _axis(ids, anatomy.first and len(read.shape) == 2)
    rows = np.moveaxis(ids, axis, 0).reshape(ids.shape[axis], -1)
    if (rows != rows[:, :1]).any():
        anatomy.units.tie(rows[:, :1], rows)
    given = Labelled(shape, begin + axis, rows[:, 0].copy())
    return _following(anatomy, call, given)


def _following(anatomy: Any, call: Call, given: Labelled) -> Given:
    """Note that the target shape gets smaller along the channels' axis."""
    operation = call.operation
    option, fewer = ("target_shape", 1) if isinstance(operation, layers.Reshape) else ("newshape", 0)
    target, at = list(getattr(operation, option)), given.axis - fewer
    if len(target) != len(given.shape) - fewer or not all(isinstance(size, int) for size in target):
        return anatomy.keep(call, f"{call.name!r} has a target shape that depends on others")

    def smaller(kept: Kept) -> dict[str, Any]:
        size = target[at] if target[at] == -1 else len(kept(given.ids))
        return {option: (*target[:at], size, *target[at + 1 :])}

    if id(operation) in anatomy.reformed:
        known = anatomy.reformed[id(operation)]
        if known.axis == given.axis and len(known.ids) == len(given.ids):
            anatomy.units.tie(known.ids, given.ids)
            return given
    anatomy.reformed[id(operation)] = given
    anatomy.rewrite(Rewritten(operation, given.ids, smaller))
    return given


def _known(read: Labelled, shape: Shape) -> tuple[int, int]:
    """From which axis on the numbers of what is read, and of what is given, are known and the same; (0, 0) = from none."""
    for start in range(1, read.axis + 1):
        numbers = 0 if None in read.shape[start:] else math.prod(size or 0 for size in read.shape[start:])
        for begin in reversed(range(1, len(shape))):
            if None not in shape[begin:] and numbers == math.prod(size or 0 for size in shape[begin:]) > 0:
                return start, begin
    return 0, 0


def _axis(ids: np.ndarray, first: bool) -> int:
    """The axis along which units are told apart: the one along which they differ, the last of several.

    Arguments:
        first: take the first of several: channels come first in this model, and none of these axes was there before.
    """
    differing = [axis for axis in range(ids.ndim) if (ids != np.take(ids, [0], axis)).any()]
    alone = [
        axis for axis in differing or range(ids.ndim)
        if not any((ids != np.take(ids, [0], other)).any() for other in range(ids.ndim) if other != axis)
    ]  # fmt: skip
    if alone:
        return alone[-1]
    return differing[0] if first else differing[-1]


def _everywhere(read: Labelled, start: int) -> np.ndarray:
    """The unit of each value of a sample, axes before `start` left out."""
    whole = [size or 0 for size in read.shape[start:]]
    around = [1] * len(whole)
    around[read.axis - start] = -1
    return np.broadcast_to(read.ids.reshape(around), whole)
