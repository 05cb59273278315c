"""What is recorded around the embeddings of a training that never happened: grids, alignment, events, identities.

Positions and classes are the story's.  Planted besides: in the last layer the clusters of the classes 0 and 1 are one
for a while; two layers in the middle are nearly the same; one layer may be laid out badly.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from featwatch.records import (
    Clustering,
    Embedding,
    GridMap,
    LayerAlignment,
    LayerSeparation,
    Predictions,
    Record,
    SampleEvents,
)
from tests.synthetic_features import Training

SHOWN = 5               # representatives of a cluster
MOST = 64               # entries of a record of events


@dataclass
class Evolution:
    """Says more of embeddings than the story does.  Remembers what it said last, so it serves for one log."""

    grid: bool = True
    stages: int = 0                     # snapshots of each layout's optimisation
    doubtful: str = ""                  # a layer of which no layout is to be believed
    merged: bool = True                 # whether two clusters of the last layer are one in the third quarter of the training
    seed: int = 0
    _before: dict[tuple[str, str], Any] = field(default_factory=dict)
    _next: dict[str, int] = field(default_factory=dict)
    _ever_right: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))

    def together(self, story: Training) -> range:
        """Epochs at which the two clusters are one."""
        return range(story.epochs // 2, 3 * story.epochs // 4) if self.merged else range(0)

    def told(self, story: Training, record: Record) -> Iterator[Record]:
        """A record of the story with what it says in addition, and the records that belong beside it."""
        last = record.layer == story.layer_infos[-1].name
        if isinstance(record, Predictions):
            yield record
            yield self.events(story, record)
        elif isinstance(record, LayerSeparation):
            yield self.separation(story, record)
        elif isinstance(record, Embedding):
            if (story.probe_labels < 0).all():
                yield self.separation(story, LayerSeparation(epoch=record.epoch, layer=record.layer, samples=0))
            yield (told := self.embedding(story, record))
            if self.grid:
                yield grid_of(told)
        elif isinstance(record, Clustering):
            yield self.clusters(story, record)
            if last:
                yield self.alignment(story, record.epoch)
        else:
            yield record

    def embedding(self, story: Training, record: Embedding) -> Embedding:
        rng = np.random.default_rng((self.seed, record.epoch, *record.layer.encode()))
        before = self._swap("points", record.layer, (record.epoch, record.points))
        movement, travelled = np.zeros(0, np.float32), ()
        fresh = before is None or record.started_from < 0
        if not fresh:
            movement = np.linalg.norm(record.points - before[1], axis=1).astype(np.float32) * 1.6
            farthest = np.argsort(-movement, kind="stable")[:10]
            travelled = tuple({"sample": int(i), "distance": float(movement[i])} for i in farthest)
        calm = 1 - 0.35 * math.exp(-record.epoch / 3)
        steady = float(np.clip(calm * 0.97 + rng.normal(0, 0.015), -1, 1))
        info = next(info for info in story.layer_infos if info.name == record.layer)
        cells = max(1, info.features // max(info.filters, 1))
        favourite = np.random.default_rng((self.seed, 1)).integers(0, info.filters, int(story.probe_labels.max(initial=0)) + 1)
        largest = np.where(rng.random(len(record.points)) < 0.8, favourite[np.maximum(story.probe_labels, 0)],
                           rng.integers(0, info.filters, len(record.points)))  # fmt: skip
        low = record.layer == self.doubtful
        extra: dict[str, Any] = {}
        if self.stages:
            rounds = np.linspace(0, 200, self.stages).astype(np.int32)
            start = before[1] if not fresh else rng.normal(0, 1, record.points.shape).astype(np.float32)
            share = (1 - np.exp(-rounds / 60)) / (1 - math.exp(-200 / 60))
            extra = {"rounds": rounds, "stages": start + share[:, None, None].astype(np.float32) * (record.points - start)}
        return dataclasses.replace(
            record, movement=movement, travelled=travelled, seed=0, sketch_seed=0,
            features_moved=math.nan if fresh else 0.3, points_moved=math.nan if fresh else 0.02 if steady > 0.24 else 0.4,
            stability=math.nan if fresh else steady, stability_rank=math.nan if fresh else steady - 0.04,
            trustworthiness=0.63 if low else record.trustworthiness, neighbors_kept=0.21 if low else record.neighbors_kept,
            largest=(rng.integers(0, cells, len(largest)) * info.filters + largest).astype(np.int32), **extra,
        )  # fmt: skip

    def clusters(self, story: Training, record: Clustering) -> Clustering:
        labels = record.labels.copy()
        if record.layer == story.layer_infos[-1].name and record.epoch in self.together(story):
            one, other = (main_cluster(labels, story.probe_labels, label) for label in (0, 1))
            if min(one, other) >= 0 and one != other:
                labels[labels == max(one, other)] = min(one, other)
                labels[labels > max(one, other)] -= 1
                purity, rand, mutual = agreement(story.probe_labels, labels)
                record = dataclasses.replace(record, purity=purity, adjusted_rand=rand, normalized_mutual_info=mutual)
        points = self._before["points", record.layer][1]
        before = self._before.get(("clusters", record.layer))
        identities, changes, fresh = matched(before, labels, self._next.get(record.layer, 0))
        self._next[record.layer] = fresh
        self._before["clusters", record.layer] = (record.epoch, labels, identities)
        return dataclasses.replace(
            record, labels=labels, count=len(identities), identities=identities, changes=changes, next_identity=fresh,
            last=before[0] if before else -1, representatives=central(points, labels, len(identities)),
        )  # fmt: skip

    def separation(self, story: Training, record: LayerSeparation) -> LayerSeparation:
        names = [info.name for info in story.layer_infos]
        at, matrix, to_last = names.index(record.layer), *aligned(story, record.epoch)
        rng = np.random.default_rng((self.seed, 2, record.epoch, at))
        known = self._swap("separation", record.layer, record.epoch)
        return dataclasses.replace(
            record,
            probe_accuracy=float(np.minimum(1, record.knn_accuracy * 0.94 + 0.06 + rng.normal(0.01, 0.006))),
            probe_deviation=math.nan if math.isnan(record.knn_accuracy) else 0.008 + 0.05 * (1 - record.knn_accuracy),
            cka_to_previous=float(matrix[at, at - 1]) if at else math.nan, previous=names[at - 1] if at else "",
            cka_to_last=math.nan if known is None else float(to_last[at]), last=-1 if known is None else known,
        )  # fmt: skip

    def alignment(self, story: Training, epoch: int) -> LayerAlignment:
        matrix, to_last = aligned(story, epoch)
        known = self._swap("cka", "", epoch)
        return LayerAlignment(
            epoch=epoch, layers=np.array([info.name for info in story.layer_infos]), matrix=matrix,
            to_last=to_last if known is not None else np.full(len(to_last), np.nan, np.float32),
            last=-1 if known is None else known, samples=len(story.probe_labels),
        )  # fmt: skip

    def events(self, story: Training, record: Predictions) -> SampleEvents:
        """What changed since the epoch before, found by plain loops."""
        before = self._swap("predictions", "", (record.epoch, record.classes, record.scores))
        labels = story.probe_labels
        right = (record.classes == labels) & (labels >= 0)
        ever = self._ever_right if len(self._ever_right) == len(labels) else np.zeros(len(labels), bool)
        self._ever_right = ever | right
        if before is None:
            return SampleEvents(epoch=record.epoch)
        found: list[dict[str, Any]] = []
        for sample, (was, now) in enumerate(zip(before[1].tolist(), record.classes.tolist(), strict=True)):
            label = int(labels[sample])
            about = label if label >= 0 and was != now and label in (was, now) else now
            size = abs(float(record.scores[sample, about]) - float(before[2][sample, about]))
            if was == label and now != label and label >= 0:
                kind = "forgotten"
            elif now == label and not ever[sample] and label >= 0:
                kind = "learnt"
            elif was != now and (label < 0 or label not in (was, now)):
                kind = "flip"
            elif was == now and size > 0.25:
                kind = "jump"
            else:
                continue
            found.append({"kind": kind, "sample": sample, "size": min(size, 1.0), "before": was, "after": now})
        counts: dict[str, int] = {}
        for one in found:
            counts[one["kind"]] = counts.get(one["kind"], 0) + 1
        entries = tuple(sorted(found, key=lambda one: -one["size"])[:MOST])
        return SampleEvents(epoch=record.epoch, entries=entries, counts=counts, since=before[0])

    def _swap(self, what: str, layer: str, now: Any) -> Any:
        before = self._before.get((what, layer))
        self._before[what, layer] = now
        return before


def aligned(story: Training, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """(layers, layers) and (layers,) float32: alike as far as layers are near; two in the middle are nearly the same."""
    count = len(story.layer_infos)
    place = np.linspace(0, 0.5 + 0.9 * story.progress(epoch), count) ** 1.3
    if count >= 4:
        place[count // 2 :] -= 0.985 * (place[count // 2] - place[count // 2 - 1])
    matrix = np.exp(-np.abs(place[:, None] - place) * 1.4)
    change = 0.55 * math.exp(-epoch / 4) * (0.35 + 0.65 * np.arange(1, count + 1) / count)
    return matrix.astype(np.float32), (1 - change).astype(np.float32)


def grid_of(record: Embedding) -> GridMap:
    """Rows of samples by y, each row sorted by x: no best assignment, and quick."""
    points, n = record.points, len(record.points)
    columns = max(1, math.ceil(math.sqrt(n)))
    rows, cells = max(1, -(-n // columns)), np.zeros(n, np.int32)
    for row, members in enumerate(np.array_split(np.argsort(points[:, 1], kind="stable"), rows)):
        cells[members[np.argsort(points[members, 0], kind="stable")]] = row * columns + np.arange(len(members))
    low, high = points.min(0, initial=0), points.max(0, initial=1)
    cell = float(max(high - low) / max(columns, rows))
    return GridMap(
        epoch=record.epoch, layer=record.layer, cells=cells, columns=columns, rows=rows, left=float(low[0]), bottom=float(low[1]),
        cell=cell, cost=1.0, exact=False, elapsed_seconds=0.1,
    )  # fmt: skip


def main_cluster(labels: np.ndarray, classes: np.ndarray, wanted: int) -> int:
    """The cluster with most samples of a class; −1 where there is none."""
    inside = labels[(classes == wanted) & (labels >= 0)]
    return int(np.bincount(inside).argmax()) if len(inside) else -1


def central(points: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """(count, SHOWN) int32: the samples nearest to each cluster's mean, −1 where it has fewer."""
    chosen = np.full((count, SHOWN), -1, np.int32)
    for cluster in range(count):
        members = np.flatnonzero(labels == cluster)
        order = members[np.argsort(np.linalg.norm(points[members] - points[members].mean(0), axis=1), kind="stable")][:SHOWN]
        chosen[cluster, : len(order)] = order
    return chosen


