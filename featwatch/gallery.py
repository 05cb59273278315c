"""Feature images of several epochs as one gallery, each filter's newest; and one filter's over all of them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from featwatch.records import FeatureImages

MOST_SEARCHED = 16                  # records, for filtered images, after those that show what the newest does not


@dataclass(frozen=True, eq=False)
class FeatureDevelopment:
    """The feature images of one filter over training, the oldest first."""

    filter: int
    epochs: np.ndarray              # (images,) int32, each of them one at which an image was made
    steps: np.ndarray               # (images,) int32 optimiser updates, −1 on a schedule of epochs
    images: np.ndarray              # (images, height, width, channels) float32, in the units of the model's input
    activation: np.ndarray          # (images,) float32: of the unit, before its activation function
    natural: np.ndarray             # (images,) float32: the same on the best patch of the probe; NaN = not known
    reached: np.ndarray             # (images,) bool: whether any gradient came from the unit, or it grew


def development(filter: int, newest_first: Iterable[FeatureImages]) -> FeatureDevelopment:
    """The images of a filter in these records, the oldest first.

    Those of another size or geometry than the newest are left out.  Of each record no more is kept than this filter's.
    """
    found: list[tuple[int, int, np.ndarray, float, float, bool]] = []
    geometry: tuple[Any, ...] = ()
    for record in newest_first:
        rows = np.flatnonzero(record.filters == filter)
        geometry = geometry or (_geometry(record) if len(rows) else ())
        for row in rows[:1] if _geometry(record) == geometry else ():
            image = dataclasses.replace(record, pixels=record.pixels[row : row + 1]).images[0]
            found.append((
                int(record.refreshed[row]), record.step, image, record.activation[row], record.natural[row], record.reached[row],
            ))  # fmt: skip
    found.reverse()
    epochs, steps, images, activation, natural, reached = zip(*found, strict=True) if found else ((),) * 6
    return FeatureDevelopment(
        filter,
        np.array(epochs, np.int32),
        np.array(steps, np.int32),
        np.stack(images) if images else np.zeros((0, 0, 0, 0), np.float32),
        np.array(activation, np.float32),
        np.array(natural, np.float32),
        np.array(reached, bool),
    )


def merged(newest: FeatureImages, earlier: Iterable[FeatureImages], filtered: bool = True) -> FeatureImages:
    """The record `newest` with the pictures of filters that only `earlier` ones show, in the filters' order.

    `earlier` comes newest first and is taken as far as it is needed.  Of it count the records whose pictures
    are of the same size, channels and geometry.  Pixels keep their values where all that is shown has the
    same range, otherwise they are put on the range that holds every shown picture, each within half a step.
    What may be left out of a record, such as snapshots of the ascent, is there where all that is shown has it, and the
    snapshots were made after the same steps.  Layers take turns in having images filtered: where `newest` has none of them
    they are those of the last record that has some, up to `MOST_SEARCHED` records before, and `note` says of when.

    Arguments:
        filtered: whether any record may have filtered images: else none is read for their sake.
    """
    taken: dict[int, tuple[FeatureImages, int]] = {}
    earlier, filtering = iter(earlier), newest if newest.filtered_filters.size else None
    for record in _while_some_are_missing(taken, newest, earlier):
        filtering = filtering or _filtering(record, newest)
        if _geometry(record) == _geometry(newest):
            for row, number in enumerate(record.filters.tolist()):
                taken.setdefault(number, (record, row))
    filters = sorted(taken)
    rows = [taken[number] for number in filters]
    if not rows:
        return newest
    shown = list({id(record): record for record, _ in rows}.values())
    further = (_filtering(record, newest) for record in itertools.islice(earlier, MOST_SEARCHED if filtered else 0))
    filtering = filtering or next(filter(None, further), None)
    ranged = [*shown, filtering] if filtering else shown
    low = np.min([record.low for record in ranged], axis=0)
    high = np.max([record.high for record in ranged], axis=0)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(FeatureImages):
        axes = field.metadata.get("axes", ())
        if axes[:1] != ("shown",):
            continue
        if _had_by_all(shown, field):
            stacked = np.stack([_row(record, field.name, row, low, high) for record, row in rows])
            values[field.name] = stacked.astype(field.metadata["dtype"])
        else:
            values[field.name] = np.zeros((0,) * len(axes), field.metadata["dtype"])
    if any(record.stopped.size for record in shown):        # where it is left out all steps were taken
        taken_steps = [record.stopped[row] if record.stopped.size else record.steps for record, row in rows]
        values["stopped"] = np.array(taken_steps, np.int32)
    if not values["snapshot_pixels"].size:
        values["snapshot_steps"] = np.zeros(0, np.int32)
    if filtering:
        values |= {name: getattr(filtering, name) for name in ("filtered_filters", "preserved")}
        for name in ("whole_pixels", "filtered_pixels"):
            values[name] = _on_range(filtering, getattr(filtering, name), low, high)
        if filtering is not newest:
            where = f"epoch {filtering.epoch}" if filtering.step < 0 else f"step {filtering.step}"
            values["note"] = "; ".join(text for text in (newest.note, f"filtered images of {where}") if text)
    values["filters"] = np.array(filters, np.int32)
    return dataclasses.replace(newest, low=low, high=high, **values)


def _filtering(record: FeatureImages, newest: FeatureImages) -> FeatureImages | None:
    """The record where it has filtered images of as many channels."""
    return record if record.filtered_filters.size and record.filtered_pixels.shape[3:] == newest.pixels.shape[3:] else None


def _had_by_all(shown: list[FeatureImages], field: dataclasses.Field[Any]) -> bool:
    """Whether every one of the records has this array, in the same shape but for the number of filters, and of the same steps."""
    if not field.metadata["optional"]:
        return True
    shapes = {getattr(record, field.name).shape[1:] for record in shown if getattr(record, field.name).size}
    if len(shapes) != 1 or not all(getattr(record, field.name).size for record in shown):
        return False
    return field.name != "snapshot_pixels" or len({tuple(record.snapshot_steps.tolist()) for record in shown}) == 1


def _row(record: FeatureImages, name: str, row: int, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    values: np.ndarray = getattr(record, name)[row]
    return _on_range(record, values, low, high) if name in ("pixels", "snapshot_pixels") else values


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
    """(…, height, width, channels) uint8: `pixels` of the record, with 0 = `low` and 255 = `high`."""
    if np.array_equal(record.low, low, equal_nan=True) and np.array_equal(record.high, high, equal_nan=True):
        return pixels
    values = record.low + pixels / 255.0 * (record.high - record.low)
    span = np.where(high > low, high - low, 1.0)
    return np.clip(np.rint(np.nan_to_num((values - low) / span * 255.0)), 0, 255).astype(np.uint8)
