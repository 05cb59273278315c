"""Leads samples a few steps towards what maximises units of one layer (row F9).

A step adds to each value a share of its range, 1 % where the gradient is largest and less elsewhere in proportion, and
keeps it within the range.  Only what the unit sees is computed, where a window of that size gives it the same value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from featwatch.analysis.exemplars import unravelled
from featwatch.explain.ascent.ascent import traced
from featwatch.explain.ascent.bounds import Bounds
from featwatch.explain.ascent.frame import Frame, frame_of, whole
from featwatch.explain.fields.arithmetic import Start
from featwatch.explain.forms import Unsuitable
from featwatch.explain.leading.frequencies import Frequencies
from featwatch.explain.subject import Subject
from featwatch.layers import Site

STEP = 0.01                         # of the range, at most
_FLOAT16_SCALE = 1024.0             # of the objective, so that small gradients do not vanish in half precision
_AGREEMENT = 1e-3                   # between a window and the whole sample, relative to the largest value
_PIXELS_AT_ONCE = 1 << 18
_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class Starts:
    """Units, and the samples from which they start."""

    filters: np.ndarray             # (starts,)
    samples: np.ndarray             # (starts,) indices into the pictures
    units: np.ndarray               # (starts, axes) positions in the map

    def __len__(self) -> int:
        return len(self.filters)

    def some(self, which: np.ndarray) -> Starts:
        return Starts(self.filters[which], self.samples[which], self.units[which])


@dataclass(frozen=True, eq=False)
class Led:
    """What became of some samples."""

    shares: np.ndarray              # (starts, height, width, channels) float32: between the bounds, 0 to 1
    started: np.ndarray             # (starts,) float32: what entered the unit's activation, of the sample …
    activation: np.ndarray          # … and of the image
    noise: np.ndarray               # (starts, steps + 1) float32: share of high frequencies in the window, after each step
    boxes: np.ndarray               # (starts, 4) int32: lo0, hi0, lo1, hi1, inclusive: what of the sample the unit sees


def together(led: Sequence[Led]) -> Led:
    """All of them, in order."""
    parts = [(one.shares, one.started, one.activation, one.noise, one.boxes) for one in led]
    return Led(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


class Leader:
    """Leads samples towards units of one layer; traced once, or twice where a window does not serve for every unit.

    Arguments:
        side: of the square pictures that the samples, which are vectors, are for the measure of noise; 0 = they are none.

    Raises:
        Unsuitable: no gradient leads from the layer to the input.
        WritesState: the model writes variables in inference.
    """

    def __init__(self, subject: Subject, side: int = 0) -> None:
        self._subject, self._side = subject, side
        form, layer = subject.form, subject.site.layer
        self.before = True                          # whether what enters the activation can be had
        self._maps = traced(self._look, tf.TensorSpec((None, *form.size), tf.float32))
        shape = tuple(self._maps.structured_outputs.shape)[1:]
        if None in shape:
            raise Unsuitable(f"layer {subject.site.name!r} gives values of the shape {shape}; every axis has to be fixed")
        self.filters, self.map_size = int(shape[-1]), tuple(int(size) for size in shape[:-1])
        self._scale = _FLOAT16_SCALE if getattr(layer, "compute_dtype", "") == "float16" else 1.0
        model = subject.reference()
        self._frame: Frame = frame_of(model, subject.site, form, self.map_size)
        self._grids: list[int] = _grids(model, subject.site, self._frame) if self._frame.patch else []
        self._functions: dict[bool, Any] = {}       # whether of windows -> the traced ascent
        if self._frame.patch and not self._serves():
            self._frame = whole(form, self.map_size)
        size = self._frame.size
        self.frequencies = Frequencies(*((side, side) if side else size))
        self.measures_noise = (form.has_neighbours or side > 0) and self.frequencies.any

    @property
    def at_once(self) -> int:
        """How many samples are led in one batch."""
        height, width = self._frame.size
        return max(1, min(_AT_ONCE, _PIXELS_AT_ONCE // (height * width)))

    def starts(self, filters: np.ndarray, samples: np.ndarray, peaks: np.ndarray) -> Starts:
        """Units at `peaks`, indices over the positions of the map; (starts,) each."""
        return Starts(filters, samples, unravelled(peaks, self.map_size))

    def lead(self, pictures: np.ndarray, starts: Starts, bounds: Bounds, steps: int) -> Led:
        """The samples, led so many steps.

        Arguments:
            pictures: (samples, height, width, channels).
        """
        corners, within, serves = self._placed(starts.units)
        count, (height, width) = len(starts), self._frame.size
        seen = np.stack([corners[:, 0], corners[:, 0], corners[:, 1], corners[:, 1]], axis=1) + np.array(self._frame.box)
        limits = np.array(self._subject.form.size[:2]).repeat(2) - 1
        shares = np.empty((count, *pictures.shape[1:]), np.float32)
        started, activation = np.empty(count, np.float32), np.empty(count, np.float32)
        noise = np.empty((count, steps + 1), np.float32)
        low, reach, corners = bounds.low, bounds.high - bounds.low, self._held(corners)
        for window in (True, False):
            rows = np.flatnonzero(serves == window)
            for first in range(0, len(rows), self.at_once):
                here = rows[first : first + self.at_once]
                some, samples = starts.some(here), pictures[starts.samples[here]].astype(np.float32)
                shares[here] = np.clip((samples - low) / np.where(reach > 0, reach, 1), 0, 1)
                given = self.windows(samples, corners[here]) if window else samples
                units, corner = (within[here], 0 * corners[here]) if window else (some.units, corners[here])
                arguments = given, low, reach, some.filters, units, corner, steps
                led, started[here], activation[here], noise[here] = self._climb(window, *arguments)
                if not window:
                    shares[here] = led
                    continue
                for image, patch, (top, left) in zip(here, led, corners[here], strict=True):
                    shares[image, top : top + height, left : left + width] = patch
        return Led(shares, started, activation, noise, np.clip(seen, 0, limits).astype(np.int32))

    def natural_windows(self, pictures: np.ndarray, starts: Starts) -> np.ndarray:
        """(starts, height, width, channels): of samples what the measure of noise looks at."""
        corners, _, _ = self._placed(starts.units)
        found = self.windows(pictures[starts.samples], self._held(corners))
        return found.reshape(len(found), self._side, self._side, 1) if self._side else found

    def windows(self, pictures: np.ndarray, corners: np.ndarray) -> np.ndarray:
        """(pictures, height, width, channels): a window of each, at its corner."""
        height, width = self._frame.size
        rows, columns = corners[:, :1] + np.arange(height), corners[:, 1:] + np.arange(width)
        return pictures[np.arange(len(pictures))[:, None, None], rows[:, :, None], columns[:, None]]

    def _placed(self, units: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where each unit's window would begin, (units, 2), the unit in its window, (units, axes), and whether that serves.

        A window that would reach beyond the sample is moved to its end: padding there is the same in both.
        """
        count, form, frame = len(units), self._subject.form, self._frame
        corners, within = np.tile(np.array(frame.origin, np.int64), (count, 1)), units.astype(np.int64)
        if not frame.patch or frame.stride is None:
            return corners, within, np.zeros(count, bool)
        serves = np.ones(count, bool)
        for i, (axis, grid) in enumerate(zip(form.axes, self._grids, strict=True)):
            pace = frame.stride[axis]
            moved = (within[:, i] - frame.full_unit[i]) * pace.numerator
            corners[:, axis] += moved // pace.denominator
            held = self._held(corners)[:, axis]
            serves &= (moved % pace.denominator == 0) & (held % grid == 0) & (held * pace.denominator % pace.numerator == 0)
            within[:, i] -= held * pace.denominator // pace.numerator
        return corners, within, serves

    def _held(self, corners: np.ndarray) -> np.ndarray:
        """Corners, moved so far that the windows lie within the sample."""
        most = np.array(self._subject.form.size[:2]) - self._frame.size
        return np.clip(corners, 0, most)

    def _serves(self) -> bool:
        """Whether units have the same value on their windows as on the whole sample."""
        form, (height, width) = self._subject.form, self._frame.size
        units = self._units_tried()
        corners, within, _ = self._placed(units)
        pictures = np.random.default_rng(0).random((len(units), *form.size), np.float32)
        rows = np.arange(len(units))
        try:
            there = self._maps(tf.constant(pictures)).numpy()[(rows, *units.T)]
            maps = traced(self._look, tf.TensorSpec((None, height, width, form.size[2]), tf.float32))
            here = maps(tf.constant(self.windows(pictures, self._held(corners)))).numpy()[(rows, *within.T)]
        except Exception:                           # such as a layer that only takes inputs of one size
            return False
        half = getattr(self._subject.site.layer, "compute_dtype", "") in ("float16", "bfloat16")
        error = np.abs(there - here).max() / max(float(np.abs(there).max()), 1e-6)
        return bool(error <= (0.1 if half else _AGREEMENT))

    def _units_tried(self) -> np.ndarray:
        """(units, axes) that are looked at in windows: the central one, and the first, a middle and the last along each axis."""
        found = [np.array(self._frame.full_unit)]
        for axis, size in enumerate(self.map_size):
            line = np.tile(found[0], (size, 1))
            line[:, axis] = np.arange(size)
            served = line[self._placed(line)[2]]
            found += list(served[[0, len(served) // 3, -1]]) if len(served) else []
        return np.array(found)

    def _look(self, pictures: tf.Tensor) -> tf.Tensor:
        before, after = self._subject.maps(pictures)
        self.before = before is not after or self._subject.site.activation == "linear"
        return before

    def _climb(self, window: bool, pictures: np.ndarray, low: np.ndarray, reach: np.ndarray, filters: np.ndarray,
               units: np.ndarray, corners: np.ndarray, steps: int) -> tuple[np.ndarray, ...]:  # fmt: skip
        if window not in self._functions:
            form = self._subject.form
            size = (*self._frame.size, form.size[2]) if window else form.size
            numbers, ranges = tf.TensorSpec((None,), tf.int32), tf.TensorSpec((None, None, form.size[2]), tf.float32)
            self._functions[window] = traced(
                self._trace, tf.TensorSpec((None, *size), tf.float32), ranges, ranges, numbers,
                tf.TensorSpec((None, len(self.map_size)), tf.int32), tf.TensorSpec((None, 2), tf.int32),
                tf.TensorSpec((), tf.int32),
            )  # fmt: skip
        found = self._functions[window](
            tf.constant(pictures, tf.float32), tf.constant(low, tf.float32), tf.constant(reach, tf.float32),
            tf.constant(filters, tf.int32), tf.constant(units, tf.int32), tf.constant(corners, tf.int32), tf.constant(steps),
        )  # fmt: skip
        return tuple(values.numpy() for values in found)

    def _trace(self, pictures: tf.Tensor, low: tf.Tensor, reach: tf.Tensor, filters: tf.Tensor, units: tf.Tensor,
               corners: tf.Tensor, steps: tf.Tensor) -> Any:  # fmt: skip
        def values(shown: tf.Tensor, times: int = 1) -> tf.Tensor:
            where = tf.tile(tf.concat([units, filters[:, None]], axis=1), (times, 1))
            return tf.gather_nd(self._look(shown), tf.concat([tf.range(tf.shape(shown)[0])[:, None], where], axis=1))

        def step(i: tf.Tensor, shares: tf.Tensor, noise: tf.TensorArray) -> Any:
            shown = low + reach * shares
            gradient = tf.gradients(tf.reduce_sum(values(shown)) * self._scale, shown)[0]
            if gradient is None:
                raise Unsuitable("no gradient leads from the layer to the model's input")
            gradient = tf.where(tf.math.is_finite(gradient), gradient, 0.0) * reach
            largest = tf.reduce_max(tf.abs(gradient), axis=(1, 2, 3), keepdims=True)
            shares = tf.clip_by_value(shares + STEP * tf.math.divide_no_nan(gradient, largest), 0.0, 1.0)
            return i + 1, shares, noise.write(i + 1, self._noise(shares, corners))

        start = tf.clip_by_value(tf.math.divide_no_nan(pictures - low, reach + tf.zeros_like(pictures)), 0.0, 1.0)
        noise = tf.TensorArray(tf.float32, steps + 1, element_shape=(None,)).write(0, self._noise(start, corners))
        _, shares, noise = tf.while_loop(
            lambda i, *_: i < steps, step, (tf.constant(0), start, noise), parallel_iterations=1,
        )  # fmt: skip
        started, reached = tf.split(values(tf.concat([pictures, low + reach * shares], axis=0), times=2), 2)
        return shares, started, reached, tf.transpose(noise.stack())

    def _noise(self, shares: tf.Tensor, corners: tf.Tensor) -> tf.Tensor:
        """(pictures,) the share of high frequencies within the window at each corner."""
        size = (self._side, self._side) if self._side else self._frame.size
        if not self.measures_noise:
            return tf.zeros(tf.shape(shares)[:1])
        if self._side:
            shares = tf.reshape(shares, (-1, self._side, self._side, 1))
        elif tuple(shares.shape[1:3]) != tuple(size):
            shares = tf.gather(shares, corners[:, :1] + tf.range(size[0]), axis=1, batch_dims=1)
            shares = tf.gather(shares, corners[:, 1:] + tf.range(size[1]), axis=2, batch_dims=1)
        return Frequencies(*size).traced_high_share(shares)


def _grids(model: Any, site: Site, frame: Frame) -> list[int]:
    """By multiples of how many pixels a window may be moved along each axis of the map, that strides fall as before."""
    try:
        return [int(grid) for _, grid in Start(model, site).paces()]
    except (TypeError, ValueError):                 # without a graph: whole strides
        assert frame.stride is not None
        return [max(1, pace.numerator) for pace in frame.stride[2 - len(frame.unit):]]
