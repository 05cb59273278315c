"""One opening of the log by a `fit`: from the model's state at an epoch to records in the event file."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from featwatch import __version__
from featwatch.background import Analyst, BackgroundAnalyst, InlineAnalyst, Memories, Progress
from featwatch.errors import notify
from featwatch.layers import Site
from featwatch.plan import Plan
from featwatch.predictions import predictions
from featwatch.probe import Probe
from featwatch.recorders.base import LayerSnapshot, Recorder
from featwatch.recorders.pipeline import LayerTask, Outcome, analyse
from featwatch.records import Closing, EpochLog, Journal, Session
from featwatch.taps import TapPass, distance_error
from featwatch.weights import filter_bias, filter_weights
from featwatch.writers import Writer


class Recording:
    """Records snapshots of one model until the `fit` ends.

    Arguments:
        model, probe, plan: what is watched.
        writer: where records go; closed by `finish`.
        background: whether the analysis runs in a worker process.
        output: index of the model's output that holds the class scores; −1 = none does.
        memory: what the analysis continues from.
    """

    def __init__(
        self,
        model: Any,
        probe: Probe,
        plan: Plan,
        writer: Writer,
        *,
        background: bool,
        output: int,
        memory: Memories,
    ) -> None:
        self._model = model
        self._probe = probe
        self._plan = plan
        self._writer = writer
        self._output = output
        self._started = time.time()
        self._taps: dict[frozenset[Recorder], TapPass] = {}
        self._off: set[str] = set()                     # names of recorders that failed
        self._fatal: str = ""                           # the first failure, for `strict`
        self._first_epoch = 0
        self._entries: list[dict[str, Any]] = []        # of the journal, not yet written
        self._lock = threading.Lock()
        self.seconds: dict[str, float] = {}             # of analysis, by recorder
        self._analyst: Analyst = (
            BackgroundAnalyst(self._deliver, self._trouble) if background else InlineAnalyst(self._deliver)
        )
        self._analyst.memory.update(memory)

    def open(self, first_epoch: int, *, epochs_planned: int, schedule: str) -> None:
        """Trace and compile the forward pass, and write what is known before the first snapshot."""
        self._first_epoch = first_epoch
        taps = self._tap_pass(self._plan.recorders)
        self._writer.write(
            Session(
                epoch=first_epoch,
                started=self._started,
                layers=tuple(taps.info(site).as_dict() for site in self._plan.sites),
                recorders={recorder.name: recorder.options() for recorder in self._plan.recorders},
                schedule=schedule,
                model=self._model.name,
                epochs_planned=epochs_planned,
                versions={"featwatch": __version__, "keras": keras.__version__, "tensorflow": tf.__version__},
                tap=taps.how,
            )
        )
        self._writer.write(self._probe.record(first_epoch))

    def snapshot(self, epoch: int, due: Sequence[Recorder]) -> None:
        """Record the model as it is now.  Returns as soon as the rest is the worker's."""
        recorders = [recorder for recorder in self._plan.due_with_bases(due) if recorder.name not in self._off]
        taps = self._tap_pass(recorders)
        reading = taps.read(self._probe.batches())
        if self._output >= 0:
            scores, loss = reading.outputs[self._output], loss_of(self._model, self._output)
            predicted = predictions(scores, self._probe.labels, loss=loss, epoch=epoch)
            if predicted is not None:
                self._writer.write(predicted)
        tasks = []
        for site in self._plan.sites:
            mine = self._plan.of_site(site, recorders)
            if not mine:
                continue
            snapshot = self._layer_snapshot(epoch, site, taps, reading.layers[site.name])
            here = tuple(recorder for recorder in mine if not recorder.in_worker)
            task = LayerTask(snapshot, here)
            self._deliver(task, analyse(task))
            later = tuple(recorder for recorder in mine if recorder.in_worker)
            if later:
                tasks.append(LayerTask(snapshot, later))
        if tasks:
            for dropped in self._analyst.submit(epoch, tasks):
                names = ", ".join(sorted({recorder.name for task in tasks for recorder in task.recorders}))
                self.note("thinned", f"the analysis was behind: {names} left out epoch {dropped}", epoch=dropped)

    def log_epoch(self, epoch: int, metrics: Mapping[str, float], blocked_seconds: float) -> None:
        """Record what Keras said of an epoch, and everything that was noted since the last one."""
        elapsed = time.time() - self._started
        self._writer.write(EpochLog(epoch=epoch, metrics=dict(metrics), elapsed_seconds=elapsed, blocked_seconds=blocked_seconds))
        self._write_journal(Journal, epoch)

    def note(self, kind: str, text: str, **where: Any) -> None:
        """Put something into the journal; it is written with the next epoch."""
        with self._lock:
            self._entries.append({"kind": kind, "text": text, **where})

    def failure(self) -> str:
        """The first failure of a recorder, or ""."""
        return self._fatal

    def finish(self, epoch: int, progress: Progress | None) -> None:
        """Wait for the analysis, write what is left, and let go of the worker and the log."""
        if not self._analyst.finish(progress):
            self.note("worker", "the analysis of the last snapshots was given up", epoch=epoch)
            notify("the analysis of the last snapshots was given up; they are missing in the log")
        self._close(epoch)

    def abandon(self, epoch: int) -> None:
        """Let go of the worker and the log at once."""
        self.note("worker", "the training was interrupted; the analysis that was still waiting was given up", epoch=epoch)
        self._close(epoch)

    def _close(self, epoch: int) -> None:
        self._analyst.close()
        self._write_journal(Closing, max(epoch, self._first_epoch))
        self._writer.close()

    @property
    def memory(self) -> Memories:
        """What the next session's analysis continues from."""
        return dict(self._analyst.memory)

    def _tap_pass(self, recorders: Sequence[Recorder]) -> TapPass:
        key = frozenset(recorders)
        if key not in self._taps:
            taps = TapPass(self._model, self._plan.needs(recorders))
            taps.prepare(next(iter(self._probe.batches()))[0])
            self._taps[key] = taps
        return self._taps[key]

    def _layer_snapshot(self, epoch: int, site: Site, taps: TapPass, reduced: Mapping[str, Any]) -> LayerSnapshot:
        return LayerSnapshot(
            epoch=epoch,
            info=taps.info(site),
            labels=self._probe.labels,
            reductions=reduced,
            weights=filter_weights(site.layer),
            bias=filter_bias(site.layer),
            distance_error=distance_error(reduced, self._probe.batch_size),
            input_minimum=float(reduced["input_minimum"].min()) if "input_minimum" in reduced else -math.inf,
            input_maximum=float(reduced["input_maximum"].max()) if "input_maximum" in reduced else math.inf,
        )

    def _deliver(self, task: LayerTask, outcomes: list[Outcome]) -> None:
        """Write what came of a layer.  Called by the training thread and by the analyst's."""
        epoch, layer = task.snapshot.epoch, task.snapshot.layer
        for outcome in outcomes:
            self.seconds[outcome.recorder] = self.seconds.get(outcome.recorder, 0.0) + outcome.seconds
            if outcome.record is not None:
                self._writer.write(outcome.record)
            elif outcome.nothing and outcome.recorder not in self._off:
                self.note("note", f"{outcome.recorder}: {outcome.nothing}", epoch=epoch, layer=layer, recorder=outcome.recorder)
            elif outcome.failure and outcome.recorder not in self._off:
                self._switch_off(outcome, epoch, layer)

    def _switch_off(self, outcome: Outcome, epoch: int, layer: str) -> None:
        failed = next(recorder for recorder in self._plan.recorders if recorder.name == outcome.recorder)
        dependents = [recorder.name for recorder in self._plan.dependents(failed)]
        self._off |= {failed.name, *dependents}
        also = f", and with it {', '.join(dependents)}," if dependents else ""
        where = f"layer {layer!r}, epoch {epoch}"
        text = f"{failed.name} failed at {where} ({outcome.failure}) and{also} is switched off until the next fit"
        self._fatal = self._fatal or text
        self.note("failed", text, epoch=epoch, layer=layer, recorder=failed.name)
        notify(f"{text}; training goes on. Watch(..., strict=True) raises instead")

    def _trouble(self, text: str) -> None:
        self.note("worker", text)
        notify(text)

    def _write_journal(self, kind: type[Journal], epoch: int) -> None:
        with self._lock:
            entries, self._entries = tuple(self._entries), []
        if entries:
            self._writer.write(kind(epoch=epoch, entries=entries))


def loss_of(model: Any, output: int) -> Any:
    """The loss that belongs to one output of a compiled model, or None where that is not known."""
    loss = getattr(model, "loss", None)
    if isinstance(loss, dict):
        names = list(getattr(model, "output_names", []))
        return loss.get(names[output]) if output < len(names) else None
    if isinstance(loss, (list, tuple)):
        return loss[output] if output < len(loss) else None
    return loss

