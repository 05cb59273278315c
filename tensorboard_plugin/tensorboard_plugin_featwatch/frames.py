"""Frames: records with their arrays as one binary answer, as `http_api.md` says."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from featwatch.wire import BlobInfo

MAGIC = b"FWF1"
MAX_DEPTH = 16
ALIGNMENT = 8           # so that the browser can lay typed arrays over the payload


@dataclass(frozen=True, eq=False)
class StoredRecord:
    """A record that was checked, still as stored: nothing is decoded that the browser can decode."""

    kind: str
    layer: str
    epoch: int
    fields: dict[str, Any]
    arrays: tuple[tuple[BlobInfo, bytes], ...]


@dataclass(frozen=True)
class Damaged:
    """A record that could not be read, and why, for a person."""

    layer: str
    reason: str


def encode_frame(records: Iterable[StoredRecord], damaged: Iterable[Damaged] = ()) -> bytes:
    """The frame: magic, length of the header, header, arrays; each array at a multiple of 8 bytes."""
    described, payload, offset = [], [], 0
    for record in records:
        arrays: dict[str, dict[str, Any]] = {}
        for info, blob in record.arrays:
            arrays[info.name] = {"dtype": info.dtype, "shape": list(info.shape), "offset": offset}
            if info.table is not None:
                arrays[info.name]["table"] = list(info.table)
            padded = blob + bytes(-len(blob) % ALIGNMENT)
            payload.append(padded)
            offset += len(padded)
        described.append(
            {"kind": record.kind, "layer": record.layer, "epoch": record.epoch, "fields": finite(record.fields), "arrays": arrays}
        )
    header = to_json({"records": described, "damaged": [{"layer": one.layer, "reason": one.reason} for one in damaged]}).encode()
    header += b" " * (-(8 + len(header)) % ALIGNMENT)
    return b"".join([MAGIC, struct.pack("<I", len(header)), header, *payload])


def to_json(value: Any) -> str:
    """JSON text in ASCII.  Raises ValueError for a number that is not finite."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def finite(value: Any, depth: int = 0) -> Any:
    """Plain JSON that every browser reads as it is meant: null for numbers that are not finite, and beyond `MAX_DEPTH` levels."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        return value if abs(value) < 2**63 else None
    if depth >= MAX_DEPTH:
        return None
    if isinstance(value, Mapping):
        return {key: finite(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item, depth + 1) for item in value]
    return value
