"""How much of a picture is noise: the share of its energy in high spatial frequencies (row F9).

The measure: the picture's mean is taken off, what is left is taken apart by a cosine transform (DCT-II, orthonormal: its
energies add up to that of the picture, and no edge arises where a Fourier transform would join the picture's ends), and
the energy above a quarter of a cycle per pixel, half of the highest frequency along an axis, is divided by all of it.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

CUT_OFF = 0.25                      # cycles per pixel
_LEAST_SIDE = 4                     # of a flattened square
_ALIKE = 0.2                        # by how much more neighbours have to correlate than any two values do
_SAMPLES = 500                      # looked at


class Frequencies:
    """The frequencies of pictures of one size.

    >>> stripes = np.tile([0.0, 1.0], 4)[None, None, :, None]
    >>> slopes = np.linspace(0, 1, 8)[None, None, :, None]
    >>> Frequencies(1, 8).high_share(stripes).round(2), Frequencies(1, 8).high_share(slopes).round(2)
    (array([0.92]), array([0.]))
    """

    def __init__(self, height: int, width: int) -> None:
        self._down, self._across = _cosines(height), _cosines(width)
        along = np.arange(height)[:, None] / (2 * height), np.arange(width)[None] / (2 * width)
        self._high = (np.hypot(*along) > CUT_OFF).astype(np.float32)

    @property
    def any(self) -> bool:
        """Whether pictures of this size have frequencies above the cut-off."""
        return bool(self._high.any())

    def energies(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(pictures,) each: the energy above the cut-off, and all of it, of (pictures, height, width, channels)."""
        squared = np.square(np.einsum("ya,xb,nabc->nyxc", self._down, self._across, _around_mean(pictures)))
        return np.einsum("nyxc,yx->n", squared, self._high), squared.sum(axis=(1, 2, 3))

    def high_share(self, pictures: np.ndarray) -> np.ndarray:
        """(pictures,) the share of the energy that lies above the cut-off; 0 of a picture of one colour."""
        high, total = self.energies(pictures)
        return np.divide(high, total, out=np.zeros_like(total), where=total > 0)

    def traced_high_share(self, pictures: tf.Tensor) -> tf.Tensor:
        """The same while a function is traced."""
        rest = pictures - tf.reduce_mean(pictures, axis=(1, 2), keepdims=True)
        spectrum = tf.einsum("ya,nabc->nybc", tf.constant(self._down, tf.float32), rest)
        spectrum = tf.square(tf.einsum("xb,nybc->nyxc", tf.constant(self._across, tf.float32), spectrum))
        high = tf.reduce_sum(spectrum * self._high[..., None], axis=(1, 2, 3))
        return tf.math.divide_no_nan(high, tf.reduce_sum(spectrum, axis=(1, 2, 3)))


def side_of_squares(samples: np.ndarray) -> int:
    """The side of the square pictures that vectors are when read row by row; 0 where they do not seem to be any.

    They seem to be where their length is a square, and values that would be neighbours, below each other as well as side
    by side, correlate more over the samples than any two values do, by 0.2 or more on average.

    Arguments:
        samples: (samples, values).
    """
    values = samples.shape[1]
    side = math.isqrt(values)
    if side < _LEAST_SIDE or side * side != values or len(samples) < 3:
        return 0
    some = samples[np.linspace(0, len(samples) - 1, min(len(samples), _SAMPLES)).astype(int)].astype(np.float64)
    some = some - some.mean(axis=0)
    length = np.linalg.norm(some, axis=0)
    units = np.divide(some, length, out=np.zeros_like(some), where=length > 0).reshape(-1, side, side)
    below = _correlation(units[:, 1:], units[:, :-1])
    beside = _correlation(units[:, :, 1:], units[:, :, :-1])
    shuffled = np.random.default_rng(0).permutation(values)
    anywhere = _correlation(units.reshape(-1, values), units.reshape(-1, values)[:, shuffled])
    return side if min(below, beside) >= anywhere + _ALIKE else 0


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    """The mean correlation of what varies, of standardised values paired along all axes but the first."""
    vary = (np.abs(one).sum(axis=0) > 0) & (np.abs(other).sum(axis=0) > 0)
    return float((one * other).sum(axis=0)[vary].mean()) if vary.any() else 0.0


def _cosines(count: int) -> np.ndarray:
    """(count, count): the orthonormal DCT-II."""
    places, frequencies = np.arange(count) + 0.5, np.arange(count)
    matrix = np.sqrt(2 / count) * np.cos(np.pi / count * np.outer(frequencies, places))
    matrix[0] /= np.sqrt(2)
    return matrix


def _around_mean(pictures: np.ndarray) -> np.ndarray:
    return pictures - pictures.mean(axis=(1, 2), keepdims=True)
