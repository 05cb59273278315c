"""Weights that make up for removed units, from what these and those that stay gave on a probe; and how well they do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from featwatch.prune.anatomy import Anatomy
from featwatch.prune.compensation.bounds import MOST, batch_within, layers_within, samples_within
from featwatch.prune.compensation.consumers import Consumer, consumers
from featwatch.prune.compensation.measuring import Leaving, of_outputs
from featwatch.prune.compensation.solving import Combination, combination
from featwatch.prune.compensation.statistics import Moments, Rows, each_read, parts, taken

FEWEST = 8                          # samples of a probe, of which it takes something to hold out
_HELD_OUT = 4                       # of so many samples one
_POSITIONS = 8192                   # of what a layer reads, at most; more where it reads many channels
_PER_CHANNEL = 4
_JUDGED = 4096                      # of them, that combinations are judged on
_BYTES = 512 << 20                  # of sums of products, and of rows, at a time: a wide model is run several times
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
    model: Any, groups: Iterable[int], probe: Any, *, samples: int = 256, merge_constants: bool = True,
    multiply_adds: float = MOST,
) -> Compensation:  # fmt: skip
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
        multiply_adds: about how many it may take.  Where all would take more, the widest layers are not compensated, and
            fewer samples are taken, eight at least; the notes say so.

    Raises:
        ValueError: the probe has too few samples.
        TypeError: `probe` is no `Probe`.

    Source: least squares on channels as in ThiNet (Luo et al. 2017) and channel pruning (He et al. 2017, equation 1).
    """
    anatomy = model if isinstance(model, Anatomy) else Anatomy(model)
    found = _Compensating(anatomy, set(groups), probe, taken(probe, samples), multiply_adds)
    return found.compensated(merge_constants)


