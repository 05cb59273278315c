"""Ridge regression of some channels on others, for any firmness, of sums of products or of the rows themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

_HARDLY = 1e-9                                          # of the ridge, that holds for a constant among sums of products
Solve = Callable[[float], "np.ndarray | None"]          # ridge -> (features, targets); None where it cannot be solved


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of channels, and of a constant, which comes last.

    sizes: (channels + 1,) the root of each one's sum of squares.
    solving: of features, of targets, and of whether each feature is the constant, a `Solve`.  The ridge does not hold for the
        constant; features are taken relative to their sizes, and so is what it gives.
    """

    sizes: np.ndarray
    solving: Callable[[np.ndarray, np.ndarray, np.ndarray], Solve]


def of_products(products: np.ndarray) -> Known:
    """Known by (channels + 1, channels + 1) sums of products G: B = (G_FF + λ)⁻¹ G_FT."""
    sizes = np.sqrt(np.diagonal(products))

    def solving(features: np.ndarray, targets: np.ndarray, constant: np.ndarray) -> Solve:
        size, penalised = sizes[features], np.where(constant, _HARDLY, 1.0)
        gram, across = (products[np.ix_(features, each)] / size[:, None] for each in (features, targets))
        gram = gram / size

        def solve(ridge: float) -> np.ndarray | None:
            return _solved(gram + np.diag(ridge * penalised), across)

        return solve

    return Known(sizes, solving)


def of_rows(rows: np.ndarray) -> Known:
    """Known by (rows, channels + 1) float64 X, fewer than the channels: B = X_Fᵀ (X_F X_Fᵀ + λ)⁻¹ X_T, around means."""
    sizes = np.sqrt(np.square(rows).sum(axis=0))

    def solving(features: np.ndarray, targets: np.ndarray, constant: np.ndarray) -> Solve:
        scaled, wanted = rows[:, features] / sizes[features], rows[:, targets]
        one, others = scaled[:, constant], scaled[:, ~constant]
        around, wanted_around = (each - times(one, times(one, each, across=True)) for each in (others, wanted))
        products = times(around, around.T)

        def solve(ridge: float) -> np.ndarray | None:
            found = _solved(products + ridge * np.eye(len(products)), wanted_around)
            if found is None:
                return None
            whole = np.empty((len(features), len(targets)))
            whole[~constant] = times(around, found, across=True)
            whole[constant] = times(one, wanted - times(others, whole[~constant]), across=True)
            return whole

        return solve

    return Known(sizes, solving)


def times(first: np.ndarray, second: np.ndarray, across: bool = False) -> np.ndarray:
    """The product of two matrices; `across`: of the first one's transpose.

    By TensorFlow, whose threads do not wait for each other in vain, as NumPy's do, where others compute, too.
    """
    with tf.device("CPU:0"):
        return np.asarray(tf.matmul(first, second, transpose_a=across).numpy())


def _solved(matrix: np.ndarray, across: np.ndarray) -> np.ndarray | None:
    """By Cholesky's factors; None where it is not positive definite."""
    try:
        with tf.device("CPU:0"):
            found = tf.linalg.cholesky_solve(tf.linalg.cholesky(matrix), across).numpy()
    except tf.errors.InvalidArgumentError:
        return None
    return np.asarray(found) if np.isfinite(found).all() else None
