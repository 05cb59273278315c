"""Nets whose filters are known, of any seed, field and number of channels: random strokes, planted as in `tests.planted`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

layers = keras.layers
SHAPES = 12


@dataclass(frozen=True)
class Planted:
    """`field`: pixels that a unit of the second layer sees; `shapes`: (12, field, field, channels) float32 of 0 to 1."""

    shapes: np.ndarray
    size: int = 30

    @property
    def field(self) -> int:
        return int(self.shapes.shape[1])

    @property
    def channels(self) -> int:
        return int(self.shapes.shape[-1])

    def net(self) -> Any:
        """Edge detectors in eight directions for every channel, then a filter that fits what each shape makes of them."""
        inputs = keras.Input((self.size, self.size, self.channels))
        count = 8 * self.channels
        edges = layers.Conv2D(count, 3, activation="relu", name="edges")(inputs)
        model = keras.Model(inputs, layers.Conv2D(SHAPES, self.field - 2, name="shapes")(edges))
        y, x = np.mgrid[:3, :3] - 1.0
        gradients = [np.cos(a) * x + np.sin(a) * y for a in np.arange(8) * np.pi / 4]
        kernels = np.zeros((3, 3, self.channels, count))
        for channel in range(self.channels):
            for number, gradient in enumerate(gradients):
                kernels[:, :, channel, 8 * channel + number] = gradient / np.abs(gradient).sum()
        model.get_layer("edges").set_weights([kernels, np.zeros(count)])
        there, end = 8, 8 + self.field - 2
        canvas = np.zeros((SHAPES, self.size, self.size, self.channels), np.float32)
        canvas[:, there : there + self.field, there : there + self.field] = self.shapes
        found = keras.ops.convert_to_numpy(keras.ops.relu(keras.ops.conv(canvas, kernels.astype(np.float32))))
        found = found[:, there:end, there:end]
        found -= found.mean(axis=(1, 2, 3), keepdims=True)
        found /= np.sqrt(np.square(found).sum(axis=(1, 2, 3), keepdims=True))
        model.get_layer("shapes").set_weights([np.moveaxis(found, 0, -1), np.zeros(SHAPES)])
        return model

    def pictures(self, count: int = 200, seed: int = 0) -> np.ndarray:
        """(count, size, size, channels) float32: two of the shapes each, anywhere, on noise."""
        rng = np.random.default_rng(seed)
        x = 0.15 * rng.random((count, self.size, self.size, self.channels), np.float32)
        for image in x:
            for _ in range(2):
                top, left = rng.integers(0, self.size - self.field, 2)
                place = image[top : top + self.field, left : left + self.field]
                np.maximum(place, self.shapes[rng.integers(SHAPES)] * rng.uniform(0.6, 1), out=place)
        return x

    def identified(self, images: np.ndarray) -> float:
        """The share of images, (12, field, field, channels), most like the shape of their own filter.

        Likeness: normalised cross-correlation, at its best over shifts by up to two pixels.
        """
        right = 0
        for number, image in enumerate(images):
            padded = np.pad(image - image.mean(axis=(0, 1)), ((2, 2), (2, 2), (0, 0)))
            shifted = [padded[a : a + self.field, b : b + self.field] for a in range(5) for b in range(5)]
            likeness = [max(_correlation(one, shape) for one in shifted) for shape in self.shapes]
            right += int(np.argmax(likeness) == number)
        return right / len(images)


def strokes(seed: int, field: int = 11, channels: int = 1) -> Planted:
    """Twelve shapes of two or three strokes or rings each, every stroke in a colour of its own; random, but by the seed."""
    rng = np.random.default_rng((seed, field, channels))
    y, x = np.mgrid[:field, :field] - (field - 1) / 2
    shapes = np.zeros((SHAPES, field, field, channels), np.float32)
    for shape in shapes:
        for _ in range(rng.integers(2, 4)):
            angle, shift = rng.uniform(0, np.pi), rng.uniform(-0.25, 0.25, 2) * field
            across = np.abs(np.cos(angle) * (x - shift[0]) + np.sin(angle) * (y - shift[1]))
            along = np.abs(-np.sin(angle) * (x - shift[0]) + np.cos(angle) * (y - shift[1]))
            radius = np.hypot(x - shift[0], y - shift[1])
            ring = np.abs(radius - 0.25 * field) < 0.8
            mark = ring if rng.random() < 0.3 else (across < 0.9) & (along < 0.35 * field)
            colour = rng.dirichlet(np.ones(channels)) if channels > 1 else np.ones(1)
            shape[mark & (np.maximum(np.abs(x), np.abs(y)) < field / 2 - 0.6)] = colour / colour.max()
    return Planted(shapes)


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    one, other = (each - each.mean(axis=(0, 1)) for each in (one, other))
    return float((one * other).sum() / np.sqrt(np.square(one).sum() * np.square(other).sum() + 1e-12))
