"""What watching costs."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass


@dataclass
class Cost:
    """What one recorder, or one part of the watch, has cost so far."""

    blocked_seconds: float = 0.0        # for which the training thread waited
    computed_seconds: float = 0.0       # of work, in the training thread and in the worker
    bytes: int = 0                      # written to the log


class Costs:
    """A running sum by name, for several threads."""

    def __init__(self) -> None:
        self._costs: dict[str, Cost] = {}
        self._lock = threading.Lock()

    def add(self, name: str, *, blocked: float = 0.0, computed: float = 0.0, size: int = 0) -> None:
        with self._lock:
            cost = self._costs.setdefault(name, Cost())
            cost.blocked_seconds += blocked
            cost.computed_seconds += computed
            cost.bytes += size

    def by_name(self) -> dict[str, Cost]:
        """A copy, the dearest for the training first."""
        with self._lock:
            copies = {name: Cost(**asdict(cost)) for name, cost in self._costs.items()}
        return dict(sorted(copies.items(), key=lambda item: -item[1].blocked_seconds))

    def plain(self) -> Mapping[str, Mapping[str, float]]:
        """The same as plain values, for the log."""
        return {name: {key: float(value) for key, value in asdict(cost).items()} for name, cost in self.by_name().items()}
