"""Operations of `keras.ops` along axes: means, sums, extremes; they keep channels apart along any axis but theirs."""

from __future__ import annotations

from typing import Any

from featwatch.prune.labelled import Call, Labelled
from featwatch.prune.rules import Given, rule, unknown


@rule(
    "Mean", "Max", "Min", "Amax", "Amin", "Sum", "Var", "Std", "Prod", "All", "Any", "Median", "CountNonzero", "Logsumexp",
    "Argmax", "Argmin", "Nanmean", "Nanmax", "Nanmin", "Nansum", "Nanvar", "Nanstd", "Nanprod", "Ptp",
)  # fmt: skip
def reduced(anatomy: Any, call: Call) -> Given:
    """One number instead of those along some axes."""
    read, rank = call.read, len(call.read.shape)
    along = axes_of(call.operation.axis, rank)
    if len(call.reads) != 1:
        return unknown.unknown(anatomy, call)
    if read.axis in along:
        return anatomy.keep(call, f"{call.name!r} ({type(call.operation).__name__}) is taken over it and the others")
    if getattr(call.operation, "keepdims", False):
        return read.shaped(call.shape)
    if 0 in along:
        return anatomy.keep(call, f"{call.name!r} is taken over samples")
    return read.shaped(call.shape, read.axis - sum(axis < read.axis for axis in along))


@rule("Softmax", "LogSoftmax", "Sparsemax", "Cumsum", "Cumprod", "Nancumsum", "Nancumprod", "Sort", "Argsort", "Normalize")
def in_place(anatomy: Any, call: Call) -> Given:
    """As many numbers as there were along an axis, made of all of them."""
    axis = call.operation.axis
    if len(call.reads) != 1 or axis is None or len(call.shape) != len(call.read.shape):
        return unknown.unknown(anatomy, call)
    if call.read.axis in axes_of(axis, len(call.read.shape)):
        return anatomy.keep(call, f"{call.name!r} ({type(call.operation).__name__}) is taken over it and the others")
    return call.read.shaped(call.shape)


@rule("Flip")
def flipped(anatomy: Any, call: Call) -> Given:
    """The other way round along axes."""
    along = axes_of(call.operation.axis, len(call.read.shape))
    if 0 in along:
        return anatomy.keep(call, f"{call.name!r} turns samples round")
    if call.read.axis in along:
        return Labelled(call.shape, call.read.axis, call.read.ids[::-1])
    return call.read.shaped(call.shape)


@rule("Roll")
def rolled(anatomy: Any, call: Call) -> Given:
    """Shifted along axes."""
    if call.operation.axis is None or call.read.axis in axes_of(call.operation.axis, len(call.read.shape)):
        return anatomy.keep(call, f"{call.name!r} shifts channels by a number of places")
    return call.read.shaped(call.shape)


def axes_of(axis: Any, rank: int) -> list[int]:
    """Axes that are meant, counted from the front; None = all."""
    if axis is None:
        return list(range(rank))
    return [int(each) % rank for each in (axis if isinstance(axis, (list, tuple)) else [axis])]
