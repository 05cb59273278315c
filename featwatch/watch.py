"""The Keras callback that watches a training."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras

from featwatch.background import Memories
from featwatch.errors import RefusedType, RefusedValue, global_rng_untouched, in_words, notify
from featwatch.layers import LayerChoice, check_choice
from featwatch.plan import Plan, check_probe
from featwatch.probe import Probe
from featwatch.recorders import default_recorders
from featwatch.recorders.base import Recorder
from featwatch.recorders.pipeline import Memory, in_order
from featwatch.recording import Recording
from featwatch.schedule import Schedule, as_schedule
from featwatch.weights import as_numpy
from featwatch.writers import EventFileWriter, has_records, run_directory

# run directory -> the thread and the watch that last opened it
_open_watches: dict[str, tuple[int, weakref.ref[Watch]]] = {}


class Watch(keras.callbacks.Callback):
    """Records what happens inside a model while `fit` trains it, for TensorBoard's tab "Featwatch".

    Example:
        >>> probe = fw.Probe(x_val, y_val)
        >>> model.fit(x, y, epochs=30, callbacks=[fw.Watch("logs/run-1", probe)])

    Training gives the same weights, bit for bit, with and without it, and no failure of it ends a
    `fit`: what fails is switched off with one warning and noted in the log.

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
        if output is not None and (isinstance(output, bool) or not isinstance(output, (int, str))):
            raise TypeError(f"output={output!r}: expected the name or the index of an output of the model")
        check_choice(layers)
        self.log_dir = _writable(log_dir)
        self.probe = probe
        self.blocked_seconds = 0.0      # for which training has waited for the watch, in all
        self._layers = layers
        self._recorders = in_order(_checked(default_recorders() if recorders is None else recorders))
        self._schedule = as_schedule(schedule)
        self._schedules = {
            recorder: self._schedule if recorder.schedule is None else as_schedule(recorder.schedule)
            for recorder in self._recorders
        }
        self._background = background
        self._output = output
        self._strict = strict
        self._recording: Recording | None = None
        self._plan: Plan | None = None
        self._epoch: int | None = None              # epochs trained; None before the first fit
        self._recorded: int | None = None           # last epoch with a snapshot
        self._asked: dict[Recorder, int] = {}       # epoch at which each schedule was last asked
        self._offset = 0                            # from Keras' epoch to ours
        self._memory: Memories = {}
        self._fingerprint = b""

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self._release_interrupted()
        self._plan = None
        with self._guarded("could not be set up"):
            plan = Plan(self.model, self._recorders, self._layers)
            check_probe(self.model, self.probe)
            self._output_index = _output_index(self.model, self._output)
            self._plan = plan

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        # Not in on_train_begin: BackupAndRestore moves the first epoch there.
        if self._plan is None or self._recording is not None:
            return
        with self._guarded("could not be started"):
            started = time.perf_counter()
            resumed = self._epoch is not None or epoch > 0
            now = max(epoch, self._epoch or 0)
            self._offset = now - epoch
            due = self._due(now, last=False) if self._recorded != now else []
            self._open(now, now if due else now + 1, resumed)
            if due:
                self._snapshot(now, due)
            self._log(now, {}, started, only_if=bool(due))
            self._epoch = now

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self._recording is None:
            return
        with self._guarded("failed"):
            started = time.perf_counter()
            now = self._epoch = epoch + 1 + self._offset
            last = epoch + 1 >= self._epochs_planned() or bool(getattr(self.model, "stop_training", False))
            due = self._due(now, last)
            if due:
                self._snapshot(now, due)
            self._log(now, _numbers(logs), started)
            self._fingerprint = _fingerprint(self.model)
        self._raise_if_strict()

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        if self._recording is None or self._epoch is None:
            return
        with self._guarded("could not be finished"):
            self._note_changed_weights()
            # A callback after this one stopped the training: only now is it known which epoch was the last.
            if self._recorded != self._epoch and _fingerprint(self.model) == self._fingerprint:
                due = self._due(self._epoch, last=True)
                if due:
                    self._snapshot(self._epoch, due)
            recording, self._recording = self._recording, None
            with _progress(self.params.get("verbose", 1) != 0) as progress:
                recording.finish(self._epoch, progress)
            self._memory = recording.memory
            failure = recording.failure()
            if failure and self._strict:
                raise RuntimeError(f"featwatch: {failure}")

    def _open(self, now: int, first_epoch: int, resumed: bool) -> None:
        if not resumed and has_records(self.log_dir):
            notify(f"{run_directory(self.log_dir)!r} holds an earlier training; this one starts over and supersedes it")
        elif resumed and not self._memory:
            self._memory = _last_embeddings(self.log_dir, first_epoch)
        try:
            writer = EventFileWriter(self.log_dir, first_epoch, on_error=_disk_trouble)
        except ValueError as error:
            raise RefusedValue(str(error)) from None
        assert self._plan is not None
        recording = Recording(
            self.model, self.probe, self._plan, writer,
            background=self._background, output=self._output_index, memory=self._memory,
        )  # fmt: skip
        self._recording = recording
        _open_watches[run_directory(self.log_dir)] = (threading.get_ident(), weakref.ref(self))
        planned = self._epochs_planned()
        recording.open(
            first_epoch, epochs_planned=-1 if planned == sys.maxsize else planned + self._offset, schedule=str(self._schedule)
        )

    def _snapshot(self, epoch: int, due: list[Recorder]) -> None:
        assert self._recording is not None
        self._recording.snapshot(epoch, due)
        self._recorded = epoch

    def _log(self, epoch: int, metrics: Mapping[str, float], started: float, only_if: bool = True) -> None:
        assert self._recording is not None
        blocked = time.perf_counter() - started
        self.blocked_seconds += blocked
        if only_if:
            self._recording.log_epoch(epoch, metrics, blocked)

    def _due(self, epoch: int, last: bool) -> list[Recorder]:
        due = []
        for recorder, schedule in self._schedules.items():
            if schedule.due(self._asked.get(recorder), epoch, last):
                due.append(recorder)
            self._asked[recorder] = epoch
        return due

    def _epochs_planned(self) -> int:
        return int((self.params or {}).get("epochs") or sys.maxsize)

    def _note_changed_weights(self) -> None:
        if self._recording is not None and self._fingerprint and _fingerprint(self.model) != self._fingerprint:
            self._recording.note(
                "weights",
                "the weights were changed after the last epoch, e.g. by EarlyStopping(restore_best_weights=True); "
                "what is recorded for the last epoch is the state before that",
                epoch=self._epoch,
            )

    def _release_interrupted(self) -> None:
        """Let go of what an earlier `fit` left open when an exception or Ctrl-C ended it, here or in another watch."""
        self._abandon()
        thread, other = _open_watches.pop(run_directory(self.log_dir), (None, None))
        watch = other() if other is not None else None
        if watch is not None and thread == threading.get_ident():
            watch._abandon()

    def _abandon(self) -> None:
        recording, self._recording = self._recording, None
        if recording is not None:
            self._memory = recording.memory
            recording.abandon(self._epoch or 0)

    def _raise_if_strict(self) -> None:
        failure = self._recording.failure() if self._recording is not None else ""
        if failure and self._strict:
            raise RuntimeError(f"featwatch: {failure}")

    @contextlib.contextmanager
    def _guarded(self, what: str) -> Iterator[None]:
        """Nothing but the user's own mistakes, found at the start, gets out; and no random generator has moved."""
        try:
            with global_rng_untouched():
                yield
        except (RefusedValue, RefusedType):
            raise
        except Exception as error:
            self._plan = None
            with contextlib.suppress(Exception):
                self._abandon()
            if self._strict:
                raise
            notify(f"the watch {what} and is switched off until the next fit; training goes on. Cause: {in_words(error)}")


