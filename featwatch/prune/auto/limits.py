"""Which units go in a step, so that neither the model nor a layer of it loses more than it may."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from featwatch.prune.auto.ledger import Ledger
from featwatch.prune.candidates import Candidates
from featwatch.prune.choosing import ROUNDING


def share_of(ratio: float, count: int) -> int:
    """So many of `count` are a share of them, rounded down: 0.3 of 10 are 3, whatever float64 makes of it."""
    return math.floor(ratio * count + ROUNDING)


def allowed(places: Iterable[int], candidates: Candidates, ledger: Ledger, most: int, most_per_layer: float) -> np.ndarray:
    """The first of these candidates that may go: `most` at most, and of no layer more than its share.

    Arguments:
        places: candidates in the order in which they are to go.
        most_per_layer: share of the units that a layer had before all pruning.
    """
    room = {name: share_of(most_per_layer, ledger.original[name]) - ledger.gone(name) for name in candidates.members}
    where: dict[int, list[tuple[str, int]]] = {}
    for name, member in candidates.members.items():
        own, counts = np.unique(member.places[member.places >= 0], return_counts=True)
        for place, count in zip(own.tolist(), counts.tolist(), strict=True):
            where.setdefault(place, []).append((name, count))
    chosen: list[int] = []
    for place in places:
        if len(chosen) >= most:
            break
        if all(room[name] >= count for name, count in where.get(int(place), ())):
            chosen.append(int(place))
            for name, count in where.get(int(place), ()):
                room[name] -= count
    return np.array(chosen, np.int64)


def in_blocks(places: np.ndarray, candidates: Candidates, scores: np.ndarray, round_to: int) -> tuple[np.ndarray, int]:
    """The candidates in an order in which those of a layer come so many at once that a multiple of units is left.

    Of the blocks that comes first of which the mean score is lowest.  What is in the same layers is one family; where
    units are joined in other ways than by adding, a block may still leave no multiple.

    Arguments:
        places: candidates in the order in which they would go one by one.

    Returns:
        (n,) candidates, without those that make no whole block; and how many are in the first block.
    """
    families = candidates.families()[places]
    blocks: list[tuple[float, np.ndarray]] = []
    for family in np.unique(families):
        own = places[families == family]
        units = _largest(candidates, int(own[0]))
        size, worst = units % round_to or round_to, -math.inf
        while 0 < size <= len(own):
            worst = max(worst, float(np.mean(scores[own[:size]])))      # the blocks of a family keep their order
            blocks.append((worst, own[:size]))
            own, size = own[size:], round_to
    blocks.sort(key=lambda block: block[0])
    if not blocks:
        return np.zeros(0, np.int64), 0
    return np.concatenate([block for _, block in blocks]), len(blocks[0][1])


def _largest(candidates: Candidates, place: int) -> int:
    """The most units that a layer has of those in which a candidate is and that make units of others."""
    mixing = (each.places for each in candidates.members.values() if each.mixes)
    return max((len(places) for places in mixing if (places == place).any()), default=0)
