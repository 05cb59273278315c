"""Gradient ascent: images that maximise units of one layer, many units at once, in one traced function.

Everything of a step stands in the graph: Adam with the gradient of each image normalised, so that neither
the scale of a unit nor that of its inputs matters; total variation; jitter; gradients that are led past
closed ReLUs at first.  Nothing of the model is changed, not even while it is traced.
"""

from __future__ import annotations

import math
import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from featwatch.explain.bases import Basis
from featwatch.explain.forms import Form, Unsuitable
from featwatch.explain.frame import Frame
from featwatch.explain.redirect import redirected
from featwatch.layers import Site
from featwatch.running import reach, refuse_writes

LEARNING_RATE = 0.05
TOTAL_VARIATION = 0.1               # against a gradient of length 1
JITTER = 2                          # pixels at most, and an eighth of the image
REDIRECTED_STEPS = 16               # at most, and half of all
GROWN = 1e-3                        # of the value: more than rounding
FLOAT16_SCALE = 1024.0              # of the objective, so that small gradients do not vanish in half precision


@dataclass(frozen=True, eq=False)
class Climbed:
    """What an ascent came to."""

    shares: np.ndarray              # (images, height, width, channels) float32: between the bounds, 0 to 1
    activation: np.ndarray          # (images,) float32: of the objective
    reached: np.ndarray             # (images,) bool: whether a gradient that was not led past anything arrived, or the value grew


@dataclass(frozen=True, eq=False)
class Objective:
    """What of a layer is to grow: a unit of each map, or the mean over all; before the activation, where that can be had."""

    model: weakref.ref[Any]
    site: Site
    form: Form
    unit: tuple[int, ...] | None = None     # None = the mean

    def maps(self, pictures: tf.Tensor) -> tuple[tf.Tensor, bool]:
        """While a function is traced: (pictures, …, filters), and whether that is what enters the activation."""
        model = self.model()
        if model is None:
            raise RuntimeError("the model is gone")
        reached = reach(model, self.form.inputs(pictures), self.site)
        values = reached.before
        if getattr(self.site.layer, "data_format", None) == "channels_first" and values.shape.rank > 2:
            values = tf.experimental.numpy.moveaxis(values, 1, -1)
        return values, self.site.activation == "linear" or reached.before is not reached.after

    def values(self, pictures: tf.Tensor) -> tf.Tensor:
        """(pictures, filters) float32, likewise."""
        values = tf.cast(self.maps(pictures)[0], tf.float32)
        if self.unit is not None:
            return values[(slice(None), *self.unit)]
        space = list(range(1, values.shape.rank - 1))
        return tf.reduce_mean(values, axis=space) if space else values


