"""Records of filters worked out by hand, and what detectors say of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from featwatch.alerts import AlertDesk, Detector
from featwatch.records import Alert, LayerHealth, LayerInfo, Record, Session, Similarity

OFF = "dead: never above 0 for any probe sample"


def health(epoch: int, *, layer: str = "conv", activation: str = "relu", filters: int = 8, **values: Any) -> LayerHealth:
    """Living filters in which nothing is wrong, but for what is given of all of them or of each."""
    usual: dict[str, Any] = {
        "energy": 1.0, "negative_fraction": 0.5, "bias": 0.0, "active_fraction": 0.5, "max_activation": 2.0,
        "min_activation": 0.0 if activation.startswith("relu") else -2.0, "mean_activation": 0.5, "dead": False, "cause": "",
        "group": -1, "responsive_fraction": 0.5,
    }  # fmt: skip
    optional = {name: values.pop(name) for name in ("scale", "roughness") if name in values}
    arrays = {name: np.resize(value, filters) for name, value in (usual | optional | values).items()}
    return LayerHealth(epoch=epoch, layer=layer, activation=activation, test=OFF, **arrays)


def similarity(epoch: int, groups: str, *, sums: Iterable[int] = (), stays: dict[int, int] | None = None) -> Similarity:
    """Filters with one letter are doubles, "." is alone; the first of a group stays, unless `stays` says which."""
    letters = sorted(set(groups) - {"."})
    group = np.array([letters.index(mark) if mark in letters else -1 for mark in groups])
    first = {number: (stays or {}).get(number, int(np.flatnonzero(group == number)[0])) for number in range(len(letters))}
    keep = np.array([first[number] if number >= 0 else at for at, number in enumerate(group)])
    count, alone = len(groups), group < 0
    removable = keep != np.arange(count)
    removable[list(sums)] = True
    terms = np.full((count, 3), -1)
    terms[list(sums), :2] = (0, 1)
    return Similarity(
        epoch=epoch, layer="conv", group=group.astype(np.int32), keep=keep.astype(np.int32),
        factor=np.where(alone, np.nan, 2.0).astype(np.float32), offset=np.zeros(count, np.float32),
        residual=np.where(alone, np.nan, 0.001).astype(np.float32), by=np.where(alone, "", "both"),
        nearest=np.full(count, -1, np.int32), correlation=np.zeros(count, np.float32), terms=terms.astype(np.int32),
        coefficients=np.where(terms < 0, 0, 0.5).astype(np.float32), unexplained=np.full(count, 0.01, np.float32),
        removable=removable, values=1000,
    )  # fmt: skip


def session(note: str = "", **layer: Any) -> Session:
    """A model of the layer "conv", of 8 filters of 10 parameters each, and another of 920 parameters."""
    known: dict[str, Any] = {
        "type": "Conv2D", "shape": (4, 4, 8), "filters": 8, "tapped": "conv", "activation": "relu", "parameters": 80,
        "features": 128, "sketch": 128, "multiply_adds": 1000, "filter_parameters": 20, "filter_multiply_adds": 300,
        "saving_note": note, "reads_input": True, "field_size": (5, 5),
    } | layer  # fmt: skip
    other = known | {"parameters": 920, "multiply_adds": 3000, "reads_input": False, "saving_note": ""}
    infos = (LayerInfo(name="conv", **known), LayerInfo(name="next", **other))
    return Session(epoch=0, started=0.0, layers=tuple(info.as_dict() for info in infos))


def raised(detector: Detector, records: Iterable[Record], opened: tuple[Alert, ...] = ()) -> list[Alert]:
    """The alerts that hold after the records."""
    troubles: list[str] = []
    desk = AlertDesk([detector], ["conv", "next"], opened=opened, trouble=troubles.append)
    for record in records:
        desk.see(record)
    assert not troubles
    return desk.open


def each(detector: Detector, records: Iterable[Record]) -> list[str]:
    """What is said after each record: the filters while it holds, "gone" where it was resolved, "" for no news."""
    desk = AlertDesk([detector], ["conv", "next"])
    told = []
    for record in records:
        desk.see(record)
        told.append(" ".join(str(list(alert.filters)) if alert.open else "gone" for alert in desk.drain()))
    return told


def marks(text: str, wrong: float, right: float) -> np.ndarray:
    return np.array([wrong if mark == "x" else right for mark in text])
