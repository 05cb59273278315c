"""What sets a cluster of samples apart: how much of each filter (row D3)."""

from __future__ import annotations

import numpy as np

SPREAD = 1e-6                       # of the largest value: what varies by less is constant but for rounding


def cluster_weights(activation: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The clusters, and by how much each filter is more active in them than in all samples.

    relu((m_c − m) / σ): m_c the median of the filter's activation over the cluster, m and σ its median and standard
    deviation over all samples, those in no cluster included.  Rows of length 1; a row of zeros where no filter is more
    active in the cluster.  A filter that is constant has weight 0.

    Arguments:
        activation: (samples, filters) float, finite: each filter's mean over positions.
        labels: (samples,) int, −1 = in no cluster.

    Returns the clusters' numbers, (clusters,) int32, ascending, and the weights, (clusters, filters) float32.

    >>> activation = np.array([[0.0, 4.0], [0.0, 0.0], [3.0, 4.0], [5.0, 4.0]])
    >>> clusters, weights = cluster_weights(activation, np.array([0, -1, 1, 1]))
    >>> clusters.tolist(), weights.tolist()
    ([0, 1], [[0.0, 0.0], [1.0, 0.0]])
    """
    activation = np.asarray(activation, np.float64)
    clusters = np.unique(labels[labels >= 0])
    median, spread = np.median(activation, axis=0), activation.std(axis=0)
    varies = spread > SPREAD * np.abs(activation).max(axis=0, initial=0)
    weights = np.zeros((len(clusters), activation.shape[1]))
    for row, cluster in zip(weights, clusters, strict=True):
        above = np.median(activation[labels == cluster], axis=0) - median
        row[varies] = np.maximum(above[varies] / spread[varies], 0)
    lengths = np.linalg.norm(weights, axis=1, keepdims=True)
    return clusters.astype(np.int32), np.divide(weights, lengths, out=weights, where=lengths > 0).astype(np.float32)
