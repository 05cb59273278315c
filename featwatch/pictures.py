"""How samples of any shape and scaling become pictures: which axes are shown, and which values are dark and bright."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_PERCENTILES = (0.1, 99.9)
_LINE_SIZE = 64, 32                 # px: width and height of a drawn series
_NARROW = 16                        # channels: an array with fewer, and far more steps, is a series and no picture
# What keras.applications subtracts in its modes "caffe" (in this order of channels: blue, green, red) and "torch".
_CAFFE_MEANS = np.array([103.939, 116.779, 123.68], np.float32)
_TORCH_MEANS = np.array([0.485, 0.456, 0.406], np.float32)
_TORCH_DEVIATIONS = np.array([0.229, 0.224, 0.225], np.float32)


@dataclass(frozen=True)
class Form:
    """How one sample becomes a picture: (height, width, channels)."""

    drawn: Callable[[np.ndarray], np.ndarray]
    size: tuple[int, int]           # height and width of the picture, px
    note: str = ""                  # what was done to the axes, in words
    series: bool = False            # drawn from steps instead of pixels: masks and words about colours do not apply
    scaled: bool = False            # whether values are scaled to 0..1 already


def form_of(samples: np.ndarray) -> Form | str:
    """The form for samples, (samples, …), or why they are no pictures."""
    shape = samples.shape[1:]
    if samples.dtype.kind in "OSU":
        return "the samples are text"
    if len(shape) < 2:
        return "the samples are vectors" if shape else "the samples are single numbers"
    if len(shape) > 4 or 0 in samples.shape:
        return f"samples of shape {shape} are no pictures"
    if len(shape) == 2:
        return _series(samples, shape) if shape[1] <= _NARROW and shape[0] >= 4 * shape[1] else Form(_grey, shape)
    if len(shape) == 4:
        middle = shape[0] // 2
        return Form(lambda volume: volume[middle], shape[1:3], f"slice {middle} of {shape[0]}")
    if shape[0] in (1, 3) and min(shape[1:]) >= 8:
        return Form(lambda image: np.moveaxis(image, 0, -1), shape[1:], "channels first")
    return Form(lambda image: image, shape[:2])


def levels_of(values: np.ndarray, dtype: np.dtype, shown: np.ndarray | None = None) -> tuple[np.ndarray, str]:
    """(samples, h, w, 1 or 3) uint8 of (samples, h, w, 1, 2 or 3) float32, and in words how the values were scaled.

    Values in a range that is in common use are shown as they are; others are scaled by percentiles of all
    samples together.

    Arguments:
        dtype: what the values were given in.
        shown: (samples, h, w) bool, the pixels that are seen; None: all.
    """
    seen = values if shown is None or not shown.any() else values[shown]
    seen = seen.reshape(-1, values.shape[-1])
    lows, highs = seen.min(axis=0), seen.max(axis=0)
    low, high = float(lows.min()), float(highs.max())
    if values.shape[-1] == 3 and _are_within(lows + _CAFFE_MEANS, highs + _CAFFE_MEANS, 255) and low < -60 and high > 60:
        values = (values + _CAFFE_MEANS)[..., ::-1]
        low, high, scaling = 0.0, 255.0, "blue, green and red with ImageNet's mean subtracted: added again"
    elif values.shape[-1] == 3 and _are_torchs(lows, highs):
        values = values * _TORCH_DEVIATIONS + _TORCH_MEANS
        low, high, scaling = 0.0, 1.0, "values standardised by ImageNet's mean and deviation: undone"
    elif dtype == np.uint8:
        low, high, scaling = 0.0, 255.0, "8-bit values as they are"
    elif dtype.kind not in "iu" and low >= 0 and high <= 1:
        low, high, scaling = 0.0, 1.0, "values from 0 to 1 as they are"
    elif dtype.kind not in "iu" and -1 <= low < -0.5 and 0.5 < high <= 1:
        low, high, scaling = -1.0, 1.0, "values from −1 to 1, black to white"
    elif low >= 0 and 128 < high <= 255:
        low, high, scaling = 0.0, 255.0, "values from 0 to 255 as they are"
    else:
        low, high = (float(level) for level in np.percentile(seen, _PERCENTILES))
        scaling = f"values scaled from {low:.4g} … {high:.4g}, the probe's 0.1 and 99.9 percentiles"
    levels = np.clip((values - low) / ((high - low) or 1.0), 0, 1)
    if levels.shape[-1] == 2:       # red and green; no blue
        levels = np.concatenate([levels, np.zeros_like(levels[..., :1])], axis=-1)
    return np.rint(levels * 255).astype(np.uint8), scaling


def colours(channels: int) -> str:
    """How that many channels are shown, in words."""
    known = {1: "one channel as grey", 2: "two channels as red and green", 3: "three channels as red, green and blue"}
    return known.get(channels, f"the mean of {channels} channels as grey")


def _grey(image: np.ndarray) -> np.ndarray:
    return image[..., None]


def _series(samples: np.ndarray, shape: tuple[int, int]) -> Form:
    """Steps from left to right: a line for each of up to three channels, a band of grey for each of more."""
    steps, channels = shape
    if channels > 3:
        tall = max(1, _LINE_SIZE[1] // channels)
        size = tall * channels, steps
        return Form(lambda series: np.repeat(series.T, tall, axis=0)[..., None], size, "a band for each channel", series=True)
    low, high = (float(level) for level in np.percentile(np.nan_to_num(samples.astype(np.float32)), _PERCENTILES))
    width, height = min(_LINE_SIZE[0], steps), _LINE_SIZE[1]
    edges = np.linspace(0, steps, width + 1).astype(int)

    def drawn(series: np.ndarray) -> np.ndarray:
        heights = (np.nan_to_num(series.astype(np.float32)) - low) / ((high - low) or 1.0)
        rows = np.rint((1 - np.clip(heights, 0, 1)) * (height - 1)).astype(int)          # (steps, channels)
        tops, bottoms = np.minimum.reduceat(rows, edges[:-1]), np.maximum.reduceat(rows, edges[:-1])
        # A column reaches up or down to where the one before it ended, so that the line has no gaps.
        tops[1:], bottoms[1:] = np.minimum(tops[1:], bottoms[:-1]), np.maximum(bottoms[1:], tops[:-1])
        here = np.arange(height)[:, None, None]
        return ((tops <= here) & (here <= bottoms)).astype(np.float32)

    lines = {1: "a line", 2: "a red and a green line", 3: "a red, a green and a blue line"}[channels]
    words = f"{lines} from {low:.4g} to {high:.4g}, the probe's 0.1 and 99.9 percentiles"
    return Form(drawn, (height, width), words, series=True, scaled=True)


def _are_within(lows: np.ndarray, highs: np.ndarray, high: float) -> bool:
    return bool((lows >= -0.01 * high).all() and (highs <= 1.01 * high).all())


def _are_torchs(lows: np.ndarray, highs: np.ndarray) -> bool:
    """Whether values look like `(x − mean) / deviation` of x in 0..1 in which there is nearly black and nearly white."""
    lows, highs = lows * _TORCH_DEVIATIONS + _TORCH_MEANS, highs * _TORCH_DEVIATIONS + _TORCH_MEANS
    return _are_within(lows, highs, 1.0) and bool((lows < 0.1).all() and (highs > 0.9).all())
