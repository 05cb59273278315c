"""`DeadFilters`: filters that give nothing, check after check (row A1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from featwatch.alerts.arguments import a_share, checks_in_a_row
from featwatch.alerts.detector import Detector, Finding
from featwatch.alerts.persistence import Streaks
from featwatch.alerts.thresholds import DEFAULTS
from featwatch.alerts.words import some
from featwatch.records import Alert, LayerHealth, ProbeRecord, Record

CURES = {
    "negative bias": "Their biases were pushed far below 0: lower the learning rate, or use a leaky activation.",
    "negative weights": "No input can lift them any more: use another initialisation, a lower learning rate, a leaky activation.",
    "no energy": "Their weights are 0: weaken the weight decay or regularisation, or prune them.",
    "unexplained": "They take no part in what the model does: prune them; if more die, lower the learning rate.",
}
NOTHING_PASSES = "Nothing that enters this layer comes out: start over with a lower learning rate or another initialisation."


class DeadFilters(Detector):
    """A layer's filters that have been dead in each of the last checks, with the cause of death where it is proven.

    Advice up to a share of the layer, for dead filters can be pruned without loss; a warning beyond;
    critical where the whole layer is dead.

    Arguments:
        checks: in a row in which a filter must be dead, and alive until it is so again.
        share: of the layer's filters, above which it is a warning.
    """

    kind = "dead filters"

    def __init__(self, *, checks: int = DEFAULTS.dead_checks, share: float = DEFAULTS.dead_share) -> None:
        self.checks = checks_in_a_row(checks)
        self.share = a_share("share", share)
        self.start((), ())

    def start(self, layers: Sequence[str], opened: Sequence[Alert]) -> None:
        self._opened = {alert.layer: alert for alert in opened}
        self._dead: dict[str, Streaks] = {}         # by layer
        self._alive: dict[str, Streaks] = {}
        self._named: dict[str, np.ndarray] = {}     # layer -> indices of the filters that its alert names
        self._samples = -1                      # of the probe; −1 = not known

    def update(self, record: Record) -> Iterable[Finding]:
        if isinstance(record, ProbeRecord):
            self._samples = len(record)
        # One sample gives every unit of a dense layer one value only; and NaN is another detector's matter.
        if not isinstance(record, LayerHealth) or record.non_finite_activations or self._samples in (0, 1):
            return
        layer = record.layer
        if layer not in self._dead or len(self._dead[layer]) != len(record.dead):   # a new one, or pruned meanwhile
            self._begin(record)
        self._dead[layer].update(record.epoch, record.dead)
        self._alive[layer].update(record.epoch, ~record.dead)
        lasting = self._dead[layer].lasting(self.checks)
        if len(lasting):
            self._named[layer] = lasting
            yield self._finding(record, lasting)
        # What is back for a check is neither gone nor there for long.
        elif (self._alive[layer].checks[self._named[layer]] >= self.checks).all():
            yield Finding(epoch=record.epoch, layer=layer, wrong=False)

    def _begin(self, record: LayerHealth) -> None:
        filters = len(record.dead)
        self._dead[record.layer], self._alive[record.layer] = Streaks(filters), Streaks(filters)
        alert = self._opened.pop(record.layer, None)
        numbers = () if alert is None else [number for number in alert.filters if 0 <= number < filters]
        self._named[record.layer] = known = np.array(numbers, np.int64)
        if alert is not None:
            self._dead[record.layer].go_on(known, self.checks - 1, alert.since)

    def _finding(self, record: LayerHealth, lasting: np.ndarray) -> Finding:
        count, filters = len(lasting), len(record.dead)
        causes = Counter(record.cause[lasting].tolist())
        all_of_them = count == filters
        if all_of_them:
            who, severity, cure = f"all {filters} filters", "critical", NOTHING_PASSES
        else:
            who = f"{count} of {filters} filters ({some(lasting)})"
            severity = "warning" if count > self.share * filters else "advice"
            cure = CURES.get(causes.most_common(1)[0][0], CURES["unexplained"])
        what = "rise above 0 for no sample" if "above 0" in record.test else "are the same for every sample"
        return Finding(
            epoch=record.epoch,
            layer=record.layer,
            wrong=True,
            severity=severity,
            filters=tuple(lasting),
            text=f"{who} {what} of the probe",
            suggestion=cure,
            evidence={"dead": count, "filters": filters, "share": count / filters, "causes": causes, "test": record.test},
            view="filters",
            since=int(self._dead[record.layer].since[lasting].min()),
        )
