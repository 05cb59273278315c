"""What an earlier training left in the log that a resumed one continues from."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from featwatch.analysis.sample_events import SampleHistory
from featwatch.probe import Probe
from featwatch.reader import Run, load
from featwatch.recorders.pipeline import Memories, Memory
from featwatch.records import Alert, LayerInfo, Pruning, Record
from featwatch.wire import AXES, WireError


@dataclass(frozen=True)
class Earlier:
    """What to continue from: records, Keras' metrics of the epoch at which the training resumes, alerts that were open."""

    memory: Memories = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    alerts: Sequence[Alert] = ()
    histories: Mapping[str, SampleHistory] = field(default_factory=dict)    # axis -> the predictions so far
    shapes: Mapping[str, tuple[int | None, ...]] = field(default_factory=dict)  # layer -> of what the memory is of, where known
    prunings: Sequence[Pruning] = ()    # up to that epoch: what is recorded of it again supersedes them in the log


def earlier(log_dir: str, epoch: int, probe: Probe) -> Earlier:
    """What the log holds of the training that resumes at `epoch`; nothing where it cannot be read.

    Layouts, clusters and what was predicted are continued only where the probe is the same samples.
    """
    with contextlib.suppress(Exception):        # an unreadable log costs the continuity and nothing else
        run = load(log_dir)
        metrics: Mapping[str, float] = {}
        with contextlib.suppress(KeyError):
            metrics = run.metrics(epoch)
        alerts = [alert for alert in run.alerts if alert.open and alert.updated <= epoch]
        shapes, prunings = _shapes(run, epoch), [each for each in run.prunings if each.epoch <= epoch]
        if _same(run, probe):
            return Earlier(_memories(run, epoch), metrics, alerts, _histories(run, epoch, probe), shapes, prunings)
        return Earlier(metrics=metrics, alerts=alerts, shapes=shapes, prunings=prunings)
    return Earlier()


def _memories(run: Run, last: int) -> Memories:
    memory: Memories = {}
    continued = (
        ("embedding", run.embedding, 0), ("arrangement", run.arrangement, 0), ("clusters", run.clusters, 1),
        ("health", run.health, 1), ("factors", run.factors, 0),
    )  # fmt: skip
    for layer in run.layers:
        newest = {
            # A layout of the same epoch is where the points are now; what became of clusters and filters is told since the
            # record before.
            kind: _newest(accessor, kind, layer, run, {"epochs": last - before, "steps": last})
            for kind, accessor, before in continued
        }
        memory[layer] = {kind: Memory(record) for kind, record in newest.items() if record is not None}
    return memory


def _newest(accessor: Callable[..., Record], kind: str, layer: str, run: Run, last: Mapping[str, int]) -> Record | None:
    """The layer's newest record that can be read, up to the epoch that is the last on its axis.

    By epoch or by step; of both kinds the one of the later epoch, and of the same that by epoch, which was made at its end.
    """
    found = [record for axis in AXES if (record := _newest_on(axis, accessor, kind, layer, run, last[axis])) is not None]
    return max(found, key=lambda record: (record.epoch, record.step < 0), default=None)


def _newest_on(axis: str, accessor: Callable[..., Record], kind: str, layer: str, run: Run, last: int) -> Record | None:
    for place in reversed(run.recorded(kind, layer, axis)):
        if axis == "epochs" and place > last:
            continue
        with contextlib.suppress(WireError):
            record = accessor(layer, **{axis.removesuffix("s"): place})
            if record.epoch <= last:
                return record
    return None


def _histories(run: Run, before: int, probe: Probe) -> dict[str, SampleHistory]:
    histories = {axis: SampleHistory(probe.labels) for axis in AXES}
    for axis, history in histories.items():
        for place in run.recorded("predictions", axis=axis):
            with contextlib.suppress(WireError):
                record = run.predictions(**{axis.removesuffix("s"): place})
                # A record by step says in which epoch it was made; at the end of an epoch that is the epoch itself.
                if record.epoch < before or (axis == "steps" and record.epoch == before):
                    history.follow(record)
    return histories


def _shapes(run: Run, last: int) -> dict[str, tuple[int | None, ...]]:
    """Of what each layer gave for a sample, by the newest session that recorded up to this epoch."""
    sessions = [session for session in run.sessions if session.epoch <= last]
    infos = [LayerInfo.of(entry) for session in sessions[-1:] for entry in session.layers]
    return {info.name: info.shape for info in infos if info is not None}


def _same(run: Run, probe: Probe) -> bool:
    return np.array_equal(run.probe.indices, probe.indices) and np.array_equal(run.probe.labels, probe.labels)
