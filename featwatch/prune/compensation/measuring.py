"""How far what layers, and the model, give is off when units are gone: measured on samples, before anything is changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np

from featwatch.prune.anatomy import Anatomy
from featwatch.prune.compensation.consumers import Consumer
from featwatch.prune.compensation.solving import Combination
from featwatch.prune.compensation.statistics import each_read
from featwatch.prune.units import gone


class Leaving:
    """The error of what a layer gives, without its bias and activation, with the combinations of its groups and without."""

    def __init__(self, consumer: Consumer, combinations: Sequence[Combination]) -> None:
        self._consumer, self._combinations = consumer, combinations
        weights = consumer.weights()
        # (outputs,) what the constants of the combinations come to: each weight of a channel meets the same.
        self.constant = np.concatenate(
            [np.einsum("r,tro->o", each.constant, weights[group][:, each.removed]) for group, each in enumerate(combinations)]
        )
        self._all = consumer.kernel_for(weights)
        some = [own[:, each.removed] for own, each in zip(weights, combinations, strict=True)]
        self._removed = consumer.kernel_for(np.stack(some))
        self._whole, self._squares = _Spread(), np.zeros(2)

    @property
    def error(self) -> float:
        """Relative, with the combinations."""
        return self._whole.relative(self._squares[0])

    @property
    def without(self) -> float:
        """Relative, had nothing been compensated."""
        return self._whole.relative(self._squares[1])

    def add(self, x: Any) -> None:
        """Count what enters the layer in a batch of samples."""
        value, size = self._consumer.read(x), len(self._consumer.ids)
        self._whole.add(self._consumer.linear(value, self._all))
        own = [(each, value[..., group * size : (group + 1) * size]) for group, each in enumerate(self._combinations)]
        rest = np.concatenate([each.left(part) for each, part in own], axis=-1)
        gone = np.concatenate([np.take(part, each.removed, -1) for each, part in own], axis=-1)
        given = self._consumer.linear(np.concatenate([rest, gone]), self._removed)
        after = given[: len(value)] - self.constant.astype(np.float32)
        self._squares += [np.square(each, dtype=np.float64).sum() for each in (after, given[len(value) :])]


class _Spread:
    """The sum of squares of outputs around their means, output by output."""

    def __init__(self) -> None:
        self._count, self._sums, self._squares = 0, np.zeros(()), np.zeros(())

    def add(self, values: np.ndarray) -> None:
        rows = values.reshape(-1, values.shape[-1]).astype(np.float64)
        self._count += len(rows)
        self._sums = self._sums + rows.sum(axis=0)
        self._squares = self._squares + np.square(rows).sum(axis=0)

    def relative(self, squares: float) -> float:
        """The root of this share of it; 0 where there is no difference at all."""
        around = float(np.sum(self._squares - self._sums**2 / max(self._count, 1)))
        # Outputs that do not vary are taken as they are: what they are off by is relative to their size.
        around = around if around > 1e-12 * float(np.sum(self._squares)) else float(np.sum(self._squares))
        return float(np.sqrt(squares / around)) if squares > 0 and around > 0 else 0.0 if squares <= 0 else float("inf")


def of_outputs(
    anatomy: Anatomy, groups: set[int], values: Sequence[tuple[Any, np.ndarray]], batches: Iterable[Any],
    whole: Sequence[np.ndarray],
) -> tuple[float, float]:  # fmt: skip
    """The relative errors of the outputs without these groups, as the weights are and with these values.

    The model is run with the units masked, which gives what the smaller one will.

    Arguments:
        whole: what it gives for these batches with all of its units.
    """
    every, removed = list(batches), np.fromiter(groups, np.int64)
    errors = []
    for told in ({}, {id(variable): value for variable, value in values}):
        state = [(variable, _masked(anatomy, variable, told.get(id(variable)), removed)) for variable in _held(anatomy, values)]
        errors.append(apart(_joined(each_read(anatomy.model, every, {}, state=state)), whole))
    return errors[0], errors[1]


def _held(anatomy: Anatomy, values: Sequence[tuple[Any, np.ndarray]]) -> list[Any]:
    """The variables that have numbers for units, or another value."""
    every = [*(sliced.variable for sliced in anatomy.sliced.values()), *(variable for variable, _ in values)]
    return list({id(variable): variable for variable in every}.values())


def _masked(anatomy: Anatomy, variable: Any, value: np.ndarray | None, removed: np.ndarray) -> Any:
    """A variable's value with 0 for all that goes."""
    value = np.array(variable.numpy() if value is None else value)
    sliced = anatomy.sliced.get(id(variable))
    for axis, ids in (sliced.axes if sliced is not None else {}).items():
        value[(slice(None),) * axis + (gone(anatomy.units.roots(ids), removed),)] = 0
    return keras.ops.convert_to_tensor(value, variable.dtype)


def _joined(outputs: Iterable[list[np.ndarray]]) -> list[np.ndarray]:
    return [np.concatenate(each) for each in zip(*outputs, strict=True)]


def apart(found: Sequence[np.ndarray], whole: Sequence[np.ndarray]) -> float:
    """Root mean square over a model's outputs of how far each is from another run's, relative to how it varies there."""
    errors = []
    for one, other in zip(found, whole, strict=True):
        spread = _Spread()
        spread.add(other.reshape(len(other), -1))
        errors.append(spread.relative(float(np.square(one - other, dtype=np.float64).sum())))
    return float(np.sqrt(np.mean(np.square(errors))))