def matched(before: Any, labels: np.ndarray, fresh: int) -> tuple[np.ndarray, tuple[dict[str, Any], ...], int]:
    """The clusters' identities, what became of those before, and the first number not given yet."""
    count = int(labels.max(initial=-1)) + 1
    if before is None:
        return np.arange(fresh, fresh + count, dtype=np.int32), (), fresh + count
    _, old_labels, old = before
    table = np.zeros((len(old), count))
    both = (old_labels >= 0) & (labels >= 0)
    np.add.at(table, (old_labels[both], labels[both]), 1)
    sizes, news = np.bincount(old_labels[old_labels >= 0], minlength=len(old)), np.bincount(labels[labels >= 0], minlength=count)
    jaccard = table / np.maximum(sizes[:, None] + news - table, 1)
    rows, columns = linear_sum_assignment(-jaccard)
    identities = np.full(count, -1, np.int32)
    for row, column in zip(rows, columns, strict=True):
        if jaccard[row, column] >= 0.3:
            identities[column] = old[row]
    unknown = np.flatnonzero(identities < 0)
    identities[unknown] = fresh + np.arange(len(unknown))
    into = [np.flatnonzero(table[row] > 0.25 * max(sizes[row], 1)) for row in range(len(old))]
    came = [np.flatnonzero(table[:, column] > 0.25 * max(news[column], 1)) for column in range(count)]
    changes = [
        {"kind": "split", "from": [int(old[row])], "into": identities[new].tolist(), "samples": apart(table[row, new])}
        for row, new in enumerate(into) if len(new) > 1
    ] + [
        {"kind": "merge", "from": old[was].tolist(), "into": [int(identities[column])], "samples": apart(table[was, column])}
        for column, was in enumerate(came) if len(was) > 1
    ]  # fmt: skip
    told_of = set(itertools.chain.from_iterable([*change["from"], *change["into"]] for change in changes))
    changes += [
        {"kind": "born", "from": [], "into": [int(identities[column])], "samples": int(news[column])}
        for column in unknown if int(identities[column]) not in told_of
    ] + [
        {"kind": "gone", "from": [int(old[row])], "into": [], "samples": int(sizes[row])}
        for row in range(len(old)) if int(old[row]) not in {*identities.tolist(), *told_of}
    ]  # fmt: skip
    return identities, tuple(changes), fresh + len(unknown)


