"""Samples that say which ones they are."""

from __future__ import annotations

import numpy as np


def numbered(samples: int, *shape: int) -> np.ndarray:
    """(samples, …): every value is its sample's number."""
    return np.broadcast_to(np.arange(samples, dtype=np.float32).reshape(-1, *[1] * len(shape)), (samples, *shape)).copy()
