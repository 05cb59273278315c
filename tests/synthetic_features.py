"""Feature images, exemplars, alerts, costs, attributes and steps of a training that never happened.

Feature images are made of oriented waves that sharpen as training goes on, a few filters refreshed at a time as
the real recorder does; exemplars prefer some classes; boxes are true to a made-up receptive field.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from featwatch.records import (
    SEVERITIES,
    Alert,
    EpochLog,
    FeatureImages,
    FilterExemplars,
    Journal,
    LayerHealth,
    LayerInfo,
    ProbeRecord,
    Record,
    Session,
)
from featwatch.writers import Writer

SIDE = 28               # pixels a side of the made-up input
SMALLEST = 12           # pixels a side of the smallest feature image


class Training(Protocol):
    """What of a story is needed here."""

    @property
    def epochs(self) -> int: ...
    @property
    def layer_infos(self) -> tuple[LayerInfo, ...]: ...
    @property
    def probe_labels(self) -> np.ndarray: ...
    def progress(self, epoch: int) -> float: ...


@dataclass(frozen=True)
class Features:
    """What is recorded beside the spine.  Everything follows from the fields."""

    images: bool = True
    exemplars: bool = True
    channels: int = 1
    every: int = 5                  # epochs between two records of feature images
    refreshed: int = 16             # filters of a layer that one record refreshes
    top: int = 9
    alerts: int = 5
    resolved: int = 1               # of them, that are over
    attributes: bool = True
    targets: bool = False
    cost: bool = True
    steps: int = 0                  # optimiser updates of an epoch, after which there are records by step; 0 = there are none
    epochs: bool = True             # whether there are snapshots by epoch
    seed: int = 0

    def told(self, story: Training, record: Record) -> Iterator[Record]:
        """A record of the story with what it says in addition, and the records that belong beside it."""
        if isinstance(record, ProbeRecord):
            yield self.annotated(record)
        elif isinstance(record, EpochLog):
            first = sum(one["blocked_seconds"] for one in costs(0).values())
            yield dataclasses.replace(record, cost=costs(record.epoch), blocked_seconds=first) if self.cost else record
            if self.alerts and record.epoch == story.epochs:
                yield self.journal(story, record.epoch)
        elif isinstance(record, Session):
            session = dataclasses.replace(record, layers=tuple(with_field(at, info) for at, info in enumerate(record.layers)))
            yield session
            if self.steps:
                yield dataclasses.replace(session, step=0)
        elif isinstance(record, Journal):
            yield record
        else:
            for made in (record, *(self.beside(story, record) if isinstance(record, LayerHealth) else ())):
                if self.epochs:
                    yield made
                if self.steps:
                    yield dataclasses.replace(made, step=made.epoch * self.steps)

    def beside(self, story: Training, health: LayerHealth) -> Iterator[Record]:
        layer = next(index for index, info in enumerate(story.layer_infos) if info.name == health.layer)
        info, progress = story.layer_infos[layer], story.progress(health.epoch)
        if self.exemplars:
            yield self.exemplars_of(info, layer, story.probe_labels, progress, health.epoch)
        if self.images and health.epoch % self.every == 0 and info.type.startswith("Conv"):
            yield self.images_of(info, layer, health, progress)

    def images_of(self, info: LayerInfo, layer: int, health: LayerHealth, progress: float) -> FeatureImages:
        n, k = info.filters, min(self.refreshed, info.filters)
        first = health.epoch // self.every * k
        order = np.argsort(-np.asarray(health.active_fraction), kind="stable") if first == 0 else np.arange(n)
        shown = np.sort(order[(first + np.arange(k)) % n]).astype(np.int32)
        field, side = field_of(layer), max(field_of(layer), SMALLEST)
        margin = (side - field) // 2
        rng = np.random.default_rng((self.seed, layer, health.epoch))
        natural = np.random.default_rng((self.seed, layer)).gamma(3, 0.5, n)[shown] + 0.2
        return FeatureImages(
            epoch=health.epoch, layer=info.name, filters=shown,
            pixels=np.stack([self.picture(layer, int(f), side, progress, rng) for f in shown]),
            low=np.zeros(self.channels, np.float32), high=np.full(self.channels, 16, np.float32),
            activation=(natural * (0.8 + 1.4 * rng.random(k))).astype(np.float32), natural=natural.astype(np.float32),
            reached=np.asarray(health.max_activation)[shown] > 0, refreshed=np.full(k, health.epoch, np.int32),
            unit=(0, 0), box=(margin, margin + field - 1) * 2, patch=True, steps=64, basis="fourier", init="patches",
            filters_in_all=n, elapsed_seconds=1.2,
        )  # fmt: skip

    def picture(self, layer: int, f: int, side: int, progress: float, noise: np.random.Generator) -> np.ndarray:
        """(side, side, channels) uint8: oriented waves, more of them in deeper layers."""
        rng = np.random.default_rng((self.seed, layer, f, 7))
        y, x = np.mgrid[:side, :side] / side - 0.5
        image = np.zeros((side, side, self.channels))
        for _ in range(1 + layer // 2):
            angle, waves, phase = rng.uniform(0, math.pi), rng.uniform(0.8, 2.0 + layer / 2), rng.uniform(0, 2 * math.pi)
            bend, (cy, cx) = rng.normal(0, 2), rng.normal(0, 0.18, 2)
            along = (x - cx) * math.cos(angle) + (y - cy) * math.sin(angle)
            across = (y - cy) * math.cos(angle) - (x - cx) * math.sin(angle)
            window = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 0.09)
            wave = window * np.cos(2 * math.pi * waves * (along + bend * across**2) + phase)
            image += wave[..., None] * (rng.normal(0, 1, self.channels) if self.channels > 1 else 1)
        contrast = 0.25 + 0.75 * progress
        image = contrast * image + noise.normal(0, 0.28 * (1 - progress) + 0.03, image.shape)
        return np.clip(128 + 110 * image, 0, 255).astype(np.uint8)

    def exemplars_of(self, info: LayerInfo, layer: int, labels: np.ndarray, progress: float, epoch: int) -> FilterExemplars:
        rng, n, top = np.random.default_rng((self.seed, layer, 3)), info.filters, min(self.top, len(labels))
        taste = rng.random((int(labels.max(initial=0)) + 1, n)) ** 3
        drive = 0.4 * rng.random((len(labels), n)) + (0.2 + progress) * taste[np.maximum(labels, 0)]
        samples = np.argsort(-drive, axis=0, kind="stable")[:top].T.astype(np.int32)
        activation = np.take_along_axis(drive.T, samples, 1).astype(np.float32) * 3
        axes = len(info.shape) - 1
        if axes != 2:
            return FilterExemplars(
                epoch=epoch, layer=info.name, samples=samples, activation=activation,
                position=np.zeros((n, top, axes), np.int32), receptive_field="the whole input",
            )  # fmt: skip
        side = info.shape[0] or 1
        position = rng.integers(0, side, (n, top, 2))
        centre, field = (position * 2 + 1) * SIDE // (2 * side), field_of(layer)
        low = centre - field // 2
        boxes = np.stack([low, low + field - 1], -1).reshape(n, top, 4)
        return FilterExemplars(
            epoch=epoch, layer=info.name, samples=samples, activation=activation, position=position.astype(np.int32),
            boxes=boxes.astype(np.int32), input_shape=(SIDE, SIDE), receptive_field="exact",
        )  # fmt: skip

    def annotated(self, probe: ProbeRecord) -> ProbeRecord:
        """The probe with the columns that a user gives with it."""
        n, rng = len(probe), np.random.default_rng((self.seed, 5))
        columns: dict[str, list[Any]] = {
            "age": [None if i % 23 == 7 else int(value) for i, value in enumerate(rng.integers(18, 90, n))],
            "site": [("Leiden", "Delft", "Utrecht")[value] for value in rng.integers(0, 3, n)],
            "left-handed": [bool(value) for value in rng.random(n) < 0.12],
            "sharpness": [round(float(value), 3) for value in rng.beta(4, 2, n)],
        }
        attributes = {name: tuple(values) for name, values in columns.items()} if self.attributes else {}
        targets = rng.normal(3, 1, (n, 2)).astype(np.float32) if self.targets else np.zeros((0, 0), np.float32)
        return dataclasses.replace(probe, attributes=attributes, targets=targets)

    def journal(self, story: Training, epoch: int) -> Journal:
        """Every alert's newest state, as the last epoch's journal enters it."""
        rng = np.random.default_rng((self.seed, 6))
        raised = [self.alert(story, number, epoch, rng) for number in range(self.alerts)]
        entries = tuple({"kind": "alert", "epoch": epoch, "layer": a.layer, "text": a.text, "alert": a.as_dict()} for a in raised)
        return Journal(epoch=epoch, entries=entries)

    def alert(self, story: Training, number: int, epoch: int, rng: np.random.Generator) -> Alert:
        kind, severity, text, suggestion, view = KINDS_OF_ALERT[number % len(KINDS_OF_ALERT)]
        info = story.layer_infos[int(rng.integers(len(story.layer_infos)))]
        filters = tuple(sorted(int(f) for f in rng.choice(info.filters, min(4, info.filters), replace=False)))
        since = int(rng.integers(0, max(1, epoch - 3)))
        over = number >= self.alerts - self.resolved
        return Alert(
            id=f"{kind}/{info.name}/{since}/{number}", kind=kind, severity=severity, layer=info.name, since=since,
            filters=filters if view == "filters" else (), raised=min(epoch, since + 2), updated=epoch,
            resolved=epoch - 1 if over else -1, view=view,
            text=text.format(n=len(filters), all=info.filters, layer=info.name),
            suggestion=suggestion.format(layer=info.name),
            evidence={"dead": len(filters), "filters": info.filters, "share": len(filters) / info.filters, "checks in a row": 3},
        )  # fmt: skip


class Teller(Protocol):
    """Adds to a record of a story, and to the story."""

    def told(self, story: Training, record: Record) -> Iterator[Record]: ...


class Telling:
    """A writer that adds to what a story tells; each axis has a writer of its own, as in the product."""

    def __init__(self, story: Training, teller: Teller, writer: Writer, by_step: Writer | None = None) -> None:
        self._story, self._teller = story, teller
        self._writer, self._by_step = writer, by_step

    def write(self, record: Record) -> int:
        size = 0
        for told in self._teller.told(self._story, record):
            writer = self._writer if told.step < 0 else self._by_step
            size += writer.write(told) if writer else 0
        return size

    def flush(self) -> None:
        for writer in filter(None, (self._writer, self._by_step)):
            writer.flush()

    def close(self) -> None:
        for writer in filter(None, (self._writer, self._by_step)):
            writer.close()


KINDS_OF_ALERT = (
    ("not finite", SEVERITIES[0], "Activations of {layer} hold NaN or infinity.",
     "Lower the learning rate, or clip gradients.", "filters"),
    ("dead filters", SEVERITIES[1], "{n} of {all} filters of {layer} never answered on the probe.",
     "Remove them by pruning, or restart them with a raised bias.", "filters"),
    ("collapse", SEVERITIES[0], "The classes fell together in {layer}: separation lost 0.31 within 3 epochs.",
     "Go back to the weights before it and lower the learning rate.", "samples"),
    ("redundant layer", SEVERITIES[2], "Separation is saturated before {layer}: the layers from here on add nothing.",
     "Try the network without {layer}.", "overview"),
)  # fmt: skip


def costs(epoch: int) -> dict[str, dict[str, float]]:
    """What watching has cost up to an epoch."""
    shares = {
        "forward pass": (0.062, 0.062, 0), "embeddings": (0.004, 1.31, 61_000), "clusters": (0, 0.03, 9_000),
        "separation": (0.001, 0.21, 800), "filter health": (0.003, 0.02, 6_400), "exemplars": (0.004, 0.011, 21_000),
        "feature images": (0.11, 0.11, 190_000), "writing": (0.002, 0.009, 0),
    }  # fmt: skip
    names = ("blocked_seconds", "computed_seconds", "bytes")
    return {name: {what: share * (epoch + 1.0) for what, share in zip(names, one, strict=True)} for name, one in shares.items()}


def with_field(layer: int, info: Mapping[str, Any]) -> Mapping[str, Any]:
    """A convolution as the session describes it, with what its units see of the input."""
    if not info["type"].startswith("Conv"):
        return {**info, "field_kind": "the layer has no map"}
    stride = SIDE // (info["shape"][0] or SIDE)
    offset = stride // 2 - field_of(layer) // 2
    return {**info, "field_size": (field_of(layer),) * 2, "field_stride": (stride,) * 2, "field_offset": (offset,) * 2,
            "field_input": (SIDE, SIDE), "field_kind": "exact"}  # fmt: skip


def field_of(layer: int) -> int:
    """Pixels a side that a unit of a layer sees."""
    return min(3 + 4 * layer, SIDE + 5)
