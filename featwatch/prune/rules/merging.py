"""Operations on several tensors: sums, products, extremes, with broadcasting, and concatenation."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from featwatch.prune.labelled import Call, Labelled
from featwatch.prune.rules import rule, unknown
from featwatch.prune.rules.unchanged import takes_arrays

layers = keras.layers


@rule(
    layers.Add, layers.Subtract, layers.Multiply, layers.Average, layers.Maximum, layers.Minimum,
    "Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Maximum", "Minimum",
)  # fmt: skip
def merged(anatomy: Any, call: Call) -> Labelled | list[Labelled]:
    """Channel by channel: those at one place go together; one channel alone, spread over all of them, stays."""
    rank = len(call.shape)
    if takes_arrays(call):
        return unknown.unknown(anatomy, call)
    widest = max(call.reads, key=lambda read: len(read.ids))
    axis = rank - len(widest.shape) + widest.axis
    full = [read for read in call.reads if len(read.ids) == len(widest.ids)]
    narrow = [read for read in call.reads if len(read.ids) == 1 != len(widest.ids)]
    fits = len(full) + len(narrow) == len(call.reads) and call.shape[axis] in (None, len(widest.ids))
    if not fits or any(rank - len(read.shape) + read.axis != axis for read in full):
        return unknown.unknown(anatomy, call)
    for read in full:
        anatomy.units.tie(widest.ids, read.ids)
    for read in narrow:
        anatomy.units.freeze(read.ids, f"{call.name!r} spreads it over all channels of another tensor")
    return widest.shaped(call.shape, axis)


@rule(layers.Concatenate, "Concatenate")
def concatenated(anatomy: Any, call: Call) -> Labelled | list[Labelled]:
    """Channels one after the other; along another axis, those at one place go together."""
    first = call.reads[0]
    along = call.operation.axis % len(first.shape)
    if any(read.axis != first.axis or len(read.shape) != len(first.shape) for read in call.reads):
        return unknown.unknown(anatomy, call)
    if along == first.axis:
        return Labelled(call.shape, along, np.concatenate([read.ids for read in call.reads]))
    for read in call.reads[1:]:
        anatomy.units.tie(first.ids, read.ids)
    return first.shaped(call.shape)
