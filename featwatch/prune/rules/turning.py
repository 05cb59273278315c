"""Which axis of a tensor is that of the channels is not known where none of them may go: operations say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras

from featwatch.prune.labelled import Call, Labelled

layers = keras.layers


def turned(anatomy: Any, call: Call) -> Call:
    """The call with what stays as a whole, as the model's inputs do, labelled along the axis that the operation takes."""
    other: dict[int, Labelled] = {}
    for read in call.reads:
        axis = _wanted(anatomy, call, read)
        if axis in (None, 0, read.axis) or not anatomy.units.frozen(read.ids).all():
            continue
        ids = anatomy.units.fresh(read.shape[axis] or 1)
        anatomy.units.freeze(ids, anatomy.units.why(int(read.ids[0])))
        if any(read.ids is each for each in anatomy.entered):
            anatomy.entered.append(ids)
        other[id(read)] = Labelled(read.shape, axis, ids)
    if not other:
        return call

    def swapped(each: Any) -> Any:
        return other.get(id(each), each)

    args, kwargs = keras.tree.map_structure(swapped, (call.args, call.kwargs))
    return replace(call, reads=tuple(map(swapped, call.reads)), args=args, kwargs=kwargs)


def _wanted(anatomy: Any, call: Call, read: Labelled) -> int | None:
    """The axis on which the operation looks for the channels of what it reads; None = on any."""
    operation, rank = call.operation, len(read.shape)
    if len(call.reads) > 1:
        return _beside(anatomy, call, read)
    if isinstance(operation, (layers.BatchNormalization, layers.GroupNormalization)):
        return int(operation.axis % rank)
    if isinstance(operation, (layers.Dense, layers.LSTM, layers.GRU, layers.SimpleRNN, layers.Bidirectional)):
        return rank - 1
    if rank > 2 and isinstance(getattr(operation, "data_format", None), str):
        return 1 if operation.data_format == "channels_first" else rank - 1
    return None


def _beside(anatomy: Any, call: Call, read: Labelled) -> int | None:
    """Of several tensors: the axis that lies where that of the others is."""
    if all(each.axis == read.axis and len(each.shape) == len(read.shape) for each in call.reads):
        return None
    others = [each for each in call.reads if each is not read and not anatomy.units.frozen(each.ids).all()]
    axes = {each.axis - len(each.shape) for each in others}
    axis = len(read.shape) + axes.pop() if len(axes) == 1 else None
    return axis if axis is not None and axis > 0 else None
