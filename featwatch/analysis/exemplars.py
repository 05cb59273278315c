"""Which samples activate a filter most, and what part of the input the winning unit sees."""

from __future__ import annotations

import numpy as np


def strongest(maxima: np.ndarray, top: int) -> np.ndarray:
    """(filters, min(top, samples)) int32: the samples of the largest maxima, strongest first.

    `maxima`: (samples, filters).  Of equal ones the earlier sample comes first; what is not finite comes last.
    """
    strength = np.where(np.isfinite(maxima), maxima, -np.inf)
    return np.argsort(-strength, axis=0, kind="stable")[:top].T.astype(np.int32)


def unravelled(places: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(…, axes) int32: positions in a map of this shape, from indices in C order; no axes for the shape ()."""
    axes = np.unravel_index(places, shape) if shape else ()
    return np.stack(axes, axis=-1).astype(np.int32) if axes else np.zeros((*places.shape, 0), np.int32)


def boxes(
    position: np.ndarray, size: tuple[int, ...], stride: tuple[int, ...], offset: tuple[int, ...]
) -> np.ndarray | None:
    """(…, 2 · input axes) int32: receptive fields as lo0, hi0, lo1, hi1, …, inclusive.

    `position`: (…, axes) of units.  `size`, `stride`, `offset`: per axis of the input; unit u sees from
    offset + u · stride on.  Units without a position (of a Dense layer) all see what unit 0 sees.  None where
    nothing is known (`size` is empty), or the map's axes are not the input's.
    """
    axes = position.shape[-1]
    if not size or axes not in (0, len(size)):
        return None
    low = np.array(offset) + (position * np.array(stride) if axes else np.zeros((*position.shape[:-1], len(size)), np.int64))
    high = low + np.array(size) - 1
    return np.stack([low, high], axis=-1).reshape(*position.shape[:-1], -1).astype(np.int32)


def patches(pictures: np.ndarray, samples: np.ndarray, seen: np.ndarray, fill: np.ndarray | float) -> np.ndarray:
    """(…, height, width, channels): what the units of the boxes `seen` see in their samples.

    Arguments:
        pictures: (samples, height, width, channels).
        samples: (…) indices into them.
        seen: (…, 4) as lo0, hi0, lo1, hi1, inclusive, all of one size; they may reach beyond the pictures.
        fill: what stands where they do, a number or one per channel.

    >>> pictures = np.arange(9.0).reshape(1, 3, 3, 1)
    >>> patches(pictures, np.array([0]), np.array([[1, 2, 2, 3]]), -1)[0, ..., 0].tolist()
    [[5.0, -1.0], [8.0, -1.0]]
    """
    flat = seen.reshape(-1, 4)
    rows, columns = (flat[:, low, None] + np.arange(flat[0, low + 1] - flat[0, low] + 1) for low in (0, 2))
    height, width = pictures.shape[1:3]
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None]
    cut = pictures[samples.reshape(-1, 1, 1), rows.clip(0, height - 1)[:, :, None], columns.clip(0, width - 1)[:, None]]
    cut = np.where(inside[..., None], cut, np.asarray(fill, pictures.dtype))
    return cut.reshape(*samples.shape, *cut.shape[1:])
