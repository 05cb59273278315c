"""Along one axis: from positions in what an operation gives to the positions in its input that they are made of.

Every rule has two forms.  `hull` maps intervals, as if the input went on for ever: what is beyond it is
padding.  `positions` maps sets of positions within the input, exactly, holes included.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Protocol

import numpy as np

Interval = tuple[np.ndarray, np.ndarray]        # lowest and highest positions, inclusive, (units,) int64 each


class NoSize(ValueError):
    """An axis is read as a whole and its size is not known."""


class Axis(Protocol):
    """A rule for one axis.

    `exact`: `positions` never gives more than is read.  `pace`: by how many positions of the input neighbouring
    positions of the output lie apart.
    """

    @property
    def exact(self) -> bool: ...

    @property
    def pace(self) -> Fraction: ...

    def hull(self, low: np.ndarray, high: np.ndarray) -> Interval: ...

    def positions(self, wanted: np.ndarray, size: int) -> np.ndarray: ...


@dataclass(frozen=True)
class Window:
    """A window that slides: convolutions and pooling; with the default values each position by itself."""

    exact: ClassVar[bool] = True

    size: int = 1
    stride: int = 1
    dilation: int = 1
    before: int = 0                 # padding; negative where the input is cropped

    @property
    def pace(self) -> Fraction:
        return Fraction(self.stride)

    def hull(self, low: np.ndarray, high: np.ndarray) -> Interval:
        first, last = low * self.stride - self.before, high * self.stride - self.before
        return first, last + (self.size - 1) * self.dilation

    def positions(self, wanted: np.ndarray, size: int) -> np.ndarray:
        if self == SAME:            # or padding behind the input
            return wanted[wanted < size]
        read = np.add.outer(wanted * self.stride - self.before, np.arange(self.size) * self.dilation)
        return _within(read, size)


@dataclass(frozen=True)
class Loose:
    """A sliding window under "same" padding of an input of unknown size, so that it may lie a little further left or right."""

    exact: ClassVar[bool] = False

    window: Window                  # the leftmost
    slack: int                      # how much further right it may lie

    @property
    def pace(self) -> Fraction:
        return self.window.pace

    def hull(self, low: np.ndarray, high: np.ndarray) -> Interval:
        first, last = self.window.hull(low, high)
        return first, last + self.slack

    def positions(self, wanted: np.ndarray, size: int) -> np.ndarray:
        first, last = self.hull(wanted[:1], wanted[-1:])
        return _within(np.arange(first[0], last[0] + 1), size)


@dataclass(frozen=True)
class Spread:
    """A transposed convolution: position i of the input is spread over i · stride − before + dilation · k."""

    exact: ClassVar[bool] = True

    size: int
    stride: int
    dilation: int
    before: int

    @property
    def pace(self) -> Fraction:
        return Fraction(1, self.stride)

    def hull(self, low: np.ndarray, high: np.ndarray) -> Interval:
        reach = (self.size - 1) * self.dilation
        return -((reach - self.before - low) // self.stride), (high + self.before) // self.stride

    def positions(self, wanted: np.ndarray, size: int) -> np.ndarray:
        spread = np.subtract.outer(wanted + self.before, np.arange(self.size) * self.dilation)
        return _within(spread[spread % self.stride == 0] // self.stride, size)


@dataclass(frozen=True)
class Enlarged:
    """Up-sampling by a whole factor: position o is interpolated around (o + ½) / factor − ½."""

    factor: int
    reach: int = 0                  # input positions on each side: 0 = the nearest one, 1 = linear, 2 = cubic, …

    @property
    def exact(self) -> bool:
        return self.reach <= 1      # wider kernels have zeros

    @property
    def pace(self) -> Fraction:
        return Fraction(1, self.factor)

    def hull(self, low: np.ndarray, high: np.ndarray) -> Interval:
        if self.reach == 0:
            return low // self.factor, high // self.factor
        # In halves of an input position over the factor, to stay with whole numbers.
        first = (2 * low + 1 - self.factor) // (2 * self.factor)
        last = -((self.factor - 1 - 2 * high) // (2 * self.factor))
        return first - (self.reach - 1), last + (self.reach - 1)

    def positions(self, wanted: np.ndarray, size: int) -> np.ndarray:
        first, last = self.hull(wanted, wanted)
        read = [np.arange(a, b + 1) for a, b in zip(first, last, strict=True)]
        # At its ends the input is continued by repetition.
        return np.unique(np.clip(np.concatenate(read), 0, size - 1)) if read else wanted


@dataclass(frozen=True)
class Whole:
    """All of the axis."""

    pace: ClassVar[Fraction] = Fraction(1)

    size: int | None
    exact: bool = True              # False: perhaps less is read

    def hull(self, low: np.ndarray, high: np.ndarray) -> Interval:
        return np.zeros_like(low), np.full_like(high, self._size - 1)

    def positions(self, wanted: np.ndarray, size: int) -> np.ndarray:
        return np.arange(size)

    @property
    def _size(self) -> int:
        if self.size is None:
            raise NoSize("the unit depends on all of an axis whose size the model leaves open")
        return self.size


@dataclass(frozen=True)
class Repeated:
    """The only position of an axis of size 1, which is repeated all along the other input's axis."""

    exact: ClassVar[bool] = True
    pace: ClassVar[Fraction] = Fraction(1)

    def hull(self, low: np.ndarray, high: np.ndarray) -> Interval:
        return np.zeros_like(low), np.zeros_like(high)

    def positions(self, wanted: np.ndarray, size: int) -> np.ndarray:
        return np.zeros(min(1, len(wanted)), np.int64)


@dataclass(frozen=True)
class Part:
    """The part of an axis, from `start` on, that one of several inputs was put into."""

    exact: ClassVar[bool] = True
    pace: ClassVar[Fraction] = Fraction(1)

    start: int
    size: int

    def hull(self, low: np.ndarray, high: np.ndarray) -> Interval:
        return np.zeros_like(low), np.full_like(high, self.size - 1)    # at most

    def positions(self, wanted: np.ndarray, size: int) -> np.ndarray:
        return _within(wanted - self.start, size)


SAME = Window()


def sliding(kernel: int, stride: int, dilation: int, padding: str, size: int | None) -> Window | Loose:
    """The rule of a convolution or pooling with TensorFlow's padding: "valid", "same" or "causal"."""
    extent = (kernel - 1) * dilation + 1
    if padding == "causal":
        return Window(kernel, stride, dilation, extent - 1)
    if padding != "same":
        return Window(kernel, stride, dilation)
    if size is None:
        most, least = (extent - 1) // 2, max(extent - stride, 0) // 2
        window = Window(kernel, stride, dilation, most)
        return window if most == least else Loose(window, most - least)
    total = max((math.ceil(size / stride) - 1) * stride + extent - size, 0)
    return Window(kernel, stride, dilation, total // 2)


def spreading(kernel: int, stride: int, dilation: int, padding: str, size: int | None, given: int | None) -> Spread:
    """The rule of a transposed convolution from an axis of `size` to one of `given` positions."""
    extent = (kernel - 1) * dilation + 1
    if padding != "same":
        return Spread(kernel, stride, dilation, 0)
    total = extent - stride if size is None or given is None else (size - 1) * stride + extent - given
    return Spread(kernel, stride, dilation, max(total, 0) // 2)


def _within(positions: np.ndarray, size: int) -> np.ndarray:
    unique = np.unique(positions)
    return unique[(unique >= 0) & (unique < size)]
