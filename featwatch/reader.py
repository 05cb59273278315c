"""Everything that was recorded in a log directory, as NumPy."""

from __future__ import annotations

import dataclasses
import difflib
import json
import operator
import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, TypeVar, cast

import numpy as np

from featwatch import wire
from featwatch.eventfiles import event_files, exists, is_directory, join, list_directory
from featwatch.logindex import LogIndex, NotThere
from featwatch.records import (
    KINDS,
    Closing,
    Clustering,
    Embedding,
    EpochLog,
    Journal,
    LayerHealth,
    LayerInfo,
    LayerSeparation,
    Predictions,
    ProbeRecord,
    Record,
    Session,
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
    directory = inner if event_files(inner) else path
    index = LogIndex(directory)
    if not index.series() and not index.unknown:
        raise ValueError(
            f"nothing of featwatch's was recorded in {path!r}{_runs_in(path)}; "
            "fw.Watch(log_dir, probe) writes there from the start of fit on"
            + "".join(f"; {damage}" for damage in index.damages[:1])
        )
    return Run(path, index)


class Run:
    """What one training recorded.  Made by `load`; arrays are read from the log when they are asked for.

    Superseded records (of a training that was resumed before them, or started over) are not shown.
    Every accessor raises a KeyError that says what there is, and WireError (a ValueError) where the
    record is there but damaged.
    """

    def __init__(self, log_dir: str, index: LogIndex) -> None:
        self.log_dir = log_dir
        self._index = index

    def __repr__(self) -> str:
        return f"<Run {self.log_dir!r}: {len(self.layers)} layers, epochs {_ranges(self.epochs) or 'none yet'}>"

    # What there is

    @cached_property
    def epochs(self) -> list[int]:
        """The epochs of which anything of the model was recorded, ascending."""
        snapshots = [series for series in self._index.series() if series[0] not in _NO_SNAPSHOT]
        return sorted({epoch for series in snapshots for epoch in self._index.epochs(*series)})

    @cached_property
    def layers(self) -> list[str]:
        """Names of the watched layers in graph order; last those that only records know."""
        recorded = [layer for kind, layer in self._index.series() if kind not in _NO_SNAPSHOT and layer]
        return list(dict.fromkeys([*self.layer_infos, *recorded]))

    @cached_property
    def layer_infos(self) -> dict[str, LayerInfo]:
        """What is known of the watched layers, by name, in graph order."""
        infos = [_layer_info(entry) for session in self.sessions[-1:] for entry in session.layers]
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

    @property
    def journal(self) -> list[dict[str, Any]]:
        """What was skipped, thinned, approximated or switched off, in the order in which it happened."""
        records = sorted([*self._readable(Journal), *self._readable(Closing)], key=lambda record: record.epoch)
        entries = (dict(entry) for record in records for entry in record.entries)
        # By content, for a journal repeats what it said at an earlier epoch.
        return list({json.dumps(entry, sort_keys=True): entry for entry in entries}.values())

    @property
    def alerts(self) -> list[Any]:
        """Empty: this version has no detectors that could raise an alert."""
        return []

    @cached_property
    def problems(self) -> list[str]:
        """Sentences: what of the log could not be read, and why.  The first use reads the whole log."""
        damages = [(damage.reason, str(damage)) for damage in self._index.damages]
        unknown = [
            (kind, f"{count:,} × unknown kind of record {kind!r}: written by a newer featwatch?")
            for kind, count in self._index.unknown.items()
        ]
        groups: dict[str, list[str]] = {}
        for reason, sentence in [*damages, *unknown, *self._index.unreadable()]:
            groups.setdefault(reason, []).append(sentence)
        return [
            first + (f"; {len(others):,} more for the same reason" if others else "") for first, *others in groups.values()
        ]

    # The records

    def embedding(self, layer: str, epoch: int) -> Embedding:
        """The layout of the probe by this layer's features."""
        return self._record(Embedding, layer, epoch)

    def clusters(self, layer: str, epoch: int) -> Clustering:
        """The clusters of that layout."""
        return self._record(Clustering, layer, epoch)

    def separation(self, layer: str, epoch: int) -> LayerSeparation:
        """How well this layer separates the classes."""
        return self._record(LayerSeparation, layer, epoch)

    def health(self, layer: str, epoch: int) -> LayerHealth:
        """What each of the layer's filters does."""
        return self._record(LayerHealth, layer, epoch)

    def predictions(self, epoch: int) -> Predictions:
        """The model's scores for the probe."""
        return self._record(Predictions, "", epoch)

    def metrics(self, epoch: int) -> dict[str, float]:
        """What Keras reported of an epoch, by name: loss, accuracy, val_loss, …"""
        return dict(self._record(EpochLog, "", epoch).metrics)

    def numbers(self, kind: str, layer: str, name: str) -> tuple[np.ndarray, np.ndarray]:
        """(n,) int64 epochs and (n,) float64 values of one number, e.g. ("separation", "conv1", "knn_accuracy").

        `layer` is "" for what belongs to no layer, e.g. ("epoch", "", "val_loss").  Records that cannot be
        read are left out; `problems` names them.
        """
        cls = KINDS.get(kind)
        if cls is None:
            raise NotRecorded(f"no records are called {kind!r}{_closest(kind, KINDS)}; there are {', '.join(KINDS)}")
        if not self._index.epochs(kind, layer):
            raise self._not_recorded(cls, layer, None)
        rows = [(record.epoch, record.numbers()) for record in self._readable(cls, layer)]
        found = [(epoch, numbers[name]) for epoch, numbers in rows if name in numbers]
        if not found:
            names = sorted({name for _, numbers in rows for name in numbers})
            raise NotRecorded(f"{kind!r} has no number called {name!r}{_closest(name, names)}; there are {', '.join(names)}")
        return np.array([epoch for epoch, _ in found], np.int64), np.array([value for _, value in found], np.float64)

    def _record(self, cls: type[_AnyRecord], layer: str, epoch: int) -> _AnyRecord:
        if not isinstance(layer, str):
            raise TypeError(f"layer={layer!r}: expected a layer's name, the epoch comes after it")
        try:
            number = operator.index(epoch)
        except TypeError:
            raise TypeError(f"epoch={epoch!r}: expected a whole number") from None
        try:
            return cast(_AnyRecord, self._index.read(cls.kind, layer, number))
        except NotThere:
            raise self._not_recorded(cls, layer, number) from None

    def _newest(self, cls: type[_AnyRecord]) -> _AnyRecord:
        epochs = self._index.epochs(cls.kind)
        if not epochs:
            raise NotRecorded(f"no {cls.kind!r} was recorded in {self.log_dir!r}")
        return self._record(cls, "", epochs[-1])

    def _readable(self, cls: type[_AnyRecord], layer: str = "") -> list[_AnyRecord]:
        """The records that can be read, by epoch; `problems` names the others."""
        records = []
        for epoch in self._index.epochs(cls.kind, layer):
            try:
                records.append(self._record(cls, layer, epoch))
            except wire.WireError:
                continue
        return records

    def _not_recorded(self, cls: type[Record], layer: str, epoch: int | None) -> NotRecorded:
        recorded = {of: self._index.epochs(kind, of) for kind, of in self._index.series() if kind == cls.kind}
        if not recorded:
            kinds = dict.fromkeys(kind for kind, _ in self._index.series() if kind not in _NO_SNAPSHOT)
            return NotRecorded(f"no {cls.kind!r} was recorded; there are {', '.join(kinds) or 'no snapshots yet'}")
        if layer not in recorded and cls.per_layer:
            if layer in self.layers:
                return NotRecorded(f"no {cls.kind!r} was recorded of {layer!r}; it was of {', '.join(recorded)}")
            return NotRecorded(f"no layer is called {layer!r}{_closest(layer, recorded)}; recorded: {', '.join(recorded)}")
        of = f" of {layer!r}" if layer else ""
        if layer not in recorded:
            return NotRecorded(f"{cls.kind!r} belongs to no layer, not to {layer!r}; pass \"\"")
        return NotRecorded(f"no {cls.kind!r}{of} was recorded at epoch {epoch}; recorded at {_ranges(recorded[layer])}")


def _layer_info(entry: Any) -> LayerInfo | None:
    """A session's entry for a layer; None where it is not one."""
    if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
        return None
    known = {field.name for field in dataclasses.fields(LayerInfo)}
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in entry.items() if name in known
    }
    try:
        return LayerInfo(**values)
    except TypeError:
        return None


def _closest(name: str, names: Iterable[str]) -> str:
    closest = difflib.get_close_matches(name, list(names), n=1, cutoff=0.0)
    return f" (did you mean {closest[0]!r}?)" if closest else ""


def _ranges(epochs: list[int], most: int = 8) -> str:
    """Ascending epochs in short: "0–12, 15"; of very many pieces the first ones and the last."""
    pieces: list[list[int]] = []
    for epoch in epochs:
        if pieces and epoch == pieces[-1][-1] + 1:
            pieces[-1] = [pieces[-1][0], epoch]
        else:
            pieces.append([epoch])
    texts = ["–".join(map(str, piece)) for piece in pieces]
    return ", ".join(texts if len(texts) <= most else [*texts[: most - 1], "…", texts[-1]])


def _runs_in(directory: str, most: int = 5) -> str:
    """"; runs in 'logs': run-1, run-2" where a directory holds runs of featwatch's, else nothing."""
    names = list_directory(directory) if is_directory(directory) else []
    runs = [name for name in names if event_files(join(directory, name, wire.RUN_DIRECTORY))]
    return f"; runs in {directory!r}: {', '.join(runs[:most])}{', …' if len(runs) > most else ''}" if runs else ""
