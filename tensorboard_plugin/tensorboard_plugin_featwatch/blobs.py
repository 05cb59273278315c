"""Fetches the blobs of records: several at a time, and none twice while it is remembered."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from tensorboard.errors import NotFoundError, PublicError

from featwatch import wire
from tensorboard_plugin_featwatch.entries import Series
from tensorboard_plugin_featwatch.source import EVERYTHING, NEWEST, Source

THREADS = 16                    # RustBoard takes tens of milliseconds for a small blob, but any number at a time
CACHE_BYTES = 128 << 20
CACHE_KEYS = 400_000

Value = TypeVar("Value")
Fetched = tuple[bytes, ...] | wire.WireError        # a record's blobs, or why there are none
Choice = Callable[[bytes], Sequence[int]]           # which blobs, besides the header that it is given, are wanted


class Gone(LookupError):
    """A record is no longer what the catalogue says: the log was resumed or restarted in the meantime."""


class SizedCache(Generic[Value]):
    """The values used last, as many as fit into `capacity`."""

    def __init__(self, capacity: int, size: Callable[[Value], int]) -> None:
        self._capacity, self._size = capacity, size
        self._lock = threading.Lock()
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._total = 0

    def get(self, key: Hashable) -> Value | None:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: Hashable, value: Value) -> None:
        with self._lock:
            if key in self._values:
                self._total -= self._size(self._values.pop(key))
            self._values[key] = value
            self._total += self._size(value)
            while self._total > self._capacity:
                _, oldest = self._values.popitem(last=False)
                self._total -= self._size(oldest)


Keys = Mapping[int, tuple[float, tuple[str, ...]]]  # of one series: epoch -> (wall time, blob keys)


class BlobStore:
    """The blobs of any records of a run."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="featwatch-blobs")
        self._blobs: SizedCache[tuple[bytes, ...]] = SizedCache(CACHE_BYTES, lambda blobs: 200 + sum(map(len, blobs)))
        # With the wall time of the series' newest record when they were read.
        self._keys: SizedCache[tuple[float, Keys]] = SizedCache(
            CACHE_KEYS, lambda keys: 1 + sum(len(references) for _, references in keys[1].values())
        )

    def fetch(self, source: Source, wanted: Sequence[tuple[Series, int]], choose: Choice | None = None) -> list[Fetched]:
        """The blobs of each (series, epoch), which must be in the catalogue, or why there are none.

        With `choose` only the header and those that it names, "" in place of the others; a WireError that it raises is
        why there are none.  Raises Gone where the log is no longer what the catalogue says.
        """
        # A record is identified by its wall time: after a resume the same keys name other blobs.
        names = [(source.experiment, series.run, series.tag, epoch, series.wall_time(epoch)) for series, epoch in wanted]
        found: dict[Hashable, Fetched] = {}
        for name in names:
            cached = self._blobs.get(name)
            if cached is not None:
                found[name] = cached
        missing = [(name, series) for name, (series, _) in zip(names, wanted, strict=True) if name not in found]
        if missing:
            keys = self._current_keys(source, [(series, name[3]) for name, series in missing])
            references: dict[Hashable, tuple[str, ...]] = {}
            for name, series in missing:
                wall_time, references[name] = keys[series].get(name[3], (None, ()))
                if wall_time != name[4]:
                    raise Gone(f"the record of epoch {name[3]} was replaced")
            if choose is None:
                found |= self._read(source, {name: (of, range(len(of))) for name, of in references.items()})
                for read in references:
                    if not isinstance(blobs := found[read], wire.WireError):
                        self._blobs.put(read, blobs)
            else:
                found |= self._read_some(source, references, choose)
        return [found[name] for name in names]

    def _read_some(
        self, source: Source, references: Mapping[Hashable, tuple[str, ...]], choose: Choice
    ) -> dict[Hashable, Fetched]:
        """The headers first, then what `choose` names by them."""
        found = self._read(source, {name: (of, range(min(1, len(of)))) for name, of in references.items()})
        chosen = {}
        for name, of in references.items():
            try:
                if not isinstance(head := found[name], wire.WireError) and of:
                    chosen[name] = (of, [0, *(number for number in choose(head[0]) if 0 < number < len(of))])
            except wire.WireError as error:
                found[name] = error
        return found | self._read(source, chosen)

    def _read(
        self, source: Source, wanted: Mapping[Hashable, tuple[tuple[str, ...], Sequence[int]]]
    ) -> dict[Hashable, Fetched]:
        """Of each record with these keys the blobs of these numbers, "" in place of the others.  Single ones are remembered."""
        futures: dict[Hashable, list[tuple[int, bytes | Future[bytes]]]] = {}
        for name, (keys, numbers) in wanted.items():
            some = len(numbers) < len(keys)
            known = [(number, self._blobs.get((name, number)) if some else None) for number in numbers]
            futures[name] = [
                (number, blob[0] if blob else self._pool.submit(_read_blob, source, keys[number])) for number, blob in known
            ]
        found: dict[Hashable, Fetched] = {}
        for name, parts in futures.items():
            blobs = [b""] * len(wanted[name][0])
            try:
                for number, part in parts:
                    blobs[number] = part if isinstance(part, bytes) else part.result()
                    if len(parts) < len(blobs):
                        self._blobs.put((name, number), (blobs[number],))
            except wire.WireError as error:
                found[name] = error
            else:
                found[name] = tuple(blobs)
        return found

    def _current_keys(self, source: Source, wanted: Sequence[tuple[Series, int]]) -> dict[Series, Keys]:
        """The keys of at least the wanted epochs of each series, where they are still there."""
        current: dict[Series, Keys] = {}
        unknown = []
        for series, epoch in wanted:
            cached = self._keys.get((source.experiment, series.run, series.tag))
            if cached is not None and cached[0] == series.newest:
                current[series] = cached[1]
            else:
                unknown.append((series, epoch))
        # Who follows a training asks for the newest records again and again: that need not move every key there is.
        if unknown and all(epoch == series.epochs[-1] for series, epoch in unknown):
            newest = _read_keys(source, [series for series, _ in unknown], NEWEST)
            # Right after a resume the provider's newest record may be a superseded one.
            current |= {series: newest[series] for series, epoch in unknown if epoch in newest[series]}
        rest = list(dict.fromkeys(series for series, _ in unknown if series not in current))
        if rest:
            read = _read_keys(source, rest, EVERYTHING)
            for series in rest:
                self._keys.put((source.experiment, series.run, series.tag), (series.newest, read[series]))
            current |= read
        return current


def _read_keys(source: Source, wanted: Sequence[Series], downsample: int) -> dict[Series, Keys]:
    read = source.read_series({series.run for series in wanted}, [series.tag for series in wanted], downsample)
    return {
        series: {
            datum.step: (datum.wall_time, tuple(reference.blob_key for reference in datum.values))
            for datum in read.get(series.run, {}).get(series.tag, [])
        }
        for series in wanted
    }


def _read_blob(source: Source, key: str) -> bytes:
    try:
        blob = source.read_blob(key)
    except NotFoundError:
        raise wire.WireError("a part of the record is missing") from None
    except PublicError as error:        # the fast loader refuses keys of tags with a quotation mark
        raise wire.WireError(f"TensorBoard refuses to deliver it ({error})") from None
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise wire.WireError(f"a part of the record cannot be read ({type(error).__name__})") from None
    if not isinstance(blob, bytes):
        raise wire.WireError("a part of the record is not bytes")
    return blob
