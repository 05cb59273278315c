"""`Embeddings`: where the probe's samples are in a layer's feature space, laid out in the plane (rows E1, E3)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from featwatch.analysis.layout import LAYOUTS, Task, users
from featwatch.analysis.neighbours import nearest
from featwatch.analysis.quality import neighbours_kept, trustworthiness
from featwatch.recorders.base import LayerSnapshot, Recorder
from featwatch.recorders.options import real, whole
from featwatch.records import Embedding
from featwatch.sketch import SKETCH_SEED, distance_error


class Embeddings(Recorder):
    """A 2-D layout of the probe by each layer's flattened feature tensors, started from the epoch before.

    `layout`: "umap", "tsne", "pca", or a function (features, *, start, seed) → points (samples, 2),
    where `start` is the epoch's before or None.  `n_neighbors`: UMAP's, the sample itself included,
    and t-SNE's perplexity.  `min_dist`: UMAP's, 0 to 1.  `sort_maps`: each filter's map is sorted before it
    is flattened, so that samples are alike whose maps hold the same values, wherever they stand (row E2);
    reading the layers takes several times as long then.  `seed`: the same for every layer and epoch.
    """

    name = "embeddings"
    produces = Embedding
    reductions = ("features", "largest")
    remembers = ("features",)

    def __init__(
        self,
        layout: str | Callable[..., np.ndarray] = "umap",
        n_neighbors: int = 15,
        min_dist: float = 0.1,
        sort_maps: bool = False,
        seed: int = 0,
        *,
        layers: str | Sequence[str] | Callable[..., bool] | None = None,
        schedule: Any = None,
    ) -> None:
        cure = f"choose {', '.join(map(repr, LAYOUTS))} or pass a function"
        if isinstance(layout, str) and layout not in LAYOUTS:
            raise ValueError(f"layout={layout!r} is not known; {cure}")
        if not isinstance(layout, str) and not callable(layout):
            raise TypeError(f"layout={layout!r} is neither a name nor a function; {cure}")
        if not isinstance(sort_maps, bool):
            raise TypeError(f"sort_maps={sort_maps!r} is neither True nor False")
        self.layout = layout
        self.n_neighbors = whole("n_neighbors", n_neighbors, 2)
        self.min_dist = real("min_dist", min_dist, 0.0, 1.0)
        self.seed = whole("seed", seed, 0, 2**32 - 1)
        self.sort_maps = sort_maps
        self.layers = layers
        self.schedule = schedule
        if sort_maps:
            self.reductions, self.remembers = ("sorted_features", "largest"), ("sorted_features",)

    def analyse(self, snapshot: LayerSnapshot) -> Embedding:
        began = time.perf_counter()
        features, largest = self.finite(snapshot)
        indices, distances = nearest(features, min(self.n_neighbors, len(features) - 1))
        previous = self._start(snapshot)
        layout = LAYOUTS[self.layout] if isinstance(self.layout, str) else users(self.layout)
        points = layout(
            Task(
                features=features,
                indices=indices,
                distances=distances,
                n_neighbors=self.n_neighbors,
                min_dist=self.min_dist,
                seed=self.seed,
                start=None if previous is None else previous.points,
                before=None if previous is None else snapshot.previous_reductions.get(self.reductions[0]),
            )
        )
        k = indices.shape[1]
        near, _ = nearest(points, k)
        believed = max(min(k, (len(features) - 1) // 2), 0)     # trustworthiness is defined below half of the samples only
        return Embedding(
            epoch=snapshot.epoch,
            layer=snapshot.layer,
            points=points,
            method=self.layout if isinstance(self.layout, str) else self.options()["layout"],
            trustworthiness=trustworthiness(features, near[:, :believed]),
            neighbors_kept=neighbours_kept(indices, near),
            neighbors=k,
            started_from=-1 if previous is None else previous.epoch,
            features=snapshot.info.features,
            sketch=features.shape[1],
            distance_error=self._distance_error(snapshot),
            sketch_seed=SKETCH_SEED,
            sorted_maps=self.sort_maps,
            largest=largest,
            elapsed_seconds=time.perf_counter() - began,
        )

    def _distance_error(self, snapshot: LayerSnapshot) -> float:
        if not self.sort_maps:
            return snapshot.distance_error
        return distance_error(snapshot.reductions["sorted_features"], snapshot.reductions.get("sorted_neighbour_distance"))

    def _start(self, snapshot: LayerSnapshot) -> Embedding | None:
        """The embedding to start from: an earlier one of as many samples."""
        previous = snapshot.previous
        return previous if isinstance(previous, Embedding) and len(previous.points) == len(snapshot.labels) else None
