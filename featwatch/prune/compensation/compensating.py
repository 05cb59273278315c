"""Weights that make up for removed units, from what these and those that stay gave on a probe; and how well they do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from featwatch.prune.anatomy import Anatomy
from featwatch.prune.compensation.consumers import Consumer, consumers
from featwatch.prune.compensation.measuring import Leaving, of_outputs
from featwatch.prune.compensation.solving import Combination, combination
from featwatch.prune.compensation.statistics import Moments, each_read, parts, taken

FEWEST = 8                          # samples of a probe, of which it takes something to hold out
_HELD_OUT = 4                       # of so many samples one
_POSITIONS = 8192                   # of what a layer reads, at most; more where it reads many channels
_PER_CHANNEL = 4
_BYTES = 256 << 20                  # of sums of products at a time: a wide model is run several times
_WIDEST = 4096                      # channels of a layer that is compensated


@dataclass(frozen=True, eq=False)
class Compensation:
    """Values for variables of a model, to be taken over before the units of `groups` are cut away."""

    groups: set[int]                                    # that go: what was asked for, without what has to stay
    values: list[tuple[Any, np.ndarray]]                # (variable, its new value, not yet cut)
    error: dict[str, float]                             # layer -> relative error of what it gives, without its activation
    without: dict[str, float]                           # the same, had nothing been compensated
    output_error: float = 0.0                           # of the model's outputs
    output_without: float = 0.0
    notes: list[str] = field(default_factory=list)      # what was left out or approximated

    def apply(self) -> None:
        """Assign the values to the variables of the model itself."""
        for variable, value in self.values:
            variable.assign(value)


def compensated(
    model: Any, groups: Iterable[int], probe: Any, *, samples: int = 256, merge_constants: bool = True
) -> Compensation:
    """What makes up for removed units in the layers that read them, and the error that is to be expected of it.

    In each convolution or dense layer that reads removed channels these are regressed on those that stay, and on a constant;
    its kernel and bias take over what that gives.  (The bias of a batch normalisation after it, where it has none.)  Exact for
    units that are dead, constant, or a multiple of another one.  Every fourth sample is held out: it chooses how firmly to
    regress, says the error, and where nothing is gained on it, nothing is changed.

    A relative error is the root mean square of a difference over that of what the layer gives around its mean: 1 = as much as
    it varies at all.  Errors of layers do not add up; `output_error` is what comes of all of them together.

    Arguments:
        model: a functional or sequential model, or its `Anatomy`; it is not changed.
        groups: groups of units that are to go, as `Anatomy.groups` gives them.
        probe: a `Probe`; without labels, too.
        samples: of the probe to take at most, evenly spread.
        merge_constants: where a layer reads zeros around its input, a constant unit cannot become part of a bias, which counts
            at the borders, too.  One such unit then stays and carries all others.  False = none stays, and borders are wrong.

    Raises:
        ValueError: the probe has too few samples.
        TypeError: `probe` is no `Probe`.

    Source: least squares on channels as in ThiNet (Luo et al. 2017) and channel pruning (He et al. 2017, equation 1).
    """
    anatomy = model if isinstance(model, Anatomy) else Anatomy(model)
    rows = taken(probe, samples)
    if len(rows) < FEWEST:
        raise ValueError(f"probe: {len(rows)} samples; compensation holds every fourth out: give {FEWEST} or more")
    held = np.arange(len(rows)) % _HELD_OUT == _HELD_OUT - 1
    return _Compensating(anatomy, set(groups), probe, rows[~held], rows[held]).compensated(merge_constants)


class _Compensating:
    def __init__(self, anatomy: Anatomy, groups: set[int], probe: Any, fitting: np.ndarray, judging: np.ndarray) -> None:
        self._anatomy, self._groups, self._probe = anatomy, groups, probe
        self._fitting, self._judging = fitting, judging
        self._notes: list[str] = []
        self._solved: dict[str, list[Combination]] = {}
        self._thinned = False

    def compensated(self, merge_constants: bool) -> Compensation:
        every = self._solve(merge_constants)
        leaving = self._leaving(every)
        helping = [each for each in every if leaving[each.name].error < leaving[each.name].without]
        left = [each.name for each in every if each not in helping and leaving[each.name].without > 0]
        if left:
            self._notes.append(f"{_named(left)} as before: nothing was gained on samples held out")
        values = [pair for each in helping for pair in self._values(each)]
        without, error = of_outputs(self._anatomy, self._groups, values, parts(self._probe.x, self._judging, self._batch))
        if values and error > without:
            self._notes.append(f"nothing is compensated: the outputs would differ by {error:.2g} rather than {without:.2g}")
            values, helping, error = [], [], without
        total, used = len(self._probe), len(self._fitting) + len(self._judging)
        self._notes.insert(0, f"fitted to {len(self._fitting)} samples of {total}, judged on {used - len(self._fitting)} others")
        if self._thinned:
            self._notes.append("not all positions of pictures were taken")
        return Compensation(
            set(self._groups), values,
            {each.name: leaving[each.name].error if each in helping else leaving[each.name].without for each in every},
            {each.name: leaving[each.name].without for each in every}, error, without, self._notes,
        )  # fmt: skip

    # -- finding combinations -------------------------------------------------------------------------------------------

    @property
    def _batch(self) -> int:
        return min(self._probe.batch_size, 32)

    def _solve(self, merge_constants: bool) -> list[Consumer]:
        """The layers that can make up for channels; `_solved` has how.  Begins anew when a unit has to stay."""
        while True:
            found = consumers(self._anatomy, self._groups)
            self._solved.clear()
            staying: dict[int, str] = {}
            wide = [each.name for each in found.known if len(each.ids) > _WIDEST]
            every = [each for each in found.known if len(each.ids) <= _WIDEST]
            for some in _shares(every):
                fitted, judged = self._moments(some, self._fitting), self._moments(some, self._judging)
                for each in some:
                    root = self._carrier(each, fitted[each.name], set(staying)) if merge_constants else None
                    if root is not None:
                        staying[root] = each.name
                    self._solved[each.name] = self._combinations(each, fitted[each.name], judged[each.name])
            if not staying:
                break
            self._groups -= set(staying)
            self._notes += [self._stays(root, name) for root, name in staying.items()]
        if found.unknown:
            self._notes.append(f"{_named(found.unknown)} not compensated: not a convolution or dense layer")
        if wide:
            self._notes.append(f"{_named(wide)} not compensated: more than {_WIDEST:,} channels")
        plain = [each.name for each in every if not each.constant]
        if plain:
            self._notes.append(f"{_named(plain)}: no bias that could take over a constant")
        return every

    def _moments(self, some: Sequence[Consumer], rows: np.ndarray) -> dict[str, Moments]:
        batches = -(-len(rows) // self._batch)
        moments = {}
        wanted = {}
        rng = np.random.default_rng(0)
        for each in some:
            limit = max(_POSITIONS, _PER_CHANNEL * len(each.ids)) // batches + 1
            moments[each.name] = found = Moments(each, limit)
            wanted[id(each.layer)] = lambda x, each=each, found=found: found.add(each.read(x), rng)
        for _ in each_read(self._anatomy.model, parts(self._probe.x, rows, self._batch), wanted):
            pass
        self._thinned |= any(each.used < each.positions for each in moments.values())
        return moments

    def _combinations(self, each: Consumer, fitted: Moments, judged: Moments) -> list[Combination]:
        kept, removed = self._split(each)
        weights = each.weights()
        return [
            combination(fitted.products[group], judged.products[group], kept, removed, weights[group], each.constant)
            for group in range(each.groups)
        ]

    def _split(self, each: Consumer) -> tuple[np.ndarray, np.ndarray]:
        removed = np.isin(self._anatomy.units.roots(each.ids), list(self._groups))
        return np.flatnonzero(~removed), np.flatnonzero(removed)

    def _carrier(self, each: Consumer, moments: Moments, staying: set[int]) -> int | None:
        """The group of a removed unit that has to stay to carry constants; None where there is no need."""
        roots = self._anatomy.units.roots(each.ids)
        gone = np.isin(roots, list(self._groups - staying))
        for group in range(each.groups):
            constant = moments.constant(group)
            # What has one value everywhere becomes part of a bias, unless zeros are read around it.
            needing = constant if each.border or not each.constant else constant & moments.zeros[group]
            for channel in np.flatnonzero(needing & gone):
                if not moments.alike(group, np.flatnonzero(constant & ~gone), int(channel)).any():
                    return int(roots[channel])
        return None

    def _stays(self, root: int, reader: str) -> str:
        made = [name for name, each in self._anatomy.made.items() if (self._anatomy.units.roots(each.ids) == root).any()]
        unit = int(np.flatnonzero(self._anatomy.units.roots(self._anatomy.made[made[0]].ids) == root)[0])
        return f"unit {unit} of {made[0]!r} stays: it is constant, and {reader!r} needs one such for all, at its borders"

    # -- judging, and what comes of it ------------------------------------------------------------------------------------

    def _leaving(self, every: Sequence[Consumer]) -> dict[str, Leaving]:
        """What is left of each layer's error on the samples held out."""
        found = {each.name: Leaving(each, self._solved[each.name]) for each in every}
        wanted = {id(each.layer): found[each.name].add for each in every}
        for _ in each_read(self._anatomy.model, parts(self._probe.x, self._judging, self._batch), wanted):
            pass
        return found

    def _values(self, each: Consumer) -> list[tuple[Any, np.ndarray]]:
        weights = each.weights()
        for group, solved in enumerate(self._solved[each.name]):
            weights[group][:, solved.kept] += np.einsum("kr,tro->tko", solved.of_kept, weights[group][:, solved.removed])
        values = [(each.kernel, each.kernel_of(weights))]
        added = Leaving(each, self._solved[each.name]).constant
        if each.constant and added.any():
            variable, sign = (each.bias, 1) if each.bias is not None else (each.shift, -1)
            before = variable.numpy()
            values.append((variable, (before.astype(np.float64) + sign * added).astype(before.dtype)))
        return values


def _shares(every: Sequence[Consumer]) -> list[list[Consumer]]:
    """The layers in parts whose sums of products fit into memory together."""
    found: list[list[Consumer]] = []
    room = 0
    for each in every:
        needed = 2 * 8 * each.groups * (len(each.ids) + 1) ** 2
        if not found or needed > room:
            found.append([])
            room = _BYTES
        found[-1].append(each)
        room -= needed
    return found


def _named(names: Sequence[str]) -> str:
    few = ", ".join(map(repr, names[:3]))
    return few if len(names) <= 3 else f"{few} and {len(names) - 3} more"
