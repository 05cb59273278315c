"""Tells the user of alerts: once on the terminal, and whoever wants to know."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

from featwatch.alerts.words import in_a_line
from featwatch.errors import in_words, notify
from featwatch.records import Alert


class Teller:
    """Prints an alert when it is raised and when it is gone; hands every state of it to the user's function.

    A function that fails is not called again, with one warning.
    """

    def __init__(self, on_alert: Callable[[Alert], None] | None = None) -> None:
        if on_alert is not None and not callable(on_alert):
            raise TypeError(f"on_alert={on_alert!r}: expected a function of one argument, the alert")
        self._on_alert = on_alert
        self._printed: set[tuple[str, bool]] = set()

    def tell(self, alerts: Iterable[Alert]) -> None:
        for alert in alerts:
            if (alert.id, alert.open) not in self._printed:
                self._printed.add((alert.id, alert.open))
                print(in_a_line(alert), file=sys.stderr)
            if self._on_alert is None:
                continue
            try:
                self._on_alert(alert)
            except Exception as error:
                self._on_alert = None
                notify(f"on_alert failed ({in_words(error)}) and is not called any more; training goes on")
