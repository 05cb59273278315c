"""In what an image is optimised: its pixels, or its Fourier coefficients (Olah, Mordvintsev, Schubert 2017,
*Feature Visualization*: a step then changes all frequencies alike, which spares the image checkerboards)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import tensorflow as tf

from featwatch.explain.bounds import Bounds
from featwatch.explain.recipe import Recipe

_MARGIN = 0.02                      # by which a start keeps away from the ends of the range, where nothing moves it any more


class Basis(ABC):
    """Images of one size as numbers that may take any value; all within the bounds."""

    def __init__(self, size: tuple[int, int, int], bounds: Bounds) -> None:
        self.size = self.height, self.width, self.channels = size
        self._bounds = bounds
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
        return tf.sigmoid(tf.einsum("nhwc,dc->nhwd", self.free(numbers), self._bounds.mix))

    def images(self, shares: tf.Tensor) -> tf.Tensor:
        """The same in the units of the model's input."""
        return self._bounds.low + self.range * shares

    def start(self, images: np.ndarray) -> np.ndarray:
        """The numbers of given images, (images, height, width, channels); values beyond the bounds are drawn in."""
        share = (images - self._bounds.low) / np.where(self.range > 0, self.range, 1)
        share = np.clip(share, _MARGIN, 1 - _MARGIN)
        free = np.log(share / (1 - share)) @ np.linalg.inv(self._bounds.mix.astype(np.float64)).T
        return self.numbers_of(free).astype(np.float32)

    def noise(self, count: int, seed: Any, deviation: float = 0.1) -> np.ndarray:
        """The numbers of `count` images of noise."""
        return np.random.default_rng(seed).normal(0.0, deviation, (count, *self.shape)).astype(np.float32)


class Pixels(Basis):
    """Each value of the image by itself."""

    @property
    def shape(self) -> tuple[int, ...]:
        return self.height, self.width, self.channels

    def free(self, numbers: tf.Tensor) -> tf.Tensor:
        return numbers

    def numbers_of(self, free: np.ndarray) -> np.ndarray:
        return free


class Fourier(Basis):
    """Real and imaginary parts of the coefficients, scaled by √(height · width) / frequency."""

    def __init__(self, size: tuple[int, int, int], bounds: Bounds) -> None:
        super().__init__(size, bounds)
        frequency = np.hypot(np.fft.fftfreq(self.height)[:, None], np.fft.rfftfreq(self.width)[None])
        lowest = 1 / max(self.height, self.width)
        self._scale = (np.sqrt(self.height * self.width) / np.maximum(frequency, lowest) / 4).astype(np.float32)

    @property
    def shape(self) -> tuple[int, ...]:
        return 2, self.channels, self.height, self.width // 2 + 1

    def free(self, numbers: tf.Tensor) -> tf.Tensor:
        coefficients = tf.complex(numbers[:, 0] * self._scale, numbers[:, 1] * self._scale)
        return tf.transpose(tf.signal.irfft2d(coefficients, [self.height, self.width]), (0, 2, 3, 1))

    def numbers_of(self, free: np.ndarray) -> np.ndarray:
        coefficients = np.fft.rfft2(np.moveaxis(free, -1, 1), axes=(2, 3)) / self._scale
        return np.stack([coefficients.real, coefficients.imag], axis=1)


def basis_of(recipe: Recipe, size: tuple[int, int, int], bounds: Bounds) -> Basis:
    """The basis that a recipe names, for images of a size."""
    return (Fourier if recipe.basis == "fourier" else Pixels)(size, bounds)
