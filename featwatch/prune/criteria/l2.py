"""Criterion "l2": how large the weights are that make a unit, scale it and read it."""

from __future__ import annotations

import numpy as np

from featwatch.prune.anatomy import Anatomy
from featwatch.prune.candidates import Candidates
from featwatch.prune.criteria.tally import Tally
from featwatch.weights import as_numpy


def l2(anatomy: Anatomy, candidates: Candidates) -> np.ndarray:
    """(candidates,) the group norm, relative to what is usual where the weights are.

    Of every kernel along every axis on which units are, the sum of the squared weights of each, relative to their mean; so
    with the scales of batch normalisations.  A group's score is the root of the mean over all these (Fang et al. 2023,
    "DepGraph: Towards Any Structural Pruning", section 3.3).
    """
    tally = Tally(len(candidates))
    place = candidates.place
    for sliced in anatomy.sliced.values():
        variable = sliced.variable
        if len(variable.shape) < 2 and variable.name not in ("gamma", "scale"):
            continue                            # biases and statistics
        squares = np.square(as_numpy(variable).astype(np.float64))
        for axis, ids in sliced.axes.items():
            own = squares.sum(axis=tuple(other for other in range(squares.ndim) if other != axis))
            roots, which = np.unique(anatomy.units.roots(ids), return_inverse=True)
            tally.add(place(roots), np.bincount(which.reshape(-1), own))
    return np.sqrt(tally.scores())
