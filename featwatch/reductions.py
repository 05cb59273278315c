"""What is kept of a layer's output: functions that reduce one batch of it on the device.

A recorder names the ones it needs in `Recorder.reductions`; the shared forward pass computes each
needed one once per layer.  Every function takes `values`, (batch, …, filters) float32 with the
filters last, and what is known `about` the layer, and returns one row per sample.  The values are the
layer's output; for functions called `input_…` they are what entered the layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

# Feature tensors up to this length are kept whole; longer ones are folded to this many numbers.
# A prime, so that stepping through a tensor whose last axis has C filters visits every bucket: with
# 1,024 buckets and 32 filters a filter would meet only itself in 32 of them.
SKETCH_SIZE = 1021

# Values of a filter up to which its histogram takes all of them; of more it takes a sample of at least that many.
EXACT_VALUES = 100_000


@dataclass(frozen=True, eq=False)
class Sketch:
    """How a flattened feature tensor is shortened: random signs, then folding (a count sketch).

    The sketch is linear and keeps squared distances in expectation; their relative standard error is
    about √(2 / size) for features of similar energy.  Charikar, Chen, Farach-Colton 2002; Weinberger
    et al. 2009, *Feature Hashing for Large Scale Multitask Learning*, lemma 2.
    """

    features: int
    size: int
    signs: np.ndarray | None            # (folds · size,) int8, 0 beyond `features`; None = exact

    @classmethod
    def of_length(cls, features: int, seed: int = 0) -> Sketch:
        """The sketch for feature tensors of this length; exact where they are short enough."""
        if features <= SKETCH_SIZE:
            return cls(features, features, None)
        folds = -(-features // SKETCH_SIZE)
        signs = np.zeros(folds * SKETCH_SIZE, np.int8)
        signs[:features] = np.random.default_rng((seed, features)).choice(np.array([-1, 1], np.int8), features)
        return cls(features, SKETCH_SIZE, signs)

    @property
    def exact(self) -> bool:
        return self.signs is None


@dataclass(frozen=True, eq=False)
class About:
    """What a reduction may need to know beside the values of one batch."""

    sketch: Sketch
    samples: int                        # in the probe
    seed: int = 0


def features(values: tf.Tensor, about: About) -> tf.Tensor:
    """(batch, sketch.size): the flattened feature tensors, or their sketch."""
    sketch = about.sketch
    flat = tf.reshape(values, (-1, sketch.features))
    if sketch.signs is None:
        return flat
    padded = tf.pad(flat, ((0, 0), (0, len(sketch.signs) - sketch.features)))
    signed = padded * tf.cast(sketch.signs, tf.float32)
    return tf.reduce_sum(tf.reshape(signed, (-1, len(sketch.signs) // sketch.size, sketch.size)), axis=1)


def neighbour_distance(values: tf.Tensor, about: About) -> tf.Tensor:
    """(batch,): exact squared distance of each sample's feature tensor to the one before it in the batch, cyclically."""
    flat = tf.reshape(values, (-1, about.sketch.features))
    return tf.reduce_sum(tf.square(flat - tf.roll(flat, 1, axis=0)), axis=1)


def maximum(values: tf.Tensor, about: About) -> tf.Tensor:
    """(batch, filters): each filter's largest value over positions."""
    return tf.reduce_max(_positions(values), axis=1)


def minimum(values: tf.Tensor, about: About) -> tf.Tensor:
    """(batch, filters): each filter's smallest value over positions."""
    return tf.reduce_min(_positions(values), axis=1)


def mean(values: tf.Tensor, about: About) -> tf.Tensor:
    """(batch, filters): each filter's mean over positions."""
    return tf.reduce_mean(_positions(values), axis=1)


def active(values: tf.Tensor, about: About) -> tf.Tensor:
    """(batch, filters): the share of positions with a value above zero."""
    return tf.reduce_mean(tf.cast(_positions(values) > 0, tf.float32), axis=1)


def peak(values: tf.Tensor, about: About) -> tf.Tensor:
    """(batch, filters) int32: where each filter's largest value is, as an index over positions in C order; the first of several.

    0 where no value is the largest, because one is NaN.
    """
    flat = _positions(values)
    places = tf.range(flat.shape[1], dtype=tf.int32)[None, :, None]
    beyond = tf.constant(flat.shape[1], tf.int32)
    # Two plain reductions: many times faster on a CPU than an argmax.
    first = tf.reduce_min(tf.where(flat == tf.reduce_max(flat, axis=1, keepdims=True), places, beyond), axis=1)
    return tf.where(first == beyond, 0, first)


def sampled_values(values: tf.Tensor, about: About) -> tf.Tensor:
    """(batch, kept, filters): the values at some positions, at all of them where the probe has `EXACT_VALUES` at most.

    Which ones is random but fixed; each row of a batch takes its own, so that together they are spread
    evenly over the map.
    """
    flat = _positions(values)
    positions = flat.shape[1]
    if about.samples * positions <= EXACT_VALUES:
        return flat
    kept = -(-EXACT_VALUES // about.samples)
    order = np.random.default_rng((about.seed, positions)).permutation(positions)
    rows = flat.shape[0] or 1       # where the batch's size is not known while tracing, all rows take the same
    taken = order[np.arange(rows * kept).reshape(rows, kept) % positions]
    if rows == 1:
        return tf.gather(flat, taken[0], axis=1)
    return tf.gather(flat, taken, axis=1, batch_dims=1)


def input_minimum(values: tf.Tensor, about: About) -> tf.Tensor:
    """(batch,): the smallest value that entered the layer."""
    return tf.reduce_min(values, axis=range(1, values.shape.rank))


def input_maximum(values: tf.Tensor, about: About) -> tf.Tensor:
    """(batch,): the largest value that entered the layer."""
    return tf.reduce_max(values, axis=range(1, values.shape.rank))


def _positions(values: tf.Tensor) -> tf.Tensor:
    """(batch, positions, filters); a Dense layer has one position."""
    positions = int(np.prod(values.shape[1:-1]))    # 1 for a Dense layer
    return tf.reshape(values, (-1, positions, values.shape[-1]))
