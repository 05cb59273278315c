"""What the page asks, answered from TensorBoard's data provider.  No HTTP in here; `http_api.md` says what the answers mean."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast

import numpy as np

from featwatch import happenings, journal, wire
from featwatch.development import Development, filters_of
from featwatch.happenings import TOLD_BY
from featwatch.numbering import Numbering, numbering
from featwatch.records import Closing, Embedding, Journal, ProbeRecord, Pruning, Record, Session
from tensorboard_plugin_featwatch import along, development, trails
from tensorboard_plugin_featwatch.blobs import BlobStore, Choice, Fetched, Gone
from tensorboard_plugin_featwatch.catalogue import Catalogue
from tensorboard_plugin_featwatch.entries import RunEntry, Series, clipped, shortened
from tensorboard_plugin_featwatch.frames import Damaged, StoredRecord, encode_frame, finite
from tensorboard_plugin_featwatch.happened import described_events
from tensorboard_plugin_featwatch.number_store import NumberStore
from tensorboard_plugin_featwatch.session_facts import described_alert, described_probe, described_session, sprite_problem
from tensorboard_plugin_featwatch.source import Source

AnyRecord = TypeVar("AnyRecord", bound=Record)
PORTION = 64                    # records that are held at a time for trails and developments
MAX_FRAME = 512 << 20           # bytes of arrays in one answer; packed ones take far less in the log
# From which a training that goes on, or an arrangement, continues: nothing that is shown is made of them.
UNSENT = {"arrangement": frozenset({"features"}), "feature_images": frozenset({"features"})}
# Kinds whose record of an epoch may be written again while that epoch is the newest.
REWRITTEN = frozenset({"session", "probe", "epoch", "journal", "closing"})


class NotRecorded(LookupError):
    """There is no such run, kind, epoch or picture."""


class TooMuch(ValueError):
    """The answer would be larger than any may be."""


class StaleGeneration(LookupError):
    """The run was resumed or restarted since the page looked."""


@dataclass(frozen=True)
class Frame:
    """An encoded frame, and whether the same question will always have the same answer."""

    content: bytes
    final: bool


class Queries:
    """The plugin's answers.  Holds caches of what was read, and nothing that an answer depends on."""

    def __init__(self) -> None:
        self._catalogue = Catalogue()
        self._blobs = BlobStore()
        self._numbers = NumberStore()

    def index(self, source: Source, etag: str = "") -> Mapping[str, Any]:
        """All runs and what they hold; `runs` is None where `etag` is the current one."""
        snapshot = self._catalogue.snapshot(source)
        return {"etag": etag, "runs": None} if etag == snapshot.etag else snapshot.answer

    def run(self, source: Source, run: str, generation: str) -> Mapping[str, Any]:
        """What is known once per session: session, probe, journal and alerts."""
        entry = self._entry(source, run, generation)
        problems: list[str] = []
        session = self._newest(source, entry, Session, problems)
        probe = self._newest(source, entry, ProbeRecord, problems)
        entries = self._journal(source, entry, problems)
        alerts, invalid = journal.alerts(entries)
        problems += invalid
        return {
            "session": described_session(session, problems) if session else None,
            "probe": described_probe(probe, problems) if probe else None,
            "journal": journal.notes(entries),
            "alerts": [described_alert(alert) for alert in alerts],
            "problems": list(shortened([*entry.problems, *problems])),
        }

    def numbers(
        self, source: Source, run: str, generation: str, after: float | None = None, axis: str = "epochs"
    ) -> Mapping[str, Any]:
        """Every scalar that was recorded on an axis, or what is newer than the wall time `after`."""
        snapshot = self._catalogue.snapshot(source)
        entry = self._checked(snapshot.runs, run, generation)
        answer: list[dict[str, Any]] = []
        problems: list[str] = []
        for series, numbers in self._numbers.of(source, entry, axis):
            epochs, values = numbers.after(-math.inf if after is None else after)
            problems += numbers.problems
            if epochs:
                answer.append({"kind": series.kind, "layer": series.layer, "epochs": epochs, "values": values})
        return {"until": snapshot.settled.get(run, 0.0), "series": answer, "problems": list(shortened(problems))}

    def records(
        self, source: Source, run: str, generation: str, kind: str, epoch: int, layers: Sequence[str] = (), axis: str = "epochs"
    ) -> Frame:
        """The records of one kind at one epoch, or step, of the layers named or of all."""
        entry = self._entry(source, run, generation)
        there = entry.of_kind(kind, axis)
        named = [there[layer] for layer in dict.fromkeys(layers) if layer in there] if layers else list(there.values())
        wanted = [series for series in named if series.wall_time(epoch) is not None]
        if not wanted:
            raise NotRecorded(f"no {kind} of these layers is recorded at {axis.removesuffix('s')} {epoch}")
        records: list[StoredRecord] = []
        damaged: list[Damaged] = []
        room = MAX_FRAME
        for series, blobs in zip(wanted, self._fetch(source, entry, [(series, epoch) for series in wanted]), strict=True):
            try:
                stored = _stored(series, epoch, blobs)
                room -= sum(len(content) for _, content in stored.arrays)
                if room < 0:
                    raise wire.WireError("the records before it fill the answer; ask for fewer layers")
                records.append(stored)
            except wire.WireError as error:
                damaged.append(Damaged(series.layer, str(error)))
        # Epochs of a series only grow: what has a later one will not get this one any more.
        complete = all(layer in there for layer in layers) and all(
            series.wall_time(epoch) is not None or series.epochs[-1] > epoch for series in named
        )
        settled = bool(layers) or any(series.epochs[-1] > epoch for series in there.values())
        return Frame(encode_frame(records, damaged), complete and settled and not damaged and kind not in REWRITTEN)

    def events(self, source: Source, run: str, generation: str, axis: str = "epochs") -> Mapping[str, Any]:
        """What happened to samples, clusters and filters on an axis, the most notable first."""
        entry = self._entry(source, run, generation)
        numbers = [found for series, found in self._numbers.of(source, entry, axis) if series.kind in TOLD_BY]
        problems = [problem for one in numbers for problem in one.problems]
        return {**described_events([one.told for one in numbers], problems), "problems": list(shortened(problems))}

    def trails(
        self, source: Source, run: str, generation: str, layer: str, samples: Sequence[int], axis: str = "epochs"
    ) -> Frame:
        """Where samples were in a layer's embedding at every epoch, or step."""
        entry = self._entry(source, run, generation)
        series = entry.of_kind(Embedding.kind, axis).get(layer)
        places = [epoch for epoch in series.epochs.tolist() if epoch < along.MAX_POSITION] if series else []
        if series is None or not places:
            raise NotRecorded(f"no embedding of {clipped(layer)} is recorded by {axis.removesuffix('s')}")
        places = along.some_of(places)
        rows = np.array(list(dict.fromkeys(samples)))
        points, damaged = self._points(source, entry, [(series, epoch) for epoch in places], rows)
        return Frame(trails.trail_frame("epochs", layer, places[-1], places, rows, points, damaged), False)

    def trails_over_layers(
        self, source: Source, run: str, generation: str, epoch: int, samples: Sequence[int], axis: str = "epochs"
    ) -> Frame:
        """Where samples were in every layer's embedding at one epoch, or step; layers in graph order as far as it is known."""
        entry = self._entry(source, run, generation)
        there = {layer: one for layer, one in entry.of_kind(Embedding.kind, axis).items() if one.wall_time(epoch) is not None}
        if not there:
            raise NotRecorded(f"no embedding is recorded at {axis.removesuffix('s')} {epoch}")
        session = self._newest(source, entry, Session, [])
        names = [layer.get("name") for layer in session.layers] if session else []
        graph = {name: place for place, name in reversed([*enumerate(names)]) if isinstance(name, str)}
        layers = along.some_of(sorted(there, key=lambda layer: graph.get(layer, len(graph))))
        rows = np.array(list(dict.fromkeys(samples)))
        points, damaged = self._points(source, entry, [(there[layer], epoch) for layer in layers], rows)
        return Frame(trails.trail_frame("layers", "", epoch, layers, rows, points, damaged), False)

    def development(
        self, source: Source, run: str, generation: str, kind: str, layer: str, fields: Sequence[str],
        filters: Sequence[int] | None = None, axis: str = "epochs", at: int | None = None,
    ) -> Frame:  # fmt: skip
        """Some fields of a kind of record, which has them for each filter, of a layer at every epoch, or step.

        Filters are followed through what was pruned.

        Arguments:
            filters: the numbers of those that are wanted; None = all.
            at: the epoch, or step, that filters are numbered as at; None = the newest.
        """
        entry = self._entry(source, run, generation)
        series = entry.of_kind(kind, axis).get(layer)
        places = [epoch for epoch in series.epochs.tolist() if epoch < along.MAX_POSITION] if series else []
        if series is None or not places:
            raise NotRecorded(f"no {kind} of {clipped(layer)} is recorded by {axis.removesuffix('s')}")
        numbers = self._numbering(source, entry, layer, axis)
        of = self._filters(source, entry, series, places)
        if at is not None and numbers.era(at) >= 0:
            of = at, len(numbers.eras[numbers.era(at)].filters)
        count = of[1]
        wanted = range(count) if filters is None else list(dict.fromkeys(filters))
        if filters is not None and max(filters) >= count:
            raise NotRecorded(f"no filter {max(filters)}: {clipped(layer)} has {count}")
        columns = np.array(wanted, np.int64)
        # Before it was pruned a layer had more filters, and all of those are read.
        known = {count, *(len(era.filters) for era in numbers.eras)}
        fitting = development.places_that_fit(max(known), len(wanted), len(fields))
        if fitting < 2:
            raise TooMuch("more than an answer holds; ask for fewer fields or filters")
        places = along.some_of(places, fitting)
        found, sizes = Development(kind, fields, len(places), wanted), np.full(len(places), -1, np.int64)
        damaged: list[Damaged] = []
        choose = partial(development.blobs_of, fields=fields, sizes=known)
        for start in range(0, len(places), PORTION):
            portion = places[start : start + PORTION]
            fetched = self._fetch(source, entry, [(series, epoch) for epoch in portion], choose)
            for row, (epoch, blobs) in enumerate(zip(portion, fetched, strict=True), start):
                try:
                    header = development.checked_header(series, epoch, blobs)
                    there = numbers.found(columns, of=of, at=(epoch, filters_of(header)))
                    development.put(found, row, header, cast("Sequence[bytes]", blobs), fields, there)
                    sizes[row] = filters_of(header)
                except wire.WireError as error:
                    damaged.append(Damaged(layer, f"{axis.removesuffix('s')} {epoch}: {error}"))
        named = None if filters is None else wanted
        return Frame(development.development_frame(series, places, fields, named, found, sizes, damaged), False)

    def numbering(self, source: Source, run: str, generation: str, layer: str, axis: str = "epochs") -> Mapping[str, Any]:
        """From when on a layer has had which filters."""
        found = self._numbering(source, self._entry(source, run, generation), layer, axis)
        return {"eras": [{"begins": era.begins, "filters": era.filters.tolist()} for era in found.eras]}

    def sprite(self, source: Source, run: str, generation: str) -> bytes:
        """The probe's thumbnails as a PNG file."""
        entry = self._entry(source, run, generation)
        probe = self._newest(source, entry, ProbeRecord, [])
        if probe is None or sprite_problem(probe):
            raise NotRecorded("this run has no thumbnails")
        return probe.thumbnails

    def _entry(self, source: Source, run: str, generation: str) -> RunEntry:
        return self._checked(self._catalogue.snapshot(source).runs, run, generation)

    @staticmethod
    def _checked(runs: Mapping[str, RunEntry], run: str, generation: str) -> RunEntry:
        if run not in runs:
            raise NotRecorded(f"no run {clipped(run)}")
        if runs[run].generation != generation:
            raise StaleGeneration(f"the run is now in generation {runs[run].generation}")
        return runs[run]

    def _fetch(
        self, source: Source, entry: RunEntry, wanted: Sequence[tuple[Series, int]], choose: Choice | None = None
    ) -> list[Fetched]:
        try:
            found = self._blobs.fetch(source, wanted, choose)
        except Gone as gone:
            self._catalogue.forget(source)
            raise StaleGeneration(str(gone)) from None
        if any(isinstance(one, wire.WireError) for one in found):
            # Damaged, or purged by a resume while it was being read?
            self._catalogue.forget(source)
            self._entry(source, entry.run, entry.generation)
        return found

    def _points(
        self, source: Source, entry: RunEntry, wanted: Sequence[tuple[Series, int]], samples: np.ndarray
    ) -> tuple[np.ndarray, list[Damaged]]:
        """(embeddings, samples, 2) float32, NaN where an embedding is damaged or has no such sample; and which are damaged."""
        points: list[np.ndarray] = []
        damaged: list[Damaged] = []
        most = 0
        for start in range(0, len(wanted), PORTION):
            portion = wanted[start : start + PORTION]
            for (series, epoch), blobs in zip(portion, self._fetch(source, entry, portion), strict=True):
                record = None
                try:
                    record = cast("Embedding", _checked_record(series, epoch, blobs))
                    if record.points.shape[1] != 2:
                        raise wire.WireError("its points are not in a plane")
                    most = max(most, len(record.points))
                except wire.WireError as error:
                    damaged.append(Damaged(series.layer, f"{series.axis.removesuffix('s')} {epoch}: {error}"))
                    record = None
                points.append(happenings.trail([record], samples))
        if most <= samples.max() and len(damaged) < len(wanted):
            raise NotRecorded(f"no sample {samples.max()}: there are {most}")
        return np.concatenate(points), damaged

    def _filters(self, source: Source, entry: RunEntry, series: Series, places: Sequence[int]) -> tuple[int, int]:
        """The newest of these records' place that says how many filters the layer has, and how many; 0 where none does."""
        for epoch in reversed(places[-development.TRIES :]):
            (blobs,) = self._fetch(source, entry, [(series, epoch)], lambda header: ())
            with contextlib.suppress(wire.WireError):
                count = filters_of(development.checked_header(series, epoch, blobs))
                if count >= 0:
                    return epoch, count
        return places[-1], 0

    def _numbering(self, source: Source, entry: RunEntry, layer: str, axis: str) -> Numbering:
        """Which of a layer's filters are the same before and after it was pruned: one session alone says that all are."""
        series, steps = entry.series[axis].get((Session.kind, "")), entry.one(Pruning.kind)
        if series is None or len(series.epochs) < 2:
            return Numbering()
        sessions = cast("list[Session]", self._decoded(source, entry, series, series.epochs.tolist(), []))
        prunings = self._decoded(source, entry, steps, steps.epochs.tolist(), []) if steps else []
        return numbering(layer, [(wire.place_of(one)[1], one) for one in sessions], cast("list[Pruning]", prunings))

    def _newest(self, source: Source, entry: RunEntry, cls: type[AnyRecord], problems: list[str]) -> AnyRecord | None:
        """The newest record of a kind that belongs to no layer; None, and a problem, where it cannot be read."""
        series = entry.one(cls.kind)
        if series is None:
            return None
        epoch = int(series.epochs[series.wall_times.argmax()])
        decoded = self._decoded(source, entry, series, [epoch], problems)
        return cast("AnyRecord", decoded[0]) if decoded else None

    def _journal(self, source: Source, entry: RunEntry, problems: list[str]) -> list[Mapping[str, Any]]:
        """All entries in order, each once: a journal may repeat what an earlier one said."""
        journals: list[Journal] = []
        for kind in (Journal.kind, Closing.kind):
            series = entry.one(kind)
            found = self._decoded(source, entry, series, series.epochs.tolist(), problems) if series else []
            for one in cast("list[Journal]", found):
                journals.append(dataclasses.replace(one, entries=tuple(finite(item) for item in one.entries if _is_entry(item))))
        return journal.entries(journals)

    def _decoded(
        self, source: Source, entry: RunEntry, series: Series, epochs: Sequence[int], problems: list[str]
    ) -> list[Record]:
        """The readable ones of a series' records; the others become problems."""
        records = []
        for epoch, blobs in zip(epochs, self._fetch(source, entry, [(series, epoch) for epoch in epochs]), strict=True):
            try:
                records.append(_checked_record(series, epoch, blobs))
            except wire.WireError as error:
                problems.append(f"The {series.kind} of epoch {epoch} cannot be read: {error}.")
        return records


