"""One opening of the log by a `fit`: from the model's state at an epoch to records in the event file."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from featwatch.alerts import AlertDesk, Detector
from featwatch.analysis.sample_events import SampleHistory
from featwatch.background import Analyst, BackgroundAnalyst, InlineAnalyst, Progress
from featwatch.cost import Costs
from featwatch.errors import in_words, notify
from featwatch.predictions import loss_of, predictions
from featwatch.preparation import Prepared
from featwatch.probe import Probe
from featwatch.recorders.base import ExplainingRecorder, LayerSnapshot, Look, NothingToSay, Recorder
from featwatch.recorders.pipeline import LayerTask, Memories, Outcome, Task, analyse, remembered, still_held
from featwatch.records import Alert, Closing, EpochLog, Journal, Record
from featwatch.sessions import Setting, Shapes, infos_of, resized, session_of
from featwatch.taps import Reading
from featwatch.tasks import across_task, layer_snapshot, layer_tasks, light, of_recorder, stripped
from featwatch.wire import AXES, place_of
from featwatch.writers import Writer


class Recording:
    """Records snapshots of one model until the `fit` ends.

    Arguments:
        model, probe: what is watched, and by which samples.
        prepared: what is to be read of the model, and how.
        writer: the open log.
        background: whether the analysis runs in a worker process.
        detectors: what raises alerts.
        costs: where to book what it costs.
    """

    def __init__(
        self,
        model: Any,
        probe: Probe,
        prepared: Prepared,
        writer: Writer,
        *,
        background: bool,
        detectors: Sequence[Detector] = (),
        costs: Costs | None = None,
    ) -> None:
        self._model = model
        self._probe = probe
        self._prepared = prepared
        self._passes = prepared.passes
        self._plan = prepared.passes.plan
        self._outputs = prepared.outputs
        self._output = prepared.output
        self._background = background
        self._detectors = detectors
        self._costs = costs or Costs()
        self._spent = Costs()                           # in this recording, for its log
        self._writer = writer
        self._analyst: Analyst = InlineAnalyst(self._deliver)
        self._memory: Memories = {}                     # of the recorders that analyse in this process
        self._desk = AlertDesk((), ())
        self.histories = {axis: SampleHistory(probe.labels) for axis in AXES}   # what the next `fit`'s events continue from
        self._setting = Setting(epoch=0)
        self._first_epoch = 0                           # that can be recorded
        self._shapes: dict[str, tuple[int | None, ...]] = {}        # of what layers give for a sample
        self._generations: dict[str, int] = {}          # layer -> how often it has got other filters; none = never
        self._off: set[str] = set()                     # names of recorders that failed
        self._waiting: dict[ExplainingRecorder, tuple[int, dict[str, LayerSnapshot], Sequence[Recorder]]] = {}  # last looks
        self._fatal: str = ""                           # the first failure, for `strict`
        self._entries: list[dict[str, Any]] = []        # of the journal, not yet written
        self._lock = threading.Lock()
        self._names = {recorder.produces.kind: recorder.name for recorder in self._plan.recorders}
        self._for_worker = {recorder: stripped(recorder) for recorder in self._plan.recorders}

    def open(self, setting: Setting) -> None:
        """Open the worker, and write what is known before the first snapshot."""
        self._setting, self._first_epoch = setting, setting.epoch
        if self._background:
            self._analyst = BackgroundAnalyst(self._deliver, self._trouble)
        here = {recorder.produces.kind for recorder in self._plan.recorders if not recorder.in_worker}
        for layer, known in setting.memory.items():
            self._memory[layer] = {kind: memory for kind, memory in known.items() if kind in here}
            self._analyst.memory[layer] = {kind: memory for kind, memory in known.items() if kind not in here}
        self.histories.update(setting.histories)
        names = [site.name for site in self._plan.sites]
        self._desk = AlertDesk(self._detectors, names, opened=setting.alerts, trouble=self._trouble)
        self._shapes = dict(setting.shapes)
        self._begin(setting, "its filters are others than those that were recorded")
        self._write(self._probe.record(setting.epoch))

    def resize(self, prepared: Prepared, epoch: int, step: int, why: str) -> None:
        """Go on with the model as it is now, after filters of it went or came back at the end of an epoch.

        Layouts and clusters of samples go on; what stands by filter begins anew in layers that have others now, and
        alerts that name filters of them are resolved.

        Arguments:
            step: the first that can be recorded; −1 = nothing is recorded by step.
            why: what became of these layers, for the journal and for the alerts.
        """
        self._passes, self._plan = prepared.passes, prepared.passes.plan
        self._prepared, self._outputs, self._output = prepared, prepared.outputs, prepared.output
        self._waiting = {}                              # their snapshots are of the model as it was
        self._setting = replace(self._setting, epoch=epoch + 1, step=step)
        with self._booked("setting up"):
            self._begin(self._setting, why)

    def _begin(self, setting: Setting, why: str) -> None:
        """Write the session that begins, and let go of what is not so any more of layers that have other filters now."""
        taps = self._passes.of(self._plan.recorders)
        infos = infos_of(self._prepared, taps)
        changed = resized(self._shapes, infos)
        self._shapes.update((name, info.shape) for name, info in infos.items())
        self._generations.update((name, self._generations.get(name, 0) + 1) for name in changed)
        self._desk.resize(changed, setting.epoch - 1, why)
        session = session_of(setting, self._model, self._prepared, taps, infos)
        self._write(session)
        if setting.step >= 0:
            self._write(replace(session, step=setting.step))
        for name, reason in taps.refused.items():
            self.note("note", f"layer {name!r} cannot be watched: {reason}", epoch=setting.epoch, layer=name)

    def snapshot(self, epoch: int, due: Sequence[Recorder], *, step: int = -1, position: float | None = None) -> None:
        """Record the model as it is now.  Returns as soon as the rest is the worker's.

        Arguments:
            step: optimiser updates done, where the snapshot is one by step.
            position: how far the training is, on any scale; the epoch unless told.
        """
        recorders = [recorder for recorder in self._plan.recorders if recorder in due and recorder.name not in self._off]
        with self._booked("forward pass"):      # traced and compiled before, but for what is read on another schedule
            taps = self._passes.of(recorders)
            reading = taps.read(self._probe.batches())
        with self._booked("predictions"):
            self._predict(epoch, step, reading)
        snapshots = {
            site.name: layer_snapshot(
                site, self._passes.info(site, taps), reading.layers[site.name], self._probe.labels,
                epoch=epoch, step=step, generation=self._generations.get(site.name, 0),
                kernel=any(one.wants_kernel for one in self._plan.of_site(site, recorders)),
            )
            for site in self._plan.sites
            if site.name in reading.layers
        }  # fmt: skip
        # What others build on comes first; all else while the worker is busy already.
        explaining = [one for one in self._plan.due_with_bases(recorders) if isinstance(one, ExplainingRecorder)]
        first = [one for one in explaining if any(isinstance(one, base) for other in recorders for base in other.builds_on)]
        for recorder in first:
            snapshots = self._explain(recorder, epoch, step, snapshots, recorders)
        tasks: list[Task] = []
        for task in layer_tasks(self._plan, recorders, snapshots):
            self._analyse_here(replace(task, recorders=tuple(recorder for recorder in task.recorders if not recorder.in_worker)))
            later = tuple(self._for_worker[recorder] for recorder in task.recorders if recorder.in_worker)
            tasks += [replace(task, snapshot=light(task.snapshot, later), recorders=later)] if later else []
        across = across_task(self._plan, recorders, snapshots)
        tasks += [replace(across, recorders=tuple(self._for_worker[recorder] for recorder in across.recorders))] if across else []
        if tasks:
            self._submit(epoch if position is None else position, tasks)
        for recorder in explaining:
            if recorder not in first:
                self._explain(recorder, epoch, step, snapshots, recorders)

    def _analyse_here(self, task: LayerTask) -> None:
        task = task.continued(self._memory)
        outcomes = analyse(task)
        for layer, kept in remembered(task, outcomes).items():
            self._memory[layer] = {**self._memory.get(layer, {}), **kept}
        self._deliver(task, outcomes, blocked=True)

    def _submit(self, position: float, tasks: list[Task]) -> None:
        began = time.perf_counter()
        for _, lost in self._analyst.submit(position, tasks):
            names = ", ".join(dict.fromkeys(recorder.name for task in lost for recorder in task.recorders))
            dropped = lost[0].snapshot
            where = f"epoch {dropped.epoch}" if dropped.step < 0 else f"step {dropped.step}"
            self.note("thinned", f"the analysis was behind: {names} left out {where}", epoch=dropped.epoch)
        if not self._background:
            return
        self._book("handing over", blocked=time.perf_counter() - began)

    def _predict(self, epoch: int, step: int, reading: Reading) -> None:
        if self._output < 0:
            return
        scores, loss = reading.outputs[self._output], loss_of(self._model, self._output, self._outputs[self._output].name)
        predicted = predictions(scores, self._probe.labels, loss=loss, epoch=epoch)
        if predicted is not None:
            self._write(predicted := replace(predicted, step=step))
            history = self.histories[place_of(predicted)[0]]
            history.follow(predicted)
            events = history.events()
            if events is not None:
                self._write(events)

    def _explain(
        self, recorder: ExplainingRecorder, epoch: int, step: int, snapshots: dict[str, LayerSnapshot], due: Sequence[Recorder],
        last: bool = False,
    ) -> dict[str, LayerSnapshot]:
        """The snapshots, each with the record that this recorder made of it where it, or what builds on it, is due."""
        snapshots = dict(snapshots)
        wanted = [site for site in self._plan.sites if site.name in snapshots and recorder in self._plan.of_site(site, due)]
        sites = {site.name: site for site in wanted}
        if recorder.waits and step < 0 and not last:
            self._waiting[recorder] = epoch, {name: of_recorder(snapshots[name], recorder) for name in sites}, due
        look = Look(
            model=self._model,
            probe=self._probe,
            epoch=epoch,
            step=step,
            sites=sites,
            snapshots={name: snapshots[name] for name in sites},
            state=self._passes.state_of(recorder),
            output=self._output,
            last=last,
            latest={layer: {kind: each.record for kind, each in known.items()} for layer, known in self.memory.items()},
        )
        layer = ""
        with self._booked(recorder.name):
            try:
                for found in recorder.explain(look):
                    if isinstance(found, NothingToSay):
                        self._note_nothing(recorder.name, str(found), epoch, found.layer)
                    else:
                        layer, found = found.layer, replace(found, step=step)
                        self._write(found)
                        if layer in snapshots:          # not where it is of the model as a whole
                            results = {**snapshots[layer].results, found.kind: found}
                            snapshots[layer] = replace(snapshots[layer], results=results)
            except Exception as error:
                self._switch_off(Outcome(recorder.name, failure=in_words(error)), epoch, layer)
        return snapshots

    def log_epoch(self, epoch: int, metrics: Mapping[str, float], blocked_seconds: float, *, step: int = -1) -> list[Alert]:
        """Record what Keras said of an epoch, or so far at a step, and everything that was noted since the last epoch.

        Returns the alerts that are news.
        """
        self._write(
            EpochLog(
                epoch=epoch,
                step=step,
                metrics=dict(metrics),
                elapsed_seconds=time.time() - self._setting.started,
                blocked_seconds=blocked_seconds,
                cost=self._spent.plain(),
            )
        )
        if step >= 0:
            return []
        news = self.alerts()
        self._write_journal(Journal, epoch)
        return news

    def alerts(self) -> list[Alert]:
        """The alerts that are new, changed or resolved since the last call; they go into the journal."""
        news = self._desk.drain()
        for alert in news:
            at = alert.updated if alert.open else alert.resolved
            self.note("alert", alert.text, epoch=at, layer=alert.layer, alert=alert.as_dict())
        return news

    @property
    def open_alerts(self) -> list[Alert]:
        """The alerts that hold now."""
        return self._desk.open

    def record(self, record: Record) -> None:
        """Write a record that was made elsewhere."""
        self._write(record)

    def note(self, kind: str, text: str, **where: Any) -> None:
        """Put something into the journal; it is written with the next epoch."""
        with self._lock:
            self._entries.append({"kind": kind, "text": text, **where})

    def failure(self) -> str:
        """The first failure of a recorder, or ""."""
        return self._fatal

    def wait(self, epoch: int, progress: Progress | None, *, unchanged: bool = False) -> None:
        """Return when everything is analysed, and what waits for that has looked again where the model is as it was at `epoch`.

        Raises KeyboardInterrupt where the user did not want to wait.
        """
        try:
            if self._analyst.finish(progress):
                again = self._waiting if unchanged else {}
                for recorder, (of, snapshots, due) in again.items():
                    if of == epoch and recorder.name not in self._off:
                        self._explain(recorder, epoch, -1, snapshots, due, last=True)
            else:
                self.note("worker", "the analysis of the last snapshots was given up", epoch=epoch)
                notify("the analysis of the last snapshots was given up; they are missing in the log")
        except KeyboardInterrupt:
            self.note("worker", "the analysis of the last snapshots was interrupted", epoch=epoch)
            raise

    def abandon(self, epoch: int, reason: str) -> None:
        """Let go of the worker and the log at once; `reason` goes into the journal."""
        self.note("worker", f"{reason}; the analysis that was still waiting was given up", epoch=epoch)
        self.close(epoch)

    def close(self, epoch: int) -> None:
        """Let go of the worker and the log."""
        for step in (self._analyst.close, self.alerts, lambda: self._write_closing(epoch), self._writer.close):
            with contextlib.suppress(Exception):        # each of them is to be tried
                step()

    def _write_closing(self, epoch: int) -> None:
        dropped = getattr(self._writer, "dropped", 0)
        if dropped:
            self.note("dropped", f"{dropped} records were not written: the disk was too slow, or refused them")
        # Not at the epoch of a session that began because the model was resized last: the next `fit` supersedes that.
        self._write_journal(Closing, max(epoch, self._first_epoch))

    @property
    def memory(self) -> Memories:
        """What the next `fit`'s analysis continues from."""
        worker = dict(self._analyst.memory)
        known = {layer: {**worker.get(layer, {}), **self._memory.get(layer, {})} for layer in {*worker, *self._memory}}
        return still_held(known, self._plan.recorders, self._generations)

    @property
    def shapes(self) -> Shapes:
        """Of what layers give for a sample, as it is now."""
        return dict(self._shapes)

    def _deliver(self, task: Task, outcomes: list[Outcome], blocked: bool = False) -> None:
        """Write what came of a layer.  Called by the training thread and by the analyst's."""
        epoch, layer = task.snapshot.epoch, task.layer
        for outcome in outcomes:
            waited = outcome.seconds if blocked or not self._background else 0.0
            self._book(outcome.recorder, blocked=waited, computed=outcome.seconds)
            if outcome.record is not None:
                try:
                    self._write(outcome.record)
                except Exception as error:      # a record that does not fit its own declaration
                    outcome = Outcome(outcome.recorder, failure=in_words(error))
            if outcome.recorder in self._off:
                continue
            if outcome.nothing:
                self._note_nothing(outcome.recorder, outcome.nothing, epoch, layer)
            elif outcome.failure:
                self._switch_off(outcome, epoch, layer)

    def _write(self, record: Record) -> None:
        size = self._writer.write(record)
        self._book(self._names.get(record.kind, "log"), size=size)
        self._desk.see(record)

    def _note_nothing(self, recorder: str, reason: str, epoch: int, layer: str) -> None:
        self.note("note", f"{recorder}: {reason}", epoch=epoch, layer=layer, recorder=recorder)

    def took(self, name: str, seconds: float) -> None:
        """Book seconds of the training thread's."""
        self._book(name, blocked=seconds, computed=seconds)

    @contextlib.contextmanager
    def _booked(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.took(name, time.perf_counter() - began)

    def _book(self, name: str, **cost: Any) -> None:
        for costs in (self._costs, self._spent):
            costs.add(name, **cost)

    def _switch_off(self, outcome: Outcome, epoch: int, layer: str) -> None:
        failed = next(recorder for recorder in self._plan.recorders if recorder.name == outcome.recorder)
        dependents = [recorder.name for recorder in self._plan.dependents(failed)]
        self._off |= {failed.name, *dependents}
        also = f", and with it {', '.join(dependents)}," if dependents else ""
        where = f"layer {layer!r}, epoch {epoch}" if layer else f"epoch {epoch}"
        text = f"{failed.name} failed at {where} ({outcome.failure}) and is switched off{also} until the next fit"
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
            self._write(kind(epoch=epoch, entries=entries))
