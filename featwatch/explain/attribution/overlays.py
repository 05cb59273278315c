"""`overlay`: an attribution on its image, what matters brightened and outlined, the receptive field framed (row S4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from featwatch.analysis.important_regions import important_regions, outline
from featwatch.pictures import levels_of

OUTLINE = (255, 209, 64)            # around what matters
FRAME = (230, 57, 70)               # around the receptive field
_DIMMED, _BRIGHTENED = 0.45, 0.22   # the rest keeps this share of its brightness; what matters gains this share of what is left
_LEAST_SIDE = 256                   # px of the longer side, so that lines are thin beside the pixels


def overlay(
    image: Any,
    saliency: Any,
    box: Sequence[int] | None = None,
    *,
    share: float = 0.5,
    sigma: float | None = None,
    scale: int | None = None,
) -> np.ndarray:
    """An RGB picture, (height, width, 3) uint8, of an image with the areas that an attribution says matter.

    Arguments:
        image: (height, width) or (height, width, channels): of two channels red and green are shown, of three
            colours, of any other number their mean as grey.  Values are scaled as for thumbnails.
        saliency: (height, width), as in `Attribution.maps`, or with channels, of which the largest magnitude counts.
        box: lo0, hi0, lo1, hi1, inclusive, as in `Attribution.boxes`: what is framed; None or −1 = nothing.
        share: of the largest value, from which on a pixel surely matters: `featwatch.analysis.important_regions`.
        sigma: of the Gaussian that smooths the attribution, in pixels; None = a fortieth of the longer side, 0.5 at least.
        scale: screen pixels per pixel of the image; None = so many that the longer side has 256.

    Raises:
        ValueError: the shapes do not fit together, or an argument is out of its range.

    Example:
        >>> found = saliency(net, "conv", [0], x[:1])
        >>> overlay(x[0], found.maps[0, 0], found.boxes[0, 0, 0], scale=10).shape
        (80, 80, 3)
    """
    picture, values = np.asarray(image), np.asarray(saliency, np.float64)
    picture = picture[..., None] if picture.ndim == 2 else picture
    values = np.take_along_axis(values, np.abs(values).argmax(axis=-1, keepdims=True), -1)[..., 0] if values.ndim == 3 else values
    if picture.ndim != 3 or picture.shape[:2] != values.shape or not values.size:
        raise ValueError(
            f"image of the shape {np.shape(image)}, saliency of the shape {np.shape(saliency)}: expected (height, width, "
            "channels) and (height, width)"
        )
    longest = max(values.shape)
    scale = max(1, -(-_LEAST_SIDE // longest)) if scale is None else scale
    if isinstance(scale, bool) or not isinstance(scale, (int, np.integer)) or scale < 1:
        raise ValueError(f"scale={scale!r}: give a whole number, 1 or more")
    mask = important_regions(values, share=share, sigma=max(longest / 40, 0.5) if sigma is None else sigma)
    shown = colours_of(picture).astype(np.float64)
    lit = np.where(mask[..., None], shown + _BRIGHTENED * (255 - shown), _DIMMED * shown)
    large = np.rint(np.kron(lit, np.ones((scale, scale, 1)))).astype(np.uint8)
    wide = 1 if scale < 3 else 2
    if mask.any():
        large[outline(np.kron(mask, np.ones((scale, scale), bool)), wide)] = OUTLINE
    if box is not None and min(box) >= 0:
        _frame(large, np.asarray(box, int), int(scale), wide)
    return large


def colours_of(picture: np.ndarray) -> np.ndarray:
    """(height, width, 3) uint8 of (height, width, channels)."""
    channels = picture.shape[-1]
    values = picture.astype(np.float32)
    values = np.where(np.isfinite(values), values, 0)
    if channels not in (1, 2, 3):
        values = values.mean(axis=-1, keepdims=True)
    levels, _ = levels_of(values[None], picture.dtype)
    return np.broadcast_to(levels[0], (*picture.shape[:2], 3))


def _frame(picture: np.ndarray, box: np.ndarray, scale: int, wide: int) -> None:
    """Draw a frame just inside a box."""
    (top, left), (bottom, right) = box[[0, 2]] * scale, (box[[1, 3]] + 1) * scale
    inside = picture[top:bottom, left:right]
    inside[:wide] = inside[-wide:] = FRAME
    inside[:, :wide] = inside[:, -wide:] = FRAME
