"""One rule for the boxes of all units of a layer, found from the boxes of some."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

MANY, BESIDE = 9, 2                 # units of an axis: up to so many are all looked at; else ends, centre and so many beside them


@dataclass(frozen=True)
class Rule:
    """Along one axis unit u sees `size` positions from `offset` + u · `stride` on; that may reach beyond the input."""

    size: int
    stride: int
    offset: int
    regular: bool                   # whether it is so for every unit that was looked at; else some see less

    def box(self, unit: int) -> tuple[int, int]:
        low = self.offset + unit * self.stride
        return low, low + self.size - 1


def telling(sizes: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Units whose boxes tell those of the others, those that tell most first.

    The central one, and along the diagonal of the map the ends, the centre and those beside them; then the corners: what
    an axis sees may depend on the place on another one, as in a recurrent net of convolutions.
    """
    centre = tuple(size // 2 for size in sizes)
    places = [_telling(size) for size in sizes]
    most = max(map(len, places), default=1)
    diagonal = [tuple(along[min(i, len(along) - 1)] for along in places) for i in range(most)]
    ends, between = [diagonal[0], diagonal[-1]], sorted(diagonal, key=lambda unit: sum(map(abs, np.subtract(unit, centre))))
    return list(dict.fromkeys((centre, *ends, *between, *itertools.product(*((0, size - 1) for size in sizes)))))


def rule_of(units: np.ndarray, low: np.ndarray, high: np.ndarray, size: int) -> Rule:
    """The rule by which boxes, cut at the ends of an input, follow the units.

    Arguments:
        units: (units,) int, positions along the axis of the map, some perhaps more than once.
        low, high: (units,) int, first and last position within the input.
        size: of the input.
    """
    if (low == low[0]).all() and (high == high[0]).all():
        return Rule(int(high[0] - low[0]) + 1, 0, int(low[0]), True)
    # A box that touches an end of the input may reach beyond it by any number of positions.
    begins, ends = low > 0, high < size - 1
    regular = []
    for stride in range(-size, size + 1):
        first, last = low - stride * units, high - stride * units
        starts = set(first[begins].tolist()) or {int(first.min())}
        stops = set(last[ends].tolist()) or {int(last.max())}
        offset, end = starts.pop(), stops.pop()
        if not starts and not stops and (offset <= first).all() and (end >= last).all():
            regular.append(Rule(end - offset + 1, stride, offset, True))
    if regular:
        # Where the ends of the input leave it open, the smallest boxes that move in the direction of the units.
        return min(regular, key=lambda rule: (rule.stride < 0, rule.size, abs(rule.stride)))
    around = []
    for stride in range(-size, size + 1):
        offset = int((low - stride * units).min())
        around.append(Rule(int((high - stride * units).max()) - offset + 1, stride, offset, False))
    return min(around, key=lambda rule: (rule.size, abs(rule.stride)))


def _telling(size: int) -> list[int]:
    if size <= MANY:
        return list(range(size))
    centre = size // 2
    near = range(centre - BESIDE, centre + BESIDE + 1)
    return sorted({0, 1, *near, size - 2, size - 1})
