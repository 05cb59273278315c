"""What of a layer is to grow, as a function of pictures of one size."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from featwatch.explain.ascent.trimming import Trimmed, Trimming
from featwatch.explain.forms import Form
from featwatch.layers import Site
from featwatch.running import Reached, filters_last, reach

Place = tuple[int, ...] | None
SKETCHED = 61                       # numbers at most that stand for what a layer makes of a picture; a prime, see `sketch`


@dataclass(frozen=True, eq=False)
class Values:
    """What is known of some pictures while a function is traced."""

    maps: tf.Tensor                 # (pictures, …, filters) float32: what is to grow
    after: tf.Tensor                # likewise: what leaves it; of one unit (pictures, filters)
    before: bool                    # whether what enters the activation can be had
    precision: float                # of the layer's numbers: 1 + precision is the next after 1
    half: bool                      # whether they are float16, in which small gradients vanish
    unit: tuple[Any, ...] | None    # in `maps`, which may be no more than what is around it: numbers or tensors; None = all


@dataclass(frozen=True, eq=False)
class Objective:
    """A unit of each map, before the activation where that can be had; or the mean or sum over all.

    Of all units what leaves the activation may be meant: before it, most of a picture would go to what says no less firmly.
    """

    model: weakref.ref[Any]
    site: Site
    form: Form
    unit: tuple[int, ...] | None = None     # None = all, or told anew at each call
    total: bool = False                     # of all units the sum, not the mean
    leaving: bool = False                   # whether what leaves the activation is to grow
    alone: bool = False                     # whether what leaves the activation is of the unit alone, as in a window cut for it
    trimming: Trimming | None = None        # how to compute no more than the unit needs

    def read(self, pictures: tf.Tensor, told: tf.Tensor | None = None) -> Values:
        """While a function is traced: what the layer makes of (pictures, height, width, channels).

        Arguments:
            told: (axes,) int32: the unit, where that is told at each call.
        """
        model = self.model()
        if model is None:
            raise RuntimeError("the model is gone")
        trimmed = self.trimming.over() if self.trimming is not None else None
        reached = reach(model, self.form.inputs(pictures), self.site, calling=trimmed)
        kind = reached.before.dtype
        precision = 2.0**-7 if kind == tf.bfloat16 else float(np.finfo(kind.as_numpy_dtype).eps)
        after = filters_last(reached.after, self.site.layer)
        inside = reached.before is not reached.after
        maps = filters_last(reached.before, self.site.layer) if inside and not self.leaving else after
        unit, place = self._places(trimmed, reached)
        if self.alone and place is not None:
            after = after[(slice(None), *place)]
        if told is not None:
            unit = tuple(tf.unstack(told))
        return Values(maps, after, inside or self.site.activation == "linear", precision, kind == tf.float16, unit)

    def _places(self, trimmed: Trimmed | None, reached: Reached) -> tuple[Place, Place]:
        """Where the unit is in what enters the activation, and in what leaves it."""
        if trimmed is None or self.unit is None:
            return self.unit, self.unit
        # What enters an activation within the layer is no operation's output; it starts where the layer's does.
        starts = trimmed.start(reached.before if trimmed.gave(reached.before) else reached.after), trimmed.start(reached.after)
        entering, leaving = (tuple(u - first for u, first in zip(self.unit, start, strict=False)) for start in starts)
        return entering, leaving

    def of(self, read: Values) -> tf.Tensor:
        """(pictures, filters) of what was read."""
        maps = read.maps
        if read.unit is not None:
            return maps[(slice(None), *read.unit)]
        space = list(range(1, maps.shape.rank - 1))
        if not space:
            return maps
        return tf.reduce_sum(maps, axis=space) if self.total else tf.reduce_mean(maps, axis=space)

    def seed(self, read: Values, directions: tf.Tensor) -> tf.Tensor:
        """Like the maps: the gradient, with regard to them, of the sum over pictures of `of(read)` in the `directions`."""
        maps = read.maps
        space = tuple(maps.shape[1:-1])
        if read.unit is None:
            spread = np.full((1, *space, 1), 1.0 if self.total else 1 / max(1, int(np.prod(space))), np.float32)
        elif all(isinstance(place, int) for place in read.unit):
            spread = np.zeros((1, *space, 1), np.float32)
            spread[(0, *read.unit, 0)] = 1.0
        else:
            spread = tf.scatter_nd([[0, *read.unit, 0]], [1.0], (1, *space, 1))
        return spread * tf.reshape(directions, (-1, *[1] * len(space), maps.shape[-1]))


def sketch(maps: tf.Tensor) -> tf.Tensor:
    """(pictures, numbers): the flattened maps, folded to `SKETCHED` numbers with random signs where there are more.

    A count sketch: distances are kept in expectation (`featwatch.sketch` does the same at more numbers).
    """
    length = int(np.prod(maps.shape[1:]))
    flat = tf.reshape(maps, (-1, length))
    if length <= SKETCHED:
        return flat
    folds = -(-length // SKETCHED)
    signs = np.random.default_rng((0, length)).choice(np.array([-1, 1], np.int8), length)
    signed = tf.pad(flat * tf.cast(tf.constant(signs), tf.float32), ((0, 0), (0, folds * SKETCHED - length)))
    return tf.reduce_sum(tf.reshape(signed, (-1, folds, SKETCHED)), axis=1)
