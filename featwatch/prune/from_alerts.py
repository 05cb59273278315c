"""Plans from alerts: what the watch says can go, the most certain first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from featwatch.errors import RefusedType, RefusedValue
from featwatch.layers import layers_of
from featwatch.options import real, whole
from featwatch.phrases import closest
from featwatch.prune.anatomy import Anatomy
from featwatch.prune.candidates import Candidates, candidates
from featwatch.prune.choosing import ordered
from featwatch.prune.planned import Plan
from featwatch.prune.planning import anatomy_of, plan_at
from featwatch.records import Alert

# The kinds of alerts that name filters which can go, the most certain first: what gives nothing changes nothing; what is
# redundant is said by others; what is small or rare may still matter.
REDUNDANT = "redundant filters"
KINDS = ("dead filters", REDUNDANT, "negligible energy", "nearly dead filters")
ALERTS = "alerts"


def plan_from(
    run_or_alerts: Any, model: Any, max_ratio: float = 0.6, *, ignore: str | Sequence[str] = (), round_to: int = 1
) -> Plan:
    """A plan of what the watch's open alerts say can go: dead filters, then redundant, negligible and nearly dead ones.

    Of units that go together, as those that are added up, all have to be named by alerts; and what stays because a redundant
    filter is said by it is not removed by another alert.  `notes` say what was left out for that.

    Arguments:
        run_or_alerts: a `Run`, of which the open alerts count, or alerts.
        model: the model that was watched, as it was then; it stays as it is.
        max_ratio: the share of the model's prunable units that goes at most.
        ignore, round_to: as of `plan`.

    Raises:
        ValueError, TypeError: an argument makes no sense, or the alerts are of another model.

    Example:
        >>> plan = fw.prune.plan_from(fw.load("logs/run-1"), model)     # doctest: +SKIP
    """
    max_ratio, round_to = real("max_ratio", max_ratio, 0.0, 1.0), whole("round_to", round_to, 1)
    alerts = _alerts(run_or_alerts)
    anatomy = anatomy_of(model)
    possible = candidates(anatomy, ignore)
    scores, notes = alerted(anatomy, possible, alerts)
    return plan_at(anatomy, possible, scores, ordered(possible, scores), max_ratio, ALERTS, round_to, notes, limit=True)


def alerted(anatomy: Anatomy, possible: Candidates, alerts: Iterable[Alert]) -> tuple[np.ndarray, list[str]]:
    """(candidates,) float64, the smaller the more certain it is that one can go, NaN where no alert says so; and notes.

    Raises:
        ValueError: an alert names a layer or a filter that the model has not.
    """
    ranks = {name: np.full(len(member.places), np.inf) for name, member in possible.members.items()}
    supports: dict[str, dict[int, set[int]]] = {}       # layer -> redundant unit -> units that have to stay for it
    notes = []
    named = (each for each in alerts if each.kind in KINDS and each.open and each.filters)
    for alert in sorted(named, key=lambda each: KINDS.index(each.kind)):
        units = _checked(anatomy, alert)
        if alert.layer not in ranks:
            notes.append(f"{alert.layer}: its units are none that pruning knows")
            continue
        if not possible.members[alert.layer].mixes:
            notes.append(f"{alert.layer}: its units are those of the layer before it, which no alert tells of")
            continue
        np.minimum.at(ranks[alert.layer], units, KINDS.index(alert.kind))
        if alert.kind == REDUNDANT:
            supports[alert.layer] = _supports(alert)
    scores = _of_groups(possible, ranks)
    partly = sum(int(((places >= 0) & np.isfinite(ranks[name])).sum()) for name, places in _mixing(possible).items())
    going = _going_at_most(possible, scores, ranks, supports)
    left = partly - sum(int(going[places[places >= 0]].sum()) for places in _mixing(possible).values())
    if left:
        notes.append(
            f"{left} unit{'s' * (left != 1)} that alerts name stay{'s' * (left == 1)}: what is tied to them is not named, "
            "or others are redundant because of them"
        )
    return np.where(going, scores, np.nan), notes


def _alerts(run_or_alerts: Any) -> list[Alert]:
    found = getattr(run_or_alerts, "alerts", run_or_alerts)
    if isinstance(found, Alert):
        found = [found]
    if isinstance(found, (str, bytes, Mapping)) or not isinstance(found, Iterable):
        raise RefusedType(f"run_or_alerts is a {type(run_or_alerts).__name__}: give featwatch.load(log_dir), or its alerts")
    found = list(found)
    strange = [each for each in found if not isinstance(each, Alert)]
    if strange:
        raise RefusedType(f"run_or_alerts holds a {type(strange[0]).__name__}: give featwatch.load(log_dir), or its alerts")
    return found


def _checked(anatomy: Anatomy, alert: Alert) -> np.ndarray:
    """The units that an alert names."""
    cure = "give the model that was watched, as it was then"
    made = anatomy.made.get(alert.layer)
    if made is None:
        known = [site.name for site in layers_of(anatomy.model).sites]
        if alert.layer not in known:
            raise RefusedValue(
                f"an alert is about the layer {alert.layer!r}, which the model {anatomy.model.name!r} has not"
                f"{closest(alert.layer, [*anatomy.made, *known])}; {cure}"
            )
        return np.zeros(0, np.int64)
    units = np.array(alert.filters, np.int64)
    if len(units) and not 0 <= units.min() <= units.max() < len(made.ids):
        raise RefusedValue(
            f"an alert names filter {int(units.max() if units.min() >= 0 else units.min())} of {alert.layer!r}, which has "
            f"{len(made.ids)} (was the model pruned since?); {cure}"
        )
    return units


def _supports(alert: Alert) -> dict[int, set[int]]:
    """What has to stay for each redundant unit; for those of which the evidence does not tell, −1."""
    found = {int(unit): {-1} for unit in alert.filters}
    for group in alert.evidence.get("groups", ()):
        found.update({int(unit): {int(group["stays"])} for unit in group["go"]})
    for each in alert.evidence.get("sums", ()):
        found[int(each["goes"])] = {int(term) for term in each["terms"]}
    return found


def _mixing(possible: Candidates) -> dict[str, np.ndarray]:
    return {name: member.places for name, member in possible.members.items() if member.mixes}


def _of_groups(possible: Candidates, ranks: Mapping[str, np.ndarray]) -> np.ndarray:
    """(candidates,) the rank of the least certain unit of each; infinite where one is not named, or redundant among several."""
    worst, units, redundant = np.full(len(possible), -np.inf), np.zeros(len(possible), int), np.zeros(len(possible), bool)
    for name, places in _mixing(possible).items():
        own = places >= 0
        np.maximum.at(worst, places[own], ranks[name][own])
        np.add.at(units, places[own], 1)
        redundant[places[own & (ranks[name] == KINDS.index(REDUNDANT))]] = True
    # That each of several summands is said by others of its layer does not make the sum one that is.
    return np.where((redundant & (units > 1)) | np.isneginf(worst), np.inf, worst)


def _going_at_most(
    possible: Candidates, scores: np.ndarray, ranks: Mapping[str, np.ndarray], supports: Mapping[str, Mapping[int, set[int]]]
) -> np.ndarray:
    """(candidates,) bool: what can go, once all that others are redundant by stays."""
    going = np.isfinite(scores)
    for name, needed in supports.items():
        places = possible.members[name].places
        for unit, others in needed.items():
            if places[unit] < 0 or not going[places[unit]] or scores[places[unit]] != KINDS.index(REDUNDANT):
                continue
            later = ranks[name] > KINDS.index(REDUNDANT)
            staying = np.flatnonzero(later) if -1 in others else np.array(sorted(others), np.int64)
            staying = places[staying[(staying >= 0) & (staying < len(places))]]
            going[staying[staying >= 0]] = False
    return going
