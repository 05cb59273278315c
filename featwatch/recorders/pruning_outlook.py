"""`PruningOutlook`: what would go, and what it would save and cost, were the model pruned now."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from featwatch.analysis.histograms import stratified
from featwatch.errors import in_words
from featwatch.options import one_of, real, whole
from featwatch.recorders.allowance import Allowance
from featwatch.recorders.base import ExplainingRecorder, Look, NothingToSay
from featwatch.records import PruningOutlook as PruningOutlookRecord
from featwatch.schedule import every

CRITERIA = ("l2", "activity", "redundancy", "taylor", "random")
RATIOS = tuple(index / 10 for index in range(10))
_MOST_TRACED = 200      # operations whose tracing takes about as long as a second's measuring


class PruningOutlook(ExplainingRecorder):
    """At several shares of units: which go, what is left of parameters and multiply-adds, and what it does to the outputs.

    Accuracy and change of the outputs are those on some samples of the probe, with the units masked and nothing trained since:
    what a training makes up for afterwards, and what the compensation of a plan does, is not in them.  Where there is time
    left, they are measured with as many units gone that were drawn at random, too, the baseline of every criterion.

    Arguments:
        criterion: which units go first, as of `featwatch.prune.plan`: "l2", "activity", "redundancy", "taylor", "random" or a
            function.
        ratios: shares of the units that can go, ascending; 0 is added.
        samples: of the probe to measure by, of each class as many as there is room for.
        ignore: names or patterns of layers whose units stay.
        seconds: that a snapshot may take; shares for which there is no time are left out, those in between first.  None = no
            limit.
        share: of the time since the snapshot before, likewise, where that is less than `seconds`.
        schedule: every five epochs, unless told.
    """

    name = "pruning_outlook"
    produces = PruningOutlookRecord

    def __init__(
        self,
        criterion: Any = "l2",
        ratios: Sequence[float] = RATIOS,
        *,
        samples: int = 256,
        ignore: str | Sequence[str] = (),
        seconds: float | None = 1.0,
        share: float = 0.1,
        schedule: Any = None,
    ) -> None:
        if not callable(criterion):
            one_of("criterion", criterion, CRITERIA, "a function (layer, weights) -> scores")
        self.criterion = criterion
        if isinstance(ratios, (str, bytes)) or not np.ndim(ratios):
            raise TypeError(f"ratios={ratios!r}: give shares of the units, such as (0.25, 0.5)")
        self.ratios = sorted({0.0, *(real("ratios", each, 0.0, 1.0) for each in ratios)})
        self.samples = whole("samples", samples, 1)
        names = [ignore] if isinstance(ignore, str) else list(ignore)
        if not all(isinstance(each, str) for each in names):
            raise TypeError(f"ignore={ignore!r}: give names or patterns of layers, such as 'conv*'")
        self.ignore = names
        self.seconds = None if seconds is None else real("seconds", seconds, 0.0, open_below=True)
        self.share = real("share", share, 0.0, open_below=True)
        self.schedule = every(epochs=5) if schedule is None else schedule
        self._clock: Callable[[], float] = time.perf_counter

    def explain(self, look: Look) -> Iterator[PruningOutlookRecord | NothingToSay]:
        from featwatch.prune.outlook import Outlook

        if "refusal" in look.state:
            return
        allowance = look.state.setdefault("allowance", Allowance(self.seconds, self.share, self._clock))
        allowance.begin()
        try:
            outlook = Outlook(look.model, self.criterion, self.ratios, look.probe, self.ignore)
        except Exception as error:                  # a model of a kind that cannot be followed: training is not to notice
            expected = isinstance(error, (ValueError, TypeError))
            look.state["refusal"] = reason = str(error) if expected else in_words(error)
            yield NothingToSay(f"there is no outlook on pruning: {reason}")
        else:
            rows = stratified(look.probe.labels, self.samples)
            found, chance, said = self._measured(look, outlook, rows, allowance)
            record: PruningOutlookRecord = outlook.record(look.epoch, found, chance)
            yield replace(record, note="; ".join(filter(None, [record.note, said])))
        finally:
            allowance.end()

    def _measured(
        self, look: Look, outlook: Any, rows: np.ndarray, allowance: Allowance
    ) -> tuple[dict[int, Any], dict[int, Any], str]:
        """What is measured, by index of the share, the same with units drawn at random, and what there is to say of it."""
        from featwatch.prune.masking import Masks
        from featwatch.prune.outlook import Measuring, measured

        operations = len(outlook.anatomy.graph.operations)
        if self.seconds is not None and operations > _MOST_TRACED * self.seconds:
            why = f"tracing {operations} operations takes too long; seconds=None does"
            return {}, {}, f"accuracy and change are not measured: {why}"
        ends, taken = [self._clock()], list[float]()

        def fits() -> bool:
            ends.append(self._clock())
            taken.append(ends[-1] - ends[-2])
            # The first one may have been traced: it says nothing of the others.
            return allowance.left > max(taken[1:], default=0.0)

        count = len(self.ratios)
        chance: dict[int, Any] = {}
        try:
            if "masks" not in look.state:
                look.state["masks"] = Masks(outlook.anatomy)
            measuring = Measuring(look.state["masks"], outlook, look.probe, rows, look.output)
            found = measured(measuring.at, count, fits)
            if not outlook.random and len(found) == count and fits():
                chance = measured(measuring.by_chance, count, fits)
                chance = chance if len(chance) > 1 else {}      # at 0 there is nothing to draw
        except Exception as error:                  # it cannot be traced, or there is no room
            return {}, {}, f"accuracy and change are not measured: {in_words(error)}"
        said = [f"accuracy and change: over {len(rows)} samples, units masked, nothing trained since"]
        if len(found) < count:
            said.append(f"no time to measure at {count - len(found)} of {count} shares")
        if chance:
            said.append("at random: in one order, drawn once")
        if not outlook.random and len(chance) < count > 1:
            said.append(f"no time to measure at random at {count - len(chance)} of {count}")
        return found, chance, "; ".join(said)
