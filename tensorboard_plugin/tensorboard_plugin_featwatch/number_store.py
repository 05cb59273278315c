"""The scalar numbers of a run, as columns over epochs, and the events that its records tell of.

Both are stored as one small JSON text per record, so one call reads a whole series.  Of a series
that did not change since the last time nothing is read, of one that grew by a record only that record.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from featwatch import wire
from featwatch.happenings import Told, told
from tensorboard_plugin_featwatch.blobs import SizedCache
from tensorboard_plugin_featwatch.entries import RunEntry, Series, clipped
from tensorboard_plugin_featwatch.source import EVERYTHING, NEWEST, Source

CACHE_VALUES = 16_000_000       # of 8 bytes: a hundred layers times a thousand epochs are a third of it
RECORDS_PER_READ = 40_000       # texts in one answer of the data server, which may send 256 MiB; honest ones have up to 6 KiB
MAX_NAMES = 200                 # an honest record has a dozen; each costs a column over all epochs
WITHOUT_NUMBERS = ("session", "probe", "journal", "closing")      # nothing to chart


@dataclass(frozen=True, eq=False)
class SeriesNumbers:
    """One series' numbers in force, by epoch; NaN where a number is not known."""

    state: tuple[str, float]                # the run's generation and the series' newest wall time when this was read
    epochs: np.ndarray                      # (records,) int64, increasing
    wall_times: np.ndarray                  # (records,) float64
    columns: Mapping[str, np.ndarray]       # name -> (records,) float64
    told: Told                              # the events of these records
    problems: tuple[str, ...] = ()

    def size(self) -> int:
        """How many values of 8 bytes it is about."""
        numbers = (2 + len(self.columns)) * (1 + len(self.epochs))
        return numbers + self.told.rows.nbytes // 8 + 40 * len(self.told.clusters) + 20 * len(self.told.counts)

    def after(self, wall_time: float) -> tuple[list[int], dict[str, list[float | None]]]:
        """Epochs and columns of the records that are newer than `wall_time`; None for what is not known."""
        newer = self.wall_times > wall_time
        return self.epochs[newer].tolist(), {name: _known(column[newer]) for name, column in self.columns.items()}


NOTHING = SeriesNumbers(("", 0.0), np.zeros(0, np.int64), np.zeros(0), {}, Told(""))


class NumberStore:
    """The numbers of any series of a run."""

    def __init__(self) -> None:
        self._cache: SizedCache[SeriesNumbers] = SizedCache(CACHE_VALUES, SeriesNumbers.size)

    def of(self, source: Source, entry: RunEntry, axis: str = "epochs") -> list[tuple[Series, SeriesNumbers]]:
        """Every series of the run's axis that has numbers, with them."""
        series = [one for one in entry.series[axis].values() if one.kind not in WITHOUT_NUMBERS]
        known = {one.tag: self._cache.get((source.experiment, one.run, one.tag)) for one in series}
        found = {one.tag: numbers for one in series if (numbers := known[one.tag]) and numbers.state == _state(entry, one)}
        grown = [one for one in series if one.tag not in found and _grew_by_one(known[one.tag], entry, one)]
        for one, data in _read(source, grown, NEWEST):
            if data and data[-1].wall_time == one.newest:
                found[one.tag] = _in_columns(one, entry, data[-1:], known[one.tag])
        for portion in _portions(one for one in series if one.tag not in found):
            for one, data in _read(source, portion):
                found[one.tag] = _in_columns(one, entry, data)
        for one in series:
            self._cache.put((source.experiment, one.run, one.tag), found[one.tag])
        return [(one, found[one.tag]) for one in series]


def _state(entry: RunEntry, series: Series) -> tuple[str, float]:
    return entry.generation, series.newest


def _grew_by_one(known: SeriesNumbers | None, entry: RunEntry, series: Series) -> bool:
    before = series.wall_times[:-1]
    return known is not None and len(before) > 0 and known.state == (entry.generation, float(before.max()))


def _portions(series: Iterable[Series]) -> Iterator[list[Series]]:
    portion: list[Series] = []
    for one in series:
        if portion and sum(len(other.epochs) for other in portion) + len(one.epochs) > RECORDS_PER_READ:
            yield portion
            portion = []
        portion.append(one)
    if portion:
        yield portion


def _read(
    source: Source, series: Sequence[Series], downsample: int = EVERYTHING
) -> Iterator[tuple[Series, list[Any] | None]]:
    """The stored texts of each series, all of one run; None where the provider fails on it, as it does on hostile tensors."""
    if not series:
        return
    try:
        found = source.read_tensors(series[0].run, [wire.NUMBERS + one.tag for one in series], downsample)
    except Exception:
        if len(series) == 1:
            yield series[0], None
        else:
            for one in series:
                yield from _read(source, [one], downsample)
        return
    for one in series:
        yield one, found.get(wire.NUMBERS + one.tag, [])


def _in_columns(
    series: Series, entry: RunEntry, data: Sequence[Any] | None, before: SeriesNumbers | None = None
) -> SeriesNumbers:
    """The numbers of the records that are in force, by epoch; `data` follows on `before`."""
    before = before or NOTHING
    problems = list(before.problems)
    if data is None:
        problems.append(f"The numbers of {clipped(series.tag)} could not be read.")
    rows: dict[int, tuple[float, dict[str, float], Told]] = {}
    names = dict.fromkeys(before.columns)
    for datum in data or ():
        if series.wall_time(datum.step) is None or not math.isfinite(datum.wall_time):
            continue            # superseded, or the record itself is not there
        try:
            numbers, values = wire.decode_numbers_and_told(_text(datum.numpy))
        except wire.WireError as error:
            problems.append(f"The numbers of {clipped(series.tag)} at {series.axis[:-1]} {datum.step}: {error}.")
            continue
        if len(names.keys() | numbers.keys()) > MAX_NAMES:
            problems.append(f"The numbers of {clipped(series.tag)} at {series.axis[:-1]} {datum.step} have too many names.")
            continue
        names |= dict.fromkeys(numbers)
        # Events that share an epoch: the last one counts.
        rows[datum.step] = (datum.wall_time, numbers, told(series.kind, series.layer, datum.step, values))
    ordered = sorted(rows.items())
    unknown = np.full(len(before.epochs), np.nan)
    columns = {
        name: np.append(before.columns.get(name, unknown), [row.get(name, math.nan) for _, (_, row, _) in ordered])
        for name in names
    }
    return SeriesNumbers(
        _state(entry, series),
        np.append(before.epochs, np.array([epoch for epoch, _ in ordered], np.int64)),
        np.append(before.wall_times, [written for _, (written, _, _) in ordered]),
        columns,
        Told(series.layer).then([before.told, *(one for _, (_, _, one) in ordered)]),
        tuple(problems),
    )


def _text(array: Any) -> bytes:
    text = array.flat[0] if getattr(array, "size", 0) == 1 else None
    if not isinstance(text, bytes):
        raise wire.WireError("not one text")
    return text


def _known(column: np.ndarray) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in column.tolist()]
