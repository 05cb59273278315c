"""Alerts in words."""

from __future__ import annotations

from collections.abc import Iterable

from featwatch.records import Alert


def in_a_line(alert: Alert) -> str:
    """The alert as one line for the terminal.

    >>> in_a_line(Alert(id="", kind="dead filters", severity="advice", layer="conv1", since=3, text="all", suggestion="Prune"))
    'featwatch: ⚠ dead filters in conv1 since epoch 3: all → Prune'
    """
    where = f" in {_one_line(alert.layer)}" if alert.layer else ""
    if not alert.open:
        return f"featwatch: ✓ {alert.kind}{where}, seen since epoch {alert.since}: gone since epoch {alert.resolved}"
    cure = f" → {_one_line(alert.suggestion)}" if alert.suggestion else ""
    return f"featwatch: ⚠ {alert.kind}{where} since epoch {alert.since}: {_one_line(alert.text)}{cure}"


def some(items: Iterable[object], most: int = 8) -> str:
    """The first items of a list in words: "0, 3, 5", "0, 1, 2, 3, 4, 5, 6, 7 and 12 more"."""
    listed = [str(item) for item in items]
    more = len(listed) - most
    return ", ".join(listed[:most]) + (f" and {more} more" if more > 0 else "")


def _one_line(text: str) -> str:
    return " ".join(text.split())
