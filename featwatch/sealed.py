"""JSON text that carries its own checksum, and the plain values in it."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from typing import Any, TypeGuard

import numpy as np

_SEAL = "#crc32"        # last key of stored JSON: CRC-32, in hexadecimal, of the text with zeros in its place


class WireError(ValueError):
    """A stored record cannot be read; the message says why, for a person."""


class NewerFormat(WireError):
    """The record was written by a newer featwatch."""


def sealed(values: dict[str, Any]) -> bytes:
    """JSON text that carries its own checksum."""
    text = json.dumps({**values, _SEAL: "0" * 8}, allow_nan=False).encode()
    return text[:-10] + b'%08x"}' % zlib.crc32(text)


def unsealed(what: str, text: bytes) -> dict[str, Any]:
    """The object that `sealed` was given; a text without a seal is taken as it is.  Raises WireError."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise WireError(f"{what} is not JSON") from None
    if not isinstance(values, dict):
        raise WireError(f"{what} is not a JSON object")
    seal = values.pop(_SEAL, None)
    zeroed = bytes(text[:-10]) + b'00000000"}'
    if seal is not None and seal != f"{zlib.crc32(zeroed):08x}":
        raise WireError(f"{what} is damaged (checksum)")
    return values


def is_int(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def is_int64(value: Any) -> TypeGuard[int]:
    return is_int(value) and -(1 << 63) <= value < 1 << 63


def jsonable(value: Any) -> Any:
    """Plain JSON of a field's value; floats that are not finite become null."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    raise ValueError(f"a {type(value).__name__} cannot be recorded")


def typed(name: str, value: Any, annotation: Any) -> Any:
    """`value` as the field's type, or WireError.  Annotations are strings (`from __future__ import annotations`)."""
    if annotation == "float" and value is None:
        return math.nan
    if annotation == "float" and (isinstance(value, float) or is_int64(value)):
        return float(value)
    if annotation == "Any" or type(value).__name__ == annotation in ("int", "bool", "str"):
        return value
    if annotation.startswith("tuple[") and isinstance(value, list):
        item = annotation.removeprefix("tuple[").removesuffix(", ...]")
        return tuple(typed(name, element, item) for element in value)
    if annotation.startswith("Mapping[str, ") and isinstance(value, dict):
        item = annotation.removeprefix("Mapping[str, ").removesuffix("]")
        return {key: typed(name, element, item) for key, element in value.items()}
    raise WireError(f"{name!r} is not of type {annotation}")
