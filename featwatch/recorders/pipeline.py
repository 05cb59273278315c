"""Runs the recorders of one layer at one epoch, each on what those before it gave, and those that compare layers."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from featwatch.errors import in_words
from featwatch.recorders.base import AcrossRecorder, Before, LayerSnapshot, NothingToSay, Recorder
from featwatch.records import Record


@dataclass(frozen=True, eq=False)
class Memory:
    """A record that the next one of its kind and layer may continue from, and the reductions it was made of."""

    record: Record
    reductions: Mapping[str, np.ndarray] = field(default_factory=dict)
    generation: int = 0                 # of the layer's filters

    def held(self, generation: int, recorder: Recorder) -> Memory | None:
        """What of it a recorder goes on from in a layer of this generation; None where nothing does."""
        if self.generation == generation or recorder.outlasts == "all":
            return self
        return replace(self, reductions={}) if recorder.outlasts == "record" else None


Memories = dict[str, dict[str, Memory]]     # layer -> kind -> what its next task continues from


@dataclass(frozen=True, eq=False)
class LayerTask:
    """The recorders that are due for one layer, in an order in which each comes after what it builds on."""

    snapshot: LayerSnapshot
    recorders: tuple[Recorder, ...]
    before: Mapping[str, Before] = field(default_factory=dict)      # recorder's name -> the layer before, of those it looks at
    memory: Mapping[str, Memory] = field(default_factory=dict)      # kind -> what is left of the layer's last record of it
    beside: Mapping[str, Record] = field(default_factory=dict)      # kind -> the record of the layer before, at the same epoch

    @property
    def layer(self) -> str:
        return self.snapshot.layer

    @property
    def snapshots(self) -> tuple[LayerSnapshot, ...]:
        return (self.snapshot,)

    def continued(self, memories: Memories) -> LayerTask:
        """The task with what it continues from."""
        beside = {}
        for recorder in self.recorders:
            kind, before = recorder.produces.kind, self.before.get(recorder.name)
            known = memories.get(before.layer, {}).get(kind) if before is not None else None
            if known is not None and (known.record.epoch, known.record.step) == (self.snapshot.epoch, self.snapshot.step):
                beside[kind] = known.record
        return replace(self, memory=memories.get(self.layer, {}), beside=beside)

    def outcomes(self) -> list[Outcome]:
        results, shared = dict(self.snapshot.results), dict[str, Any]()
        outcomes = []
        for recorder in self.recorders:
            missing = [base for base in recorder.builds_on if base.produces.kind not in results]
            if any(base.explains for base in missing):
                continue                # it takes layers by turns, or has said why there is nothing
            if missing:
                outcomes.append(Outcome(recorder.name, nothing=f"it builds on {missing[0].name}, which gave nothing"))
                continue
            kind = recorder.produces.kind
            snapshot = replace(
                _with_memory(self.snapshot, self.memory.get(kind), recorder),
                results=results, shared=shared, before=self.before.get(recorder.name), beside=self.beside.get(kind),
            )  # fmt: skip
            outcomes.append(_attempt(recorder, functools.partial(recorder.analyse, snapshot), snapshot.step))
            if outcomes[-1].record is not None:
                results[kind] = outcomes[-1].record
        return outcomes


@dataclass(frozen=True, eq=False)
class AcrossTask:
    """The recorders that are due to compare layers, and these layers, in graph order: a subset for each recorder."""

    layers: Mapping[str, LayerSnapshot]
    recorders: tuple[Recorder, ...]
    chosen: Mapping[str, tuple[str, ...]]                           # recorder's name -> names of its layers
    memories: Memories = field(default_factory=dict)

    layer = ""

    @property
    def snapshot(self) -> LayerSnapshot:
        """One of them, for what is the same of all."""
        return self.snapshots[0]

    @property
    def snapshots(self) -> tuple[LayerSnapshot, ...]:
        return tuple(self.layers.values())

    def continued(self, memories: Memories) -> AcrossTask:
        """The task with what it continues from."""
        kinds = {recorder.produces.kind for recorder in self.recorders}
        known = {name: {kind: memory for kind, memory in memories.get(name, {}).items() if kind in kinds} for name in self.layers}
        return replace(self, memories=known)

    def outcomes(self) -> list[Outcome]:
        outcomes = []
        for recorder in self.recorders:
            assert isinstance(recorder, AcrossRecorder)
            snapshots = [
                _with_memory(self.layers[name], self.memories.get(name, {}).get(recorder.produces.kind), recorder)
                for name in self.chosen[recorder.name]
            ]
            outcomes.append(_attempt(recorder, functools.partial(recorder.analyse_layers, snapshots), self.snapshot.step))
        return outcomes


Task = LayerTask | AcrossTask


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of one recorder: a record, or the reason why there is none, or the failure that switches it off."""

    recorder: str
    record: Record | None = None
    nothing: str = ""
    failure: str = ""
    seconds: float = 0.0


