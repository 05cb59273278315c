"""Gradient ascent: images that maximise units of one layer, many units at once, in one traced function.

Everything of a step stands in the graph: Adam with the gradient of each image normalised, so that neither
the scale of a unit nor that of its inputs matters; total variation; jitter; gradients that are led past
closed ReLUs at first.  Nothing of the model is changed, not even while it is traced.

The one function does everything: with no steps to take it tells the values of given pictures.  To trace a second
one would cost as long again as the first, at every layer.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from featwatch.explain.ascent.bases import Basis
from featwatch.explain.ascent.objective import SKETCHED, Objective, Values, sketch
from featwatch.explain.ascent.redirect import redirected
from featwatch.explain.ascent.robustness import Robustness
from featwatch.explain.forms import Unsuitable
from featwatch.running import refuse_writes

REDIRECTED_STEPS = 16               # at most, and half of all
GROWN = 1e-3                        # of the value: more than rounding
FLOAT16_SCALE = 1024.0              # of the objective, so that small gradients do not vanish in half precision
_STATE = ("numbers", "first", "second", "going", "taken")     # with which an ascent goes on
_THINNED = (4, 12, 32, 96, 256)     # steps after which images that are where they shall be are no longer computed


@dataclass(frozen=True, eq=False)
class Climbed:
    """What an ascent came to."""

    shares: np.ndarray              # (images, height, width, channels) float32: between the bounds, 0 to 1
    activation: np.ndarray          # (images,) float32: of the objective
    reached: np.ndarray             # (images,) bool: whether a gradient arrived that was not led past anything, or the value grew
    taken: np.ndarray               # (images,) int32: steps, before the activation went beyond its limit
    features: np.ndarray            # (images, numbers) float32: a sketch of what the layer makes of the image
    between: Sequence[np.ndarray] = field(default_factory=list)     # the shares after the steps that were asked for


class Ascent:
    """The ascents of one layer: traced once, for any number of images, always with the weights of the moment.

    Arguments:
        told: of how many axes the unit's position is where that is told by `at`; 0 = the objective knows it.

    Raises Unsuitable where no gradient leads from the layer to the input.
    """

    def __init__(self, objective: Objective, basis: Basis, filters: int, robustness: Robustness, told: int = 0) -> None:
        self._told = np.zeros(told, np.int32)
        self._objective = objective
        self._basis = basis
        self._robustness = robustness
        many, numbers = (None,), tf.TensorSpec((None, *basis.shape), tf.float32)
        self._climb = traced(
            self._trace,
            tf.TensorSpec((None, *basis.size), tf.float32),
            tf.TensorSpec((), tf.bool),
            tf.TensorSpec((None, filters), tf.float32),
            tf.TensorSpec(many, tf.float32),
            tf.TensorSpec((2,), tf.float32),
            tf.TensorSpec((3,), tf.int32),
            numbers, numbers, numbers,
            tf.TensorSpec(many, tf.bool),
            tf.TensorSpec(many, tf.int32),
            tf.TensorSpec((told,), tf.int32),
        )  # fmt: skip

    def at(self, unit: Sequence[int]) -> Ascent:
        """The same ascents, of another unit."""
        there = copy.copy(self)
        there._told = np.array(unit, np.int32)
        return there

    def values(self, pictures: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """(pictures,) float32: the objective of each in its direction, of pictures of the window's size."""
        nothing = np.zeros((len(pictures), *self._basis.shape), np.float32)
        return self._run(nothing, directions, (0, 0, 0), given=pictures)["value"].numpy()

    def arrives(self, numbers: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """(images,) bool: whether a gradient comes from the unit to the images as they are."""
        return self._run(numbers, directions, (0, 0, 0))["reached"].numpy()

    def climb(
        self,
        numbers: np.ndarray,
        directions: np.ndarray,
        steps: int,
        *,
        learning_rate: float,
        total_variation: float,
        limits: np.ndarray | None = None,
        after: Sequence[int] = (),
    ) -> Climbed:
        """Images that maximise `directions`, (images, filters), of the layer, from the start `numbers` in the basis.

        A unit that has only negative weights is largest where every ReLU before it is off, and no gradient comes
        from there: it is reached where its value has grown, or is beyond the limit.

        Arguments:
            limits: (images,) of the activation; an image whose activation is beyond stays as it is.
            after: steps after which images are kept as `between`; those of `steps` and more are left out.
        """
        redirecting = min(REDIRECTED_STEPS, steps // 2)
        shown = [stop for stop in after if stop < steps]
        stops = sorted({*shown, *(_THINNED if limits is not None else ()), steps})
        rows = np.arange(len(numbers))                      # of the images that are still moving
        whole: dict[str, np.ndarray] = {"reached": np.zeros(len(numbers), bool)}
        between: list[np.ndarray] = []
        before, found = 0, None
        for stop in (stop for stop in stops if stop <= steps):
            if len(rows):
                beyond = None if limits is None else limits[rows]
                found = self._run(
                    numbers[rows], directions[rows], (before, stop, redirecting), found, (learning_rate, total_variation), beyond
                )
                _put(whole, found, rows, ("shares", "value", "taken", "features", *(("began",) if before == 0 else ())))
                whole["reached"][rows] |= found["reached"].numpy()
                left = np.flatnonzero(found["going"].numpy())
                if len(left) < len(rows):
                    rows, found = rows[left], {name: tf.gather(found[name], left) for name in _STATE}
                before = stop
            if stop in shown:
                between.append(whole["shares"].copy())
        value, began = whole["value"], whole["began"]
        grown = value - began > GROWN * np.maximum(np.abs(began), np.abs(value))
        features = whole["features"][:, : self._features]
        reached = whole["reached"] | grown | (whole["taken"] < steps)       # beyond its limit, whatever leads further
        return Climbed(whole["shares"], value, reached, whole["taken"], features, between)

    def _run(
        self, numbers: np.ndarray, directions: np.ndarray, span: tuple[int, int, int], on_from: Any = None,
        rates: tuple[float, float] = (0.0, 0.0), limits: np.ndarray | None = None, given: np.ndarray | None = None,
    ) -> Any:  # fmt: skip
        count = len(numbers)
        if on_from is None:
            nothing = tf.zeros((count, *self._basis.shape))
            state = tf.constant(numbers, tf.float32), nothing, nothing, tf.ones((count,), tf.bool), tf.zeros((count,), tf.int32)
        else:
            state = tuple(on_from[name] for name in _STATE)
        return self._climb(
            tf.zeros((1, *self._basis.size)) if given is None else tf.constant(given, tf.float32),
            tf.constant(given is not None),
            tf.constant(directions, tf.float32),
            tf.fill((count,), np.float32(np.inf)) if limits is None else tf.constant(limits, tf.float32),
            tf.constant(rates, tf.float32),
            tf.constant(span, tf.int32),
            *state,
            tf.constant(self._told),
        )

    def _trace(
        self, given: tf.Tensor, is_given: tf.Tensor, directions: tf.Tensor, limits: tf.Tensor, rates: tf.Tensor, span: tf.Tensor,
        numbers: tf.Tensor, first: tf.Tensor, second: tf.Tensor, going: tf.Tensor, taken: tf.Tensor,
        told: tf.Tensor,
    ) -> dict[str, tf.Tensor]:  # fmt: skip
        """Steps span[0] to span[1]; at the end values are read once more, of the images as they are and nothing moves."""
        begin, end, redirecting = tf.unstack(span)
        learning_rate, total_variation = tf.unstack(rates)
        axes = list(range(1, numbers.shape.rank))
        has_neighbours = self._objective.form.has_neighbours
        count = tf.shape(numbers)[0]

        def step(i: tf.Tensor, now: dict[str, tf.Tensor]) -> Any:
            shares = self._basis.shares(now["numbers"])
            last = i == end
            images = tf.where(is_given, given, self._basis.images(shares))
            shown = self._robustness(images, i, (i == 0) | last)        # ends of a stretch are looked at as they are
            with redirected(i < redirecting):
                read = self._objective.read(shown, told if told.shape[0] else None)
            value = tf.reduce_sum(self._objective.of(read) * directions, axis=1)
            # A value that is not finite is beyond nothing; and one step is taken in any case.
            going = now["going"] & (last | (i == 0) | ~(value > limits))
            uphill = self._uphill(read, directions, shown, images)
            length = _length(uphill, [1, 2, 3])
            arrived = length > 0
            uphill = tf.math.divide_no_nan(uphill, length)
            if has_neighbours:                                          # without a gradient the start stays what it is
                weight = tf.where(arrived, total_variation / math.prod(shares.shape[1:]), 0.0)
                uphill -= weight * _roughening(shares)
            gradient = self._basis.pulled(now["numbers"], shares, uphill)
            gradient = tf.math.divide_no_nan(gradient, _length(gradient, axes))
            first = 0.9 * now["first"] + 0.1 * gradient
            second = 0.999 * now["second"] + 0.001 * tf.square(gradient)
            after = tf.cast(i + 1, tf.float32)
            rate = learning_rate * tf.sqrt(1 - 0.999**after) / (1 - 0.9**after)
            moves = tf.reshape(going & ~last, (-1, *[1] * len(axes)))
            # Where nothing moves any more there is only the last look to come.
            following = tf.where(last | tf.reduce_any(going), i + 1, end)
            return following, {
                "numbers": now["numbers"] + tf.where(moves, rate * first / (tf.sqrt(second) + 1e-8), 0.0),
                "first": tf.where(moves, first, now["first"]),
                "second": tf.where(moves, second, now["second"]),
                "going": going,
                "taken": now["taken"] + tf.cast(going & ~last, tf.int32),
                "reached": now["reached"] | ((i >= redirecting) & tf.reshape(arrived, (-1,))),
                "value": value,
                "began": tf.where(i == begin, value, now["began"]),
                "features": self._sketch(read.after, last),
            }

        _, found = tf.while_loop(
            lambda i, _: i <= end,
            step,
            (begin, {
                "numbers": numbers, "first": first, "second": second, "going": going, "taken": taken,
                "reached": tf.zeros((count,), tf.bool), "value": tf.zeros((count,)), "began": tf.zeros((count,)),
                "features": tf.zeros((count, SKETCHED)),
            }),
            parallel_iterations=1,
        )  # fmt: skip
        return {**found, "shares": self._basis.shares(found["numbers"])}

    def _sketch(self, maps: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
        """(images, SKETCHED), at the last step; zeros behind what there is, as a loop has to know its shapes beforehand."""
        length = math.prod(maps.shape[1:])
        self._features = min(length, SKETCHED)
        if length <= SKETCHED:
            return tf.pad(tf.reshape(maps, (-1, length)), ((0, 0), (0, SKETCHED - length)))
        return tf.cond(last, lambda: sketch(maps), lambda: tf.zeros((tf.shape(maps)[0], SKETCHED)))

    def _uphill(self, read: Values, directions: tf.Tensor, shown: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
        """The objective's gradient with regard to the shares, 0 where it is not finite."""
        scale = FLOAT16_SCALE if read.half else 1.0
        gradient = tf.gradients(read.maps, shown, self._objective.seed(read, directions * scale))[0]
        if gradient is None:
            raise Unsuitable("no gradient leads from the layer to the model's input")
        if shown is not images:
            gradient = tf.gradients(shown, images, gradient)[0]
        gradient *= self._basis.range / scale
        return tf.where(tf.math.is_finite(gradient), gradient, 0.0)


def traced(function: Any, *signature: tf.TensorSpec) -> Any:
    """The concrete function, traced once and for all.  Raises WritesState where the model writes variables."""
    # Without jit: on a CPU it halves the speed.
    concrete = tf.function(function, input_signature=signature, autograph=False).get_concrete_function()
    refuse_writes(concrete.graph)
    return concrete


def _put(whole: dict[str, np.ndarray], found: Any, rows: np.ndarray, names: Sequence[str]) -> None:
    """What was found of some images, among all: at first they are all of them."""
    for name in names:
        values = found[name].numpy()
        if name in whole:
            whole[name][rows] = values
        else:
            whole[name] = values.copy()


def _length(values: tf.Tensor, axes: list[int]) -> tf.Tensor:
    return tf.sqrt(tf.reduce_sum(tf.square(values), axis=axes, keepdims=True))


def _roughening(shares: tf.Tensor) -> tf.Tensor:
    """The gradient of the total variation, the sum of the absolute differences between neighbours."""
    down = tf.sign(shares[:, 1:] - shares[:, :-1])
    right = tf.sign(shares[:, :, 1:] - shares[:, :, :-1])
    along_rows = tf.pad(down, ((0, 0), (1, 0), (0, 0), (0, 0))) - tf.pad(down, ((0, 0), (0, 1), (0, 0), (0, 0)))
    return along_rows + tf.pad(right, ((0, 0), (0, 0), (1, 0), (0, 0))) - tf.pad(right, ((0, 0), (0, 0), (0, 1), (0, 0)))
