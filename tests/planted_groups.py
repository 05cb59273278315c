"""The planted shapes' detectors, silent where there is no shape, and pictures of one shape each."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from tests import planted

L = keras.layers


def detectors() -> Any:
    """The planted shapes' detectors, silent where there is no shape."""
    net = planted.net()
    layer = net.get_layer("shapes")
    layer.set_weights([layer.get_weights()[0], np.full(12, -1.2, np.float32)])
    return keras.Model(net.inputs[0], L.ReLU()(net.outputs[0]))


def with_shape(number: int, count: int, rng: Any) -> np.ndarray:
    """(count, SIZE, SIZE, 1) pictures of one of the shapes, anywhere, on noise."""
    x = 0.1 * rng.random((count, planted.SIZE, planted.SIZE, 1), np.float32)
    for image in x[..., 0]:
        top, left = rng.integers(0, planted.SIZE - planted.FIELD, 2)
        place = image[top : top + planted.FIELD, left : left + planted.FIELD]
        np.maximum(place, planted.shapes()[number], out=place)
    return x


def alike(image: np.ndarray) -> int:
    """Which shape a picture is most like: normalised cross-correlation, at its best over shifts by up to two pixels."""
    padded = np.pad(image - image.mean(), 2)
    n = planted.FIELD
    shifted = [padded[a : a + n, b : b + n].ravel() for a in range(5) for b in range(5)]
    shapes = planted.shapes().reshape(12, -1)
    return int(np.abs(np.corrcoef(np.concatenate([np.stack(shifted), shapes]))[:25, 25:].max(axis=0)).argmax())


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return one @ other.T / np.linalg.norm(one, axis=1)[:, None] / np.linalg.norm(other, axis=1)
