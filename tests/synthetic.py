"""A plausible training that never happened, written through the real writer: for tests, screenshots and the page's author.

`python -m tests.synthetic OUT --layers 12 --epochs 100` writes one at once; `--live 2` appends an epoch every two seconds.

The story: class blobs separate gradually over epochs and layers while every point moves smoothly; the
loss falls; a few filters die; some samples are confused with a neighbouring class and move over to it.
"""

from __future__ import annotations

import argparse
import functools
import io
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.cluster import DBSCAN
from sklearn.datasets import load_digits

from featwatch.records import (
    CAUSES,
    Clustering,
    Embedding,
    EpochLog,
    Journal,
    LayerHealth,
    LayerInfo,
    LayerSeparation,
    Predictions,
    ProbeRecord,
    Record,
    Session,
)
from featwatch.writers import EventFileWriter, Writer
from tests.synthetic_embeddings import Evolution, agreement
from tests.synthetic_explained import Explained
from tests.synthetic_features import Features, Telling
from tests.synthetic_filters import Deeds
from tests.synthetic_histograms import Filters, histograms
from tests.synthetic_pruning import Prunings

SKETCH = 1021           # features above this are said to be sketched
THUMBNAIL = 24          # pixels a side
COLUMNS = 32            # thumbnails a row of the sprite


