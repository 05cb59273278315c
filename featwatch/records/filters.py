"""What is recorded of a layer's filters: their health, activations, exemplars and feature images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from featwatch.records.base import Record, array

# Why a filter is dead, or "" for one that is alive.  Closed: a log may hold nothing else.
CAUSES = ("", "no energy", "negative weights", "negative bias", "unexplained")


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LayerHealth(Record):
    """What each filter of a layer does over the probe set, and its weights (row H3).

    Of a filter with NaN or infinity among its activations, what is said of them is NaN, and `dead` is
    False; likewise for weights.
    """

    kind: ClassVar[str] = "health"
    headlines: ClassVar[tuple[str, ...]] = ("dead_count",)

    energy: np.ndarray = array("float32", "filters")            # sum of squared weights
    negative_fraction: np.ndarray = array("float32", "filters") # share of weights < 0
    bias: np.ndarray = array("float32", "filters")              # NaN where the layer has none
    active_fraction: np.ndarray = array("float32", "filters")   # share of samples × positions with a value > 0
    max_activation: np.ndarray = array("float32", "filters")
    min_activation: np.ndarray = array("float32", "filters")
    mean_activation: np.ndarray = array("float32", "filters")
    dead: np.ndarray = array("bool", "filters")
    cause: np.ndarray = array("str", "filters")                 # one of `CAUSES`
    group: np.ndarray = array("int32", "filters")               # redundant group; −1 = alone
    activation: str = ""                                        # the activation whose test for "dead" was used
    test: str = ""                                              # that test, in words
    non_finite_activations: int = 0                             # filters with a NaN or infinity among their activations
    non_finite_weights: int = 0                                 # filters with one among their weights or in their bias

    @property
    def dead_count(self) -> int:
        return int(np.count_nonzero(self.dead))

    def numbers(self) -> dict[str, float]:
        known = self.active_fraction[np.isfinite(self.active_fraction)]
        return {
            "filters": float(len(self.dead)),
            "dead_count": float(self.dead_count),
            "active_fraction": float(np.mean(known)) if len(known) else math.nan,
            "non_finite_activations": float(self.non_finite_activations),
            "non_finite_weights": float(self.non_finite_weights),
        }


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
class FilterExemplars(Record):
    """The probe's samples that activate each filter most, and where in them (row F7)."""

    kind: ClassVar[str] = "exemplars"

    samples: np.ndarray = array("int32", "filters", "top")      # indices into the probe, strongest first
    activation: np.ndarray = array("float32", "filters", "top")
    position: np.ndarray = array("int32", "filters", "top", "axes")     # of the unit in its map; no axes for a Dense layer
    # The unit's receptive field at the input, lowest and highest index inclusive, per spatial axis of the
    # input; may reach beyond it.  (filters, top, 2 · input axes) as lo0, hi0, lo1, hi1, …
    boxes: np.ndarray = array("int32", "filters", "top", "bounds", optional=True)
    input_shape: tuple[int, ...] = ()                           # spatial shape of what the boxes are in
    receptive_field: str = ""                                   # "exact", "superset", or why there are no boxes


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class FeatureImages(Record):
    """Images that maximise filters, found by gradient ascent (rows F1 to F3).

    A record holds what was refreshed at its epoch; `Run.feature_images` puts earlier ones beside them.
    """

    kind: ClassVar[str] = "feature_images"

    filters: np.ndarray = array("int32", "shown")
    pixels: np.ndarray = array("uint8", "shown", "height", "width", "channels")    # 0 = `low`, 255 = `high` of the channel
    low: np.ndarray = array("float32", "channels")
    high: np.ndarray = array("float32", "channels")
    activation: np.ndarray = array("float32", "shown")          # of the unit, before its activation function
    natural: np.ndarray = array("float32", "shown")             # the same on the best patch of the probe; NaN = not known
    reached: np.ndarray = array("bool", "shown")                # False: no gradient came from the unit, nor did it grow
    refreshed: np.ndarray = array("int32", "shown")             # the epoch at which each was made
    filtered_pixels: np.ndarray = array("uint8", "filtered", "height", "width", "channels", optional=True)
    unit: tuple[int, ...] = ()                                  # position, in the map that `pixels` give, that is maximised
    box: tuple[int, ...] = ()                                   # its receptive field in `pixels`: lo0, hi0, lo1, hi1, inclusive
    patch: bool = True                                          # as large as the receptive field; False = the full input
    steps: int = 0
    basis: str = ""                                             # "fourier" or "pixels"
    init: str = ""                                              # "patches" or "noise"
    filters_in_all: int = 0                                     # of the layer
    elapsed_seconds: float = math.nan
    note: str = ""

    @property
    def images(self) -> np.ndarray:
        """(shown, height, width, channels) float32, in the units of the model's input."""
        return self.low + self.pixels.astype(np.float32) / 255.0 * (self.high - self.low)

    @property
    def filtered(self) -> np.ndarray:
        """(filtered, height, width, channels) float32: the images after activation filtering; none so far."""
        if not self.filtered_pixels.size:
            return np.zeros((0, *self.pixels.shape[1:]), np.float32)
        return self.low + self.filtered_pixels.astype(np.float32) / 255.0 * (self.high - self.low)
