"""What records say of a layer's filters over epochs, one array for each field, in a frame as `http_api.md` says."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from featwatch import wire
from featwatch.development import Development, filters_of
from tensorboard_plugin_featwatch.along import array, shortened_damages
from tensorboard_plugin_featwatch.blobs import Fetched
from tensorboard_plugin_featwatch.entries import Series
from tensorboard_plugin_featwatch.frames import Damaged, StoredRecord, encode_frame

MAX_BYTES = 8 << 20     # of the fields' values in an answer
MAX_READ = 128 << 20    # of those of all filters that have to be read for it: in the log they may be packed to a thousandth
MAX_FILTERS = 200       # that are named one by one
TRIES = 20              # of the newest records one has to say how many filters there are


def places_that_fit(filters: int, wanted: int, fields: int) -> int:
    """At how many epochs so many fields of the `wanted` ones of a layer's `filters` can be told."""
    return min(MAX_BYTES // max(1, 4 * wanted * fields), MAX_READ // max(1, 4 * filters * fields))


def checked_header(series: Series, place: int, blobs: Fetched) -> wire.Header:
    """The header of the record that was asked for.  Raises WireError."""
    if isinstance(blobs, wire.WireError):
        raise blobs
    header = wire.read_header(blobs[0] if blobs else b"")
    if (header.kind, header.layer, header.place) != (series.kind, series.layer, (series.axis, place)):
        raise wire.WireError("the header belongs to another record")
    return header


def blobs_of(header_blob: bytes, fields: Sequence[str], sizes: Collection[int]) -> list[int]:
    """Which of a record's blobs hold these fields, where it is of one of so many filters.  Raises WireError."""
    header = wire.read_header(header_blob)
    filters = filters_of(header)
    return sorted({info.blob for info in header.blobs if info.name in fields and info.shape == (filters,) and filters in sizes})


def put(
    found: Development, at: int, header: wire.Header, blobs: Sequence[bytes], fields: Sequence[str], numbers: np.ndarray
) -> None:
    """Put the fields of the record of the place `at`, counted from 0.  Raises WireError where there are none.

    Arguments:
        numbers: (filters,) those that the filters have in this record; −1 = it does not have that one.
    """
    recorded = filters_of(header)
    if recorded < 0:
        raise wire.WireError("it names no filters")
    if (numbers < 0).all():
        return
    # One that is of another size is not unpacked.
    fitting = {info.name for info in header.blobs if info.name in fields and info.shape == (recorded,)}
    found.put(at, wire.arrays_of(header, blobs, fitting), numbers)


def development_frame(
    series: Series, places: Sequence[int], fields: Sequence[str], filters: Sequence[int] | None, found: Development,
    sizes: np.ndarray, damaged: list[Damaged],
) -> bytes:  # fmt: skip
    """The frame of one record of the kind "development".

    Arguments:
        filters: those that were named; None = all.
        sizes: (places,) how many filters there were; −1 = not known.
    """
    arrays = [array("epochs", np.array(places, np.int64), "<i4"), array("sizes", sizes, "<i4")]
    if filters is not None:
        arrays.append(array("filters", np.array(filters, np.int64), "<i4"))
    for name in fields:
        if name in found.numbers:
            arrays.append(array(name, found.numbers[name], "<f4"))
        else:
            arrays.append(array(name, found.codes[name], "<u2", found.tables[name]))
    stated = {"of": series.kind, "recorded": len(series.epochs)}
    record = StoredRecord("development", series.layer, places[-1], stated, tuple(arrays))
    return encode_frame([record], shortened_damages(damaged))
