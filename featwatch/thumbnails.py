"""Small pictures of the probe's samples, as one sprite."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

LONGEST_SIDE = 32                   # px, of one thumbnail
SPRITE_SIDE = 8192                  # px: what every WebGL2 device can hold as one texture
_PERCENTILES = (0.1, 99.9)


@dataclass(frozen=True)
class Sprite:
    """Thumbnails of equal size, row by row, in one PNG file; empty where there are none."""

    png: bytes = b""
    width: int = 0                  # px, of one thumbnail
    height: int = 0
    columns: int = 0
    note: str = ""                  # how values became colours, or why there are no thumbnails


def sprite_of(images: np.ndarray) -> Sprite:
    """The sprite of (samples, height, width[, channels]) numbers.  Never raises: the note says what was wrong.

    One channel is grey, two are red and green, three are colours, of more the mean is shown.  8-bit values and
    numbers within [0, 1] are shown as they are, others are scaled by percentiles of all samples together.
    """
    if images.ndim == 2:
        return Sprite(note="the samples are vectors")
    if images.ndim not in (3, 4) or 0 in images.shape:
        return Sprite(note=f"samples of shape {images.shape[1:]} are no pictures")
    try:
        return _sprite(images if images.ndim == 4 else images[..., None])
    except Exception as error:      # a picture is a courtesy: whatever is wrong with it must not end a training
        return Sprite(note=f"thumbnails failed: {type(error).__name__}: {error}")


def _sprite(images: np.ndarray) -> Sprite:
    samples, height, width, _ = images.shape
    columns = math.ceil(math.sqrt(samples))
    side = min(LONGEST_SIDE, SPRITE_SIDE // columns)
    if side < 1:
        return Sprite(note=f"{samples:,} samples are too many for thumbnails")
    shrink = min(1.0, side / max(height, width))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))

    small = np.stack([_reduced(image, size) for image in images])       # (samples, h, w, channels) float32
    levels, scaling = _levels(small, images)
    rows = math.ceil(samples / columns)
    sheet = np.zeros((rows * columns, *levels.shape[1:]), np.uint8)
    sheet[:samples] = levels
    sheet = sheet.reshape(rows, columns, *levels.shape[1:]).swapaxes(1, 2)
    sheet = sheet.reshape(rows * size[1], columns * size[0], levels.shape[-1])

    buffer = io.BytesIO()
    Image.fromarray(sheet[..., 0] if sheet.shape[-1] == 1 else sheet).save(buffer, format="PNG")
    return Sprite(buffer.getvalue(), size[0], size[1], columns, f"{_colours(images.shape[-1])}; {scaling}")


def _reduced(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(h, w, 1, 2 or 3) float32: the channels to show, averaged over the area of each pixel of `size` = (w, h)."""
    channels = np.nan_to_num(image.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    if channels.shape[-1] > 3:
        channels = channels.mean(axis=-1, keepdims=True)
    if channels.shape[:2] == size[::-1]:
        return channels
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(channels, -1, 0)]
    return np.stack([np.asarray(plane.resize(size, Image.Resampling.BOX)) for plane in planes], axis=-1)


def _levels(small: np.ndarray, images: np.ndarray) -> tuple[np.ndarray, str]:
    """(samples, h, w, 1 or 3) uint8, and how the values were scaled."""
    if images.dtype == np.uint8:
        low, high, scaling = 0.0, 255.0, "8-bit values as they are"
    elif images.dtype.kind in "fb" and small.min() >= 0 and small.max() <= 1:
        low, high, scaling = 0.0, 1.0, "values from 0 to 1 as they are"
    else:
        low, high = (float(level) for level in np.percentile(small, _PERCENTILES))
        scaling = f"values scaled from {low:.4g} … {high:.4g}, the probe's 0.1 and 99.9 percentiles"
    levels = np.clip((small - low) / ((high - low) or 1.0), 0, 1)
    if levels.shape[-1] == 2:       # red and green; no blue
        levels = np.concatenate([levels, np.zeros_like(levels[..., :1])], axis=-1)
    return np.rint(levels * 255).astype(np.uint8), scaling


def _colours(channels: int) -> str:
    known = {1: "one channel as grey", 2: "two channels as red and green", 3: "three channels as red, green and blue"}
    return known.get(channels, f"the mean of {channels} channels as grey")
