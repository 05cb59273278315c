"""What is kept of a layer's output: functions that reduce one batch of it on the device.

A recorder names the ones it needs in `Recorder.reductions`; the shared forward pass computes each
needed one once per layer.  Every function takes `values`, (batch, …, filters) float32 with the
filters last, and what is known `about` the layer, and returns one row per sample.  The values are the
layer's output; for functions called `input_…` they are what entered the layer.  A name `sorted_…`, as
"sorted_features", asks for the function after it of `sorted_maps` (row E2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from featwatch.activations import Passing
from featwatch.sketch import SKETCH_SEED, Sketch

# Values of a filter up to which its histogram takes all of them; of more it takes a sample of at least that many.
EXACT_VALUES = 100_000
# The same for how its filters vary together: the time for that goes with the square of their number, and so does the memory,
# 34 MB for as many as are compared at most.
EXACT_MOMENTS = 16_384
MOST_COMPARED = 2048


@dataclass(frozen=True, eq=False)
class About:
    """What a reduction may need to know beside the values of one batch."""

    sketch: Sketch
    samples: int                        # in the probe
    seed: int = SKETCH_SEED
    passing: Passing = Passing()        # where the layer's activation passes a gradient on


def features(values: tf.Tensor, about: About) -> tf.Tensor:
    """(batch, sketch.size): the flattened feature tensors, or their sketch."""
    sketch = about.sketch
    flat = tf.reshape(values, (-1, sketch.features))
    if sketch.signs is None:
        return flat
    padded = tf.pad(flat, ((0, 0), (0, len(sketch.signs) - sketch.features)))
    signed = padded * tf.cast(sketch.signs, tf.float32)
    return tf.reduce_sum(tf.reshape(signed, (-1, len(sketch.signs) // sketch.size, sketch.size)), axis=1)


def sorted_maps(values: tf.Tensor) -> tf.Tensor:
    """(batch, positions, filters): each filter's map in ascending order, wherever its values stood; a Dense layer's as it is.

    A CPU takes several times as long for it as for the layer itself.
    """
    maps = _positions(values)
    return tf.sort(maps, axis=1) if maps.shape[1] > 1 else maps


def neighbour_distance(values: tf.Tensor, about: About) -> tf.Tensor:
    """(batch,): exact squared distance of every fourth sample's feature tensor to the one before it; NaN for the others.

    Of samples 1, 5, 9, … of the batch: pairs that share no sample, and a quarter of the time.
    """
    flat = tf.reshape(values, (-1, about.sketch.features))
    measured = tf.reduce_sum(tf.square(flat[1::4] - flat[:-1:4]), axis=1)
    unknown = tf.fill(tf.shape(measured), np.float32(np.nan))
    in_fours = tf.reshape(tf.stack([unknown, measured, unknown, unknown], axis=1), (-1,))
    return tf.pad(in_fours, ((0, 1),), constant_values=np.float32(np.nan))[: tf.shape(flat)[0]]


def maximum(values: tf.Tensor, about: About) -> tf.Tensor:
    """(batch, filters): each filter's largest value over positions."""
    return tf.reduce_max(tf.reduce_max(_lines(values), axis=2), axis=1)     # as in `peak`, so that it is computed once


def minimum(values: tf.Tensor, about: About) -> tf.Tensor:
    """(batch, filters): each filter's smallest value over positions."""
    return tf.reduce_min(_positions(values), axis=1)


def mean(values: tf.Tensor, about: About) -> tf.Tensor:
    """(batch, filters): each filter's mean over positions."""
    return tf.reduce_mean(_positions(values), axis=1)


def below_zero(values: tf.Tensor, about: About) -> tf.Tensor:
    """(batch, filters): the mean over positions of what lies below zero, as a number ≥ 0."""
    maps = _positions(values)
    if about.passing.low >= 0:                  # the activation ends there: nothing to read
        return tf.zeros((tf.shape(maps)[0], maps.shape[2]))
    return tf.reduce_mean(tf.nn.relu(-maps), axis=1)


def active(values: tf.Tensor, about: About) -> tf.Tensor:
    """(batch, filters): the share of positions with a value above zero."""
    return tf.reduce_mean(tf.where(_positions(values) > 0, 1.0, 0.0), axis=1)    # a cast would take half as long again


def peak(values: tf.Tensor, about: About) -> tf.Tensor:
    """(batch, filters) int32: where each filter's largest value is, as an index over positions in C order; the first of several.

    0 where there is none, because a value is NaN.

    First the line of the map that it is in, then the place within that line: the whole map is read only
    for the lines' maxima, and an argmax over it takes several times as long on a CPU.
    """
    lines = _lines(values)
    count, length = lines.shape[1:3]
    of_lines = tf.reduce_max(lines, axis=2)
    largest = tf.reduce_max(of_lines, axis=1)
    line = tf.minimum(_first(of_lines == largest[:, None]), count - 1)
    winning = lines[:, 0] if count == 1 else tf.experimental.numpy.take_along_axis(lines, line[:, None, None, :], axis=1)[:, 0]
    place = _first(winning == largest[:, None])
    return tf.where(place == length, 0, line * length + place)


