"""Everything that was recorded in a log directory, as NumPy."""

from __future__ import annotations

import contextlib
import operator
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar, cast

import numpy as np

from featwatch import frames, gallery, happenings, journal, wire
from featwatch.analysis.regions import Regions, regions_of
from featwatch.eventfiles import event_files, exists, is_directory, join, list_directory
from featwatch.happenings import Event
from featwatch.logindex import LogIndex, NotThere
from featwatch.phrases import closest, ranges
from featwatch.records import (
    KINDS,
    Alert,
    Closing,
    Clustering,
    Embedding,
    EpochLog,
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
    Predictions,
    ProbeRecord,
    Record,
    SampleEvents,
    Session,
    Similarity,
    Specificity,
)

_AnyRecord = TypeVar("_AnyRecord", bound=Record)
_NO_SNAPSHOT = frozenset({Session.kind, ProbeRecord.kind, EpochLog.kind, Journal.kind, Closing.kind})


class NotRecorded(KeyError):
    """What was asked for is not in the log; the message says what there is."""

    def __str__(self) -> str:       # KeyError shows the repr of its argument
        return str(self.args[0])


def load(log_dir: str | os.PathLike[str]) -> Run:
    """The run that was recorded in `log_dir`, as it is now.

    `log_dir` is what `Watch` was given, or the directory `featwatch` in it.  Raises FileNotFoundError or
    ValueError, with the runs that are near, where no run was recorded there.

    >>> run = load("logs/run-1")                                    # doctest: +SKIP
    >>> run.embedding(run.layers[-1], run.epochs[-1]).points        # doctest: +SKIP
    """
    if not isinstance(log_dir, (str, os.PathLike)):
        raise TypeError(f"log_dir={log_dir!r}: expected the path of a log directory")
    path = str(os.fspath(log_dir))
    if not exists(path):
        parent = os.path.dirname(path.rstrip("/")) or "."
        raise FileNotFoundError(f"there is no directory {path!r}{_runs_in(parent)}")
    if not is_directory(path):
        raise ValueError(f"{path!r} is a file; pass the directory that Watch was given{_runs_in(os.path.dirname(path) or '.')}")
    inner = join(path, wire.RUN_DIRECTORY)
    directory = inner if _holds_records(inner) else path
    axes = {"epochs": LogIndex(directory), "steps": LogIndex(join(directory, wire.STEPS_DIRECTORY), "steps")}
    if not any(index.series() or index.unknown for index in axes.values()):
        damages = [damage for index in axes.values() for damage in index.damages]
        raise ValueError(
            f"nothing of featwatch's was recorded in {path!r}{_runs_in(path)}; "
            "fw.Watch(log_dir, probe) writes there from the start of fit on"
            + "".join(f"; {damage}" for damage in damages[:1])
        )
    return Run(path, axes)


