"""When to record: a schedule says whether a snapshot is due at an epoch, or at a step.

Epoch k is the state after k epochs of training, step k the one after k optimiser updates; 0 is the
state before any training.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

UNITS = ("epochs", "steps")


@runtime_checkable
class Schedule(Protocol):
    """Whatever can say that a snapshot is due.

    It counts in `unit`, "epochs" or "steps"; `as_schedule` takes one without a unit to count in epochs.
    """

    @property
    def unit(self) -> str: ...

    def due(self, previous: int | None, current: int, last: bool) -> bool:
        """True when the state at `current` is to be recorded.

        `previous` is where this was last asked about (None: not yet), `last` says that nothing will follow.
        """


class _Crossing:
    """Due where one of its points was crossed since it was last asked, not only where it is met: whoever asks may jump."""

    def due(self, previous: int | None, current: int, last: bool) -> bool:
        """True when one of the points lies in (previous, current].

        Points that were passed while nobody asked are not made up for when nothing was asked before
        (`previous` is None) or the count went back (a training that starts over): then `current`
        itself has to be one.
        """
        if previous is None or previous > current:
            previous = current - 1
        return self.crossed(previous, current)

    def crossed(self, after: int, to: int) -> bool:
        """Whether one of the points lies in (after, to]."""
        raise NotImplementedError


@dataclass(frozen=True)
class Every(_Crossing):
    """Points 0, n, 2n, … and the last one.  Made by `every`."""

    period: int = 1
    unit: str = "epochs"

    def __post_init__(self) -> None:
        _check_unit(self.unit)
        object.__setattr__(self, "period", _positive(self.period, self.unit))

    def due(self, previous: int | None, current: int, last: bool) -> bool:
        return last or super().due(previous, current, last)

    def crossed(self, after: int, to: int) -> bool:
        return to // self.period > after // self.period

    def __str__(self) -> str:
        return f"every({self.unit}={self.period})"


@dataclass(frozen=True)
class At(_Crossing):
    """The given points and no others.  Made by `at`."""

    points: tuple[int, ...]             # ascending
    unit: str = "epochs"

    def __post_init__(self) -> None:
        _check_unit(self.unit)
        points = [_whole(point, self.unit) for point in self.points]
        if not points:
            raise ValueError(f"at(): name the {self.unit} to record, {_example(self.unit)}")
        if min(points) < 0:
            raise ValueError(f"{min(points)} is before any training: {self.unit} count from 0, {_example(self.unit)}")
        object.__setattr__(self, "points", tuple(sorted(set(points))))

    def crossed(self, after: int, to: int) -> bool:
        return any(after < point <= to for point in self.points)

    def __str__(self) -> str:
        points = ", ".join(map(str, self.points))
        return f"at({points})" if self.unit == "epochs" else f"at(steps=[{points}])"


@dataclass(frozen=True)
class LogSpaced(_Crossing):
    """Points 0, 1, b, b², … rounded to whole numbers, each once, and the last one.  Made by `log_spaced`."""

    base: float = 2
    unit: str = "epochs"

    def __post_init__(self) -> None:
        if isinstance(self.base, (bool, str, bytes)):
            raise TypeError(f"base={self.base!r}: expected a number above 1, as in log_spaced(base=2)")
        try:
            base = float(self.base)
        except (TypeError, ValueError):
            raise TypeError(f"base={self.base!r}: expected a number above 1, as in log_spaced(base=2)") from None
        if not 1 < base < math.inf:
            raise ValueError(f"base={self.base!r}: expected a number above 1, as in log_spaced(base=2)")
        _check_unit(self.unit)
        object.__setattr__(self, "base", int(base) if base.is_integer() else base)

    def due(self, previous: int | None, current: int, last: bool) -> bool:
        return last or super().due(previous, current, last)

    def crossed(self, after: int, to: int) -> bool:
        if after < 0:
            return to >= 0
        # The first power that rounds to more than `after` is b^k for a k from here on, logarithms being rounded too.
        power = max(0, math.floor(math.log(after + 0.5) / math.log(self.base)) - 1)
        while self._rounded(power) <= after:
            power += 1
        return self._rounded(power) <= to

    def _rounded(self, power: int) -> int:
        return math.floor(float(self.base) ** power + 0.5)

    def __str__(self) -> str:
        unit = "" if self.unit == "epochs" else f", unit={self.unit!r}"
        return f"log_spaced(base={self.base!r}{unit})"


@dataclass(frozen=True)
class Chosen:
    """The epochs for which a function of the user's returns true; the last one only if it says so."""

    unit: ClassVar[str] = "epochs"

    chooses: Callable[[int], Any]

    def due(self, previous: int | None, current: int, last: bool) -> bool:
        return bool(self.chooses(current))

    def __str__(self) -> str:
        return str(getattr(self.chooses, "__name__", None) or type(self.chooses).__name__)


@dataclass(frozen=True)
class _ByEpoch:
    """A schedule that states no unit."""

    unit: ClassVar[str] = "epochs"

    schedule: Any

    def due(self, previous: int | None, current: int, last: bool) -> bool:
        return bool(self.schedule.due(previous, current, last))

    def __str__(self) -> str:
        return str(self.schedule)


