"""What a log's journals say: their entries, each once, and the newest state of every alert among them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from featwatch.records import SEVERITIES, Alert, Journal

ALERT = "alert"                     # the kind of a journal's entry that holds one


def entries(journals: Iterable[Journal]) -> list[Mapping[str, Any]]:
    """The entries of the journals in order of epoch, each content once: a journal repeats what it said at an earlier epoch."""
    once: dict[str, Mapping[str, Any]] = {}
    for journal in sorted(journals, key=lambda journal: journal.epoch):
        for entry in journal.entries:
            once.setdefault(json.dumps(entry, sort_keys=True), entry)
    return list(once.values())


def notes(found: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The entries that are no alerts."""
    return [entry for entry in found if entry.get("kind") != ALERT]


def alerts(found: Iterable[Mapping[str, Any]]) -> tuple[list[Alert], list[str]]:
    """The newest state of each alert, the worst first and then the oldest; and sentences on entries that hold none.

    The newest state is the one of the latest epoch, and of several the one that was entered last.
    """
    newest: dict[str, Alert] = {}
    problems = []
    for entry in found:
        if entry.get("kind") != ALERT:
            continue
        values = entry.get("alert")
        try:
            if not isinstance(values, Mapping):
                raise TypeError("it holds no alert")
            alert = Alert.from_dict(values)
        except (TypeError, ValueError) as error:
            problems.append(f"An alert in the journal is not valid and left out: {error}.")
            continue
        known = newest.get(alert.id)
        if known is None or _epoch_of(alert) >= _epoch_of(known):
            newest[alert.id] = alert
    return sorted(newest.values(), key=lambda alert: (SEVERITIES.index(alert.severity), alert.since)), problems


def _epoch_of(alert: Alert) -> int:
    return max(alert.updated, alert.resolved)
