"""What the accessors of a run read: single records by kind, layer and place, or an error that says what there is."""

from __future__ import annotations

import contextlib
import dataclasses
import operator
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import TypeVar, cast

from featwatch import gallery, wire
from featwatch.logindex import LogIndex, NotThere
from featwatch.numbering import Numbering, numbering
from featwatch.phrases import closest, ranges
from featwatch.records import (
    Attributions,
    ClassActivation,
    Closing,
    ClusterImages,
    Clustering,
    Embedding,
    EpochLog,
    ExemplarMaps,
    FactorGroups,
    FeatureArrangement,
    FeatureImages,
    FilterExemplars,
    GridMap,
    Histograms,
    Journal,
    Kernels,
    LayerAlignment,
    LayerHealth,
    LayerInfo,
    LayerSeparation,
    Maps,
    MaximisingImages,
    ModelSize,
    Predictions,
    ProbeRecord,
    Pruning,
    PruningOutlook,
    Record,
    SampleEvents,
    Session,
    Similarity,
    Specificity,
)

_AnyRecord = TypeVar("_AnyRecord", bound=Record)
NO_SNAPSHOT = frozenset({each.kind for each in (Session, ProbeRecord, EpochLog, Journal, Closing, Pruning, ModelSize)})


class NotRecorded(KeyError):
    """What was asked for is not in the log; the message says what there is."""

    def __str__(self) -> str:       # KeyError shows the repr of its argument
        return str(self.args[0])


