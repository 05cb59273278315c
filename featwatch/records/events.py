"""What happened to single samples from one epoch to the next (row E13)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from featwatch.records.base import Record


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SampleEvents(Record):
    """The largest changes of the model's predictions since the epoch before, the largest first.

    Each entry is a dict of `kind`, `sample`, `size` (0 to 1: the change of the probability that the event is about; None
    where there are no probabilities), `before` and `after` (the predicted classes). Kinds: "forgotten" (right before, wrong
    now; Toneva et al. 2019), "learnt" (wrong at every epoch before, right now), "flip" (another class, right neither before
    nor now, or no label), "jump" (the same class, with another certainty: by 0.25 or more).  A record holds a bounded
    number of them, the largest of each kind first of all; `counts` has them all.
    """

    kind: ClassVar[str] = "events"
    per_layer: ClassVar[bool] = False

    entries: tuple[Mapping[str, Any], ...] = ()
    counts: Mapping[str, Any] = field(default_factory=dict)     # kind -> how many there were in all
    since: int = -1                                     # the epoch before that it is compared with

    def told(self) -> dict[str, Any]:
        return {"entries": list(self.entries), "counts": dict(self.counts)}
