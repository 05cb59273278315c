"""`Separation`: how well the classes are separated in a layer's feature space (rows E11, E12)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from featwatch.analysis.cka import MOST_SAMPLES, cka, gram_vector
from featwatch.analysis.separation import separation
from featwatch.options import whole
from featwatch.recorders.base import LayerSnapshot, Recorder
from featwatch.recorders.last_features import last_features
from featwatch.records import LayerSeparation


class Separation(Recorder):
    """Leave-one-out kNN accuracy, silhouette and linear probe of the labelled samples, in the feature space, not in the plane.

    And, of all samples, linear CKA with the layer before it and with the layer itself at the last epoch: that is
    recorded of a probe without labels too, whose accuracies are NaN.

    `neighbors`: how many vote; where there are fewer other samples, all of them.
    """

    name = "separation"
    produces = LayerSeparation
    outlasts = "all"
    reductions = ("features",)
    remembers = ("features",)
    wants_before = ("features",)

    def __init__(
        self,
        neighbors: int = 15,
        *,
        layers: str | Sequence[str] | Callable[..., bool] | None = None,
        schedule: Any = None,
    ) -> None:
        self.neighbors = whole("neighbors", neighbors, 1)
        self.layers = layers
        self.schedule = schedule

    def analyse(self, snapshot: LayerSnapshot) -> LayerSeparation:
        (features,) = self.finite(snapshot)
        found = separation(snapshot.distances(), snapshot.labels, self.neighbors)
        before = None if snapshot.before is None else snapshot.before.reductions.get("features")
        last, earlier = last_features(snapshot)
        to_previous, to_last = _alike(features, before, earlier)
        return LayerSeparation(
            epoch=snapshot.epoch,
            layer=snapshot.layer,
            knn_accuracy=found.knn_accuracy,
            silhouette=found.silhouette,
            neighbors=found.neighbors,
            samples=found.samples,
            judged=_where_a_part(found.judged, found.samples),
            probed=_where_a_part(found.probed, found.samples),
            compared=_where_a_part(min(len(features), MOST_SAMPLES), len(features)),
            exact_neighbors=found.exact_neighbors,
            features=snapshot.info.features,
            sketch=features.shape[1],
            distance_error=snapshot.distance_error,
            probe_accuracy=found.probe_accuracy,
            probe_deviation=found.probe_deviation,
            cka_to_previous=to_previous,
            previous="" if snapshot.before is None else snapshot.before.layer,
            cka_to_last=to_last,
            last=last,
        )


def _alike(features: np.ndarray, *others: np.ndarray | None) -> list[float]:
    """Linear CKA of the features with each of the others, (samples, features); NaN where there are none."""
    if all(other is None for other in others):
        return [math.nan] * len(others)
    vector = gram_vector(features)
    return [math.nan if other is None else cka(vector, gram_vector(other)) for other in others]


def _where_a_part(count: int, of: int) -> int:
    return count if count < of else 0
