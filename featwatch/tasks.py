"""What is to be analysed of a snapshot: the layers in arrays, tasks for the training process, and tasks for the worker."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from featwatch.layers import Site
from featwatch.plan import Plan
from featwatch.recorders.base import AcrossRecorder, Before, LayerSnapshot, Recorder
from featwatch.recorders.pipeline import AcrossTask, LayerTask
from featwatch.records import LayerInfo
from featwatch.sketch import distance_error
from featwatch.weights import filter_bias, filter_weights, inputs_per_filter, kernel_of, normalisation_of


def layer_snapshot(
    site: Site, info: LayerInfo, reduced: Mapping[str, np.ndarray], labels: np.ndarray,
    *, epoch: int, step: int, generation: int, kernel: bool,
) -> LayerSnapshot:  # fmt: skip
    """What there is of a layer now: what the pass over the probe gave, and its weights; `kernel`: whether that is wanted too."""
    return LayerSnapshot(
        epoch=epoch,
        step=step,
        generation=generation,
        info=info,
        labels=labels,
        reductions=reduced,
        weights=filter_weights(site.layer),
        bias=filter_bias(site.layer),
        kernel=kernel_of(site.layer) if kernel else None,
        normalisation=normalisation_of(site.normalisation),
        direct=site.direct,
        inputs_per_filter=inputs_per_filter(site.layer),
        passing=site.passing,
        distance_error=distance_error(reduced),
    )


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
