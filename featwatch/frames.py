"""Records as pandas DataFrames, for who wants to go on in a notebook."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from featwatch.happenings import Event
from featwatch.records import (
    Alert,
    Clustering,
    Embedding,
    EpochLog,
    Histograms,
    LayerAlignment,
    LayerHealth,
    LayerSeparation,
    Predictions,
    Record,
    Similarity,
    Specificity,
)

# What a user calls it -> the records that it is made of.
FRAMES: dict[str, type[Record]] = {
    "health": LayerHealth, "histograms": Histograms, "similarity": Similarity, "specificity": Specificity,
    "separation": LayerSeparation, "clusters": Clustering,
    "embeddings": Embedding, "predictions": Predictions, "epochs": EpochLog, "cost": EpochLog, "cka": LayerAlignment,
}  # fmt: skip
_PLAIN = {"int": np.int64, "float": np.float64, "bool": np.bool_, "str": object}


def kind_of(what: str) -> type[Record]:
    """The records that the frame `what` is made of.  Raises ValueError for a name that is none of `FRAMES`."""
    if what not in FRAMES:
        names = [*FRAMES, "alerts", "events"]
        closest = difflib.get_close_matches(str(what), names, n=1)
        meant = f" (did you mean {closest[0]!r}?)" if closest else ""
        raise ValueError(f"what={what!r}{meant}: expected one of {', '.join(names)}")
    return FRAMES[what]


def of_records(what: str, axis: str, records: Iterable[Record]) -> Any:
    """The frame of these records, which are of the kind `kind_of(what)` and stand on `axis`, in order of their places.

    Raises ImportError where pandas is not installed.
    """
    pandas = _pandas()
    tables = [_table(what, axis, record) for record in records]
    # Metrics and recorders come and go: a column for whatever occurs.
    kinds = {name: column.dtype for table in tables for name, column in table.items()}
    columns: dict[str, Any] = {}
    for name, kind in kinds.items():
        columns[name] = np.concatenate([_column(table, name, kind) for table in tables])
    place = axis.removesuffix("s")
    return pandas.DataFrame(columns or {place: []}).sort_values(place, kind="stable", ignore_index=True)


def of_alerts(alerts: Sequence[Alert]) -> Any:
    """One row for each alert, its fields as columns.  Raises ImportError where pandas is not installed."""
    names = [field.name for field in dataclasses.fields(Alert)]
    return _pandas().DataFrame([alert.as_dict() for alert in alerts], columns=names)


def of_events(events: Sequence[Event], axis: str) -> Any:
    """One row for each event, in their order.  Raises ImportError where pandas is not installed."""
    names = [field.name for field in dataclasses.fields(Event)]
    frame = _pandas().DataFrame([dataclasses.asdict(event) for event in events], columns=names)
    return frame.rename(columns={"epoch": axis.removesuffix("s")})


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise ImportError("to_frame needs pandas: pip install 'featwatch[pandas]'") from None
    return pandas


def _table(what: str, axis: str, record: Record) -> dict[str, np.ndarray]:
    """The columns of one record: what it is of, then its values, as long as there are filters, recorders, or 1."""
    place: dict[str, Any] = {"step": record.step} if axis == "steps" else {}
    place["epoch"] = record.epoch
    if record.per_layer:
        place["layer"] = record.layer
    if what in ("health", "histograms", "similarity", "specificity"):
        fields = _per_filter(type(record))
        count = max(len(getattr(record, field.name)) for field in fields)
        values = {"filter": np.arange(count)} | {field.name: _filled(getattr(record, field.name), count) for field in fields}
    elif isinstance(record, LayerAlignment):
        layers, count = record.layers.astype(object), record.matrix.size
        values = {"layer": np.repeat(layers, len(layers)), "other": np.tile(layers, len(layers)), "cka": record.matrix.ravel()}
    elif what == "cost":
        costs = record.cost if isinstance(record, EpochLog) else {}
        count = len(costs)
        names = dict.fromkeys(name for cost in costs.values() for name in cost)
        values = {"recorder": np.array([*costs], object)} | {
            name: np.array([cost.get(name, np.nan) for cost in costs.values()], np.float64) for name in names
        }
    else:
        count = 1
        numbers: Mapping[str, Any] = record.numbers()
        if what != "epochs":
            numbers = {name: getattr(record, name) for name in _scalars(type(record))}
        values = {name: np.array([value], _PLAIN[type(value).__name__]) for name, value in numbers.items()}
    columns: dict[str, np.ndarray] = {name: np.full(count, value, _PLAIN[type(value).__name__]) for name, value in place.items()}
    return columns | {name: column for name, column in values.items() if name not in place}     # a metric may have any name


def _column(table: Mapping[str, np.ndarray], name: str, kind: Any) -> np.ndarray:
    """A record's values in a column; NaN where it has none."""
    return table[name] if name in table else np.full(len(table["epoch"]), np.nan, kind)


def _per_filter(cls: type[Record]) -> list[dataclasses.Field[Any]]:
    return [field for field in dataclasses.fields(cls) if field.metadata.get("axes") == ("filters",)]


def _scalars(cls: type[Record]) -> dict[str, str]:
    """Name -> type of the fields that hold one plain value each, without those that say what the record is of."""
    fields = {field.name: str(field.type) for field in dataclasses.fields(cls) if not field.metadata}
    return {name: kind for name, kind in fields.items() if kind in _PLAIN and name not in ("epoch", "layer", "step")}


def _filled(values: np.ndarray, count: int) -> np.ndarray:
    """(count,) a column of one value per filter; of a field that was left out NaN, or None where it is of no numbers."""
    if values.dtype.kind == "U" or (len(values) < count and values.dtype.kind == "b"):
        values = values.astype(object)
    return values if len(values) == count else np.full(count, None if values.dtype.kind == "O" else np.nan)
