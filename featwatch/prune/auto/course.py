"""The course of pruning through a training: steps, the guard's verdict on each, and what there is to record of them."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from featwatch.prune.anatomy import Anatomy
from featwatch.prune.auto.guard import Guard
from featwatch.prune.auto.ledger import Ledger, in_effect, replayed
from featwatch.prune.auto.pace import Pace
from featwatch.prune.auto.recalibration import recalibrate
from featwatch.prune.auto.sizes import size_of
from featwatch.prune.auto.steps import ALERTS, Step, Wish, next_step, room, units_of
from featwatch.prune.candidates import candidates
from featwatch.prune.compensation import compensated
from featwatch.prune.savings import Sizes
from featwatch.prune.surgery import Surgery, operate
from featwatch.records import ModelSize, Pruning
from featwatch.records.pruning import PROPOSED, PRUNED, REFUSED, UNDONE


@dataclass(frozen=True, eq=False, kw_only=True)
class Ways:
    """How steps are made and judged."""

    wish: Wish
    guard: Guard | None = None
    cooldown: int = 2
    grace: int = 0
    tries: int = 3
    dry_run: bool = False
    compensate: bool = True
    recalibrate: bool = False
    latency: bool = True


@dataclass(eq=False)
class _Pending:
    """A step that the guard still looks at."""

    surgery: Surgery
    record: Pruning
    size: ModelSize                     # before it


class Course:
    """What has become of a model, and what comes next.

    Arguments:
        model: as it is when the course begins.
        probe: samples, for criteria, compensation, statistics and latency.
        alerts: gives the alerts that are open.
        earlier: steps that an earlier process made, as its log has them.
    """

    def __init__(
        self, model: Any, probe: Any, ways: Ways, alerts: Callable[[], Sequence[Any]] = tuple, earlier: Iterable[Pruning] = ()
    ) -> None:
        self._probe, self._ways, self._alerts = probe, ways, alerts
        self._batch = next(iter(probe.batches()))[0]
        anatomy = Anatomy(model)
        prunable = candidates(anatomy).prunable
        steps = in_effect(earlier, prunable)
        found = replayed(steps, units_of(anatomy))
        self.continued = steps if found is not None else []     # steps of an earlier process that the model has seen
        self._ledger = found or Ledger.of(units_of(anatomy), prunable)
        self._pace = Pace(ways.cooldown, ways.tries)
        self._pace.go_on(_decided(self.continued))
        self._goes_on = bool(self.continued)
        self._pending: _Pending | None = None
        self._size = size_of(anatomy, self._batch, 0, measured=ways.latency)
        self._refused = False               # in this fit

    @property
    def ratio(self) -> float:
        """The share of the units that could go which has gone."""
        original = self._ledger.prunable
        return (original - self._size.units) / original if original else 0.0

    def serves(self, model: Any) -> bool:
        """Whether this is the course of a model as it is: nobody else has pruned it since."""
        return self._ledger.fits(units_of(Anatomy(model)))

    def begin(self, epoch: int, again: bool = False) -> None:
        """A fit begins, `epoch` epochs of training were before; `again`: a step that was made then is to be made again."""
        self.let_go()
        self._refused = False
        if not (self._goes_on or again):    # as it would have gone on in the earlier process
            self._pace.begin(epoch)
        self._goes_on = False

    def let_go(self) -> None:
        """The fit is over: what is pending stays."""
        self._pending = None

    def size(self, epoch: int) -> ModelSize:
        """How large the model is."""
        return replace(self._size, epoch=epoch)

    def epoch_over(self, model: Any, epoch: int, metrics: Mapping[str, float], *, due: bool, left: float) -> Pruning | None:
        """What is done at the end of an epoch; None where that is nothing.

        Arguments:
            metrics: what Keras said of the epoch.
            due: whether a step may be made.
            left: epochs that will be trained from here on.
        """
        if self._pending is not None:
            verdict = self._judged(self._pending, epoch, metrics)
            if verdict is not None:
                return verdict
        if self._pending is not None or not due or left < self._ways.cooldown or not self._pace.ready(epoch) or self._refused:
            return None
        return self._step(model, epoch, metrics)

    def refuse(self, epoch: int, reason: str) -> Pruning:
        """No step any more in this fit, for a reason."""
        self._refused = True
        return Pruning(epoch=epoch, action=REFUSED, reason=reason, **self._told(), **self._sizes(self._size, self._size))

    # -- the guard ---------------------------------------------------------------------------------------------------

    def _judged(self, pending: _Pending, epoch: int, metrics: Mapping[str, float]) -> Pruning | None:
        guard, made = self._ways.guard, pending.record.epoch
        if guard is not None and epoch - made > self._ways.grace:
            value = metrics.get(guard.monitor, math.nan)
            if guard.worse(pending.record.value_before, value):
                return self._undone(pending, epoch, value)
        if epoch - made >= self._ways.cooldown:
            self._pace.held()
            self._pending = None
        return None

    def _undone(self, pending: _Pending, epoch: int, value: float) -> Pruning:
        began, smaller, step = time.perf_counter(), self._size, pending.record
        self._pending = None
        pending.surgery.undo()
        self._ledger.put_back(step.origin)
        self._size = pending.size
        self._pace.undone(epoch)
        assert self._ways.guard is not None
        allowed = self._ways.guard.tolerance
        came = f"{self._ways.guard.monitor} came to {value:.4g}" if math.isfinite(value) else f"{step.monitor} was not finite"
        lost = f"epoch {epoch}" if epoch == step.epoch + 1 else f"epochs {step.epoch + 1} to {epoch}"
        then = f"nothing more is tried after {self._ways.tries} such steps in a row" if self._pace.over else (
            f"the next step is half as large, at epoch {self._pace.next} at the earliest"
        )  # fmt: skip
        return Pruning(
            epoch=epoch,
            action=UNDONE,
            reason=f"{came} after {step.value_before:.4g} at epoch {step.epoch}: worse by more than {allowed:.1%}",
            removed=step.removed,
            origin=step.origin,
            value_after=value,
            seconds=time.perf_counter() - began,
            note=f"the model is what it was after epoch {step.epoch}: what {lost} trained is lost; {then}",
            **self._told(value_before=step.value_before),
            **self._sizes(smaller, self._size),
        )

    # -- steps -------------------------------------------------------------------------------------------------------

    def _step(self, model: Any, epoch: int, metrics: Mapping[str, float]) -> Pruning | None:
        ways, guard, began = self._ways, self._ways.guard, time.perf_counter()
        value = math.nan if guard is None else metrics.get(guard.monitor, math.nan)
        if guard is not None and not ways.dry_run and guard.monitor not in metrics:
            return self.refuse(epoch, f"the guard's {guard.monitor!r} is not among what Keras reports ({', '.join(metrics)}): "
                               "give fit validation_data, or the guard another metric, or guard=None")  # fmt: skip
        if not room(ways.wish, self._ledger, self._size.units):
            return None
        step = next_step(model, ways.wish, self._ledger, self._probe, self._pace.share, self._alerts)
        if step is not None or ways.wish.criterion != ALERTS:       # of alerts there may be some at the next epoch
            self._pace.stepped(epoch)
        if step is None:
            return None
        groups, values, error, said = step.groups, [], math.nan, list(step.plan.notes)
        if ways.compensate:
            found = compensated(step.anatomy, groups, self._probe)
            groups, values, error, said = found.groups, found.values, found.output_error, [*said, *found.notes]
        removed = step.anatomy.going(groups)
        record = Pruning(
            epoch=epoch,
            action=PROPOSED if ways.dry_run else PRUNED,
            reason=self._reason(step),
            removed=removed,
            origin=self._ledger.numbered(removed),
            error=error,
            seconds=time.perf_counter() - began,
            note="; ".join(said),
            **self._told(value_before=value),
            **self._sizes(self._size, self._after(step, groups)),
        )
        if ways.dry_run or not groups:
            return record if groups else None
        return self._made(model, step.anatomy, groups, values, record, began)

    def _made(
        self, model: Any, anatomy: Anatomy, groups: set[int], values: list[tuple[Any, Any]], record: Pruning, began: float
    ) -> Pruning:
        before, surgery = self._size, operate(anatomy, groups, values=values)
        try:
            said = [record.note, *surgery.notes]
            if self._ways.recalibrate:
                said.append(recalibrate(model, self._probe))
            seconds = time.perf_counter() - began
            size = size_of(Anatomy(model), self._batch, record.epoch, measured=self._ways.latency)
        except BaseException:
            surgery.undo()
            raise
        self._ledger.remove(record.removed)
        self._size = size
        record = replace(record, seconds=seconds, note="; ".join(filter(None, said)), **self._sizes(before, size))
        self._pending = _Pending(surgery, record, before) if self._ways.guard is not None else None     # it holds a copy
        return record

    def _reason(self, step: Step) -> str:
        count = f"{len(step.groups)} of {step.before} units"
        if self._ways.wish.criterion == ALERTS:
            return f"{count} that open alerts name"
        return f"{count}, those that {step.plan.criterion!r} says are needed least"

    def _after(self, step: Step, groups: set[int]) -> ModelSize:
        parameters, multiply_adds = Sizes(step.anatomy, like=self._batch).of(groups)
        units = step.before - len(groups)
        return replace(self._size, parameters=parameters, multiply_adds=multiply_adds, units=units, latency=math.nan)

    def _told(self, value_before: float = math.nan) -> dict[str, Any]:
        criterion, guard = self._ways.wish.criterion, self._ways.guard
        return {
            "criterion": criterion if isinstance(criterion, str) else getattr(criterion, "__name__", "own"),
            "monitor": "" if guard is None else guard.monitor,
            "value_before": value_before,
        }

    def _sizes(self, before: ModelSize, after: ModelSize) -> dict[str, Any]:
        return {
            "units_before": before.units,
            "units_after": after.units,
            "units_original": self._ledger.prunable,
            "parameters_before": before.parameters,
            "parameters_after": after.parameters,
            "multiply_adds_before": before.multiply_adds,
            "multiply_adds_after": after.multiply_adds,
            "latency_before": before.latency,
            "latency_after": after.latency,
            "latency_batch": before.latency_batch,
        }


def _decided(steps: Sequence[Pruning]) -> list[tuple[int, bool]]:
    """Of each step that was made the epoch at which it was, and True, or that at which it was undone, and False."""
    after = itertools.zip_longest(steps, steps[1:])
    return [
        (each.epoch, True) if then is None or then.action != UNDONE else (then.epoch, False)
        for each, then in after if each.action == PRUNED
    ]  # fmt: skip
