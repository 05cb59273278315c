"""Groups of filters that act together: non-negative matrix factorisation of a layer's values (row F8)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

STEPS = 400                         # of the factorisation, at most
TOLERANCE = 1e-3                    # it ends where a step moves so much less than the first: more would explain hardly more


@dataclass(frozen=True, eq=False)
class Factors:
    """Values ≈ amounts @ weights: at every position so much of each group of filters."""

    amounts: np.ndarray             # (positions, groups) float32, 0 and more
    weights: np.ndarray             # (groups, filters) float32, 0 and more, rows of length 1
    share: np.ndarray               # (groups,) float32: of the values' energy
    unexplained: float              # share of the energy that is in none; with the others 1
    likeness: np.ndarray            # (groups,) float32: cosine to the earlier weights of its place; NaN = it had none
    clipped: float                  # share of the energy that was below 0, and was counted as 0
    settled: bool                   # False: the steps were not enough


def factors(values: np.ndarray, groups: int, earlier: np.ndarray | None = None) -> Factors | None:
    """The groups of filters that explain most of a layer's values; None where there are no values above 0.

    Non-negative matrix factorisation (Lee and Seung 1999) by coordinate descent, begun with the singular vectors
    (Boutsidis and Gallopoulos 2008): the same values give the same groups.  The one with the largest share comes first.

    Arguments:
        values: (positions, filters) float, finite; what is below 0 counts as 0.
        groups: how many, at most: there are no more than filters or positions, and none that explains nothing.
        earlier: (groups then, filters), weights of an earlier factorisation: its groups keep their places, each taken
            by the group that is most like it.

    >>> values = np.array([[2.0, 2.0, 0.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    >>> found = factors(values, 2)
    >>> (found.weights > 0).tolist(), (100 * found.share).round().tolist(), round(found.unexplained, 2)
    ([[True, True, False], [False, False, True]], [91.0, 9.0], 0.0)
    """
    from sklearn.decomposition import NMF
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    values = np.asarray(values, np.float64)
    whole = float(np.square(values).sum())
    above = np.maximum(values, 0)
    energy = float(np.square(above).sum())
    if not energy > 0:
        return None
    # The scale does not matter to the result, but to the tolerance, and to what a float can hold.
    scale = above.max()
    above = above / scale
    energy = float(np.square(above).sum())
    count = min(groups, *(int(np.count_nonzero(above.any(axis=axis))) for axis in (0, 1)))
    model = NMF(count, init="nndsvda", max_iter=STEPS, tol=TOLERANCE, random_state=0)
    # Its matrices are small: several threads take longer than one, up to ten times on a busy machine.
    with warnings.catch_warnings(), threadpool_limits(1, user_api="blas"):
        warnings.simplefilter("ignore", ConvergenceWarning)
        amounts = model.fit_transform(above)
    weights = model.components_
    lengths = np.linalg.norm(weights, axis=1)
    kept = (lengths > 0) & amounts.any(axis=0)
    amounts, weights = amounts[:, kept] * lengths[kept], weights[kept] / lengths[kept, None]
    unexplained = min(1.0, float(np.square(above - amounts @ weights).sum()) / energy)
    # ⟨W H, w hᵀ⟩, which is what of the energy falls to a group: they add up to |W H|², and are never negative.
    part = np.einsum("pg,ph,gh->g", amounts, amounts, weights @ weights.T)
    share = (1 - unexplained) * part / part.sum() if part.sum() > 0 else part
    order = np.argsort(-share, kind="stable")
    likeness = np.full(len(share), np.nan, np.float32)
    if earlier is not None and earlier.shape[1:] == weights.shape[1:]:
        order, likeness = _in_their_places(weights, order, earlier)
    return Factors(
        amounts=(amounts[:, order] * scale).astype(np.float32),
        weights=weights[order].astype(np.float32),
        share=share[order].astype(np.float32),
        unexplained=unexplained,
        likeness=likeness,
        clipped=1 - float(np.square(np.maximum(values, 0)).sum()) / whole,
        settled=bool(model.n_iter_ < STEPS),
    )


def _in_their_places(weights: np.ndarray, order: np.ndarray, earlier: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which group takes each place, and how like the earlier group of that place it is; the sum of these is the largest."""
    lengths = np.linalg.norm(earlier, axis=1, keepdims=True)
    alike = np.divide(earlier, lengths, out=np.zeros_like(earlier, np.float64), where=lengths > 0) @ weights.T
    places, groups = linear_sum_assignment(-alike)
    found = dict(zip(places.tolist(), groups.tolist(), strict=True))
    others = iter([group for group in order.tolist() if group not in set(groups.tolist())])
    # Where there are fewer groups than before, those that are left move up.
    taken = [found.get(place) for place in range(max(len(earlier), len(weights)))]
    if len(weights) < len(earlier):
        taken = [group for group in taken if group is not None]
    places_of = {group: place for place, group in found.items()}
    arranged = [next(others) if group is None else group for group in taken]
    likeness = [alike[places_of[group], group] if group in places_of else np.nan for group in arranged]
    return np.array(arranged), np.array(likeness, np.float32)
