"""Records <-> what is stored: a tag, an epoch or a step, and a sequence of blobs.

Blob 0 is a JSON header, the others are the record's arrays (little-endian, C order) or PNG files in
the header's order.  The header carries the format's version, a CRC-32 of itself and, for every blob,
its dtype, shape and CRC-32, so that a damaged, foreign or newer record is refused with a reason
instead of being shown wrong.  An array that gets smaller by it is packed (`featwatch.packing`), and two that
are alike to the byte share a blob.  Writer, reader and plugin share this file; it needs NumPy only.
"""

from __future__ import annotations

import dataclasses
import math
import operator
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from featwatch.packing import packed, rounded, unpacked
from featwatch.records import KINDS, Record
from featwatch.sealed import NewerFormat as NewerFormat
from featwatch.sealed import WireError as WireError
from featwatch.sealed import is_int, is_int64, jsonable, sealed, typed, unsealed

PLUGIN = "featwatch"
FORMAT = 2                          # blobs may be packed or shared
PLAIN_FORMAT = 1                    # of records in which none is: older ones of featwatch read them
RUN_DIRECTORY = "featwatch"         # below the user's log_dir: never a directory that another writer uses
NUMBERS = "numbers/"                # prefix of the tags that hold a record's numbers as JSON text
AXES = ("epochs", "steps")          # a record stands on one of them
STEPS_DIRECTORY = "steps"           # below `RUN_DIRECTORY`: the records that were made on a schedule of steps
MAX_POSITION = 1 << 53              # no honest epoch or step is larger, and browsers count no further
MAX_ELEMENTS = 1 << 28              # no honest array is larger; a header that says so is damaged
MAX_UNPACKED = 1 << 24              # bytes that the packed arrays of a record may hold: a log must not be a bomb
_TOLD = "#told"                     # among the numbers: the events that the record tells of

# dtype as declared -> as stored
_STORED = {
    "float32": "<f4", "float64": "<f8", "int32": "<i4", "int64": "<i8", "uint16": "<u2", "uint8": "|u1",
    "bool": "|u1", "str": "<u2",
}  # fmt: skip
_READABLE = frozenset(_STORED.values())


@dataclass(frozen=True)
class BlobInfo:
    """One checked entry of a header: where an array or a picture is and what it is."""

    name: str
    blob: int                       # index into the blob sequence
    dtype: str                      # as stored, e.g. "<f4"; "png" for a picture
    shape: tuple[int, ...]
    table: tuple[str, ...] | None   # strings that the stored codes index
    crc32: int
    packed: bool = False            # `crc32` is of the blob as stored

    @property
    def size(self) -> int:
        """Bytes that the array, or the picture, has when it is not packed."""
        return self.shape[0] if self.dtype == "png" else math.prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Header:
    """A checked header."""

    kind: str
    epoch: int
    layer: str
    fields: dict[str, Any]
    blobs: tuple[BlobInfo, ...]

    @property
    def place(self) -> tuple[str, int]:
        """As `place_of` the record."""
        step = self.fields.get("step", -1)
        return ("steps", step) if is_int64(step) and step >= 0 else ("epochs", self.epoch)


def tag_of(kind: str, layer: str = "") -> str:
    """The tag under which records of this kind and layer are stored.  Layer names may hold slashes."""
    return f"{kind}/{layer}" if layer else kind


def parse_tag(tag: str) -> tuple[str, str]:
    """(kind, layer) of a tag made by `tag_of`."""
    kind, _, layer = tag.partition("/")
    return kind, layer


def place_of(record: Record) -> tuple[str, int]:
    """The axis on which a record stands, and where: its step on "steps", its epoch on "epochs"."""
    return ("steps", record.step) if record.step >= 0 else ("epochs", record.epoch)


