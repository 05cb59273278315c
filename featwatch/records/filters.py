"""What is recorded of a layer's filters: their health, activations, likeness, classes, kernels and maps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from featwatch.packing import rounded
from featwatch.records.base import Record, array

# Why a filter is dead, or "" for one that is alive.  Closed: a log may hold nothing else.
CAUSES = ("", "no energy", "negative weights", "negative bias", "dead inputs", "zero scale", "saturated", "unexplained")
SHOWN_BITS = 13         # significant bits that a log keeps of what is only shown, of every filter at every epoch
TOLD = 64               # events that a record of health tells of one by one …
TOLD_OF_EACH = 16       # … among them so many of each kind, if there are


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LayerHealth(Record):
    """What each filter of a layer does over the probe set, and its weights (rows H3, H4, H11).

    Of a filter with NaN or infinity among its activations, what is said of them is NaN, and `dead` is
    False; likewise for weights.

    A log keeps what is said of activations and weights to 1 in 8,192, in half the bytes; shares and whatever was
    decided are exact, and so are `numbers()`.
    """

    kind: ClassVar[str] = "health"
    headlines: ClassVar[tuple[str, ...]] = ("dead_count",)

    energy: np.ndarray = array("float32", "filters", bits=SHOWN_BITS)   # sum of squared weights
    negative_fraction: np.ndarray = array("float32", "filters")         # share of weights < 0
    bias: np.ndarray = array("float32", "filters", bits=SHOWN_BITS)     # NaN where the layer has none
    active_fraction: np.ndarray = array("float32", "filters")           # share of samples × positions with a value > 0
    max_activation: np.ndarray = array("float32", "filters", bits=SHOWN_BITS)
    min_activation: np.ndarray = array("float32", "filters", bits=SHOWN_BITS)
    mean_activation: np.ndarray = array("float32", "filters", bits=SHOWN_BITS)
    dead: np.ndarray = array("bool", "filters")
    cause: np.ndarray = array("str", "filters")                         # one of `CAUSES`
    # Redundant group; −1 = alone.  Always −1 in a log, where `Similarity` knows it; `Run.health` puts it in.
    group: np.ndarray = array("int32", "filters")
    # Whether the cause holds for whatever comes within the bounds of the layer's inputs; otherwise it is what the probe shows.
    proven: np.ndarray = array("bool", "filters", optional=True)
    # Share of samples × positions at which the activation passes on a gradient (`featwatch.activations`).
    responsive_fraction: np.ndarray = array("float32", "filters", optional=True)
    # γ of the batch normalisation that follows, and its β; missing = none does.
    scale: np.ndarray = array("float32", "filters", optional=True, bits=SHOWN_BITS)
    shift: np.ndarray = array("float32", "filters", optional=True, bits=SHOWN_BITS)
    # Of kernels in space: Geary's C, 1 = noise, 0 = smooth.
    roughness: np.ndarray = array("float32", "filters", optional=True, bits=SHOWN_BITS)
    ever_alive: np.ndarray = array("bool", "filters", optional=True)    # now or in any record before
    # Filters that since the record before have died, come back to life, or are alive for the first time.
    died: np.ndarray = array("int32", "died", optional=True)
    revived: np.ndarray = array("int32", "revived", optional=True)
    awoke: np.ndarray = array("int32", "awoke", optional=True)
    activation: str = ""                                        # the activation whose test for "dead" was used
    test: str = ""                                              # that test, in words
    non_finite_activations: int = 0                             # filters with a NaN or infinity among their activations
    non_finite_weights: int = 0                                 # filters with one among their weights or in their bias
    since: int = -1                                             # epoch, or step, of the record before; −1 = none

    @property
    def dead_count(self) -> int:
        return int(np.count_nonzero(self.dead))

    def numbers(self) -> dict[str, float]:
        active, rough = (_finite(values) for values in (self.active_fraction, self.roughness))
        return {
            "filters": float(len(self.dead)),
            "dead_count": float(self.dead_count),
            "active_fraction": float(np.mean(active)) if len(active) else math.nan,
            "roughness": float(np.median(rough)) if len(rough) else math.nan,
            "non_finite_activations": float(self.non_finite_activations),
            "non_finite_weights": float(self.non_finite_weights),
        }

    def told(self) -> dict[str, Any]:
        """The filters that died, came back to life or awoke; the size of an event: the filter's share of the layer's energy."""
        who = {kind: filters for kind in ("died", "revived", "awoke") if len(filters := getattr(self, kind))}
        if not who:
            return {}
        energy = rounded(self.energy, SHOWN_BITS).astype(np.float64)        # as in the log: its reader tells the same
        energy[~np.isfinite(energy)] = math.nan
        share = energy / (np.nansum(energy) or math.nan)
        first, rest = [], []
        for kind, filters in who.items():
            # A log may name filters that there are not.
            sizes = [float(share[f]) if 0 <= f < len(share) else math.nan for f in filters.tolist()]
            entries = [{"kind": kind, "filter": f, "size": size} for f, size in zip(filters.tolist(), sizes, strict=True)]
            entries.sort(key=_by_size)
            first += entries[:TOLD_OF_EACH]
            rest += entries[TOLD_OF_EACH:TOLD]
        entries = first + sorted(rest, key=_by_size)[: TOLD - len(first)]
        return {"entries": entries, "counts": {kind: len(filters) for kind, filters in who.items()}}


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Histograms(Record):
    """Histograms of every filter's activations over the probe, and its maxima on some inputs (rows H1, H2).

    `edges` are multiples of a power of two, the same for all filters of the layer.  When the range grows the
    width doubles and neighbouring bins merge, which is exact: histograms of different epochs can be
    compared by merging the finer one's bins.
    """

    kind: ClassVar[str] = "histograms"

    counts: np.ndarray = array("int32", "filters", "bins")
    edges: np.ndarray = array("float64", "edges")               # (bins + 1,), ascending; bins are half open, [low, high)
    # Exact, over all positions of the samples that have a finite one; NaN = none has.
    minimum: np.ndarray = array("float32", "filters")
    maximum: np.ndarray = array("float32", "filters")
    inputs: np.ndarray = array("int32", "inputs")               # some samples of the probe, stratified by class
    maxima: np.ndarray = array("float32", "inputs", "filters")  # each filter's largest value on each of them
    positions: int = 0                                          # of a sample, all of them
    positions_counted: int = 0                                  # of them, in `counts`
    values_per_filter: int = 0                                  # finite values in `counts`, per filter at most
    non_finite: int = 0                                         # values that would be in `counts` but were NaN or infinite
    exact: bool = True                                          # whether every position was counted
    # Whether the probe has enough inputs (row H2), by comparing two halves of it:
    order_agreement: float = math.nan                           # Spearman correlation of the filters' order by maximum
    silent_agreement: float = math.nan                          # share of filters that are silent in both or in neither
    evenness: float = math.nan                                  # median over filters of (mean / largest) maximum over inputs
    enough_inputs: bool = True


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Similarity(Record):
    """Which filters of a layer say what others say already, and how alike their weights are (row H5).

    Weights are those that act: with the batch normalisation that follows folded in.  Activations are compared
    over samples × positions of the probe, or a fixed part of them.
    """

    kind: ClassVar[str] = "similarity"
    headlines: ClassVar[tuple[str, ...]] = ("removable_count",)

    # Filters that are multiples of each other, up to a constant, stand in one group; −1 = alone.
    group: np.ndarray = array("int32", "filters")
    keep: np.ndarray = array("int32", "filters")                # the filter of the group that would stay; of others, itself
    factor: np.ndarray = array("float32", "filters")            # activation ≈ factor · that of `keep` + offset
    offset: np.ndarray = array("float32", "filters")
    residual: np.ndarray = array("float32", "filters")          # what that leaves, RMS, relative to its deviation; NaN = alone
    by: np.ndarray = array("str", "filters")                    # "weights", "activations", "both"; "" = alone
    nearest: np.ndarray = array("int32", "filters")             # the other filter with the largest |correlation|; −1 = none
    correlation: np.ndarray = array("float32", "filters")       # of the activations of both
    # Of filters in no group, or kept for theirs: the few others whose weighted sum, with a constant, comes closest; −1 fills up.
    terms: np.ndarray = array("int32", "filters", "few")
    coefficients: np.ndarray = array("float32", "filters", "few")
    # What that sum leaves, RMS, relative to the filter's deviation; of doubles `residual`; NaN where there are too few rows.
    unexplained: np.ndarray = array("float32", "filters")
    # What can go at once: each is reproduced, within the thresholds, by filters that stay.
    removable: np.ndarray = array("bool", "filters")
    weight_map: np.ndarray = array("float32", "filters", "plane", optional=True)    # PCA of the weights' directions
    weight_layout: np.ndarray = array("float32", "filters", "plane", optional=True) # UMAP of them
    layout_age: int = 0                                         # so many records before this one `weight_layout` was made
    explained: tuple[float, ...] = ()                           # share of the variance along each axis of `weight_map`
    values: int = 0                                             # samples × positions that were compared
    exact: bool = True                                          # whether those are all there are
    note: str = ""

    @property
    def removable_count(self) -> int:
        return int(np.count_nonzero(self.removable))

    def numbers(self) -> dict[str, float]:
        groups = len(np.unique(self.group[self.group >= 0]))
        return {"groups": float(groups), "removable_count": float(self.removable_count), "filters": float(len(self.group))}


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Specificity(Record):
    """Which classes each filter answers to: its mean activation by class (row H6).

    A filter is specific to a class when its mean over the samples of the class exceeds the mean over all classes
    by more than 40 %, and by more than chance.  Where nothing tells classes, there are none here, and `note` says why.
    """

    kind: ClassVar[str] = "specificity"
    headlines: ClassVar[tuple[str, ...]] = ("unimodal_share", "bimodal_share")

    means: np.ndarray = array("float32", "classes", "filters")  # NaN: no samples, or left out of very many: `note`
    overall: np.ndarray = array("float32", "filters")           # mean of the classes' means
    samples: np.ndarray = array("int32", "classes")             # labelled so
    modality: np.ndarray = array("int32", "filters")            # to how many classes: 1, 2; 0 = none or more; −1 = undefined
    first: np.ndarray = array("int32", "filters")               # the class with the largest mean among them; −1 = none
    second: np.ndarray = array("int32", "filters")
    margin: float = 0.4                                         # by how much a mean must exceed the overall one, relative
    note: str = ""

    def share(self, modality: int) -> float:
        """Of the filters for which it is defined, those with this modality; NaN where there are none."""
        defined = self.modality[self.modality >= 0]
        return float(np.mean(defined == modality)) if len(defined) else math.nan

    def numbers(self) -> dict[str, float]:
        return {
            "unimodal_share": self.share(1), "bimodal_share": self.share(2), "nonspecific_share": self.share(0),
            "undefined": float(np.count_nonzero(self.modality < 0)), "filters": float(len(self.modality)),
        }  # fmt: skip


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Kernels(Record):
    """A layer's kernels as pictures: of each filter those of the input channels that carry most of its energy (row H7)."""

    kind: ClassVar[str] = "kernels"

    pixels: np.ndarray = array("uint8", "filters", "shown", "rows", "columns")      # weight = (pixel − 128) / 127 · `largest`
    # The input channel of each; of a grouped convolution counted within the filter's group.
    inputs: np.ndarray = array("int32", "filters", "shown")
    largest: np.ndarray = array("float32", "filters")           # largest |weight| of the filter
    covered: np.ndarray = array("float32", "filters")           # share of the filter's energy that is shown
    channels: int = 0                                           # input channels in all
    note: str = ""

    @property
    def weights(self) -> np.ndarray:
        """(filters, shown, rows, columns) float32: the weights, within `largest` / 254; NaN where one is not finite."""
        return (self.pixels - np.float32(128)) / np.float32(127) * self.largest[:, None, None, None]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Maps(Record):
    """What a layer makes of some samples, channel by channel (row H8); of the first convolution its response too (H7)."""

    kind: ClassVar[str] = "maps"

    samples: np.ndarray = array("int32", "shown")               # indices into the probe
    pixels: np.ndarray = array("uint8", "shown", "rows", "columns", "filters")      # 0 = `low`, 255 = `high` of the filter
    low: np.ndarray = array("float32", "filters")
    high: np.ndarray = array("float32", "filters")
    # Before bias and activation: (pixel − 128) / 127 · `reach`.  Of the first convolution alone.
    convolved: np.ndarray = array("uint8", "shown", "rows", "columns", "filters", optional=True)
    reach: np.ndarray = array("float32", "filters", optional=True)
    full_size: tuple[int, ...] = ()                             # rows and columns of the whole map
    note: str = ""

    @property
    def values(self) -> np.ndarray:
        """(shown, rows, columns, filters) float32: the activations, within (`high` − `low`) / 510; NaN: one is not finite."""
        return self.low + self.pixels / np.float32(255) * (self.high - self.low)


def _finite(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)].astype(np.float64)


def _by_size(entry: Mapping[str, Any]) -> float:
    return 0.0 if math.isnan(entry["size"]) else -float(entry["size"])