@dataclass(frozen=True)
class Story:
    """A made-up training.  Everything follows from the fields; epoch k is the same whenever it is asked for."""

    layers: int = 6
    epochs: int = 20
    samples: int = 600
    classes: int = 10
    filters: int = 32
    seed: int = 0
    thumbnails: bool = True
    labelled: bool = True
    model: str = "synthetic_cnn"
    names: tuple[str, ...] = ()                 # layer names; made up where none are given; "…linear" has no ReLU
    histograms: bool = False                    # whether they are recorded, too

    def rng(self, *key: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, *key))

    @cached_property
    def layer_infos(self) -> tuple[LayerInfo, ...]:
        """Convolutions that halve their maps every other layer, then dense layers, the last one the classifier."""
        convs = max(1, self.layers - 2) if self.layers > 2 else self.layers
        infos, side, channels = [], 28, 1
        for index in range(self.layers):
            last = index == self.layers - 1 and self.layers > 1
            if index < convs:
                side = max(4, side // 2) if index and index % 2 == 0 else side
                name, kind, width = f"block{index // 2 + 1}/conv{index % 2 + 1}", "Conv2D", self.filters
                shape: tuple[int | None, ...] = (side, side, width)
                parameters, channels = 9 * channels * width + width, width
            else:
                name, kind = ("classifier" if last else f"dense{index - convs + 1}"), "Dense"
                width = self.classes if last else 2 * self.filters
                shape, parameters = (width,), 64 * width + width
            features = math.prod(size or 1 for size in shape)
            infos.append(
                LayerInfo(
                    name=self.names[index] if index < len(self.names) else name, type=kind, shape=shape, filters=width,
                    tapped=f"{name}_relu" if index == 1 else name,
                    activation="softmax" if last else "linear" if "linear" in "".join(self.names[index : index + 1]) else "relu",
                    parameters=parameters, features=features, sketch=min(features, SKETCH),
                )
            )  # fmt: skip
        return tuple(infos)

    @cached_property
    def labels(self) -> np.ndarray:
        """(samples,) int32: the class of each sample, balanced and shuffled."""
        return self.rng(1).permutation(np.arange(self.samples) % self.classes).astype(np.int32)

    @property
    def probe_labels(self) -> np.ndarray:
        """(samples,) int32: the labels that the probe has; −1 where it has none."""
        return self.labels if self.labelled else np.full(self.samples, -1, np.int32)

    @cached_property
    def difficulty(self) -> np.ndarray:
        """(samples,) how hard a sample is: 0 easy, beyond 1 never learnt."""
        return self.rng(2).beta(1.3, 4.5, self.samples) * 1.35

    @cached_property
    def rival(self) -> np.ndarray:
        """(samples,) the class with which a sample is confused."""
        offset = self.rng(3).choice([1, 2, 5], self.samples, p=[0.6, 0.25, 0.15])
        return ((self.labels + offset) % self.classes).astype(np.int32)

    def progress(self, epoch: int) -> float:
        """How much has been learnt: 0 at the start, towards 1."""
        return 1 - math.exp(-epoch / max(2.0, 0.22 * self.epochs))

    def separation(self, depth: float, epoch: int) -> float:
        """How far the classes are apart in a layer at relative `depth`: 0 … 1."""
        return (0.12 + 0.88 * self.progress(epoch)) * (0.25 + 0.75 * depth**0.8) * (1 if epoch else 0.8)

    def doubt(self, epoch: int) -> np.ndarray:
        """(samples,) 0 = surely its own class, 1 = surely its rival's."""
        wobble = 0.05 * np.sin(0.9 * epoch + 40 * self.difficulty)
        return 1 / (1 + np.exp(-9 * (self.difficulty + wobble - 0.25 - 0.62 * self.progress(epoch))))

    def points(self, layer: int, epoch: int) -> np.ndarray:
        """(samples, 2) float32: the layer's layout."""
        rng, depth = self.rng(4, layer), (layer + 1) / self.layers
        even, jittered = np.arange(self.classes) / self.classes, np.sort(rng.random(self.classes))
        angles = 2 * np.pi * rng.permutation(0.65 * even + 0.35 * jittered) + 0.012 * epoch
        centres = np.stack([np.cos(angles), np.sin(angles)], 1) * rng.uniform(4.5, 9, (self.classes, 1))
        doubt = np.clip(self.doubt(epoch) * (1.4 - 0.4 * depth), 0, 1)[:, None]
        home = (1 - doubt) * centres[self.labels] + doubt * centres[self.rival]
        apart = self.separation(depth, epoch)
        stretch = rng.uniform(0.5, 1.6, (self.classes, 2))[self.labels]
        offset = rng.standard_t(6, (self.samples, 2)) * stretch * (2.6 - 2.0 * apart)
        phase = rng.uniform(0, 2 * np.pi, (self.samples, 2))
        drift = 0.18 * np.sin(0.35 * epoch + phase)
        return (apart * home + offset + drift).astype(np.float32)

    def scores(self, epoch: int) -> np.ndarray:
        """(samples, classes) float32 probabilities."""
        logits = self.rng(5).normal(0, 0.6, (self.samples, self.classes))
        doubt, rows = self.doubt(epoch), np.arange(self.samples)
        sure = 0.4 + 7.5 * self.progress(epoch)
        logits[rows, self.labels] += sure * (1 - doubt)
        logits[rows, self.rival] += sure * doubt
        raised = np.exp(logits - logits.max(1, keepdims=True))
        return (raised / raised.sum(1, keepdims=True)).astype(np.float32)

    def session(self, epoch: int, started: float) -> Session:
        return Session(
            epoch=epoch, started=started, layers=tuple(info.as_dict() for info in self.layer_infos),
            recorders={
                "embeddings": {"layout": "umap", "n_neighbors": 15, "min_dist": 0.1, "seed": 0},
                "clusters": {"eps": "auto", "min_samples": 5}, "separation": {"neighbors": 15}, "filter_health": {},
                **({"activation_histograms": {"bins": 64}} if self.histograms else {}),
            },
            schedule="every(epochs=1)", model=self.model, epochs_planned=self.epochs,
            versions={"featwatch": "0.1.0", "keras": "3.15.0", "tensorflow": "2.21.0", "umap-learn": "0.5.9"}, tap="graph, jit",
        )  # fmt: skip

    def probe(self, epoch: int) -> ProbeRecord:
        columns = min(COLUMNS, self.samples)
        return ProbeRecord(
            epoch=epoch, labels=self.probe_labels,
            indices=np.sort(self.rng(6).choice(self.samples * 3, self.samples, replace=False)).astype(np.int64),
            class_names=tuple(str(number) for number in range(self.classes)) if self.labelled else (),
            source_size=self.samples * 3, thumbnails=self.sprite(columns) if self.thumbnails else b"",
            thumbnail_width=THUMBNAIL, thumbnail_height=THUMBNAIL, thumbnail_columns=columns,
            thumbnail_note="grey, black = 0, white = 16",
        )  # fmt: skip

    def sprite(self, columns: int) -> bytes:
        """PNG of scikit-learn's digits, one of the right class for each sample."""
        digits, rng = _digits(), self.rng(7)
        rows = -(-self.samples // columns)
        sheet = Image.new("L", (columns * THUMBNAIL, rows * THUMBNAIL))
        for sample, label in enumerate(self.labels):
            pixels = digits.images[rng.choice(np.flatnonzero(digits.target == label % 10))]
            digit = Image.fromarray((pixels * 255 / 16).astype(np.uint8))
            thumbnail = digit.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BICUBIC)
            sheet.paste(thumbnail, (sample % columns * THUMBNAIL, sample // columns * THUMBNAIL))
        png = io.BytesIO()
        sheet.save(png, "PNG")
        return png.getvalue()

    def predictions(self, epoch: int) -> Predictions:
        scores = self.scores(epoch)
        classes = scores.argmax(1).astype(np.int32)
        accuracy = float(np.mean(classes == self.labels)) if self.labelled else math.nan
        return Predictions(epoch=epoch, classes=classes, certainty=scores.max(1), scores=scores, accuracy=accuracy)

    def epoch_log(self, epoch: int) -> EpochLog:
        """Keras' numbers; none before any training."""
        wobble = self.rng(8, epoch).normal(0, 1, 4) * 0.012
        progress = self.progress(epoch)
        values = {
            "loss": 2.3 * (1 - progress) ** 1.15 + 0.03, "accuracy": 0.1 + 0.885 * progress ** 0.8,
            "val_loss": 2.3 * (1 - progress) ** 1.05 + 0.12 + 0.06 * progress ** 8, "val_accuracy": 0.1 + 0.86 * progress ** 0.8,
        }  # fmt: skip
        noisy = {name: value * (1 + noise) for (name, value), noise in zip(values.items(), wobble, strict=True)}
        noisy |= {name: min(value, 1.0) for name, value in noisy.items() if "accuracy" in name}
        return EpochLog(
            epoch=epoch, metrics=noisy if epoch else {}, elapsed_seconds=2.0 + 3.1 * epoch, blocked_seconds=0.08 + abs(wobble[0])
        )

    def health(self, layer: int, epoch: int) -> LayerHealth:
        info, rng, progress = self.layer_infos[layer], self.rng(9, layer), self.progress(epoch)
        n = info.filters
        energy = rng.lognormal(0.3, 0.35, n) * (1 + progress * rng.normal(0.5, 0.5, n).clip(-0.6, 2))
        negative = (rng.normal(0.5, 0.07, n) + progress * rng.normal(0.04, 0.1, n)).clip(0.02, 0.98)
        bias = progress * rng.normal(-0.05, 0.12, n)
        active = (rng.beta(3, 3, n) * (1 - 0.45 * progress * (layer + 1) / self.layers)).clip(0.004, 1)
        ceiling = rng.gamma(3, 0.6, n) * (1 + 2 * progress) + 0.05
        doomed = (rng.random(n) < 0.07) & (rng.uniform(0.1, 0.9, n) < progress) & (info.activation != "softmax")
        cause = np.where(doomed, np.array(CAUSES[1:4])[np.arange(n) % 3], "")
        energy = np.where(cause == "no energy", energy * 0.004, energy)
        negative = np.where(cause == "negative weights", 0.97, negative)
        bias = np.where(cause == "negative bias", -1.6 - rng.random(n), bias)
        active, ceiling = np.where(doomed, 0, active), np.where(doomed, 0, ceiling)
        group = np.full(n, -1, np.int32)
        if n >= 8 and progress > 0.5:
            group[[1, 4]], group[[2, 6, 7]] = 0, 1
        return LayerHealth(
            epoch=epoch, layer=info.name, energy=energy, negative_fraction=negative, bias=bias, active_fraction=active,
            max_activation=ceiling, min_activation=np.zeros(n), mean_activation=ceiling * active * 0.3, dead=doomed, cause=cause,
            group=group, activation=info.activation, test="never above 0 on the probe",
        )  # fmt: skip

    def separation_record(self, layer: int, epoch: int) -> LayerSeparation:
        info, rng = self.layer_infos[layer], self.rng(10, layer, epoch)
        apart = self.separation((layer + 1) / self.layers, epoch)
        floor, sketched = 1 / self.classes, info.sketch < info.features
        accuracy = floor + (1 - floor) * apart**0.45 * 0.98 + rng.normal(0, 0.004)
        return LayerSeparation(
            epoch=epoch, layer=info.name, knn_accuracy=float(min(1, accuracy)),
            silhouette=float(-0.06 + 0.66 * apart**1.6 + rng.normal(0, 0.004)), neighbors=15, samples=self.samples,
            features=info.features, sketch=info.sketch, distance_error=0.022 * sketched,
        )  # fmt: skip

    def embedding(self, layer: int, epoch: int, started_from: int) -> Embedding:
        info, rng = self.layer_infos[layer], self.rng(11, layer, epoch)
        apart = self.separation((layer + 1) / self.layers, epoch)
        return Embedding(
            epoch=epoch, layer=info.name, points=self.points(layer, epoch),
            trustworthiness=float(0.9 + 0.09 * apart + rng.normal(0, 0.002)),
            neighbors_kept=float(0.34 + 0.3 * apart + rng.normal(0, 0.006)), started_from=started_from, features=info.features,
            sketch=info.sketch, distance_error=0.022 * (info.sketch < info.features), elapsed_seconds=0.6 + 0.2 * rng.random(),
        )  # fmt: skip

    def clusters(self, layer: int, epoch: int, eps: float = 0.62) -> Clustering:
        """What DBSCAN really finds in the layout; `eps` for 600 samples, adapted to the density."""
        points, eps = self.points(layer, epoch), eps * math.sqrt(600 / max(self.samples, 1))
        found = np.full(len(points), -1, np.int32)
        if len(points):
            # By tree: the other way starts threads, which costs more than it saves.
            found = DBSCAN(eps=eps, min_samples=5, algorithm="kd_tree").fit_predict(points).astype(np.int32)
        purity, adjusted_rand, mutual_information = agreement(self.labels, found) if self.labelled else (math.nan,) * 3
        return Clustering(
            epoch=epoch, layer=self.layer_infos[layer].name, labels=found, count=int(found.max(initial=-1)) + 1, eps=eps,
            noise_fraction=float(np.mean(found < 0)) if len(points) else math.nan, min_samples=5, purity=purity,
            adjusted_rand=adjusted_rand, normalized_mutual_info=mutual_information,
        )  # fmt: skip

    def records(self, epoch: int, *, first: int = 0, analysed: bool = True) -> Iterator[Record]:
        """What is recorded at an epoch, in the order of writing; `analysed` false = the worker is still behind."""
        yield self.epoch_log(epoch)
        yield self.predictions(epoch)
        for layer in range(self.layers):
            health = self.health(layer, epoch)
            yield health
            if self.histograms:
                filters = Filters(self.layer_infos[layer], self.samples, self.probe_labels, (self.seed, 12, layer))
                yield histograms(health, filters, self.progress(epoch))
        if analysed:
            for layer in range(self.layers):
                if self.labelled:
                    yield self.separation_record(layer, epoch)
                yield self.embedding(layer, epoch, epoch - 1 if epoch > first else -1)
                yield self.clusters(layer, epoch)

    def journal(self, epoch: int) -> Journal:
        return Journal(
            epoch=epoch,
            entries=(
                {"kind": "note", "epoch": 0, "layer": self.layer_infos[0].name,
                 "text": f"Distances between {self.layer_infos[0].features} features are estimated from {SKETCH} (±2.2 %)."},
                {"kind": "thinned", "epoch": max(epoch - 1, 0), "recorder": "embeddings",
                 "text": "The analysis worker was behind: one snapshot was computed later than recorded."},
            ),
        )  # fmt: skip


_digits = functools.cache(load_digits)


def write_log(
    log_dir: str | Path,
    *,
    layers: int = 6,
    epochs: int = 20,
    samples: int = 600,
    classes: int = 10,
    filters: int = 32,
    seed: int = 0,
    thumbnails: bool = True,
    labelled: bool = True,
    names: tuple[str, ...] = (),
    histograms: bool = False,
    features: Features | None = None,
    embeddings: Evolution | None = None,
    deeds: Deeds | None = None,
    explained: Explained | None = None,
    prunings: Prunings | None = None,
    first: int = 0,
    behind: int = 0,
    live: float = 0.0,
    journal: bool = True,
    clock: Callable[[], float] = time.time,
) -> Story:
    """The story that was written into `log_dir`: one session with the epochs `first` … `epochs`.

    `first` > 0 resumes an earlier training; `behind` leaves that many last epochs without analysis;
    `live` waits so many seconds before each epoch after the first.
    """
    story = Story(
        layers=layers, epochs=epochs, samples=samples, classes=classes, filters=filters, seed=seed, thumbnails=thumbnails,
        labelled=labelled, names=names, histograms=histograms,
    )  # fmt: skip
    writer: Writer = EventFileWriter(log_dir, first, clock=clock)
    if explained:
        writer = Telling(story, explained, writer)     # next to the file: it goes by clusters as they are told
    if features:
        by_step = EventFileWriter(log_dir, 0, axis="steps", clock=clock) if features.steps else None
        writer = Telling(story, features, writer, by_step)
    if embeddings:
        writer = Telling(story, embeddings, writer)
    if deeds:
        writer = Telling(story, deeds, writer)
    if prunings:
        writer = Telling(story, prunings, writer)
    try:
        writer.write(story.session(first, clock()))
        writer.write(story.probe(first))
        for epoch in range(first, epochs + 1):
            if live and epoch > first:
                time.sleep(live)
            for record in story.records(epoch, first=first, analysed=epoch <= epochs - behind):
                writer.write(record)
            if journal and epoch == first + (epochs - first) // 2:
                writer.write(story.journal(epoch))
            if live:
                writer.flush()
                print(f"epoch {epoch}", flush=True)
    finally:
        writer.close()
    return story


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a synthetic featwatch log.")
    parser.add_argument("out")
    defaults = {"layers": 6, "epochs": 20, "samples": 600, "classes": 10, "filters": 32, "seed": 0, "first": 0, "behind": 0}
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--no-thumbnails", dest="thumbnails", action="store_false")
    parser.add_argument("--unlabelled", dest="labelled", action="store_false")
    parser.add_argument("--histograms", action="store_true")
    parser.add_argument("--features", action="store_const", const=Features(), help="and alerts, cost, attributes")
    parser.add_argument("--embeddings", action="store_const", const=Evolution(stages=9), help="and grids, alignment, events")
    parser.add_argument("--deeds", action="store_const", const=Deeds(), help="and what filters do")
    parser.add_argument("--explained", action="store_const", const=Explained(), help="and what they answer to")
    parser.add_argument("--prunings", action="store_const", const=Prunings(), help="and what is pruned")
    parser.add_argument("--no-journal", dest="journal", action="store_false")
    parser.add_argument("--live", type=float, default=0.0, metavar="SECONDS", help="append an epoch every so often")
    options = vars(parser.parse_args())
    write_log(options.pop("out"), **options)


if __name__ == "__main__":
    main()
