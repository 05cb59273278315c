"""What is recorded of the probe's samples: predictions, layouts, clusters, and how separate the classes are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from featwatch.records.base import Record, array


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
    headlines: ClassVar[tuple[str, ...]] = ("trustworthiness",)

    points: np.ndarray = array("float32", "samples", "plane")
    method: str = "umap"
    trustworthiness: float = math.nan                   # Venna & Kaski 2001, at k = `neighbors`
    neighbors_kept: float = math.nan                    # share of the k nearest feature-space neighbours that stay so
    neighbors: int = 15
    started_from: int = -1                              # epoch whose layout was the start; −1 = a fresh start
    features: int = 0                                   # length of the flattened feature tensor
    sketch: int = 0                                     # length of what distances were computed on
    distance_error: float = 0.0                         # relative RMS error of sketched distances, measured
    elapsed_seconds: float = math.nan                   # in the worker


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


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LayerSeparation(Record):
    """How well the classes are separated in a layer's feature space, not in the plane (row E11)."""

    kind: ClassVar[str] = "separation"
    headlines: ClassVar[tuple[str, ...]] = ("knn_accuracy", "silhouette")

    knn_accuracy: float = math.nan                      # leave-one-out, majority of `neighbors`
    silhouette: float = math.nan                        # mean over the labelled samples
    neighbors: int = 15
    samples: int = 0                                    # labelled samples that were used
    features: int = 0
    sketch: int = 0
    distance_error: float = 0.0
