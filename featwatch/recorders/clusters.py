"""`Clusters`: the groups in a layer's embedding, who they are over the epochs, and what they hold (rows D1, D2, D4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from featwatch.analysis.cluster_identity import Matched, first, matched
from featwatch.analysis.clustering import clusters, representatives
from featwatch.options import real, whole
from featwatch.recorders.base import LayerSnapshot, Recorder
from featwatch.recorders.embeddings import Embeddings
from featwatch.recorders.last_features import place_of
from featwatch.records import Clustering, Embedding


class Clusters(Recorder):
    """DBSCAN on each embedding: how many clusters there are, and how they agree with the classes.

    A cluster keeps its identity from epoch to epoch as long as it keeps its members (`analysis.cluster_identity`
    has the rule), also over a training that is resumed; what splits, merges, is born or goes is recorded.

    `eps`: the radius in the layout's units, or "auto" to read it off the k-distance curve of each
    embedding.  `min_samples`: neighbours within it that make a core point, itself included.
    """

    name = "clusters"
    produces = Clustering
    outlasts = "all"
    builds_on = (Embeddings,)

    def __init__(
        self,
        eps: float | str = "auto",
        min_samples: int = 5,
        *,
        layers: str | Sequence[str] | Callable[..., bool] | None = None,
        schedule: Any = None,
    ) -> None:
        if isinstance(eps, str) and eps != "auto":
            raise ValueError(f"eps={eps!r} is not a radius; give a number above 0 or 'auto'")
        self.eps = eps if isinstance(eps, str) else real("eps", eps, 0.0, open_below=True)
        self.min_samples = whole("min_samples", min_samples, 1)
        self.layers = layers
        self.schedule = schedule

    def analyse(self, snapshot: LayerSnapshot) -> Clustering | None:
        embedding = snapshot.results.get(Embedding.kind)
        if not isinstance(embedding, Embedding):
            return None
        eps = None if isinstance(self.eps, str) else self.eps
        found = clusters(embedding.points, snapshot.labels, eps=eps, min_samples=self.min_samples)
        previous = snapshot.previous if isinstance(snapshot.previous, Clustering) else None
        who = _identified(found.labels, previous)
        return Clustering(
            epoch=snapshot.epoch,
            layer=snapshot.layer,
            labels=found.labels,
            count=found.count,
            noise_fraction=found.noise_fraction,
            eps=found.eps,
            min_samples=self.min_samples,
            purity=found.purity,
            adjusted_rand=found.adjusted_rand,
            normalized_mutual_info=found.normalized_mutual_info,
            identities=who.identities,
            representatives=representatives(embedding.points, found.labels),
            next_identity=who.next_identity,
            last=-1 if previous is None or not _comparable(found.labels, previous) else place_of(previous, snapshot),
            changes=who.changes,
        )


def _identified(labels: np.ndarray, previous: Clustering | None) -> Matched:
    """Who the clusters are, after those of the last record."""
    if previous is None:
        return first(labels)
    # A log from before there were identities: its clusters are taken to be the first ones.
    known = len(previous.identities) == previous.count
    identities = previous.identities if known else np.arange(previous.count, dtype=np.int32)
    next_identity = max(previous.next_identity, int(identities.max(initial=-1)) + 1)
    if not _comparable(labels, previous):
        return first(labels, next_identity)
    return matched(labels, previous.labels, identities, next_identity)


def _comparable(labels: np.ndarray, previous: Clustering) -> bool:
    """Whether the last record is of as many samples, and fits itself."""
    return len(previous.labels) == len(labels) and int(previous.labels.max(initial=-1)) == previous.count - 1
