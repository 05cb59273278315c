"""Everything that was recorded in a log directory, as NumPy."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from featwatch import development, frames, happenings, journal, wire
from featwatch.accessors import NO_SNAPSHOT, NotRecorded, RunRecords
from featwatch.analysis.regions import Regions, regions_of
from featwatch.eventfiles import event_files, exists, is_directory, join, list_directory
from featwatch.happenings import Event
from featwatch.logindex import LogIndex
from featwatch.phrases import closest, ranges
from featwatch.records import KINDS, Alert, Closing, Embedding, EpochLog, Journal, LayerHealth, ProbeRecord, Session


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


class Run(RunRecords):
    """What one training recorded.  Made by `load`; arrays are read from the log when they are asked for.

    Records stand at epochs, or at optimiser steps where they were made on a schedule of steps; whoever asks
    for one gives `epoch` or `step=`.  Superseded records (of a training that was resumed before them, or
    started over) are not shown.  Every accessor raises a KeyError that says what there is, and WireError (a
    ValueError) where the record is there but damaged.
    """

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
        """What happened to samples, clusters and filters, the most notable first: at most `top` events, or all for None.

        `kinds`: some of "forgotten", "learnt", "flip", "jump", "travelled" (of samples), "split", "merge", "born", "gone" (of
        clusters), "died", "revived" and "awoke" (of filters: alive for the first time), or all.
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

    def development(
        self, layer: str, field: str, kind: str = "health", axis: str = "epochs"
    ) -> tuple[np.ndarray, np.ndarray]:
        """What a kind of record says of each of a layer's filters, over all epochs: (n,) int64 epochs and (n, filters) values.

        `field` is an array of one value per filter, e.g. "energy" of "health" or "group" of "similarity"; its values are
        float32, 0 and 1 for what is true or false, or strings.  With `axis` "steps" steps instead of epochs.  NaN or ""
        where a record cannot be read (`problems` names it) or lacks the field.

        Filters are numbered as at the end, and each is followed through the steps of pruning that were recorded, whatever its
        number was before; NaN or "" where it was not there, or where nothing tells which one it was.  Values that are
        themselves numbers of filters ("nearest" of "similarity") are as they were then.

        >>> epochs, active = run.development("conv2", "active_fraction")        # doctest: +SKIP
        >>> plt.plot(epochs, active[:, 3])                                      # doctest: +SKIP
        """
        if kind not in KINDS:
            raise NotRecorded(f"no records are called {kind!r}{closest(kind, KINDS)}; there are {', '.join(development.kinds())}")
        known = development.fields_of(kind)
        if field not in known:
            said = f"field={field!r}{closest(field, known)}: of {kind!r} expected one of {', '.join(known) or 'none'}"
            raise ValueError(said + ("; groups are in kind='similarity'" if field == "group" else ""))
        index = self._on(axis)
        positions = index.positions(kind, layer)
        if not positions:
            raise self._not_recorded(KINDS[kind], layer, axis, None)
        rows: dict[int, dict[str, np.ndarray]] = {}
        last = (positions[-1], -1)              # whose filters are told of, and how many those are
        for at, position in reversed([*enumerate(positions)]):
            with contextlib.suppress(wire.WireError):
                header, arrays = index.read_some(kind, layer, position, {field})
                last = (position, development.filters_of(header)) if last[1] < 0 else last
                if field in arrays and len(arrays[field]) == development.filters_of(header):
                    rows[at] = arrays
        filters, numbers = np.arange(max(last[1], 0)), self._numbering(layer, axis)
        found = development.Development(kind, [field], len(positions), filters)
        for at, arrays in rows.items():
            found.put(at, arrays, numbers.found(filters, of=last, at=(positions[at], len(arrays[field]))))
        return np.array(positions, np.int64), found.numbers[field] if field in found.numbers else found.strings(field)

    def to_frame(self, what: str, axis: str = "epochs") -> Any:
        """A pandas DataFrame of what was recorded, one row for each combination of its first columns.

        `what` is one of "health", "histograms", "similarity", "specificity" (by epoch, layer and filter), "separation",
        "clusters", "embeddings" (by epoch and layer), "cka" (by epoch and pair of layers), "predictions", "epochs" (by
        epoch), "cost" (by epoch and recorder), "alerts" and "events", the most notable first.
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
        records = (record for layer in layers for record in self._readable(cls, layer, axis))
        return frames.of_records(what, axis, (self._grouped(one) if isinstance(one, LayerHealth) else one for one in records))

    def _snapshots(self, axis: str) -> list[int]:
        index = self._axes[axis]
        snapshots = [series for series in index.series() if series[0] not in NO_SNAPSHOT]
        return sorted({position for series in snapshots for position in index.positions(*series)})

    @cached_property
    def _entries(self) -> list[Mapping[str, Any]]:
        return journal.entries([*self._readable(Journal), *self._readable(Closing)])

    @cached_property
    def _alerts(self) -> tuple[list[Alert], list[str]]:
        return journal.alerts(self._entries)



def _holds_records(directory: str) -> bool:
    return bool(event_files(directory) or event_files(join(directory, wire.STEPS_DIRECTORY)))


def _runs_in(directory: str, most: int = 5) -> str:
    """"; runs in 'logs': run-1, run-2" where a directory holds runs of featwatch's, else nothing."""
    names = list_directory(directory) if is_directory(directory) else []
    runs = [name for name in names if _holds_records(join(directory, name, wire.RUN_DIRECTORY))]
    return f"; runs in {directory!r}: {', '.join(runs[:most])}{', …' if len(runs) > most else ''}" if runs else ""
