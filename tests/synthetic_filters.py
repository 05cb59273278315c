"""What filters do in a training that never happened: health with every cause, doubles, sums, specific units, kernels, maps.

The story: most filters live; some die at an epoch, of every cause in turn, and some of these come back; some sleep at
first.  From a third of the training on a few groups of filters say the same, and some are weighted sums of others.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage
from sklearn.datasets import load_digits

from featwatch.records import (
    CAUSES,
    Alert,
    EpochLog,
    Histograms,
    Journal,
    Kernels,
    LayerHealth,
    LayerInfo,
    Maps,
    Record,
    Session,
    Similarity,
    Specificity,
)
from tests.synthetic_features import Training
from tests.synthetic_histograms import Filters, histograms

FEW = 3                 # terms of a sum, at most
MOST_BYTES = 512 * 1024  # of a record's pixels
RECORDERS = ("filter_similarity", "class_specificity", "kernel_pictures", "activation_maps")


@dataclass(frozen=True)
class Deeds:
    """What is recorded of filters beside the spine.  Everything follows from the fields."""

    similarity: bool = True
    specificity: bool = True
    kernels: bool = True
    maps: bool = True
    every: int = 5                  # epochs between two records of kernels and maps
    doomed: float = 0.14            # share of the filters that die at some epoch
    asleep: float = 0.05            # share that wake up later
    shown: int = 6                  # samples of which there are maps
    alerts: bool = True
    layout: bool = True             # whether weights have a UMAP beside the PCA
    seed: int = 0

    def told(self, story: Training, record: Record) -> Iterator[Record]:
        """A record of the story with what it says in addition, and the records that belong beside it."""
        if isinstance(record, Session):
            on = (self.similarity, self.specificity, self.kernels, self.maps)
            recorders = {**record.recorders, **{name: {} for name, there in zip(RECORDERS, on, strict=True) if there}}
            yield dataclasses.replace(record, recorders=recorders, layers=tuple(map(counted, record.layers)))
        elif isinstance(record, LayerHealth):
            layer = next(index for index, info in enumerate(story.layer_infos) if info.name == record.layer)
            yield from self.of_layer(story, layer, record.epoch)
        elif isinstance(record, Histograms):
            layer = next(index for index, info in enumerate(story.layer_infos) if info.name == record.layer)
            like = Filters(story.layer_infos[layer], len(story.probe_labels), story.probe_labels, (self.seed, 9, layer))
            yield histograms(self.health(story, layer, record.epoch), like, story.progress(record.epoch))
        elif isinstance(record, EpochLog):
            yield record
            if self.alerts and record.epoch == story.epochs:
                yield self.journal(story, record.epoch)
        else:
            yield record

    def of_layer(self, story: Training, layer: int, epoch: int) -> Iterator[Record]:
        info, spatial = story.layer_infos[layer], len(story.layer_infos[layer].shape) == 3
        health = self.health(story, layer, epoch)
        yield health
        if self.similarity:
            yield self.alike(story, layer, health)
        if self.specificity and (story.probe_labels >= 0).any():
            yield self.specific(story, layer, health)
        elif self.specificity and not epoch:
            yield self.no_classes(health)
        if spatial and epoch % self.every == 0:
            if self.kernels:
                yield self.pictures(info, layer, epoch, story.progress(epoch))
            if self.maps and (story.probe_labels >= 0).any():
                yield self.mapped(story, layer, health)

    def lives(self, story: Training, layer: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(filters,) each: the first epoch awake, the one of death, the one of coming back; infinite = never."""
        rng, n = np.random.default_rng((self.seed, layer, 1)), story.layer_infos[layer].filters
        last = max(story.epochs, 1)
        awake = np.where(rng.random(n) < self.asleep, np.ceil(rng.uniform(0.1, 0.5, n) * last), 0.0)
        death = np.where(rng.random(n) < self.doomed, np.ceil(awake + rng.uniform(0.1, 0.7, n) * last), np.inf)
        back = np.where(rng.random(n) < 0.25, death + np.ceil(rng.uniform(0.1, 0.3, n) * last), np.inf)
        if story.layer_infos[layer].activation == "softmax":
            awake, death = np.zeros(n), np.full(n, np.inf)
        return awake, death, back

    def alive(self, story: Training, layer: int, epoch: int) -> np.ndarray:
        awake, death, back = self.lives(story, layer)
        return (epoch >= awake) & ((epoch < death) | (epoch >= back))

    def health(self, story: Training, layer: int, epoch: int) -> LayerHealth:
        info, progress = story.layer_infos[layer], story.progress(epoch)
        n, rng = info.filters, np.random.default_rng((self.seed, layer, 2))
        alive, number = self.alive(story, layer, epoch), np.arange(n)
        cause = np.where(alive, "", np.array(CAUSES[1:])[number % (len(CAUSES) - 1)])
        energy = rng.lognormal(0.3, 0.35, n) * (1 + progress * rng.normal(0.5, 0.5, n).clip(-0.6, 2))
        negative = (rng.normal(0.5, 0.07, n) + progress * rng.normal(0.04, 0.1, n)).clip(0.02, 0.93)
        bias = progress * rng.normal(-0.05, 0.12, n)
        rate, speed, phase = rng.beta(3, 3, n), rng.normal(0.4, 0.5, n), rng.uniform(0, 2 * math.pi, n)
        depth = (layer + 1) / len(story.layer_infos)
        active = (rate * (1 - speed * progress * depth) + 0.03 * np.sin(0.7 * epoch + phase)).clip(0.004, 1)
        ceiling = rng.gamma(3, 0.6, n) * (1 + 2 * progress) + 0.05
        scale = rng.normal(1, 0.12, n) * (1 + 0.3 * progress * rng.normal(0, 1, n))
        shift = progress * rng.normal(-0.1, 0.2, n)
        energy = np.where(cause == "no energy", energy * 1e-4, energy)
        negative = np.where(cause == "negative weights", 1.0, negative)
        bias = np.where(cause == "negative bias", -1.6 - rng.random(n), bias)
        scale = np.where(cause == "zero scale", 1e-4, scale)
        active, ceiling = np.where(alive, active, 0), np.where(alive, ceiling, 0)
        wide = layer == 0 and len(info.shape) == 3
        before = self.alive(story, layer, epoch - 1) if epoch else alive
        ever = np.any([self.alive(story, layer, one) for one in range(epoch + 1)], axis=0)
        earlier = np.any([self.alive(story, layer, one) for one in range(epoch)], axis=0) if epoch else ever
        born = alive & ~before
        normalised = layer % 2 == 1
        return LayerHealth(
            epoch=epoch, layer=info.name, energy=energy, negative_fraction=negative,
            bias=np.full(n, np.nan) if normalised else bias, active_fraction=active, max_activation=ceiling,
            min_activation=np.zeros(n), mean_activation=ceiling * active * 0.3, dead=~alive, cause=cause,
            group=np.full(n, -1, np.int32), proven=~alive & (number % 2 == 0), responsive_fraction=active,
            **({"scale": scale, "shift": shift} if normalised else {}),
            **({"roughness": (1.05 - 0.9 * progress * rng.beta(4, 2, n))} if wide else {}),
            ever_alive=ever, died=np.flatnonzero(before & ~alive).astype(np.int32),
            revived=np.flatnonzero(born & earlier).astype(np.int32), awoke=np.flatnonzero(born & ~earlier).astype(np.int32),
            activation=info.activation, test="never above 0 on the probe", since=epoch - 1,
        )  # fmt: skip

    def families(self, story: Training, layer: int) -> list[np.ndarray]:
        """Members of each redundant group, the one that stays in front; none of them ever dies."""
        awake, death, _ = self.lives(story, layer)
        rng = np.random.default_rng((self.seed, layer, 3))
        free = rng.permutation(np.flatnonzero((awake == 0) & np.isinf(death)))
        sizes = [2, 3, 2, 4] * max(1, len(free) // 64) if len(free) >= 16 else []
        ends = np.cumsum(sizes)
        return [free[end - size : end] for end, size in zip(ends, sizes, strict=True)]

    def sums(self, story: Training, layer: int) -> np.ndarray:
        """(sums, 1 + FEW): filters that are weighted sums, each with its terms."""
        taken = {int(f) for family in self.families(story, layer) for f in family}
        awake, death, _ = self.lives(story, layer)
        free = np.array([f for f in np.flatnonzero((awake == 0) & np.isinf(death)) if f not in taken], int)
        count = min(max(1, len(free) // 40), 12) if len(free) >= 16 else 0
        order = np.random.default_rng((self.seed, layer, 4)).permutation(free)
        return order[: count * (1 + FEW)].reshape(count, 1 + FEW)

    def alike(self, story: Training, layer: int, health: LayerHealth) -> Similarity:
        n, progress, epoch = len(health.dead), story.progress(health.epoch), health.epoch
        rng = np.random.default_rng((self.seed, layer, 5))
        group, keep = np.full(n, -1, np.int32), np.arange(n, dtype=np.int32)
        factor, offset, residual = np.ones(n), np.zeros(n), np.full(n, np.nan)
        nearest = ((np.arange(n) + 1 + rng.integers(0, max(n - 1, 1), n)) % max(n, 1)).astype(np.int32)
        correlation, by = np.clip(rng.beta(2, 4, n) + 0.2 * progress, 0, 0.95), np.full(n, "", dtype="<U12")
        centre = rng.normal(0, 1, (n, 2)) + 1.6 * rng.normal(0, 1, (5, 2))[rng.integers(0, 5, n)]
        plane = centre * (0.35 + 0.65 * progress) + 0.05 * np.sin(0.4 * epoch + rng.uniform(0, 6, (n, 2)))
        layout = 3 * centre + rng.normal(0, 0.4, (n, 2)) + 0.1 * np.sin(0.4 * epoch + rng.uniform(0, 6, (n, 2)))
        terms, coefficients = np.full((n, FEW), -1, np.int32), np.zeros((n, FEW))
        unexplained = np.where(health.dead, np.nan, rng.uniform(0.2, 0.95, n))
        found = progress > 0.35
        for number, members in enumerate(self.families(story, layer) if found else []):
            stays = int(members[0])
            group[members], keep[members] = number, stays
            factor[members[1:]] = rng.uniform(0.5, 2, len(members) - 1)
            residual[members] = np.where(members == stays, 0, rng.uniform(0.001, 0.019, len(members)))
            by[members], nearest[members], correlation[members] = ("both", "activations", "weights")[number % 3], stays, 0.9995
            nearest[stays] = members[1]
            for place in (plane, layout):
                place[members] = place[stays] + rng.normal(0, 0.06, (len(members), 2))
        for one in self.sums(story, layer) if found else ():
            used = 2 + int(one[0]) % 2
            terms[one[0], :used] = one[1 : 1 + used]
            coefficients[one[0], :used] = rng.uniform(0.4, 2, used) * (-1.0) ** np.arange(used)
            unexplained[one[0]] = rng.uniform(0.004, 0.018)
        removable = ((group >= 0) & (keep != np.arange(n))) | (terms[:, 0] >= 0)
        weighed = {"weight_map": plane, **({"weight_layout": layout} if self.layout and n >= 10 else {})} if n > 2 else {}
        return Similarity(
            epoch=epoch, layer=health.layer, group=group, keep=keep, factor=factor, offset=offset, residual=residual, by=by,
            nearest=nearest if n > 1 else np.full(n, -1, np.int32), correlation=correlation, terms=terms,
            coefficients=coefficients, unexplained=unexplained, removable=removable,
            explained=(0.31, 0.18), values=100_000, exact=False,
            note="compared over 100 000 of 470 400 values, a fixed random part", **weighed,
        )  # fmt: skip

    def specific(self, story: Training, layer: int, health: LayerHealth, margin: float = 0.4) -> Specificity:
        labels, n = story.probe_labels, len(health.dead)
        classes, progress = int(labels.max()) + 1, story.progress(health.epoch)
        rng = np.random.default_rng((self.seed, layer, 6))
        taste = rng.normal(1, 0.12, (classes, n))
        kind = rng.choice(4, n, p=[0.35, 0.2, 0.35, 0.1])
        for peak in range(2):
            chosen = rng.integers(0, classes, n)
            taste[chosen, np.arange(n)] += np.where((kind == 1) | ((kind == 0) & (peak == 0)), 3.2 * progress, 0)
        means = (taste.clip(0.02) * health.mean_activation).astype(np.float32)
        counts = np.bincount(labels[labels >= 0], minlength=classes).astype(np.int32)
        overall = means.mean(0)
        above = means > (1 + margin) * overall
        modality = np.where(above.sum(0) > 2, 0, above.sum(0)).astype(np.int32)
        modality[(overall <= 0) | (kind == 3) & (np.arange(n) % 7 == 0)] = -1
        ranked = np.argsort(-np.where(above, means, -np.inf), axis=0, kind="stable")
        first = np.where((modality > 0), ranked[0], -1)
        second = np.where((modality == 2), ranked[min(1, classes - 1)], -1)
        return Specificity(
            epoch=health.epoch, layer=health.layer, means=means, overall=overall, samples=counts, modality=modality,
            first=first.astype(np.int32), second=second.astype(np.int32), margin=margin,
            note="undefined where a filter's mean is 0, or its negative part as large as its mean",
        )  # fmt: skip

    @staticmethod
    def no_classes(health: LayerHealth) -> Specificity:
        n, none = len(health.dead), np.full(len(health.dead), -1, np.int32)
        return Specificity(
            epoch=health.epoch, layer=health.layer, means=np.zeros((0, n)), overall=np.full(n, np.nan),
            samples=np.zeros(0, np.int32), modality=none, first=none, second=none, note="the probe has no class labels",
        )  # fmt: skip

    def filter_kernels(self, info: LayerInfo, layer: int, progress: float, inputs: int) -> np.ndarray:
        """(filters, inputs, side, side): oriented waves that come out of noise."""
        rng, side = np.random.default_rng((self.seed, layer, 7)), 5 if layer == 0 else 3
        y, x = np.mgrid[:side, :side] - side // 2
        angle, waves = rng.uniform(0, math.pi, (2, info.filters, inputs, 1, 1))
        phase = rng.uniform(0, 2 * math.pi, (info.filters, inputs, 1, 1))
        wave = np.cos((x * np.cos(angle) + y * np.sin(angle)) * (0.5 + 0.4 * waves) + phase) * np.exp(-(x**2 + y**2) / side)
        noise = rng.normal(0, 0.5, wave.shape)
        return ((0.2 + progress) * wave + (1 - progress) * noise) / (1 + np.arange(inputs)[:, None, None])

    def pictures(self, info: LayerInfo, layer: int, epoch: int, progress: float) -> Kernels:
        inputs = 1 if layer == 0 else 4
        weights = self.filter_kernels(info, layer, progress, inputs)
        largest = np.abs(weights).max((1, 2, 3))
        pixels = np.round(weights / largest[:, None, None, None] * 127 + 128).astype(np.uint8)
        rng = np.random.default_rng((self.seed, layer, 8))
        channels = max(info.filters, inputs) if layer else 1
        chosen = np.stack([rng.permutation(channels)[:inputs] for _ in range(info.filters)])
        return Kernels(
            epoch=epoch, layer=info.name, pixels=pixels, inputs=chosen.astype(np.int32), largest=largest,
            covered=np.ones(info.filters) if inputs == 1 else rng.uniform(0.4, 0.95, info.filters),
            channels=channels,
        )  # fmt: skip

    def mapped(self, story: Training, layer: int, health: LayerHealth) -> Maps:
        info, digits, labels = story.layer_infos[layer], load_digits(), story.probe_labels
        samples = np.array([np.flatnonzero(labels == value)[0] for value in np.unique(labels)][: self.shown], np.int32)
        full = info.shape[0] or 1
        side = min(full, 24)
        while side > 4 and len(samples) * side**2 * info.filters > MOST_BYTES:
            side //= 2
        samples = samples[: max(1, MOST_BYTES // (side**2 * info.filters))]
        kernels = self.filter_kernels(info, layer, story.progress(health.epoch), 1)[:, 0]
        made = np.zeros((len(samples), side, side, info.filters))
        for at, sample in enumerate(samples):
            digit = digits.images[np.flatnonzero(digits.target == max(labels[sample], 0) % 10)[sample % 50]] / 16
            image = ndimage.zoom(ndimage.gaussian_filter(digit, 0.3 * layer), side / 8, order=1)
            for f in range(info.filters):
                made[at, :, :, f] = ndimage.correlate(image, kernels[f] - kernels[f].mean(), mode="constant")
        reach = np.abs(made).max((0, 1, 2)) + 1e-6
        out = np.where(health.dead, 0, (made + np.where(np.isfinite(health.bias), health.bias, 0)).clip(0))
        high = out.max((0, 1, 2))
        bare = {"convolved": np.round(made / reach * 127 + 128).astype(np.uint8), "reach": reach} if layer == 0 else {}
        return Maps(
            epoch=health.epoch, layer=info.name, samples=samples,
            pixels=np.round(255 * out / np.maximum(high, 1e-9)).astype(np.uint8), low=np.zeros(info.filters),
            high=high, full_size=(full, full),
            note="" if side == full else f"pooled to {side} × {side} of {full} × {full}", **bare,
        )  # fmt: skip

    def journal(self, story: Training, epoch: int) -> Journal:
        """One alert of each kind that is about filters, where there is something to say."""
        raised = [alert for layer in range(len(story.layer_infos)) for alert in self.raised(story, layer, epoch)]
        entries = tuple({"kind": "alert", "epoch": epoch, "layer": a.layer, "text": a.text, "alert": a.as_dict()} for a in raised)
        return Journal(epoch=epoch, entries=entries)

    def raised(self, story: Training, layer: int, epoch: int) -> Iterator[Alert]:
        health = self.health(story, layer, epoch)
        double = np.flatnonzero(self.alike(story, layer, health).removable) if self.similarity else np.zeros(0, int)
        weakest = np.argsort(np.where(health.dead, np.inf, health.active_fraction))[:2]
        for kind, severity, filters, text in (
            ("dead filters", "warning", np.flatnonzero(health.dead), "{n} of {all} filters of {layer} never answered."),
            ("redundant filters", "advice", double, "{n} of {all} filters of {layer} say what others say."),
            ("nearly dead filters", "advice", weakest[: 2 * layer], "{n} of {all} filters of {layer} hardly ever answer."),
            ("noisy kernels", "advice", np.zeros(0, int), "The kernels of {layer} are still noise."),
        ):
            if layer if kind == "noisy kernels" else not len(filters):
                continue
            yield Alert(
                id=f"{kind}/{health.layer}", kind=kind, severity=severity, layer=health.layer, since=max(0, epoch - 4),
                filters=tuple(int(f) for f in filters), raised=max(0, epoch - 2), updated=epoch, resolved=-1, view="filters",
                text=text.format(n=len(filters), all=len(health.dead), layer=health.layer),
                suggestion="Remove them by pruning.",
                evidence={"filters": len(filters), "parameters": 9 * len(filters), "multiply_adds": 7056 * len(filters)},
            )  # fmt: skip


def counted(layer: Mapping[str, Any]) -> dict[str, Any]:
    """A layer of a session with what it costs."""
    adds = layer["parameters"] * math.prod(size or 1 for size in layer["shape"][:-1])
    each = max(layer["filters"], 1)
    return {
        **layer, "multiply_adds": adds, "filter_parameters": layer["parameters"] // each, "filter_multiply_adds": adds // each,
    }  # fmt: skip
