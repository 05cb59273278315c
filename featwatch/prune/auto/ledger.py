"""The account of what has gone: how many units there were, and which of them those are that are left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from featwatch.records import Pruning
from featwatch.records.pruning import PRUNED, UNDONE


@dataclass
class Ledger:
    """What is left of each layer with weights, in numbers as before all pruning.

    >>> ledger = Ledger.of({"conv": 4}, prunable=4)
    >>> ledger.remove({"conv": [1]})
    {'conv': [1]}
    >>> ledger.remove({"conv": [1]}), ledger.gone("conv"), ledger.left["conv"].tolist()
    ({'conv': [2]}, 2, [0, 3])
    """

    original: dict[str, int]            # layer -> units before all pruning
    prunable: int                       # groups of units that could go before all pruning
    left: dict[str, np.ndarray] = field(default_factory=dict)       # layer -> (units,) int64 original numbers of those it has

    @classmethod
    def of(cls, units: Mapping[str, int], prunable: int) -> Ledger:
        """That of a model of which nothing has gone yet.  `units`: by layer."""
        return cls(dict(units), prunable, {name: np.arange(count) for name, count in units.items()})

    def gone(self, layer: str) -> int:
        """How many units a layer has lost."""
        return self.original[layer] - len(self.left[layer])

    def lost(self, layer: str) -> float:
        """The share of its units that a layer has lost."""
        return self.gone(layer) / self.original[layer] if self.original[layer] else 0.0

    def numbered(self, removed: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
        """Units of the model as it is now, numbered as before all pruning."""
        return {name: self.left[name][np.asarray(units, np.int64)].tolist() for name, units in removed.items()}

    def remove(self, removed: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
        """Take units off; gives them numbered as before all pruning."""
        told = self.numbered(removed)
        self.left |= {name: np.delete(self.left[name], np.asarray(units, np.int64)) for name, units in removed.items()}
        return told

    def take(self, origin: Mapping[str, Sequence[int]]) -> None:
        """Take units off, named by their original numbers."""
        for name, units in origin.items():
            self.left[name] = np.setdiff1d(self.left[name], np.asarray(units, np.int64))

    def put_back(self, origin: Mapping[str, Sequence[int]]) -> None:
        """Put units back, named by their original numbers."""
        for name, units in origin.items():
            self.left[name] = np.union1d(self.left[name], np.asarray(units, np.int64))

    def fits(self, units: Mapping[str, int]) -> bool:
        """Whether it is the account of a model with so many units by layer."""
        return {name: len(left) for name, left in self.left.items()} == dict(units)


def in_effect(records: Iterable[Pruning], prunable: int) -> list[Pruning]:
    """The steps that a model has seen: those of the log up to the last one that left as many units as can go from it now.

    A training that is resumed has not seen those that were made after its backup, be it at the end of the same epoch.

    Arguments:
        records: of the log, oldest first.
        prunable: groups of units that can go from the model now.
    """
    steps = [each for each in records if each.action in (PRUNED, UNDONE)]
    while steps and steps[-1].units_after != prunable:
        steps.pop()
    return steps


def replayed(steps: Sequence[Pruning], units: Mapping[str, int]) -> Ledger | None:
    """The account of a model that an earlier process pruned; None where the records are of another model.

    Arguments:
        steps: that the model has seen, oldest first.
        units: by layer, that the model has now.
    """
    if not steps or not set(units) >= {name for step in steps for name in step.origin}:
        return None
    lost = dict.fromkeys(units, 0)
    for step in steps:
        for name, numbers in step.origin.items():
            lost[name] += len(numbers) if step.action == PRUNED else -len(numbers)
    ledger = Ledger.of({name: count + lost[name] for name, count in units.items()}, steps[0].units_original)
    try:
        for step in steps:
            if step.action == UNDONE:
                ledger.put_back(step.origin)
            else:
                ledger.take(step.origin)
    except (KeyError, TypeError, ValueError):
        return None
    return ledger if ledger.prunable > 0 and ledger.fits(units) else None
