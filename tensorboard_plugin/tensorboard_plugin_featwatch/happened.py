"""What happened to samples, clusters and filters, as plain JSON with the types that `http_api.md` promises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from featwatch.happenings import TOLD_BY, Event, Told, counted, ranked
from featwatch.records import Clustering, LayerHealth, SampleEvents
from tensorboard_plugin_featwatch.entries import clipped
from tensorboard_plugin_featwatch.frames import finite

MAX_EVENTS = 1000


def described_events(series: Sequence[Told], problems: list[str]) -> dict[str, Any]:
    """The most notable events of these series, and how many there were in all; what is left out becomes a problem."""
    counts: dict[str, list[list[int]]] = {}
    for kind, place, count in counted(series):
        counts.setdefault(kind, []).append([place, count])
    for one in series:
        if one.left_out:
            of = f" of {clipped(one.layer)}" if one.layer else ""
            problems.append(f"{one.left_out} of the events{of} are not valid, or too many in one record, and left out.")
    return {"events": [_described(event) for event in ranked(series, top=MAX_EVENTS)], "counts": counts}


def _described(event: Event) -> dict[str, Any]:
    # As many digits as were stored; they were 32 bits wide on the way.
    described: dict[str, Any] = {
        "kind": event.kind, "epoch": event.epoch, "layer": event.layer, "size": finite(float(f"{event.size:.6g}")),
        "rank": round(event.rank, 4),
    }  # fmt: skip
    if event.kind in TOLD_BY[Clustering.kind]:
        return described | {"from": list(event.out_of), "into": list(event.into)}
    if event.kind in TOLD_BY[LayerHealth.kind]:
        return described | {"filter": event.filter}
    described["sample"] = event.sample
    return described | {"before": event.before, "after": event.after} if event.kind in TOLD_BY[SampleEvents.kind] else described
