"""In what an image is optimised: its pixels, or its Fourier coefficients (Olah, Mordvintsev, Schubert 2017,
*Feature Visualization*: a step then changes all frequencies alike, which spares the image checkerboards)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import tensorflow as tf

from featwatch.explain.ascent.bounds import Bounds

_ROUNDS = 8                         # of drawing an image to its norm and into its bounds
_MARGIN = 0.02                      # by which a start keeps away from the ends of the range, where nothing moves it any more


class Basis(ABC):
    """Images of one size as numbers that may take any value; all within the bounds."""

    def __init__(self, size: tuple[int, int, int], bounds: Bounds, norm: float | None = None) -> None:
        self.size = self.height, self.width, self.channels = size
        self._bounds = bounds
        self._norm = norm
        self.range = bounds.high - bounds.low

    @abstractmethod
    def free(self, numbers: tf.Tensor) -> tf.Tensor:
        """(images, height, width, channels), of any value, for numbers (images, …)."""

    @abstractmethod
    def numbers_of(self, free: np.ndarray) -> np.ndarray:
        """The other way round."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Of the numbers of one image."""

    def shares(self, numbers: tf.Tensor) -> tf.Tensor:
        """(images, height, width, channels): where each value lies between its bounds, 0 to 1."""
        free = self.free(numbers)
        mixed = tf.einsum("nhwc,dc->nhwd", free, self._bounds.mix) if not _is_unit(self._bounds.mix) else free
        return self._on_sphere(tf.sigmoid(mixed))

    def images(self, shares: tf.Tensor) -> tf.Tensor:
        """The same in the units of the model's input."""
        return self._bounds.low + self.range * shares

    def pulled(self, numbers: tf.Tensor, shares: tf.Tensor, uphill: tf.Tensor) -> tf.Tensor:
        """The gradient with regard to the numbers, of one with regard to `shares`, which they gave."""
        return tf.gradients(shares, numbers, uphill)[0]

    def _on_sphere(self, shares: tf.Tensor) -> tf.Tensor:
        """The shares, moved to or from the neutral picture until they are the norm away from it, as far as the bounds allow."""
        if self._norm is None:
            return shares
        neutral = self._bounds.shares(self._bounds.neutral).astype(np.float32)
        away = shares - neutral
        for _ in range(_ROUNDS):            # what the bounds cut off is made up for by the values that have room
            length = tf.sqrt(tf.reduce_sum(tf.square(away * self.range), axis=[1, 2, 3], keepdims=True))
            away = tf.clip_by_value(away * (self._norm / tf.maximum(length, 1e-12)), -neutral, 1 - neutral)
        return neutral + away

    def start(self, images: np.ndarray) -> np.ndarray:
        """The numbers of given images, (images, height, width, channels); values beyond the bounds are drawn in."""
        share = (images - self._bounds.low) / np.where(self.range > 0, self.range, 1)
        share = np.clip(share, _MARGIN, 1 - _MARGIN)
        free = np.log(share / (1 - share)) @ np.linalg.inv(self._bounds.mix.astype(np.float64)).T
        return self.numbers_of(free).astype(np.float32)

    def noise(self, count: int, seed: Any, deviation: float = 0.1) -> np.ndarray:
        """The numbers of `count` images of noise."""
        return np.random.default_rng(seed).normal(0.0, deviation, (count, *self.shape)).astype(np.float32)


class Linear(Basis):
    """Images that are linear in their numbers, before they are drawn in between the bounds: a gradient goes back by hand."""

    @abstractmethod
    def transposed(self, free: tf.Tensor) -> tf.Tensor:
        """The transpose of `free`."""

    def pulled(self, numbers: tf.Tensor, shares: tf.Tensor, uphill: tf.Tensor) -> tf.Tensor:
        if self._norm is not None:
            return super().pulled(numbers, shares, uphill)
        uphill = uphill * shares * (1 - shares)
        if not _is_unit(self._bounds.mix):
            uphill = tf.einsum("nhwd,dc->nhwc", uphill, self._bounds.mix)
        return self.transposed(uphill)


