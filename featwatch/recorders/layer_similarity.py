"""`LayerSimilarity`: how alike the layers are, each with each, and with themselves at the epoch before (rows E11, E12)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from featwatch.analysis.cka import MOST_SAMPLES, cka, gram_vector, similarities
from featwatch.recorders.base import AcrossRecorder, LayerSnapshot, NothingToSay
from featwatch.recorders.last_features import last_features
from featwatch.records import LayerAlignment


class LayerSimilarity(AcrossRecorder):
    """Linear CKA of all pairs of layers, and of each layer with itself at the last epoch that was recorded.

    It needs no labels.  Of more than 1,024 samples a fixed part is compared.  A layer whose activations are all equal or
    not finite is like none: NaN.
    """

    name = "layer_similarity"
    produces = LayerAlignment
    outlasts = "all"
    reductions = ("features",)
    remembers = ("features",)

    def __init__(
        self,
        *,
        layers: str | Sequence[str] | Callable[..., bool] | None = None,
        schedule: Any = None,
    ) -> None:
        self.layers = layers
        self.schedule = schedule

    def analyse_layers(self, snapshots: Sequence[LayerSnapshot]) -> LayerAlignment:
        vectors = [gram_vector(snapshot.reductions["features"]) for snapshot in snapshots]
        if all(np.isnan(vector).any() for vector in vectors):
            where = f"all layers at epoch {snapshots[0].epoch}"
            raise NothingToSay(f"activations of {where} are not finite (did the training diverge?)")
        earlier = [last_features(snapshot) for snapshot in snapshots]
        last = max((place for place, _ in earlier), default=-1)
        to_last = [
            math.nan if features is None or place < last else cka(vector, gram_vector(features))
            for vector, (place, features) in zip(vectors, earlier, strict=True)
        ]
        return LayerAlignment(
            epoch=snapshots[0].epoch,
            layers=np.array([snapshot.layer for snapshot in snapshots]),
            matrix=similarities(vectors).astype(np.float32),
            to_last=np.array(to_last, np.float32),
            last=last,
            samples=min(len(snapshots[0].labels), MOST_SAMPLES),
        )
