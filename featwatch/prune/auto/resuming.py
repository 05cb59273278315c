"""A training that is resumed from a backup: the model is made as small as the backup before Keras loads it."""

from __future__ import annotations

import gc
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import keras

from featwatch.errors import in_words, notify
from featwatch.prune.surgery import resumed
from featwatch.records import Pruning
from featwatch.records.pruning import REFUSED


def put_last(callback: Any, params: Mapping[str, Any]) -> list[Any]:
    """Have a callback called after all others of the fit that has just told it its parameters; gives the others.

    Keras gives all callbacks of a fit the same dictionary before it begins any, and keeps it in the list of them.
    """
    for each in gc.get_objects():
        if type(each) is not keras.callbacks.CallbackList or each.params is not params:
            continue
        others = [one for one in each.callbacks if one is not callback]
        if len(others) < len(each.callbacks):
            each.callbacks = [*others, callback]        # another list: Keras is just going through that one
            return others
    return []


def resume(model: Any, callbacks: list[Any]) -> int:
    """How many steps of pruning were repeated so that the model fits what a `BackupAndRestore` among these is about to load.

    Where it fits after none the user is told, and Keras does with that what it does without us.
    """
    repeated = 0
    for each in callbacks:
        if isinstance(each, keras.callbacks.BackupAndRestore):
            try:
                repeated += resumed(model, each.backup_dir)
            except Exception as error:
                notify(
                    "the model could not be made as small as its backup, which Keras is about to load. "
                    f"Cause: {in_words(error)}"
                )
    return repeated


def lost(record: Pruning) -> Pruning:
    """What takes the place of a step in the log that the model has not seen, as it was resumed from right before it."""
    return replace(
        record,
        action=REFUSED,
        reason=f"the step made here ({record.action}) was lost: the training was resumed from a backup of right before it",
        removed={}, origin={}, units_after=record.units_before, parameters_after=record.parameters_before,
        multiply_adds_after=record.multiply_adds_before, latency_after=record.latency_before, error=math.nan, note="",
    )  # fmt: skip
