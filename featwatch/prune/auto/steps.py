"""One step of pruning: what would go from the model as it is now, within the limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from featwatch.prune.anatomy import Anatomy
from featwatch.prune.auto.ledger import Ledger
from featwatch.prune.auto.limits import allowed, in_blocks, share_of
from featwatch.prune.candidates import Candidates, candidates
from featwatch.prune.choosing import AS_MANY_AS_COLUMNS, Order, ordered, rounded
from featwatch.prune.from_alerts import alerted
from featwatch.prune.planned import Plan
from featwatch.prune.planning import anatomy_of, plan_of, samples_of, scored

ALERTS = "alerts"


@dataclass(frozen=True, eq=False, kw_only=True)
class Wish:
    """What is asked of every step."""

    criterion: Any
    ratio_per_step: float               # of the units that could go before all pruning; one unit at least
    max_ratio: float
    max_ratio_per_layer: float          # of those that a layer had before all pruning
    round_to: int = 1
    ignore: Sequence[str] | str = ()
    per_layer: bool = False             # the same share of each layer, rather than of the model as a whole


@dataclass(frozen=True, eq=False)
class Step:
    """What would go."""

    anatomy: Anatomy
    plan: Plan
    groups: set[int]                    # that go
    before: int                         # groups that can go


def units_of(anatomy: Anatomy) -> dict[str, int]:
    """How many units each layer with weights has."""
    return {name: len(made.ids) for name, made in anatomy.made.items()}


def room(wish: Wish, ledger: Ledger, prunable: int, share: float = 1.0) -> int:
    """How many groups a step may take now.

    Arguments:
        prunable: groups that can go from the model as it is now.
        share: of the usual size of a step.
    """
    left = share_of(wish.max_ratio, ledger.prunable) - (ledger.prunable - prunable)
    return max(0, min(left, max(1, share_of(wish.ratio_per_step * share, ledger.prunable))))


def next_step(
    model: Any, wish: Wish, ledger: Ledger, probe: Any, share: float = 1.0, alerts: Callable[[], Sequence[Any]] = tuple
) -> Step | None:
    """What goes next; None where nothing may.

    Arguments:
        probe: for criteria that need samples.
        share: of the usual size of a step.
        alerts: gives the alerts that are open, for the criterion "alerts".
    """
    anatomy = anatomy_of(model)
    possible = candidates(anatomy, wish.ignore)
    most = room(wish, ledger, possible.prunable, share)
    if not most or not len(possible):
        return None
    if wish.criterion == ALERTS:
        scores, notes = alerted(anatomy, possible, alerts())
    else:
        scores, notes = scored(anatomy, possible, wish.criterion, probe)
    order = ordered(possible, scores, per_layer=wish.per_layer, lost={name: ledger.lost(name) for name in ledger.original})
    chosen, said = _chosen(anatomy, possible, scores, order, wish, ledger, most)
    if not len(chosen):
        return None
    notes += said
    criterion = wish.criterion if isinstance(wish.criterion, str) else getattr(wish.criterion, "__name__", "own")
    groups = set(possible.groups[chosen].tolist())
    plan = plan_of(
        anatomy, groups, named=possible.leaders(chosen), criterion=criterion, notes=notes,
        ignored=possible.ignored, like=samples_of(probe),
    )  # fmt: skip
    return Step(anatomy, plan, groups, possible.prunable)


def _chosen(
    anatomy: Anatomy, possible: Candidates, scores: np.ndarray, order: Order, wish: Wish, ledger: Ledger, most: int
) -> tuple[np.ndarray, list[str]]:
    """What goes of what is in order, and what there is to say of it."""
    places, spared, by = order.places, list[str](), scores
    if wish.per_layer:
        by = np.full(len(scores), np.inf)
        by[order.places] = order.turns
    while True:
        chosen, odd = _within(places, possible, scores, by, wish, ledger, most)
        mistaken = anatomy.mistaken(possible.groups[chosen].tolist())
        if not mistaken:
            break
        # One more of it stays, or as many as are rounded to, with all that would go later: others go in their place.
        spared += [mistaken[0]] if mistaken[0] not in spared else []
        own = possible.members[mistaken[0]].places
        going = np.intersect1d(chosen, own)
        going = going[np.argsort(scores[going], kind="stable")][: -wish.round_to]
        places = places[~np.isin(places, own) | np.isin(places, going)]
    notes = [f"these layers keep no multiple of {wish.round_to}: {', '.join(odd)}"] if odd else []
    return chosen, notes + ([f"these layers {AS_MANY_AS_COLUMNS}: {', '.join(spared)}"] if spared else [])


def _within(
    places: np.ndarray, possible: Candidates, scores: np.ndarray, by: np.ndarray, wish: Wish, ledger: Ledger, most: int
) -> tuple[np.ndarray, list[str]]:
    """The first of these candidates within the limits, and the layers that are left no multiple of what is rounded to.

    Arguments:
        by: (candidates,) what blocks are put in order by.
    """
    if wish.round_to == 1:
        return allowed(places, possible, ledger, most, wish.max_ratio_per_layer), []
    places, first = in_blocks(places, possible, by, wish.round_to)
    left = room(replace(wish, ratio_per_step=1.0), ledger, possible.prunable)
    chosen = allowed(places, possible, ledger, min(max(most, first), left), wish.max_ratio_per_layer)
    return rounded(possible, scores, chosen, wish.round_to)
