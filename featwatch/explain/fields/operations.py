"""What each operation of a Keras graph reads of its inputs to make one position of its output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras.src.applications.convnext import LayerScale, StochasticDepth
from keras.src.layers.convolutional.base_conv import BaseConv
from keras.src.layers.convolutional.base_conv_transpose import BaseConvTranspose
from keras.src.layers.convolutional.base_depthwise_conv import BaseDepthwiseConv
from keras.src.layers.convolutional.base_separable_conv import BaseSeparableConv
from keras.src.layers.pooling.base_global_pooling import BaseGlobalPooling
from keras.src.layers.pooling.base_pooling import BasePooling

from featwatch.explain.fields.axes import SAME, Axis, Enlarged, Part, Repeated, Whole, Window, sliding, spreading

layers = keras.layers
Shape = Sequence[int | None]

# Layers that make each value of the values at the same place, in inference.
_ELEMENTWISE_LAYERS = (
    layers.Activation, layers.ReLU, layers.LeakyReLU, layers.PReLU, layers.ELU,
    layers.BatchNormalization, layers.Normalization, layers.Rescaling, layers.Identity,
    layers.Dropout, layers.SpatialDropout1D, layers.SpatialDropout2D, layers.SpatialDropout3D, layers.AlphaDropout,
    layers.GaussianNoise, layers.GaussianDropout, layers.ActivityRegularization,
    layers.Add, layers.Subtract, layers.Multiply, layers.Average, layers.Maximum, layers.Minimum,
    layers.RandomFlip, layers.RandomRotation, layers.RandomTranslation, layers.RandomZoom, layers.RandomContrast,
    layers.RandomBrightness, LayerScale, StochasticDepth,
)  # fmt: skip
# Operations of keras.ops, by the names of their classes.
_ELEMENTWISE_OPERATIONS = frozenset({
    "Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Celu", "Gelu", "Silu", "Sigmoid", "HardSigmoid", "HardSilu", "Softplus",
    "Softsign", "SoftShrink", "HardShrink", "HardTanh", "Tanh", "TanhShrink", "LogSigmoid", "SquarePlus", "SparsePlus",
    "Threshold", "Add", "Subtract", "Multiply", "Divide", "TrueDivide", "DivideNoNan", "Maximum", "Minimum", "Power", "Negative",
    "Absolute", "Abs", "Exp", "Expm1", "Log", "Log1p", "Sqrt", "Rsqrt", "Square", "Reciprocal", "Sign", "Clip", "Where", "Cast",
    "Erf", "Sin", "Cos",
})  # fmt: skip
_OVER_THE_LAST_AXIS = frozenset({"softmax", "log_softmax", "sparsemax", "glu"})
_INTERPOLATION_REACH = {"nearest": 0, "bilinear": 1, "bicubic": 2, "lanczos3": 3, "lanczos5": 5}


def channel_axis(operation: Any, axes: int) -> int:
    """Which of an operation's axes, the batch's left out, holds its channels."""
    first = getattr(operation, "data_format", None) == "channels_first" and axes > 1
    return 0 if first else axes - 1


def reads(operation: Any, given: Shape, read: Sequence[Shape], index: int) -> tuple[Axis, ...]:
    """What the operation reads of one of its inputs: a rule for each axis of that input, the batch's left out.

    Where input and output have as many axes, a rule goes from the output's axis to the input's; otherwise
    every rule is `Whole`.  An operation that is not known may read everything.

    Arguments:
        given: shape of its output, without the batch axis.
        read: shapes of its inputs, likewise.
        index: of the input in question.
    """
    shape = read[index]
    everything = tuple(Whole(size) for size in shape)
    perhaps = tuple(Whole(size, exact=False) for size in shape)
    if isinstance(operation, (layers.Flatten, BaseGlobalPooling)):
        return everything
    if isinstance(operation, layers.Reshape) and len(shape) == 1 and given[-1] == shape[0]:
        return everything           # one position, all of its channels: squeeze and excite
    if len(shape) != len(given):
        return perhaps
    if isinstance(operation, layers.Dense):
        return tuple(SAME for _ in shape[:-1]) + everything[-1:]
    if is_elementwise(operation):
        return tuple(Repeated() if one == 1 != other else SAME for one, other in zip(shape, given, strict=True))
    if isinstance(operation, layers.Concatenate):
        along = operation.axis - 1 if operation.axis > 0 else operation.axis % (len(shape) + 1) - 1
        before = [other[along] for other in read[:index]]
        known = shape[along] is not None and None not in before
        part = Part(sum(size or 0 for size in before), shape[along] or 0) if known else perhaps[along]
        return tuple(part if axis == along else SAME for axis in range(len(shape)))
    across = _normalised_axes(operation, len(shape))
    if across is not None:
        return tuple(everything[axis] if axis in across else SAME for axis in range(len(shape)))
    return _spatially(operation, given, shape) or perhaps


def _spatially(operation: Any, given: Shape, shape: Shape) -> tuple[Axis, ...] | None:
    """The rules of an operation that treats space and channels apart, or None where it is not known."""
    channels = channel_axis(operation, len(shape))
    space = [axis for axis in range(len(shape)) if axis != channels]
    rules: list[Axis]
    if isinstance(operation, (BaseConv, BaseDepthwiseConv, BaseSeparableConv, BasePooling)):
        pooling = isinstance(operation, BasePooling)
        kernel = _each(operation.pool_size if pooling else operation.kernel_size, len(space))
        strides = _each(operation.strides, len(space))
        dilation = _each(getattr(operation, "dilation_rate", 1), len(space))
        rules = [
            sliding(kernel[i], strides[i], dilation[i], operation.padding, shape[axis]) for i, axis in enumerate(space)
        ]
    elif isinstance(operation, BaseConvTranspose):
        rules = [
            spreading(operation.kernel_size[i], operation.strides[i], operation.dilation_rate[i], operation.padding,
                      shape[axis], given[axis])
            for i, axis in enumerate(space)
        ]  # fmt: skip
    elif isinstance(operation, (layers.ZeroPadding1D, layers.ZeroPadding2D, layers.ZeroPadding3D)):
        rules = [Window(before=before) for before, _ in _pairs(operation.padding)]
    elif isinstance(operation, (layers.Cropping1D, layers.Cropping2D, layers.Cropping3D)):
        rules = [Window(before=-before) for before, _ in _pairs(operation.cropping)]
    elif isinstance(operation, (layers.UpSampling1D, layers.UpSampling2D, layers.UpSampling3D)):
        reach = _INTERPOLATION_REACH.get(getattr(operation, "interpolation", "nearest"))
        if reach is None:
            return None
        rules = [Enlarged(factor, reach) for factor in _each(operation.size, len(space))]
    else:
        return None
    if len(rules) != len(space):
        return None
    rules.insert(channels, SAME if isinstance(operation, BasePooling) else Whole(shape[channels]))
    return tuple(rules)


def is_elementwise(operation: Any) -> bool:
    """Whether each value that leaves the operation is made of the values at the same place, in inference."""
    if isinstance(operation, layers.Activation):
        return getattr(operation.activation, "__name__", "") not in _OVER_THE_LAST_AXIS
    if isinstance(operation, keras.Layer):
        if not isinstance(operation, _ELEMENTWISE_LAYERS):
            return False
        # A subclass with a `call` of its own may do anything.
        return any(type(operation).call is kind.call for kind in _ELEMENTWISE_LAYERS if isinstance(operation, kind))
    return type(operation).__module__.startswith("keras.") and type(operation).__name__ in _ELEMENTWISE_OPERATIONS


def _normalised_axes(operation: Any, axes: int) -> set[int] | None:
    """The axes over which an operation normalises, or None where it is no normalisation."""
    if isinstance(operation, layers.GroupNormalization):
        return set(range(axes))
    if isinstance(operation, layers.Activation):
        return {axes - 1}
    if isinstance(operation, (layers.LayerNormalization, layers.RMSNormalization, layers.UnitNormalization, layers.Softmax)):
        over = operation.axis
        return {axis % (axes + 1) - 1 for axis in (over if isinstance(over, (list, tuple)) else [over])}
    return None


def _each(value: Any, count: int) -> tuple[int, ...]:
    return (int(value),) * count if isinstance(value, int) else tuple(int(v) for v in value)


def _pairs(value: Any) -> list[tuple[int, int]]:
    """Padding or cropping before and after, per axis; one axis' comes as (before, after)."""
    return [tuple(value)] if isinstance(value[0], int) else [tuple(pair) for pair in value]
