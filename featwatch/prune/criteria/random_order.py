"""Criterion "random": the baseline that every other one has to beat."""

from __future__ import annotations

import numpy as np


def random_order(candidates: int, seed: int) -> np.ndarray:
    """(candidates,) float64 in 0..1, the same ones for the same seed."""
    return np.random.default_rng(seed).random(candidates)
