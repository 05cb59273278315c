"""Filters by their weights as they act: directions, and which have the same (row H5)."""

from __future__ import annotations

import numpy as np

from featwatch.folding import Normalisation

ALIKE = 1e-4                # relative difference of weights that are the same
# Activations with f(c·x) = c·f(x) for c > 0: there scaled weights give scaled activations.  For any other they do not.
HOMOGENEOUS = frozenset({"relu", "leaky_relu", "linear"})
# Activations in which every filter takes part in every other's output.
COUPLED = frozenset({"softmax", "log_softmax"})
# Weights per filter above which they are folded to this many, by random signs, before filters are compared: their cosines are
# then right to about 1 / √8,192 (see `featwatch.sketch`).  Without, a layer of 4,096 filters of 25,088 weights takes seconds.
FOLDED = 8192


def directions(weights: np.ndarray, normalisation: Normalisation | None) -> tuple[np.ndarray, np.ndarray]:
    """Each filter's weights as they act, with length 1, (filters, weights per filter) float32; and their lengths, (filters,).

    The length is 0, and so is the row, where a filter has no weights other than 0, or one that is not finite.
    `normalisation`: with it the sign and the length are those after it.
    """
    factor = np.ones(len(weights)) if normalisation is None else normalisation.factor
    with np.errstate(over="ignore", invalid="ignore"):
        largest = np.abs(weights).max(axis=1, initial=0.0)
        sound = np.isfinite(largest) & (largest > 0) & np.isfinite(factor) & (factor != 0)
        scaled = weights / np.where(sound, largest, 1.0)[:, None]       # squares of huge or tiny weights would be lost
        norms = np.sqrt(np.einsum("ij,ij->i", scaled, scaled, dtype=np.float64))
        sign = np.where(sound, np.sign(factor) / np.where(sound, norms, 1.0), 0.0)
        unit = np.where(sound[:, None], scaled, 0.0) * sign[:, None].astype(np.float32)
        return unit.astype(np.float32), np.where(sound, norms * largest * np.abs(factor), 0.0)


def cosines(unit: np.ndarray) -> tuple[np.ndarray, bool]:
    """The cosines between the directions, (filters, filters) float32, and whether they are exact.

    `unit`: (filters, weights per filter) float32, of length 1, or 0.
    """
    width = unit.shape[1]
    if width <= FOLDED:
        return unit @ unit.T, True
    signs = np.random.default_rng(width).choice(np.array([-1, 1], np.float32), width)
    folded = np.zeros((len(unit), FOLDED), np.float32)
    for start in range(0, width, FOLDED):
        part = slice(start, min(start + FOLDED, width))
        folded[:, : part.stop - start] += unit[:, part] * signs[part]
    return folded @ folded.T, False


def weight_classes(
    unit: np.ndarray, cosines: np.ndarray, lengths: np.ndarray, offsets: np.ndarray, activation: str
) -> np.ndarray:
    """Filters with the same weights have the same number, (filters,) int32; −1 for those that no other is like.

    Arguments:
        unit, lengths: (filters, weights per filter) and (filters,), from `directions`.
        cosines: (filters, filters), between the rows of `unit`, or nearly.
        offsets: (filters,) the biases as they act.

    With a positively homogeneous activation (`HOMOGENEOUS`) weights and bias may be a positive multiple of another's, with
    "linear" a negative one as well; with any other they must be equal.  Weights may differ by `ALIKE` of their length, biases
    by that of the larger of bias and length.
    """
    classes = np.full(len(unit), -1, np.int32)
    waiting = lengths > 0
    for first in range(len(unit)):
        if not waiting[first]:
            continue
        waiting[first] = False
        near = np.abs(cosines[first]) if activation == "linear" else cosines[first]
        candidates = np.flatnonzero(waiting & (near > 1 - 1e-3))
        if not candidates.size:
            continue
        sign = np.where(cosines[first, candidates] < 0, -1.0, 1.0)
        factor = sign * lengths[candidates] / lengths[first]
        same = np.linalg.norm(unit[candidates] * sign.astype(np.float32)[:, None] - unit[first], axis=1) <= ALIKE
        slack = ALIKE * np.maximum(np.abs(offsets[candidates]), lengths[candidates])
        same &= np.abs(offsets[candidates] - factor * offsets[first]) <= slack
        if activation not in HOMOGENEOUS:
            same &= np.abs(factor - 1) <= ALIKE
        members = candidates[same]
        if members.size:
            classes[[first, *members]] = first
            waiting[members] = False
    return classes
