"""What is done to an image at each step so that it does not depend on single pixels: it is moved, turned and enlarged a little.

Olah, Mordvintsev, Schubert 2017, *Feature Visualization*, section "Transformation robustness".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import tensorflow as tf

_LEAST_SIZE_PER_PIXEL = 8           # of jitter: more would take the pattern out of a small window


@dataclass(frozen=True)
class Robustness:
    """By how much at most; the same for all images of a batch, drawn anew at each step from the step's number."""

    jitter: tuple[int, int]         # pixels down and to the right
    rotate: float                   # degrees
    scale: float                    # 0.1 = 0.9 to 1.1

    def __call__(self, images: tf.Tensor, step: tf.Tensor, still: tf.Tensor) -> tf.Tensor:
        """The images, (images, height, width, channels), as they are shown at this step; as they are where `still` is true."""
        if any(self.jitter):
            chance = tf.random.stateless_uniform((2,), tf.stack([step, 7]))     # no global state moves
            by = tf.cast(chance * [2.0 * most + 1 for most in self.jitter], tf.int32) - self.jitter
            images = tf.roll(images, tf.where(still, 0, by), (1, 2))
        if self.rotate or self.scale:
            images = self._turned(images, step, still)
        return images

    def _turned(self, images: tf.Tensor, step: tf.Tensor, still: tf.Tensor) -> tf.Tensor:
        chance = tf.random.stateless_uniform((2,), tf.stack([step, 11]), -1.0, 1.0)
        angle = tf.where(still, 0.0, chance[0] * math.radians(self.rotate))
        factor = 1 / tf.where(still, 1.0, 1 + chance[1] * self.scale)
        cosine, sine = tf.cos(angle) * factor, tf.sin(angle) * factor
        height, width = images.shape[1:3]
        y, x = (height - 1) / 2, (width - 1) / 2            # the centre stays where it is
        matrix = tf.stack([cosine, -sine, x - cosine * x + sine * y, sine, cosine, y - sine * x - cosine * y, 0.0, 0.0])
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=images, transforms=matrix[None], output_shape=tf.constant((height, width)), fill_value=0.0,
            interpolation="BILINEAR", fill_mode="REFLECT",
        )  # fmt: skip


def robustness(size: tuple[int, int], *, jitter: int, rotate: float, scale: float) -> Robustness:
    """For images of a size, (height, width); (1, …) for sequences, which are only moved."""
    moved = tuple(min(jitter, each // _LEAST_SIZE_PER_PIXEL) for each in size)
    flat = min(size) < 2
    return Robustness((moved[0], moved[1]), 0.0 if flat else rotate, 0.0 if flat else scale)
