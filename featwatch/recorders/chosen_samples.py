"""Which samples of a probe are shown, where not all can be."""

from __future__ import annotations

import numpy as np

from featwatch.analysis.histograms import stratified


def one_of_each_class_first(labels: np.ndarray, count: int) -> np.ndarray:
    """(shown,) int32, ascending: the first samples of each class, as many of each as there is room for; then unlabelled ones.

    >>> one_of_each_class_first(np.array([2, 2, -1, 0, 0]), 3).tolist()
    [0, 1, 3]
    """
    labelled, others = np.flatnonzero(labels >= 0), np.flatnonzero(labels < 0)
    first = labelled[stratified(labels[labelled], count)]
    return np.sort(np.concatenate([first, others[: count - len(first)]])).astype(np.int32)