def analyse(task: Task) -> list[Outcome]:
    """The outcome of every recorder of the task.  Never raises for a recorder's sake."""
    return task.outcomes()


def _with_memory(snapshot: LayerSnapshot, memory: Memory | None, recorder: Recorder) -> LayerSnapshot:
    memory = None if memory is None else memory.held(snapshot.generation, recorder)
    return snapshot if memory is None else replace(snapshot, previous=memory.record, previous_reductions=memory.reductions)


def _attempt(recorder: Recorder, analysis: Callable[[], Record | None], step: int) -> Outcome:
    started = time.perf_counter()
    outcome = Outcome(recorder.name)
    try:
        record = analysis()
        if record is not None and step >= 0:
            record = replace(record, step=step)
        outcome = replace(outcome, record=record)
    except NothingToSay as reason:
        outcome = replace(outcome, nothing=str(reason))
    except Exception as error:
        outcome = replace(outcome, failure=in_words(error))
    return replace(outcome, seconds=time.perf_counter() - started)


def remembered(task: Task, outcomes: Sequence[Outcome]) -> Memories:
    """What the next tasks continue from: layer -> kind -> memory, of the recorders that gave a record."""
    wanted = {recorder.produces.kind: recorder.remembers for recorder in task.recorders}
    kept: Memories = {snapshot.layer: {} for snapshot in task.snapshots}
    for record in (outcome.record for outcome in outcomes):
        if record is None:
            continue
        for snapshot in task.snapshots:
            names = [name for name in wanted[record.kind] if name in snapshot.reductions]
            reductions = {name: snapshot.reductions[name] for name in names}
            kept[snapshot.layer][record.kind] = Memory(record, reductions, snapshot.generation)
    return kept


def still_held(known: Memories, recorders: Sequence[Recorder], generations: Mapping[str, int]) -> Memories:
    """What these recorders go on from in layers of these generations, 0 where none is told; counted from 0 again."""
    of_kind = {recorder.produces.kind: recorder for recorder in recorders}
    held: Memories = {}
    for layer, by_kind in known.items():
        now = generations.get(layer, 0)
        found = {kind: memory.held(now, of_kind[kind]) for kind, memory in by_kind.items() if kind in of_kind}
        held[layer] = {kind: replace(memory, generation=0) for kind, memory in found.items() if memory is not None}
    return held


def in_order(recorders: Sequence[Recorder]) -> list[Recorder]:
    """The recorders, each after what it builds on; otherwise in the given order.

    Raises ValueError where something that one builds on is missing, or one kind stands there twice.
    """
    ordered: list[Recorder] = []
    for recorder in recorders:
        if any(type(other) is type(recorder) for other in recorders if other is not recorder):
            raise ValueError(f"recorders: {type(recorder).__name__} stands there twice; keep one")
        for base in recorder.builds_on:
            if not any(isinstance(other, base) for other in recorders):
                name = type(recorder).__name__
                raise ValueError(f"recorders: {name} builds on {base.__name__}; add featwatch.{base.__name__}() to the list")
    waiting = list(recorders)
    while waiting:
        ready = next(r for r in waiting if all(any(isinstance(o, base) for o in ordered) for base in r.builds_on))
        waiting.remove(ready)
        ordered.append(ready)
    return ordered
