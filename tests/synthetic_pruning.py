"""Pruning in a training that never happened: what could go, what went, and what came back.

The story: scores of units are fixed, the lowest go first.  A dry run proposes, steps follow at epochs of their own, one of them
is undone by the guard.  Sizes are counted, not made up: parameters and multiply-adds are those of the chain of layers.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from featwatch.records import EpochLog, ModelSize, Pruning, PruningOutlook, Record, Session
from tests.synthetic_features import Training

Units = Mapping[str, np.ndarray]        # layer -> the units that are left, numbered as before all pruning
COUPLED = "LayerNormalization over channels couples all of them: leaving one out changes the others."
OUTPUT = "It gives what the model gives: 'scores' has to keep its shape."


@dataclass(frozen=True)
class Part:
    """A layer of the made-up net: `follows` names the one whose units it passes on; `reads` the one before it."""

    name: str
    type: str
    units: int
    reads: str = ""
    follows: str = ""
    joins: str = ""                 # the first of those that a sum ties it to
    side: int = 1                   # of its maps
    kernel: int = 1
    frozen: str = ""
    fixed: int = 0                  # units that cannot go, though others can


@dataclass(frozen=True)
class Prunings:
    """What is recorded of pruning.  Everything follows from the fields."""

    deep: int = 0                               # so many blocks of a residual net instead of the story's layers
    pruned: tuple[int, ...] = (4, 7, 13)
    undone: tuple[int, ...] = (9,)              # each takes back the step before it
    proposed: tuple[int, ...] = (2,)
    refused: tuple[int, ...] = (16,)
    share: float = 0.12                         # of the original units, at a step
    every: int = 5                              # epochs between two outlooks; 0 = none
    ratios: tuple[float, ...] = tuple(i / 20 for i in range(19))
    labelled: bool = True                       # whether there is an accuracy of the probe
    measured: bool = True                       # whether anything was measured on the probe at all
    drawn: bool = True                          # whether it was with units drawn at random, too
    frozen: str = ""                            # the reason why nothing can go; "" = most can
    recorded: tuple[str, ...] = ("pruning", "size", "outlook")
    note: str = ""
    seed: int = 0

    def told(self, story: Training, record: Record) -> Iterator[Record]:
        """A record of the story, and the records that belong beside it."""
        if isinstance(record, Session):
            recorders = {**record.recorders, **({"pruning_outlook": {}} if "outlook" in self.recorded else {})}
            yield dataclasses.replace(record, recorders=recorders)
            return
        yield record
        if isinstance(record, EpochLog):
            net = Net(self.parts(story), self.seed)
            history = self.history(net, story.epochs)
            for one in self.of_epoch(net, history, record.epoch, story.progress(record.epoch)):
                if one.kind in self.recorded:
                    yield one

    def parts(self, story: Training) -> tuple[Part, ...]:
        parts = residual(self.deep) if self.deep else chain(story)
        return tuple(dataclasses.replace(part, frozen=self.frozen) for part in parts) if self.frozen else parts

    def history(self, net: Net, last: int) -> list[Units]:
        """The units that are left after each epoch."""
        now, before, all_units = net.whole(), net.whole(), []
        for epoch in range(last + 1):
            if epoch in self.pruned:
                now, before = net.without(now, self.share), now
            elif epoch in self.undone:
                now = before
            all_units.append(now)
        return all_units

    def of_epoch(self, net: Net, history: list[Units], epoch: int, progress: float) -> Iterator[Record]:
        now, before = history[epoch], history[max(epoch - 1, 0)]
        for action in ("pruned", "undone", "proposed", "refused"):
            if epoch in getattr(self, action):
                after = now if action in ("pruned", "undone") else net.without(before, self.share)
                yield self.step(net, action, epoch, before, after)
        parameters, multiply_adds = net.cost(now)
        yield ModelSize(
            epoch=epoch, parameters=parameters, multiply_adds=multiply_adds, units=net.prunable(now),
            latency=latency(multiply_adds), latency_batch=32,
        )  # fmt: skip
        if self.every and epoch % self.every == 0:
            yield self.outlook(net, before, epoch, progress)      # the watch records before units go

    def step(self, net: Net, action: str, epoch: int, before: Units, after: Units) -> Pruning:
        goes = {name: np.setxor1d(before[name], after[name]) for name in before}
        numbered = before if action != "undone" else after
        removed = {name: np.flatnonzero(np.isin(numbered[name], units)).tolist() for name, units in goes.items() if len(units)}
        (parameters, multiply_adds), (fewer, cheaper) = net.cost(before), net.cost(after)
        reasons = {
            "pruned": "4 alerts of the kind 'redundant filters' have held for 3 checks.",
            "undone": "val_loss rose from 0.412 to 0.463 within 2 epochs, more than the 5 % that were allowed.",
            "proposed": "A dry run: these are the units of the lowest group norm.",
            "refused": "The guard is still watching the step of epoch 13: 1 epoch of the cooldown is left.",
        }
        common: dict[str, Any] = {
            "epoch": epoch, "action": action, "reason": reasons[action], "criterion": "redundancy", "monitor": "val_loss",
        }  # fmt: skip
        if action == "refused":
            return Pruning(**common, units_before=net.prunable(before), units_original=net.prunable(net.whole()))
        return Pruning(
            **common, removed=removed, origin={name: units.tolist() for name, units in goes.items() if len(units)},
            units_before=net.prunable(before), units_after=net.prunable(after), units_original=net.prunable(net.whole()),
            parameters_before=parameters, parameters_after=fewer, multiply_adds_before=multiply_adds, multiply_adds_after=cheaper,
            latency_before=latency(multiply_adds), latency_after=math.nan if action == "proposed" else latency(cheaper),
            latency_batch=32,
            value_before=0.44 - 0.004 * epoch, value_after=0.463 if action == "undone" else math.nan,
            error=math.nan if action == "undone" else 0.018, seconds=math.nan if action == "proposed" else 0.84,
            note="Batch normalisations were recalibrated on 512 samples." if action == "pruned" else "",
        )  # fmt: skip

    def outlook(self, net: Net, now: Units, epoch: int, progress: float) -> PruningOutlook:
        parts, ratios = net.parts, np.array(self.ratios, np.float32)
        turns = net.turns(now, self.ratios)
        left = [{name: units[turns[name] > ratio] for name, units in now.items()} for ratio in ratios]
        costs = np.array([net.cost(one) for one in left], np.float64)
        fall = 1 / (1 + np.exp(-(ratios - 0.15 - 0.4 * progress) * 11))
        accuracy = 0.1 + (0.1 + 0.86 * progress**0.8 - 0.1) * (1 - np.maximum(0, fall - fall[0]))
        unknown = np.full(len(ratios), np.nan)
        units = np.array([len(now[part.name]) for part in parts], np.int32)
        stays = np.array([[len(one[part.name]) for part in parts] for one in left], np.int32)
        names, sums = [part.name for part in parts], {part.name: part.joins or part.name for part in parts}
        together = np.array([-1 if part.frozen else names.index(sums[part.follows or part.name]) for part in parts], np.int32)
        sooner = 1 / (1 + np.exp(-(ratios - 0.08 - 0.3 * progress) * 9))
        drawn = {
            "random_accuracy": 0.1 + 0.86 * progress**0.8 * (1 - np.maximum(0, sooner - sooner[0])) if self.labelled else unknown,
            "random_change": 1.15 * np.maximum(0, sooner - sooner[0]) ** 0.7,
        }  # fmt: skip
        drawn = {name: np.asarray(values, np.float32) for name, values in drawn.items()} if self.measured and self.drawn else {}
        return PruningOutlook(
            epoch=epoch, criterion="redundancy", together=together, **drawn, layers=np.array([part.name for part in parts]),
            types=np.array([part.type for part in parts]), mixes=np.array([not part.follows for part in parts]),
            frozen=np.array([part.frozen for part in parts]), units=units,
            fixed=np.minimum(units, [part.units if part.frozen else part.fixed for part in parts]).astype(np.int32),
            ratios=ratios, going=units - stays,
            parameters=costs[:, 0], multiply_adds=costs[:, 1],
            accuracy=(accuracy if self.labelled and self.measured else unknown).astype(np.float32),
            change=(1.1 * np.maximum(0, fall - fall[0]) ** 0.7 if self.measured else unknown).astype(np.float32),
            turn=np.concatenate([turns[part.name] for part in parts]).astype(np.float32), note=self.note,
        )  # fmt: skip


@dataclass(frozen=True)
class Net:
    """The made-up net: what goes when, and what is left then."""

    parts: tuple[Part, ...]
    seed: int = 0
    scores: dict[str, np.ndarray] = field(init=False, default_factory=dict)

    @cached_property
    def by_name(self) -> Mapping[str, Part]:
        return {part.name: part for part in self.parts}

    def score(self, name: str) -> np.ndarray:
        """(units,) of a layer before any pruning; infinite where a unit cannot go."""
        if name not in self.scores:
            part, place = self.by_name[name], [one.name for one in self.parts].index(name)
            rng = np.random.default_rng((self.seed, place))
            scores = rng.beta(2, 3 + 3 * rng.random(), part.units)
            if part.follows:
                scores = self.score(part.follows)
            else:
                scores[int(scores.argmax())] = np.inf                               # every tensor keeps one
                scores[: part.fixed] = np.inf
            self.scores[name] = np.full(part.units, np.inf) if part.frozen else scores
        return self.scores[name]

    def whole(self) -> Units:
        return {part.name: np.arange(part.units) for part in self.parts}

    def prunable(self, units: Units) -> int:
        return sum(len(units[part.name]) for part in self.parts if not part.follows and not part.frozen)

    def turns(self, now: Units, ratios: tuple[float, ...]) -> dict[str, np.ndarray]:
        """(units left,) of each layer: the first of the ratios at which a unit goes; infinity = at none."""
        ranked = np.sort(np.concatenate([self.score(part.name)[now[part.name]] for part in self.parts if not part.follows]))
        ranked, total, found = ranked[np.isfinite(ranked)], max(1, self.prunable(now)), {}
        counts = [min(int(ratio * total), len(ranked)) for ratio in ratios]
        bounds = [ranked[count - 1] if count else -np.inf for count in counts]
        for name, units in now.items():
            at = np.searchsorted(bounds, self.score(name)[units])
            found[name] = np.append(np.array(ratios, np.float32), np.float32(np.inf))[at]
        return found

    def without(self, now: Units, share: float) -> Units:
        wanted = share * self.prunable(self.whole()) / max(1, self.prunable(now))
        turns = self.turns(now, (0.0, wanted))
        return {name: units[turns[name] > wanted] for name, units in now.items()}

    def cost(self, units: Units) -> tuple[int, int]:
        """Parameters, and multiply-adds for one sample."""
        parameters = multiply_adds = 0
        for part in self.parts:
            n = len(units[part.name])
            if part.follows:
                parameters += 4 * n
                continue
            weights = part.kernel**2 * (len(units[part.reads]) if part.reads else 3) * n
            parameters += weights + n
            multiply_adds += weights * part.side**2
        return parameters, multiply_adds


def latency(multiply_adds: int) -> float:
    """Milliseconds for a sample: it falls less than the multiply-adds do."""
    return round(0.11 + 2.4 * math.sqrt(multiply_adds / 4e8), 4)


def chain(story: Training) -> tuple[Part, ...]:
    """The story's layers, a batch normalisation behind each convolution; the last layer is frozen."""
    parts: list[Part] = []
    reads = ""
    for index, info in enumerate(story.layer_infos):
        spatial = len(info.shape) == 3
        last = index == len(story.layer_infos) - 1
        parts.append(Part(
            info.name, info.type, info.filters, reads, side=info.shape[0] or 1 if spatial else 1, kernel=3 if spatial else 1,
            frozen=OUTPUT if last else "", fixed=info.filters // 4 if index == 1 else 0,
        ))  # fmt: skip
        reads = info.name
        if spatial:
            held = {"frozen": parts[-1].frozen, "fixed": parts[-1].fixed}
            parts.append(Part(f"{info.name}_bn", "BatchNormalization", info.filters, follows=info.name, **held))
    return tuple(parts)


