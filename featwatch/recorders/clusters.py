"""`Clusters`: the groups in a layer's embedding (row D1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from featwatch.analysis.clustering import clusters
from featwatch.recorders.base import LayerSnapshot, Recorder
from featwatch.recorders.embeddings import Embeddings
from featwatch.recorders.options import real, whole
from featwatch.records import Clustering, Embedding


class Clusters(Recorder):
    """DBSCAN on each embedding: how many clusters there are, and how they agree with the classes.

    `eps`: the radius in the layout's units, or "auto" to read it off the k-distance curve of each
    embedding.  `min_samples`: neighbours within it that make a core point, itself included.
    """

    name = "clusters"
    produces = Clustering
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
        )
