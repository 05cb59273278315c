"""Small logs of every kind of record, written through the real writer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from featwatch.records import (
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
from featwatch.writers import EventFileWriter

LAYERS = ("conv1", "block/conv2", "dense")
SAMPLES = 5


def info(name: str) -> LayerInfo:
    return LayerInfo(
        name=name, type="Conv2D", shape=(8, 8, 4), filters=4, tapped=name, activation="relu",
        parameters=40, features=256, sketch=256,
    )  # fmt: skip


def session(first: int, layers: tuple[str, ...] = LAYERS) -> Session:
    return Session(epoch=first, started=1.0, layers=tuple(info(name).as_dict() for name in layers), schedule="every(epochs=1)")


def snapshot(epoch: int, mark: float = 0.0, layers: tuple[str, ...] = LAYERS) -> Iterator[Record]:
    """Every kind of record of one epoch; `mark` tells trainings apart."""
    yield EpochLog(epoch=epoch, metrics={"loss": 1 / (epoch + 1), "mark": mark})
    yield Journal(epoch=epoch, entries=tuple({"kind": "note", "epoch": k, "text": f"epoch {k}"} for k in range(epoch + 1)))
    scores = np.eye(SAMPLES, 3, dtype=np.float32)
    yield Predictions(epoch=epoch, classes=np.arange(SAMPLES), certainty=np.full(SAMPLES, mark), scores=scores, accuracy=0.5)
    for layer in layers:
        per_filter = np.arange(4, dtype=np.float32)
        yield Embedding(epoch=epoch, layer=layer, points=np.full((SAMPLES, 2), epoch + mark, np.float32), trustworthiness=0.9)
        yield Clustering(epoch=epoch, layer=layer, labels=np.arange(SAMPLES) - 1, count=4)
        yield LayerSeparation(epoch=epoch, layer=layer, knn_accuracy=epoch / 10)
        yield LayerHealth(
            epoch=epoch, layer=layer, energy=per_filter, negative_fraction=per_filter, bias=per_filter,
            active_fraction=per_filter, max_activation=per_filter, min_activation=per_filter, mean_activation=per_filter,
            dead=per_filter == 0, cause=np.array(["no energy", "", "", ""]), group=np.full(4, -1),
        )  # fmt: skip


def train(log_dir: Path | str, epochs: range, mark: float = 0.0, layers: tuple[str, ...] = LAYERS) -> Path:
    """A training as the watch writes one; returns its event file."""
    writer = EventFileWriter(log_dir, epochs.start)
    writer.write(session(epochs.start, layers))
    writer.write(ProbeRecord(epoch=epochs.start, labels=np.arange(SAMPLES), indices=np.arange(SAMPLES), class_names=("a", "b")))
    for epoch in epochs:
        for record in snapshot(epoch, mark, layers):
            writer.write(record)
    writer.close()
    return Path(writer.path)