class Ascent:
    """The ascents of one layer: traced once, for any number of images, always with the weights of the moment.

    Raises Unsuitable where no gradient leads from the layer to the input.
    """

    def __init__(self, objective: Objective, frame: Frame, basis: Basis, filters: int, half_precision: bool) -> None:
        self._objective = objective
        self._basis = basis
        self._frame = frame
        self._scale = FLOAT16_SCALE if half_precision else 1.0
        self._jitter = [min(JITTER, size // 8) if objective.form.has_neighbours else 0 for size in frame.size]
        self._value = traced(objective.values, tf.TensorSpec((None, *frame.size, basis.channels), tf.float32))
        self._climb = traced(
            self._trace,
            tf.TensorSpec((None, *basis.shape), tf.float32),
            tf.TensorSpec((None, filters), tf.float32),
            tf.TensorSpec((), tf.int32),
        )

    def values(self, pictures: np.ndarray) -> np.ndarray:
        """(pictures, filters) float32 of pictures of the frame's size."""
        return self._value(tf.constant(pictures, tf.float32)).numpy()

    def climb(self, numbers: np.ndarray, directions: np.ndarray, steps: int) -> Climbed:
        """Images that maximise `directions`, (images, filters), of the layer, from the start `numbers` in the basis.

        A unit that has only negative weights is largest where every ReLU before it is off, and no gradient comes
        from there: it is reached where its value has grown.
        """
        start, shares, reached = self._climb(tf.constant(numbers), tf.constant(directions), tf.constant(steps))
        before, after = ((self._value(self._basis.images(part)).numpy() * directions).sum(axis=1) for part in (start, shares))
        grown = after - before > GROWN * np.maximum(np.abs(before), np.abs(after))
        return Climbed(shares.numpy(), after, reached.numpy() | grown)

    def _trace(self, numbers: tf.Tensor, directions: tf.Tensor, steps: tf.Tensor) -> Any:
        redirecting = tf.minimum(REDIRECTED_STEPS, steps // 2)
        count = tf.shape(numbers)[0]
        axes = list(range(1, numbers.shape.rank))

        def step(i: tf.Tensor, numbers: tf.Tensor, first: tf.Tensor, second: tf.Tensor, reached: tf.Tensor) -> Any:
            shares = self._basis.shares(numbers)
            uphill = self._uphill(shares, directions, i, i < redirecting)
            length = _length(uphill, [1, 2, 3])
            arrived = length > 0
            uphill = tf.math.divide_no_nan(uphill, length)
            if self._objective.form.has_neighbours:
                uphill -= TOTAL_VARIATION / math.prod(shares.shape[1:]) * _roughening(shares)
            uphill = tf.where(arrived, uphill, 0.0)             # without a gradient the start stays what it is
            gradient = tf.gradients(shares, numbers, uphill)[0]
            gradient = tf.math.divide_no_nan(gradient, _length(gradient, axes))
            after = tf.cast(i + 1, tf.float32)
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * tf.square(gradient)
            mean, spread = first / (1 - 0.9**after), second / (1 - 0.999**after)
            reached |= (i >= redirecting) & tf.reshape(arrived, (-1,))
            return i + 1, numbers + LEARNING_RATE * mean / (tf.sqrt(spread) + 1e-8), first, second, reached

        nothing, start = tf.zeros_like(numbers), self._basis.shares(numbers)
        _, numbers, _, _, reached = tf.while_loop(
            lambda i, *_: i < steps,
            step,
            (tf.constant(0), numbers, nothing, nothing, tf.zeros((count,), tf.bool)),
            parallel_iterations=1,
        )
        return start, self._basis.shares(numbers), reached

    def _uphill(self, shares: tf.Tensor, directions: tf.Tensor, i: tf.Tensor, redirecting: tf.Tensor) -> tf.Tensor:
        """The objective's gradient with regard to the shares, 0 where it is not finite."""
        chance = tf.random.stateless_uniform((2,), tf.stack([i, 7]))            # a seed of its own: no global state moves
        by = tf.cast(chance * [2.0 * most + 1 for most in self._jitter], tf.int32) - self._jitter
        shown = tf.roll(self._basis.images(shares), by, (1, 2)) if any(self._jitter) else self._basis.images(shares)
        with redirected(redirecting):
            values = self._objective.values(shown)
        gradient = tf.gradients(tf.reduce_sum(values * directions) * self._scale, shown)[0]
        if gradient is None:
            raise Unsuitable("no gradient leads from the layer to the model's input")
        if any(self._jitter):
            gradient = tf.roll(gradient, -by, (1, 2))
        gradient *= self._basis.range / self._scale
        return tf.where(tf.math.is_finite(gradient), gradient, 0.0)


def traced(function: Any, *signature: tf.TensorSpec) -> Any:
    """The concrete function, traced once and for all.  Raises WritesState where the model writes variables."""
    # Without jit: on a CPU it halves the speed.
    concrete = tf.function(function, input_signature=signature, autograph=False).get_concrete_function()
    refuse_writes(concrete.graph)
    return concrete


def _length(values: tf.Tensor, axes: list[int]) -> tf.Tensor:
    return tf.sqrt(tf.reduce_sum(tf.square(values), axis=axes, keepdims=True))


def _roughening(shares: tf.Tensor) -> tf.Tensor:
    """The gradient of the total variation, the sum of the absolute differences between neighbours."""
    down = tf.sign(shares[:, 1:] - shares[:, :-1])
    right = tf.sign(shares[:, :, 1:] - shares[:, :, :-1])
    along_rows = tf.pad(down, ((0, 0), (1, 0), (0, 0), (0, 0))) - tf.pad(down, ((0, 0), (0, 1), (0, 0), (0, 0)))
    return along_rows + tf.pad(right, ((0, 0), (0, 0), (1, 0), (0, 0))) - tf.pad(right, ((0, 0), (0, 0), (0, 1), (0, 0)))
