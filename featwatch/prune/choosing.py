"""Which units go first: the order of all that can go, and how many of them a share is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from featwatch.prune.anatomy import Anatomy
from featwatch.prune.candidates import Candidates

# Of layers that lose fewer units than they would.
AS_MANY_AS_COLUMNS = "keep more, so as not to have as many filters as columns, along which Keras would add their biases"
# Shares are products of decimals: 0.3 · 10 is 3, whatever float64 makes of it.
ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Order:
    """In which order candidates go, and the share at which each does: what goes at a share goes at every larger one."""

    places: np.ndarray                  # (n,) int64 indices of candidates, the first to go first; what never goes is missing
    turns: np.ndarray                   # (n,) float64 ascending: the share of units removed from which on it is gone

    def at(self, ratio: float) -> np.ndarray:
        """The candidates that go when this share of units goes."""
        return self.places[self.turns <= ratio + ROUNDING]


def ordered(
    candidates: Candidates,
    scores: np.ndarray,
    *,
    per_layer: bool = False,
    max_ratio_per_layer: float = 1.0,
    lost: Mapping[str, float] | None = None,
) -> Order:
    """The order in which units go: the lowest score first, of equal ones the first in the graph.

    Arguments:
        scores: (candidates,) float64; NaN = it stays.
        per_layer: whether each layer loses the same share, rather than the model as a whole; units that several layers
            have in common are counted once, as if they were a layer of their own.
        max_ratio_per_layer: of a layer's units no larger share goes, at whatever ratio.
        lost: the share of its units that each layer has lost before, which `per_layer` counts; None = none has lost any.

    Of every tensor the unit with the highest score stays.
    """
    order = np.argsort(scores, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    stays = np.isnan(scores)
    for whole in candidates.wholes:
        stays[whole[np.argmax(rank[whole])]] = True
    for member in candidates.members.values():
        _protect(stays, rank, member.places, len(member.places) - math.floor(max_ratio_per_layer * len(member.places) + ROUNDING))
    places = order[~stays[order]]
    if not per_layer:
        return Order(places, np.arange(1, len(places) + 1) / max(candidates.prunable, 1))
    families = candidates.families()
    sizes = np.bincount(families, minlength=1)
    gone = _gone(candidates, families, sizes, lost or {})
    turns = np.empty(len(places))
    for family in range(len(sizes)):
        own = np.flatnonzero(families[places] == family)
        turns[own] = (gone[family] + np.arange(1, len(own) + 1)) / (gone[family] + sizes[family])
    sequence = np.argsort(turns, kind="stable")
    return Order(places[sequence], turns[sequence])


def _gone(candidates: Candidates, families: np.ndarray, sizes: np.ndarray, lost: Mapping[str, float]) -> np.ndarray:
    """(families,) float64: how many units of each went before, had it lost the same share as its layer with the fewest units."""
    gone, fewest = np.zeros(len(sizes)), np.full(len(sizes), np.inf)
    for name, member in candidates.members.items():
        for family in np.unique(families[member.places[member.places >= 0]]) if member.mixes else ():
            if len(member.places) < fewest[family]:
                share, fewest[family] = lost.get(name, 0.0), len(member.places)
                gone[family] = sizes[family] * share / (1 - share)
    return gone


def sound(
    anatomy: Anatomy, candidates: Candidates, scores: np.ndarray, chosen: np.ndarray, round_to: int
) -> tuple[np.ndarray, list[str], list[str]]:
    """As `rounded`, and so that no layer keeps as many units as it must not have; and the layers that lose fewer for that."""
    spared: list[str] = []
    while True:
        chosen, odd = rounded(candidates, scores, chosen, round_to)
        mistaken = anatomy.mistaken(candidates.groups[chosen].tolist())
        if not mistaken:
            return chosen, odd, spared
        spared += [mistaken[0]] if mistaken[0] not in spared else []
        own = np.intersect1d(chosen, candidates.members[mistaken[0]].places)
        chosen = chosen[chosen != own[np.argmax(scores[own])]]


def rounded(candidates: Candidates, scores: np.ndarray, chosen: np.ndarray, round_to: int) -> tuple[np.ndarray, list[str]]:
    """The candidates that go so that each layer keeps a multiple of `round_to` units, or all of them, and where it does not.

    Of each layer as many of the chosen ones stay as are missing, those with the highest scores.
    """
    going = np.zeros(len(candidates) + 1, bool)         # the last one: of units that stay
    going[chosen] = True
    members = {name: each for name, each in candidates.members.items() if each.mixes}
    changed = round_to > 1
    while changed:                                      # what stays for one layer may stay in others, too
        changed = False
        for member in members.values():
            changed |= _fill_up(going, member.places, scores, round_to)
    odd = [name for name, each in members.items() if _missing(going, each.places, round_to) and going[each.places].any()]
    return np.flatnonzero(going[:-1]), odd


def _fill_up(going: np.ndarray, places: np.ndarray, scores: np.ndarray, round_to: int) -> bool:
    """Keep more of a layer's units until they are a multiple; whether any was kept."""
    changed = False
    while _missing(going, places, round_to):
        gone = np.unique(places[going[places]])
        if not len(gone):
            break
        going[gone[np.argmax(scores[gone])]] = False
        changed = True
    return changed


def _missing(going: np.ndarray, places: np.ndarray, round_to: int) -> int:
    return -int(np.count_nonzero(~going[places])) % round_to


def _protect(stays: np.ndarray, rank: np.ndarray, places: np.ndarray, least: int) -> None:
    """Keep so many of a layer's units: those that have to stay anyway, and the ones that rank highest."""
    free = places[places >= 0]
    missing = least - (len(places) - len(free)) - int(np.count_nonzero(stays[free]))
    if missing > 0:
        own, counts = np.unique(free[~stays[free]], return_counts=True)
        best = np.argsort(-rank[own])
        needed = int(np.searchsorted(np.cumsum(counts[best]), missing)) + 1
        stays[own[best[:needed]]] = True
