"""The features that a recorder's last record of a layer was made of."""

from __future__ import annotations

import numpy as np

from featwatch.recorders.base import LayerSnapshot


def last_features(snapshot: LayerSnapshot) -> tuple[int, np.ndarray | None]:
    """Where the recorder's last record of this layer stands, and the features, (samples, features), that it was made of.

    The place is an epoch, or a step on a schedule of steps.  (−1, None) where there is no such record, or its features
    were not kept, or are of other samples.
    """
    features = snapshot.previous_reductions.get("features")
    if snapshot.previous is None or features is None or len(features) != len(snapshot.labels):
        return -1, None
    return (snapshot.previous.epoch if snapshot.step < 0 else snapshot.previous.step), features
