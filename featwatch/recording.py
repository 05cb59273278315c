"""One opening of the log by a `fit`: from the model's state at an epoch to records in the event file."""

from __future__ import annotations

import contextlib
import copy
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from featwatch import __version__
from featwatch.background import Analyst, BackgroundAnalyst, InlineAnalyst, Memories, Progress
from featwatch.errors import in_words, notify
from featwatch.layers import Site
from featwatch.passes import TapPasses
from featwatch.predictions import predictions
from featwatch.probe import Probe
from featwatch.recorders.base import LayerSnapshot, Recorder
from featwatch.recorders.pipeline import LayerTask, Outcome, analyse
from featwatch.records import Closing, EpochLog, Journal, Session
from featwatch.taps import TapPass, distance_error
from featwatch.weights import filter_bias, filter_weights
from featwatch.writers import MemoryWriter, Writer


class Recording:
    """Records snapshots of one model until the `fit` ends.

    Arguments:
        model, probe: what is watched, and by which samples.
        passes: the plan, and the forward passes that read it.
        background: whether the analysis runs in a worker process.
        output: index of the model's output that holds the class scores; −1 = none does.
    """

    def __init__(self, model: Any, probe: Probe, passes: TapPasses, *, background: bool, output: int) -> None:
        self._model = model
        self._probe = probe
        self._passes = passes
        self._plan = passes.plan
        self._background = background
        self._output = output
        self._writer: Writer = MemoryWriter()
        self._analyst: Analyst = InlineAnalyst(self._deliver)
        self._started = time.time()
        self._first_epoch = 0
        self._off: set[str] = set()                     # names of recorders that failed
        self._fatal: str = ""                           # the first failure, for `strict`
        self._entries: list[dict[str, Any]] = []        # of the journal, not yet written
        self._lock = threading.Lock()
        self._for_worker = {recorder: _stripped(recorder) for recorder in self._plan.recorders}

    def open(
        self, open_writer: Callable[[], Writer], first_epoch: int, *, memory: Memories, epochs_planned: int, schedule: str
    ) -> None:
        """Open the log and the worker, and write what is known before the first snapshot.

        The forward pass is traced and compiled before: a log that is opened supersedes what is in it.
        """
        taps = self._passes.of(self._plan.recorders)
        self._first_epoch = first_epoch
        self._writer = open_writer()
        if self._background:
            self._analyst = BackgroundAnalyst(self._deliver, self._trouble)
        self._analyst.memory.update(memory)
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
        taps = self._passes.of(recorders)
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
            later = tuple(self._for_worker[recorder] for recorder in mine if recorder.in_worker)
            if later:
                tasks.append(LayerTask(snapshot, later))
        if tasks:
            for dropped, lost in self._analyst.submit(epoch, tasks):
                names = ", ".join(dict.fromkeys(recorder.name for task in lost for recorder in task.recorders))
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
        """Wait for the analysis, write what is left, and let go of the worker and the log.

        Raises KeyboardInterrupt where the user did not want to wait.
        """
        try:
            if not self._analyst.finish(progress):
                self.note("worker", "the analysis of the last snapshots was given up", epoch=epoch)
                notify("the analysis of the last snapshots was given up; they are missing in the log")
        except KeyboardInterrupt:
            self.note("worker", "the analysis of the last snapshots was interrupted", epoch=epoch)
            raise
        finally:
            self._close(epoch)

    def abandon(self, epoch: int, reason: str) -> None:
        """Let go of the worker and the log at once; `reason` goes into the journal."""
        self.note("worker", f"{reason}; the analysis that was still waiting was given up", epoch=epoch)
        self._close(epoch)

    def _close(self, epoch: int) -> None:
        for step in (self._analyst.close, lambda: self._write_closing(epoch), self._writer.close):
            with contextlib.suppress(Exception):        # each of them is to be tried
                step()

    def _write_closing(self, epoch: int) -> None:
        dropped = getattr(self._writer, "dropped", 0)
        if dropped:
            self.note("dropped", f"{dropped} records were not written: the disk was too slow, or refused them")
        self._write_journal(Closing, max(epoch, self._first_epoch))

    @property
    def memory(self) -> Memories:
        """What the next `fit`'s analysis continues from."""
        return dict(self._analyst.memory)

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
            if outcome.record is not None:
                try:
                    self._writer.write(outcome.record)
                except Exception as error:      # a record that does not fit its own declaration
                    outcome = Outcome(outcome.recorder, failure=in_words(error))
            if outcome.recorder in self._off:
                continue
            if outcome.nothing:
                self.note("note", f"{outcome.recorder}: {outcome.nothing}", epoch=epoch, layer=layer, recorder=outcome.recorder)
            elif outcome.failure:
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


def _stripped(recorder: Recorder) -> Recorder:
    """The recorder as the worker needs it: a predicate on layers would bring Keras along."""
    copied = copy.copy(recorder)
    copied.layers = copied.schedule = None
    return copied


def loss_of(model: Any, output: int) -> Any:
    """The loss that belongs to one output of a compiled model, or None where that is not known."""
    loss = getattr(model, "loss", None)
    if isinstance(loss, dict):
        names = list(getattr(model, "output_names", []))
        return loss.get(names[output]) if output < len(names) else None
    if isinstance(loss, (list, tuple)):
        return loss[output] if output < len(loss) else None
    return loss

