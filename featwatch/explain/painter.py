"""The feature images of one layer: its window, starts and ascents, kept from one call to the next."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from featwatch.explain.ascent import Ascent, Objective, traced
from featwatch.explain.bases import BASES
from featwatch.explain.bounds import Bounds
from featwatch.explain.forms import Form
from featwatch.explain.frame import Frame, frame_of, whole
from featwatch.layers import Site
from featwatch.records import FeatureImages

PATCHES = 9                         # of which the mean is a start
AGREEMENT = 1e-4                    # between window and whole input, relative to the largest value; in half precision more
_PIXELS_AT_ONCE = 1 << 18
_IMAGES_AT_ONCE = 16


@dataclass(frozen=True, eq=False)
class Painted:
    """Some feature images, one per direction."""

    pixels: np.ndarray              # (images, height, width, channels) uint8
    activation: np.ndarray          # (images,) float32
    natural: np.ndarray             # (images,) float32, NaN = not known
    reached: np.ndarray             # (images,) bool


class Painter:
    """What makes the feature images of one layer.  Building it traces its functions, which takes seconds.

    Arguments:
        samples: the pictures of the probe, (samples, height, width, channels), or None.
        basis: "fourier" or "pixels".
        objective: "neuron" for a unit of each map, "channel" for the mean over its units.

    Raises:
        Unsuitable: no gradient leads from the layer to the input.
        WritesState: the model writes variables in inference.
    """

    def __init__(
        self, model: Any, site: Site, form: Form, bounds: Bounds, samples: np.ndarray | None, *, basis: str, objective: str
    ) -> None:
        self.form, self.bounds, self.basis = form, bounds, basis if form.has_neighbours else "pixels"
        self._samples = samples
        self._site = site
        reference = weakref.ref(model)
        facts: dict[str, Any] = {}

        def maps(pictures: tf.Tensor) -> tf.Tensor:
            values, facts["before"] = Objective(reference, site, form).maps(pictures)
            facts["half"] = values.dtype == tf.float16
            facts["precision"] = float(np.finfo(values.dtype.as_numpy_dtype).eps) if values.dtype != tf.bfloat16 else 2.0**-7
            return tf.cast(values, tf.float32)

        self.maps = traced(maps, tf.TensorSpec((None, *form.size), tf.float32))     # of whole pictures
        shape = tuple(self.maps.structured_outputs.shape)[1:]
        self.filters, self._map_size = int(shape[-1]), shape[:-1]
        self._before: bool = facts["before"]
        self._agreement = max(AGREEMENT, 8 * facts["precision"])

        def ascent(frame: Frame) -> Ascent:
            unit = frame.unit if objective == "neuron" else None
            free = BASES[self.basis]((*frame.size, form.size[2]), bounds)
            return Ascent(Objective(reference, site, form, unit), frame, free, self.filters, facts["half"])

        full = whole(form, self._map_size)
        self.frame = frame_of(model, site, form, self._map_size) if objective == "neuron" else full
        if self.frame.patch:
            try:
                self._ascent = ascent(self.frame)
                serves = self._agrees()
            except Exception:           # such as a layer that only takes inputs of one size
                serves = False
            self.frame = self.frame if serves else full
        if not self.frame.patch:
            self._ascent = ascent(self.frame)
        self._objective = objective
        self._numbers = BASES[self.basis]((*self.frame.size, form.size[2]), bounds)

    @property
    def at_once(self) -> int:
        """How many images are made in one batch."""
        height, width = self.frame.size
        return max(1, min(_IMAGES_AT_ONCE, _PIXELS_AT_ONCE // (height * width)))

    @property
    def note(self) -> str:
        """What is particular about the values."""
        if self._before:
            return ""
        return f"what enters the activation {self._site.activation!r} cannot be had: the values are those that leave it"

    def directions(self, filters: np.ndarray) -> np.ndarray:
        """(filters, all filters) float32: one filter each."""
        return np.eye(self.filters, dtype=np.float32)[filters]

    def from_noise(self, directions: np.ndarray, steps: int, seed: int = 0) -> Painted:
        """Feature images that begin with noise."""
        return self._paint(self._numbers.noise(len(directions), seed), directions, steps, None)

    def from_patches(self, directions: np.ndarray, steps: int, strongest: np.ndarray, peaks: np.ndarray) -> Painted:
        """Feature images that begin with the mean of what activates most in the probe.

        Arguments:
            strongest: (images, patches) indices of samples, the strongest first.
            peaks: (images, patches) where in the map the largest value is, as an index over positions.
        """
        cut = self._cut(strongest.ravel(), peaks.ravel())
        patches = cut.reshape(*strongest.shape, *cut.shape[1:])
        return self._paint(self._numbers.start(patches.mean(axis=1)), directions, steps, patches[:, 0])

    def record(self, painted: Painted, filters: np.ndarray, *, epoch: int, step: int, layer: str, steps: int, init: str,
               seconds: float) -> FeatureImages:  # fmt: skip
        """The record of what was painted for these filters."""
        low, high = self.bounds.limits
        return FeatureImages(
            epoch=epoch,
            step=step,
            layer=layer,
            filters=filters.astype(np.int32),
            pixels=painted.pixels,
            low=low,
            high=high,
            activation=painted.activation,
            natural=painted.natural,
            reached=painted.reached,
            refreshed=np.full(len(filters), epoch, np.int32),
            unit=self.frame.unit if self._objective == "neuron" else (),
            box=self.frame.box,
            patch=self.frame.patch,
            steps=steps,
            basis=self.basis,
            init=init,
            filters_in_all=self.filters,
            elapsed_seconds=seconds,
            note=self.note,
        )

    def _paint(self, numbers: np.ndarray, directions: np.ndarray, steps: int, best: np.ndarray | None) -> Painted:
        climbed = self._ascent.climb(numbers, directions, steps)
        natural = np.full(len(directions), np.nan, np.float32)
        exact = self.frame.patch or not self._map_size          # otherwise the unit would not be where the picture was cut
        if best is not None and exact and self._objective == "neuron":
            natural = (self._ascent.values(best) * directions).sum(axis=1)
        low, high = self.bounds.limits
        images = self.bounds.low + (self.bounds.high - self.bounds.low) * climbed.shares
        shown = (images - low) / np.where(high > low, high - low, 1)
        return Painted(np.rint(255 * np.clip(shown, 0, 1)).astype(np.uint8), climbed.activation, natural, climbed.reached)

    def _cut(self, samples: np.ndarray, peaks: np.ndarray) -> np.ndarray:
        """(cuts, height, width, channels) float32: what the units at `peaks` see; 0 where that is beyond the picture."""
        assert self._samples is not None
        height, width = self.frame.size
        if self.frame.stride is None:
            return self._samples[samples].astype(np.float32)
        places = np.stack(np.unravel_index(peaks, self._map_size), axis=1) - np.array(self.frame.full_unit)
        moved = np.zeros((len(samples), 2), np.int64)
        moved[:, 2 - places.shape[1]:] = places
        corners = self.frame.origin + np.floor(moved * [float(pace) for pace in self.frame.stride]).astype(np.int64)
        whole_height, whole_width = self._samples.shape[1:3]
        low, high = self.bounds.limits
        cut = np.empty((len(samples), height, width, len(low)), np.float32)
        cut[:] = np.clip(np.zeros_like(low), low, high)                              # as padding is seen
        for image, sample, (top, left) in zip(cut, samples, corners, strict=True):
            rows = slice(max(top, 0), min(top + height, whole_height))
            columns = slice(max(left, 0), min(left + width, whole_width))
            if rows.start < rows.stop and columns.start < columns.stop:
                image[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = (
                    self._samples[sample, rows, columns]
                )
        return cut

    def _agrees(self) -> bool:
        """Whether the unit has the same value on the window as on the whole picture, for some pictures."""
        pictures = self._some_pictures()
        (top, left), (height, width) = self.frame.origin, self.frame.size
        there = self.maps(tf.constant(pictures)).numpy()[(slice(None), *self.frame.full_unit)]
        here = self._ascent.values(pictures[:, top : top + height, left : left + width])
        return bool(np.abs(there - here).max() <= self._agreement * max(float(np.abs(there).max()), 1e-6))

    def _some_pictures(self) -> np.ndarray:
        random = np.random.default_rng(0).random((2, *self.form.size), np.float32)
        pictures = self.bounds.low + (self.bounds.high - self.bounds.low) * random
        if self._samples is not None:
            pictures[0] = self._samples[0]
        return pictures.astype(np.float32)
