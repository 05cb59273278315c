"""The Keras callback that watches a training."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras

from featwatch import interrupted
from featwatch.agenda import Agenda
from featwatch.alerts import Teller, checked_alerts
from featwatch.arguments import checked_output, checked_recorders, writable
from featwatch.cost import Cost, Costs
from featwatch.earlier import Earlier, earlier
from featwatch.errors import RefusedType, RefusedValue, in_words, notify
from featwatch.layers import LayerChoice, check_choice
from featwatch.metrics import numbers_of
from featwatch.opening import begin
from featwatch.preparation import Prepared, prepare
from featwatch.probe import Probe
from featwatch.progress import Progress
from featwatch.recorders import default_recorders
from featwatch.recorders.base import Recorder
from featwatch.recorders.pipeline import in_order
from featwatch.recording import Recording
from featwatch.records import Alert
from featwatch.schedule import Schedule, as_schedule
from featwatch.sessions import Setting
from featwatch.steps import StepCount
from featwatch.survey import build
from featwatch.weights import fingerprint
from featwatch.writers import has_records, run_directory

RESIZED = b"resized"        # in the place of a fingerprint: what is recorded of the epoch is of the model as it was before


class Watch(keras.callbacks.Callback):
    """Records what happens inside a model while `fit` trains it, for TensorBoard's tab "Featwatch".

    Example:
        >>> probe = fw.Probe(x_val, y_val)
        >>> model.fit(x, y, epochs=30, callbacks=[fw.Watch("logs/run-1", probe)])

    Training gives the same weights, bit for bit, with and without it, and no failure of it ends a
    `fit`: what fails is switched off with one warning and noted in the log.  List it after callbacks
    that change weights or stop the training, such as `EarlyStopping`.

    Arguments:
        log_dir: where to write; a directory `featwatch` is made in it, so that Keras' own TensorBoard
            callback can use the same one. One training at a time writes into it; a resumed training
            continues it, one that starts over supersedes it.
        probe: the samples that are looked at every time.
        layers: None for every convolution and dense layer, those in layers and models of your own
            included; a name or pattern (`"conv*"`, `"block/*"` for what is nested), a list of them, or a
            predicate on the layer.
        recorders: what to record; None for every recorder at its defaults.
        schedule: when, for recorders that have no schedule of their own: `fw.every(epochs=5)`,
            `fw.every(steps=200)`, `fw.at(0, 1, 10)`, `fw.log_spaced()`, or a function of the epoch; None for
            every epoch.
        budget: not supported yet.
        alerts: what to raise alerts of: None for every detector of `featwatch.alerts`, a list of
            detectors, or () for none.
        on_alert: called with each alert that is raised, has changed or is resolved, at the end of an
            epoch, in the training thread.
        background: whether to analyse in a worker process; False does it in the training thread.
        output: name or index of the output that holds the class scores, where the model has several;
            None takes the only one whose loss is one of classes.
        strict: raise where otherwise a recorder would be switched off with a warning.

    Attributes:
        blocked_seconds: for which training has waited for snapshots, so far.
        finishing_seconds: for which the end of `fit` has waited for the analysis, so far.

    Raises:
        ValueError, TypeError: an argument cannot be used; or, at the start of `fit`, the model cannot.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str],
        probe: Probe,
        *,
        layers: LayerChoice = None,
        recorders: Sequence[Recorder] | None = None,
        schedule: Schedule | Callable[[int], bool] | None = None,
        budget: float | None = None,
        alerts: Sequence[Any] | None = None,
        on_alert: Callable[[Alert], None] | None = None,
        background: bool = True,
        output: int | str | None = None,
        strict: bool = False,
    ) -> None:
        super().__init__()
        if keras.backend.backend() != "tensorflow":
            raise ValueError(
                f"Keras runs on the {keras.backend.backend()!r} backend; featwatch supports TensorFlow only, so far: "
                "set KERAS_BACKEND=tensorflow before Keras is imported"
            )
        if budget is not None:
            raise ValueError(f"budget={budget!r}: not supported yet; leave it out")
        if not isinstance(probe, Probe):
            raise TypeError(f"probe is a {type(probe).__name__}; make one with featwatch.Probe(x_val, y_val)")
        for name, flag in (("background", background), ("strict", strict)):
            if not isinstance(flag, bool):
                raise TypeError(f"{name}={flag!r}: expected True or False")
        check_choice(layers)
        self._layers = layers
        self._recorders = in_order(checked_recorders(default_recorders() if recorders is None else recorders))
        own = as_schedule(schedule)
        self._schedule = own
        self._agenda = Agenda(
            {each: own if each.schedule is None else as_schedule(each.schedule) for each in self._recorders}
        )
        if self._agenda.counts("steps"):        # a class with batch hooks would turn off asynchronous dispatch for everybody
            self.on_train_batch_end = self._on_batch_end
        self._detectors = checked_alerts(alerts)
        self._teller = Teller(on_alert)
        self._output = checked_output(output)
        self._background = background
        self._strict = strict
        self.log_dir = writable(log_dir)
        self.probe = probe
        self.blocked_seconds = 0.0
        self.finishing_seconds = 0.0
        self._costs = Costs()
        self._prepared: Prepared | None = None
        self._recording: Recording | None = None
        self._opened = False                        # whether this fit has begun its first epoch
        self._off = False                           # whether this fit is not watched, for what went wrong
        self._start_over()

    def _start_over(self) -> None:
        self._trained: Callable[[], Any] = lambda: None     # the model that the epochs are of
        self._epoch: int | None = None              # epochs trained; None before the first fit
        self._offset = 0                            # from Keras' epoch to ours
        self._steps = StepCount()
        self._agenda.start_over()
        self._earlier = Earlier()
        self._fingerprint = b""

    @property
    def cost(self) -> dict[str, Cost]:
        """What watching has cost so far: for each recorder, and for what all of them share, seconds and bytes.

        `blocked_seconds`: for which the training thread waited; `computed_seconds`: of work, wherever;
        `bytes`: written to the log.
        """
        return self._costs.by_name()

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self._began = time.time()
        self._abandon("the training was interrupted")
        interrupted.release(run_directory(self.log_dir), "the training was interrupted")
        self._opened = self._off = False
        if self.model.built or build(self.model, next(iter(self.probe.batches()))[0]):
            with self._guarded("could not be set up"):
                self._prepare()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        # Not in on_train_begin: BackupAndRestore moves the first epoch there.
        self._steps.begin_epoch()
        if self._opened:
            return
        self._opened = True
        with self._guarded("could not be started") as started:
            now = self._first_epoch(epoch)
            self._epoch, self._offset = now, now - epoch
            self._steps.start(self.model.optimizer)
            if self._off or not self.model.built:
                return
            due = self._agenda.due("epochs", now, last=False)
            due_by_step = self._agenda.due("steps", self._steps.done, last=False)
            self._open(now, now if due or due_by_step else now + 1)
            self._warn_of_idle(now)
            if due:
                self._snapshot(now, due)
                self._log(now, self._earlier.metrics, started)
            if due_by_step:
                self._snapshot(now, due_by_step, step=self._steps.done)
                self._log(now, self._earlier.metrics, started, step=self._steps.done)

    def _on_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        step = self._steps.reach(batch)
        if self._recording is None:
            return
        with self._guarded("failed") as started:
            due = self._agenda.due("steps", step, last=False)
            if due:
                epoch = (self._epoch or 0) + 1
                self._snapshot(epoch, due, step=step)
                self._log(epoch, numbers_of(logs), started, step=step)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        now = self._epoch = epoch + 1 + self._offset
        if self._recording is None and not self._off:
            self._late_start(now)
        if self._recording is None:
            return
        with self._guarded("failed") as started:
            last = epoch + 1 >= self._epochs_planned() or bool(getattr(self.model, "stop_training", False))
            due = self._agenda.due("epochs", now, last)
            if due:
                self._snapshot(now, due)
            self._fingerprint = fingerprint(self.model)
            self._log(now, numbers_of(logs), started)
        self._raise_if_strict()

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        if self._recording is None or self._epoch is None:
            return
        with self._guarded("could not be finished") as started:
            # A callback after this one stopped the training: only now is it known which epoch was the last.
            late = self._agenda.due("epochs", self._epoch, last=True)
            last_step = self._agenda.due("steps", self._steps.done, last=True)
            unchanged = not self._fingerprint or fingerprint(self.model) == self._fingerprint
            if unchanged:
                if late:
                    self._snapshot(self._epoch, late)
                if last_step:
                    self._snapshot(self._epoch, last_step, step=self._steps.done)
                    self._log(self._epoch, numbers_of(logs), started, step=self._steps.done)
            else:
                self._note_changed_weights(recorded=not late)
            self._finish(self._recording, self._epoch, unchanged)

    def _prepare(self) -> None:
        """Find out what of the model is to be read, and how."""
        self._off = True
        self._prepared = prepare(self.model, self.probe, self._recorders, self._layers, self._output, self._prepared)
        self._off = False

    def _prepare_late(self) -> None:
        try:
            self._prepare()
        except (RefusedValue, RefusedType) as error:    # too late to send the user back: training goes on
            raise RuntimeError(str(error)) from None

    def _late_start(self, now: int) -> None:
        """The model was built by its first batch: nothing could be recorded before."""
        with self._guarded("could not be started"):
            self._prepare_late()
            self._open(now, now)
            if self._recording is not None:
                self._recording.note("note", f"the model was built during epoch {now}: nothing is recorded before", epoch=now)

    def _first_epoch(self, epoch: int) -> int:
        """Epochs trained before this fit, of which Keras says that it begins with `epoch`."""
        if self._epoch is None or self._trained() is not self.model:
            self._start_over()
            self._trained = weakref.ref(self.model)
            if epoch > 0:
                self._earlier = earlier(self.log_dir, epoch, self.probe)
            return epoch
        if 0 < epoch < self._epoch:                 # back to a checkpoint: what came after it is superseded
            self._agenda.start_over()
            self._steps = StepCount()
            self._earlier = earlier(self.log_dir, epoch, self.probe)
            return epoch
        return max(epoch, self._epoch)              # Keras counts from 0 again, or goes on

    def _open(self, now: int, first_epoch: int) -> None:
        assert self._prepared is not None
        first_step, planned = self._first_step(), self._epochs_planned()
        setting = Setting(
            epoch=first_epoch,
            started=self._began,
            step=-1 if first_step is None else first_step,
            epochs_planned=-1 if planned == sys.maxsize else planned + self._offset,
            schedule=str(self._schedule),
            memory=self._earlier.memory,
            shapes=self._earlier.shapes,
            histories=self._earlier.histories,
            alerts=self._earlier.alerts,
        )
        begin(
            self.log_dir, self.model, self.probe, self._prepared, setting, self._hold,
            background=self._background, detectors=self._detectors, costs=self._costs,
        )  # fmt: skip

    def _hold(self, recording: Recording) -> None:
        self._recording = recording
        interrupted.opened(run_directory(self.log_dir), self, recording, self._abandon)

    def _first_step(self) -> int | None:
        """The first step that a session from now on can record; None where nothing is recorded by step."""
        # Also where only an earlier training recorded by step: a session of this one supersedes what it left.
        by_step = self._agenda.counts("steps") or has_records(self.log_dir, "steps")
        return self._steps.done + self._agenda.holds("steps", self._steps.done) if by_step else None

    def _warn_of_idle(self, now: int) -> None:
        planned = self._epochs_planned()
        if planned == sys.maxsize:
            return
        steps = (self.params or {}).get("steps")
        last = {"epochs": planned + self._offset}
        if steps:
            last["steps"] = self._steps.done + self._steps.updates(steps * (planned + self._offset - now))
        self._agenda.warn_of_idle({"epochs": now, "steps": self._steps.done}, last)

    def resized(self, why: str = "its filters were changed", *, epoch: int | None = None) -> None:
        """Go on after filters of the model went or came back, by `Plan.apply_inplace` for one.

        `AutoPrune` tells the watch by itself, and where nobody does it finds out at its next look.  The log gets a
        session of its own from the next epoch on; never raises, but where the watch is `strict`.

        Arguments:
            why: what became of layers that have other filters now, for the journal and for alerts that name theirs.
            epoch: the last one that was recorded of the model as it was; None = the one that has just ended.
        """
        if self._recording is None:
            return
        with self._guarded("could not go on with the model as it is now"):
            now = (self._epoch or 0) if epoch is None else epoch
            self._prepare_late()
            assert self._prepared is not None
            first_step = self._first_step()
            self._recording.resize(self._prepared, now, -1 if first_step is None else first_step, why)
            self._recording.note("note", f"from epoch {now + 1} on some layers have other filters: {why}", epoch=now)
            self._fingerprint = RESIZED

    def _snapshot(self, epoch: int, due: list[Recorder], step: int = -1) -> None:
        if self._prepared is not None and not self._prepared.passes.still_serve(self.model):
            self.resized(epoch=epoch - 1)
        if self._recording is None:
            return
        counts = self._agenda.counts("steps")
        self._recording.snapshot(epoch, due, step=step, position=self._steps.done if counts else epoch)
        self._agenda.followed(due, epoch if step < 0 else step)

    def _log(self, epoch: int, metrics: Mapping[str, float], started: float, step: int = -1) -> None:
        if self._recording is not None:
            self._teller.tell(self._recording.log_epoch(epoch, metrics, time.perf_counter() - started, step=step))

    def _finish(self, recording: Recording, epoch: int, unchanged: bool) -> None:
        progress = Progress() if (self.params or {}).get("verbose", 1) != 0 else None
        started = time.perf_counter()
        try:
            recording.wait(epoch, progress, unchanged=unchanged)
            self._teller.tell(recording.alerts())
        finally:
            recording.close(epoch)
            self._let_go(recording)
            self.finishing_seconds += time.perf_counter() - started
            if progress is not None:
                progress.close()
        failure = recording.failure()
        if failure and self._strict:
            raise RuntimeError(f"featwatch: {failure}")

    def _let_go(self, recording: Recording) -> None:
        self._recording = None
        self._earlier = Earlier(recording.memory, {}, recording.open_alerts, recording.histories, recording.shapes)
        interrupted.closed(run_directory(self.log_dir), recording)

    def _abandon(self, reason: str) -> None:
        recording = self._recording
        if recording is not None:
            self._let_go(recording)
            recording.abandon(self._epoch or 0, reason)

    def _epochs_planned(self) -> int:
        return int((self.params or {}).get("epochs") or sys.maxsize)

    def _note_changed_weights(self, recorded: bool) -> None:
        assert self._recording is not None
        told = "what is recorded for it is the state before that" if recorded else "that epoch is not recorded"
        how = "by pruning" if self._fingerprint == RESIZED else "e.g. by EarlyStopping(restore_best_weights=True)"
        self._recording.note("weights", f"the weights were changed after the last epoch, {how}; {told}", epoch=self._epoch)

    def _raise_if_strict(self) -> None:
        failure = self._recording.failure() if self._recording is not None else ""
        if failure and self._strict:
            raise RuntimeError(f"featwatch: {failure}")

    @contextlib.contextmanager
    def _guarded(self, what: str) -> Iterator[float]:
        """Nothing but the user's own mistakes, found at the start, gets out.  Gives the time at which it began."""
        started, finishing = time.perf_counter(), self.finishing_seconds
        try:
            yield started
        except (RefusedValue, RefusedType):
            with contextlib.suppress(Exception):
                self._abandon("the watch was refused")
            raise
        except Exception as error:
            self._off = True
            with contextlib.suppress(Exception):
                self._abandon(f"the watch {what}: {in_words(error)}")
            if self._strict:
                raise
            notify(f"the watch {what} and is switched off until the next fit; training goes on. Cause: {in_words(error)}")
        finally:
            self.blocked_seconds += time.perf_counter() - started - (self.finishing_seconds - finishing)