def encode(record: Record) -> list[bytes]:
    """The blobs of a record: its header, then its arrays.

    Raises ValueError where an array does not have the declared number of axes or does not fit the dtype,
    where two arrays differ along an axis of the same name, or where a field is not plain.
    """
    fields: dict[str, Any] = {}
    entries: list[dict[str, Any]] = []
    blobs: list[bytes] = []
    room = MAX_UNPACKED
    shared: dict[bytes, int] = {}
    shapes = {field: np.shape(getattr(record, field.name)) for field in dataclasses.fields(record)}
    there = {field: shape for field, shape in shapes.items() if all(shape) or not field.metadata.get("optional")}
    _check_axes((field.name, shape, field.metadata) for field, shape in there.items())
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if field.name in ("epoch", "layer"):
            continue
        if field.metadata.get("optional") and not np.size(value):
            continue
        if "dtype" in field.metadata:
            entry, stored = _encode_array(field.name, np.asarray(value), field.metadata)
            blob = packed(stored) if stored.nbytes <= room else None
            if blob is None:
                blob = stored.tobytes()
            else:
                entry["packed"] = True
                room -= stored.nbytes
        elif field.metadata.get("picture"):
            if not value:
                continue
            entry, blob = {"name": field.name, "dtype": "png", "shape": [len(value)]}, bytes(value)
        else:
            fields[field.name] = jsonable(value)
            continue
        entries.append({**entry, "crc32": zlib.crc32(blob)})
        if entry.get("packed") and blob in shared:
            entries[-1]["blob"] = shared[blob]
        else:
            blobs.append(blob)
            shared[blob] = len(blobs)
    header = {
        "format": FORMAT if any("packed" in entry for entry in entries) else PLAIN_FORMAT,
        "kind": record.kind, "epoch": operator.index(record.epoch), "layer": record.layer,
        "fields": fields, "blobs": entries,
    }  # fmt: skip
    return [sealed(header), *blobs]


def decode(blobs: Sequence[bytes]) -> Record:
    """The record that `encode` was given.

    Raises WireError for damaged or unknown records, NewerFormat for a newer format.
    """
    header = read_header(blobs[0] if blobs else b"")
    return record_of(header, contents(header, blobs))


def contents(header: Header, blobs: Sequence[bytes]) -> list[bytes]:
    """What is in each of the header's blobs, unpacked.  Raises WireError."""
    return [checked_blob(info, blobs) for info in header.blobs]


def record_of(header: Header, contents: Sequence[bytes]) -> Record:
    """The record of a header and its `contents`.  Raises WireError."""
    cls = KINDS.get(header.kind)
    if cls is None:
        raise WireError(f"unknown kind of record {header.kind!r}")
    known = {field.name: field for field in dataclasses.fields(cls)}
    values: dict[str, Any] = {}
    for name, value in header.fields.items():
        if name in known and not known[name].metadata:
            values[name] = typed(name, value, known[name].type)
    values |= _arrays(cls, header.blobs, contents)
    try:
        return cls(epoch=header.epoch, layer=header.layer, **values)
    except TypeError as error:
        raise WireError(f"a {header.kind!r} record lacks a field: {error}") from None


def arrays_of(header: Header, blobs: Sequence[bytes], names: Collection[str]) -> dict[str, np.ndarray]:
    """Of the record's arrays those with these names that it has; the others are not looked at.  Raises WireError."""
    cls = KINDS.get(header.kind)
    if cls is None:
        raise WireError(f"unknown kind of record {header.kind!r}")
    infos = [info for info in header.blobs if info.name in names]
    return _arrays(cls, infos, [checked_blob(info, blobs) for info in infos])


def _arrays(cls: type[Record], infos: Sequence[BlobInfo], contents: Sequence[bytes]) -> dict[str, Any]:
    """Arrays and pictures by name, those that the record declares.  Raises WireError."""
    known = {field.name: field for field in dataclasses.fields(cls)}
    values: dict[str, Any] = {}
    for info, blob in zip(infos, contents, strict=True):
        declared = known.get(info.name)
        if declared is None:
            continue
        if info.dtype == "png":
            if not declared.metadata.get("picture"):
                raise WireError(f"field {info.name!r} is a picture where an array is expected")
            values[info.name] = blob
        elif "dtype" not in declared.metadata:
            raise WireError(f"field {info.name!r} is an array where none is expected")
        else:
            values[info.name] = _decode_array(info, blob, declared.metadata)
    try:
        _check_axes((name, np.shape(value), known[name].metadata) for name, value in values.items())
    except ValueError as error:
        raise WireError(str(error)) from None
    return values


