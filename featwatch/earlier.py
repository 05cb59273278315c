"""What an earlier training left in the log that a resumed one continues from."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from featwatch.probe import Probe
from featwatch.reader import Run, load
from featwatch.recorders.pipeline import Memories, Memory
from featwatch.records import Alert, Record


@dataclass(frozen=True)
class Earlier:
    """What to continue from: records, Keras' metrics of the epoch at which the training resumes, alerts that were open."""

    memory: Memories = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    alerts: Sequence[Alert] = ()


def earlier(log_dir: str, epoch: int, probe: Probe) -> Earlier:
    """What the log holds of the training that resumes at `epoch`; nothing where it cannot be read.

    Layouts and clusters are continued only where the probe is the same samples.
    """
    with contextlib.suppress(Exception):        # an unreadable log costs the continuity and nothing else
        run = load(log_dir)
        metrics: Mapping[str, float] = {}
        with contextlib.suppress(KeyError):
            metrics = run.metrics(epoch)
        alerts = [alert for alert in run.alerts if alert.open and alert.updated <= epoch]
        return Earlier(_memories(run, epoch) if _same(run, probe) else {}, metrics, alerts)
    return Earlier()


def _memories(run: Run, before: int) -> Memories:
    memory: Memories = {}
    for layer in run.layers:
        newest = {"embedding": _newest(run.embedding, layer, run, before), "clusters": _newest(run.clusters, layer, run, before)}
        memory[layer] = {kind: Memory(record) for kind, record in newest.items() if record is not None}
    return memory


def _newest(accessor: Callable[[str, int], Record], layer: str, run: Run, before: int) -> Record | None:
    """The layer's newest record of an epoch `before` which there is one that can be read."""
    for epoch in reversed([epoch for epoch in run.epochs if epoch < before]):
        with contextlib.suppress(KeyError):
            return accessor(layer, epoch)
    return None


def _same(run: Run, probe: Probe) -> bool:
    return np.array_equal(run.probe.indices, probe.indices) and np.array_equal(run.probe.labels, probe.labels)
