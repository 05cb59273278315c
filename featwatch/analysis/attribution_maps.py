"""Attributions as pictures: channels and pixels taken together, signed numbers as bytes (rows S1 to S5)."""

from __future__ import annotations

import numpy as np


def most_of_channels(maps: np.ndarray) -> np.ndarray:
    """(…,) of (…, channels): at each pixel the value of the channel where it is largest in magnitude, with its sign.

    >>> most_of_channels(np.array([[1.0, -3.0], [2.0, 0.0]])).tolist()
    [-3.0, 2.0]
    """
    largest = np.abs(maps).argmax(axis=-1, keepdims=True)
    return np.take_along_axis(maps, largest, axis=-1)[..., 0]


def averaged(maps: np.ndarray, cell: int) -> np.ndarray:
    """(…, ⌈rows / cell⌉, ⌈columns / cell⌉): means over squares of pixels, of those that there are at the ends.

    >>> averaged(np.arange(5.0)[None], 2).tolist()
    [[0.5, 2.5, 4.0]]
    """
    if cell == 1:
        return maps
    for axis in (-2, -1):
        starts = np.arange(0, maps.shape[axis], cell)
        counts = np.diff(np.append(starts, maps.shape[axis])).astype(maps.dtype)
        maps = np.add.reduceat(maps, starts, axis=axis) / (counts[:, None] if axis == -2 else counts)
    return maps


def signed_maps(maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maps (…, rows, columns) as bytes, and how far each reaches, (…): value = (pixel − 128) / 127 · reach.

    A map with a number that is not finite is 0 everywhere, and its reach NaN.

    >>> pixels, reach = signed_maps(np.array([[[0.5, -1.0]], [[0.0, 0.0]]]))
    >>> pixels.tolist(), reach.tolist()
    ([[[192, 1]], [[128, 128]]], [1.0, 0.0])
    """
    known = np.isfinite(maps).all(axis=(-2, -1), keepdims=True)
    values = np.where(known, maps, 0).astype(np.float64)
    reach = np.abs(values).max(axis=(-2, -1), keepdims=True)
    scaled = np.divide(values, reach, out=np.zeros(values.shape), where=reach > 0)
    pixels = np.asarray(np.rint(127 * scaled) + 128, np.uint8)
    return pixels, np.where(known, reach, np.nan)[..., 0, 0].astype(np.float32)
