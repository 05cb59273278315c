"""What is recorded of the probe's samples: predictions, layouts, clusters, and how separate the classes are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from featwatch.records.base import Record, array

TOLD = 64           # changes of one clustering that are listed over all epochs; the record holds them all


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Predictions(Record):
    """The model's class scores for the probe."""

    kind: ClassVar[str] = "predictions"
    per_layer: ClassVar[bool] = False
    headlines: ClassVar[tuple[str, ...]] = ("accuracy",)

    classes: np.ndarray = array("int32", "samples")     # the class with the highest score
    certainty: np.ndarray = array("float32", "samples") # its probability
    scores: np.ndarray = array("float32", "samples", "classes")
    accuracy: float = math.nan                          # over the labelled samples of the probe


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Embedding(Record):
    """A 2-D layout of the probe set by one layer's flattened feature tensors (row E1)."""

    kind: ClassVar[str] = "embedding"
    headlines: ClassVar[tuple[str, ...]] = ("trustworthiness", "stability")

    points: np.ndarray = array("float32", "samples", "plane")
    method: str = "umap"
    trustworthiness: float = math.nan                   # Venna & Kaski 2001, at k = `neighbors`
    neighbors_kept: float = math.nan                    # share of the k nearest feature-space neighbours that stay so
    neighbors: int = 15
    started_from: int = -1                              # epoch, or step, whose layout was the start; −1 = a fresh start
    features: int = 0                                   # length of the flattened feature tensor
    sketch: int = 0                                     # length of what distances were computed on
    distance_error: float = 0.0                         # relative RMS error of sketched distances, measured
    elapsed_seconds: float = math.nan                   # in the worker
    seed: int = 0                                       # of the layout
    sketch_seed: int = 0                                # of the signs by which features were sketched
    sorted_maps: bool = False                           # whether each filter's map was sorted before flattening (row E2)
    exact_neighbors: bool = True                        # False: found by approximate search
    judged: int = 0                                     # samples over which trustworthiness is a mean; 0 = all
    stability: float = math.nan                         # Pearson's r of how far samples moved in features and in the plane
    stability_rank: float = math.nan                    # Spearman's ρ of the same, since `started_from`
    features_moved: float = math.nan                    # median of `movement`
    points_moved: float = math.nan                      # median way in the plane since `started_from`, over its radius (RMS)
    freedom: float = math.nan                           # of samples to move, over how far their features did; NaN = not limited
    beside: str = ""                                    # layer of the same epoch from whose layout it started; "" = none
    travelled: tuple[Mapping[str, Any], ...] = ()       # who moved farthest in features: {"sample", "distance"}, farthest first
    # How far each sample's features moved since `started_from`, in median distances to the k-th neighbour.
    movement: np.ndarray = array("float32", "samples", optional=True)
    # Index of the largest value of each sample's flattened feature tensor (row E10); the filter is its remainder by `filters`.
    largest: np.ndarray = array("int32", "samples", optional=True)
    # The layout while it was being optimised (row E9), and after how many rounds.
    stages: np.ndarray = array("float32", "stages", "samples", "plane", optional=True)
    rounds: np.ndarray = array("int32", "stages", optional=True)

    def told(self) -> dict[str, Any]:
        entries = [{"kind": "travelled", "sample": one.get("sample"), "size": one.get("distance")} for one in self.travelled]
        return {"entries": entries} if entries else {}


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Clustering(Record):
    """DBSCAN on an embedding (row D1)."""

    kind: ClassVar[str] = "clusters"
    headlines: ClassVar[tuple[str, ...]] = ("count",)

    labels: np.ndarray = array("int32", "samples")      # −1 = noise
    count: int = 0
    noise_fraction: float = math.nan
    eps: float = math.nan                               # the value used, in the layout's units
    min_samples: int = 5
    purity: float = math.nan                            # over the samples that are in a cluster and labelled
    adjusted_rand: float = math.nan                     # labelled samples, noise as a cluster of its own
    normalized_mutual_info: float = math.nan
    # Who the clusters 0 … count − 1 are (row D2): a number that a cluster keeps from epoch to epoch.
    identities: np.ndarray = array("int32", "clusters", optional=True)
    # Samples that stand for each cluster (row D4), the most central first; −1 where it has fewer.
    representatives: np.ndarray = array("int32", "clusters", "shown", optional=True)
    next_identity: int = 0                              # the first number that no cluster has had yet
    last: int = -1                                      # epoch, or step, that the identities were matched with; −1 = none
    # What became of clusters since then: {"kind": "split" | "merge" | "born" | "gone", "from": [identities],
    # "into": [identities], "samples": n}, most samples first; of a split or merge those outside its largest part.
    changes: tuple[Mapping[str, Any], ...] = ()

    def told(self) -> dict[str, Any]:
        if not self.changes:
            return {}
        entries = [
            {"kind": one.get("kind"), "from": one.get("from"), "into": one.get("into"), "size": one.get("samples")}
            for one in self.changes[:TOLD]
        ]
        return {"entries": entries, "counts": dict(Counter(str(one.get("kind")) for one in self.changes))}


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class GridMap(Record):
    """The samples of an embedding on a regular grid: the assignment with the least sum of squared distances (row E7).

    Cell c stands in column c % `columns` and row c // `columns`, row 0 at the bottom; its centre is at `left` + column · `cell`
    and `bottom` + row · `cell`, in the embedding's plane.
    """

    kind: ClassVar[str] = "grid"

    cells: np.ndarray = array("int32", "samples")       # no two samples share one
    columns: int = 0
    rows: int = 0
    left: float = math.nan                              # centre of cell 0
    bottom: float = math.nan
    cell: float = math.nan                              # distance between the centres of neighbouring cells
    cost: float = math.nan                              # mean squared distance of the samples to their cells
    exact: bool = True                                  # whether the assignment is proven to be the best
    elapsed_seconds: float = math.nan


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LayerSeparation(Record):
    """How well the classes are separated in a layer's feature space, not in the plane (row E11)."""

    kind: ClassVar[str] = "separation"
    headlines: ClassVar[tuple[str, ...]] = ("knn_accuracy", "silhouette", "probe_accuracy")

    knn_accuracy: float = math.nan                      # leave-one-out, majority of `neighbors`
    silhouette: float = math.nan                        # mean over the labelled samples, or over `judged` of them
    neighbors: int = 15
    samples: int = 0                                    # labelled samples that were used
    judged: int = 0                                     # of these the ones over which the silhouette is a mean; 0 = all
    probed: int = 0                                     # of these the ones that the linear probe knew; 0 = all
    compared: int = 0                                   # samples by which layers were compared, labelled or not; 0 = all
    exact_neighbors: bool = True                        # False: those that voted were found by approximate search
    features: int = 0
    sketch: int = 0
    distance_error: float = 0.0
    probe_accuracy: float = math.nan                    # of a linear probe, cross-validated (Alain & Bengio 2017)
    probe_deviation: float = math.nan                   # its standard deviation over the folds
    cka_to_previous: float = math.nan                   # linear CKA with the watched layer before it; NaN for the first
    previous: str = ""                                  # that layer
    cka_to_last: float = math.nan                       # linear CKA with this layer itself at epoch `last`
    last: int = -1
