"""What layers with filters cost: multiply-adds, and what one filter or one channel of the input less takes off them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
from keras.src.layers.convolutional.base_conv import BaseConv
from keras.src.layers.convolutional.base_conv_transpose import BaseConvTranspose
from keras.src.layers.convolutional.base_depthwise_conv import BaseDepthwiseConv
from keras.src.layers.convolutional.base_separable_conv import BaseSeparableConv

Shape = Sequence[int | None]


@dataclass(frozen=True)
class Size:
    """Parameters and multiply-adds; None = not known, because the size of a map is left open."""

    parameters: int = 0
    multiply_adds: int | None = 0

    def __add__(self, other: Size) -> Size:
        open_size = self.multiply_adds is None or other.multiply_adds is None
        multiply_adds = None if open_size else (self.multiply_adds or 0) + (other.multiply_adds or 0)
        return Size(self.parameters + other.parameters, multiply_adds)

    def times(self, count: int) -> Size:
        """That of so many of them."""
        return Size(self.parameters * count, _times(self.multiply_adds, count))

    def repeated(self, times: int | None) -> Size:
        """That of so many repetitions with the same parameters; None = of a number that is not known."""
        return Size(self.parameters, None if times is None else _times(self.multiply_adds, times))


@dataclass(frozen=True)
class Weighing:
    """What one call of a layer costs for one sample."""

    multiply_adds: int | None
    filters: int
    one_filter: Size                # what a filter has for itself: its weights, its bias
    one_input: Size | None          # what all filters together have for one channel that enters; None = it cannot go alone
    spread: int = 0                 # filters that each channel of the input has to itself: of a depthwise convolution; 0 = mixed

    def repeated(self, times: int | None) -> Weighing:
        """That of so many repetitions with the same weights; None = of a number that is not known."""
        return replace(
            self,
            multiply_adds=Size(0, self.multiply_adds).repeated(times).multiply_adds,
            one_filter=self.one_filter.repeated(times),
            one_input=None if self.one_input is None else self.one_input.repeated(times),
        )


def weighing(layer: Any, entering: Shape, leaving: Shape) -> Weighing | None:
    """What a call of the layer costs, or None where that is not known.

    A convolution's multiply-adds are those of every position of its output with the whole kernel, padding included,
    and a transposed one's those of every position of its input, as published counts have it; biases add, and are
    not counted.

    Arguments:
        entering, leaving: shapes of what the layer reads and gives, without the batch axis.
    """
    if isinstance(layer, keras.layers.Dense):
        found = _mixing(layer.kernel.shape[0], layer.units, 1, _product(leaving[:-1]), layer.use_bias)
    elif isinstance(layer, BaseConv):
        found = _convolution(layer, _positions(layer, leaving))
    elif isinstance(layer, BaseConvTranspose):
        window = math.prod(layer.kernel_size)
        found = _mixing(layer.kernel.shape[-1], layer.filters, window, _positions(layer, entering), layer.use_bias)
    elif isinstance(layer, BaseDepthwiseConv):
        inputs, multiplier = layer.kernel.shape[-2:]
        found = _depthwise(math.prod(layer.kernel_size), _positions(layer, leaving), layer.use_bias, inputs, multiplier)
    elif isinstance(layer, BaseSeparableConv):
        found = _separable(layer, _positions(layer, leaving))
    else:
        return None
    # With low-rank adapters, quantised, or of a class of the user's own, the layer holds other weights than these.
    return found if found.filters * found.one_filter.parameters + _shared(layer) == layer.count_params() else None


def _mixing(inputs: int, filters: int, window: int, positions: int | None, bias: bool) -> Weighing:
    """Of a layer whose filters each look at every channel, through a window, at so many positions."""
    return Weighing(
        _times(positions, window * inputs * filters),
        filters,
        Size(window * inputs + bias, _times(positions, window * inputs)),
        Size(window * filters, _times(positions, window * filters)),
    )


def _convolution(layer: Any, positions: int | None) -> Weighing:
    window, inputs = math.prod(layer.kernel_size), layer.kernel.shape[-2]
    if layer.groups == 1:
        return _mixing(inputs, layer.filters, window, positions, layer.use_bias)
    if inputs == 1:
        return _depthwise(window, positions, layer.use_bias, layer.groups, layer.filters // layer.groups)
    own = Size(window * inputs + layer.use_bias, _times(positions, window * inputs))
    return Weighing(_times(positions, window * inputs * layer.filters), layer.filters, own, None)


def _depthwise(window: int, positions: int | None, bias: bool, inputs: int, multiplier: int) -> Weighing:
    own = Size(window + bias, _times(positions, window))
    return Weighing(
        _times(positions, window * inputs * multiplier), inputs * multiplier, own, own.times(multiplier), spread=multiplier
    )


def _separable(layer: Any, positions: int | None) -> Weighing:
    inputs, multiplier = layer.depthwise_kernel.shape[-2:]
    window, between = math.prod(layer.kernel_size), inputs * multiplier
    of_input = multiplier * (window + layer.filters)
    return Weighing(
        _times(positions, between * (window + layer.filters)),
        layer.filters,
        Size(between + layer.use_bias, _times(positions, between)),
        Size(of_input, _times(positions, of_input)),
    )


def _shared(layer: Any) -> int:
    """Weights that no filter has to itself."""
    return math.prod(layer.depthwise_kernel.shape) if isinstance(layer, BaseSeparableConv) else 0


def _positions(layer: Any, shape: Shape) -> int | None:
    return _product(shape[1:] if layer.data_format == "channels_first" else shape[:-1])


def _product(sizes: Shape) -> int | None:
    return None if None in sizes else math.prod(size or 0 for size in sizes)


def _times(positions: int | None, count: int) -> int | None:
    return None if positions is None else positions * count
