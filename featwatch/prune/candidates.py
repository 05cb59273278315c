"""Which groups of units can go from a model, in which layers they are, and of what something has to stay."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from featwatch.phrases import closest
from featwatch.prune.anatomy import Anatomy

IGNORED = "it is ignored, as asked"


@dataclass(frozen=True, eq=False)
class Member:
    """A layer with weights, and which candidate each of its units is."""

    layer: Any
    places: np.ndarray                  # (units,) int64 index of the candidate; −1 = the unit stays
    mixes: bool                         # whether it makes its units of others, as a convolution does


@dataclass(frozen=True, eq=False)
class Candidates:
    """The groups that can go, numbered from 0 in the order in which the graph makes them."""

    groups: np.ndarray                  # (candidates,) int64: roots of `Units`
    prunable: int                       # groups of the model that can go, ignored ones included
    members: Mapping[str, Member]       # by the layer's name, in graph order
    # Tensors that consist of candidates only: of each of these sets, (n,) int64 indices, one has to stay.
    wholes: Sequence[np.ndarray]
    ignored: Mapping[str, str] = field(default_factory=dict)    # layers that stay because they, or others, are ignored -> why
    lookup: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))   # root -> index; −1 = it stays

    def place(self, roots: np.ndarray) -> np.ndarray:
        """Which candidate each of these groups is; −1 = it stays."""
        known = roots < len(self.lookup)
        return np.where(known, self.lookup[np.where(known, roots, 0)], -1) if len(self.lookup) else np.full(roots.shape, -1)

    def __len__(self) -> int:
        return len(self.groups)

    def families(self) -> np.ndarray:
        """(candidates,) int64: the same number for all that are in the same layers."""
        keys = np.zeros(len(self), np.uint64)
        marks = np.random.default_rng(0).integers(0, 2**63, len(self.members), np.int64).astype(np.uint64)
        for mark, member in zip(marks, self.members.values(), strict=True):
            keys[np.unique(member.places[member.places >= 0])] ^= mark
        return np.unique(keys, return_inverse=True)[1].reshape(-1)

    def leaders(self, chosen: np.ndarray) -> dict[str, list[int]]:
        """The units of these candidates, each in the first layer that makes it: enough to name them."""
        waiting = np.zeros(len(self) + 1, bool)
        waiting[chosen] = True
        found = {}
        for name, member in self.members.items():
            units = np.flatnonzero(waiting[member.places]) if member.mixes else np.zeros(0, np.int64)
            if len(units):
                first = np.unique(member.places[units], return_index=True)[1]
                found[name] = sorted(units[first].tolist())
                waiting[member.places[units]] = False
        return found


def candidates(anatomy: Anatomy, ignore: Sequence[str] = ()) -> Candidates:
    """What can go from a model.

    Arguments:
        ignore: names or patterns of layers whose units stay, with all that goes with them.

    Raises:
        ValueError: a name or pattern that no layer has.
    """
    made = anatomy.made
    roots = {name: anatomy.units.roots(each.ids) for name, each in made.items()}
    free = {name: ~anatomy.units.frozen(each.ids) for name, each in made.items()}
    every = _in_order(roots[name][free[name]] for name in made)
    named = _named(made, ignore)
    staying = np.unique(np.concatenate([roots[name] for name in named])) if named else np.zeros(0, np.int64)
    groups = every[~np.isin(every, staying)]
    place = np.full(max((int(each.max(initial=-1)) for each in roots.values()), default=-1) + 1, -1, np.int64)
    place[groups] = np.arange(len(groups))
    members = {name: Member(each.layer, place[roots[name]], each.mixes) for name, each in made.items()}
    ignored = {
        name: IGNORED if name in named else f"it goes with what is ignored: {', '.join(named)}"
        for name, each in members.items()
        if free[name].any() and (each.places < 0).all()
    }
    return Candidates(groups, len(every), members, _wholes(anatomy, members, place), ignored, place)


def _named(made: Mapping[str, Any], ignore: Sequence[str]) -> list[str]:
    """The names of the layers that are ignored."""
    patterns = [ignore] if isinstance(ignore, str) else list(ignore)
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise TypeError(f"ignore={ignore!r}: {pattern!r} is no name; give names or patterns of layers, such as 'conv*'")
        if not any(fnmatchcase(name, pattern) for name in made):
            within = f"{pattern}/*"     # it is a model within the model
            hint = f" (did you mean {within!r}?)" if any(fnmatchcase(name, within) for name in made) else closest(pattern, made)
            raise ValueError(f"ignore={ignore!r}: no layer with units is called {pattern!r}{hint}")
    return [name for name in made if any(fnmatchcase(name, pattern) for pattern in patterns)]


def _in_order(parts: Iterable[np.ndarray]) -> np.ndarray:
    """All different numbers, in the order in which they come first."""
    every = np.concatenate([np.zeros(0, np.int64), *parts])
    return every[np.sort(np.unique(every, return_index=True)[1])]


def _wholes(anatomy: Anatomy, members: Mapping[str, Member], place: np.ndarray) -> list[np.ndarray]:
    """What would be left without a single channel, if all of it went: the sets that hold no other one."""
    found: dict[bytes, np.ndarray] = {}
    seen: set[int] = set()

    def add(places: np.ndarray) -> None:
        if len(places) and (places >= 0).all():
            whole = np.unique(places)
            found[whole.tobytes()] = whole

    for member in members.values():
        add(member.places)
    for label in anatomy.labels.values():
        if id(label.ids) not in seen:
            seen.add(id(label.ids))
            roots = anatomy.units.roots(label.ids)
            add(np.where(roots < len(place), place[np.minimum(roots, len(place) - 1)], -1) if len(place) else roots[:0])
    return _smallest(list(found.values()))


def _smallest(sets: list[np.ndarray]) -> list[np.ndarray]:
    """Those that do not hold another one whole."""
    kept: list[np.ndarray] = []
    of: dict[int, list[int]] = {}       # first element -> which of the kept ones begin with it
    for each in sorted(sets, key=len):
        if not any(np.isin(kept[other], each).all() for first in each.tolist() for other in of.get(first, ())):
            of.setdefault(int(each[0]), []).append(len(kept))
            kept.append(each)
    return kept
