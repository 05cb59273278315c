"""Weights that callbacks keep to put back later: sliced as the model's are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from featwatch.prune.surgery.changes import Changes
from featwatch.prune.surgery.resizing import Places, taken

_REMEMBERED = ("best_weights", "best", "best_epoch")


def follow(changes: Changes, callbacks: Sequence[Any], model: Any, places: Places) -> list[str]:
    """Slice the best weights that callbacks hold; gives what there is to say of those for which that is not possible.

    Taken back, a callback remembers again what was best before: what became best since does not fit the model of before.
    """
    said = []
    for callback in callbacks:
        best = getattr(callback, "best_weights", None)
        weights = (getattr(callback, "model", None) or model).weights
        for name in _REMEMBERED:
            if name in vars(callback):
                changes.attribute(callback, name, getattr(callback, name))
        if best is None:
            continue
        fits = len(best) == len(weights) and all(
            np.shape(value) == tuple(weight.shape) for value, weight in zip(best, weights, strict=True)
        )
        if fits:
            smaller = [taken(np.asarray(value), places(weight)) for value, weight in zip(best, weights, strict=True)]
            changes.attribute(callback, "best_weights", smaller)
        else:
            changes.attribute(callback, "best_weights", None)
            said.append(f"the best weights that {type(callback).__name__} held fit another model than this; they are forgotten")
    return said
