"""Where a recorder's last record of a layer stands, and the features that it was made of."""

from __future__ import annotations

import numpy as np

from featwatch.recorders.base import LayerSnapshot
from featwatch.records import Record


def place_of(record: Record, snapshot: LayerSnapshot) -> int:
    """Where an earlier record stands: an epoch, or a step on a schedule of steps."""
    return record.step if snapshot.step >= 0 and record.step >= 0 else record.epoch


def last_features(snapshot: LayerSnapshot) -> tuple[int, np.ndarray | None]:
    """Where the recorder's last record of this layer stands, and the features, (samples, features), that it was made of.

    The place is an epoch, or a step on a schedule of steps.  (−1, None) where there is no such record, or its features
    were not kept, or are of other samples.
    """
    features = snapshot.previous_reductions.get("features")
    if snapshot.previous is None or features is None or len(features) != len(snapshot.labels):
        return -1, None
    return (snapshot.previous.epoch if snapshot.step < 0 else snapshot.previous.step), features
