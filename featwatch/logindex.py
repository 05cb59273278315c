"""Where every valid record of a directory is: file, offset and length, but not its data.

A directory holds the records of one axis: each stands at an epoch, or each at a step.  One at k, written at
wall time t, is superseded, that is left out, where a session was opened after t at most at k: a resumed
training replaces what came after its start, one that starts over everything.  Of several with one tag and
place the last one counts.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event

from featwatch import wire
from featwatch.eventfiles import Damage, Place, event_files, events, read_event
from featwatch.records import KINDS, Record, Session

Series = tuple[str, str]            # kind, layer
_Made = TypeVar("_Made")


class NotThere(LookupError):
    """No such record is in the log."""


@dataclass
class _Column:
    """The events of one tag, in the order in which they were read: 36 bytes each, for there may be millions."""

    position: array[int] = field(default_factory=lambda: array("q"))
    wall_time: array[float] = field(default_factory=lambda: array("d"))
    file: array[int] = field(default_factory=lambda: array("i"))
    offset: array[int] = field(default_factory=lambda: array("q"))
    length: array[int] = field(default_factory=lambda: array("q"))


class LogIndex:
    """The valid records of an axis in its directory, as it was when this was made.  Reads every file once."""

    def __init__(self, directory: str, axis: str = "epochs") -> None:
        self.axis = axis
        self.files = event_files(directory)
        self.damages: list[Damage] = []
        self.unknown: dict[str, int] = {}           # kinds of featwatch's that this version does not know -> events
        self._columns: dict[Series, _Column] = {}
        for number, path in enumerate(self.files):
            for item in events(path):
                if isinstance(item, Damage):
                    self.damages.append(item)
                else:
                    self._add(number, *item)
        superseded = _Superseded(self._columns.get((Session.kind, "")))
        # series -> its epochs or steps, ascending, and the rows of its column
        self._valid: dict[Series, tuple[np.ndarray, np.ndarray]] = {}
        for series, column in self._columns.items():
            positions, rows = _newest(column, superseded)
            if len(rows):
                self._valid[series] = positions, rows

    @property
    def unit(self) -> str:
        """"epoch" or "step"."""
        return self.axis.removesuffix("s")

    def series(self) -> list[Series]:
        """(kind, layer) of all that is recorded, in the order of first appearance."""
        return list(self._valid)

    def positions(self, kind: str, layer: str = "") -> list[int]:
        """The epochs, or steps, at which this was recorded, ascending; empty where it never was."""
        return self._valid[kind, layer][0].tolist() if (kind, layer) in self._valid else []

    def read(self, kind: str, layer: str, position: int) -> Record:
        """The record.  Raises NotThere, or WireError with file and byte where it cannot be read."""
        return self._read(kind, layer, position, lambda header, blobs: wire.record_of(header, wire.contents(header, blobs)))

    def read_some(
        self, kind: str, layer: str, position: int, names: Collection[str]
    ) -> tuple[wire.Header, dict[str, np.ndarray]]:
        """The record's header, and of its arrays those with these names that it has.  Raises as `read`."""
        return self._read(kind, layer, position, lambda header, blobs: (header, wire.arrays_of(header, blobs, names)))

    def _read(self, kind: str, layer: str, position: int, made: Callable[[wire.Header, list[bytes]], _Made]) -> _Made:
        """What is made of the record's header and blobs."""
        positions, rows = self._valid.get((kind, layer), (np.empty(0, np.int64),) * 2)
        at = int(np.searchsorted(positions, position))
        if at == len(positions) or positions[at] != position:
            raise NotThere(wire.tag_of(kind, layer), position)
        place = self._place(kind, layer, int(rows[at]))
        try:
            header, blobs = self._stored(read_event(place), kind, layer, position)
            return made(header, blobs)
        except wire.WireError as error:
            what = f"{kind} of {layer!r}" if layer else kind
            raise type(error)(f"{what} at {self.unit} {position} ({Damage(place.path, place.offset, str(error))})") from error

    def unreadable(self) -> Iterator[tuple[str, str]]:
        """(reason, sentence) for every valid record that cannot be read.  Reads them all."""
        for (kind, layer), (positions, _) in self._valid.items():
            for position in positions.tolist():
                try:
                    self.read(kind, layer, position)
                except wire.WireError as error:
                    yield str(error.__cause__), str(error)

    def _add(self, file: int, place: Place, event: Event) -> None:
        for value in event.summary.value:
            if value.metadata.plugin_data.plugin_name != wire.PLUGIN or value.tag.startswith(wire.NUMBERS):
                continue
            kind, layer = wire.parse_tag(value.tag)
            if kind not in KINDS:
                self.unknown[kind] = self.unknown.get(kind, 0) + 1
                continue
            if not 0 <= event.step < wire.MAX_POSITION:
                self.damages.append(Damage(self.files[file], place.offset, f"a record at an impossible {self.unit}"))
                continue
            column = self._columns.setdefault((kind, layer), _Column())
            column.position.append(event.step)
            column.wall_time.append(event.wall_time)
            column.file.append(file)
            column.offset.append(place.offset)
            column.length.append(place.length)

    def _place(self, kind: str, layer: str, row: int) -> Place:
        column = self._columns[kind, layer]
        return Place(self.files[column.file[row]], column.offset[row], column.length[row])

    def _stored(self, event: Event, kind: str, layer: str, position: int) -> tuple[wire.Header, list[bytes]]:
        values = [value for value in event.summary.value if value.tag == wire.tag_of(kind, layer)]
        if not values:
            raise wire.WireError("it is not there any more: the file was changed after it was opened")
        blobs = list(values[-1].tensor.string_val)
        header = wire.read_header(blobs[0] if blobs else b"")
        if (header.kind, header.layer, header.place) != (kind, layer, (self.axis, position)):
            raise wire.WireError("its header names another kind, layer or place than its event")
        return header, blobs


class _Superseded:
    """Which records a later session replaces."""

    def __init__(self, sessions: _Column | None) -> None:
        wall_times = np.array(sessions.wall_time if sessions else (), np.float64)
        first = np.array(sessions.position if sessions else (), np.int64)
        order = np.argsort(wall_times, kind="stable")
        order = order[np.isfinite(wall_times[order])]
        self._wall_times = wall_times[order]
        # [i]: the lowest first position among sessions i, i + 1, …; beyond the last one nothing is replaced.
        lowest = np.minimum.accumulate(first[order][::-1])[::-1]
        self._lowest = np.append(lowest, np.iinfo(np.int64).max)

    def __call__(self, wall_times: np.ndarray, positions: np.ndarray) -> np.ndarray:
        return self._lowest[np.searchsorted(self._wall_times, wall_times, side="right")] <= positions


def _newest(column: _Column, superseded: _Superseded) -> tuple[np.ndarray, np.ndarray]:
    """Ascending positions and the row of each one's last record that is not superseded."""
    positions = np.array(column.position, np.int64)
    rows = np.flatnonzero(~superseded(np.array(column.wall_time, np.float64), positions))
    rows = rows[np.argsort(positions[rows], kind="stable")]
    positions = positions[rows]
    last = np.append(positions[1:] != positions[:-1], True)[: len(rows)]
    return positions[last], rows[last]
