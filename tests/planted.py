"""A net whose filters are known: shapes planted into its second convolution."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

layers = keras.layers
FIELD = 11                          # pixels that a unit of the second layer sees: 3 + 9 − 1
SIZE = 28


def shapes() -> np.ndarray:
    """(12, FIELD, FIELD) float32 of 0 and 1: rings, bars, crosses, …"""
    y, x = np.mgrid[:FIELD, :FIELD] - (FIELD - 1) / 2
    r, across, along = np.hypot(x, y), np.abs(x), np.abs(y)
    return np.stack([
        np.abs(r - 3.5) < 0.8,                                                      # ring
        r < 3,                                                                      # disk
        ((across < 1) | (along < 1)) & (r < 5),                                     # plus
        ((np.abs(x - y) < 1.2) | (np.abs(x + y) < 1.2)) & (r < 5.2),                # cross
        (np.maximum(across, along) < 4) & (np.maximum(across, along) > 2.5),        # square
        (along < 1.1) & (across < 5),                                               # bars in four orientations
        (across < 1.1) & (along < 5),
        (np.abs(x - y) < 1.3) & (r < 5.5),
        (np.abs(x + y) < 1.3) & (r < 5.5),
        ((np.abs(x + 3) < 1) & (along < 4.5)) | ((np.abs(y - 3) < 1) & (across < 4.5)),     # L
        ((np.abs(y + 3) < 1) & (across < 4.5)) | ((across < 1) & (along < 4.5)),            # T
        ((np.abs(x - 3) < 1) | (np.abs(x + 3) < 1)) & (along < 4.5),                # two bars
    ]).astype(np.float32)  # fmt: skip


def net(planted: bool = True) -> Any:
    """Eight oriented edge detectors, then a filter that fits what each shape makes of them; or random weights."""
    inputs = keras.Input((SIZE, SIZE, 1))
    edges = layers.Conv2D(8, 3, activation="relu", name="edges")(inputs)
    model = keras.Model(inputs, layers.Conv2D(12, 9, name="shapes")(edges), name="planted")
    if planted:
        y, x = np.mgrid[:3, :3] - 1.0
        gradients = [np.cos(a) * x + np.sin(a) * y for a in np.arange(8) * np.pi / 4]
        kernels = np.stack([g / np.abs(g).sum() for g in gradients], axis=-1)[:, :, None]
        model.get_layer("edges").set_weights([kernels, np.zeros(8)])
        pictures = np.zeros((12, SIZE, SIZE, 1), np.float32)
        pictures[:, 8 : 8 + FIELD, 8 : 8 + FIELD, 0] = shapes()
        found = keras.ops.convert_to_numpy(keras.ops.relu(keras.ops.conv(pictures, kernels.astype(np.float32))))[:, 8:17, 8:17]
        found -= found.mean(axis=(1, 2, 3), keepdims=True)
        found /= np.sqrt(np.square(found).sum(axis=(1, 2, 3), keepdims=True))
        model.get_layer("shapes").set_weights([np.moveaxis(found, 0, -1), np.zeros(12)])
    return model


def pictures(count: int = 200, seed: int = 0) -> np.ndarray:
    """(count, SIZE, SIZE, 1) float32: two of the shapes each, anywhere, on noise."""
    rng = np.random.default_rng(seed)
    x = 0.15 * rng.random((count, SIZE, SIZE, 1), np.float32)
    for image in x[..., 0]:
        for _ in range(2):
            top, left = rng.integers(0, SIZE - FIELD, 2)
            place = image[top : top + FIELD, left : left + FIELD]
            np.maximum(place, shapes()[rng.integers(12)] * rng.uniform(0.6, 1), out=place)
    return x


def identified(images: np.ndarray) -> float:
    """The share of images, (12, FIELD, FIELD, 1), that are most like the shape of their own filter.

    Likeness: normalised cross-correlation, at its best over shifts by up to two pixels.
    """
    def normalised(picture: np.ndarray) -> np.ndarray:
        picture = picture - picture.mean()
        return picture / np.sqrt(np.square(picture).sum() + 1e-12)

    right = 0
    for number, image in enumerate(images[..., 0]):
        padded = np.pad(image - image.mean(), 2)
        shifted = [normalised(padded[a : a + FIELD, b : b + FIELD]) for a in range(5) for b in range(5)]
        likeness = [max(float((s * normalised(shape)).sum()) for s in shifted) for shape in shapes()]
        right += int(np.argmax(likeness) == number)
    return right / len(images)