def _checked(recorders: Any) -> list[Recorder]:
    if isinstance(recorders, Recorder) or not isinstance(recorders, Sequence) or isinstance(recorders, str):
        raise TypeError(f"recorders={recorders!r}: expected a list, e.g. [featwatch.FilterHealth(), featwatch.Separation()]")
    for recorder in recorders:
        if isinstance(recorder, type) and issubclass(recorder, Recorder):
            raise TypeError(f"recorders: {recorder.__name__} is a class; make a recorder of it, featwatch.{recorder.__name__}()")
        if not isinstance(recorder, Recorder):
            raise TypeError(f"recorders: {recorder!r} is none; there are FilterHealth, Embeddings, Clusters and Separation")
        check_choice(recorder.layers)
    if not recorders:
        raise ValueError("recorders=[] records nothing; leave it out for the default ones")
    return list(recorders)


def _writable(log_dir: Any) -> str:
    """`log_dir` as text, after a file could be made below it.  Remote file systems (`gs://…`) are taken at their word."""
    if not isinstance(log_dir, (str, os.PathLike)):
        raise TypeError(f"log_dir={log_dir!r}: expected a path, e.g. 'logs/run-1'")
    path = os.fspath(log_dir)
    if not isinstance(path, str) or not path:
        raise ValueError(f"log_dir={log_dir!r}: expected a path, e.g. 'logs/run-1'")
    if "://" in path:
        return path
    try:
        os.makedirs(run_directory(path), exist_ok=True)
        with tempfile.TemporaryFile(dir=run_directory(path)):
            pass
    except OSError as error:
        raise ValueError(f"log_dir={path!r} cannot be written ({error.strerror or error}); choose a directory that can") from None
    return path