def largest(values: tf.Tensor, about: About) -> tf.Tensor:
    """(batch,) int32: the index of the largest value of the flattened feature tensor, the first of several.

    −1 where a value is NaN or infinite.  The line first, then the place within it, as in `peak`.
    """
    lines = _lines(values)
    count, length, filters = lines.shape[1:]
    of_lines = tf.reduce_max(tf.reduce_max(lines, axis=2), axis=2)
    top = tf.reduce_max(of_lines, axis=1)
    line = tf.minimum(_first((of_lines == top[:, None])[..., None])[:, 0], count - 1)
    winning = lines[:, 0] if count == 1 else tf.gather(lines, line, axis=1, batch_dims=1)
    places = tf.reshape(winning, (-1, length * filters))
    place = _first((places == top[:, None])[..., None])[:, 0]
    # Under jit a maximum passes over NaN; the features, computed anyway, do not.
    known = tf.reduce_all(tf.math.is_finite(features(values, about)), axis=1)
    return tf.where(known, line * (length * filters) + place, -1)


def responsive(values: tf.Tensor, about: About) -> tf.Tensor:
    """(batch, filters): the share of positions at which the layer's activation passes a gradient on."""
    passing, maps = about.passing, _positions(values)
    if passing == Passing(low=0.0):
        return active(values, about)            # one and the same, computed once
    if passing.everywhere:
        return tf.ones((tf.shape(maps)[0], maps.shape[2]))
    passes = (maps > passing.low) & (maps < passing.high)
    if passing.gap:
        passes &= (maps > 0) | (maps < -passing.gap)
    return tf.reduce_mean(tf.where(passes, 1.0, 0.0), axis=1)


def sampled_values(values: tf.Tensor, about: About) -> tf.Tensor:
    """(batch, kept, filters): the values at some positions, at all of them where the probe has `EXACT_VALUES` at most."""
    return _some(values, about, EXACT_VALUES)


def moment_values(values: tf.Tensor, about: About) -> tf.Tensor:
    """(batch, kept, filters): the values at fewer positions, at all of them where the probe has `EXACT_MOMENTS` at most.

    Of large maps they are the first of each sample's `sampled_values`, so that both are gathered at once.  Of
    more than `MOST_COMPARED` filters of none: (batch, 1, 0).
    """
    if values.shape[-1] > MOST_COMPARED:
        return _positions(values)[:, :1, :0]
    if about.samples * int(np.prod(values.shape[1:-1])) > EXACT_VALUES:
        return sampled_values(values, about)[:, : -(-EXACT_MOMENTS // about.samples)]
    return _some(values, about, EXACT_MOMENTS)


def input_channel_minimum(values: tf.Tensor, about: About) -> tf.Tensor:
    """(batch, channels): the smallest value that entered the layer in each channel."""
    return minimum(values, about)       # where that is what left the layer before, it is computed once


def input_channel_maximum(values: tf.Tensor, about: About) -> tf.Tensor:
    """(batch, channels): the largest value that entered the layer in each channel."""
    return maximum(values, about)


def input_channel_mean(values: tf.Tensor, about: About) -> tf.Tensor:
    """(batch, channels): the mean of what entered the layer in each channel."""
    return mean(values, about)


def _some(values: tf.Tensor, about: About, enough: int) -> tf.Tensor:
    """(batch, kept, filters): the values at so many positions that the probe has at least `enough` of each filter.

    Which ones is random but fixed; each row of a batch takes its own, so that together they are spread
    evenly over the map.
    """
    flat = _positions(values)
    positions = flat.shape[1]
    if about.samples * positions <= enough:
        return flat
    kept = min(-(-enough // about.samples), positions)
    order = np.random.default_rng((about.seed, positions)).permutation(positions)
    rows = flat.shape[0] or 1       # where the batch's size is not known while tracing, all rows take the same
    taken = order[np.arange(rows * kept).reshape(rows, kept) % positions]
    if rows == 1:
        return tf.gather(flat, taken[0], axis=1)
    return tf.gather(flat, taken, axis=1, batch_dims=1)


def _positions(values: tf.Tensor) -> tf.Tensor:
    """(batch, positions, filters); a Dense layer has one position."""
    positions = int(np.prod(values.shape[1:-1]))    # 1 for a Dense layer
    return tf.reshape(values, (-1, positions, values.shape[-1]))


def _lines(values: tf.Tensor) -> tf.Tensor:
    """(batch, lines, length, filters): the map cut along its last axis."""
    axes = tuple(values.shape[1:-1])
    length = axes[-1] if axes else 1
    return tf.reshape(values, (-1, int(np.prod(axes[:-1])), length, values.shape[-1]))


def _first(these: tf.Tensor) -> tf.Tensor:
    """(batch, filters) int32: the first index along the middle axis of `these`, (batch, places, filters); `places` where none."""
    places = these.shape[1]
    return tf.reduce_min(tf.where(these, tf.range(places)[None, :, None], places), axis=1)
