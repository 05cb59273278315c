"""Whose filters the channels of a tensor are, and what operations without filters of their own do to that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np
from keras.src.layers.pooling.base_global_pooling import BaseGlobalPooling
from keras.src.layers.pooling.base_pooling import BasePooling

from featwatch.explain.fields.operations import channel_axis, is_elementwise
from featwatch.weighing import Shape

layers = keras.layers
_SPATIAL = (
    BasePooling, layers.ZeroPadding1D, layers.ZeroPadding2D, layers.ZeroPadding3D,
    layers.Cropping1D, layers.Cropping2D, layers.Cropping3D, layers.CenterCrop,
    layers.UpSampling1D, layers.UpSampling2D, layers.UpSampling3D, layers.Resizing,
)  # fmt: skip
_NORMALISING = (layers.LayerNormalization, layers.GroupNormalization, layers.RMSNormalization, layers.UnitNormalization)
_REDUCING = frozenset({"Mean", "Max", "Min", "Sum"})
_MERGED = {
    "Add": "added to others'", "Subtract": "added to others'", "Average": "averaged with others'",
    "Multiply": "multiplied with others'",
}  # fmt: skip


@dataclass(frozen=True)
class Channels:
    """The channels of a tensor."""

    shape: Shape                                                # of the tensor, without the batch axis
    axis: int                                                   # theirs, likewise
    made_by: tuple[object, ...] = ()                            # the operations that made them, in the channels' order
    share: Mapping[int, int] = field(default_factory=dict)      # identity of a layer -> channels that one of its filters has
    from_input: bool = False                                    # the model's input, but for rescaling, padding and the like

    @property
    def count(self) -> int | None:
        return self.shape[self.axis] if self.shape else 1

    def like(self, other: Channels) -> bool:
        """Whether the same channels are of the same filters."""
        return self.made_by == other.made_by and self.share == other.share


@dataclass(frozen=True)
class Passed:
    """What leaves an operation, and what that means for the filters whose channels it read."""

    channels: Channels
    why: str = ""                           # a filter cannot go alone, because of this; "" = it can
    stuck: Sequence[Channels] = ()          # the ones it read of which that is so
    weights: int = 0                        # that it has for each channel


def passed(operation: Any, reads: Sequence[Channels], given: Shape, arrays: bool = False) -> Passed:
    """What becomes of the channels in an operation that has no filters of its own.

    Arguments:
        given: shape of its output as the graph has it, without the batch axis.
        arrays: whether it takes arrays of constants, too.
    """
    read = reads[0]
    whole = Channels(given, len(given) - 1, (id(operation),))
    unknown = Passed(whole, f"what {operation.name!r} makes of it is not known", reads)
    if not read.shape or not given or arrays:
        return unknown
    if len(reads) > 1:
        return _together(operation, reads, given) or unknown
    if isinstance(operation, layers.BatchNormalization):
        at = read.axis == _axis(operation.axis, read)
        weights = sum(int(np.prod(weight.shape)) for weight in operation.weights) // (read.count or 1)
        return Passed(read, weights=weights) if at else unknown
    if isinstance(operation, layers.PReLU):
        shape = operation.alpha.shape
        return Passed(read, weights=int(np.prod(shape)) // shape[read.axis] if shape[read.axis] > 1 else 0)
    if isinstance(operation, _NORMALISING):
        return Passed(read, f"{operation.name!r} normalises it together with the others", reads)
    if isinstance(operation, layers.Softmax) or getattr(getattr(operation, "activation", None), "__name__", "") == "softmax":
        return Passed(read, f"{operation.name!r} takes a softmax over it and the others", reads)
    if getattr(operation, "weights", ()) and read.share:
        return unknown
    if is_elementwise(operation):
        scalar = np.ndim(getattr(operation, "scale", 0)) == np.ndim(getattr(operation, "offset", 0)) == 0
        return Passed(read) if scalar or not read.share else unknown
    if isinstance(operation, _SPATIAL) and read.axis == channel_axis(operation, len(read.shape)):
        return Passed(replace(read, shape=_completed(operation, read.shape, given)))
    if isinstance(operation, BaseGlobalPooling) and read.axis == channel_axis(operation, len(read.shape)):
        shape = _completed(operation, read.shape, given)
        return Passed(replace(read, shape=shape, axis=read.axis if len(shape) > 1 else 0, from_input=False))
    if type(operation).__name__ in _REDUCING and not isinstance(operation, keras.Layer):
        return _reduced(operation, read, given) or unknown
    if isinstance(operation, (layers.Flatten, layers.Reshape)):
        return _reshaped(operation, read, given) or unknown
    if isinstance(operation, layers.Permute):
        shape = tuple(read.shape[axis - 1] for axis in operation.dims)
        return Passed(replace(read, shape=shape, axis=operation.dims.index(read.axis + 1)))
    return unknown


def _together(operation: Any, reads: Sequence[Channels], given: Shape) -> Passed | None:
    """Of an operation that reads several tensors; None where it is not known."""
    name = type(operation).__name__
    axis = len(given) - len(reads[0].shape) + reads[0].axis
    if any(len(given) - len(read.shape) + read.axis != axis for read in reads):
        return None
    from_input = all(read.from_input for read in reads)
    if name == "Concatenate":
        return _concatenated(operation, reads, given, from_input)
    if not is_elementwise(operation):
        return None
    # A mask of one channel leaves the channels that it masks apart, but cannot lose its own.
    full = [read for read in reads if read.count == given[axis]]
    narrow = [read for read in reads if read.count == 1 != given[axis]]
    if not full or len(full) + len(narrow) < len(reads):
        return None
    merged = _MERGED.get(name, "combined with others'")
    why = f"its output is {merged} ({operation.name})"
    after = replace(full[0], shape=_broadcast(reads, given), axis=axis, from_input=from_input)
    if all(read.like(full[0]) for read in full):
        return Passed(after, why if narrow else "", narrow)
    return Passed(replace(after, made_by=(id(operation),), share=_largest(full)), why, reads)


def _broadcast(reads: Sequence[Channels], given: Shape) -> Shape:
    """The shape of what values of these shapes are spread to, where the graph leaves it open."""
    shape = list(given)
    for at, size in enumerate(given):
        sizes = [read.shape[at - len(given)] for read in reads if len(read.shape) >= len(given) - at]
        if size is None and (None not in sizes or max(each or 0 for each in sizes) > 1):
            shape[at] = max(each or 0 for each in sizes)
    return tuple(shape)


def _concatenated(operation: Any, reads: Sequence[Channels], given: Shape, from_input: bool) -> Passed | None:
    along, axis = _axis(operation.axis, reads[0]), reads[0].axis
    sizes = [read.shape[along] for read in reads]
    shape = tuple(None if at == along and None in sizes else sum(size or 0 for size in sizes) if at == along else size
                  for at, size in enumerate(reads[0].shape))  # fmt: skip
    after = Channels(shape, axis, from_input=from_input)
    if along == axis:
        share: Counter[int] = Counter()
        for read in reads:
            share.update(read.share)
        return Passed(replace(after, made_by=tuple(maker for read in reads for maker in read.made_by), share=share))
    if all(read.like(reads[0]) for read in reads):
        return Passed(replace(after, made_by=reads[0].made_by, share=reads[0].share))
    why = f"its output lies beside others' in the same channels ({operation.name})"
    return Passed(replace(after, made_by=(id(operation),), share=_largest(reads)), why, reads)


def _reduced(operation: Any, read: Channels, given: Shape) -> Passed | None:
    """Of a mean, sum or extreme over other axes than the channels'."""
    over = operation.axis if isinstance(operation.axis, (list, tuple)) else [operation.axis]
    if None in over:
        return None
    axes = {_axis(axis, read) for axis in over}
    if read.axis in axes or -1 in axes:
        return None
    if operation.keepdims:
        shape = tuple(1 if at in axes else size for at, size in enumerate(read.shape))
        return Passed(replace(read, shape=shape, from_input=False))
    shape = tuple(size for at, size in enumerate(read.shape) if at not in axes)
    return Passed(replace(read, shape=shape, axis=read.axis - sum(at < read.axis for at in axes), from_input=False))


