"""`Collapse`: classes that were separated and are so no longer (row A1)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from featwatch.alerts.arguments import a_share, checks_in_a_row
from featwatch.alerts.chance import chance
from featwatch.alerts.detector import Detector, Finding
from featwatch.alerts.thresholds import DEFAULTS
from featwatch.records import Alert, LayerSeparation, ProbeRecord, Record


@dataclass(frozen=True)
class _Level:
    """A kNN accuracy and the epoch it is of."""

    accuracy: float
    epoch: int


class Collapse(Detector):
    """The deepest layer's kNN accuracy has fallen far below its best, with the layers that fell along with it.

    Only what lies above chance counts: of a best of 0.9 among ten classes 0.8 can be lost.

    Arguments:
        checks: in a row in which it must have fallen, and in which it must be back until the alert is resolved.
        share: of what the layer had above chance; a loss of more is a collapse, of less than half of that a recovery.
    """

    kind = "collapse"
    per_layer = False

    def __init__(self, *, checks: int = DEFAULTS.collapse_checks, share: float = DEFAULTS.collapse_share) -> None:
        self.raise_after = self.resolve_after = checks_in_a_row(checks)
        self.share = a_share("share", share)
        self.start((), ())

    def start(self, layers: Sequence[str], opened: Sequence[Alert]) -> None:
        self._order = {layer: place for place, layer in enumerate(layers)}
        self._chance = 0.0
        self._now: dict[str, _Level] = {}
        self._best: dict[str, _Level] = {}
        for alert in opened:        # how good it was is in the alert; otherwise what has collapsed would be the best so far
            best, epoch = alert.evidence.get("best"), alert.evidence.get("best_epoch")
            if isinstance(best, float) and isinstance(epoch, int):
                self._best[alert.layer] = _Level(best, epoch)

    def update(self, record: Record) -> Iterable[Finding]:
        if isinstance(record, ProbeRecord):
            self._chance = chance(record.labels)
        if not isinstance(record, LayerSeparation) or not math.isfinite(record.knn_accuracy):
            return
        layer, now = record.layer, _Level(record.knn_accuracy, record.epoch)
        self._now[layer] = now
        best = self._best.setdefault(layer, now)
        if now.accuracy > best.accuracy:
            best = self._best[layer] = now
        if layer != max(self._now, key=self._place):
            return
        lost = self._lost(layer)
        if best.accuracy - self._chance < DEFAULTS.learnt or best.accuracy - now.accuracy < self._noise(best, record.samples):
            yield Finding(epoch=record.epoch, layer=layer, wrong=False)
        elif lost > self.share:
            yield self._finding(record, best, lost)
        elif lost < self.share / 2:
            yield Finding(epoch=record.epoch, layer=layer, wrong=False)

    def _lost(self, layer: str) -> float:
        """Which share of what the layer had above chance is gone."""
        above = self._best[layer].accuracy - self._chance
        return (self._best[layer].accuracy - self._now[layer].accuracy) / above if above > 0 else 0.0

    def _noise(self, best: _Level, samples: int) -> float:
        """A difference that another probe of this size might show as well."""
        return DEFAULTS.standard_errors * math.sqrt(best.accuracy * (1 - best.accuracy) / max(samples, 1))

    def _finding(self, record: LayerSeparation, best: _Level, lost: float) -> Finding:
        fell = sorted((layer for layer in self._now if self._lost(layer) > self.share), key=self._place)
        along = f", and so has that of {len(fell) - 1} layers before it, from {fell[0]} on" if len(fell) > 1 else ""
        return Finding(
            epoch=record.epoch,
            layer=record.layer,
            wrong=True,
            severity="critical" if lost > DEFAULTS.collapse_critical_share else "warning",
            text=f"its kNN accuracy has fallen from {best.accuracy:.2f} (epoch {best.epoch}) to {record.knn_accuracy:.2f}, "
            f"where chance is {self._chance:.2f}{along}",
            suggestion=f"Go back to epoch {best.epoch} with a lower learning rate or gradient clipping.",
            evidence={
                "best": best.accuracy,
                "best_epoch": best.epoch,
                "now": record.knn_accuracy,
                "chance": self._chance,
                "lost_share": lost,
                "fell": {layer: [self._best[layer].accuracy, self._now[layer].accuracy] for layer in fell},
                "samples": record.samples,
            },
            view="samples",
        )

    def _place(self, layer: str) -> tuple[int, str]:
        return self._order.get(layer, -1), layer