def residual(blocks: int) -> tuple[Part, ...]:
    """A residual net of so many blocks of three convolutions in four stages, each with its batch normalisation."""
    parts = [Part("stem", "Conv2D", 64, side=112, kernel=7), Part("stem_bn", "BatchNormalization", 64, follows="stem")]
    for block in range(blocks):
        stage = 4 * block // blocks
        width, side, before = 64 * 2**stage, 56 // 2**stage, parts[-2].name if block == 0 else f"block{block}_3_conv"
        for at, (units, kernel) in enumerate(((width, 1), (width, 3), (4 * width, 1)), 1):
            name = f"block{block + 1}_{at}_conv"
            reason = COUPLED if at == 3 and stage == 3 else ""
            joins = f"block{-(-stage * blocks // 4) + 1}_3_conv" if at == 3 else ""     # of its stage's stream
            parts.append(Part(name, "Conv2D", units, before, joins=joins, side=side, kernel=kernel, frozen=reason))
            parts.append(Part(f"block{block + 1}_{at}_bn", "BatchNormalization", units, follows=name, frozen=reason))
            before = name
    return (*parts, Part("predictions", "Dense", 1000, parts[-2].name, frozen=OUTPUT))


def hostile(text: str, epoch: int) -> Iterator[Record]:
    """Records that no recorder would write: `text` wherever one may stand, counts that contradict each other, no numbers."""
    nothing, large = math.nan, 2**31 - 1
    yield Pruning(
        epoch=epoch, action="pruned", reason=text, criterion=text, monitor=text, note=text,
        removed={text: "many", "b": 7, "c": [[]], "d": None}, origin={}, units_before=-7, units_after=large,
        parameters_before=2**62, parameters_after=0, value_before=math.inf, seconds=-1.0,
    )  # fmt: skip
    yield ModelSize(epoch=epoch, parameters=-5, multiply_adds=2**62, latency=-1.0, latency_batch=-3, note=text)
    yield PruningOutlook(
        epoch=epoch, criterion=text, note=text, layers=np.array([text, text, "", "x" * 5000]),
        types=np.array([text, "", text, "Conv2D"]), frozen=np.array(["", "", text, ""]),
        units=np.array([-3, large, 0, 8], np.int32), mixes=np.array([False, True, True, False]),
        fixed=np.array([9, -9, 4, 99], np.int32), ratios=np.array([nothing, 0.5, 0.5, -1, 3e38, 1], np.float32),
        going=np.array([[9, -9, large, 1]] * 6, np.int32), parameters=np.array([nothing, math.inf, -1, 0, 1e308, 5]),
        multiply_adds=np.full(6, nothing), accuracy=np.array([nothing, 3e38, -3e38, math.inf, 2, 0.5], np.float32),
        change=np.full(6, math.inf, np.float32), turn=np.array([0.5, nothing], np.float32),
        random_accuracy=np.array([nothing, 3e38, -3e38, math.inf, 2, -9], np.float32), random_change=np.full(6, -1, np.float32),
        together=np.array([large, -9, 7, large], np.int32),
    )  # fmt: skip


def unreadable(epoch: int) -> PruningOutlook:
    """An outlook of which nothing can be made."""
    empty, none = np.array([], str), np.zeros(0, np.int32)
    return PruningOutlook(
        epoch=epoch, layers=empty, types=empty, units=none, mixes=np.zeros(0, bool), frozen=empty, fixed=none,
        ratios=np.zeros(0, np.float32), going=np.zeros((0, 0), np.int32), parameters=np.zeros(0), multiply_adds=np.zeros(0),
        accuracy=np.zeros(0, np.float32), change=np.zeros(0, np.float32), turn=np.zeros(0, np.float32),
    )  # fmt: skip