def apart(parts: np.ndarray) -> int:
    """Samples outside the largest part."""
    return int(parts.sum() - parts.max())


def agreement(labels: np.ndarray, found: np.ndarray) -> tuple[float, float, float]:
    """Purity of the clusters without noise (−1); adjusted Rand index and normalised mutual information with it."""
    table = np.zeros((labels.max(initial=0) + 1, found.max(initial=-1) + 2))
    np.add.at(table, (labels, found + 1), 1)
    inside, total = table[:, 1:], table.sum()
    if total < 2 or not inside.sum():
        return math.nan, math.nan, math.nan

    def pairs(counts: np.ndarray) -> float:
        return float((counts * (counts - 1) / 2).sum())

    def entropy(counts: np.ndarray) -> float:
        shares = counts[counts > 0] / total
        return float(-(shares * np.log(shares)).sum())

    rows, columns = table.sum(1), table.sum(0)
    expected = pairs(rows) * pairs(columns) / pairs(np.array([total]))
    spread = (pairs(rows) + pairs(columns)) / 2 - expected
    rand = (pairs(table) - expected) / spread if spread else 1.0
    mean_entropy = (entropy(rows) + entropy(columns)) / 2
    mutual = (entropy(rows) + entropy(columns) - entropy(table)) / mean_entropy if mean_entropy else 1.0
    return float(inside.max(0).sum() / inside.sum()), rand, mutual
