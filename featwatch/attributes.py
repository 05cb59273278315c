"""The columns that a user gives with the samples, as plain values."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

_MOST_COLUMNS = 64
_LONGEST_TEXT = 200                 # characters


def as_columns(attributes: Any) -> dict[str, Any]:
    """Column name -> its values, a sequence each, of a dict of sequences or a DataFrame.  Raises TypeError or ValueError."""
    if hasattr(attributes, "columns") and hasattr(attributes, "iloc"):          # a pandas DataFrame
        given = [(name, attributes.iloc[:, place].tolist()) for place, name in enumerate(attributes.columns)]
    elif isinstance(attributes, Mapping):
        given = list(attributes.items())
    else:
        raise TypeError(f"attributes is a {type(attributes).__name__}; pass a dict of columns, {{name: one value per sample}}")
    columns: dict[str, Any] = {}
    for key, values in given:
        name = str(key)
        if name in columns:
            raise ValueError(f"attributes holds the column {name!r} twice; make the names differ")
        if isinstance(values, (str, bytes, Mapping)) or not (hasattr(values, "__len__") and hasattr(values, "__getitem__")):
            raise TypeError(f"attributes[{name!r}] is a {type(values).__name__}; pass a list or array, one value per sample")
        if getattr(values, "ndim", 1) != 1:
            raise ValueError(f"attributes[{name!r}] has the shape {tuple(values.shape)}; pass one value per sample, (samples,)")
        columns[name] = values.tolist() if hasattr(values, "tolist") else values
    return columns


def plain_columns(columns: Mapping[str, Any], rows: np.ndarray) -> tuple[dict[str, tuple[Any, ...]], tuple[str, ...]]:
    """The columns at some rows as plain values (bool, int, float, str, None), and what was left out, in sentences.

    Raises TypeError for values of other types.
    """
    kept: dict[str, tuple[Any, ...]] = {}
    clipped = set()
    for name, values in list(columns.items())[:_MOST_COLUMNS]:
        plain = []
        for row in rows.tolist():
            value = _plain(name, row, values[row])
            if isinstance(value, str) and len(value) > _LONGEST_TEXT:
                value = value[: _LONGEST_TEXT - 1] + "…"
                clipped.add(name)
            plain.append(value)
        kept[name] = tuple(plain)
    notes = []
    if len(columns) > _MOST_COLUMNS:
        notes.append(f"attributes holds {len(columns)} columns, of which the first {_MOST_COLUMNS} were kept")
    if clipped:
        notes.append(f"texts of attributes were cut to {_LONGEST_TEXT} characters: {', '.join(sorted(clipped))}")
    return kept, tuple(notes)


def _plain(name: str, row: int, value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if type(value).__name__ in ("NaTType", "NAType"):           # pandas' missing values
        return None
    if isinstance(value, (datetime.date, datetime.time)):       # a datetime is a date
        return value.isoformat()
    raise TypeError(f"attributes[{name!r}][{row}] is {value!r}; pass numbers, strings, bools or None")
