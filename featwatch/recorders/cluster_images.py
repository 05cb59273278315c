"""`ClusterImages`: for each cluster of a layer's embedding an image of what sets it apart (row D3)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from featwatch.errors import first_line
from featwatch.options import real, whole
from featwatch.recorders.allowance import ANY
from featwatch.recorders.base import ExplainingRecorder, Look, NothingToSay
from featwatch.recorders.layer_turns import LayerTurns
from featwatch.records import ClusterImages as ClusterImagesRecord
from featwatch.records import Clustering
from featwatch.schedule import every


class ClusterImages(ExplainingRecorder):
    """Of each cluster that `Clusters` found an image that maximises the filters which are more active in it than elsewhere.

    The clusters are those that were analysed last: of this epoch, or of some epochs before where the analysis is
    behind; the record says of which.  The filters' activations are those of now.  At the end of the training, when all is
    analysed, layers that had none at the last snapshot have theirs, unless the weights were changed after it.

    Arguments:
        clusters: of how many clusters of a layer, the largest ones.
        seconds: that a snapshot may take, for all layers together; layers for which there is no time have their turns
            first at the next one.  None = no limit.
        share: of the time since the snapshot before, which a snapshot may take at most where that is less than `seconds`.
        schedule: every five epochs, unless told.
    """

    name = "cluster_images"
    produces = ClusterImagesRecord
    reductions = ("mean",)
    waits = True

    def __init__(
        self,
        clusters: int = 16,
        *,
        seconds: float | None = 2.0,
        share: float = 0.2,
        layers: str | Sequence[str] | Callable[..., bool] | None = None,
        schedule: Any = None,
    ) -> None:
        self.clusters = whole("clusters", clusters, 1)
        self.seconds = None if seconds is None else real("seconds", seconds, 0.0, open_below=True)
        self.share = real("share", share, 0.0, open_below=True)
        self.layers = layers
        self.schedule = every(epochs=5) if schedule is None else schedule
        self._clock = time.perf_counter

    def explain(self, look: Look) -> Iterator[ClusterImagesRecord | NothingToSay]:
        turns = look.state.setdefault("turns", LayerTurns(self.seconds, self.share, self._clock))
        blind, said = look.state.setdefault("blind", set()), look.state.setdefault("said", set())
        made = look.state.setdefault("made", set())
        if look.last:
            turns = LayerTurns(self.seconds, ANY, self._clock)      # no epoch to be slowed down is left
        else:
            made.clear()
        ready = {}
        for name in look.sites:
            if name in blind or name in made:
                continue
            try:
                ready[name] = _clustering(look, name)
            except NothingToSay as reason:
                if (name, str(reason)) not in said:         # once, not at every epoch
                    said.add((name, str(reason)))
                    yield reason.of(name)
        for name in turns.of(list(ready)):
            try:
                yield self._record(look, name, ready[name])
                made.add(name)
            except NothingToSay as reason:
                yield reason.of(name)
        if turns.left_out and "time" not in said:
            said.add("time")
            yield NothingToSay(turns.said)

    def _record(self, look: Look, name: str, clustering: Clustering) -> ClusterImagesRecord:
        from featwatch.explain.clusters import NothingApart, clustered

        (activation,) = self.finite(look.snapshots[name])
        try:
            record: ClusterImagesRecord = clustered(
                look.model, look.sites[name], look.probe, activation, clustering.labels, epoch=look.epoch,
                of=clustering.step if look.step >= 0 else clustering.epoch,
                identities=clustering.identities if len(clustering.identities) == clustering.count else None,
                most=self.clusters,
            )  # fmt: skip
        except NothingApart as reason:
            raise NothingToSay(f"layer {name!r} at epoch {look.epoch} has no images of clusters: {reason}") from None
        except Exception as error:
            look.state["blind"].add(name)
            why = first_line(error)
            raise NothingToSay(f"layer {name!r} has no images of clusters: {why}") from None
        return record


def _clustering(look: Look, name: str) -> Clustering:
    """The last clustering of a layer.  Raises NothingToSay where there is none that can be used."""
    found = look.latest.get(name, {}).get(Clustering.kind)
    if not isinstance(found, Clustering):
        raise NothingToSay(f"no clusters of layer {name!r} have been analysed yet; fw.Clusters() finds them")
    if len(found.labels) != len(look.probe):
        raise NothingToSay(f"the clusters of layer {name!r} are of {len(found.labels)} other samples")
    if (found.step >= 0) != (look.step >= 0):
        axis = "step" if found.step >= 0 else "epoch"
        raise NothingToSay(f"the clusters of layer {name!r} are kept by {axis}, these images not")
    if not found.count:
        raise NothingToSay(f"layer {name!r} has no clusters: all samples are noise")
    return found
