"""What an alert says."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SEVERITIES = ("critical", "warning", "advice")      # in order of consequence


@dataclass(frozen=True, kw_only=True)
class Alert:
    """Something that has been wrong for several checks in a row.

    Entered into the journal when it is raised, when its evidence changes, and when it is resolved; `id`
    stays the same meanwhile.
    """

    id: str                             # "<kind>/<layer>/<epoch since which>"
    kind: str                           # "dead filters", "redundant layer", "not finite", "collapse", …
    severity: str                       # one of SEVERITIES
    layer: str = ""                     # "" = the model as a whole
    filters: tuple[int, ...] = ()       # of the layer, that it is about; empty = the layer as a whole
    since: int = 0                      # the epoch at which it was first seen
    raised: int = 0                     # the epoch at which it had been seen often enough
    updated: int = 0                    # the epoch that `text` and `evidence` are of
    resolved: int = -1                  # the epoch at which it was gone; −1 = it still holds
    text: str = ""                      # one sentence: what is wrong
    suggestion: str = ""                # one sentence: what to do
    evidence: Mapping[str, Any] = field(default_factory=dict)   # numbers, by name
    view: str = ""                      # where the page shows it: "filters", "samples", "features" or "overview"

    @property
    def open(self) -> bool:
        return self.resolved < 0

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Alert:
        """The alert that `as_dict` was of; unknown names are ignored.

        Raises TypeError or ValueError where a value is missing or is not of its field's type.
        """
        checked: dict[str, Any] = {}
        for entry in dataclasses.fields(cls):
            if entry.name not in values:
                continue
            value = values[entry.name]
            if entry.type == "tuple[int, ...]":
                if not isinstance(value, (list, tuple)) or not all(isinstance(number, int) for number in value):
                    raise TypeError(f"{entry.name} is not a list of whole numbers")
                value = tuple(value)
            elif entry.type.startswith("Mapping"):
                if not isinstance(value, Mapping):
                    raise TypeError(f"{entry.name} is not a mapping")
            elif type(value).__name__ != entry.type:
                raise TypeError(f"{entry.name} is not of type {entry.type}")
            checked[entry.name] = value
        alert = cls(**checked)
        if alert.severity not in SEVERITIES:
            raise ValueError(f"severity {alert.severity!r} is none of {', '.join(SEVERITIES)}")
        return alert
