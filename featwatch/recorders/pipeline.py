"""Runs the recorders of one layer at one epoch, each on what those before it gave."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from featwatch.errors import in_words
from featwatch.recorders.base import LayerSnapshot, NothingToSay, Recorder
from featwatch.records import Record


@dataclass(frozen=True, eq=False)
class Memory:
    """A record that the next one of its kind and layer may continue from, and the reductions it was made of."""

    record: Record
    reductions: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class LayerTask:
    """The recorders that are due for one layer, in an order in which each comes after what it builds on."""

    snapshot: LayerSnapshot
    recorders: tuple[Recorder, ...]
    memory: Mapping[str, Memory] = field(default_factory=dict)      # kind -> what is left of the layer's last record of it


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of one recorder: a record, or the reason why there is none, or the failure that switches it off."""

    recorder: str
    record: Record | None = None
    nothing: str = ""
    failure: str = ""
    seconds: float = 0.0


def analyse(task: LayerTask) -> list[Outcome]:
    """The outcome of every recorder of the task.  Never raises for a recorder's sake."""
    results = dict(task.snapshot.results)
    outcomes = []
    for recorder in task.recorders:
        missing = [base.name for base in recorder.builds_on if base.produces.kind not in results]
        if missing:
            outcomes.append(Outcome(recorder.name, nothing=f"it builds on {missing[0]}, which gave nothing"))
            continue
        before = task.memory.get(recorder.produces.kind)
        snapshot = dataclasses.replace(
            task.snapshot,
            results=results,
            previous=before.record if before else None,
            previous_reductions=before.reductions if before else {},
        )
        started = time.perf_counter()
        outcome = _attempt(recorder, snapshot)
        outcomes.append(dataclasses.replace(outcome, seconds=time.perf_counter() - started))
        if outcome.record is not None:
            results[outcome.record.kind] = outcome.record
    return outcomes


def _attempt(recorder: Recorder, snapshot: LayerSnapshot) -> Outcome:
    try:
        record = recorder.analyse(snapshot)
    except NothingToSay as reason:
        return Outcome(recorder.name, nothing=str(reason))
    except Exception as error:
        return Outcome(recorder.name, failure=in_words(error))
    if record is not None and snapshot.step >= 0:
        record = dataclasses.replace(record, step=snapshot.step)
    return Outcome(recorder.name, record=record)


def remembered(task: LayerTask, outcomes: Sequence[Outcome]) -> dict[str, Memory]:
    """What the layer's next task continues from: kind -> memory, of the recorders that gave a record."""
    wanted = {recorder.produces.kind: recorder.remembers for recorder in task.recorders}
    return {
        outcome.record.kind: Memory(
            outcome.record, {name: task.snapshot.reductions[name] for name in wanted[outcome.record.kind]}
        )
        for outcome in outcomes
        if outcome.record is not None
    }


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