def _output_index(model: Any, output: int | str | None) -> int:
    """Index among the model's outputs of the one with the class scores; −1 where several are there and none was named."""
    count = len(model.outputs)
    names = list(getattr(model, "output_names", []))
    if output is None:
        return 0 if count == 1 else -1
    if isinstance(output, str):
        if output not in names:
            raise RefusedValue(f"output={output!r}: the model {model.name!r} has the outputs {', '.join(names)}")
        return names.index(output)
    if not -count <= output < count:
        raise RefusedValue(f"output={output}: the model {model.name!r} has {count} output{'s' if count > 1 else ''}")
    return output % count


def _last_embeddings(log_dir: str, before: int) -> Memories:
    """The newest layout of every layer before an epoch, so that those of a resumed training continue from it."""
    from featwatch.reader import load

    memory: Memories = {}
    with contextlib.suppress(Exception):        # an unreadable log only costs the continuity
        run = load(log_dir)
        for layer in run.layers:
            for epoch in reversed([epoch for epoch in run.epochs if epoch < before]):
                with contextlib.suppress(KeyError):
                    memory[layer] = {"embedding": Memory(run.embedding(layer, epoch))}
                    break
    return memory


def _numbers(logs: Mapping[str, Any] | None) -> dict[str, float]:
    numbers = {}
    for name, value in (logs or {}).items():
        with contextlib.suppress(TypeError, ValueError):
            numbers[str(name)] = float(value)
    return numbers


def _fingerprint(model: Any) -> bytes:
    """A hash of the first and the last trainable variable: enough to see that weights were put back."""
    variables = model.trainable_variables
    digest = hashlib.blake2b(digest_size=8)
    for variable in (variables[:1] + variables[-1:]) if variables else []:
        digest.update(as_numpy(variable).tobytes())
    return digest.digest()


def _disk_trouble(error: Exception) -> None:
    notify(f"the log can no longer be written ({in_words(error)}); what follows is not recorded, training goes on")


@contextlib.contextmanager
def _progress(shown: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Shows how much of the analysis is left at the end of `fit`: a bar on a terminal, a line elsewhere."""
    if not shown:
        yield None
        return
    from tqdm import tqdm

    bar: Any = None

    def update(finished: int, total: int) -> None:
        nonlocal bar
        if bar is None and finished < total:
            if not sys.stderr.isatty():
                print(f"featwatch: finishing the analysis, {total - finished} layers to go", file=sys.stderr)
            bar = tqdm(total=total - finished, desc="featwatch: finishing the analysis", unit="layer", leave=False, disable=None)
            bar.start_at = finished
        if bar is not None and finished - bar.start_at > bar.n:
            bar.update(finished - bar.start_at - bar.n)

    try:
        yield update
    finally:
        if bar is not None:
            bar.close()
