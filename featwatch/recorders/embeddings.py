"""`Embeddings`: where the probe's samples are in a layer's feature space, laid out in the plane (rows E1, E2, E3, E9)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from featwatch.analysis.layout import LAYOUTS, Layout, Task, Trace, near_in_plane, users
from featwatch.analysis.movement import relative_movement, stability
from featwatch.analysis.neighbours import judges
from featwatch.analysis.quality import neighbours_kept, trustworthiness
from featwatch.analysis.steady import typical_reach
from featwatch.options import real, whole
from featwatch.recorders.base import LayerSnapshot, Recorder
from featwatch.recorders.last_features import place_of
from featwatch.records import Embedding
from featwatch.sketch import SKETCH_SEED, distance_error

MOST_STAGES = 32
MOST_TRAVELLED = 10     # samples that a record names
NEIGHBOURHOOD = 20      # a 20th of the samples, and 50 at most: as many neighbours a layout is steered to keep
STARTS = ("epoch", "layer")


class Embeddings(Recorder):
    """A 2-D layout of the probe by each layer's flattened feature tensors, which moves only as far as the features did.

    `layout`: "umap", "tsne", "pca", or a function (features, *, start, seed) → points (samples, 2),
    where `start` is the epoch's before or None.  `n_neighbors`: UMAP's, the sample itself included,
    and t-SNE's perplexity.  `min_dist`: UMAP's, 0 to 1.  `sort_maps`: each filter's map is sorted before it
    is flattened, so that samples are alike whose maps hold the same values, wherever they stand (row E2);
    reading the layers takes several times as long then.  `seed`: the same for every layer and epoch.
    `stages`: so many pictures of each UMAP's optimisation are kept, 32 at most.  `start`: a layout starts from that of
    the "epoch" before, or of the "layer" before at the same epoch, so that going from layer to layer can be followed too.

    >>> fw.Embeddings(layout="tsne", n_neighbors=30, layers=["dense", "scores"])    # doctest: +SKIP
    """

    name = "embeddings"
    produces = Embedding
    outlasts = "record"
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
        stages: int = 0,
        start: str = "epoch",
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
        if start not in STARTS:
            raise ValueError(f"start={start!r} is not known; choose {' or '.join(map(repr, STARTS))}")
        self.stages = whole("stages", stages, 0, MOST_STAGES)
        if stages and layout != "umap":
            raise ValueError(f"stages={stages!r} can be kept of layout='umap' only, not of {layout!r}; leave it 0")
        self.start = start
        self.sort_maps = sort_maps
        self.layers = layers
        self.schedule = schedule
        if sort_maps:
            self.reductions, self.remembers = ("sorted_features", "largest"), ("sorted_features",)

    def analyse(self, snapshot: LayerSnapshot) -> Embedding:
        began = time.perf_counter()
        features, largest = self.finite(snapshot)
        count, distances = len(features), snapshot.distances(self.reductions[0])
        k = min(self.n_neighbors, count - 1)
        indices, reach = distances.nearest(min(max(k, min(count // NEIGHBOURHOOD, 50)), count - 1))
        origin = self._origin(snapshot)
        last = snapshot.previous if isinstance(snapshot.previous, Embedding) else None
        before = snapshot.previous_reductions.get(self.reductions[0]) if origin is last else None
        trace = Trace(self.stages) if self.stages else None
        task = Task(
            features=features,
            indices=indices,
            distances=reach,
            n_neighbors=self.n_neighbors,
            min_dist=self.min_dist,
            seed=self.seed,
            start=None if origin is None else origin.points,
            before=before,
            trace=trace,
            freedom=last.freedom if last is not None and origin is last and math.isfinite(last.freedom) else 0.0,
        )
        points = self._layout()(task)
        near = near_in_plane(points, k)
        believed = max(min(k, (count - 1) // 2), 0)     # trustworthiness is defined below half of the samples only
        movement = way = np.zeros(0)
        if origin is not None and before is not None and before.shape == features.shape:
            movement = relative_movement(features, before, typical_reach(reach[:, :k]))
            way = np.linalg.norm(points.astype(np.float64) - origin.points, axis=1)     # a square may be beyond float32
        pearson, spearman = stability(movement, way)
        judged = len(judges(count))
        return Embedding(
            epoch=snapshot.epoch,
            layer=snapshot.layer,
            points=points,
            method=self._method(),
            trustworthiness=trustworthiness(distances, near[:, :believed]),
            neighbors_kept=neighbours_kept(indices[:, :k], near),
            neighbors=k,
            started_from=-1 if origin is None else place_of(origin, snapshot),
            beside=origin.layer if origin is not None and origin.layer != snapshot.layer else "",
            freedom=task.report.get("freedom", math.nan),
            features=snapshot.info.features,
            sketch=features.shape[1],
            distance_error=self._distance_error(snapshot),
            seed=self.seed,
            sketch_seed=SKETCH_SEED,
            sorted_maps=self.sort_maps,
            exact_neighbors=distances.exact,
            judged=judged if judged < count else 0,
            stability=pearson,
            stability_rank=spearman,
            features_moved=float(np.median(movement)) if len(movement) else math.nan,
            points_moved=_share_of_radius(way, origin.points) if origin is not None and len(way) else math.nan,
            travelled=_farthest(movement),
            movement=np.where(np.isfinite(movement), movement, np.inf).astype(np.float32),
            largest=largest,
            stages=np.stack(trace.points) if trace and trace.points else np.zeros((0, 0, 0), np.float32),
            rounds=np.array(trace.rounds if trace else [], np.int32),
            elapsed_seconds=time.perf_counter() - began,
        )

    def _layout(self) -> Layout:
        return LAYOUTS[self.layout] if isinstance(self.layout, str) else users(self.layout)

    def _method(self) -> str:
        return self.layout if isinstance(self.layout, str) else str(self.options()["layout"])

    def _distance_error(self, snapshot: LayerSnapshot) -> float:
        if not self.sort_maps:
            return snapshot.distance_error
        return distance_error(snapshot.reductions, "sorted_")

    def _origin(self, snapshot: LayerSnapshot) -> Embedding | None:
        """The embedding to start from: the layer's last or, where wished, that of the layer before.

        Of as many samples, and made by the same method: distances in the plane mean something else in another's.
        """
        for found in (snapshot.beside if self.start == "layer" else None, snapshot.previous):
            if isinstance(found, Embedding) and len(found.points) == len(snapshot.labels) and found.method == self._method():
                return found
        return None


def _share_of_radius(way: np.ndarray, points: np.ndarray) -> float:
    """The median way over the root mean square distance of the points from their centre; NaN where they are in one place."""
    points = points.astype(np.float64)
    radius = float(np.sqrt(np.mean(np.sum((points - points.mean(axis=0)) ** 2, axis=1))))
    return float(np.median(way)) / radius if radius > 0 else math.nan


def _farthest(movement: np.ndarray) -> tuple[dict[str, Any], ...]:
    """The samples that moved farthest, farthest first; those that did not move are left out."""
    finite = np.where(np.isfinite(movement), movement, 0.0)
    order = np.argsort(-finite, kind="stable")[:MOST_TRAVELLED]
    return tuple({"sample": int(sample), "distance": float(finite[sample])} for sample in order if finite[sample] > 0)
