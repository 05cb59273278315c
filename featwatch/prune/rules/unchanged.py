"""Operations that leave the channels what they are: elementwise ones, pooling, padding, cropping, upsampling, dropout."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras.src.layers.pooling.base_global_pooling import BaseGlobalPooling
from keras.src.layers.pooling.base_pooling import BasePooling

from featwatch.explain.fields.operations import _ELEMENTWISE_OPERATIONS
from featwatch.prune.labelled import Call, Labelled
from featwatch.prune.rules import Given, rule, unknown
from featwatch.prune.rules.convolutions import COUPLING

layers = keras.layers


@rule(
    layers.Activation, layers.ReLU, layers.LeakyReLU, layers.ELU, layers.Identity, layers.Dropout,
    layers.SpatialDropout1D, layers.SpatialDropout2D, layers.SpatialDropout3D, layers.GaussianNoise, layers.GaussianDropout,
    layers.AlphaDropout, layers.ActivityRegularization,
)  # fmt: skip
def elementwise(anatomy: Any, call: Call) -> Labelled:
    """Each value is made of the one at its place."""
    name = getattr(getattr(call.operation, "activation", None), "__name__", "")
    if name in COUPLING and call.read.last:
        anatomy.units.freeze(call.read.ids, f"{call.name!r} takes a {name} over it and the others")
    return call.read.shaped(call.shape)


@rule(
    *(BasePooling.__subclasses__()), layers.ZeroPadding1D, layers.ZeroPadding2D, layers.ZeroPadding3D,
    layers.Cropping1D, layers.Cropping2D, layers.Cropping3D, layers.UpSampling1D, layers.UpSampling2D, layers.UpSampling3D,
)  # fmt: skip
def spatial(anatomy: Any, call: Call) -> Labelled | list[Labelled]:
    """What moves or mixes places, channel by channel."""
    first = getattr(call.operation, "data_format", None) == "channels_first"
    if call.read.axis != (1 if first else len(call.read.shape) - 1):
        return anatomy.keep(call, f"{call.name!r} takes another axis for that of the channels")
    return call.read.shaped(call.shape)


@rule(*BaseGlobalPooling.__subclasses__())
def pooled(anatomy: Any, call: Call) -> Given:
    """One number for each channel."""
    found = spatial(anatomy, call)
    if not isinstance(found, Labelled) or call.operation.keepdims:
        return found
    return found.shaped(call.shape, 1)


@rule(*_ELEMENTWISE_OPERATIONS - {"Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Maximum", "Minimum", "Where", "Power"})
def operation(anatomy: Any, call: Call) -> Labelled | list[Labelled]:
    """An elementwise operation of `keras.ops` on one tensor."""
    if len(call.reads) != 1 or takes_arrays(call):
        return unknown.unknown(anatomy, call)
    return call.read.shaped(call.shape)


def takes_arrays(call: Call) -> bool:
    """Whether a call takes arrays of constants, too."""
    given = keras.tree.flatten((call.args, call.kwargs))
    return any(np.ndim(value) > 0 for value in given if value is not None and not isinstance(value, (Labelled, str)))
