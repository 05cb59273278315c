"""The range of a model's input, and how its channels go together, from samples of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np

_VALUES_LOOKED_AT = 1 << 18         # per channel
_PERCENTILES = (0.1, 99.9)


@dataclass(frozen=True, eq=False)
class Bounds:
    """Between what and what a picture's values may lie, and the directions in which its channels vary together."""

    low: np.ndarray                 # (height, width, channels), or 1 where it is the same all along an axis; float32
    high: np.ndarray                # likewise
    mix: np.ndarray                 # (channels, channels) float32: a root of the channels' covariance, its longest row 1 long
    neutral: np.ndarray             # like `low`: the mean, between them; without samples the middle

    @property
    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest value per channel, (channels,) each."""
        return self.low.min(axis=(0, 1)), self.high.max(axis=(0, 1))

    @property
    def key(self) -> bytes:
        """What tells them from others."""
        numbers = (self.low, self.high, self.mix, self.neutral)
        shapes = repr([each.shape for each in numbers]).encode()
        return hashlib.sha256(shapes + b"".join(each.tobytes() for each in numbers)).digest()

    def shares(self, pictures: np.ndarray) -> np.ndarray:
        """Where each value of pictures as large as the bounds lies between them, 0 to 1; beyond that 0 or 1."""
        return np.clip((pictures - self.low) / np.where(self.high > self.low, self.high - self.low, 1), 0, 1)


def bounds_of(pictures: np.ndarray, *, each_position: bool = False) -> Bounds:
    """The bounds of `pictures`, (samples, height, width, channels): all but a thousandth of the values at either end.

    Arguments:
        each_position: whether every position has a range of its own, as the features of a table have.
    """
    channels = pictures.shape[-1]
    if each_position:
        low, high = np.percentile(pictures.astype(np.float32), _PERCENTILES, axis=0)
        mean = np.clip(pictures.mean(axis=0, dtype=np.float64), low, high)
        lowest, highest, middle = (each.astype(np.float32) for each in (low, high, mean))
        return Bounds(lowest, highest, np.eye(channels, dtype=np.float32), middle)
    values = pictures.reshape(-1, channels)
    if len(values) > _VALUES_LOOKED_AT:
        values = values[np.random.default_rng(0).integers(0, len(values), _VALUES_LOOKED_AT)]
    values = values.astype(np.float64)
    low, high = np.percentile(values, _PERCENTILES, axis=0)
    constant = high <= low          # such as a lone bright pixel among zeros: then the range as it is
    low[constant], high[constant] = values.min(axis=0)[constant], values.max(axis=0)[constant]
    return Bounds(
        low.astype(np.float32).reshape(1, 1, -1),
        high.astype(np.float32).reshape(1, 1, -1),
        _mix(np.clip((values - low) / np.where(high > low, high - low, 1), 0, 1)),
        np.clip(values, low, high).mean(axis=0).astype(np.float32).reshape(1, 1, -1),
    )


def given_bounds(low: np.ndarray | float, high: np.ndarray | float, channels: int) -> Bounds:
    """The bounds that a user gives: numbers, or one per channel.  Raises ValueError where they do not fit."""
    try:
        lowest, highest = (np.broadcast_to(np.asarray(v, np.float32), (channels,)).reshape(1, 1, -1) for v in (low, high))
    except ValueError:
        raise ValueError(f"bounds=({low!r}, {high!r}): give two numbers, or two lists of {channels} numbers") from None
    if not (np.isfinite(lowest).all() and np.isfinite(highest).all() and (lowest < highest).all()):
        raise ValueError(f"bounds=({low!r}, {high!r}): the lower one has to be below the higher one, both finite")
    return Bounds(lowest, highest, np.eye(channels, dtype=np.float32), (lowest + highest) / 2)


def apart(bounds: Bounds) -> Bounds:
    """The same with channels that move one by one."""
    return replace(bounds, mix=np.eye(len(bounds.mix), dtype=np.float32))


def _mix(values: np.ndarray) -> np.ndarray:
    """(channels, channels): the Cholesky factor of the covariance of (n, channels), slightly rounded out."""
    channels = values.shape[1]
    if channels == 1:
        return np.ones((1, 1), np.float32)
    covariance = np.cov(values, rowvar=False)
    typical = np.trace(covariance) / channels
    if not typical > 0:
        return np.eye(channels, dtype=np.float32)
    # A hundredth of it in every direction, so that colours that the samples lack can still be reached.
    root = np.linalg.cholesky(covariance + 0.01 * typical * np.eye(channels))
    return (root / np.linalg.norm(root, axis=1).max()).astype(np.float32)
