"""A layer's weights as one row per filter."""

from __future__ import annotations

import hashlib
import weakref
from typing import Any, TypeGuard

import keras
import numpy as np
import tensorflow as tf

from featwatch.folding import Normalisation

_PLAIN = (keras.layers.Dense, keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
_TRANSPOSED = (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
_SEPARABLE = (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)


def filter_weights(layer: Any) -> np.ndarray | None:
    """(filters, weights per filter) float32, or None where the layer has no kernel.

    A separable convolution's filters are the rows of its pointwise kernel; a depthwise one's are
    ordered as its output channels are.
    """
    if isinstance(layer, keras.layers.TimeDistributed):
        return filter_weights(layer.layer)
    if isinstance(layer, _SEPARABLE):
        return _rows_of_last_axis(layer.pointwise_kernel)
    kernel = getattr(layer, "kernel", None)
    if not _is_tensor(kernel):          # a layer of the user's may use the name for something else
        return None
    values = as_numpy(kernel)
    if isinstance(layer, _DEPTHWISE):  # (…, inputs, multiplier) -> one filter per pair
        return values.reshape(-1, values.shape[-2] * values.shape[-1]).T.copy()
    if isinstance(layer, _TRANSPOSED):  # (…, filters, inputs)
        values = np.moveaxis(values, -2, -1)
    return values.reshape(-1, values.shape[-1]).T.copy()


def kernel_of(layer: Any) -> np.ndarray | None:
    """(…, inputs, filters) float32 of a convolution or dense layer: its kernel with the filters last; None for any other.

    Of a depthwise convolution (…, 1, filters); of a separable one the depthwise kernel, (…, 1, inputs · multiplier),
    which is what looks at the image.
    """
    if isinstance(layer, keras.layers.TimeDistributed):
        return kernel_of(layer.layer)
    kernel = getattr(layer, "depthwise_kernel" if isinstance(layer, _SEPARABLE) else "kernel", None)
    if not _is_tensor(kernel) or len(kernel.shape) < 2:
        return None
    values = as_numpy(kernel)
    if isinstance(layer, (*_DEPTHWISE, *_SEPARABLE)):
        return values.reshape(*values.shape[:-2], 1, -1)
    return np.swapaxes(values, -2, -1) if isinstance(layer, _TRANSPOSED) else values


def inputs_per_filter(layer: Any) -> int:
    """How many channels of what enters the layer a filter looks at; 0 where that is not known.

    A row of `filter_weights` is (positions · this), the channels fastest.  Of filters in equal groups each group
    looks at as many channels of its own: of a grouped or depthwise convolution.  What a separable convolution's rows
    look at is not what enters the layer.
    """
    if isinstance(layer, keras.layers.TimeDistributed):
        return inputs_per_filter(layer.layer)
    kernel = getattr(layer, "kernel", None)
    if not isinstance(layer, (*_PLAIN, *_TRANSPOSED, *_DEPTHWISE)) or not _is_tensor(kernel):
        return 0
    if isinstance(layer, _DEPTHWISE):
        return 1
    return int(kernel.shape[-1 if isinstance(layer, _TRANSPOSED) else -2])


def filter_bias(layer: Any) -> np.ndarray | None:
    """(filters,) float32, or None where the layer has no bias."""
    bias = getattr(layer.layer if isinstance(layer, keras.layers.TimeDistributed) else layer, "bias", None)
    return as_numpy(bias) if _is_tensor(bias) and len(bias.shape) == 1 else None


def normalisation_of(layer: Any) -> Normalisation | None:
    """What a batch normalisation does to each filter, with its moving averages of the moment; None for no layer.

    Ioffe & Szegedy 2015, *Batch Normalization*, algorithm 2.
    """
    if layer is None or not _is_tensor(getattr(layer, "moving_mean", None)):
        return None
    mean, variance = as_numpy(layer.moving_mean).astype(np.float64), as_numpy(layer.moving_variance).astype(np.float64)
    gamma, beta = getattr(layer, "gamma", None), getattr(layer, "beta", None)
    scale = as_numpy(gamma) if _is_tensor(gamma) else np.ones(len(mean), np.float32)
    shift = as_numpy(beta) if _is_tensor(beta) else np.zeros(len(mean), np.float32)
    factor = scale / np.sqrt(variance + layer.epsilon)
    return Normalisation(factor, shift - mean * factor, scale, shift)


def _is_tensor(value: Any) -> TypeGuard[Any]:
    return isinstance(getattr(value, "value", value), (tf.Tensor, tf.Variable))


def as_numpy(variable: Any) -> np.ndarray:
    """A Keras variable's value as float32.  Not by `np.array(variable)`: NumPy 2 warns of Keras' way to become an array."""
    value = getattr(variable, "value", variable)        # with LoRA, `layer.kernel` is a tensor
    return np.asarray(value.numpy(), np.float32)


def first_values(variable: Any, count: int) -> np.ndarray:
    """At most `count` values of a variable, without copying the rest of it to the host."""
    value = getattr(variable, "value", variable)
    return np.asarray(tf.reshape(value, (-1,))[:count].numpy())


class _Holder:
    """What holds a variable's value, weakly: equal to another of the same, while that is there."""

    def __init__(self, value: Any) -> None:
        self._value = weakref.ref(value) if value is not None else None     # of a variable that is not initialised yet

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Holder):
            return False
        if self._value is None or other._value is None:
            return self._value is other._value
        value = self._value()
        return value is not None and value is other._value()

    __hash__ = None  # type: ignore[assignment]


def holders(model: Any) -> tuple[object, ...]:
    """What holds the values of a model's variables now, to be compared: traced functions read these and no others.

    Surgery gives a Keras variable a new holder, of the same shape too where it is undone.
    """
    return tuple(_Holder(variable._value) for variable in model.variables)


def fingerprint(model: Any) -> bytes:
    """A hash of some values of the first and the last trainable variable: enough to see that weights were put back."""
    variables = model.trainable_variables
    digest = hashlib.blake2b(digest_size=8)
    for variable in (variables[:1] + variables[-1:]) if variables else []:
        digest.update(first_values(variable, 4096).tobytes())
    return digest.digest()


def _rows_of_last_axis(kernel: Any) -> np.ndarray:
    values = as_numpy(kernel)
    return values.reshape(-1, values.shape[-1]).T.copy()
