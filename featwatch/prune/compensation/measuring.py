"""How far what layers, and the model, give is off when units are gone: measured on samples, before anything is changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from featwatch.prune.anatomy import Anatomy
from featwatch.prune.compensation.consumers import Consumer
from featwatch.prune.compensation.solving import Combination
from featwatch.prune.compensation.statistics import each_read
from featwatch.prune.rebuild import _Rebuilding
from featwatch.running import _counters_kept
from featwatch.streams import untouched_random_state


class Leaving:
    """The error of what a layer gives, without its bias and activation, with the combinations of its groups and without."""

    def __init__(self, consumer: Consumer, combinations: Sequence[Combination]) -> None:
        self._consumer, self._combinations = consumer, combinations
        weights = consumer.weights()
        # (outputs,) what the constants of the combinations come to: each weight of a channel meets the same.
        self.constant = np.concatenate(
            [np.einsum("r,tro->o", each.constant, weights[group][:, each.removed]) for group, each in enumerate(combinations)]
        )
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
        value = self._consumer.read(x)
        self._whole.add(self._consumer.linear(value))
        rest, gone, size = np.zeros_like(value), np.zeros_like(value), len(self._consumer.ids)
        for group, each in enumerate(self._combinations):
            own = slice(group * size, (group + 1) * size)
            rest[..., own] = each.left(value[..., own])
            gone[..., own][..., each.removed] = value[..., own][..., each.removed]
        after = self._consumer.linear(rest) - self.constant.astype(np.float32)
        self._squares += [np.square(each, dtype=np.float64).sum() for each in (after, self._consumer.linear(gone))]


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
    anatomy: Anatomy, groups: set[int], values: Sequence[tuple[Any, np.ndarray]], batches: Iterable[Any]
) -> tuple[float, float]:
    """The relative errors of the pruned model's outputs, without these values and with them."""
    every = list(batches)
    whole = _outputs(anatomy.model, every)
    rebuilding = _Rebuilding(anatomy, groups, {})
    with untouched_random_state(), _counters_kept():
        pruned = rebuilding.model(anatomy.model)
        errors = []
        for changed in ({}, {id(variable): value for variable, value in values}):
            rebuilding.carry(changed)
            errors.append(apart(_outputs(pruned, every), whole))
    return errors[0], errors[1]


def _outputs(model: Any, batches: Sequence[Any]) -> list[np.ndarray]:
    found = list(each_read(model, batches, {}))
    return [np.concatenate(each) for each in zip(*found, strict=True)]


def apart(found: Sequence[np.ndarray], whole: Sequence[np.ndarray]) -> float:
    """Root mean square over a model's outputs of how far each is from another run's, relative to how it varies there."""
    errors = []
    for one, other in zip(found, whole, strict=True):
        spread = _Spread()
        spread.add(other.reshape(len(other), -1))
        errors.append(spread.relative(float(np.square(one - other, dtype=np.float64).sum())))
    return float(np.sqrt(np.mean(np.square(errors))))


