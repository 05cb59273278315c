"""Reductions over the whole probe: what a batch gives is folded into a running result on the host.

Where one row per sample would be too much to keep.  A fold takes what the reduction of its name in
`featwatch.reductions` gave for a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from featwatch.reductions import About


class Fold(Protocol):
    """A running result over batches."""

    def add(self, values: np.ndarray) -> None:
        """Take one batch, (rows, …), padding rows left out."""

    def result(self) -> Mapping[str, np.ndarray]:
        """The arrays that stand in `LayerSnapshot.reductions` instead of the rows, by name."""


# Name of the reduction -> what makes a fresh fold for a layer.
FOLDS: dict[str, Callable[[About], Fold]] = {}
