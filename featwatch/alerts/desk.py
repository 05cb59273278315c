"""`AlertDesk`: every record passes it, and what has been wrong for long enough leaves it as an alert (row A1)."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import threading
from collections.abc import Callable, Collection, Iterable, Sequence

from featwatch.alerts.case import Case
from featwatch.alerts.detector import Detector, Finding
from featwatch.errors import in_words
from featwatch.records import Alert, Record


class AlertDesk:
    """Shows records to detectors and keeps the alerts that come of it.  Threads may share it.

    Arguments:
        detectors: what to look for; they are copied, and start afresh.
        layers: names of the watched layers in graph order.
        opened: alerts that an earlier part of the same training left open; they go on instead of being raised again.
        trouble: is told, once each, that a detector failed and is switched off.
    """

    def __init__(
        self,
        detectors: Iterable[Detector],
        layers: Sequence[str],
        *,
        opened: Sequence[Alert] = (),
        trouble: Callable[[str], None] | None = None,
    ) -> None:
        self._trouble = trouble
        self._lock = threading.Lock()
        self._places: dict[tuple[str, str, bool], tuple[int, int]] = {}     # where each series of records stands
        self._resolved: list[Alert] = []                                    # since the last `drain`
        self._sections: list[_Section] = []
        for detector in detectors:
            mine = [alert for alert in opened if alert.open and alert.kind == detector.kind]
            try:
                self._sections.append(_Section(detector, tuple(layers), mine))
            except Exception as error:
                self._tell([_switched_off(detector, error)])

    def see(self, record: Record) -> None:
        """Take a record into account.  Never raises.  One that is not newer than the last of its kind and layer is left out."""
        troubles = []
        with self._lock:
            if self._is_new(record):
                for section in list(self._sections):
                    try:
                        self._resolved += section.update(record)
                    except Exception as error:
                        self._sections.remove(section)
                        troubles.append(_switched_off(section.detector, error))
        self._tell(troubles)        # outside of the lock: whoever is told may come back to the desk

    def resize(self, layers: Collection[str], epoch: int, why: str) -> None:
        """Take it that these layers have other filters after an epoch: alerts that number theirs are resolved.

        Records of up to that epoch that come late do not count any more where filters are numbered.  Never raises.

        Arguments:
            why: what became of the layers, for the alerts.
        """
        troubles = []
        with self._lock:
            for section in list(self._sections) if layers else []:
                try:
                    self._resolved += section.resize(frozenset(layers), epoch, why)
                except Exception as error:
                    self._sections.remove(section)
                    troubles.append(_switched_off(section.detector, error))
        self._tell(troubles)

    def drain(self) -> list[Alert]:
        """The alerts that were resolved, raised or changed since the last call, each as it is now."""
        with self._lock:
            news, self._resolved = self._resolved, []
            for section in self._sections:
                news += section.tell()
        return news

    @property
    def open(self) -> list[Alert]:
        """The alerts that hold now."""
        with self._lock:
            return [case.alert for section in self._sections for case in section.cases.values() if case.alert is not None]

    def _is_new(self, record: Record) -> bool:
        series = (record.kind, record.layer, record.step >= 0)
        place = (record.epoch, record.step)
        if series in self._places and place <= self._places[series]:
            return False
        self._places[series] = place
        return True

    def _tell(self, troubles: Iterable[str]) -> None:
        for text in troubles:
            with contextlib.suppress(Exception):
                if self._trouble is not None:
                    self._trouble(text)


class _Section:
    """One detector and its cases, by layer; for the model as a whole there is one, ""."""

    def __init__(self, detector: Detector, layers: Sequence[str], opened: Sequence[Alert]) -> None:
        self.detector = copy.copy(detector)
        self.detector.start(layers, opened)
        self.cases = {self._subject(alert): Case(self.detector, alert) for alert in opened}
        self._old: dict[str, int] = {}          # layer -> the last epoch at which it had other filters

    def resize(self, layers: frozenset[str], epoch: int, why: str) -> list[Alert]:
        """The alerts that this resolves."""
        if self.detector.by_filter:
            self.detector.forget(layers)
            self._old |= dict.fromkeys(layers, epoch)
        resolved = []
        for subject, case in list(self.cases.items()):
            alert = case.alert
            if alert is None or alert.layer not in layers or not (alert.filters or self.detector.by_filter):
                continue
            resolved.append(dataclasses.replace(alert, resolved=epoch, text=f"{alert.text}; at epoch {epoch} {why}"))
            del self.cases[subject]
        return resolved

    def update(self, record: Record) -> list[Alert]:
        """The alerts that this record resolves."""
        if record.layer and record.epoch <= self._old.get(record.layer, -1):
            return []
        resolved = []
        for finding in self.detector.update(record) or ():
            subject = self._subject(finding)
            if subject not in self.cases:
                self.cases[subject] = Case(self.detector)
            alert = self.cases[subject].take(finding)
            if alert is not None:
                resolved.append(alert)
        return resolved

    def tell(self) -> list[Alert]:
        told = [case.tell() for case in self.cases.values()]
        return [alert for alert in told if alert is not None]

    def _subject(self, of: Finding | Alert) -> str:
        return of.layer if self.detector.per_layer else ""


def _switched_off(detector: Detector, error: Exception) -> str:
    return f"the alert for {detector.kind!r} failed ({in_words(error)}) and is switched off until the next fit"