def read_header(blob: bytes) -> Header:
    """Check a header and return it.  Raises WireError or NewerFormat."""
    raw = unsealed("the header", blob)
    if not is_int(raw.get("format")) or raw["format"] < 1:
        raise WireError("the header states no format")
    if raw["format"] > FORMAT:
        raise NewerFormat(f"written in format {raw['format']} by a newer featwatch; this one reads up to {FORMAT}")
    kind, layer, epoch, fields = raw.get("kind"), raw.get("layer"), raw.get("epoch"), raw.get("fields")
    if not (isinstance(kind, str) and isinstance(layer, str) and is_int64(epoch) and isinstance(fields, dict)):
        raise WireError("the header lacks kind, layer, epoch or fields")
    entries = raw.get("blobs")
    if not isinstance(entries, list):
        raise WireError("the header lists no blobs")
    infos: list[BlobInfo] = []
    own = 0
    for entry in entries:
        infos.append(_blob_info(own + 1, entry))
        own += infos[-1].blob == own + 1
    if sum(info.size for info in infos if info.packed) > MAX_UNPACKED:
        raise WireError("its packed arrays are larger than any honest ones")
    return Header(kind, epoch, layer, fields, tuple(infos))


def checked_blob(info: BlobInfo, blobs: Sequence[bytes]) -> bytes:
    """What is in the blob that `info` is about, after its size and checksum were found right.  Raises WireError."""
    if info.blob >= len(blobs):
        raise WireError(f"the blob of {info.name!r} is missing")
    blob = blobs[info.blob]
    if len(blob) != info.size and not info.packed:
        raise WireError(f"the blob of {info.name!r} has {len(blob)} bytes, not {info.size}")
    if zlib.crc32(blob) != info.crc32:
        raise WireError(f"the blob of {info.name!r} is damaged (checksum)")
    if info.dtype == "png" and not blob.startswith(b"\x89PNG\r\n\x1a\n"):
        raise WireError(f"the blob of {info.name!r} is no PNG file")
    if info.packed:
        try:
            return unpacked(blob, np.dtype(info.dtype).itemsize, math.prod(info.shape))
        except ValueError as error:
            raise WireError(f"the blob of {info.name!r} cannot be unpacked ({error})") from None
    return blob


def encode_numbers(record: Record) -> bytes:
    """The record's numbers as JSON text, and the events that it tells of; what is not finite becomes null."""
    told = record.told()
    values = {name: jsonable(value) for name, value in record.numbers().items()}
    return sealed({**values, _TOLD: jsonable(told)} if told else values)


def decode_numbers(text: bytes) -> dict[str, float]:
    """Numbers by name; null becomes NaN.  Raises WireError."""
    return decode_numbers_and_told(text)[0]


def decode_numbers_and_told(text: bytes) -> tuple[dict[str, float], dict[str, Any]]:
    """Numbers by name, and what the record tells of as `Record.told` gave it, unchecked.  Raises WireError."""
    values = unsealed("the text of numbers", text)
    told = values.pop(_TOLD, None)
    return {name: typed(name, value, "float") for name, value in values.items()}, told if isinstance(told, dict) else {}


def _check_axes(fields: Iterable[tuple[str, tuple[int, ...], Mapping[str, Any]]]) -> None:
    """Raises ValueError where two of (name, shape, declaration) differ along an axis of the same name."""
    seen: dict[str, tuple[str, int]] = {}
    for name, shape, metadata in fields:
        for axis, size in zip(metadata.get("axes", ()), shape, strict=False):
            other, expected = seen.setdefault(axis, (name, size))
            if size != expected:
                raise ValueError(f"{name!r} has {size} {axis} and {other!r} has {expected}")


