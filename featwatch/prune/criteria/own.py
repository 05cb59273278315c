"""A criterion of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from featwatch.errors import RefusedType, RefusedValue
from featwatch.prune.candidates import Candidates
from featwatch.prune.criteria.tally import Tally
from featwatch.weights import filter_weights

Criterion = Callable[[Any, Any], Any]


def own(criterion: Criterion, candidates: Candidates) -> np.ndarray:
    """(candidates,) what the user's function says of the units of each layer that makes some.

    Arguments:
        criterion: (layer, weights (units, weights per unit) float32, or None where they are not known) -> (units,) of 0 or
            more, the dispensable ones lowest; None = it says nothing of this layer.

    Raises:
        ValueError, TypeError: it gave something else.
    """
    tally = Tally(len(candidates))
    for name, member in candidates.members.items():
        if not member.mixes or not (member.places >= 0).any():
            continue
        weights = filter_weights(member.layer)
        said = criterion(member.layer, weights if weights is not None and len(weights) == len(member.places) else None)
        if said is None:
            continue
        scores = np.asarray(said)
        what = f"criterion: of layer {name!r} it gave"
        if scores.dtype.kind not in "fiub":
            raise RefusedType(f"{what} {type(said).__name__} of {scores.dtype}; give a number for each of its units")
        if scores.shape != member.places.shape:
            raise RefusedValue(f"{what} an array of shape {scores.shape}; give {member.places.shape}, a number for each unit")
        if not np.isfinite(scores).all() or (scores < 0).any():
            raise RefusedValue(f"{what} numbers below 0 or not finite; give 0 or more, the dispensable ones lowest")
        tally.add(member.places, scores)
    return tally.scores()
