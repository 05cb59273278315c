"""`AutoPrune`: prunes the model while it trains, and takes back what does not do it good."""

from __future__ import annotations

import contextlib
import math
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras

from featwatch.errors import RefusedType, RefusedValue, in_words, notify
from featwatch.metrics import numbers_of
from featwatch.options import one_of, real, whole
from featwatch.prune.auto.course import Course, Ways
from featwatch.prune.auto.guard import checked_guard
from featwatch.prune.auto.resuming import lost, put_last, resume
from featwatch.prune.auto.steps import ALERTS, Wish
from featwatch.prune.auto.telling import forget_best, in_a_line
from featwatch.prune.candidates import candidates
from featwatch.prune.criteria import CRITERIA
from featwatch.prune.planning import MOST_PER_LAYER, anatomy_of
from featwatch.reader import load
from featwatch.records import Alert, Pruning, Record
from featwatch.records.pruning import PRUNED, REFUSED, UNDONE
from featwatch.schedule import Schedule, as_schedule
from featwatch.watch import Watch


class AutoPrune(keras.callbacks.Callback):
    """Removes filters of a model in the middle of `fit`, step by step, and records each step in a watch's log.

    At the end of an epoch some units go for good, the same model object trains on with what is left, its optimiser's state
    carried over.  Where what the guard monitors then gets worse, the step is undone: shapes, weights and optimiser are what
    they were right before it, and what was trained since is lost.  Each step is printed in a line.

    Wherever it stands in `callbacks`, it comes last: what a `ModelCheckpoint` saves at the end of an epoch is the model that the
    metrics are of, before the step.  An `EarlyStopping` compares, and restores, only epochs since the last step, of a model as
    small as it is now; its patience begins anew.

    A training that was interrupted goes on with `BackupAndRestore`: build the model as at the beginning and call `fit` with
    the same callbacks, in whatever order; what had gone from the model of the backup goes again before Keras loads it.

    Example:
        >>> watch = fw.Watch("logs/run-1", probe)                                               # doctest: +SKIP
        >>> model.fit(x, y, validation_data=(x_val, y_val), epochs=30, callbacks=[watch, fw.AutoPrune(watch)])

    Arguments:
        watch: the `Watch` of the same `fit`; its log gets the steps, its probe serves criteria that need samples.
        ratio_per_step: the share of the units that could go before all pruning that goes in a step, rounded down, one unit at
            least; of units that go together each group counts once.
        max_ratio: of the same, the share that may go in all.
        cooldown: epochs between steps, before the first one too, and for which the guard looks after each.  No step is made
            in so many last epochs of `fit`.
        guard: what is monitored, and how much worse, relatively, it may be at the end of an epoch than it was at the end of
            the last one before the step; with "min" or "max" where the name does not tell which is better.  None = no guard.
        dry_run: only record what would go; the model stays as it is.
        criterion: which units go first, as of `featwatch.prune.plan`, or "alerts": those that the watch's open alerts name.
        schedule: at the end of which epochs steps are tried, as of `Watch`; None = whenever the cooldown is over.
        per_layer: whether a step takes the same share of each layer, rather than what the criterion says is needed least in the
            whole model: more multiply-adds go where early layers would hardly lose any.
        max_ratio_per_layer: the share of the units that a layer had before all pruning that it may lose.
        round_to: each layer keeps a multiple of so many units; a step then takes one such block at least.
        ignore: names or patterns of layers whose units stay.
        compensate: whether what the removed units gave is made up for by those that stay, as far as the probe tells.
        recalibrate: whether the statistics of batch normalisations are estimated anew, over the probe, after each step.
        grace: of the cooldown the first epochs at which the guard does not look: the model may need them to recover.
        tries: after so many steps in a row that were undone nothing more is tried; until then each next one is half as large
            and comes after twice the wait.
        latency: whether the time of a forward pass is measured where the size has changed, within 0.3 s.

    Attributes:
        ratio: the share of the units that could go which has gone.

    Raises:
        ValueError, TypeError: an argument cannot be used; or, at the start of `fit`, the model cannot be pruned, or the
            watch is not in `callbacks`.
    """

    def __init__(
        self,
        watch: Watch,
        ratio_per_step: float = 0.1,
        max_ratio: float = 0.6,
        cooldown: int = 2,
        guard: Sequence[Any] | None = ("val_loss", 0.05),
        dry_run: bool = False,
        *,
        criterion: Any = "redundancy",
        schedule: Schedule | Callable[[int], bool] | None = None,
        per_layer: bool = False,
        max_ratio_per_layer: float = MOST_PER_LAYER,
        round_to: int = 1,
        ignore: str | Sequence[str] = (),
        compensate: bool = True,
        recalibrate: bool = False,
        grace: int = 0,
        tries: int = 3,
        latency: bool = True,
    ) -> None:
        super().__init__()
        if not isinstance(watch, Watch):
            raise RefusedType(f"watch is a {type(watch).__name__}; give the featwatch.Watch that is in callbacks before this")
        if not callable(criterion):
            one_of("criterion", criterion, (*CRITERIA, ALERTS), "a function (layer, weights) -> scores")
        for name, flag in (
            ("dry_run", dry_run), ("per_layer", per_layer), ("compensate", compensate), ("recalibrate", recalibrate),
            ("latency", latency),
        ):  # fmt: skip
            if not isinstance(flag, bool):
                raise RefusedType(f"{name}={flag!r}: expected True or False")
        ignored = [ignore] if isinstance(ignore, str) else list(ignore)
        if not all(isinstance(each, str) for each in ignored):
            raise RefusedType(f"ignore={ignore!r}: give names or patterns of layers, such as 'conv*'")
        self.watch = watch
        wait = whole("cooldown", cooldown, 1)
        wish = Wish(
            criterion=criterion,
            ratio_per_step=real("ratio_per_step", ratio_per_step, 0.0, 1.0, open_below=True),
            max_ratio=real("max_ratio", max_ratio, 0.0, 1.0),
            max_ratio_per_layer=real("max_ratio_per_layer", max_ratio_per_layer, 0.0, 1.0),
            round_to=whole("round_to", round_to, 1),
            ignore=tuple(ignored),
            per_layer=per_layer,
        )
        self._ways = Ways(
            wish=wish, guard=checked_guard(guard), cooldown=wait, grace=whole("grace", grace, 0, wait - 1),
            tries=whole("tries", tries, 1), dry_run=dry_run, compensate=compensate, recalibrate=recalibrate, latency=latency,
        )  # fmt: skip
        self._schedule = None if schedule is None else as_schedule(schedule)
        if self._schedule is not None and self._schedule.unit != "epochs":
            raise RefusedValue(f"schedule={schedule!r}: steps are made at the end of epochs; give fw.every(epochs=n) or fw.at(…)")
        self._course: Course | None = None
        self._of: Callable[[], Any] = lambda: None      # the model that the course is of
        self._asked = 0                                 # the last epoch at which the schedule was asked
        self._owed = False                              # whether a step that is due could not be made yet
        self._seen: float | None = None                 # when the fit before this one began
        self._begun = False                             # whether this fit has
        self._off = False                               # whether it is not pruned any more, for what went wrong
        self._others: list[Any] = []                    # the callbacks of this fit
        self._repeated = 0                              # steps that were made again so that the model fits its backup

    @property
    def ratio(self) -> float:
        """The share of the units that could go which has gone; 0 before the first epoch."""
        return self._course.ratio if self._course is not None else 0.0

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        self._seen = getattr(self.watch, "_began", None)    # Keras tells all callbacks of the model before it begins any

    def set_params(self, params: Any) -> None:
        # The last that Keras tells all callbacks before it begins the first: BackupAndRestore may be that, and loads then.
        super().set_params(params)
        if params and self.model is not None:
            # What other callbacks save or remember at the end of an epoch has to be the model that its metrics are of.
            self._others = put_last(self, params)
            self._repeated = resume(self.model, self._others) if self.model.built else 0

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self._begun = self._off = False
        if self.watch.model is not self.model:
            raise RefusedValue("AutoPrune writes into the log of its watch: put that into callbacks, [watch, autoprune]")
        if getattr(self.watch, "_began", None) == self._seen:
            raise RefusedValue("AutoPrune stands before its watch in callbacks: list it after it, [watch, autoprune]")
        if self.model.built:
            candidates(anatomy_of(self.model), self._ways.wish.ignore)      # what cannot be pruned is refused before training

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        if not self._begun and self.model.built:
            with self._guarded():
                self._begin(self._now(epoch - 1), self._left(epoch) + 1)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self._off:
            return
        now = self._now(epoch)
        with self._guarded():
            if not self._begun:                 # the model was built by its first batch
                self._begin(now - 1, self._left(epoch) + 1)
            assert self._course is not None
            self._owed = self._schedule is None or self._schedule.due(self._asked, now, False) or self._owed
            self._asked = now
            due = self._owed and self.watch._recording is not None      # what cannot be recorded is not done
            self._step(self._course, now, numbers_of(logs), due, self._left(epoch))

    def _step(self, course: Course, now: int, metrics: Mapping[str, float], due: bool, left: float) -> bool:
        """Do what is to be done after an epoch; whether there was anything."""
        try:
            record = course.epoch_over(self.model, now, metrics, due=due, left=left)
        except Exception as error:              # nothing was changed, or it was taken back
            if self.watch._strict:
                raise
            record = course.refuse(now, in_words(error))
        if record is not None:
            self._tell(record)
        self._write(course.size(now))
        return record is not None

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        if self._course is not None:
            self._course.let_go()

    def _begin(self, now: int, left: float) -> None:
        again: list[Pruning] = []
        if self._course is None or self._of() is not self.model or not self._course.serves(self.model):
            earlier = self._earlier(now)
            self._course = Course(self.model, self.watch.probe, self._ways, self._alerts, earlier)
            self._of = weakref.ref(self.model)
            self._owed = False
            again = self._continue(self._course, earlier, now)
        self._begun, self._asked = True, now
        self._course.begin(now, bool(again))
        if again and self.watch._recording is not None:     # as the earlier process did it, right after the backup
            if not self._step(self._course, now, self.watch._earlier.metrics, True, left):
                self._write(lost(again[-1]))
        else:
            self._write(self._course.size(now))

    def _continue(self, course: Course, earlier: Sequence[Pruning], now: int) -> list[Pruning]:
        """Have the log say what became of the steps of an earlier process; gives what it did that the model has not seen."""
        said = course.continued
        again = [each for each in earlier if each.epoch == now and each.action in (PRUNED, UNDONE) and each not in said]
        for record in (each for each in earlier if each.epoch == now and each not in again):
            self._write(record)                 # the session that begins here supersedes them
        if self._repeated:
            many = "step" if self._repeated == 1 else "steps"
            self._note(f"the model was made as small as its backup: {self._repeated} {many} of pruning repeated", now)
        guard, last = self._ways.guard, said[-1] if said else None
        if guard is not None and last is not None and last.action == PRUNED and now - last.epoch < self._ways.cooldown:
            self._note(f"the step at epoch {last.epoch} cannot be undone any more: the training was resumed after it", now)
        return again

    def _tell(self, record: Pruning) -> None:
        self._write(record)
        if record.action != REFUSED:
            print(in_a_line(record), file=sys.stderr)
        if record.action == PRUNED:
            self._owed = False
            forget_best(self._others)
            self.watch.resized("the layer was pruned")
        elif record.action == UNDONE:
            self.watch.resized("what was pruned of the layer came back")
        elif record.action == REFUSED:
            notify(f"the model is not pruned any more in this fit; training goes on. Cause: {record.reason}")

    def _write(self, record: Record) -> None:
        recording = self.watch._recording
        if recording is not None:
            recording.record(record)

    def _note(self, text: str, epoch: int) -> None:
        recording = self.watch._recording
        if recording is not None:
            recording.note("note", text, epoch=epoch)

    def _alerts(self) -> Sequence[Alert]:
        recording = self.watch._recording
        return recording.open_alerts if recording is not None else ()

    def _earlier(self, now: int) -> list[Pruning]:
        """The steps that the log holds, where the training was resumed."""
        if self.watch._earlier.prunings:
            return list(self.watch._earlier.prunings)
        if now:
            with contextlib.suppress(Exception):    # an unreadable log costs the numbers of units before all pruning
                return [each for each in load(self.watch.log_dir).prunings if each.epoch <= now]
        return []

    def _now(self, epoch: int) -> int:
        """Epochs of training after Keras' epoch of this index."""
        return epoch + 1 + self.watch._offset

    def _left(self, epoch: int) -> float:
        """Epochs that will be trained after this one."""
        if getattr(self.model, "stop_training", False):
            return 0
        return float((self.params or {}).get("epochs") or math.inf) - epoch - 1

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._off = True
            if self.watch._strict:
                raise
            notify(f"AutoPrune failed and is switched off until the next fit; training goes on. Cause: {in_words(error)}")