class Run:
    """What one training recorded.  Made by `load`; arrays are read from the log when they are asked for.

    Records stand at epochs, or at optimiser steps where they were made on a schedule of steps; whoever asks
    for one gives `epoch` or `step=`.  Superseded records (of a training that was resumed before them, or
    started over) are not shown.  Every accessor raises a KeyError that says what there is, and WireError (a
    ValueError) where the record is there but damaged.
    """

    def __init__(self, log_dir: str, axes: Mapping[str, LogIndex]) -> None:
        self.log_dir = log_dir
        self._axes = axes

    def __repr__(self) -> str:
        steps = f", steps {ranges(self.steps)}" if self.steps else ""
        return f"<Run {self.log_dir!r}: {len(self.layers)} layers, epochs {ranges(self.epochs) or 'none yet'}{steps}>"

    # What there is

    @cached_property
    def epochs(self) -> list[int]:
        """The epochs of which anything of the model was recorded, ascending."""
        return self._snapshots("epochs")

    @cached_property
    def steps(self) -> list[int]:
        """The optimiser steps of which anything of the model was recorded, ascending: by schedules of steps alone."""
        return self._snapshots("steps")

    @cached_property
    def layers(self) -> list[str]:
        """Names of the watched layers in graph order; last those that only records know."""
        series = [one for index in self._axes.values() for one in index.series()]
        return list(dict.fromkeys([*self.layer_infos, *(layer for kind, layer in series if kind not in _NO_SNAPSHOT and layer)]))

    @cached_property
    def layer_infos(self) -> dict[str, LayerInfo]:
        """What is known of the watched layers, by name, in graph order."""
        infos = [LayerInfo.of(entry) for session in self.sessions[-1:] for entry in session.layers]
        return {info.name: info for info in infos if info is not None}

    @cached_property
    def sessions(self) -> list[Session]:
        """The sessions that left valid records, oldest first: more than one where training was resumed."""
        return self._readable(Session)

    @property
    def session(self) -> Session:
        """The newest session."""
        return self._newest(Session)

    @cached_property
    def probe(self) -> ProbeRecord:
        """The samples that were looked at."""
        return self._newest(ProbeRecord)

    @cached_property
    def journal(self) -> list[dict[str, Any]]:
        """What was skipped, thinned, approximated or switched off, in the order in which it happened; alerts are in `alerts`."""
        return [dict(entry) for entry in journal.notes(self._entries)]

    @property
    def alerts(self) -> list[Alert]:
        """What has been wrong for several checks in a row, each in its newest state: the worst first, then the oldest."""
        return self._alerts[0]

    @property
    def cost(self) -> dict[str, dict[str, float]]:
        """What watching had cost at the newest epoch: recorder -> "blocked_seconds", "computed_seconds", "bytes"."""
        logs = self._readable(EpochLog)
        return {name: dict(costs) for name, costs in logs[-1].cost.items()} if logs else {}

    @cached_property
    def problems(self) -> list[str]:
        """Sentences: what of the log could not be read, and why.  The first use reads the whole log."""
        groups: dict[str, list[str]] = {}
        for index in self._axes.values():
            damages = [(damage.reason, str(damage)) for damage in index.damages]
            unknown = [
                (kind, f"{count:,} × unknown kind of record {kind!r}: written by a newer featwatch?")
                for kind, count in index.unknown.items()
            ]
            for reason, sentence in [*damages, *unknown, *index.unreadable()]:
                groups.setdefault(reason, []).append(sentence)
        for sentence in self._alerts[1]:
            groups.setdefault(sentence, []).append(sentence)
        return [
            first + (f"; {len(others):,} more for the same reason" if others else "") for first, *others in groups.values()
        ]

    def recorded(self, kind: str, layer: str = "", axis: str = "epochs") -> list[int]:
        """The epochs, or with `axis` "steps" the steps, of which there is a record of a kind, ascending."""
        return self._on(axis).positions(kind, layer)

    # The records

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
        """What each of the layer's filters does."""
        return self._record(LayerHealth, layer, epoch, step)

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
        before = [one for one in self._axes[axis].positions(FeatureImages.kind, layer) if one < position]
        return gallery.merged(newest, self._each(FeatureImages, layer, axis, reversed(before)))

    def grid(self, layer: str, epoch: int | None = None, *, step: int | None = None) -> GridMap:
        """The samples of that layout on a regular grid."""
        return self._record(GridMap, layer, epoch, step)

    def cka(self, epoch: int | None = None, *, step: int | None = None) -> LayerAlignment:
        """How alike the layers are, each with each, and with themselves at the epoch before."""
        return self._record(LayerAlignment, "", epoch, step)

    def predictions(self, epoch: int | None = None, *, step: int | None = None) -> Predictions:
        """The model's scores for the probe."""
        return self._record(Predictions, "", epoch, step)

    def regions(
        self, layer: str, epoch: int | None = None, *, step: int | None = None, mapped: float = 0.0, **options: Any
    ) -> Regions:
        """Estimated decision regions in that layout, its samples moved by the share `mapped`, 0 to 1, to their grid cells.

        `options` are those of `featwatch.analysis.regions.regions`: neighbors=3, resolution=200, smoothing=0.0125, extent=None.

        >>> found = run.regions("dense", 5)                                     # doctest: +SKIP
        >>> plt.imshow(found.cells, origin="lower", extent=found.extent)        # doctest: +SKIP
        """
        grid = self.grid(layer, epoch, step=step) if mapped else None
        places = self.embedding(layer, epoch, step=step)
        return regions_of(places, self.predictions(epoch, step=step), grid, mapped, **options)

    def sample_events(self, epoch: int | None = None, *, step: int | None = None) -> SampleEvents:
        """What became of single samples since the epoch before; `events` ranks those of all epochs."""
        return self._record(SampleEvents, "", epoch, step)

    def metrics(self, epoch: int | None = None, *, step: int | None = None) -> dict[str, float]:
        """What Keras reported of an epoch, by name: loss, accuracy, val_loss, …"""
        return dict(self._record(EpochLog, "", epoch, step).metrics)

    def numbers(self, kind: str, layer: str, name: str, axis: str = "epochs") -> tuple[np.ndarray, np.ndarray]:
        """(n,) int64 epochs and (n,) float64 values of one number, e.g. ("separation", "conv1", "knn_accuracy").

        `layer` is "" for what belongs to no layer, e.g. ("epoch", "", "val_loss").  With `axis` "steps" steps
        instead of epochs.  Records that cannot be read are left out; `problems` names them.
        """
        cls = KINDS.get(kind)
        if cls is None:
            raise NotRecorded(f"no records are called {kind!r}{closest(kind, KINDS)}; there are {', '.join(KINDS)}")
        if not self._on(axis).positions(kind, layer):
            raise self._not_recorded(cls, layer, axis, None)
        rows = [(wire.place_of(record)[1], record.numbers()) for record in self._readable(cls, layer, axis)]
        found = [(position, numbers[name]) for position, numbers in rows if name in numbers]
        if not found:
            names = sorted({name for _, numbers in rows for name in numbers})
            raise NotRecorded(f"{kind!r} has no number called {name!r}{closest(name, names)}; there are {', '.join(names)}")
        return np.array([position for position, _ in found], np.int64), np.array([value for _, value in found], np.float64)

    def events(self, kinds: str | Collection[str] | None = None, top: int | None = 100, axis: str = "epochs") -> list[Event]:
        """What happened to samples and clusters, the most notable first: at most `top` events, or all for None.

        `kinds`: some of "forgotten", "learnt", "flip", "jump", "travelled", "split", "merge", "born" and "gone", or all.
        With `axis` "steps" those between records by step.  How ranks compare: `featwatch.happenings.ranked`.

        >>> [(event.epoch, event.sample) for event in run.events("forgotten", top=3)]       # doctest: +SKIP
        """
        index = self._on(axis)
        wanted = happenings.chosen(kinds)
        if top is not None and (not isinstance(top, int) or top < 0):
            raise ValueError(f"top={top!r}: expected a whole number, or None for all")
        series = [(kind, layer) for kind, layer in index.series() if set(happenings.TOLD_BY.get(kind, ())) & wanted]
        series.sort(key=lambda one: self.layers.index(one[1]) if one[1] else -1)
        records = ((layer, self._each(KINDS[kind], layer, axis, index.positions(kind, layer))) for kind, layer in series)
        told = [happenings.of_records(layer, each, lambda one: wire.place_of(one)[1]) for layer, each in records]
        return happenings.ranked(told, wanted, top)

    def trail(self, layer: str, samples: int | Sequence[int], axis: str = "epochs") -> tuple[np.ndarray, np.ndarray]:
        """Where samples were in a layer's embeddings: (n,) int64 epochs, or steps, and (n, samples, 2) float32 points.

        NaN where an embedding cannot be read, or was of another probe that has no such sample.
        """
        positions = self._on(axis).positions(Embedding.kind, layer)
        if not positions:
            raise self._not_recorded(Embedding, layer, axis, None)
        wanted = happenings.checked_samples(samples, len(self.probe))
        records = (next(self._each(Embedding, layer, axis, [position]), None) for position in positions)
        return np.array(positions, np.int64), happenings.trail(records, wanted)

    def to_frame(self, what: str, axis: str = "epochs") -> Any:
        """A pandas DataFrame of what was recorded, one row for each combination of its first columns.

        `what` is one of "health", "histograms" (by epoch, layer and filter), "separation", "clusters", "embeddings"
        (by epoch and layer), "cka" (by epoch and pair of layers), "predictions", "epochs" (by epoch), "cost" (by epoch
        and recorder), "alerts" and "events", the most notable first.
        With `axis` "steps", what was recorded by step; the column `epoch` then says in which epoch that was.
        Records that cannot be read are left out; `problems` names them.

        Raises ValueError for another `what` or `axis`, KeyError where nothing of it was recorded, ImportError where
        pandas is not installed.
        """
        index = self._on(axis)
        if what == "alerts":
            return frames.of_alerts(self.alerts)
        if what == "events":
            return frames.of_events(self.events(top=None, axis=axis), axis)
        cls = frames.kind_of(what)
        series = index.series()
        layers = [layer for layer in (self.layers if cls.per_layer else [""]) if (cls.kind, layer) in series]
        if not layers:
            raise self._not_recorded(cls, "", axis, None)
        return frames.of_records(what, axis, (record for layer in layers for record in self._readable(cls, layer, axis)))

    def _on(self, axis: str) -> LogIndex:
        if axis not in self._axes:
            raise ValueError(f"axis={axis!r}: expected 'epochs' or 'steps'")
        return self._axes[axis]

    def _snapshots(self, axis: str) -> list[int]:
        index = self._axes[axis]
        snapshots = [series for series in index.series() if series[0] not in _NO_SNAPSHOT]
        return sorted({position for series in snapshots for position in index.positions(*series)})

    @cached_property
    def _entries(self) -> list[Mapping[str, Any]]:
        return journal.entries([*self._readable(Journal), *self._readable(Closing)])

    @cached_property
    def _alerts(self) -> tuple[list[Alert], list[str]]:
        return journal.alerts(self._entries)

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

    def _each(self, cls: type[_AnyRecord], layer: str, axis: str, positions: Iterable[int]) -> Iterator[_AnyRecord]:
        """The records at these places, those that can be read, one by one."""
        for position in positions:
            with contextlib.suppress(wire.WireError):
                yield cast(_AnyRecord, self._axes[axis].read(cls.kind, layer, position))

    def _not_recorded(self, cls: type[Record], layer: str, axis: str, position: int | None) -> NotRecorded:
        index = self._axes[axis]
        recorded = {of: index.positions(kind, of) for kind, of in index.series() if kind == cls.kind}
        if not recorded:
            other = self._axes["epochs" if axis == "steps" else "steps"]
            elsewhere = {place for kind, of in other.series() if kind == cls.kind for place in other.positions(kind, of)}
            if elsewhere:
                said = f"no {cls.kind!r} was recorded by {index.unit}; it was at {other.axis} {ranges(sorted(elsewhere))}"
                return NotRecorded(said)
            kinds = dict.fromkeys(kind for kind, _ in index.series() if kind not in _NO_SNAPSHOT)
            return NotRecorded(f"no {cls.kind!r} was recorded; there are {', '.join(kinds) or 'no snapshots yet'}")
        if layer not in recorded and cls.per_layer:
            if layer in self.layers:
                return NotRecorded(f"no {cls.kind!r} was recorded of {layer!r}; it was of {', '.join(recorded)}")
            return NotRecorded(f"no layer is called {layer!r}{closest(layer, recorded)}; recorded: {', '.join(recorded)}")
        of = f" of {layer!r}" if layer else ""
        if layer not in recorded:
            return NotRecorded(f"{cls.kind!r} belongs to no layer, not to {layer!r}; pass \"\"")
        return NotRecorded(f"no {cls.kind!r}{of} was recorded at {index.unit} {position}; recorded at {ranges(recorded[layer])}")


def _holds_records(directory: str) -> bool:
    return bool(event_files(directory) or event_files(join(directory, wire.STEPS_DIRECTORY)))


def _runs_in(directory: str, most: int = 5) -> str:
    """"; runs in 'logs': run-1, run-2" where a directory holds runs of featwatch's, else nothing."""
    names = list_directory(directory) if is_directory(directory) else []
    runs = [name for name in names if _holds_records(join(directory, name, wire.RUN_DIRECTORY))]
    return f"; runs in {directory!r}: {', '.join(runs[:most])}{', …' if len(runs) > most else ''}" if runs else ""
