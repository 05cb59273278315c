"""What would go from a model, what it would save and what it would cost, at several shares of its units."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from featwatch.predictions import loss_of, predictions
from featwatch.prune.candidates import Candidates, candidates
from featwatch.prune.choosing import ordered
from featwatch.prune.criteria.random_order import random_order
from featwatch.prune.masking import Masks
from featwatch.prune.planning import MOST_PER_LAYER, anatomy_of, samples_of, scored
from featwatch.prune.savings import Sizes
from featwatch.records import PruningOutlook
from featwatch.structures import mapped

_SINGLE = 1e-6          # shares and turns are recorded in single precision
_SEED = 0               # of the order at random


class Outlook:
    """What would go from a model as it is now.

    Arguments:
        criterion, ignore, probe: as of `featwatch.prune.plan`.
        ratios: ascending, from 0.

    Raises:
        ValueError, TypeError: the model cannot be pruned, or an argument does not fit it.
    """

    def __init__(self, model: Any, criterion: Any, ratios: Sequence[float], probe: Any, ignore: Sequence[str] = ()) -> None:
        self.anatomy = anatomy = anatomy_of(model)
        self.ratios = np.array(ratios, np.float32)
        self._possible = possible = candidates(anatomy, ignore)
        scores, self.notes = scored(anatomy, possible, criterion, probe)
        order = ordered(possible, scores, max_ratio_per_layer=MOST_PER_LAYER)
        self._turns = np.full(len(possible) + 1, np.inf, np.float32)        # the last one: of units that stay
        self._turns[order.places] = order.turns
        self._turns[self._turns > self.ratios[-1] + _SINGLE] = np.inf
        self._criterion = criterion if isinstance(criterion, str) else getattr(criterion, "__name__", "own")
        drawn = ordered(possible, random_order(len(possible), _SEED), max_ratio_per_layer=MOST_PER_LAYER)
        self._drawn = drawn.places
        self._samples = samples_of(probe)

    @property
    def random(self) -> bool:
        """Whether the criterion is the baseline itself."""
        return self._criterion == "random"

    def groups(self, at: int) -> set[int]:
        """The groups that go at the share of this index."""
        gone = self._turns[:-1] <= self.ratios[at] + _SINGLE if self.ratios[at] > 0 else np.zeros(len(self._possible), bool)
        return set(self._possible.groups[gone].tolist())

    def drawn(self, at: int) -> set[int] | None:
        """As many groups as go at the share of this index, in an order drawn at random; None where not as many may go in it."""
        count = len(self.groups(at))
        return set(self._possible.groups[self._drawn[:count]].tolist()) if count <= len(self._drawn) else None

    def record(
        self, epoch: int, measured: Mapping[int, Measured], by_chance: Mapping[int, Measured] | None = None
    ) -> PruningOutlook:
        """`measured`: by index of the share; `by_chance`: with groups that are drawn at random."""
        anatomy, sizes = self.anatomy, Sizes(self.anatomy, like=self._samples)
        counts = [sizes.of(self.groups(at)) for at in range(len(self.ratios))]
        made = anatomy.made
        turns = [self._turns[member.places] for member in self._possible.members.values()]
        going = [[int(np.count_nonzero(own <= ratio + _SINGLE)) if ratio > 0 else 0 for own in turns] for ratio in self.ratios]
        frozen = {**anatomy.frozen(), **self._possible.ignored}
        notes = [*self.notes, *(f"not exact: {each}" for each in anatomy.inexact)]
        notes += sizes.said

        def column(found: Mapping[int, Measured], name: str) -> np.ndarray:
            return np.array([getattr(found[at], name) if at in found else math.nan for at in range(len(counts))], np.float32)

        names = ("accuracy", "change") if by_chance else ()
        chance: dict[str, Any] = {f"random_{name}": column(by_chance or {}, name) for name in names}
        return PruningOutlook(
            epoch=epoch,
            criterion=self._criterion,
            layers=np.array(list(made)),
            types=np.array([type(each.layer).__name__ for each in made.values()]),
            units=np.array([len(each.ids) for each in made.values()], np.int32),
            mixes=np.array([each.mixes for each in made.values()], bool),
            frozen=np.array([frozen.get(name, "") for name in made]),
            fixed=np.array([np.count_nonzero(member.places < 0) for member in self._possible.members.values()], np.int32),
            ratios=self.ratios,
            going=np.array(going, np.int32).reshape(len(self.ratios), len(made)),
            parameters=np.array([parameters for parameters, _ in counts], np.float64),
            multiply_adds=np.array([math.nan if known < 0 else known for _, known in counts], np.float64),
            accuracy=column(measured, "accuracy"),
            change=column(measured, "change"),
            turn=np.concatenate([np.zeros(0, np.float32), *turns]),
            together=together(self._possible),
            note="; ".join(notes),
            **chance,
        )


def together(possible: Candidates) -> np.ndarray:
    """(layers,) int32: the same number for layers that lose units together, that of the first of them in graph order.

    A layer that passes units on has the number of those that make them; −1 = of several, or none of its units can go.
    """
    members = list(possible.members.values())
    makes = [np.unique(each.places[each.places >= 0]) for each in members]
    of = np.full(len(possible), -1, np.int64)           # candidate -> index of a layer that makes it
    first = list(range(len(members)))                   # layer -> one that it goes with, itself at the end of each chain

    def root(layer: int) -> int:
        while first[layer] != layer:
            layer = first[layer]
        return layer

    for index, (member, places) in enumerate(zip(members, makes, strict=True)):
        if member.mixes:
            for other in np.unique(of[places][of[places] >= 0]).tolist():
                low, high = sorted((root(other), root(index)))
                first[high] = low
            of[places] = index
    found = np.full(len(members), -1, np.int32)
    for index, places in enumerate(makes):
        makers = {root(layer) for layer in np.unique(of[places][of[places] >= 0]).tolist()}
        if len(makers) == 1:
            found[index] = makers.pop()
    return found


@dataclass(frozen=True)
class Measured:
    """What masking units does to what a model says of some samples."""

    accuracy: float                     # NaN where there are no labels or no class scores
    change: float                       # RMS change of the outputs over their RMS deviation


class Measuring:
    """Measures at one share after the other, on some samples of a probe.

    Arguments:
        rows: (n,) which samples.
        output: index of the output that holds the class scores; −1 = none does.
    """

    def __init__(self, masks: Masks, outlook: Outlook, probe: Any, rows: np.ndarray, output: int) -> None:
        self._masks, self._outlook, self._probe, self._rows, self._output = masks, outlook, probe, rows, output
        self._whole: list[np.ndarray] = []

    def at(self, index: int) -> Measured:
        """At the share of this index; the first one asked for has to be that of 0."""
        return self._without(self._outlook.groups(index))

    def by_chance(self, index: int) -> Measured:
        """Without as many groups, drawn at random."""
        groups = self._outlook.drawn(index)
        return Measured(math.nan, math.nan) if groups is None else self._without(groups)

    def _without(self, groups: set[int]) -> Measured:
        if self._whole and not groups:
            return self._measured(self._whole)
        parts = [self._masks.outputs(batch, self._outlook.anatomy, groups) for batch in self._batches()]
        given = [np.concatenate(each)[: len(self._rows)] for each in zip(*parts, strict=True)]
        self._whole = self._whole or given
        return self._measured(given)

    def _batches(self) -> Iterator[Any]:
        size = self._probe.batch_size
        for start in range(0, len(self._rows), size):
            rows = self._rows[np.minimum(np.arange(start, start + size), len(self._rows) - 1)]
            yield mapped(operator.itemgetter(rows), self._probe.x)

    def _measured(self, given: list[np.ndarray]) -> Measured:
        accuracy = math.nan
        if self._output >= 0:
            model = self._outlook.anatomy.model
            names = list(getattr(model, "output_names", []))
            name = names[self._output] if self._output < len(names) else ""
            said = predictions(
                given[self._output], self._probe.labels[self._rows], loss=loss_of(model, self._output, name), epoch=0
            )
            accuracy = math.nan if said is None else said.accuracy
        return Measured(accuracy, change(self._whole, given))


def change(before: Sequence[np.ndarray], after: Sequence[np.ndarray]) -> float:
    """The RMS change of outputs over the RMS of their deviation from their mean; of several the root mean square of that.

    NaN where none deviates, or one is not finite.

    >>> round(change([np.array([[0.0], [2.0]])], [np.array([[0.5], [1.5]])]), 3)
    0.5
    """
    shares = []
    for one, other in zip(before, after, strict=True):
        deviation = float(np.mean(np.square(one - one.mean(axis=0), dtype=np.float64)))
        if deviation > 0:
            shares.append(float(np.mean(np.square(one - other, dtype=np.float64))) / deviation)
    return math.sqrt(float(np.mean(shares))) if shares and all(map(math.isfinite, shares)) else math.nan


def spread(count: int) -> list[int]:
    """The indices of so many shares in an order in which any first few are spread over all: 0 first, then the middle, …

    >>> spread(5)
    [0, 4, 2, 1, 3]
    """
    order, steps = [0], count - 1
    parts = [(0, steps)]
    if steps:
        order.append(steps)
    while parts:
        low, high = parts.pop(0)
        middle = (low + high) // 2
        if middle not in (low, high):
            order.append(middle)
            parts += [(low, middle), (middle, high)]
    return order


def measured(at: Callable[[int], Measured], count: int, fits: Callable[[], bool]) -> dict[int, Measured]:
    """What is measured at the shares for which there is time; that of 0 always is.  `fits`: whether there is for one more."""
    found: dict[int, Measured] = {}
    for index in spread(count):
        if found and not fits():
            break
        found[index] = at(index)
    return found
