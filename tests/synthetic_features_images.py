"""Feature images in full, of a training that never happened: snapshots of the ascent, filtering, arrangement, maps of exemplars.

What is made up can be checked by eye and by number: the grid goes by the direction of a picture's waves (columns) and their
number (rows), and a map is highest at the position that the exemplars name.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from featwatch.records import (
    ExemplarMaps,
    FeatureArrangement,
    FeatureImages,
    FilterExemplars,
    LayerHealth,
    LayerInfo,
    Record,
)
from tests.synthetic_features import SIDE, Features, Training

LARGEST_MAP = 24        # rows and columns of a recorded map


@dataclass(frozen=True)
class FeaturePictures(Features):
    """Features, with all that may be recorded beside an image.  Everything follows from the fields."""

    snapshots: tuple[int, ...] = (1, 8, 32)
    filtered: int = 4               # filters of a record, the most active ones, whose image is filtered as well
    guarded: float = 0.2            # share of ascents that ended early
    arranged: bool = True
    maps: int = 3                   # samples of a filter with a map; 0 = none
    map_turns: int = 0              # filters of a record of maps; 0 = all
    # Filter → the epoch of its newest image, by layer: what an arrangement is of.
    shown: dict[str, dict[int, int]] = field(default_factory=dict, compare=False)

    def beside(self, story: Training, health: LayerHealth) -> Iterator[Record]:
        layer = next(index for index, info in enumerate(story.layer_infos) if info.name == health.layer)
        info = story.layer_infos[layer]
        for record in super().beside(story, health):
            yield record
            if isinstance(record, FeatureImages) and self.arranged:
                self.shown.setdefault(info.name, {}).update((int(number), health.epoch) for number in record.filters)
                yield self.arrangement_of(info, layer, health.epoch)
            if isinstance(record, FilterExemplars) and self.maps and health.epoch % self.every == 0 and len(info.shape) == 3:
                yield self.maps_of(info, record)

    def images_of(self, info: LayerInfo, layer: int, health: LayerHealth, progress: float) -> FeatureImages:
        made = super().images_of(info, layer, health, progress)
        rng = np.random.default_rng((self.seed, layer, health.epoch, 11))
        pixels, k = made.pixels.astype(np.float64), len(made.filters)
        noise = rng.normal(128, 22, made.pixels.shape)
        shares = [min(1.0, math.log1p(step) / math.log1p(made.steps)) ** 1.5 for step in self.snapshots]
        taken = np.stack([(1 - share) * noise + share * pixels for share in shares], 1) if shares else np.zeros((0,) * 5)
        order = np.argsort(-np.asarray(health.active_fraction)[made.filters], kind="stable")
        chosen = np.array([row for row in order if made.reached[row]][: self.filtered], int)
        whole = np.array([self.spread(pixels[row]) for row in chosen]).reshape(len(chosen), SIDE, SIDE, self.channels)
        kept = np.array([self.window(layer, int(number)) for number in made.filters[chosen]]).reshape(len(chosen), SIDE, SIDE)
        return dataclasses.replace(
            made,
            snapshot_steps=np.array(self.snapshots, np.int32), snapshot_pixels=np.clip(taken, 0, 255).astype(np.uint8),
            stopped=np.where(rng.random(k) < self.guarded, 24, made.steps).astype(np.int32),
            filtered_filters=made.filters[chosen], whole_pixels=whole.astype(np.uint8),
            filtered_pixels=(128 + (whole - 128) * kept[..., None]).astype(np.uint8),
            preserved=rng.uniform(0.45, 0.98, len(chosen)).astype(np.float32),
        )  # fmt: skip

    def spread(self, picture: np.ndarray) -> np.ndarray:
        """(SIDE, SIDE, channels): a picture over the whole input."""
        times = -(-SIDE // picture.shape[0])
        return np.tile(picture, (times, times, 1))[:SIDE, :SIDE]

    def window(self, layer: int, number: int) -> np.ndarray:
        """(SIDE, SIDE) 0 to 1: where the filter's own map is high."""
        rng = np.random.default_rng((self.seed, layer, number, 13))
        y, x = np.mgrid[:SIDE, :SIDE] / SIDE
        centres = rng.uniform(0.2, 0.8, (2, 2))
        return np.max([np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 0.03) for cy, cx in centres], axis=0)

    def arrangement_of(self, info: LayerInfo, layer: int, epoch: int) -> FeatureArrangement:
        """Columns by direction, rows by number of waves; the grid has room to spare."""
        shown = self.shown[info.name]
        filters = np.array(sorted(shown), np.int32)
        points = np.stack([self.nature(layer, int(number)) for number in filters])
        columns = math.isqrt(len(filters)) + 1
        rows = -(-len(filters) // columns)
        cells = np.zeros(len(filters), np.int32)
        for column, members in enumerate(np.array_split(np.argsort(points[:, 0], kind="stable"), columns)):
            for row, member in enumerate(members[np.argsort(points[members, 1], kind="stable")]):
                cells[member] = row * columns + column
        return FeatureArrangement(
            epoch=epoch, layer=info.name, filters=filters, made=np.array([shown[int(number)] for number in filters], np.int32),
            points=points.astype(np.float32), cells=cells, columns=columns, rows=rows,
        )  # fmt: skip

    def nature(self, layer: int, number: int) -> tuple[float, float]:
        """The direction of a picture's first waves, and how many there are: as `picture` draws them."""
        rng = np.random.default_rng((self.seed, layer, number, 7))
        return rng.uniform(0, math.pi), rng.uniform(0.8, 2.0 + layer / 2)

    def maps_of(self, info: LayerInfo, exemplars: FilterExemplars) -> ExemplarMaps:
        side = info.shape[0] or 1
        size, n = min(side, LARGEST_MAP), info.filters
        turn = self.map_turns or n
        first = exemplars.epoch // self.every * turn
        filters = np.sort((first + np.arange(min(turn, n))) % n).astype(np.int32)
        place = (exemplars.position[filters, : self.maps] + 0.5) / side * size - 0.5        # of the peak, in the map
        y, x = np.mgrid[:size, :size]
        cy, cx = (place[..., axis, None, None] for axis in (0, 1))
        peaks = np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (0.02 * size**2))
        echo = 0.35 * np.exp(-((y - (size - 1 - cy)) ** 2 + (x - cx) ** 2) / (0.03 * size**2))
        strongest = exemplars.activation[filters, : self.maps, None, None] / exemplars.activation[filters, :1, None, None]
        return ExemplarMaps(
            epoch=exemplars.epoch, layer=info.name, filters=filters, samples=exemplars.samples[filters, : self.maps],
            pixels=np.clip(np.rint(255 * np.maximum(peaks, echo) * strongest), 0, 255).astype(np.uint8),
            low=np.zeros(len(filters), np.float32), high=exemplars.activation[filters, 0],
            full_size=(side, side), filters_in_all=n, note="averaged over squares of positions" if side > size else "",
        )  # fmt: skip