class Pixels(Linear):
    """Each value of the image by itself."""

    @property
    def shape(self) -> tuple[int, ...]:
        return self.height, self.width, self.channels

    def free(self, numbers: tf.Tensor) -> tf.Tensor:
        return numbers

    def transposed(self, free: tf.Tensor) -> tf.Tensor:
        return free

    def numbers_of(self, free: np.ndarray) -> np.ndarray:
        return free


class Fourier(Linear):
    """Real and imaginary parts of the coefficients, scaled by √(height · width) / frequency.

    The transform is written as two products with matrices, along either axis: windows are small, and what
    TensorFlow makes of a Fourier transform and its gradient is a third of a step's operations.
    """

    def __init__(self, size: tuple[int, int, int], bounds: Bounds, norm: float | None = None) -> None:
        super().__init__(size, bounds, norm)
        frequency = np.hypot(np.fft.fftfreq(self.height)[:, None], np.fft.rfftfreq(self.width)[None])
        lowest = 1 / max(self.height, self.width)
        scale = (np.sqrt(self.height * self.width) / np.maximum(frequency, lowest) / 4).astype(np.float32)
        self._scale = np.repeat(scale, 2, axis=0)       # rows: the real and the imaginary part of each frequency by turns
        self._down, self._across = _down(self.height), _across(self.width)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.channels, 2 * self.height, self.width // 2 + 1

    def free(self, numbers: tf.Tensor) -> tf.Tensor:
        half = numbers.shape[-1]
        columns = _times(self._down, numbers * self._scale)
        rows = tf.reshape(columns, (-1, self.channels * self.height, 2 * half))
        # The real parts of a row stand before its imaginary parts.
        pictures = tf.reshape(tf.reshape(rows, (-1, 2 * half)) @ self._across, (-1, self.channels, self.height, self.width))
        return tf.transpose(pictures, (0, 2, 3, 1))

    def transposed(self, free: tf.Tensor) -> tf.Tensor:
        pictures = tf.reshape(tf.transpose(free, (0, 3, 1, 2)), (-1, self.width))
        columns = tf.reshape(pictures @ self._across.T, (-1, self.channels, 2 * self.height, self.width // 2 + 1))
        return _times(self._down.T, columns) * self._scale

    def numbers_of(self, free: np.ndarray) -> np.ndarray:
        coefficients = np.fft.rfft2(np.moveaxis(free, -1, 1), axes=(2, 3))
        parts = np.stack([coefficients.real, coefficients.imag], axis=3)
        return parts.reshape(len(free), *self.shape) / self._scale


def _down(size: int) -> np.ndarray:
    """(2 · size, 2 · size): the inverse Fourier transform of real and imaginary parts by turns."""
    wave = np.fft.ifft(np.eye(size), axis=0)            # (positions, frequencies)
    return np.stack([np.stack([wave.real, -wave.imag], axis=-1), np.stack([wave.imag, wave.real], axis=-1)], axis=1).reshape(
        2 * size, 2 * size
    ).astype(np.float32)


def _across(size: int) -> np.ndarray:
    """(2 · (size // 2 + 1), size): real values from the real parts of non-negative frequencies, then the imaginary ones."""
    unit = np.eye(size // 2 + 1)
    return np.concatenate([np.fft.irfft(unit, size, axis=1), np.fft.irfft(1j * unit, size, axis=1)]).astype(np.float32)


def _times(matrix: np.ndarray, columns: tf.Tensor) -> tf.Tensor:
    """(images, channels, rows, columns): the matrix times each."""
    return tf.einsum("ij,ncjk->ncik", matrix, columns)


def _is_unit(matrix: np.ndarray) -> bool:
    return bool(np.array_equal(matrix, np.eye(len(matrix))))
