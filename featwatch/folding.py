"""What acts of a layer: its weights with the batch normalisation that follows folded in.  NumPy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Normalisation:
    """What a batch normalisation does to each filter while nothing is trained: value · `factor` + `offset`."""

    factor: np.ndarray          # (filters,) float64: γ / √(σ² + ε)
    offset: np.ndarray          # (filters,) float64: β − μ · factor
    scale: np.ndarray           # (filters,) float32: γ, 1 where the layer has none
    shift: np.ndarray           # (filters,) float32: β, 0 where the layer has none


def folded(
    weights: np.ndarray, bias: np.ndarray | None, normalisation: Normalisation | None
) -> tuple[np.ndarray, np.ndarray]:
    """The weights and biases of the layer that does alone what the layer and its normalisation do: float64.

    Arguments:
        weights: (filters, weights per filter).
        bias: (filters,), None or NaN where there is none.

    γ (w·x + b − μ) / √(σ² + ε) + β = (factor · w)·x + (factor · b + offset).

    >>> half = Normalisation(np.array([0.5]), np.array([1.0]), np.ones(1), np.zeros(1))
    >>> folded(np.array([[2.0, 4.0]]), np.array([6.0]), half)
    (array([[1., 2.]]), array([4.]))
    """
    weights = weights.astype(np.float64)
    offset = np.zeros(len(weights)) if bias is None else np.nan_to_num(bias.astype(np.float64))
    if normalisation is None:
        return weights, offset
    return weights * normalisation.factor[:, None], offset * normalisation.factor + normalisation.offset
