"""Criterion "activity": how large what a unit gives is."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from featwatch.explain.responses import Responses
from featwatch.prune.anatomy import Anatomy
from featwatch.prune.candidates import Candidates
from featwatch.prune.criteria.places import places_of, unread
from featwatch.prune.criteria.tally import Tally


def activity(anatomy: Anatomy, candidates: Candidates, probe: Any) -> tuple[np.ndarray, list[str]]:
    """(candidates,) the mean |activation| over samples and positions, relative to the layer's mean; and what there is to say.

    Of units that go together, the mean over the layers that make them.
    """
    places, missing = places_of(anatomy, candidates)
    responses = Responses(anatomy.model, [place.site for place in places], _sizes)
    sums: dict[str, np.ndarray] = {}
    for batch, count in probe.batches():
        for name, response in responses.read(batch).items():
            sums[name] = sums.get(name, 0.0) + response.values[:count].sum(axis=0, dtype=np.float64)
    tally = Tally(len(candidates))
    for place in places:
        if len(sums.get(place.name, ())) == len(place.places):
            tally.add(place.places, sums[place.name])
        else:
            missing.append(place.name)
    return tally.scores(), unread(missing)


def _sizes(values: tf.Tensor, bare: bool) -> tf.Tensor:
    """(batch, filters)."""
    return tf.reduce_mean(tf.abs(values), axis=list(range(1, values.shape.rank - 1))) if values.shape.rank > 2 else tf.abs(values)
