"""How alike two layers' views of the same samples are: linear CKA (rows E11, E12)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from featwatch.analysis.sampling import fixed_part

MOST_SAMPLES = 1024     # a layer's Gram matrix then takes 2 MB while layers are compared
_BLOCK = 1 << 16        # entries of these matrices that are brought to float64 at once


def gram_vector(features: np.ndarray) -> np.ndarray:
    """The Gram matrix of the centred features as a vector, so that linear CKA is the cosine of two of them.

    `features`: (samples, features).  Returns (n · (n + 1) / 2,) float32 of the n = `MOST_SAMPLES` or fewer samples that
    are compared (`fixed_part`): the upper triangle, off the diagonal times √2, in units in which the features have a mean
    square of 1.  All 0 where no feature differs between samples, all NaN where one is not finite.
    """
    values = np.asarray(features)[fixed_part(len(features), MOST_SAMPLES)].astype(np.float64)
    if not np.isfinite(values).all():
        return np.full(_length(len(values)), np.nan, np.float32)
    values = values - values[:1]        # equal features become exactly 0, which the mean alone would not make them
    values -= values.mean(axis=0, keepdims=True) if len(values) else 0.0
    largest = np.abs(values).max(initial=0.0)
    if largest == 0:
        return np.zeros(_length(len(values)), np.float32)
    values /= largest                   # squares of huge or tiny features are beyond the numbers that there are
    values /= np.sqrt(np.mean(np.square(values)))
    narrow = values.astype(np.float32)
    gram = narrow @ narrow.T            # in float32 half the time; entries of a mean square are right to about 1e-6
    gram *= np.float32(np.sqrt(2.0))
    np.fill_diagonal(gram, np.einsum("ij,ij->i", values, values))
    return gram[np.triu_indices(len(gram))]


def cka(one: np.ndarray, other: np.ndarray) -> float:
    """Linear CKA of two `gram_vector`s, 0 to 1: 1 where one layer is a rotated and scaled copy of the other.

    NaN where a layer's features are all equal or not finite, or there are no samples.

    Kornblith, Norouzi, Lee, Hinton 2019, *Similarity of Neural Network Representations Revisited*, equation 3, in its
    example form.  It is not corrected for chance: where there are more features than samples, unrelated ones are alike
    too (of n samples of p features by lot about p / (n + p)).

    >>> layer = np.random.default_rng(0).normal(size=(100, 5))
    >>> round(cka(gram_vector(layer), gram_vector(7.0 * layer[:, ::-1])), 5)
    1.0
    """
    return float(similarities([one, other])[0, 1])


def similarities(vectors: Sequence[np.ndarray]) -> np.ndarray:
    """(layers, layers) float64: `cka` of each of the `gram_vector`s with each, summed in float64.

    Raises ValueError where they are not of the same samples.
    """
    lengths = sorted({len(vector) for vector in vectors})
    if len(lengths) > 1:
        raise ValueError(f"layers of different numbers of samples cannot be compared: Gram vectors of lengths {lengths}")
    products = np.zeros((len(vectors), len(vectors)))
    for start in range(0, max(lengths, default=0), _BLOCK):
        block = np.stack([vector[start : start + _BLOCK] for vector in vectors]).astype(np.float64)
        products += block @ block.T
    squares = np.diagonal(products)
    squares = np.where(squares > 0, squares, np.nan)        # NaN is not above 0 either
    return np.clip(products / np.sqrt(np.multiply.outer(squares, squares)), 0.0, 1.0)


def _length(count: int) -> int:
    return count * (count + 1) // 2
