"""Convolutions: plain, grouped, transposed, depthwise, separable."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from featwatch.prune.labelled import Call, Labelled, Sized
from featwatch.prune.rules import rule
from featwatch.prune.rules.activations import activated

layers = keras.layers


@rule(layers.Conv1D, layers.Conv2D, layers.Conv3D)
def convolution(anatomy: Any, call: Call) -> Labelled | list[Labelled]:
    """Kernel (…, channels / groups, filters).  The same places of all groups go together."""
    layer, read = call.operation, call.read
    axis = _axis(layer, call)
    if read.axis != axis:
        return anatomy.keep(call, _elsewhere(call))
    channels, groups = len(read.ids), layer.groups
    if groups == channels > 1:                      # depthwise: each channel has filters of its own
        return _depthwise(anatomy, call, layer.kernel, layer.filters // groups, groups=layer.filters // groups)
    ids = anatomy.give(call, layer.filters, "filters")
    entering = read.ids
    if groups > 1:
        entering = _alike(anatomy, read.ids, groups)
        _alike(anatomy, ids, groups)
    anatomy.has(call, layer.kernel, {-2: entering, -1: ids})
    return _leaving(anatomy, call, ids, axis)


@rule(layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
def transposed(anatomy: Any, call: Call) -> Labelled | list[Labelled]:
    """Kernel (…, filters, channels)."""
    axis = _axis(call.operation, call)
    if call.read.axis != axis:
        return anatomy.keep(call, _elsewhere(call))
    ids = anatomy.give(call, call.operation.filters, "filters")
    anatomy.has(call, call.operation.kernel, {-2: ids, -1: call.read.ids})
    return _leaving(anatomy, call, ids, axis)


@rule(layers.DepthwiseConv1D, layers.DepthwiseConv2D)
def depthwise(anatomy: Any, call: Call) -> Labelled | list[Labelled]:
    """Kernel (…, channels, multiplier): a channel's filters go with it."""
    if call.read.axis != _axis(call.operation, call):
        return anatomy.keep(call, _elsewhere(call))
    layer = call.operation
    ids = np.repeat(call.read.ids, layer.depth_multiplier)
    anatomy.note(call, ids, mixes=False)
    anatomy.has(call, layer.kernel, {-2: call.read.ids})
    return _leaving(anatomy, call, ids, call.read.axis)


@rule(layers.SeparableConv1D, layers.SeparableConv2D)
def separable(anatomy: Any, call: Call) -> Labelled | list[Labelled]:
    """Depthwise kernel (…, channels, multiplier), pointwise kernel (…, channels · multiplier, filters)."""
    layer, axis = call.operation, _axis(call.operation, call)
    if call.read.axis != axis:
        return anatomy.keep(call, _elsewhere(call))
    ids = anatomy.give(call, layer.filters, "filters")
    anatomy.has(call, layer.depthwise_kernel, {-2: call.read.ids})
    anatomy.has(call, layer.pointwise_kernel, {-2: np.repeat(call.read.ids, layer.depth_multiplier), -1: ids})
    return _leaving(anatomy, call, ids, axis)


def _depthwise(anatomy: Any, call: Call, kernel: Any, multiplier: int, **options: int) -> Labelled | list[Labelled]:
    """A grouped convolution of as many groups as channels: kernel (…, 1, channels · multiplier)."""
    ids = np.repeat(call.read.ids, multiplier)
    if call.name not in anatomy.made:
        every = {"filters": 1, **options}
        anatomy.sized += [Sized(call.operation, option, ids, per) for option, per in every.items()]
    anatomy.note(call, ids, mixes=False)
    anatomy.has(call, kernel, {-1: ids})
    return _leaving(anatomy, call, ids, call.read.axis)


def _leaving(anatomy: Any, call: Call, ids: np.ndarray, axis: int) -> Labelled | list[Labelled]:
    layer = call.operation
    if layer.use_bias:
        anatomy.has(call, layer.bias, {-1: ids})
        _biased(anatomy, call, ids, axis)
    given = Labelled(call.shape, axis, ids)
    return activated(anatomy, call, given)


def _biased(anatomy: Any, call: Call, ids: np.ndarray, axis: int) -> None:
    """With the channels first, Keras adds the bias along the last axis where that is as long as there are filters.

    So it does in 3.15, on TensorFlow: `backend/tensorflow/numpy.py`, `add`.
    """
    width = call.shape[-1]
    if axis == len(call.shape) - 1 or width is None:
        return
    if width == len(ids):
        anatomy.units.freeze(ids, f"{call.name!r} has as many filters as columns: Keras adds its bias along these")
    elif width < len(ids):
        anatomy.never.append((call.name, ids, width))


def _alike(anatomy: Any, ids: np.ndarray, groups: int) -> np.ndarray:
    """Tie what stands at the same place of each group; gives those of the first."""
    rows = ids.reshape(groups, -1)
    anatomy.units.tie(rows[:1], rows)
    return rows[0]


def _axis(layer: Any, call: Call) -> int:
    return 1 if layer.data_format == "channels_first" else len(call.read.shape) - 1


def _elsewhere(call: Call) -> str:
    return f"{call.name!r} reads along another axis than it is on"