class _Compensating:
    def __init__(self, anatomy: Anatomy, groups: set[int], probe: Any, rows: np.ndarray, most: float) -> None:
        if len(rows) < FEWEST:
            raise ValueError(f"probe: {len(rows)} samples; compensation holds every fourth out: give {FEWEST} or more")
        self._anatomy, self._groups, self._probe = anatomy, groups, probe
        self._notes: list[str] = []
        self._solved: dict[str, list[Combination]] = {}
        self._known: dict[str, tuple[Moments, Rows]] = {}       # of what each layer reads, that compensates
        self._thinned = False
        self._batch = batch_within(anatomy, probe.batch_size)
        found = [each for each in consumers(anatomy, groups).known if len(each.ids) <= _WIDEST]
        places, taking = layers_within(
            found, [len(self._split(each)[1]) for each in found], [self._rows(each, len(rows)) for each in found], most
        )
        self._costly = {each.name for each in found} - {found[place].name for place in places}
        if self._costly:
            costly = _named(sorted(self._costly))
            self._notes.append(f"{costly} not compensated: all together would take more than {most:,.0f} multiply-adds")
        count = max(samples_within(anatomy, probe, len(rows), most, taking), FEWEST)
        if count < len(rows):
            self._notes.append(f"{len(rows)} samples would take more than {most:,.0f} multiply-adds")
            rows = rows[np.unique(np.linspace(0, len(rows) - 1, count).astype(int))]
        held = np.arange(len(rows)) % _HELD_OUT == _HELD_OUT - 1
        self._fitting, self._judging = rows[~held], rows[held]

    def compensated(self, merge_constants: bool) -> Compensation:
        every = self._solve(merge_constants)
        leaving, whole = self._leaving(every)
        helping = [each for each in every if leaving[each.name].error < leaving[each.name].without]
        left = [each.name for each in every if each not in helping and leaving[each.name].without > 0]
        if left:
            self._notes.append(f"{_named(left)} as before: nothing was gained on samples held out")
        values = [pair for each in helping for pair in self._values(each)]
        judged = parts(self._probe.x, self._judging, self._batch)
        without, error = of_outputs(self._anatomy, self._groups, values, judged, whole)
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

    def _solve(self, merge_constants: bool) -> list[Consumer]:
        """The layers that can make up for channels; `_solved` has how.  Begins anew when a unit has to stay."""
        while True:
            found = consumers(self._anatomy, self._groups)
            self._solved.clear()
            staying: dict[int, str] = {}
            wide = [each.name for each in found.known if len(each.ids) > _WIDEST]
            every = [each for each in found.known if each.name not in {*wide, *self._costly}]
            shares = self._shares(every)
            for some in shares:
                if any(each.name not in self._known for each in some):
                    self._known = self._measured(some)
                if merge_constants:
                    for each in some:
                        root = self._carrier(each, self._known[each.name][0], set(staying))
                        if root is not None:
                            staying[root] = each.name
                if not staying:
                    self._solved |= {each.name: self._combinations(each) for each in some}
            if not staying:
                break
            self._groups -= set(staying)
            self._notes += [self._stays(root, name) for root, name in staying.items()]
        self._known.clear()
        if found.unknown:
            self._notes.append(f"{_named(found.unknown)} not compensated: not a convolution or dense layer")
        if wide:
            self._notes.append(f"{_named(wide)} not compensated: more than {_WIDEST:,} channels")
        plain = [each.name for each in every if not each.constant]
        if plain:
            self._notes.append(f"{_named(plain)}: no bias that could take over a constant")
        return every

    def _rows(self, each: Consumer, samples: int) -> int:
        """Of how many positions of what a layer reads its combination is found, about."""
        most = max(_POSITIONS, _PER_CHANNEL * len(each.ids))
        return most if each.positions is None else min(most, each.positions * samples)

    def _measured(self, some: Sequence[Consumer]) -> dict[str, tuple[Moments, Rows]]:
        fitted, judged = {}, {}
        for each in some:
            most, batches = self._rows(each, len(self._fitting)), -(-len(self._fitting) // self._batch)
            fitted[each.name] = Moments(each, most // batches + 1, fewer=most <= len(each.ids))
            judged[each.name] = Rows(each, _JUDGED // -(-len(self._judging) // self._batch) + 1)
        for rows, known in ((self._fitting, fitted), (self._judging, judged)):
            rng = np.random.default_rng(0)
            wanted = {
                id(each.layer): lambda x, each=each, own=known[each.name], rng=rng: own.add(each.read(x), rng)
                for each in some
            }
            for _ in each_read(self._anatomy.model, parts(self._probe.x, rows, self._batch), wanted):
                pass
            self._thinned |= any(each.used < each.positions for each in known.values())
        return {name: (fitted[name], judged[name]) for name in fitted}

    def _combinations(self, each: Consumer) -> list[Combination]:
        kept, removed = self._split(each)
        (fitted, judged), weights = self._known[each.name], each.weights()
        return [
            combination(fitted.known(group), judged.of(group), kept, removed, weights[group], each.constant)
            for group in range(each.groups)
        ]

    def _shares(self, every: Sequence[Consumer]) -> list[list[Consumer]]:
        """The layers in parts of which what has to be known fits into memory together."""
        found: list[list[Consumer]] = []
        room = 0
        for each in every:
            size, rows = len(each.ids) + 1, self._rows(each, len(self._fitting))
            judged = min(_JUDGED, self._rows(each, len(self._judging)))
            needed = each.groups * size * (4 * judged + min(4 * rows, 8 * size))
            if not found or needed > room:
                found.append([])
                room = _BYTES
            found[-1].append(each)
            room -= needed
        return found

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

    def _leaving(self, every: Sequence[Consumer]) -> tuple[dict[str, Leaving], list[np.ndarray]]:
        """What is left of each layer's error on the samples held out, and what the model gives for these."""
        found = {each.name: Leaving(each, self._solved[each.name]) for each in every}
        wanted = {id(each.layer): found[each.name].add for each in every}
        given = list(each_read(self._anatomy.model, parts(self._probe.x, self._judging, self._batch), wanted))
        return found, [np.concatenate(each) for each in zip(*given, strict=True)]

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


def _named(names: Sequence[str]) -> str:
    few = ", ".join(map(repr, names[:3]))
    return few if len(names) <= 3 else f"{few} and {len(names) - 3} more"
