"""What guessing would reach: the level from which accuracies are measured."""

from __future__ import annotations

import numpy as np


def chance(labels: np.ndarray) -> float:
    """Accuracy of always naming the most frequent class; 0 where none is labelled.  `labels`: (samples,) int, −1 = no label."""
    known = labels[labels >= 0]
    return float(np.unique(known, return_counts=True)[1].max() / len(known)) if len(known) else 0.0
