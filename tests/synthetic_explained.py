"""What filters answer to in a training that never happened: attributions with a twin, groups, images of clusters, class maps.

Maps are true to the probe's own pictures: a filter answers to the strokes of one direction in a digit, and a network that has
learnt nothing answers to every edge.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image
from scipy import ndimage

from featwatch.records import (
    Attributions,
    ClassActivation,
    ClusterImages,
    Clustering,
    FactorGroups,
    LayerHealth,
    LayerInfo,
    MaximisingImages,
    Record,
    Session,
)
from tests.synthetic_features import SIDE, Features, Training, field_of

COLUMNS = 32            # thumbnails a row of the sprite
SIGNED = ("occlusion", "gradient")
RECORDERS = {
    "attributions": "attributions", "factors": "factor_groups", "clusters": "cluster_images",
    "class_maps": "class_activation", "maximising": "maximising_images",
}  # fmt: skip


class Pictured(Training, Protocol):
    """What of a story is needed here."""

    @property
    def labels(self) -> np.ndarray: ...
    @property
    def samples(self) -> int: ...
    def sprite(self, columns: int) -> bytes: ...
    def scores(self, epoch: int) -> np.ndarray: ...


@dataclass(frozen=True)
class Explained:
    """What is recorded of what filters answer to.  Everything follows from the fields."""

    attributions: bool = True
    factors: bool = True
    clusters: bool = True
    class_maps: bool = True
    maximising: bool = True
    methods: tuple[str, ...] = ("saliency", "occlusion", "guided")
    chosen: tuple[int, ...] = (0, 3, 7)
    shown: int = 6                  # samples
    twin: bool = True
    groups: int = 5
    every: int = 5                  # epochs between two records
    units: int = 3                  # boxes of a filter and sample
    seed: int = 0

    def told(self, story: Pictured, record: Record) -> Iterator[Record]:
        """A record of the story and the records that belong beside it."""
        if isinstance(record, Session):
            on = {name: {} for field, name in RECORDERS.items() if getattr(self, field)}
            yield dataclasses.replace(record, recorders={**record.recorders, **on})
            return
        yield record
        if record.step >= 0 or record.epoch % self.every:
            return
        if isinstance(record, LayerHealth):
            yield from self.of_layer(story, record.layer, record.epoch)
        elif isinstance(record, Clustering) and self.clusters and record.count:
            yield self.images_of_clusters(story, record)

    def of_layer(self, story: Pictured, name: str, epoch: int) -> Iterator[Record]:
        layer = next(index for index, info in enumerate(story.layer_infos) if info.name == name)
        info, progress = story.layer_infos[layer], story.progress(epoch)
        if self.factors:
            yield self.factors_of(story, info, layer, epoch)
        if len(info.shape) != 3:
            return
        if self.attributions:
            yield self.attributions_of(story, info, layer, epoch)
        if self.class_maps:
            yield self.class_activation_of(story, info, layer, epoch)
        if self.maximising:
            yield self.maximising_of(story, info, layer, epoch, progress)

    def samples_of(self, story: Pictured) -> np.ndarray:
        """(shown,) int32: one sample of each class, as long as there are classes."""
        labels = story.labels
        first = [int(np.flatnonzero(labels == label)[0]) for label in np.unique(labels)]
        rest = [i for i in range(len(labels)) if i not in first]
        return np.array([*first, *rest][: self.shown], np.int32)

    def answers(
        self, story: Pictured, layer: int, sample: int, filter_: int, progress: float, *, learnt: bool = True
    ) -> np.ndarray:
        """(SIDE, SIDE): where a filter answers to a sample; 0 where it does not."""
        picture, rng = picture_of(story, sample), np.random.default_rng((self.seed, layer, filter_, 5))
        down, right = ndimage.gaussian_gradient_magnitude(picture, 0.8), ndimage.gaussian_filter(picture, 1.2)
        if not learnt:
            return np.asarray(down * (0.8 + 0.4 * rng.random(picture.shape)))
        angle, (cy, cx) = rng.uniform(0, math.pi), rng.uniform(0.25, 0.75, 2) * SIDE
        dy, dx = ndimage.gaussian_filter(picture, 1, (1, 0)), ndimage.gaussian_filter(picture, 1, (0, 1))
        along = np.maximum(math.cos(angle) * dx + math.sin(angle) * dy, 0)
        y, x = np.mgrid[:SIDE, :SIDE]
        near = np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * (3 + field_of(layer) / 2) ** 2))
        taught = along * near + 0.25 * right * along
        return np.asarray((0.25 + 0.75 * progress) * taught + 0.25 * (1 - progress) * down)

    def attributions_of(self, story: Pictured, info: LayerInfo, layer: int, epoch: int) -> Attributions:
        filters = np.array([one for one in self.chosen if one < info.filters] or [0], np.int32)
        samples, progress = self.samples_of(story), story.progress(epoch)
        maps, twins = (
            np.array([
                [[self.by_method(story, layer, int(s), int(f), progress, method, learnt) for s in samples] for f in filters]
                for method in self.methods
            ])
            for learnt in (True, False)
        )  # fmt: skip
        pixels, reach = in_bytes(maps)
        twin_pixels, twin_reach = in_bytes(twins)
        extra = {"twin_pixels": twin_pixels, "twin_reach": twin_reach} if self.twin else {}
        strength = np.abs(maps[0])
        boxes = [[self.boxes(strength[f, s], layer) for s in range(len(samples))] for f in range(len(filters))]
        return Attributions(
            epoch=epoch, layer=info.name, methods=np.array(self.methods), filters=filters, samples=samples,
            pixels=pixels, reach=reach, activation=strength.max((2, 3)).astype(np.float32) * 8,
            boxes=np.array(boxes, np.int32), input_shape=(SIDE, SIDE), **extra,
        )  # fmt: skip

    def by_method(
        self, story: Pictured, layer: int, sample: int, filter_: int, progress: float, method: str, learnt: bool
    ) -> np.ndarray:
        answers = self.answers(story, layer, sample, filter_, progress, learnt=learnt)
        if method == "occlusion":
            return np.asarray(ndimage.uniform_filter(answers, 7) - 0.4 * ndimage.uniform_filter(answers, 13))
        if method == "gradient":
            return np.asarray(ndimage.sobel(answers))
        if method == "guided":
            return np.asarray(answers**1.5)
        grain = np.random.default_rng((self.seed, layer, filter_, sample)).random(answers.shape)
        return np.asarray(ndimage.gaussian_filter(answers, 0.6) * (0.6 + 0.8 * grain))

    def boxes(self, strength: np.ndarray, layer: int) -> np.ndarray:
        """(units, 4): receptive fields around the strongest places, inside the input; the last one is missing."""
        smooth, size = ndimage.gaussian_filter(strength, 1.0), field_of(layer)
        found = np.full((self.units, 4), -1, np.int32)
        for unit in range(max(1, self.units - 1)):
            y, x = np.unravel_index(int(smooth.argmax()), smooth.shape)
            lows = [int(np.clip(centre - size // 2, 0, SIDE - 1)) for centre in (y, x)]
            highs = [int(np.clip(centre - size // 2 + size - 1, 0, SIDE - 1)) for centre in (y, x)]
            found[unit] = (lows[0], highs[0], lows[1], highs[1])
            smooth[max(0, y - 3) : y + 4, max(0, x - 3) : x + 4] = 0
        return found

    def fields(self, layer: int, n: int) -> np.ndarray:
        """(n, 4) int32: what each of so many units sees, somewhere in the input."""
        size, rng = min(field_of(layer), SIDE), np.random.default_rng((self.seed, layer, 23))
        lows = rng.integers(0, SIDE - size + 1, (n, 2))
        return np.stack([lows[:, 0], lows[:, 0] + size - 1, lows[:, 1], lows[:, 1] + size - 1], 1).astype(np.int32)

    def factors_of(self, story: Pictured, info: LayerInfo, layer: int, epoch: int) -> FactorGroups:
        samples, progress, groups = self.samples_of(story), story.progress(epoch), min(self.groups, info.filters)
        spatial = len(info.shape) == 3
        side = (info.shape[0] or 1) if spatial else 1
        learnt = 0.6 + 0.4 * progress
        maps = np.array([[self.answers(story, layer, int(s), 100 + g, learnt) for g in range(groups)] for s in samples])
        zoomed = ndimage.zoom(maps, (1, 1, side / SIDE, side / SIDE), order=1) if spatial else maps.mean((2, 3), keepdims=True)
        largest = np.maximum(zoomed.max((0, 2, 3)), 1e-9)
        rng = np.random.default_rng((self.seed, layer, 11))
        weights = rng.gamma(0.35, 1, (groups, info.filters)) * (rng.random((groups, info.filters)) < 0.4)
        weights[np.arange(groups), rng.integers(0, info.filters, groups)] += 1.5
        likeness = rng.uniform(0.3, 1, groups) if epoch else np.full(groups, np.nan)
        share = np.sort(rng.dirichlet(np.full(groups, 3.0)))[::-1] * (0.45 + 0.4 * progress)
        pixels = np.stack([Features().picture(layer, 200 + g, SIDE, progress, rng) for g in range(groups)])
        images = {
            "pixels": pixels, "low": np.zeros(1, np.float32), "high": np.full(1, 16, np.float32),
            "activation": rng.gamma(3, 1, groups).astype(np.float32), "reached": np.arange(groups) != groups - 1,
        }  # fmt: skip
        return FactorGroups(
            epoch=epoch, layer=info.name, samples=samples, largest=largest.astype(np.float32),
            maps=np.round(255 * np.clip(zoomed / largest[None, :, None, None], 0, 1)).astype(np.uint8),
            weights=(weights / np.linalg.norm(weights, axis=1, keepdims=True)).astype(np.float32), share=share.astype(np.float32),
            unexplained=float(1 - share.sum()), likeness=likeness.astype(np.float32),
            full_size=(side, side), **(images if spatial else {}),
        )  # fmt: skip

    def images_of_clusters(self, story: Pictured, record: Clustering) -> ClusterImages:
        layer = next(index for index, info in enumerate(story.layer_infos) if info.name == record.layer)
        info, rng = story.layer_infos[layer], np.random.default_rng((self.seed, layer, record.epoch, 13))
        count, progress = record.count, story.progress(record.epoch)
        weights = rng.gamma(0.4, 1, (count, info.filters)) * (rng.random((count, info.filters)) < 0.35)
        weights[np.arange(count), np.arange(count) % info.filters] += 1
        return ClusterImages(
            epoch=record.epoch, layer=record.layer, clusters=np.arange(count, dtype=np.int32),
            identities=record.identities if len(record.identities) == count else np.zeros(0, np.int32),
            samples=np.bincount(record.labels[record.labels >= 0], minlength=count).astype(np.int32),
            weights=(weights / np.linalg.norm(weights, axis=1, keepdims=True)).astype(np.float32),
            pixels=np.stack([Features().picture(layer, 300 + c, SIDE, progress, rng) for c in range(count)]),
            low=np.zeros(1, np.float32), high=np.full(1, 16, np.float32), activation=rng.gamma(3, 1, count).astype(np.float32),
            reached=np.arange(count) % 7 != 6, of=record.epoch,
        )  # fmt: skip

    def class_activation_of(self, story: Pictured, info: LayerInfo, layer: int, epoch: int) -> ClassActivation:
        samples, progress = self.samples_of(story), story.progress(epoch)
        classes = story.scores(epoch).argmax(1)[samples].astype(np.int32)
        if len(classes) > 1:
            # For once a class that was asked for.
            classes[-1] = (classes[-1] + 1) % max(2, int(story.labels.max(initial=1)) + 1)
        side, rng = info.shape[0] or 1, np.random.default_rng((self.seed, layer, 17))
        maps = np.array([ndimage.gaussian_filter(self.answers(story, layer, int(s), 400 + int(c), 0.7 + 0.3 * progress), 2.2)
                         for s, c in zip(samples, classes, strict=True)])  # fmt: skip
        zoomed = np.clip(ndimage.zoom(maps, (1, side / SIDE, side / SIDE), order=1), 0, None)
        largest = np.maximum(zoomed.max((1, 2)), 1e-9)
        influence = rng.gamma(0.5, 1, info.filters)
        return ClassActivation(
            epoch=epoch, layer=info.name, samples=samples, classes=classes,
            pixels=np.round(255 * zoomed / largest[:, None, None]).astype(np.uint8), largest=largest.astype(np.float32),
            weights=(rng.normal(0, 0.3, (len(samples), info.filters)) * influence / influence.max()).astype(np.float32),
            influence=(influence / influence.sum()).astype(np.float32), method="gradcam", full_size=(side, side),
        )  # fmt: skip

    def maximising_of(self, story: Pictured, info: LayerInfo, layer: int, epoch: int, progress: float) -> MaximisingImages:
        n, rng = min(info.filters, 12), np.random.default_rng((self.seed, layer, 19))
        samples = rng.integers(0, story.samples, n).astype(np.int32)
        started = rng.gamma(3, 0.5, n)
        waves = np.stack([Features().picture(layer, f, SIDE, progress, rng) for f in range(n)]).astype(float)
        pictures = np.stack([picture_of(story, int(s)) for s in samples])[..., None] * 255
        return MaximisingImages(
            epoch=epoch, layer=info.name, filters=np.arange(n, dtype=np.int32), samples=samples,
            pixels=np.clip(pictures + 1.6 * (waves - 128) * (0.15 + pictures / 255), 0, 255).astype(np.uint8),
            low=np.zeros(1, np.float32), high=np.full(1, 16, np.float32), started=started.astype(np.float32),
            activation=(started * rng.uniform(1.3, 3, n)).astype(np.float32), steps=14,
            boxes=self.fields(layer, n), noise=rng.uniform(0.05, 0.2, n).astype(np.float32), natural_noise=0.14, calibrated_on=5,
        )  # fmt: skip


def in_bytes(maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(…, rows, columns) as signed bytes around 128, and (…) what the largest stands for."""
    reach = np.abs(maps).max((-2, -1))
    return np.round(128 + 127 * maps / np.maximum(reach, 1e-12)[..., None, None]).astype(np.uint8), reach.astype(np.float32)


def picture_of(story: Pictured, sample: int) -> np.ndarray:
    """(SIDE, SIDE), 0 to 1: a sample as the made-up network is given it."""
    return _pictures(story)[sample]


@functools.lru_cache(maxsize=4)
def _pictures(story: Pictured) -> np.ndarray:
    columns = min(COLUMNS, story.samples)
    sheet = Image.open(io.BytesIO(story.sprite(columns))).convert("L")
    side = sheet.width // columns
    found = []
    for sample in range(story.samples):
        left, top = sample % columns * side, sample // columns * side
        cut = sheet.crop((left, top, left + side, top + side)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        found.append(np.asarray(cut, np.float64) / 255)
    return np.array(found)
