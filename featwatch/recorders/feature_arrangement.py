"""`FeatureArrangement`: each layer's feature images on a grid, alike ones as neighbours (row F6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from featwatch.analysis.arrangement import Earlier, arrangement
from featwatch.options import real, whole
from featwatch.phrases import ranges
from featwatch.recorders.base import LayerSnapshot, NothingToSay, Recorder
from featwatch.recorders.feature_images import FeatureImages
from featwatch.records import FeatureArrangement as FeatureArrangementRecord
from featwatch.records import FeatureImages as FeatureImagesRecord
from featwatch.schedule import every


class FeatureArrangement(Recorder):
    """A UMAP of what a layer makes of its feature images, on a grid where none covers another.

    Of every filter that has had an image the newest counts, whenever it was made: features of images made at different
    epochs were made with different weights, and `made` says with which.  An arrangement starts from the one before.

    `n_neighbors`, `min_dist`: UMAP's.  `seed`: the same for every layer and epoch.  `schedule`: every five epochs, unless
    told; feature images are made whenever arrangements are.
    """

    name = "feature_arrangement"
    produces = FeatureArrangementRecord
    builds_on = (FeatureImages,)

    def __init__(
        self,
        n_neighbors: int = 15,
        min_dist: float = 0.1,
        seed: int = 0,
        *,
        layers: str | Sequence[str] | Callable[..., bool] | None = None,
        schedule: Any = None,
    ) -> None:
        self.n_neighbors = whole("n_neighbors", n_neighbors, 2)
        self.min_dist = real("min_dist", min_dist, 0.0, 1.0)
        self.seed = whole("seed", seed, 0, 2**32 - 1)
        self.layers = layers
        self.schedule = every(epochs=5) if schedule is None else schedule

    def analyse(self, snapshot: LayerSnapshot) -> FeatureArrangementRecord | None:
        images = snapshot.results.get(FeatureImagesRecord.kind)
        if not isinstance(images, FeatureImagesRecord):
            return None
        before = snapshot.previous if isinstance(snapshot.previous, FeatureArrangementRecord) else None
        filters, made, features, left_out = _gathered(images, before)
        if not len(filters):
            reason = "their features were not recorded" if not images.features.size else "none has finite features"
            where = f"of layer {snapshot.layer!r} at epoch {snapshot.epoch}"
            raise NothingToSay(f"feature images {where} cannot be arranged: {reason}")
        earlier = None if before is None else Earlier(before.filters, before.points, before.features)
        found = arrangement(
            filters, features, earlier, n_neighbors=self.n_neighbors, min_dist=self.min_dist, seed=self.seed
        )
        without = f"without filters {ranges(left_out)}, whose images have features that are not finite" if left_out else ""
        return FeatureArrangementRecord(
            epoch=snapshot.epoch,
            layer=snapshot.layer,
            filters=filters,
            made=made,
            points=found.points,
            cells=found.cells,
            columns=found.columns,
            rows=found.rows,
            features=features,
            note="; ".join(text for text in (found.note, without) if text),
        )


def _gathered(
    images: FeatureImagesRecord, before: FeatureArrangementRecord | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[int]]:
    """Filters, ascending, the epochs of their newest images, and the features of these; and who is left out."""
    newest: dict[int, tuple[int, np.ndarray]] = {}
    if before is not None and before.features.shape[1:] == images.features.shape[1:]:
        for number, epoch, row in zip(before.filters.tolist(), before.made.tolist(), before.features, strict=True):
            newest[number] = epoch, row
    left_out: list[int] = []
    for number, epoch, row in zip(images.filters.tolist(), images.refreshed.tolist(), images.features, strict=False):
        newest.pop(number, None)                # its image is another now
        if np.isfinite(row).all():
            newest[number] = epoch, row
        else:
            left_out.append(number)
    filters = sorted(newest)
    made = np.array([newest[number][0] for number in filters], np.int32)
    features = np.array([newest[number][1] for number in filters], np.float32).reshape(len(filters), images.features.shape[1])
    return np.array(filters, np.int32), made, features, sorted(left_out)
