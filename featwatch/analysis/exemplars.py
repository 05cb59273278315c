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