def every(*, epochs: int | None = None, steps: int | None = None) -> Every:
    """The schedule "0, n, 2n, … and the last one", for n = `epochs` (1 unless told), or n = `steps` optimiser updates.

    Raises TypeError where that is not a whole number or both are given, ValueError where it is less than 1.

    >>> str(every(epochs=5))
    'every(epochs=5)'
    >>> every(epochs=5).due(previous=4, current=5, last=False)
    True
    >>> every(steps=200).due(previous=192, current=224, last=False)
    True
    """
    if epochs is not None and steps is not None:
        raise TypeError(f"every(epochs={epochs!r}, steps={steps!r}): give one of the two")
    if steps is not None:
        return Every(steps, "steps")
    return Every(1 if epochs is None else epochs)


def at(*epochs: int, steps: Iterable[int] | None = None) -> At:
    """The schedule of just these epochs, or of just these `steps`; the last one is not recorded unless it is named.

    Raises TypeError where one is not a whole number or both are given, ValueError where none is given or one is negative.

    >>> at(0, 1, 5).due(previous=1, current=2, last=True)
    False
    >>> at(steps=[100, 200]).due(previous=96, current=128, last=False)
    True
    """
    if steps is None:
        return At(epochs)
    if epochs:
        raise TypeError(f"at({', '.join(map(repr, epochs))}, steps={steps!r}): give epochs or steps, not both")
    try:
        points = tuple(steps)
    except TypeError:
        raise TypeError(f"steps={steps!r}: expected a list of steps, {_example('steps')}") from None
    return At(points, "steps")


def log_spaced(base: float = 2, *, unit: str = "epochs") -> LogSpaced:
    """The schedule 0, 1, b, b², … and the last one, rounded to whole `unit`: "epochs" or "steps".

    Raises TypeError or ValueError where `base` is not a number above 1, or `unit` is another one.

    >>> when = log_spaced(base=1.5)
    >>> [k for k in range(30) if when.due(k - 1, k, last=False)]
    [0, 1, 2, 3, 5, 8, 11, 17, 26]
    """
    return LogSpaced(base, unit)


def as_schedule(value: Any) -> Schedule:
    """The schedule that a user's `schedule=` argument means.

    None is every epoch; a schedule is itself; a function of the epoch is asked at every epoch.  Raises
    TypeError for anything else, ValueError for a schedule of an unknown unit.
    """
    if value is None:
        return Every(1)
    if isinstance(value, type) or any(value is maker for maker in _MAKERS):
        raise TypeError(f"schedule={value.__name__}: call it, as in schedule={_MAKERS.get(value, 'every(epochs=1)')}")
    if callable(getattr(value, "due", None)):
        unit = getattr(value, "unit", None)
        if unit is None:
            return _ByEpoch(value)
        if unit not in UNITS:
            raise ValueError(f"schedule={value!r} counts in {unit!r}; expected its unit to be 'epochs' or 'steps'")
        return value
    if callable(value):
        return Chosen(value)
    raise TypeError(f"schedule={value!r}: expected {_cure(value)}, or a function of the epoch that returns True or False")


def can_fire(schedule: Schedule, first: int, last: int | None) -> bool:
    """Whether a schedule that is asked from `first` to `last` (None: not known), in its own unit, can be due at all.

    Of a function, or a schedule of somebody else's, that cannot be known: True.
    """
    if isinstance(schedule, At):
        return any(first <= point and (last is None or point <= last) for point in schedule.points)
    return True


_MAKERS: dict[Any, str] = {every: "every(epochs=1)", at: "at(0, 1, 5)", log_spaced: "log_spaced(base=2)"}


def _cure(value: Any) -> str:
    """What was probably meant."""
    if isinstance(value, int) and value >= 1 and value is not True:
        return f"every(epochs={value})"
    if isinstance(value, (list, tuple, set, range)) and value and all(type(point) is int for point in value):
        return f"at({', '.join(map(str, sorted(value)[:8]))}{', …' if len(value) > 8 else ''})"
    return "every(epochs=n)"


def _example(unit: str) -> str:
    return "as in at(0, 1, 5)" if unit == "epochs" else "as in at(steps=[100, 200])"


def _check_unit(unit: str) -> None:
    if unit not in UNITS:
        raise ValueError(f"unit={unit!r}: expected 'epochs' or 'steps'")


def _positive(value: Any, unit: str) -> int:
    try:
        number = _index(value)
    except TypeError:
        raise TypeError(f"{unit}={value!r}: expected a whole number of {unit}, as in every({unit}=2)") from None
    if number < 1:
        raise ValueError(f"{unit}={number}: expected at least 1, as in every({unit}=1)")
    return number


def _whole(value: Any, unit: str) -> int:
    try:
        return _index(value)
    except TypeError:
        raise TypeError(f"at: {value!r} is not a whole number of {unit}, {_example(unit)}") from None


def _index(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError
    return operator.index(value)
