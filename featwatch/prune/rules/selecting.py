"""Slices, splits, selections by number, and padding: what names places along axes.

Along the channels' axis such a place is another one when channels before it have gone, so the operation is rewritten.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from featwatch.prune.labelled import Arguments, Call, Kept, Labelled, Rewritten
from featwatch.prune.rules import Given, rule, unknown


@rule("GetItem")
def item(anatomy: Any, call: Call) -> Given:
    """`x[:, 2:5, ..., None]`."""
    read = call.read
    key = call.args[1] if len(call.args) > 1 else call.kwargs.get("key")
    keys = _spelt(key, len(read.shape))
    if keys is None or len(call.reads) != 1 or not isinstance(keys[0], slice):
        return unknown.unknown(anatomy, call)
    places = [at for at, each in enumerate(keys) if each is not None]       # of the axes of what is read
    at = places[read.axis]
    along = keys[at]
    if keys[0] is None or not isinstance(keys[at], slice):
        return anatomy.keep(call, f"{call.name!r} takes a single channel")
    start, stop, step = along.indices(len(read.ids))
    axis = sum(each is None or isinstance(each, slice) for each in keys[:at])
    given = Labelled(call.shape, axis, read.ids[along])
    if step == 1:
        if (start, stop) == (0, len(read.ids)):
            return given

        def shifted(kept: Kept, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
            stay = kept(read.ids)
            new = slice(int(np.searchsorted(stay, start)), int(np.searchsorted(stay, stop)))
            replaced = (*keys[:at], new, *keys[at + 1 :])
            return (args[0], replaced, *args[2:]), {name: value for name, value in kwargs.items() if name != "key"}

        anatomy.rewrite(Rewritten(call.operation, read.ids, arguments=shifted))
        return given
    if along == slice(None, None, -1):
        return given
    return anatomy.keep(call, f"{call.name!r} takes every {step}th channel")


@rule("Split")
def split(anatomy: Any, call: Call) -> Given:
    """Parts along an axis."""
    read, axis, where = call.read, call.operation.axis % len(call.read.shape), call.operation.indices_or_sections
    if axis == 0:
        return anatomy.keep(call, f"{call.name!r} takes samples apart")
    if axis != read.axis:
        return [read.shaped(shape) for shape in call.shapes]
    sections = isinstance(where, int)
    cuts = np.arange(1, where) * (len(read.ids) // where) if sections else np.asarray(where, np.int64)

    def shifted(kept: Kept) -> dict[str, Any]:
        stay = kept(read.ids)
        if len(stay) == len(read.ids):
            return {"indices_or_sections": where}
        return {"indices_or_sections": tuple(int(cut) for cut in np.searchsorted(stay, cuts))}

    anatomy.rewrite(Rewritten(call.operation, read.ids, shifted))
    return [Labelled(shape, axis, ids) for shape, ids in zip(call.shapes, np.split(read.ids, cuts), strict=True)]


@rule("Unstack")
def unstacked(anatomy: Any, call: Call) -> Given:
    """One tensor for each place along an axis."""
    axis = call.operation.axis % len(call.read.shape)
    if axis in (0, call.read.axis):
        return anatomy.keep(call, f"{call.name!r} takes {'a single channel' if axis else 'samples apart'}")
    return [call.read.shaped(shape, call.read.axis - (axis < call.read.axis)) for shape in call.shapes]


@rule("Slice")
def sliced(anatomy: Any, call: Call) -> Given:
    """`keras.ops.slice(x, starts, shape)`."""
    read, sizes = call.read, list(call.operation.shape)
    starts = call.args[1] if len(call.args) > 1 else call.kwargs.get("start_indices")
    if len(call.reads) != 1 or not isinstance(starts, (list, tuple)) or not all(isinstance(each, int) for each in starts):
        return unknown.unknown(anatomy, call)
    at = read.axis
    begin = starts[at]
    end = len(read.ids) if sizes[at] == -1 else begin + sizes[at]

    def shape(kept: Kept) -> dict[str, Any]:
        first, last = np.searchsorted(kept(read.ids), (begin, end))
        return {"shape": [*sizes[:at], sizes[at] if sizes[at] == -1 else int(last - first), *sizes[at + 1 :]]}

    def shifted(kept: Kept, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
        new = [*starts[:at], int(np.searchsorted(kept(read.ids), begin)), *starts[at + 1 :]]
        return (args[0], new), {}

    if call.args and call.args[0] is read:
        anatomy.rewrite(Rewritten(call.operation, read.ids, shape, arguments=shifted))
        return Labelled(call.shape, at, read.ids[begin:end])
    return unknown.unknown(anatomy, call)


@rule("Take")
def taken(anatomy: Any, call: Call) -> Given:
    """Those of these numbers, along an axis."""
    read, axis = call.read, call.operation.axis
    numbers = call.args[1] if len(call.args) > 1 else call.kwargs.get("indices")
    if len(call.reads) != 1 or not call.args or call.args[0] is not read or axis is None or isinstance(numbers, keras.Variable):
        return unknown.unknown(anatomy, call)
    axis, indices = axis % len(read.shape), np.asarray(numbers)
    if axis == 0 or indices.ndim != 1:
        return unknown.unknown(anatomy, call)
    if axis != read.axis:
        return read.shaped(call.shape)
    indices = indices.astype(np.int64) % len(read.ids)

    def renumbered(kept: Kept, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
        place = np.full(len(read.ids), -1, np.int64)
        stay = kept(read.ids)
        place[stay] = np.arange(len(stay))
        new = place[indices]
        return (args[0], new[new >= 0].astype(np.int32)), {}

    anatomy.rewrite(Rewritten(call.operation, read.ids, arguments=renumbered))
    return Labelled(call.shape, axis, read.ids[indices])


@rule("Pad")
def padded(anatomy: Any, call: Call) -> Given:
    """More places at the ends of axes; along the channels', channels of a constant that stay."""
    read, operation = call.read, call.operation
    widths = [tuple(each) for each in operation.pad_width]
    widths = widths * len(read.shape) if len(widths) == 1 else widths
    if len(call.reads) != 1 or any(widths[0]):
        return unknown.unknown(anatomy, call)
    before, after = widths[read.axis]
    if not before and not after:
        return read.shaped(call.shape)
    if operation.mode != "constant":
        return anatomy.keep(call, f"{call.name!r} pads channels with others")
    ends = [anatomy.units.fresh(count) for count in (before, after)]
    for ids in ends:
        anatomy.units.freeze(ids, f"{call.name!r} adds it, of one value everywhere")
    return Labelled(call.shape, read.axis, np.concatenate([ends[0], read.ids, ends[1]]))


def _spelt(key: Any, rank: int) -> tuple[Any, ...] | None:
    """A slice, a number or None (a new axis) for each axis; None where there is something else, a tensor for one."""
    keys = list(key) if isinstance(key, (list, tuple)) else [key]
    if any(not (each is None or each is Ellipsis or isinstance(each, (slice, int))) for each in keys):
        return None
    missing = rank - sum(each is not None and each is not Ellipsis for each in keys)
    dots = next((at for at, each in enumerate(keys) if each is Ellipsis), len(keys))
    spelt = (*keys[:dots], *[slice(None)] * missing, *keys[dots + 1 :])
    bounds = [bound for each in spelt if isinstance(each, slice) for bound in (each.start, each.stop, each.step)]
    return spelt if all(bound is None or isinstance(bound, int) for bound in bounds) else None


