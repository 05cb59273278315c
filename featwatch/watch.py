"""The Keras callback that watches a training."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from featwatch.arguments import checked_output, checked_recorders, output_index, writable
from featwatch.earlier import Earlier, earlier
from featwatch.errors import RefusedType, RefusedValue, in_words, notify
from featwatch.layers import LayerChoice, check_choice
from featwatch.passes import TapPasses
from featwatch.plan import Plan, check_probe
from featwatch.probe import Probe
from featwatch.progress import Progress
from featwatch.recorders import default_recorders
from featwatch.recorders.base import Recorder
from featwatch.recorders.pipeline import in_order
from featwatch.recording import Recording
from featwatch.schedule import Schedule, as_schedule
from featwatch.weights import first_values
from featwatch.writers import EventFileWriter, has_records, run_directory


@dataclass(frozen=True, eq=False)
class _Open:
    """A recording that a `fit` of this process opened and has not finished."""

    thread: int
    watch: weakref.ref[Watch]
    recording: Recording


_open_recordings: dict[str, _Open] = {}      # by run directory


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
        layers: None for every convolution and dense layer, a name or pattern (`"conv*"`,
            `"block/*"` for a nested model), a list of them, or a predicate on the layer.
        recorders: what to record; None for `FilterHealth`, `Embeddings`, `Clusters` and `Separation`.
        schedule: when, e.g. `fw.every(epochs=5)`, or a function of the epoch; None for every epoch.
        budget, alerts, on_alert: not supported yet.
        background: whether to analyse in a worker process; False does it in the training thread.
        output: name or index of the output that holds the class scores, where the model has several.
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
        alerts: Any = None,
        on_alert: Callable[[Any], None] | None = None,
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
        for name, value in (("budget", budget), ("alerts", alerts), ("on_alert", on_alert)):
            if value is not None:
                raise ValueError(f"{name}={value!r}: not supported yet; leave it out")
        if not isinstance(probe, Probe):
            raise TypeError(f"probe is a {type(probe).__name__}; make one with featwatch.Probe(x_val, y_val)")
        for name, flag in (("background", background), ("strict", strict)):
            if not isinstance(flag, bool):
                raise TypeError(f"{name}={flag!r}: expected True or False")
        check_choice(layers)
        self._layers = layers
        self._recorders = in_order(checked_recorders(default_recorders() if recorders is None else recorders))
        self._schedule = as_schedule(schedule)
        self._schedules = {
            recorder: self._schedule if recorder.schedule is None else as_schedule(recorder.schedule)
            for recorder in self._recorders
        }
        self._output = checked_output(output)
        self._background = background
        self._strict = strict
        self.log_dir = writable(log_dir)
        self.probe = probe
        self.blocked_seconds = 0.0
        self.finishing_seconds = 0.0
        self._passes: TapPasses | None = None
        self._plan: Plan | None = None
        self._recording: Recording | None = None
        self._start_over()

    def _start_over(self) -> None:
        self._trained: Callable[[], Any] = lambda: None     # the model that the epochs are of
        self._epoch: int | None = None              # epochs trained; None before the first fit
        self._offset = 0                            # from Keras' epoch to ours
        self._asked: dict[Recorder, int] = {}       # epoch at which each schedule was last asked
        self._recorded: dict[Recorder, int] = {}    # last epoch with a snapshot
        self._earlier = Earlier()
        self._fingerprint = b""

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self._abandon("the training was interrupted")
        _release_interrupted(run_directory(self.log_dir))
        self._plan = None
        self._opened = False
        with self._guarded("could not be set up"):
            plan = Plan(self.model, self._recorders, self._layers)
            check_probe(self.model, self.probe)
            self._output_index = output_index(self.model, self._output)
            if self._passes is None or not self._passes.are_of(self.model, plan):
                self._passes = TapPasses(self.model, plan, self.probe)
            self._plan = self._passes.plan

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        # Not in on_train_begin: BackupAndRestore moves the first epoch there.
        if self._opened:
            return
        self._opened = True
        with self._guarded("could not be started") as started:
            now = self._first_epoch(epoch)
            self._epoch, self._offset = now, now - epoch
            if self._plan is None:
                return
            due = [recorder for recorder in self._due(now, last=False) if self._recorded.get(recorder) != now]
            self._open(now, now if due else now + 1)
            if due:
                self._snapshot(now, due)
                self._log(now, self._earlier.metrics, started)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        now = self._epoch = epoch + 1 + self._offset
        if self._recording is None:
            return
        with self._guarded("failed") as started:
            last = epoch + 1 >= self._epochs_planned() or bool(getattr(self.model, "stop_training", False))
            due = self._due(now, last)
            if due:
                self._snapshot(now, due)
            self._fingerprint = _fingerprint(self.model)
            self._log(now, _numbers(logs), started)
        self._raise_if_strict()

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        if self._recording is None or self._epoch is None:
            return
        with self._guarded("could not be finished"):
            # A callback after this one stopped the training: only now is it known which epoch was the last.
            late = [recorder for recorder in self._due(self._epoch, last=True) if self._recorded.get(recorder) != self._epoch]
            if not self._fingerprint or _fingerprint(self.model) == self._fingerprint:
                if late:
                    self._snapshot(self._epoch, late)
            else:
                self._note_changed_weights(recorded=not late)
            self._finish(self._recording, self._epoch)

    def _first_epoch(self, epoch: int) -> int:
        """Epochs trained before this fit, of which Keras says that it begins with `epoch`."""
        if self._epoch is None or self._trained() is not self.model:
            self._start_over()
            self._trained = weakref.ref(self.model)
            if epoch > 0:
                self._earlier = earlier(self.log_dir, epoch, self.probe)
            return epoch
        if 0 < epoch < self._epoch:                 # back to a checkpoint: what came after it is superseded
            self._asked.clear()
            self._recorded.clear()
            self._earlier = earlier(self.log_dir, epoch, self.probe)
            return epoch
        return max(epoch, self._epoch)              # Keras counts from 0 again, or goes on

    def _open(self, now: int, first_epoch: int) -> None:
        def open_writer() -> EventFileWriter:
            try:
                return EventFileWriter(self.log_dir, first_epoch, on_error=_disk_trouble)
            except ValueError as error:
                raise RefusedValue(str(error)) from None

        assert self._passes is not None
        recording = Recording(self.model, self.probe, self._passes, background=self._background, output=self._output_index)
        supersedes = first_epoch == 0 and has_records(self.log_dir)
        planned = self._epochs_planned()
        recording.open(
            open_writer,
            first_epoch,
            memory=self._earlier.memory,
            epochs_planned=-1 if planned == sys.maxsize else planned + self._offset,
            schedule=str(self._schedule),
        )
        self._recording = recording
        if supersedes:
            notify(f"{run_directory(self.log_dir)!r} holds an earlier training; this one starts over and supersedes it")
        _open_recordings[run_directory(self.log_dir)] = _Open(threading.get_ident(), weakref.ref(self), recording)

    def _snapshot(self, epoch: int, due: list[Recorder]) -> None:
        assert self._recording is not None
        self._recording.snapshot(epoch, due)
        self._recorded |= dict.fromkeys(due, epoch)

    def _log(self, epoch: int, metrics: Mapping[str, float], started: float) -> None:
        if self._recording is not None:
            self._recording.log_epoch(epoch, metrics, time.perf_counter() - started)

    def _finish(self, recording: Recording, epoch: int) -> None:
        progress = Progress() if (self.params or {}).get("verbose", 1) != 0 else None
        started = time.perf_counter()
        try:
            recording.finish(epoch, progress)
        finally:
            self._let_go(recording)
            self.finishing_seconds += time.perf_counter() - started
            if progress is not None:
                progress.close()
        failure = recording.failure()
        if failure and self._strict:
            raise RuntimeError(f"featwatch: {failure}")

    def _let_go(self, recording: Recording) -> None:
        self._recording = None
        self._earlier = Earlier(memory=recording.memory)
        directory = run_directory(self.log_dir)
        held = _open_recordings.get(directory)
        if held is not None and held.recording is recording:
            del _open_recordings[directory]

    def _abandon(self, reason: str) -> None:
        recording = self._recording
        if recording is not None:
            self._let_go(recording)
            recording.abandon(self._epoch or 0, reason)

    def _due(self, epoch: int, last: bool) -> list[Recorder]:
        due = []
        for recorder, schedule in self._schedules.items():
            if schedule.due(self._asked.get(recorder), epoch, last):
                due.append(recorder)
            self._asked[recorder] = epoch
        return due

    def _epochs_planned(self) -> int:
        return int((self.params or {}).get("epochs") or sys.maxsize)

    def _note_changed_weights(self, recorded: bool) -> None:
        assert self._recording is not None
        told = "what is recorded for it is the state before that" if recorded else "that epoch is not recorded"
        self._recording.note(
            "weights",
            f"the weights were changed after the last epoch, e.g. by EarlyStopping(restore_best_weights=True); {told}",
            epoch=self._epoch,
        )

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
            raise
        except Exception as error:
            self._plan = None
            with contextlib.suppress(Exception):
                self._abandon(f"the watch {what}: {in_words(error)}")
            if self._strict:
                raise
            notify(f"the watch {what} and is switched off until the next fit; training goes on. Cause: {in_words(error)}")
        finally:
            self.blocked_seconds += time.perf_counter() - started - (self.finishing_seconds - finishing)


def _release_interrupted(directory: str) -> None:
    """Let go of what an earlier `fit` of this thread left open when an exception or Ctrl-C ended it.

    That is a recording into the same directory, and any whose watch nobody holds any more.
    """
    for place, held in list(_open_recordings.items()):
        if held.thread != threading.get_ident():
            continue
        watch = held.watch()
        if watch is None:
            del _open_recordings[place]
            held.recording.abandon(0, "the training was interrupted")
        elif place == directory:
            watch._abandon("the training was interrupted")


def _numbers(logs: Mapping[str, Any] | None) -> dict[str, float]:
    numbers = {}
    for name, value in (logs or {}).items():
        with contextlib.suppress(TypeError, ValueError):
            numbers[str(name)] = float(value)
    return numbers


def _fingerprint(model: Any) -> bytes:
    """A hash of some values of the first and the last trainable variable: enough to see that weights were put back."""
    variables = model.trainable_variables
    digest = hashlib.blake2b(digest_size=8)
    for variable in (variables[:1] + variables[-1:]) if variables else []:
        digest.update(first_values(variable, 4096).tobytes())
    return digest.digest()


def _disk_trouble(error: Exception) -> None:
    notify(f"the log can no longer be written ({in_words(error)}); what follows is not recorded, training goes on")