def _checked_record(series: Series, epoch: int, blobs: Fetched) -> Record:
    """The decoded record, if it is the one that was asked for.  Raises WireError."""
    return _checked(series, epoch, blobs)[0]


def _checked(series: Series, epoch: int, blobs: Fetched) -> tuple[Record, wire.Header, list[bytes]]:
    """The decoded record, if it is the one that was asked for, its header and its arrays.  Raises WireError."""
    if isinstance(blobs, wire.WireError):
        raise blobs
    header = wire.read_header(blobs[0] if blobs else b"")
    contents = wire.contents(header, blobs)
    record = wire.record_of(header, contents)
    if (record.kind, record.layer, wire.place_of(record)) != (series.kind, series.layer, (series.axis, epoch)):
        raise wire.WireError("the header belongs to another record")
    return record, header, contents


def _stored(series: Series, epoch: int, blobs: Fetched) -> StoredRecord:
    """The record as stored, its arrays unpacked, after everything in it was found right.  Raises WireError."""
    record, header, contents = _checked(series, epoch, blobs)
    declared = {field.name for field in dataclasses.fields(record)} - UNSENT.get(series.kind, frozenset())
    fields = {name: value for name, value in header.fields.items() if name in declared}
    pairs = zip(header.blobs, contents, strict=True)
    arrays = tuple((info, content) for info, content in pairs if info.name in declared and info.dtype != "png")
    return StoredRecord(series.kind, series.layer, epoch, fields, arrays)


def _is_entry(item: Mapping[str, Any]) -> bool:
    return isinstance(item.get("kind"), str) and isinstance(item.get("text"), str)
