"""Feature images of several epochs as one gallery: each filter's newest."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from featwatch.records import FeatureImages

# What is of single records alone.
_NONE_OF_SOME: dict[str, Any] = {
    "snapshot_steps": np.zeros(0, np.int32), "snapshot_pixels": np.zeros((0,) * 5, np.uint8),
    "stopped": np.zeros(0, np.int32), "features": np.zeros((0, 0), np.float32),
}  # fmt: skip


def merged(newest: FeatureImages, earlier: Iterable[FeatureImages]) -> FeatureImages:
    """The record `newest` with the pictures of filters that only `earlier` ones show, in the filters' order.

    `earlier` comes newest first and is taken as far as it is needed.  Of it count the records whose pictures
    are of the same size, channels and geometry.  Pixels keep their values where all that is shown has the
    same range, otherwise they are put on the range that holds every shown picture, each within half a step.
    """
    taken: dict[int, tuple[FeatureImages, int]] = {}
    for record in _while_some_are_missing(taken, newest, earlier):
        if _geometry(record) == _geometry(newest):
            for row, number in enumerate(record.filters.tolist()):
                taken.setdefault(number, (record, row))
    filters = sorted(taken)
    rows = [taken[number] for number in filters]
    if not rows:
        return newest
    shown = list({id(record): record for record, _ in rows}.values())
    low = np.min([record.low for record in shown], axis=0)
    high = np.max([record.high for record in shown], axis=0)
    values: dict[str, Any] = {
        field.name: np.array([getattr(record, field.name)[row] for record, row in rows], field.metadata["dtype"])
        for field in dataclasses.fields(FeatureImages)
        if field.metadata.get("axes") == ("shown",) and not field.metadata["optional"]
    }
    values["pixels"] = np.stack([_on_range(record, record.pixels[row], low, high) for record, row in rows])
    for name in ("whole_pixels", "filtered_pixels") if newest.filtered_pixels.size else ():
        values[name] = _on_range(newest, getattr(newest, name), low, high)
    values["filters"] = np.array(filters, np.int32)
    return dataclasses.replace(newest, low=low, high=high, **_NONE_OF_SOME, **values)


def _while_some_are_missing(
    taken: dict[int, tuple[FeatureImages, int]], newest: FeatureImages, earlier: Iterable[FeatureImages]
) -> Iterable[FeatureImages]:
    yield newest
    earlier = iter(earlier)
    # The last ones may be far back; every record is a read.
    while not 0 < newest.filters_in_all <= len(taken):
        record = next(earlier, None)
        if record is None:
            return
        yield record


def _geometry(record: FeatureImages) -> tuple[Any, ...]:
    return record.pixels.shape[1:], record.unit, record.box, record.patch


def _on_range(record: FeatureImages, pixels: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(height, width, channels) uint8: `pixels` of the record, with 0 = `low` and 255 = `high`."""
    if np.array_equal(record.low, low, equal_nan=True) and np.array_equal(record.high, high, equal_nan=True):
        return pixels
    values = record.low + pixels / 255.0 * (record.high - record.low)
    span = np.where(high > low, high - low, 1.0)
    return np.clip(np.rint(np.nan_to_num((values - low) / span * 255.0)), 0, 255).astype(np.uint8)
