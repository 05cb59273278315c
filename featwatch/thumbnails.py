"""Small pictures of the probe's samples, as one sprite."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from featwatch.pictures import Form, colours, form_of, levels_of

LONGEST_SIDE = 64                   # px, of one thumbnail
SPRITE_SIDE = 8192                  # px: what every WebGL2 device can hold as one texture
PIXELS = 1 << 22                    # of all thumbnails together: 16 MB in the browser

Masks = np.ndarray | float | None


@dataclass(frozen=True)
class Sprite:
    """Thumbnails of equal size, row by row, in one PNG file; empty where there are none."""

    png: bytes = b""
    width: int = 0                  # px, of one thumbnail
    height: int = 0
    columns: int = 0
    note: str = ""                  # how values became colours, or why there are no thumbnails


def sprite_of(samples: np.ndarray, masks: Masks = None) -> Sprite:
    """The sprite of (samples, …) numbers: pictures, series or volumes.  Never raises: the note says what was wrong.

    Arguments:
        masks: (samples, height, width) from 0 or False, background, which becomes transparent, to 1 or True, the
            object; or the value that all channels of a background pixel have.
    """
    try:
        form = form_of(samples)
        return Sprite(note=form) if isinstance(form, str) else _sprite(samples, form, masks)
    except Exception as error:      # a picture is a courtesy: whatever is wrong with it must not end a training
        return Sprite(note=f"thumbnails failed: {type(error).__name__}: {error}")


def _sprite(samples: np.ndarray, form: Form, masks: Masks) -> Sprite:
    columns = math.ceil(math.sqrt(len(samples)))
    size = _size(len(samples), columns, *form.size)
    if size is None:
        return Sprite(note=f"{len(samples):,} samples are too many for thumbnails")
    masks = None if form.series else masks

    reduced = [_reduced(form.drawn(sample), size, _mask_of(masks, index)) for index, sample in enumerate(samples)]
    values = np.stack([value for value, _ in reduced])                  # (samples, h, w, 1, 2 or 3) float32
    shares = [share for _, share in reduced if share is not None]
    alpha = np.stack(shares) if shares else None                        # (samples, h, w) float32
    levels, scaling = levels_of(values, values.dtype if form.scaled else samples.dtype, None if alpha is None else alpha > 0.5)
    if alpha is not None:
        colour = np.broadcast_to(levels, (*levels.shape[:3], 3))
        levels = np.concatenate([colour, np.rint(alpha * 255).astype(np.uint8)[..., None]], axis=-1)
    notes = [
        form.note,
        "" if form.series else colours(form.drawn(samples[0]).shape[-1]),
        "" if form.scaled else scaling,
        "" if alpha is None else "background removed",
    ]
    return Sprite(_png(levels, columns), size[0], size[1], columns, "; ".join(note for note in notes if note))


def _size(samples: int, columns: int, height: int, width: int) -> tuple[int, int] | None:
    """Width and height of a thumbnail, px: no enlargement, and all of them within the limits; None where that is impossible."""
    side = min(LONGEST_SIDE, SPRITE_SIDE // columns)
    shrink = min(1.0, side / max(height, width), math.sqrt(PIXELS / (samples * height * width)))
    if side < 1:
        return None
    return max(1, int(width * shrink + 1e-6)), max(1, int(height * shrink + 1e-6))


def _mask_of(masks: Masks, index: int) -> np.ndarray | float | None:
    return masks[index] if isinstance(masks, np.ndarray) else masks


def _reduced(image: np.ndarray, size: tuple[int, int], mask: np.ndarray | float | None) -> tuple[np.ndarray, np.ndarray | None]:
    """(h, w, 1, 2 or 3) float32: the channels to show, averaged over the area of each pixel of `size` = (w, h).

    With a mask also (h, w) float32, the share of the object in each pixel; the average is then over the object.
    """
    if mask is None and image.dtype == np.uint8 and image.shape[-1] == 3:
        return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize(size, Image.Resampling.BOX), np.float32), None
    if isinstance(mask, float):
        background = np.isnan(image) if np.isnan(mask) else image == mask
        mask = ~background.all(axis=-1)
    channels = image.astype(np.float32)
    if not np.isfinite(channels).all():
        channels = np.nan_to_num(channels, nan=0.0, posinf=0.0, neginf=0.0)
    if channels.shape[-1] > 3:
        channels = channels.mean(axis=-1, keepdims=True)
    if mask is None:
        return _averaged(channels, size), None
    weights = np.asarray(mask, np.float32)[..., None]
    share = _averaged(weights, size)
    return _averaged(channels * weights, size) / np.where(share > 0, share, 1), share[..., 0]


def _averaged(channels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if channels.shape[:2] == size[::-1]:
        return channels
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(channels, -1, 0)]
    return np.stack([np.asarray(plane.resize(size, Image.Resampling.BOX)) for plane in planes], axis=-1)


def _png(levels: np.ndarray, columns: int) -> bytes:
    """The PNG file with (samples, h, w, channels) uint8 row by row."""
    samples, height, width, channels = levels.shape
    rows = math.ceil(samples / columns)
    sheet = np.zeros((rows * columns, height, width, channels), np.uint8)
    sheet[:samples] = levels
    sheet = sheet.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    sheet = sheet.reshape(rows * height, columns * width, channels)
    buffer = io.BytesIO()
    Image.fromarray(sheet[..., 0] if channels == 1 else sheet).save(buffer, format="PNG")
    return buffer.getvalue()