class RunRecords:
    """The records of a run, one accessor for each kind; `featwatch.reader.Run` is what users see.

    Arguments:
        axes: "epochs" and "steps" -> where the records of that axis are.
    """

    def __init__(self, log_dir: str, axes: Mapping[str, LogIndex]) -> None:
        self.log_dir = log_dir
        self._axes = axes

    @cached_property
    def layers(self) -> list[str]:
        """Names of the watched layers in graph order; last those that only records know."""
        series = [one for index in self._axes.values() for one in index.series()]
        return list(dict.fromkeys([*self.layer_infos, *(layer for kind, layer in series if kind not in NO_SNAPSHOT and layer)]))

    @cached_property
    def layer_infos(self) -> dict[str, LayerInfo]:
        """What is known of the watched layers, by name, in graph order."""
        infos = [LayerInfo.of(entry) for session in self.sessions[-1:] for entry in session.layers]
        return {info.name: info for info in infos if info is not None}

    @cached_property
    def sessions(self) -> list[Session]:
        """The sessions that left valid records, oldest first: more than one where training was resumed."""
        return self._readable(Session)

    def recorded(self, kind: str, layer: str = "", axis: str = "epochs") -> list[int]:
        """The epochs, or with `axis` "steps" the steps, of which there is a record of a kind, ascending."""
        return self._on(axis).positions(kind, layer)

    def embedding(self, layer: str, epoch: int | None = None, *, step: int | None = None) -> Embedding:
        """The layout of the probe by this layer's features."""
        return self._record(Embedding, layer, epoch, step)

    def clusters(self, layer: str, epoch: int | None = None, *, step: int | None = None) -> Clustering:
        """The clusters of that layout."""
        return self._record(Clustering, layer, epoch, step)

    def separation(self, layer: str, epoch: int | None = None, *, step: int | None = None) -> LayerSeparation:
        """How well this layer separates the classes."""
        return self._record(LayerSeparation, layer, epoch, step)

    def health(self, layer: str, epoch: int | None = None, *, step: int | None = None) -> LayerHealth:
        """What each of the layer's filters does; `group` is that of `similarity`, where that is recorded at the same place."""
        return self._grouped(self._record(LayerHealth, layer, epoch, step))

    def similarity(self, layer: str, epoch: int | None = None, *, step: int | None = None) -> Similarity:
        """Which of the layer's filters say what others say already."""
        return self._record(Similarity, layer, epoch, step)

    def specificity(self, layer: str, epoch: int | None = None, *, step: int | None = None) -> Specificity:
        """Which classes each of the layer's filters answers to."""
        return self._record(Specificity, layer, epoch, step)

    def kernels(self, layer: str, epoch: int | None = None, *, step: int | None = None) -> Kernels:
        """The layer's kernels as pictures."""
        return self._record(Kernels, layer, epoch, step)

    def maps(self, layer: str, epoch: int | None = None, *, step: int | None = None) -> Maps:
        """What the layer makes of some samples, channel by channel."""
        return self._record(Maps, layer, epoch, step)

    def histograms(self, layer: str, epoch: int | None = None, *, step: int | None = None) -> Histograms:
        """Histograms of each filter's activations."""
        return self._record(Histograms, layer, epoch, step)

    def exemplars(self, layer: str, epoch: int | None = None, *, step: int | None = None) -> FilterExemplars:
        """The samples that activate each filter most."""
        return self._record(FilterExemplars, layer, epoch, step)

    def feature_images(self, layer: str, epoch: int | None = None, *, step: int | None = None) -> FeatureImages:
        """Images that maximise filters: each filter's newest up to then, `refreshed` says of when it is."""
        newest = self._record(FeatureImages, layer, epoch, step)
        axis, position = wire.place_of(newest)
        begins = self._begins(layer, axis, position)
        before = [one for one in self._axes[axis].positions(FeatureImages.kind, layer) if begins <= one < position]
        options = [session.recorders.get(FeatureImages.kind) for session in self.sessions]
        filtered = any(isinstance(one, Mapping) and one.get("filtered") for one in options)
        return gallery.merged(newest, self._each(FeatureImages, layer, axis, reversed(before)), filtered)

    def feature_development(self, layer: str, filter: int, *, axis: str = "epochs") -> gallery.FeatureDevelopment:
        """One filter's images over training, since the layer was pruned last, the oldest first, with their epochs."""
        places = self._on(axis).positions(FeatureImages.kind, layer)
        if not places:
            raise self._not_recorded(FeatureImages, layer, axis, None)
        begins = self._begins(layer, axis, places[-1])
        since = [place for place in reversed(places) if place >= begins]
        found = gallery.development(filter, self._each(FeatureImages, layer, axis, since))
        if not len(found.epochs):
            raise NotRecorded(f"no image of filter {filter} of {layer!r} was recorded so far")
        return found

    def arrangement(self, layer: str, epoch: int | None = None, *, step: int | None = None) -> FeatureArrangement:
        """Where the layer's feature images stand, alike ones as neighbours."""
        return self._record(FeatureArrangement, layer, epoch, step)

    def exemplar_maps(self, layer: str, epoch: int | None = None, *, step: int | None = None) -> ExemplarMaps:
        """What filters make of the samples that activate them most."""
        return self._record(ExemplarMaps, layer, epoch, step)

    def maximising(self, layer: str, epoch: int | None = None, *, step: int | None = None) -> MaximisingImages:
        """Samples, led a few steps towards what maximises filters."""
        return self._record(MaximisingImages, layer, epoch, step)

    def factors(self, layer: str, epoch: int | None = None, *, step: int | None = None) -> FactorGroups:
        """Groups of filters that act together."""
        return self._record(FactorGroups, layer, epoch, step)

    def cluster_images(self, layer: str, epoch: int | None = None, *, step: int | None = None) -> ClusterImages:
        """Images of what sets clusters apart."""
        return self._record(ClusterImages, layer, epoch, step)

    def attributions(self, layer: str, epoch: int | None = None, *, step: int | None = None) -> Attributions:
        """What in some samples filters answer to."""
        return self._record(Attributions, layer, epoch, step)

    def class_activation(self, layer: str, epoch: int | None = None, *, step: int | None = None) -> ClassActivation:
        """Where the layer sees the class that is predicted, and which filters decide that."""
        return self._record(ClassActivation, layer, epoch, step)

    @cached_property
    def prunings(self) -> list[Pruning]:
        """The steps of pruning, oldest first: what went, came back, or would have gone; empty where there were none."""
        return self._readable(Pruning)

    def size(self, epoch: int) -> ModelSize:
        """How large the model was after what was pruned at the end of the epoch."""
        return self._record(ModelSize, "", epoch)

    def outlook(self, epoch: int | None = None, *, step: int | None = None) -> PruningOutlook:
        """What would go, and what it would save and cost, were the model pruned at that epoch."""
        return self._record(PruningOutlook, "", epoch, step)

    def grid(self, layer: str, epoch: int | None = None, *, step: int | None = None) -> GridMap:
        """The samples of that layout on a regular grid."""
        return self._record(GridMap, layer, epoch, step)

    def cka(self, epoch: int | None = None, *, step: int | None = None) -> LayerAlignment:
        """How alike the layers are, each with each, and with themselves at the epoch before."""
        return self._record(LayerAlignment, "", epoch, step)

    def predictions(self, epoch: int | None = None, *, step: int | None = None) -> Predictions:
        """The model's scores for the probe."""
        return self._record(Predictions, "", epoch, step)

    def sample_events(self, epoch: int | None = None, *, step: int | None = None) -> SampleEvents:
        """What became of single samples since the epoch before; `events` ranks those of all epochs."""
        return self._record(SampleEvents, "", epoch, step)

    def metrics(self, epoch: int | None = None, *, step: int | None = None) -> dict[str, float]:
        """What Keras reported of an epoch, by name: loss, accuracy, val_loss, …"""
        return dict(self._record(EpochLog, "", epoch, step).metrics)

    # How they are found

    def _on(self, axis: str) -> LogIndex:
        if axis not in self._axes:
            raise ValueError(f"axis={axis!r}: expected 'epochs' or 'steps'")
        return self._axes[axis]

    def _record(self, cls: type[_AnyRecord], layer: str, epoch: int | None, step: int | None = None) -> _AnyRecord:
        if not isinstance(layer, str):
            raise TypeError(f"layer={layer!r}: expected a layer's name, the epoch comes after it")
        if (epoch is None) == (step is None):
            raise TypeError(f"epoch={epoch!r}, step={step!r}: expected one of the two")
        axis, given = ("steps", step) if epoch is None else ("epochs", epoch)
        try:
            position = operator.index(cast(int, given))
        except TypeError:
            raise TypeError(f"{self._axes[axis].unit}={given!r}: expected a whole number") from None
        try:
            return cast(_AnyRecord, self._axes[axis].read(cls.kind, layer, position))
        except NotThere:
            raise self._not_recorded(cls, layer, axis, position) from None

    def _newest(self, cls: type[_AnyRecord]) -> _AnyRecord:
        epochs = self._axes["epochs"].positions(cls.kind)
        if not epochs:
            raise NotRecorded(f"no {cls.kind!r} was recorded in {self.log_dir!r}")
        return self._record(cls, "", epochs[-1])

    def _readable(self, cls: type[_AnyRecord], layer: str = "", axis: str = "epochs") -> list[_AnyRecord]:
        """The records that can be read, by epoch or step; `problems` names the others."""
        return list(self._each(cls, layer, axis, self._axes[axis].positions(cls.kind, layer)))

    def _numbering(self, layer: str, axis: str) -> Numbering:
        """Which of a layer's filters are the same ones before and after it was pruned."""
        sessions = [(wire.place_of(session)[1], session) for session in self._readable(Session, axis=axis)]
        return numbering(layer, sessions, self.prunings)

    def _begins(self, layer: str, axis: str, position: int) -> int:
        """From where on a layer has had the filters that it has at a place: pruning numbers them anew."""
        known = self._numbering(layer, axis)
        era = known.era(position)
        return known.eras[era].begins if era > 0 else 0

    def _each(self, cls: type[_AnyRecord], layer: str, axis: str, positions: Iterable[int]) -> Iterator[_AnyRecord]:
        """The records at these places, those that can be read, one by one."""
        for position in positions:
            with contextlib.suppress(wire.WireError):
                yield cast(_AnyRecord, self._axes[axis].read(cls.kind, layer, position))

    def _grouped(self, health: LayerHealth) -> LayerHealth:
        """With the redundant groups that the record of similarity at the same place names: health is recorded before that."""
        axis, position = wire.place_of(health)
        there = position in self._axes[axis].positions(Similarity.kind, health.layer)
        for one in self._each(Similarity, health.layer, axis, [position] if there else []):
            if len(one.group) == len(health.group):
                return dataclasses.replace(health, group=one.group)
        return health

    def _not_recorded(self, cls: type[Record], layer: str, axis: str, position: int | None) -> NotRecorded:
        index = self._axes[axis]
        recorded = {of: index.positions(kind, of) for kind, of in index.series() if kind == cls.kind}
        if not recorded:
            other = self._axes["epochs" if axis == "steps" else "steps"]
            elsewhere = {place for kind, of in other.series() if kind == cls.kind for place in other.positions(kind, of)}
            if elsewhere:
                said = f"no {cls.kind!r} was recorded by {index.unit}; it was at {other.axis} {ranges(sorted(elsewhere))}"
                return NotRecorded(said)
            kinds = dict.fromkeys(kind for kind, _ in index.series() if kind not in NO_SNAPSHOT)
            return NotRecorded(f"no {cls.kind!r} was recorded; there are {', '.join(kinds) or 'no snapshots yet'}")
        if layer not in recorded and cls.per_layer:
            if layer in self.layers:
                return NotRecorded(f"no {cls.kind!r} was recorded of {layer!r}; it was of {', '.join(recorded)}")
            return NotRecorded(f"no layer is called {layer!r}{closest(layer, recorded)}; recorded: {', '.join(recorded)}")
        of = f" of {layer!r}" if layer else ""
        if layer not in recorded:
            return NotRecorded(f"{cls.kind!r} belongs to no layer, not to {layer!r}; pass \"\"")
        return NotRecorded(f"no {cls.kind!r}{of} was recorded at {index.unit} {position}; recorded at {ranges(recorded[layer])}")
