"""What is recorded of what filters look for: images made for them, samples that excite them, and attributions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from featwatch.records.base import Record, array


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
    receptive_field: str = ""                                   # "exact", "superset", "measured", or why there are no boxes


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class FeatureImages(Record):
    """Images that maximise filters, found by gradient ascent (rows F1 to F5).

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
    # The same images after so many steps of the ascent (row F4), ascending; the last step itself is `pixels`.
    snapshot_steps: np.ndarray = array("int32", "snapshots", optional=True)
    snapshot_pixels: np.ndarray = array("uint8", "shown", "snapshots", "height", "width", "channels", optional=True)
    stopped: np.ndarray = array("int32", "shown", optional=True)    # steps taken, where the guard ended some ascents early
    features: np.ndarray = array("float32", "shown", "numbers", optional=True, bits=10)     # of what the layer makes of each
    # Activation filtering (row F5), on images as large as the input: before, after, and what of the map survives.
    filtered_filters: np.ndarray = array("int32", "filtered", optional=True)
    whole_pixels: np.ndarray = array("uint8", "filtered", "whole_height", "whole_width", "channels", optional=True)
    filtered_pixels: np.ndarray = array("uint8", "filtered", "whole_height", "whole_width", "channels", optional=True)
    preserved: np.ndarray = array("float32", "filtered", optional=True)     # 0 to 1; NaN = not known
    unit: tuple[int, ...] = ()                                  # position, in the map that `pixels` give, that is maximised
    box: tuple[int, ...] = ()                                   # its receptive field in `pixels`: lo0, hi0, lo1, hi1, inclusive
    patch: bool = True                                          # as large as the receptive field; False = the full input
    steps: int = 0
    basis: str = ""                                             # "fourier" or "pixels"
    init: str = ""                                              # "patches", "noise", …: `featwatch.explain.ascent.starts`
    objective: str = "neuron"                                   # or "channel"
    settings: Mapping[str, Any] = field(default_factory=dict)   # what else was chosen, as plain values
    filters_in_all: int = 0                                     # of the layer
    elapsed_seconds: float = math.nan
    note: str = ""

    @property
    def images(self) -> np.ndarray:
        """(shown, height, width, channels) float32, in the units of the model's input."""
        return _in_units(self.pixels, self.low, self.high)

    @property
    def filtered(self) -> np.ndarray:
        """(filtered, height, width, channels) float32: images of `filtered_filters` after activation filtering."""
        return _in_units(self.filtered_pixels, self.low, self.high)

    @property
    def whole(self) -> np.ndarray:
        """(filtered, height, width, channels) float32: the same images before it."""
        return _in_units(self.whole_pixels, self.low, self.high)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ExemplarMaps(Record):
    """What a filter makes of the samples that activate it most: its maps of them (row F7)."""

    kind: ClassVar[str] = "exemplar_maps"

    filters: np.ndarray = array("int32", "shown")
    samples: np.ndarray = array("int32", "shown", "top")        # indices into the probe, strongest first
    pixels: np.ndarray = array("uint8", "shown", "top", "rows", "columns")      # 0 = `low` of the filter, 255 = its `high`
    low: np.ndarray = array("float32", "shown")
    high: np.ndarray = array("float32", "shown")
    full_size: tuple[int, ...] = ()                             # rows and columns of the whole map
    filters_in_all: int = 0                                     # of the layer
    note: str = ""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class FeatureArrangement(Record):
    """A layer's feature images side by side, alike ones as neighbours: a UMAP of what the layer makes of them, on a grid (F6)."""

    kind: ClassVar[str] = "arrangement"

    filters: np.ndarray = array("int32", "shown")
    made: np.ndarray = array("int32", "shown")                  # the epoch whose image of the filter was arranged
    points: np.ndarray = array("float32", "shown", "axes")      # (shown, 2) in the plane
    cells: np.ndarray = array("int32", "shown")                 # row · columns + column, counted from the top left; all different
    # Of the images, from which the next arrangement continues where not all of them were made anew.
    features: np.ndarray = array("float32", "shown", "numbers", optional=True, bits=10)
    columns: int = 0
    rows: int = 0
    note: str = ""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class MaximisingImages(Record):
    """Images of the probe, led a few steps towards what maximises a filter (row F9)."""

    kind: ClassVar[str] = "maximising"

    filters: np.ndarray = array("int32", "shown")
    samples: np.ndarray = array("int32", "shown")               # of the probe, from which each started
    pixels: np.ndarray = array("uint8", "shown", "height", "width", "channels")     # 0 = `low`, 255 = `high` of the channel
    low: np.ndarray = array("float32", "channels")
    high: np.ndarray = array("float32", "channels")
    started: np.ndarray = array("float32", "shown")             # what entered the activation, of the sample …
    activation: np.ndarray = array("float32", "shown")          # … and of the image
    steps: int = 0                                              # taken; calibrated, unless the user said
    noise: np.ndarray = array("float32", "shown", optional=True)    # share of high spatial frequencies in the image
    natural_noise: float = math.nan                             # the same in the probe
    calibrated_on: int = 0                                      # units specific to one class, over which `steps` is the mean
    # What each unit sees of its sample, all that was changed: lo0, hi0, lo1, hi1, inclusive, in rows and columns of `pixels`.
    boxes: np.ndarray = array("int32", "shown", "bounds", optional=True)
    note: str = ""

    @property
    def images(self) -> np.ndarray:
        """(shown, height, width, channels) float32, in the units of the model's input."""
        return _in_units(self.pixels, self.low, self.high)

    @property
    def thresholded(self) -> np.ndarray:
        """(shown, height, width, channels) bool: above 0.9 of the range, as in the source."""
        return self.pixels > 0.9 * 255


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class FactorGroups(Record):
    """Filters that act together: non-negative factors of a layer's feature tensor of some samples (row F8)."""

    kind: ClassVar[str] = "factors"

    samples: np.ndarray = array("int32", "shown")               # indices into the probe
    maps: np.ndarray = array("uint8", "shown", "groups", "rows", "columns")     # where each group acts: 255 = its `largest`
    largest: np.ndarray = array("float32", "groups")
    weights: np.ndarray = array("float32", "groups", "filters")     # of length 1 per group
    share: np.ndarray = array("float32", "groups")              # of the tensor's energy; descending, but where groups keep places
    unexplained: float = math.nan                               # share of the tensor's energy that no group explains
    # How alike each group's weights are to those of its place in the record before: their cosine; NaN = there were none.
    likeness: np.ndarray = array("float32", "groups", optional=True)
    # A feature image that maximises each group's total; none where the layer has no feature images.
    pixels: np.ndarray = array("uint8", "groups", "height", "width", "channels", optional=True)
    low: np.ndarray = array("float32", "channels", optional=True)
    high: np.ndarray = array("float32", "channels", optional=True)
    activation: np.ndarray = array("float32", "groups", optional=True)
    reached: np.ndarray = array("bool", "groups", optional=True)
    full_size: tuple[int, ...] = ()
    note: str = ""

    @property
    def images(self) -> np.ndarray:
        """(groups, height, width, channels) float32, in the units of the model's input."""
        return _in_units(self.pixels, self.low, self.high)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ClusterImages(Record):
    """For each cluster of a layer's embedding an image that maximises the filters that set it apart (row D3)."""

    kind: ClassVar[str] = "cluster_images"

    clusters: np.ndarray = array("int32", "clusters")           # numbers of the clusters in the clustering of `of`
    identities: np.ndarray = array("int32", "clusters", optional=True)      # what they are called over epochs
    samples: np.ndarray = array("int32", "clusters")            # how many
    weights: np.ndarray = array("float32", "clusters", "filters")           # relu((m_c − m_t) / σ_t), of length 1
    pixels: np.ndarray = array("uint8", "clusters", "height", "width", "channels")
    low: np.ndarray = array("float32", "channels")
    high: np.ndarray = array("float32", "channels")
    activation: np.ndarray = array("float32", "clusters")
    reached: np.ndarray = array("bool", "clusters")
    of: int = -1                                                # the place on the axis, epoch or step, of the clustering
    note: str = ""

    @property
    def images(self) -> np.ndarray:
        """(clusters, height, width, channels) float32, in the units of the model's input."""
        return _in_units(self.pixels, self.low, self.high)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Attributions(Record):
    """What in some samples some filters answer to (rows S1 to S5), by several methods, and by a random network's twin."""

    kind: ClassVar[str] = "attributions"

    methods: np.ndarray = array("str", "methods")               # "saliency", "occlusion", "deconv", "guided", "gradient"
    filters: np.ndarray = array("int32", "chosen")
    samples: np.ndarray = array("int32", "shown")               # indices into the probe
    # (pixel − 128) / 127 · `reach`: signed, zero is 128.
    pixels: np.ndarray = array("uint8", "methods", "chosen", "shown", "rows", "columns")
    reach: np.ndarray = array("float32", "methods", "chosen", "shown")
    activation: np.ndarray = array("float32", "chosen", "shown")            # the largest of the filter's map
    # Receptive fields of the units that act most, inside the input: lo0, hi0, lo1, hi1, inclusive; −1 = no more of them.
    boxes: np.ndarray = array("int32", "chosen", "shown", "units", "bounds", optional=True)
    twin_pixels: np.ndarray = array("uint8", "methods", "chosen", "shown", "rows", "columns", optional=True)
    twin_reach: np.ndarray = array("float32", "methods", "chosen", "shown", optional=True)
    input_shape: tuple[int, ...] = ()                           # rows and columns of the input, to which `boxes` refer
    note: str = ""

    @property
    def maps(self) -> np.ndarray:
        """(methods, filters, samples, rows, columns) float32."""
        return (self.pixels - np.float32(128)) / np.float32(127) * self.reach[..., None, None]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ClassActivation(Record):
    """Where a layer sees the class that is predicted, and which filters decide that (row S6)."""

    kind: ClassVar[str] = "class_activation"

    samples: np.ndarray = array("int32", "shown")               # indices into the probe
    classes: np.ndarray = array("int32", "shown")               # for which the map is
    pixels: np.ndarray = array("uint8", "shown", "rows", "columns")         # 255 = `largest`
    largest: np.ndarray = array("float32", "shown")
    weights: np.ndarray = array("float32", "shown", "filters")  # the channel weights of Grad-CAM
    influence: np.ndarray = array("float32", "filters")         # mean over samples of |weight · mean activation|, of sum 1
    method: str = ""                                            # "gradcam", "gradcam++", "layercam", "scorecam"
    full_size: tuple[int, ...] = ()
    note: str = ""

    @property
    def maps(self) -> np.ndarray:
        """(shown, rows, columns) float32, 0 and more."""
        return self.pixels / np.float32(255) * self.largest[:, None, None]


def _in_units(pixels: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return low + pixels.astype(np.float32) / np.float32(255) * (high - low) if pixels.size else pixels.astype(np.float32)
