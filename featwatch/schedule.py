"""When to record: a schedule says whether a snapshot is due at an epoch.

Epoch k is the state after k epochs of training; 0 is the state before any training.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Schedule(Protocol):
    """Whatever can say that a snapshot is due."""

    def due(self, previous: int | None, current: int, last: bool) -> bool:
        """True when the state after `current` epochs is to be recorded.

        `previous` is the epoch that this was last asked about (None: not yet), `last` says that no epoch
        will follow.
        """


@dataclass(frozen=True)
class Every:
    """Epochs 0, n, 2n, … and the last one.  Made by `every`."""

    epochs: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "epochs", _positive_integer(self.epochs))

    def due(self, previous: int | None, current: int, last: bool) -> bool:
        """True when a multiple of n lies in (previous, current], or `current` is the last epoch.

        Epochs that ran while nobody asked are not made up for when nothing was asked before
        (`previous` is None) or the count went back (a training that starts over): then `current`
        itself has to be a multiple.
        """
        if last:
            return True
        if previous is None or previous > current:
            previous = current - 1
        # Crossing, not modulo: whoever asks may have jumped over the exact epoch.
        return current // self.epochs > previous // self.epochs

    def __str__(self) -> str:
        return f"every(epochs={self.epochs})"


@dataclass(frozen=True)
class Chosen:
    """The epochs for which a function of the user's returns true; the last one only if it says so."""

    chooses: Callable[[int], Any]

    def due(self, previous: int | None, current: int, last: bool) -> bool:
        return bool(self.chooses(current))

    def __str__(self) -> str:
        return str(getattr(self.chooses, "__name__", None) or type(self.chooses).__name__)


def every(*, epochs: int | None = None, steps: int | None = None) -> Every:
    """The schedule "0, n, 2n, … and the last epoch", for n = `epochs` (1 unless told).

    Raises TypeError or ValueError where `epochs` is not a whole number of at least 1.

    >>> str(every(epochs=5))
    'every(epochs=5)'
    >>> every(epochs=5).due(previous=4, current=5, last=False)
    True
    """
    if steps is not None:
        raise ValueError(f"every(steps={steps!r}): schedules by step are not there yet; use every(epochs=n)")
    return Every(1 if epochs is None else epochs)


def as_schedule(value: Any) -> Schedule:
    """The schedule that a user's `schedule=` argument means.

    None is every epoch; a schedule is itself; a function of the epoch is asked at every epoch.  Raises
    TypeError for anything else.
    """
    if value is None:
        return Every(1)
    if value is every or isinstance(value, type):
        raise TypeError(f"schedule={value.__name__}: call it, as in schedule=every(epochs=1)")
    if isinstance(value, Schedule):
        return value
    if callable(value):
        return Chosen(value)
    cure = f"every(epochs={value})" if isinstance(value, int) and value >= 1 and value is not True else "every(epochs=n)"
    raise TypeError(f"schedule={value!r}: expected {cure}, or a function of the epoch that returns True or False")


def _positive_integer(value: Any) -> int:
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"epochs={value!r}: expected a whole number of epochs, as in every(epochs=2)") from None
    if number < 1:
        raise ValueError(f"epochs={number}: expected at least 1, as in every(epochs=1)")
    return number
