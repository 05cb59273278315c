"""The feature images of one layer over a training: its painter, whose turn it is, and how long an image takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from featwatch.errors import first_line
from featwatch.explain.ascent.recipe import Recipe
from featwatch.phrases import ranges
from featwatch.recorders.base import Look, NothingToSay
from featwatch.recorders.turns import Turns
from featwatch.recorders.weight_changes import WeightChanges
from featwatch.records import FeatureImages

PATCHES = 9                         # of the probe: whose mean is a start
SNAPSHOT_BYTES = 4 << 20            # that a record holds of pictures from before the last step
_IMAGES_TRIED, _STEPS_TRIED = 4, 2  # of a layer that is new, to see how long a step takes
_LEAST_SHARE = 0.25                 # of what a snapshot grants, for the first batch of a layer that is new, in any case


class LayerWork:
    """One layer's images.

    Arguments:
        site: the layer.
        recipe: how images are made.
        filters: of which; None = of all.
        clock: gives the time in seconds.
    """

    def __init__(self, site: Any, recipe: Recipe, filters: tuple[int, ...] | None, clock: Callable[[], float]) -> None:
        self.refusal = ""                       # why the layer has no images
        self.starting_seconds = math.nan        # which tracing took
        self._site = site
        self._recipe = recipe
        self._given = filters
        self._clock = clock
        self._painter: Any = None
        self._turns: Turns | None = None
        self._changes = WeightChanges(0)
        self._weights: np.ndarray | None = None
        self._seconds_per_image = math.nan
        self._maxima = self._peaks = np.zeros((0, 0))
        self._painted: list[tuple[np.ndarray, Any]] = []
        self._elapsed = 0.0
        self.filterings = 0                     # at how many snapshots images were filtered
        self.unfilterable = ""                  # why they cannot be
        self._filtering_seconds = math.nan
        self._filtered: dict[str, Any] = {}

    @property
    def name(self) -> str:
        """The layer's."""
        return str(self._site.name)

    @property
    def turns(self) -> int:
        """How many it has had."""
        return self._turns.count if self._turns else 0

    @property
    def started(self) -> bool:
        """Whether its functions are traced."""
        return self._painter is not None

    @property
    def complete(self) -> bool:
        """Whether every filter has had an image."""
        return self._turns is not None and not self._turns.unseen

    @property
    def wanted(self) -> bool:
        """Whether there are filters that have not been looked at in this snapshot."""
        return not self.refusal and (self._turns is None or self._turns.waiting > 0)

    def begin(self, maxima: np.ndarray, peaks: np.ndarray, weights: np.ndarray | None) -> None:
        """A snapshot begins, with (samples, filters) largest values and where in the map they are, and the layer's weights."""
        self._maxima, self._peaks, self._weights = maxima, peaks, weights
        self._painted, self._elapsed, self._filtered = [], 0.0, {}
        if self._turns:
            self._turns.begin()
            self._changes.begin(weights)

    def least_seconds(self, starting: float) -> float:
        """What its next image will take; `starting` = what tracing another layer took, 0 where there was none."""
        return self._seconds_per_image if self.started else starting

    def filtering_seconds(self, starting: float) -> float:
        """What filtering images of this layer will take; the first time two functions have to be traced."""
        return 2 * starting if math.isnan(self._filtering_seconds) else self._filtering_seconds

    def filter(self, look: Look, count: int) -> None:
        """Filter an image, as large as the input, of each of the `count` most active filters.

        Raises NothingToSay where the layer has none.
        """
        from featwatch.explain.filtering import filtered_feature_images

        began = self._clock()
        wanted = self._wanted_filters()
        filters = wanted[np.argsort(-self._maxima.mean(axis=0)[wanted], kind="stable")][:count]
        strongest = self._maxima[:, filters].argmax(axis=0)
        self.filterings += 1
        try:
            self._filtered = filtered_feature_images(look.model, self._site, look.probe, filters, strongest)
        except Exception as error:
            self.unfilterable = first_line(error)
            raise NothingToSay(f"layer {self._site.name!r} has no filtered images: {self.unfilterable}") from None
        finally:
            self._filtering_seconds = self._clock() - began
            self._elapsed += self._filtering_seconds

    def turn(self, look: Look, left: float, granted: float) -> None:
        """Make a batch of images: as many as should fit into what is `left` of the seconds that were `granted`, one at least.

        Raises NothingToSay where the layer turns out to have none.
        """
        began = self._clock()
        if not self.started:
            self._start(look)
            self.starting_seconds = self._clock() - began
            left = max(left - self.starting_seconds, _LEAST_SHARE * granted)
        assert self._turns is not None
        started = self._clock()
        most = max(1, int(min(self._painter.at_once, max(left, 0.0) // max(self._seconds_per_image, 1e-6))))
        filters = self._turns.next(self._maxima.mean(axis=0), most, self._changes.relative)
        self._changes.looked_at(filters)
        self._painted.append((filters, self._paint(filters)))
        ended = self._clock()
        self._elapsed += ended - began
        self._seconds_per_image = (ended - started) / len(filters)

    def finish(self, look: Look) -> FeatureImages | None:
        """The record of what was made at this snapshot."""
        self._weights = None
        if not self._painted:
            return None
        from featwatch.explain.ascent.images import together

        filters = np.concatenate([filters for filters, _ in self._painted])
        painted, self._painted = together([images for _, images in self._painted]), []
        record = self._painter.record(
            painted, filters, epoch=look.epoch, step=look.step, layer=self._site.name, seconds=self._elapsed
        )
        record, left_out = bounded(replace(record, **self._filtered))
        return replace(record, note="; ".join(text for text in (record.note, *self._remarks(record), left_out) if text))

    def _start(self, look: Look) -> None:
        from featwatch.explain.ascent.images import painter_of

        try:
            self._painter = painter_of(look.model, self._site, look.probe, recipe=self._recipe)
            some = np.arange(min(_IMAGES_TRIED, self._painter.at_once)) % self._painter.filters
            self._paint(some, 1)                # TensorFlow prepares a graph as it runs first
            began = self._clock()
            self._paint(some, _STEPS_TRIED)
            self._seconds_per_image = (self._clock() - began) / _STEPS_TRIED / len(some) * self._painter.steps
        except Exception as error:
            self.refusal = first_line(error)
            raise NothingToSay(f"layer {self._site.name!r} has no feature images: {self.refusal}") from None
        self._turns = Turns(self._wanted_filters())
        self._changes = WeightChanges(self._painter.filters)
        self._changes.begin(self._weights)

    def _paint(self, filters: np.ndarray, steps: int | None = None) -> Any:
        strongest = np.argsort(-self._maxima[:, filters], axis=0, kind="stable")[:PATCHES].T
        peaks = self._peaks[strongest, filters[:, None]]
        return self._painter.paint(self._painter.directions(filters), steps, strongest, peaks)

    def _remarks(self, record: FeatureImages) -> list[str]:
        """What is to be known of these images."""
        assert self._turns is not None
        said = []
        if self._turns.waiting:
            said.append(f"time for {_filters(len(record.filters))}; {self._turns.waiting} wait for a later snapshot")
        if not record.reached.all():
            said.append(f"no gradient comes from {_named(record.filters[~record.reached])}: dead, or out of reach of this start")
        dull = record.filters[np.ptp(self._maxima[:, record.filters], axis=0) == 0]
        if len(dull) and record.init in ("patches", "patch"):
            said.append(f"every sample activates {_named(dull)} alike: what the image starts from was not chosen by it")
        return said

    def _wanted_filters(self) -> np.ndarray:
        given = self._given
        if given is None:
            return np.arange(self._painter.filters)
        if max(given) >= self._painter.filters:
            raise ValueError(
                f"filters: layer {self._site.name!r} has the filters 0 to {self._painter.filters - 1}, and no filter {max(given)}"
            )
        return np.array(given)


def bounded(record: FeatureImages, most: int = SNAPSHOT_BYTES) -> tuple[FeatureImages, str]:
    """The record with no more than `most` bytes of snapshots of the ascent, the later ones, and what there is to say of it."""
    pixels = record.snapshot_pixels
    if pixels.nbytes <= most:
        return record, ""
    kept = most // (pixels.nbytes // pixels.shape[1])
    steps, pixels = record.snapshot_steps[pixels.shape[1] - kept :], pixels[:, pixels.shape[1] - kept :]
    left_out = ", ".join(map(str, record.snapshot_steps[: len(record.snapshot_steps) - kept]))
    said = f"images after {left_out} steps left out: all snapshots would be {record.snapshot_pixels.nbytes / 2**20:.1f} MB"
    if not kept:
        steps, pixels = np.zeros(0, np.int32), np.zeros((0,) * 5, np.uint8)
    return replace(record, snapshot_steps=steps, snapshot_pixels=pixels), said


def _filters(count: int) -> str:
    return f"{count} filter{'s' * (count != 1)}"


def _named(filters: np.ndarray) -> str:
    return f"filter{'s' * (len(filters) != 1)} {ranges(sorted(filters.tolist()))}"
