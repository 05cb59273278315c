"""Operations that leave the channels what they are: elementwise ones, pooling, padding, cropping, upsampling, dropout."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras.src.applications.convnext import StochasticDepth
from keras.src.layers.pooling.base_adaptive_pooling import BaseAdaptivePooling
from keras.src.layers.pooling.base_global_pooling import BaseGlobalPooling
from keras.src.layers.pooling.base_pooling import BasePooling

from featwatch.prune.labelled import Call, Labelled
from featwatch.prune.rules import Given, rule, unknown
from featwatch.prune.rules.activations import activated

layers = keras.layers


@rule(
    layers.ReLU, layers.LeakyReLU, layers.ELU, layers.Identity, layers.Dropout, layers.SpatialDropout1D,
    layers.SpatialDropout2D, layers.SpatialDropout3D, layers.GaussianNoise, layers.GaussianDropout, layers.AlphaDropout,
    layers.ActivityRegularization, StochasticDepth,
    "Relu", "Relu6", "Sigmoid", "SparseSigmoid", "Softplus", "Softsign", "SoftShrink", "SparsePlus", "Silu", "Squareplus",
    "LogSigmoid", "LeakyRelu", "HardSigmoid", "HardSilu", "Elu", "Selu", "Gelu", "Celu", "TanhShrink", "HardTanh", "HardShrink",
    "Threshold", "Absolute", "Abs", "Fabs", "Square", "Negative", "Sign", "Signbit", "Exp", "Exp2", "Expm1", "Log", "Log10",
    "Log1p", "Log2", "Sqrt", "Rsqrt", "Cbrt", "Reciprocal", "Sin", "Sinh", "Sinc", "Cos", "Cosh", "Tan", "Tanh", "Arcsin",
    "Arcsinh", "Arccos", "Arccosh", "Arctan", "Arctanh", "Deg2rad", "Rad2deg", "Ceil", "Floor", "Round", "Trunc", "Erf", "Erfc",
    "Erfinv", "Isnan", "Isinf", "Isfinite", "LogicalNot", "Cast", "SaturateCast", "StopGradient", "NanToNum", "Clip", "Copy",
    "Identity", "ZerosLike", "OnesLike",
)  # fmt: skip
def elementwise(anatomy: Any, call: Call) -> Given:
    """Each value is made of the one at its place."""
    if len(call.reads) != 1 or takes_arrays(call):
        return unknown.unknown(anatomy, call)
    noise = getattr(call.operation, "noise_shape", None)
    if noise is not None and noise[call.read.axis] not in (None, 1):
        return anatomy.keep(call, f"{call.name!r} draws its noise for so many channels")
    return call.read.shaped(call.shape)


@rule(layers.Activation)
def activation(anatomy: Any, call: Call) -> Given:
    """A function of each value, or of all channels."""
    read = call.read
    if len(call.shape) != len(read.shape) or (read.axis and call.shape[read.axis] != read.shape[read.axis]):
        return anatomy.keep(call, f"{call.name!r} mixes it with others")        # glu: half as many
    return activated(anatomy, call, call.read.shaped(call.shape))


@rule(
    *(BasePooling.__subclasses__()), *(BaseAdaptivePooling.__subclasses__()), layers.ZeroPadding1D, layers.ZeroPadding2D,
    layers.ZeroPadding3D, layers.Cropping1D, layers.Cropping2D, layers.Cropping3D, layers.UpSampling1D, layers.UpSampling2D,
    layers.UpSampling3D, layers.Resizing, layers.CenterCrop,
    "MaxPool", "AveragePool", "AdaptiveMaxPool", "AdaptiveAveragePool", "Resize", "PadImages", "CropImages",
)  # fmt: skip
def spatial(anatomy: Any, call: Call) -> Given:
    """What moves or mixes places, channel by channel."""
    first = (getattr(call.operation, "data_format", None) or keras.config.image_data_format()) == "channels_first"
    if call.read.axis != (1 if first else len(call.read.shape) - 1):
        return anatomy.keep(call, f"{call.name!r} takes another axis for that of the channels")
    if len(call.read.shape) != len(call.shape) or len(call.read.shape) < 3:
        return unknown.unknown(anatomy, call)
    return call.read.shaped(call.shape)


@rule(*BaseGlobalPooling.__subclasses__())
def pooled(anatomy: Any, call: Call) -> Given:
    """One number for each channel."""
    first = call.operation.data_format == "channels_first"
    if call.read.axis != (1 if first else len(call.read.shape) - 1):
        return anatomy.keep(call, f"{call.name!r} takes another axis for that of the channels")
    return call.read.shaped(call.shape, call.read.axis if call.operation.keepdims else 1)


@rule(layers.RepeatVector)
def repeated(anatomy: Any, call: Call) -> Given:
    """The same vector, several times over."""
    return call.read.shaped(call.shape, 2)


def takes_arrays(call: Call) -> bool:
    """Whether constants that a call takes, or that the operation has, are more than single numbers."""
    return any(np.ndim(value) > 0 for value in constants(call))


def constants(call: Call) -> Iterator[Any]:
    """What else than tensors of the graph a call takes: arguments, and an operation's own."""
    for value in (*call.args, *call.kwargs.values()):
        if not any(isinstance(each, Labelled) for each in keras.tree.flatten(value)) and not isinstance(value, (str, type(None))):
            yield value
    if not isinstance(call.operation, keras.Layer):
        for name, value in vars(call.operation).items():
            if not name.startswith("_") and name not in ("name", "dtype"):
                yield value
