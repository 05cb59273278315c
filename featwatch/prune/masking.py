"""What a model would give without some of its units, found by masking: their weights are 0 while it is run, and nowhere else."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from featwatch.prune.anatomy import Anatomy
from featwatch.prune.units import gone
from featwatch.running import run


class Masks:
    """Runs a model with units masked; traced once, for batches of one shape.

    A masked unit has no weights, no bias and no statistics, and what reads it no weights for it: what the model gives is what
    it would give were the unit cut away.  The model itself is left as it is, and not kept alive.
    """

    def __init__(self, anatomy: Anatomy) -> None:
        self._model = weakref.ref(anatomy.model)
        places = {id(variable): place for place, variable in enumerate(anatomy.model.variables)}
        which: dict[int, int] = {}
        # place among the model's variables -> axis -> which of the masks
        self._axes: dict[int, dict[int, int]] = {}
        self._ids: list[np.ndarray] = []
        for key, sliced in anatomy.sliced.items():
            for axis, ids in sliced.axes.items():
                if id(ids) not in which:
                    which[id(ids)] = len(self._ids)
                    self._ids.append(ids)
                self._axes.setdefault(places[key], {})[axis] = which[id(ids)]
        self._function = tf.function(self._trace, autograph=False)

    def outputs(self, batch: Any, anatomy: Anatomy, groups: Iterable[int]) -> list[np.ndarray]:
        """The model's outputs, flat, for a batch without these groups of units.  `anatomy`: of the same model."""
        removed = list(groups)
        masks = [(~gone(anatomy.units.roots(ids), removed)).astype(np.float32) for ids in self._ids]
        return [np.asarray(values) for values in self._function(tf.nest.map_structure(tf.convert_to_tensor, batch), masks)]

    def _trace(self, batch: Any, masks: list[tf.Tensor]) -> list[tf.Tensor]:
        model = self._model()
        if model is None:
            raise RuntimeError("the model is gone")
        state = []
        for place, axes in self._axes.items():
            variable = model.variables[place]
            value = tf.convert_to_tensor(variable.value)
            for axis, which in axes.items():
                shape = [1] * len(value.shape)
                shape[axis] = -1
                # Not a product: a weight that is not finite would stay.
                value = tf.where(tf.reshape(masks[which], shape) > 0, value, tf.zeros((), value.dtype))
            state.append((variable, value))
        outputs = run(model, batch, (), lambda *_: None, state=state)
        return [tf.cast(values, tf.float32) for values in tf.nest.flatten(outputs)]
