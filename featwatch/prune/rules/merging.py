"""Operations on several tensors: sums, products, extremes, with broadcasting and constants; concatenation; stacking."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from featwatch.prune.labelled import Arguments, Call, Kept, Labelled, Rewritten
from featwatch.prune.rules import Given, rule, unknown

layers = keras.layers


@rule(
    layers.Add, layers.Subtract, layers.Multiply, layers.Average, layers.Maximum, layers.Minimum,
    "Add", "Subtract", "Multiply", "Divide", "DivideNoNan", "TrueDivide", "FloorDivide", "Maximum", "Minimum", "Fmax", "Fmin",
    "Power", "Mod", "Fmod", "Hypot", "Arctan2", "Logaddexp", "Logaddexp2", "Equal", "NotEqual", "Greater", "GreaterEqual", "Less",
    "LessEqual", "LogicalAnd", "LogicalOr", "LogicalXor", "Heaviside", "Where",
)  # fmt: skip
def merged(anatomy: Any, call: Call) -> Given:
    """Channel by channel: those at one place go together; one channel alone, spread over all of them, stays."""
    rank = len(call.shape)
    widest = max(call.reads, key=lambda read: len(read.ids))
    axis = rank - len(widest.shape) + widest.axis

    def along(read: Labelled) -> int | None:
        """How long it is along the axis of the channels of what is given."""
        at = axis - (rank - len(read.shape))
        return read.shape[at] if at >= 0 else 1

    full = [read for read in call.reads if rank - len(read.shape) + read.axis == axis and len(read.ids) == len(widest.ids)]
    narrow = [read for read in call.reads if not any(read is each for each in full)]
    if not widest.axis or call.shape[axis] not in (None, len(widest.ids)) or any(along(read) != 1 for read in narrow):
        return unknown.unknown(anatomy, call)
    if type(call.operation).__name__ == "Add" and any(
        _taken_for_bias(call, np.shape(value), axis) for value in call.args if not isinstance(value, Labelled)
    ):
        return anatomy.keep(call, f"{call.name!r} adds a vector that Keras takes for one of channels when there are as many")
    if not _constants_follow(anatomy, call, widest, rank - axis):
        return unknown.unknown(anatomy, call)
    for read in full:
        anatomy.units.tie(widest.ids, read.ids)
    for read in narrow:
        anatomy.units.freeze(read.ids, f"{call.name!r} spreads it over all channels of another tensor")
    return widest.shaped(call.shape, axis)


def _taken_for_bias(call: Call, shape: tuple[int, ...], axis: int) -> bool:
    """Whether `keras.ops.add` may add a constant of this shape along the last axis, though it lies along another one.

    It does so with whatever has one axis longer than 1, if that is as long as the last one of the tensor (Keras 3.15,
    `backend/tensorflow/numpy.py`).  The lengths may be the same before pruning or become so.
    """
    long = [place for place, size in enumerate(shape, len(call.shape) - len(shape)) if size > 1]
    if len(long) != 1 or long[0] == len(call.shape) - 1:
        return False
    last = call.shape[-1] or 0
    if axis == len(call.shape) - 1:
        return shape[long[0] - len(call.shape)] <= last
    return long[0] == axis and last <= shape[long[0] - len(call.shape)]


def _constants_follow(anatomy: Any, call: Call, widest: Labelled, back: int) -> bool:
    """Whether arrays among the arguments fit; those with a number for each channel lose those that go.

    Arguments:
        back: how many axes from the last the channels are.
    """
    count, found = len(widest.ids), []
    for place, value in [*enumerate(call.args), *call.kwargs.items()]:
        flat = keras.tree.flatten(value)
        tensors = any(isinstance(each, Labelled) for each in flat)
        if tensors and any(np.ndim(each) > 0 for each in flat if not isinstance(each, Labelled)):
            return False                # arrays and tensors in one list
        if tensors or value is None or isinstance(value, str) or not np.shape(value):
            continue
        shape = np.shape(value)
        if isinstance(value, keras.Variable) or len(shape) > len(call.shape):
            return False
        length = shape[-back] if len(shape) >= back else 1
        if length == count > 1:
            found.append(place)
        elif length != 1:
            return False
    if not found:
        return True

    def sliced(kept: Kept, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
        stay = kept(widest.ids)

        def less(place: Any, value: Any) -> Any:
            if place not in found:
                return value
            array = np.asarray(keras.ops.convert_to_numpy(value) if keras.ops.is_tensor(value) else value)
            smaller = np.take(array, stay, array.ndim - back)
            return keras.ops.convert_to_tensor(smaller, dtype=value.dtype) if keras.ops.is_tensor(value) else smaller

        return tuple(less(*each) for each in enumerate(args)), {name: less(name, value) for name, value in kwargs.items()}

    anatomy.rewrite(Rewritten(call.operation, widest.ids, arguments=sliced))
    return True


@rule(layers.Concatenate, "Concatenate")
def concatenated(anatomy: Any, call: Call) -> Given:
    """Channels one after the other; along another axis, those at one place go together."""
    first = call.reads[0]
    along = call.operation.axis % len(first.shape)
    fits = all(read.axis == first.axis and len(read.shape) == len(first.shape) for read in call.reads)
    if not fits or not along or not _only_tensors(call):
        return unknown.unknown(anatomy, call)
    if along == first.axis:
        return Labelled(call.shape, along, np.concatenate([read.ids for read in call.reads]))
    for read in call.reads[1:]:
        anatomy.units.tie(first.ids, read.ids)
    return first.shaped(call.shape)


@rule("Stack")
def stacked(anatomy: Any, call: Call) -> Given:
    """Tensors of one shape along a new axis: their channels go together."""
    first, along = call.reads[0], call.operation.axis % len(call.shape)
    fits = all(read.axis == first.axis and len(read.ids) == len(first.ids) for read in call.reads)
    if not fits or not along or not _only_tensors(call):
        return unknown.unknown(anatomy, call)
    for read in call.reads[1:]:
        anatomy.units.tie(first.ids, read.ids)
    return first.shaped(call.shape, first.axis + (along <= first.axis))


@rule(layers.Dot)
def dot(anatomy: Any, call: Call) -> Given:
    """Products summed over an axis of each; channels that are summed over go together, and no more is seen of them."""
    axes = call.operation.axes
    axes = [axes, axes] if isinstance(axes, int) else list(axes)
    summed = [read.axis == axis % len(read.shape) for read, axis in zip(call.reads, axes, strict=True)]
    if not all(summed) or len(call.reads[0].ids) != len(call.reads[1].ids):
        return anatomy.keep(call, f"{call.name!r} multiplies it with others by place")
    anatomy.units.tie(call.reads[0].ids, call.reads[1].ids)
    given = [anatomy._whole(shape) for shape in call.shapes]
    for each in given:
        anatomy.units.freeze(each.ids, f"{call.name!r} makes it of all channels")
    return given


def _only_tensors(call: Call) -> bool:
    """Whether a call takes nothing but tensors of the graph."""
    return all(isinstance(each, Labelled) or each is None for each in keras.tree.flatten((call.args, call.kwargs)))
