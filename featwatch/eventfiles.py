"""TensorBoard's event files, read in plain Python and without trusting them.

A file is a sequence of TFRecords: length (8 bytes, little-endian), masked CRC-32C of the length (4),
data, masked CRC-32C of the data (4).  The data's checksum is not looked at: plain Python needs a
second for some megabytes, and `wire` has its own for the header and every blob of a record.

Paths that hold "://" are read through TensorFlow's file systems, which is then imported.

Source: tensorflow/core/lib/io/record_writer.h, tensorflow/core/util/event.proto
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

from featwatch import wire

_LENGTH = struct.Struct("<QI")
_FOOTER_BYTES = 4


@dataclass(frozen=True)
class Place:
    """Where one event's data is."""

    path: str
    offset: int                     # bytes, of the data, not of the frame around it
    length: int


@dataclass(frozen=True)
class Damage:
    """What could not be read of a file, and from which byte on."""

    path: str
    byte: int
    reason: str

    def __str__(self) -> str:
        return f"{os.path.basename(self.path)}, byte {self.byte:,}: {self.reason}"


def event_files(directory: str) -> list[str]:
    """Paths of a directory's event files in the order of their names; empty where there is no such directory."""
    if not is_directory(directory):
        return []
    return [join(directory, name) for name in list_directory(directory) if "tfevents" in name]


def list_directory(directory: str) -> list[str]:
    """Names of what a directory holds, sorted, directories without a trailing slash."""
    names = _tensorflow_files().listdir(directory) if _is_remote(directory) else os.listdir(directory)
    return sorted(name.rstrip("/") for name in names)


def is_directory(path: str) -> bool:
    return bool(_tensorflow_files().isdir(path)) if _is_remote(path) else os.path.isdir(path)


def exists(path: str) -> bool:
    return bool(_tensorflow_files().exists(path)) if _is_remote(path) else os.path.exists(path)


def events(path: str) -> Iterator[tuple[Place, Event] | Damage]:
    """Every event of a file with its place; a `Damage` for one that cannot be read.

    Ends at the first record whose length is damaged or reaches beyond the file's end, for the next one
    cannot be found then.  Never raises for what a file holds.
    """
    try:
        with _open(path) as file:
            for item in _records(path, file):
                yield item if isinstance(item, Damage) else _parsed(*item)
    except Exception as error:      # OSError, and TensorFlow's own errors for remote files
        yield Damage(path, 0, f"cannot be opened or read ({error})")


def read_event(place: Place) -> Event:
    """The event at a place that `events` gave.  Raises WireError where it is not there any more."""
    try:
        with _open(place.path) as file:
            file.seek(place.offset)
            return Event.FromString(file.read(place.length))
    except Exception as error:      # OSError, TensorFlow's own errors, protobuf's DecodeError
        raise wire.WireError(f"{os.path.basename(place.path)} changed or went away: {error}") from None


def _records(path: str, file: IO[bytes]) -> Iterator[tuple[Place, bytes] | Damage]:
    file.seek(0, os.SEEK_END)
    size, start = file.tell(), 0
    file.seek(0)
    while start < size:
        head = file.read(_LENGTH.size)
        if len(head) < _LENGTH.size:
            yield Damage(path, start, "ends within a record: still being written, or cut off")
            return
        length, checksum = _LENGTH.unpack(head)
        if masked_crc32c(head[:8]) != checksum:
            yield Damage(path, start, "not a record (the checksum of its length is wrong); the rest of the file is left out")
            return
        end = start + _LENGTH.size + length + _FOOTER_BYTES
        if end > size:
            yield Damage(path, start, "ends within a record: still being written, or cut off")
            return
        yield Place(path, start + _LENGTH.size, length), file.read(length)
        file.seek(end)
        start = end


def _parsed(place: Place, data: bytes) -> tuple[Place, Event] | Damage:
    try:
        return place, Event.FromString(data)
    except Exception as error:      # protobuf's DecodeError; its module differs between implementations
        return Damage(place.path, place.offset, f"not an event ({type(error).__name__})")


def _open(path: str) -> Any:
    return _tensorflow_files().GFile(path, "rb") if _is_remote(path) else open(path, "rb")


def join(directory: str, *names: str) -> str:
    """The path of what is called `names` in a directory."""
    return "/".join([directory.rstrip("/"), *names]) if _is_remote(directory) else os.path.join(directory, *names)


def _is_remote(path: str) -> bool:
    return "://" in path


def _tensorflow_files() -> Any:
    # Here, not above: reading a local log must not cost this import.
    import tensorflow as tf

    return tf.io.gfile
