"""A fixed part of many samples, for what would take too long over all of them."""

from __future__ import annotations

import numpy as np


def fixed_part(count: int, most: int) -> np.ndarray:
    """Indices, ascending, of at most `most` of `count` samples: all where they are no more, otherwise some by lot.

    Which ones depends on the two numbers alone, so they are the same for every layer and epoch.  They are not evenly
    spaced: a probe whose classes take turns would lose some of them.

    >>> fixed_part(3, 10)
    array([0, 1, 2])
    >>> len(fixed_part(20_000, 1_024))
    1024
    """
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng((count, most)).choice(count, most, replace=False))