def _encode_array(name: str, value: np.ndarray, metadata: Any) -> tuple[dict[str, Any], np.ndarray]:
    declared, axes = metadata["dtype"], metadata["axes"]
    if value.ndim != len(axes):
        raise ValueError(f"{name} has shape {value.shape}; its axes are {axes}")
    entry: dict[str, Any] = {"name": name, "dtype": _STORED[declared], "shape": list(value.shape)}
    if declared == "str":
        table, codes = np.unique(value.astype(str), return_inverse=True)
        if len(table) > np.iinfo(_STORED[declared]).max + 1:
            raise ValueError(f"{name} holds {len(table):,} different strings; their number has to fit 16 bits")
        entry["table"] = [str(text) for text in table]
        value = codes.reshape(value.shape)
    with np.errstate(invalid="ignore", over="ignore"):
        stored = np.ascontiguousarray(value).astype(_STORED[declared], casting="unsafe")
    if declared != "str" and stored.dtype.kind in "iu" and not np.array_equal(stored.astype(declared), value):
        raise ValueError(f"{name} holds values that {declared} cannot hold")
    return entry, rounded(stored, metadata["bits"]) if metadata.get("bits") else stored


def _decode_array(info: BlobInfo, blob: bytes, metadata: Any) -> np.ndarray:
    declared, axes = metadata["dtype"], metadata["axes"]
    if info.dtype != _STORED[declared] or len(info.shape) != len(axes) or (declared == "str") != (info.table is not None):
        raise WireError(f"{info.name!r} is stored as {info.dtype} with {len(info.shape)} axes; {declared} {axes} is expected")
    values = np.frombuffer(blob, dtype=info.dtype).reshape(info.shape)
    if info.table is not None:
        if values.size and int(values.max()) >= len(info.table):
            raise WireError(f"field {info.name!r} has codes beyond its table")
        return np.asarray(info.table, dtype=object)[values].astype(str) if values.size else np.zeros(info.shape, dtype="U1")
    return values.astype(np.dtype(declared))


def _blob_info(index: int, entry: Any) -> BlobInfo:
    if not isinstance(entry, dict):
        raise WireError("a blob's entry in the header is not an object")
    name, dtype, shape, crc32, table = (entry.get(key) for key in ("name", "dtype", "shape", "crc32", "table"))
    if not isinstance(name, str) or not isinstance(dtype, str) or not is_int(crc32):
        raise WireError("a blob's entry in the header lacks name, dtype or crc32")
    if dtype != "png" and dtype not in _READABLE:
        raise WireError(f"the blob of {name!r} has the unknown dtype {dtype!r}")
    if not isinstance(shape, list) or not all(is_int(size) and size >= 0 for size in shape) or len(shape) > 8:
        raise WireError(f"the blob of {name!r} has no proper shape")
    # Each axis too: an empty array may have another axis of any length.
    if max(shape, default=0) > MAX_ELEMENTS or math.prod(shape) > MAX_ELEMENTS or (dtype == "png" and len(shape) != 1):
        raise WireError(f"the blob of {name!r} has the impossible shape {shape}")
    is_packed, blob = entry.get("packed", False), entry.get("blob", index)
    known = isinstance(is_packed, bool) and is_int(blob) and 1 <= blob <= index
    # One that is not packed has a blob of its own: otherwise a small log could hold any number of large arrays.
    if not known or (is_packed and dtype == "png") or (blob < index and not is_packed):
        raise WireError(f"the blob of {name!r} is not stored in a way that is known")
    if table is not None and not (isinstance(table, list) and all(isinstance(text, str) for text in table)):
        raise WireError(f"the table of {name!r} is not a list of strings")
    return BlobInfo(name, blob, dtype, tuple(shape), None if table is None else tuple(table), crc32, is_packed)