def _reshaped(operation: Any, read: Channels, given: Shape) -> Passed | None:
    """Of what only writes the same values in another form: a channel may come to have several places in the last axis."""
    shape = _completed(operation, read.shape, given)
    first = read.axis != len(read.shape) - 1
    if isinstance(operation, layers.Flatten):
        if first and operation.data_format != "channels_first" and read.count != 1:
            return None
    elif first:
        return None
    if not read.share:
        return Passed(replace(read, shape=shape, axis=len(shape) - 1))
    if not shape or shape[-1] is None or not read.count or shape[-1] % read.count:
        return None
    places = shape[-1] // read.count
    share = {layer: count * places for layer, count in read.share.items()}
    made_by = read.made_by if places == 1 else (("places", places, read.made_by),)
    return Passed(replace(read, shape=shape, axis=len(shape) - 1, share=share, made_by=made_by))


def _completed(operation: Any, shape: Shape, given: Shape) -> Shape:
    """The shape of what leaves a layer, where the graph leaves it open but what enters is known."""
    if None not in given or None in shape or not isinstance(operation, keras.Layer):
        return given
    return tuple(operation.compute_output_shape((None, *shape))[1:])


def _axis(axis: Any, read: Channels) -> int:
    """One of Keras' axes, which count the batch's, as one of the others; −1 for the batch's, and for several."""
    if isinstance(axis, (list, tuple)):
        axis = axis[0] if len(axis) == 1 else 0
    return int(axis) % (len(read.shape) + 1) - 1


def _largest(reads: Sequence[Channels]) -> Mapping[int, int]:
    share: Counter[int] = Counter()
    for read in reads:
        share |= Counter(read.share)
    return share
