"""One subject's way from findings to an alert, and on to its end."""

from __future__ import annotations

import dataclasses
from typing import Any

from featwatch.alerts.detector import Detector, Finding
from featwatch.alerts.persistence import Persistence
from featwatch.records import Alert


class Case:
    """What one detector has found of one layer, or of the model, so far.

    Arguments:
        detector: whose findings they are.
        alert: that an earlier part of the training left open.
    """

    def __init__(self, detector: Detector, alert: Alert | None = None) -> None:
        since = None if alert is None else alert.since
        self._kind = detector.kind
        self._persistence = Persistence(detector.raise_after, detector.resolve_after, holds_since=since)
        self._told = alert is not None          # whether anybody has seen `alert`
        self._news = False                      # whether it has changed since
        self._facts: object = None              # of the last finding: what is worth telling when it changes
        self.alert = alert                      # None = nothing has been wrong for long enough

    def take(self, finding: Finding) -> Alert | None:
        """The alert, where this finding resolves it."""
        holds = self._persistence.update(finding.epoch, finding.wrong)
        if self.alert is not None and not holds:
            gone, self.alert = dataclasses.replace(self.alert, resolved=finding.epoch), None
            self._told = self._news = False
            self._facts = None
            return gone
        if holds and finding.wrong:
            facts = (finding.severity, finding.filters, finding.news)
            self._news = self._news or facts != self._facts
            self._facts = facts
            self.alert = self._renewed(finding)
        return None

    def tell(self) -> Alert | None:
        """The alert, where it is new or has changed since this was last asked."""
        if not self._news:
            return None
        self._news, self._told = False, True
        return self.alert

    def _renewed(self, finding: Finding) -> Alert:
        """The alert as of this finding.  Where it was and since when stays as it was first told."""
        values: dict[str, Any] = {
            "severity": finding.severity,
            "filters": finding.filters,
            "updated": finding.epoch,
            "text": finding.text,
            "suggestion": finding.suggestion,
            "evidence": finding.evidence,
            "view": finding.view,
        }
        if self.alert is not None and self._told:
            return dataclasses.replace(self.alert, **values)
        since = finding.since if finding.since >= 0 else self._persistence.since
        raised = finding.epoch if self.alert is None else self.alert.raised
        name = f"{self._kind}/{finding.layer}/{since}"
        return Alert(id=name, kind=self._kind, layer=finding.layer, since=since, raised=raised, **values)
