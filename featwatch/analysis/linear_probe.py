"""How well a linear classifier tells the classes apart by a layer's features (row E11)."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

FOLDS = 5
STRENGTHS = 10.0 ** np.arange(-4, 4)    # of the ridge penalty, in median squared norms of a centred sample
USUAL = 3                               # the strength where the search begins; over layers and epochs the best is near it
FEW = 800                               # samples, up to which a second thread costs more than it does, on a busy machine most
_SOUND = {np.float32: 2e-6, np.float64: 1e-9}   # penalties below this share of the Gram matrix drown in rounding errors


@dataclass(frozen=True)
class LinearProbe:
    """Cross-validated accuracy of a linear classifier; NaN where there is nothing to tell apart."""

    accuracy: float     # share of the samples that are classified rightly by a classifier that has not seen them
    deviation: float    # standard deviation of that share over the folds


def linear_probe(squared: np.ndarray, labels: np.ndarray, *, seed: int = 0) -> LinearProbe:
    """Accuracy of a ridge classifier in 5-fold cross-validation, its penalty chosen within the training folds.

    Arguments:
        squared: (samples, samples) squared distances between the samples' features.  They say all about the features that a
            linear classifier with a ridge penalty can use, so that the accuracy does not depend on a rotation of the
            feature space, on its origin, or on its unit.
        labels: (samples,) int.  Not their values matter but which are equal.
        seed: of the folds, which are stratified by class.  They go by position: samples in another order are in other folds.

    The classifier is least squares on the classes' indicators with a ridge penalty and a free intercept (which centres the
    features within each training set); the largest output wins.  A single unit for all features stands for standardising
    each: that would give every feature the same weight, dead ones and noise included.  Penalty: of `STRENGTHS` the one of
    the least squared leave-one-out error (of each output, 1 at most) within the training folds, found by walking downhill
    from a usual one.

    A class with fewer samples than there are folds is missing from some of them; a sample alone in its class is
    never classified rightly.  NaN with fewer than two classes, or where all samples are alone in theirs.

    Alain, Bengio 2017, *Understanding intermediate layers using linear classifier probes*.  Everything that is left out is
    computed from the one inverse of the full system: Rifkin, Lippert 2007, *Notes on Regularized Least Squares*, and, for
    whole folds, the same identity in blocks.
    """
    from threadpoolctl import threadpool_limits

    codes = _by_first_appearance(labels)
    sizes = np.bincount(codes) if len(codes) else np.zeros(0, int)
    if len(sizes) < 2 or sizes.max() < 2:
        return LinearProbe(math.nan, math.nan)
    folds = stratified_folds(codes, min(FOLDS, len(codes)), seed)
    order = np.argsort(folds, kind="stable")
    ends = np.cumsum(np.bincount(folds))
    parts = [slice(int(start), int(end)) for start, end in zip([0, *ends], ends, strict=False)]
    gram = _gram(np.asarray(squared)[np.ix_(order, order)])
    wanted = np.eye(len(sizes), dtype=np.float32)[codes[order]]

    @functools.cache
    def look(strength: int) -> tuple[np.ndarray, np.ndarray]:
        return _left_out(gram, wanted, parts, float(STRENGTHS[strength]))

    def right_in(fold: int) -> int:
        return int(look(_downhill(lambda strength: float(look(strength)[0][fold])))[1][fold])

    with threadpool_limits(1 if len(codes) <= FEW else None, user_api="blas"):
        right = np.array([right_in(fold) for fold in range(len(parts))])
    held = np.array([part.stop - part.start for part in parts])
    return LinearProbe(float(right.sum() / len(codes)), float(np.std(right / held)))


def stratified_folds(codes: np.ndarray, count: int, seed: int) -> np.ndarray:
    """(samples,) the fold of each sample, 0 to `count` − 1: each class is dealt out by lot, and so all have about one size."""
    rng = np.random.default_rng(seed)
    folds = np.empty(len(codes), np.intp)
    dealt = 0
    for code in range(codes.max() + 1):
        members = rng.permutation(np.nonzero(codes == code)[0])
        folds[members] = (dealt + np.arange(len(members))) % count
        dealt += len(members)
    return folds


def _left_out(gram: np.ndarray, wanted: np.ndarray, parts: list[slice], strength: float) -> tuple[np.ndarray, np.ndarray]:
    """For each fold: the squared leave-one-out error among the others, and how many of its own samples are classified rightly.

    With the inverse Q of the system that has the intercept as an unknown, what a model without the samples S leaves of
    them is e_S = Q_SS⁻¹ (Q y)_S, and the inverse of the system without them is Q_TT − Q_TS Q_SS⁻¹ Q_ST.
    """
    size = float(np.linalg.norm(gram))
    strength = max(strength, _SOUND[np.float64] * size)
    dtype = np.float32 if strength >= _SOUND[np.float32] * size else np.float64     # in float32 it takes half the time
    inverse = _inverse((gram + strength * np.eye(len(gram))).astype(dtype))
    inverse -= dtype(1.0 / (strength * len(gram)))      # the intercept: the Gram matrix is centred
    fitted = inverse @ wanted
    diagonal = np.diagonal(inverse)
    errors, right = np.empty(len(parts)), np.empty(len(parts), np.intp)
    for fold, part in enumerate(parts):
        within = _inverse(inverse[part, part])
        residual = within @ fitted[part]
        right[fold] = np.sum((wanted[part] - residual).argmax(axis=1) == wanted[part].argmax(axis=1))
        across = inverse[part]
        remaining = fitted - across.T @ residual
        shrunk = diagonal - np.einsum("ij,ij->j", within @ across, across)
        others = shrunk > 0             # not where a sample is alone in training: nothing can be left out of it
        others[part] = False
        squares = np.square(remaining[others] / shrunk[others, None])
        errors[fold] = np.minimum(squares, 1.0).sum(dtype=np.float64)   # or one outlier would decide
    return errors, right


def _inverse(matrix: np.ndarray) -> np.ndarray:
    """The inverse of a symmetric, positive definite matrix, float32 or float64; where rounding makes it none, what is nearest."""
    from scipy.linalg import lapack

    factor, invert = (lapack.spotrf, lapack.spotri) if matrix.dtype == np.float32 else (lapack.dpotrf, lapack.dpotri)
    root, failed = factor(matrix.T, lower=1)
    if failed:
        return np.linalg.pinv(matrix.astype(np.float64), hermitian=True).astype(matrix.dtype)
    inverse = np.tril(invert(root, lower=1, overwrite_c=1)[0])
    inverse[np.diag_indices(len(matrix))] /= 2
    return np.asarray(inverse + inverse.T)


def _gram(squared: np.ndarray) -> np.ndarray:
    """The centred Gram matrix by the squared distances, in units of the median squared norm; 0 where samples are all equal."""
    gram = -0.5 * squared.astype(np.float64)
    gram -= gram.mean(axis=0)
    gram -= gram.mean(axis=1)[:, None]
    norms = np.diagonal(gram)
    unit = float(np.median(norms))
    unit = unit if unit > 1e-9 * norms.max() else float(norms.mean())
    return gram / unit if unit > 0 else np.zeros_like(gram)


def _downhill(error: Callable[[int], float]) -> int:
    """The strength next to which both others have a larger error; of equal ones the stronger."""
    at = USUAL
    while at + 1 < len(STRENGTHS) and error(at + 1) <= error(at):
        at += 1
    if at > USUAL:
        return at
    while at > 0 and error(at - 1) < error(at):
        at -= 1
    return at


def _by_first_appearance(labels: np.ndarray) -> np.ndarray:
    """Labels as 0, 1, … in the order in which they come up, so that their names decide nothing, not even ties."""
    _, first, codes = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.intp)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[codes]
