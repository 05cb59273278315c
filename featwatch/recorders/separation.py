"""`Separation`: how well the classes are separated in a layer's feature space (row E11)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from featwatch.analysis.separation import separation
from featwatch.recorders.base import LayerSnapshot, Recorder
from featwatch.recorders.options import whole
from featwatch.records import LayerSeparation


class Separation(Recorder):
    """Leave-one-out kNN accuracy and silhouette of the labelled samples, in the feature space, not in the plane.

    `neighbors`: how many vote; where there are fewer other samples, all of them.
    """

    name = "separation"
    produces = LayerSeparation
    reductions = ("features",)

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
        found = separation(features, snapshot.labels, self.neighbors)
        return LayerSeparation(
            epoch=snapshot.epoch,
            layer=snapshot.layer,
            knn_accuracy=found.knn_accuracy,
            silhouette=found.silhouette,
            neighbors=found.neighbors,
            samples=found.samples,
            features=snapshot.info.features,
            sketch=features.shape[1],
            distance_error=snapshot.distance_error,
        )
