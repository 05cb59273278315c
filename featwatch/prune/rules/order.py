"""What gives axes another order, adds some, takes some away, or repeats along them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from featwatch.prune.labelled import Call, Labelled
from featwatch.prune.rules import Given, rule, unknown
from featwatch.prune.rules.along import axes_of


@rule(keras.layers.Permute)
def permuted(anatomy: Any, call: Call) -> Given:
    """The axes in another order."""
    return call.read.shaped(call.shape, list(call.operation.dims).index(call.read.axis) + 1)


@rule("Transpose", "Moveaxis", "Swapaxes")
def moved(anatomy: Any, call: Call) -> Given:
    """Likewise, that of the samples included; where it is moved, everything stays."""
    operation, rank = call.operation, len(call.read.shape)
    places = np.empty(range(1, rank + 1))           # an axis is told by its length: one more than its number
    if hasattr(operation, "axes"):
        order = np.transpose(places, operation.axes).shape
    elif hasattr(operation, "source"):
        order = np.moveaxis(places, operation.source, operation.destination).shape
    else:
        order = np.swapaxes(places, operation.axis1, operation.axis2).shape
    if order[0] != 1:
        return anatomy.keep(call, f"{call.name!r} moves the axis of the samples")
    return call.read.shaped(call.shape, order.index(call.read.axis + 1))


@rule("ExpandDims")
def expanded(anatomy: Any, call: Call) -> Given:
    """Axes of length 1 more."""
    new = axes_of(call.operation.axis, len(call.shape))
    if 0 in new:
        return anatomy.keep(call, f"{call.name!r} moves the axis of the samples")
    old = [axis for axis in range(len(call.shape)) if axis not in new]
    return call.read.shaped(call.shape, old[call.read.axis])


@rule("Squeeze")
def squeezed(anatomy: Any, call: Call) -> Given:
    """Axes of length 1 fewer."""
    if call.operation.axis is None:
        # The channels' would go, too, were one of them left.
        return anatomy.keep(call, f"{call.name!r} takes away every axis of length 1: say which one")
    away = axes_of(call.operation.axis, len(call.read.shape))
    if 0 in away or call.read.axis in away:
        return anatomy.keep(call, f"{call.name!r} takes its axis away")
    return call.read.shaped(call.shape, call.read.axis - sum(axis < call.read.axis for axis in away))


@rule("Tile")
def tiled(anatomy: Any, call: Call) -> Given:
    """All along an axis, several times over."""
    read, repeats = call.read, call.operation.repeats
    times = [repeats] if isinstance(repeats, int) else list(repeats)
    if len(times) > len(read.shape):
        return unknown.unknown(anatomy, call)
    times = [1] * (len(read.shape) - len(times)) + times
    if times[0] != 1:
        return anatomy.keep(call, f"{call.name!r} repeats samples")
    return Labelled(call.shape, read.axis, np.tile(read.ids, times[read.axis]))


@rule("Repeat")
def repeated(anatomy: Any, call: Call) -> Given:
    """Each along an axis, several times over."""
    read, axis, times = call.read, call.operation.axis, call.operation.repeats
    if axis is None or axis % len(read.shape) == 0:
        return anatomy.keep(call, f"{call.name!r} repeats samples")
    if axis % len(read.shape) != read.axis:
        return read.shaped(call.shape)
    if not isinstance(times, int):
        return unknown.unknown(anatomy, call)
    return Labelled(call.shape, read.axis, np.repeat(read.ids, times))
