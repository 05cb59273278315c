"""What an earlier training left in the log that a resumed one continues from."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from featwatch.probe import Probe
from featwatch.reader import Run, load
from featwatch.recorders.pipeline import Memories, Memory
from featwatch.records import Alert


@dataclass(frozen=True)
class Earlier:
    """Layouts to start from, Keras' metrics of the epoch at which the training resumes, and the alerts that were open."""

    memory: Memories = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    alerts: Sequence[Alert] = ()


def earlier(log_dir: str, epoch: int, probe: Probe) -> Earlier:
    """What the log holds of the training that resumes at `epoch`; nothing where it cannot be read.

    Layouts are continued only where the probe is the same samples.
    """
    with contextlib.suppress(Exception):        # an unreadable log costs the continuity and nothing else
        run = load(log_dir)
        metrics: Mapping[str, float] = {}
        with contextlib.suppress(KeyError):
            metrics = run.metrics(epoch)
        alerts = [alert for alert in run.alerts if alert.open and alert.updated <= epoch]
        return Earlier(_layouts(run, epoch) if _same(run, probe) else {}, metrics, alerts)
    return Earlier()


def _layouts(run: Run, before: int) -> Memories:
    memory: Memories = {}
    for layer in run.layers:
        for epoch in reversed([epoch for epoch in run.epochs if epoch < before]):
            with contextlib.suppress(KeyError):
                memory[layer] = {"embedding": Memory(run.embedding(layer, epoch))}
                break
    return memory


def _same(run: Run, probe: Probe) -> bool:
    return np.array_equal(run.probe.indices, probe.indices) and np.array_equal(run.probe.labels, probe.labels)
