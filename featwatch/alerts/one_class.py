"""`OneClass`: a model that names the same class for everything, and did better before (row A1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from featwatch.alerts.arguments import a_share, checks_in_a_row
from featwatch.alerts.chance import chance
from featwatch.alerts.detector import Detector, Finding
from featwatch.alerts.thresholds import DEFAULTS
from featwatch.records import Alert, Predictions, ProbeRecord, Record


class OneClass(Detector):
    """Nearly every sample of the probe is given one class, by a model that had learnt more than that.

    A model that has not learnt anything yet does so too: that is no alert.

    Arguments:
        checks: in a row in which it must be so, and in which it must not until the alert is resolved.
        share: of the samples that are given one class, from which on it is so.
    """

    kind = "one class"
    per_layer = False

    def __init__(self, *, checks: int = DEFAULTS.one_class_checks, share: float = DEFAULTS.one_class_share) -> None:
        self.raise_after = self.resolve_after = checks_in_a_row(checks)
        self.share = a_share("share", share)
        self.start((), ())

    def start(self, layers: Sequence[str], opened: Sequence[Alert]) -> None:
        self._names: tuple[str, ...] = ()
        self._chance = 1.0                  # nobody is better, until the labels are known
        self._learnt_at = -1                # the epoch of the last check in which the model was better
        for alert in opened:
            epoch = alert.evidence.get("learnt_epoch")
            if isinstance(epoch, int):
                self._learnt_at = epoch

    def update(self, record: Record) -> Iterable[Finding]:
        if isinstance(record, ProbeRecord):
            self._names = record.class_names
            self._chance = chance(record.labels)
        if not isinstance(record, Predictions):
            return
        predicted = record.classes[record.classes >= 0]
        if not len(predicted):              # NaN all over is another detector's matter
            return
        classes, counts = np.unique(predicted, return_counts=True)
        share = float(counts.max() / len(predicted))
        if record.accuracy > self._chance + DEFAULTS.learnt:
            self._learnt_at = record.epoch
        if share < self.share or self._learnt_at < 0 or self._chance >= self.share:
            yield Finding(epoch=record.epoch, wrong=False)
            return
        number = int(classes[counts.argmax()])
        name = self._names[number] if number < len(self._names) else str(number)
        yield Finding(
            epoch=record.epoch,
            wrong=True,
            severity="critical",
            text=f"{share:.0%} of the probe's samples are called {name}, but no class has more than {self._chance:.0%} of them",
            suggestion=f"Go back to epoch {self._learnt_at} with a lower learning rate; look for a jump of the loss since then.",
            evidence={"share": share, "class": number, "chance": self._chance, "learnt_epoch": self._learnt_at},
            view="samples",
            news=number,
        )
