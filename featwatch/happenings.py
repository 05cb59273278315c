"""What happened to samples, clusters and filters: the events that records tell of, the most notable first (rows E13, H4)."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from featwatch.records import Clustering, Embedding, LayerHealth, Record, SampleEvents

# Kind of event -> how notable the largest of its kind is.  What every training does, learning and growing
# surer, counts least; what none should do counts most; what a map of the samples shows lies in between.
WEIGHTS = {
    "forgotten": 1.0, "flip": 0.8, "learnt": 0.5, "jump": 0.5,
    "travelled": 0.8,
    "split": 0.9, "merge": 0.9, "born": 0.6, "gone": 0.6,
    "died": 0.9, "revived": 0.7, "awoke": 0.5,
}  # fmt: skip
TOLD_BY: dict[str, tuple[str, ...]] = {         # kind of record -> the kinds of events that it tells of
    SampleEvents.kind: ("forgotten", "flip", "learnt", "jump"),
    Embedding.kind: ("travelled",),
    Clustering.kind: ("split", "merge", "born", "gone"),
    LayerHealth.kind: ("died", "revived", "awoke"),
}
FLATNESS = 60           # the constant of reciprocal rank fusion
MOST = 64               # events of one record; an honest one tells of no more
MAX_IDENTITIES = 64     # of one event
_KINDS = tuple(WEIGHTS)
_WHO = ("sample", "before", "after", "filter")
_ROW = np.dtype([("kind", "u1"), ("place", "i8"), ("size", "f4"), *((name, "i4") for name in _WHO)])
_NO_ROWS = np.zeros(0, _ROW)


@dataclass(frozen=True)
class Event:
    """One event, of a sample, of clusters or of a filter."""

    # A sample's: forgotten, learnt, flip, jump, travelled; clusters': split, merge, born, gone; a filter's: died, revived, awoke.
    kind: str
    epoch: int                      # or the step, on that axis
    layer: str                      # "" = the model's predictions
    size: float                     # change of probability; how far it travelled; samples; share of energy; NaN = not known
    rank: float                     # 0 to 1, comparable over the kinds
    sample: int = -1                # −1 = an event of clusters or of a filter
    before: int = -1                # predicted class; −1 = the event is of no prediction
    after: int = -1
    out_of: tuple[int, ...] = ()    # identities of clusters
    into: tuple[int, ...] = ()
    filter: int = -1                # −1 = of no filter


@dataclass(frozen=True, eq=False)
class Told:
    """The events that a series of records tells of, in columns: there may be a million."""

    layer: str
    rows: np.ndarray = field(default_factory=lambda: _NO_ROWS)      # (events,) of `_ROW`
    clusters: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = ()  # of clusters' events: out of, into; otherwise empty
    counts: tuple[tuple[str, int, int], ...] = ()                   # kind, place, how many there were in all
    left_out: int = 0                                               # entries that are none

    def then(self, later: Iterable[Told]) -> Told:
        """This series with what later records tell."""
        all_ = [self, *later]
        return Told(
            self.layer,
            np.concatenate([one.rows for one in all_]),
            tuple(pair for one in all_ for pair in one.clusters),
            tuple(count for one in all_ for count in one.counts),
            sum(one.left_out for one in all_),
        )


def told(kind: str, layer: str, place: int, values: Mapping[str, Any]) -> Told:
    """What one record tells: `values` as `Record.told` gives it, or as a log that nobody need trust has it.

    Entries that are no events of the record's kind are left out, as are those beyond the first `MOST`.
    """
    kinds = TOLD_BY.get(kind, ())
    entries = values.get("entries")
    entries = entries if isinstance(entries, (list, tuple)) else ()
    rows, clusters = [], []
    for entry in entries[:MOST]:
        valid = isinstance(entry, Mapping) and entry.get("kind") in kinds and _row(entry, place)
        if valid and kind == Clustering.kind:
            pair = _identities(entry.get("from")), _identities(entry.get("into"))
            if None not in pair:
                rows.append(valid)
                clusters.append(pair)
        elif valid and valid[6 if kind == LayerHealth.kind else 3] >= 0:
            rows.append(valid)
    counts = values.get("counts")
    counts = counts if isinstance(counts, Mapping) else {}
    return Told(
        layer,
        np.array(rows, _ROW),
        tuple(clusters),                        # type: ignore[arg-type]
        tuple((one, place, counts[one]) for one in kinds if _whole(counts.get(one), 2**31)),
        len(entries) - len(rows),
    )


def of_records(layer: str, records: Iterable[Record], place: Callable[[Record], int]) -> Told:
    """What a series of records tells."""
    return Told(layer).then(told(record.kind, layer, place(record), record.told()) for record in records)


def ranked(series: Iterable[Told], kinds: Collection[str] = _KINDS, top: int | None = None) -> list[Event]:
    """The events of these kinds, at most `top`, the most notable first.

    Sizes of different kinds cannot be compared, but their orders can, and what they are of the largest: the k-th
    largest of a kind has the rank w · √(size / largest) · (c + 1) / (c + k), with the kind's weight w and c =
    `FLATNESS`.  The last factor is reciprocal rank fusion (Cormack, Clarke & Büttcher 2009): every kind has its
    place among the first, however many there are of another.  The root keeps what is slight from ranking high
    where its kind is rare.  So a rank changes only where something larger comes.  A size that is not known is
    0, or where none of the kind is known all are alike.  Of equal ones the later comes first, then that of the
    earlier series, then of the smaller sample or filter.

    >>> entries = [{"kind": "flip", "sample": sample, "size": sample / 9} for sample in (3, 7)]
    >>> entries += [{"kind": "forgotten", "sample": 5, "size": 0.01}]
    >>> [(event.kind, event.sample, round(event.rank, 2)) for event in ranked([told("events", "", 1, {"entries": entries})])]
    [('forgotten', 5, 1.0), ('flip', 7, 0.8), ('flip', 3, 0.52)]
    """
    found = list(series)
    rows = np.concatenate([_NO_ROWS, *(one.rows for one in found)])
    of = np.repeat(np.arange(len(found)), [len(one.rows) for one in found])
    within = np.concatenate([np.zeros(0, int), *(np.arange(len(one.rows)) for one in found)])
    chosen, ranks = [], []
    for kind in (kind for kind in _KINDS if kind in kinds):
        mine = np.flatnonzero(rows["kind"] == _KINDS.index(kind))
        size = np.nan_to_num(rows["size"][mine], nan=-1.0)
        mine = mine[np.lexsort((rows["filter"][mine], rows["sample"][mine], of[mine], -rows["place"][mine], -size))][:top]
        chosen.append(mine)
        ranks.append(WEIGHTS[kind] * _relative(rows["size"][mine]) * (FLATNESS + 1) / (FLATNESS + 1 + np.arange(len(mine))))
    every, rank = np.concatenate([np.zeros(0, int), *chosen]), np.concatenate([np.zeros(0), *ranks])
    first = np.argsort(-rank, kind="stable")[:top]
    return [_event(found[of[row]], int(within[row]), float(rank[i])) for i in first for row in [every[i]]]


def _relative(size: np.ndarray) -> np.ndarray:
    """√ of the sizes, of which the first is the largest, in largest ones; 1 where none is known or above 0."""
    known = np.nan_to_num(size.astype(np.float64), nan=0.0)
    return np.sqrt(known / known[0]) if len(known) and known[0] > 0 else np.ones(len(known))


def chosen(kinds: str | Collection[str] | None) -> set[str]:
    """The kinds of events that are asked for; None = all.  Raises ValueError for one that there is not."""
    wanted = set(_KINDS if kinds is None else [kinds] if isinstance(kinds, str) else kinds)
    unknown = sorted(map(repr, wanted - {*_KINDS}))
    if unknown:
        raise ValueError(f"kinds: {', '.join(unknown)} is none; expected some of {', '.join(_KINDS)}")
    return wanted


def checked_samples(samples: int | Sequence[int], count: int) -> np.ndarray:
    """(samples,) int64.  Raises ValueError where they are no samples of a probe of `count`."""
    found = np.atleast_1d(np.asarray(samples))
    whole = found.ndim == 1 and (found.dtype.kind in "iu" or not found.size)
    if not whole or (found.size and not 0 <= found.min() <= found.max() < count):
        raise ValueError(f"samples={samples!r}: expected numbers of samples of the probe, 0 to {count - 1}")
    return found.astype(np.int64)


def trail(records: Iterable[Embedding | None], samples: np.ndarray) -> np.ndarray:
    """Where some samples are in each of the embeddings: (embeddings, samples, 2) float32, NaN where there is none."""
    points = [np.zeros((0, len(samples), 2), np.float32)]
    for record in records:
        there = np.full((1, len(samples), 2), np.nan, np.float32)
        if record is not None and record.points.shape[1:] == (2,):
            known = samples < len(record.points)
            there[0, known] = record.points[samples[known]]
        points.append(there)
    return np.concatenate(points)


def _row(entry: Mapping[str, Any], place: int) -> tuple[int, int, float, int, int, int, int] | None:
    """An entry as a row; None where a value is not what it should be."""
    size = entry.get("size")
    size = math.nan if size is None else size
    sample, before, after, filter_ = whole = [entry.get(name, -1) for name in _WHO]
    if isinstance(size, bool) or not isinstance(size, (int, float)) or not all(_whole(one, 2**31, -1) for one in whole):
        return None
    if not (math.isnan(size) or 0 <= size < 3e38):
        return None
    return _KINDS.index(entry["kind"]), place, float(size), sample, before, after, filter_


def _identities(value: Any) -> tuple[int, ...] | None:
    if not isinstance(value, (list, tuple)) or not all(_whole(one, 2**31) for one in value):
        return None
    return tuple(value[:MAX_IDENTITIES])


def _whole(value: Any, below: int, least: int = 0) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < below


def _event(of: Told, row: int, rank: float) -> Event:
    kind, place, size, sample, before, after, filter_ = of.rows[row].item()
    out_of, into = of.clusters[row] if of.clusters else ((), ())
    return Event(_KINDS[kind], place, of.layer, size, rank, sample, before, after, out_of, into, filter_)


def counted(series: Iterable[Told]) -> Iterator[tuple[str, int, int]]:
    """(kind, place, how many there were in all), summed over the layers, in order of kinds and places."""
    sums: dict[tuple[int, int], int] = {}
    for one in series:
        for kind, place, count in one.counts:
            at = _KINDS.index(kind), place
            sums[at] = sums.get(at, 0) + count
    for (index, place), count in sorted(sums.items()):
        yield _KINDS[index], place, count
