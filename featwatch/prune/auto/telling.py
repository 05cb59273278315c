"""What is said of a step on the terminal, and to callbacks that remember the best epoch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras

from featwatch.prune.table import change
from featwatch.records import Pruning
from featwatch.records.pruning import PROPOSED, UNDONE


def in_a_line(record: Pruning) -> str:
    """A step as a line on the terminal.

    >>> print(in_a_line(Pruning(epoch=3, action="pruned", units_before=20, units_after=15, criterion="l2",
    ...     parameters_before=400, parameters_after=200, multiply_adds_before=1000, multiply_adds_after=400)))
    featwatch: pruned after epoch 3: 5 of 20 units, by 'l2'; parameters 400 → 200 (−50.0 %), multiply-adds −60.0 %
    """
    if record.action == UNDONE:
        came = record.units_after - record.units_before
        return f"featwatch: undone after epoch {record.epoch}: {came} units came back: {record.reason}; {record.note}"
    what = "would prune" if record.action == PROPOSED else "pruned"
    count = f"{record.units_before - record.units_after} of {record.units_before} units, by {record.criterion!r}"
    return f"featwatch: {what} after epoch {record.epoch}: {count}; {_saved(record)}"


def forget_best(callbacks: Iterable[Any]) -> None:
    """Have each `EarlyStopping` that restores weights look for the best epoch anew: the best so far is of a larger model.

    What surgery made of the weights that it held was never judged.  A step that is undone brings them back.
    """
    for each in callbacks:
        if isinstance(each, keras.callbacks.EarlyStopping) and each.restore_best_weights:
            each.best = each.best_weights = None


def _saved(record: Pruning) -> str:
    before, after = record.parameters_before, record.parameters_after
    text = f"parameters {before:,} → {after:,} ({_less(before, after)})"
    if record.multiply_adds_before > 0:
        text += f", multiply-adds {_less(record.multiply_adds_before, record.multiply_adds_after)}"
    return text


def _less(before: int, after: int) -> str:
    return change(before, after).partition(",")[0]
