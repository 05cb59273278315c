"""Criterion "redundancy": what of a unit the other units of its layer do not say."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from scipy.linalg.lapack import dpstrf

from featwatch.explain.responses import Responses
from featwatch.prune.anatomy import Anatomy
from featwatch.prune.candidates import Candidates
from featwatch.prune.criteria.places import places_of, unread
from featwatch.prune.criteria.tally import Tally
from featwatch.prune.words import several

# Positions of a map that are looked at for each sample, at most: evenly spread ones.
POSITIONS = 256
# Samples × positions for each unit below which what fits is in part luck.
ROWS_PER_UNIT = 4


def redundancy(anatomy: Anatomy, candidates: Candidates, probe: Any) -> tuple[np.ndarray, list[str]]:
    """(candidates,) what a unit varies beyond a weighted sum of those that stay longer, relative to its layer's mean.

    Units are kept in the order of a pivoted Cholesky factorisation of the covariance of the layer's activations over samples
    and positions: first the one that varies most, then always the one of which the kept ones leave most.  A unit's score is
    the deviation that is left of it when its turn comes (Golub 1965; as subset selection Golub & Van Loan, section 5.5.7).
    A dead unit has 0, and so have a constant one, all but one of a set of multiples, and a weighted sum of others.
    """
    places, missing = places_of(anatomy, candidates)
    responses = Responses(anatomy.model, [place.site for place in places], _moments)
    found: dict[str, np.ndarray] = {}
    for batch, count in probe.batches():
        real = tf.nest.map_structure(lambda array, count=count: array[:count], batch)
        for name, response in responses.read(real).items():
            found[name] = found.get(name, 0.0) + response.values
    tally, few = Tally(len(candidates)), []
    for place in places:
        moments = found.get(place.name)
        if moments is None or moments.shape[1] != len(place.places):
            missing.append(place.name)
            continue
        rows = float(moments[0, 0])
        few += [place.name] if rows < ROWS_PER_UNIT * len(place.places) else []
        tally.add(place.places, left_of(moments, rows))
    notes = [f"of {several(few)} there are few samples for so many units: some only seem redundant"] if few else []
    return tally.scores(), notes + unread(missing)


def left_of(moments: np.ndarray, rows: float) -> np.ndarray:
    """(units,) float64 ≥ 0, the deviation of each unit that those kept before it leave.

    Arguments:
        moments: (2 + units, units) float64: the number of rows, the sums, the sums of products.
        rows: how many.
    """
    mean = moments[1] / rows
    covariance = moments[2:] / rows - np.outer(mean, mean)
    variances = np.maximum(np.diag(covariance), 0.0)
    if not np.isfinite(covariance).all():
        return np.full(len(mean), np.nan)
    scale = variances.mean()
    result = np.zeros(len(mean))
    if scale <= 0:
        return result
    factor, pivots, rank, _ = dpstrf(covariance / scale, lower=1, tol=1e-10)
    result[pivots[:rank] - 1] = np.diag(factor)[:rank] * np.sqrt(scale)
    return result


def _moments(values: tf.Tensor, bare: bool) -> tf.Tensor:
    """(2 + filters, filters) float64: the number of rows, the sums, and the sums of products."""
    filters = values.shape[-1]
    maps = tf.reshape(values, (tf.shape(values)[0], -1, filters))
    step = -(-int(np.prod(values.shape[1:-1])) // POSITIONS) if values.shape.rank > 2 else 1
    rows = tf.cast(tf.reshape(maps[:, ::step], (-1, filters)), tf.float64)
    count = tf.fill((1, filters), tf.cast(tf.shape(rows)[0], tf.float64))
    return tf.concat([count, tf.reduce_sum(rows, axis=0, keepdims=True), tf.matmul(rows, rows, transpose_a=True)], axis=0)
