"""What is to be analysed of a snapshot: tasks for the training process, and tasks for the worker."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace

from featwatch.plan import Plan
from featwatch.recorders.base import AcrossRecorder, Before, LayerSnapshot, Recorder
from featwatch.recorders.pipeline import AcrossTask, LayerTask


def layer_tasks(plan: Plan, recorders: Sequence[Recorder], snapshots: Mapping[str, LayerSnapshot]) -> list[LayerTask]:
    """One task for each layer, with those of the recorders that look at it and take layers one by one."""
    tasks: list[LayerTask] = []
    seen: dict[str, LayerSnapshot] = {}         # recorder's name -> the last layer that it looked at
    for site in plan.sites:
        snapshot = snapshots.get(site.name)
        mine = [recorder for recorder in plan.of_site(site, recorders) if not recorder.explains and not recorder.across]
        if snapshot is None or not mine:
            continue
        before = {recorder.name: _before(recorder, seen[recorder.name]) for recorder in mine if recorder.name in seen}
        seen |= {recorder.name: snapshot for recorder in mine}
        tasks.append(LayerTask(snapshot, tuple(mine), before))
    return tasks


def across_task(plan: Plan, recorders: Sequence[Recorder], snapshots: Mapping[str, LayerSnapshot]) -> AcrossTask | None:
    """The task of those of the recorders that compare layers; None where none does, or no layer is theirs."""
    chosen: dict[Recorder, tuple[str, ...]] = {}
    for recorder in recorders:
        if isinstance(recorder, AcrossRecorder):
            names = [site.name for site in plan.sites if site.name in snapshots and recorder in plan.of_site(site, [recorder])]
            if names:
                chosen[recorder] = tuple(names)
    if not chosen:
        return None
    layers = {site.name: snapshots[site.name] for site in plan.sites if any(site.name in names for names in chosen.values())}
    return AcrossTask(layers, tuple(chosen), {recorder.name: names for recorder, names in chosen.items()})


def _before(recorder: Recorder, snapshot: LayerSnapshot) -> Before:
    return Before(snapshot.layer, {name: snapshot.reductions[name] for name in recorder.wants_before})


def light(snapshot: LayerSnapshot, recorders: Sequence[Recorder]) -> LayerSnapshot:
    """The snapshot with no more than these recorders want."""
    return snapshot if any(recorder.wants_kernel for recorder in recorders) else replace(snapshot, kernel=None)


def of_recorder(snapshot: LayerSnapshot, recorder: Recorder) -> LayerSnapshot:
    """The snapshot with the reductions that this recorder wants, and without weights: small enough to be kept."""
    reductions = {name: snapshot.reductions[name] for name in recorder.reductions if name in snapshot.reductions}
    return replace(snapshot, reductions=reductions, weights=None, bias=None, kernel=None, results={}, shared={})


def stripped(recorder: Recorder) -> Recorder:
    """The recorder as the worker needs it: a predicate on layers would bring Keras along."""
    copied = copy.copy(recorder)
    copied.layers = copied.schedule = None
    return copied
