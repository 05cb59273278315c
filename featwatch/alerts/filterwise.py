"""`FilterDetector`: what all alerts about single filters have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from featwatch.alerts.arguments import checks_in_a_row
from featwatch.alerts.detector import Detector, Finding
from featwatch.alerts.persistence import Streaks
from featwatch.alerts.savings import Savings
from featwatch.records import Alert, ProbeRecord, Record

LISTED = 32         # entries that an alert's evidence lists at most


@dataclass(frozen=True, kw_only=True)
class Said:
    """What an alert says of some filters; how many they are of how many goes into its evidence by itself."""

    text: str
    suggestion: str
    evidence: Mapping[str, Any]
    severity: str = "advice"


class FilterDetector(Detector):
    """Looks for filters that are so in each of the last checks; a subclass says which are so now, and what that means.

    Arguments:
        checks: in a row in which a filter must be so, and in which it must not until it is forgotten.
    """

    by_filter = True

    def __init__(self, checks: int) -> None:
        self.checks = checks_in_a_row(checks)
        self.start((), ())

    def start(self, layers: Sequence[str], opened: Sequence[Alert]) -> None:
        self.savings = Savings()
        self.samples = -1                           # of the probe; −1 = not known
        self._opened = {alert.layer: alert for alert in opened}
        self._so: dict[str, Streaks] = {}           # by layer
        self._not: dict[str, Streaks] = {}
        self._named: dict[str, np.ndarray] = {}     # layer -> indices of the filters that its alert names

    def forget(self, layers: Collection[str]) -> None:
        for layer in layers:
            for known in (self._opened, self._so, self._not, self._named):
                known.pop(layer, None)

    @abstractmethod
    def judge(self, record: Record) -> tuple[np.ndarray, np.ndarray] | None:
        """Which of a layer's filters are so, and which of them may be named, (filters,) bool each; None = no verdict."""

    @abstractmethod
    def say(self, record: Any, filters: np.ndarray) -> Said:
        """What is to be said of these filters of the record's layer, (n,) indices; the record is one that was judged."""

    def update(self, record: Record) -> Iterable[Finding]:
        self.savings.see(record)
        if isinstance(record, ProbeRecord):
            self.samples = len(record)
        verdict = self.judge(record)
        if verdict is None:
            return
        so, may_be_named = verdict
        layer = record.layer
        if layer not in self._so or len(self._so[layer]) != len(so):    # a new one, or pruned meanwhile
            self._begin(layer, len(so))
        self._so[layer].update(record.epoch, so)
        self._not[layer].update(record.epoch, ~(so & may_be_named))
        lasting = self._so[layer].lasting(self.checks)
        lasting = lasting[may_be_named[lasting]]
        if len(lasting):
            self._named[layer] = lasting
            yield self._finding(record, lasting)
        # What is back for a check is neither gone nor there for long.
        elif (self._not[layer].checks[self._named[layer]] >= self.checks).all():
            yield Finding(epoch=record.epoch, layer=layer, wrong=False)

    def _finding(self, record: Record, filters: np.ndarray) -> Finding:
        said, of_all = self.say(record, filters), len(self._so[record.layer])
        return Finding(
            epoch=record.epoch,
            layer=record.layer,
            wrong=True,
            severity=said.severity,
            filters=tuple(filters),
            text=said.text,
            suggestion=said.suggestion,
            evidence={**said.evidence, "filters": of_all, "share": len(filters) / of_all},
            view="filters",
            since=int(self._so[record.layer].since[filters].min()),
        )

    def _begin(self, layer: str, filters: int) -> None:
        self._so[layer], self._not[layer] = Streaks(filters), Streaks(filters)
        alert = self._opened.pop(layer, None)
        numbers = () if alert is None else [number for number in alert.filters if 0 <= number < filters]
        self._named[layer] = known = np.array(numbers, np.int64)
        if alert is not None:
            self._so[layer].go_on(known, self.checks - 1, alert.since)


def advice_up_to(share: float, count: int, of_all: int) -> str:
    """The severity of so many filters that could go: a warning where they are more than this share of their layer."""
    return "warning" if count > share * of_all else "advice"


def known(values: np.ndarray, filters: int) -> bool:
    """Whether an array of a record that may be missing is there."""
    return len(values) == filters


def listed(filters: np.ndarray, values: np.ndarray) -> dict[int, float]:
    """The values, (filters,), of some filters by their numbers, for an alert's evidence: the smallest first, `LISTED` at most."""
    order = filters[np.argsort(values[filters], kind="stable")]
    return {int(number): float(values[number]) for number in order[:LISTED]}
