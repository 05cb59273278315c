"""`activation_filter`: what of an image makes a filter answer, all else dimmed towards a neutral value (row F5).

A channel's map A of the image, clipped below zero, is divided by its largest value, enlarged by Lanczos resampling to where
its units see, clipped to 0 … 1, smoothed, and divided by its largest value again.  Twice that, clipped to 1, is m: what
answers half as much as the strongest stays as it is.  The filtered image is

    neutral + (1 − strength · (1 − m)) · (image − neutral).

It goes through the network once more, and the score says how much of the map survives as A′:

    preserved = ⟨A, A′⟩ / max(‖A‖², ‖A′‖²),

1 only where the maps are equal, c where A′ = c · A or A = c · A′, 0 where they have no position in common.  Strength and
smoothing are those, of a grid of both, that take most out of the image, in the mean of strength · (1 − m), and preserve at
least as much of the map as was asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from featwatch.explain.ascent.ascent import traced
from featwatch.explain.fields.fields import field_of
from featwatch.explain.forms import Unsuitable
from featwatch.explain.kept import kept
from featwatch.explain.subject import Subject, filters_of, subject_of
from featwatch.probe import Probe

PRESERVED = 0.8                     # of the map, at least
STRENGTHS = (1.0, 0.75, 0.5, 0.25)
# Standard deviations of the Gaussian, as shares of what a unit sees along each axis.
SMOOTHINGS = (0.0, 0.125, 0.25, 0.5, 1.0)
GAIN = 2.0                          # of the mask
_LANCZOS = 3                        # lobes
_CELLS_SEEN = 3                     # by a unit, of its map's pitch, where its receptive field is not known
_PIXELS_AT_ONCE = 1 << 19
_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class FilteredImages:
    """Some images after activation filtering by some filters."""

    filters: np.ndarray             # (filters,) int64
    filtered: np.ndarray            # (filters, images, …) float32: as the model takes them
    preserved: np.ndarray           # (filters, images) float32: of the map, 0 to 1; NaN = the filter does not answer to the image
    removed: np.ndarray             # (filters, images) float32: of the image, the mean of strength · (1 − m)
    strength: np.ndarray            # (filters, images) float32: 0 = unchanged, as any filtering would have lost more of the map
    smoothing: np.ndarray           # (filters, images) float32: standard deviation, as a share of what a unit sees
    maps: np.ndarray                # (filters, images, …) float32: before, after the activation function, clipped below zero
    maps_after: np.ndarray          # likewise, of the filtered images
    neutral: np.ndarray             # (channels,) float32
    threshold: float                # of `preserved`, above which filtering was searched


def activation_filter(
    model: Any, layer: Any, images: Any, filters: Sequence[int] | int | None, *, probe: Any = None, threshold: float = PRESERVED
) -> FilteredImages:
    """Images of which is left what makes a filter answer; of every image by every filter.

    Arguments:
        model: a built model; it is not changed.
        layer: its name, or the layer itself; it needs a map.
        images: samples of the model's input, or a `Probe`.
        filters: which; None = all of them.
        probe: a `Probe`, or samples, whose mean per channel is the neutral value; None = that of `images`.
        threshold: how much of the map is to survive at least, 0 to 1.

    Raises:
        ValueError: an argument is out of its range, or the layer has no map: the message says why.

    Example:
        >>> found = activation_filter(net, "conv", x[:2], [0, 3])
        >>> found.filtered.shape, bool((found.preserved >= 0.8).all())
        ((2, 2, 8, 8, 1), True)
    """
    if isinstance(threshold, bool) or not 0 <= threshold <= 1:
        raise ValueError(f"threshold={threshold!r}: expected a number from 0 to 1")
    subject = subject_of(model, layer, images)
    pictures = subject.pictures(images)
    neutral = (pictures if probe is None else subject.pictures(probe)).mean(axis=(0, 1, 2), dtype=np.float64).astype(np.float32)
    modulator = modulator_of(model, subject)
    named = filters_of(filters, modulator.filters, subject.site.name)
    found = modulator.filtered(np.tile(pictures, (len(named), 1, 1, 1)), named.repeat(len(pictures)), neutral, threshold)
    shape = len(named), len(pictures)
    taken = np.moveaxis(found.pictures, -1, 1) if subject.form.kind.endswith("first") else found.pictures
    return FilteredImages(
        filters=named,
        filtered=taken.reshape(*shape, *subject.form.shape),
        preserved=found.preserved.reshape(shape),
        removed=found.removed.reshape(shape),
        strength=found.strength.reshape(shape),
        smoothing=found.smoothing.reshape(shape),
        maps=found.maps.reshape(*shape, *found.maps.shape[1:]),
        maps_after=found.maps_after.reshape(*shape, *found.maps.shape[1:]),
        neutral=neutral,
        threshold=float(threshold),
    )


@dataclass(frozen=True, eq=False)
class Filtered:
    """Pairs of an image and a filter, after activation filtering; fields as of `FilteredImages`."""

    pictures: np.ndarray            # (pairs, height, width, channels) float32
    preserved: np.ndarray
    removed: np.ndarray
    strength: np.ndarray
    smoothing: np.ndarray
    maps: np.ndarray
    maps_after: np.ndarray


class Modulator:
    """Filters images by one layer's maps of them; traced once.

    Raises Unsuitable where the layer has no map whose axes are the input's.
    """

    def __init__(self, subject: Subject) -> None:
        form, name = subject.form, subject.site.name
        shapes: list[tuple[int, ...]] = []

        def own_maps(pictures: tf.Tensor, filters: tf.Tensor) -> tf.Tensor:
            _, after = subject.maps(pictures)
            shapes.append(tuple(after.shape[1:]))
            return tf.nn.relu(tf.gather(tf.experimental.numpy.moveaxis(after, -1, 1), filters, axis=1, batch_dims=1))

        self._function = traced(own_maps, tf.TensorSpec((None, *form.size), tf.float32), tf.TensorSpec((None,), tf.int32))
        self.filters, self._map_size = int(shapes[-1][-1]), shapes[-1][:-1]
        axes = form.axes
        if len(self._map_size) != len(axes) or not axes:
            raise Unsuitable(f"layer {name!r} has no map that lies over the input: the axes of one are {self._map_size}")
        field = field_of(subject.reference(), subject.site)
        self._enlarge: list[np.ndarray] = [np.ones((form.size[axis], 1)) for axis in (0, 1)]
        self._seen: list[float] = [1.0, 1.0]        # pixels along each axis
        for i, axis in enumerate(axes):
            size, count = form.size[axis], self._map_size[i]
            known = len(field.size) == len(axes) and field.stride[i] > 0
            pitch = field.stride[i] if known else size / count
            first = field.offset[i] + (field.size[i] - 1) / 2 if known else pitch / 2 - 0.5
            self._enlarge[axis] = enlarging(size, count, first, pitch)
            self._seen[axis] = min(field.size[i] if known else _CELLS_SEEN * pitch, size)

    def maps(self, pictures: np.ndarray, filters: np.ndarray) -> np.ndarray:
        """(pairs, …) float32: each picture's map by its filter, clipped below zero."""
        at_once = max(1, min(_AT_ONCE, _PIXELS_AT_ONCE // (pictures.shape[1] * pictures.shape[2])))
        parts = []
        for first in range(0, len(pictures), at_once):
            some = slice(first, first + at_once)
            parts.append(self._function(tf.constant(pictures[some], tf.float32), tf.constant(filters[some], tf.int32)).numpy())
        return np.concatenate(parts)

    def masks(self, maps: np.ndarray, smoothing: float) -> np.ndarray:
        """(pairs, height, width) float32, 0 to 1: m of the maps, as large as the input; 0 where a map is 0 everywhere.

        Arguments:
            smoothing: standard deviation, as a share of what a unit sees.
        """
        flat = maps.reshape(len(maps), *(self._map_size if len(self._map_size) == 2 else (1, *self._map_size)))
        large = np.clip(np.einsum("ya,xb,nab->nyx", *self._enlarge, _to_one(flat)), 0, 1)
        if smoothing > 0:
            across = [blurring(size, smoothing * seen) for size, seen in zip(large.shape[1:], self._seen, strict=True)]
            large = np.einsum("ya,xb,nab->nyx", *across, large)
        return np.clip(GAIN * _to_one(large), 0, 1).astype(np.float32)

    def filtered(self, pictures: np.ndarray, filters: np.ndarray, neutral: np.ndarray, threshold: float) -> Filtered:
        """Each picture filtered by its own filter as much as leaves that share of the map.

        Arguments:
            pictures: (pairs, height, width, channels).
            filters: (pairs,).
            neutral: (channels,), or one for every position, (height, width, channels).
        """
        before = self.maps(pictures, filters)
        answers = before.reshape(len(before), -1).max(axis=1) > 0
        count = len(pictures)
        best = Filtered(
            pictures.astype(np.float32), np.where(answers, 1, np.nan).astype(np.float32), np.zeros(count, np.float32),
            np.zeros(count, np.float32), np.zeros(count, np.float32), before, before.copy(),
        )  # fmt: skip
        for smoothing in SMOOTHINGS:
            masks = self.masks(before, smoothing)
            kept_out = (1 - masks).mean(axis=(1, 2))
            for strength in STRENGTHS:
                # Weaker filtering takes out less: of what is behind already nothing has to be tried.
                rows = np.flatnonzero(answers & (strength * kept_out > best.removed))
                if not len(rows):
                    continue
                factor = 1 - strength * (1 - masks[rows])[..., None]
                shown = (neutral + factor * (pictures[rows] - neutral)).astype(np.float32)
                after = self.maps(shown, filters[rows])
                score = preserved(before[rows], after)
                won = score >= threshold
                here = rows[won]
                best.pictures[here], best.preserved[here], best.maps_after[here] = shown[won], score[won], after[won]
                best.removed[here] = strength * kept_out[here]
                best.strength[here], best.smoothing[here] = strength, smoothing
        return best


def modulator_of(model: Any, subject: Subject) -> Modulator:
    """The modulator of a layer, traced at the first call.  Raises Unsuitable."""
    return kept(model, ("activation filter", *subject.key), lambda: Modulator(subject))


def filtered_feature_images(
    model: Any, site: Any, probe: Probe, filters: np.ndarray, strongest: np.ndarray, *, steps: int = 16,
    threshold: float = PRESERVED,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Feature images as large as the input, before and after activation filtering: fields of a `FeatureImages` record.

    What grows is the mean over all units of what enters the filter's activation, on the whole input, for a few steps from
    the sample that activates the filter most.  Everything traced is kept for later calls with the same model.

    Arguments:
        site: the layer.
        filters: (filtered,) which.
        strongest: (filtered,) for each the index of the probe's sample that activates it most.
        steps: of gradient ascent.
        threshold: how much of the map is to survive at least.

    Returns: "filtered_filters", "whole_pixels", "filtered_pixels" and "preserved", with 0 and 255 the range of the probe as in
        the record's other images.

    Raises Unsuitable where the layer has no map that lies over the input, or no gradient leads to it.

    Example:
        >>> found = filtered_feature_images(net, site_of(net, "conv"), fw.Probe(x), np.array([0, 3]), np.array([7, 2]), steps=2)
        >>> found["whole_pixels"].shape, found["filtered_pixels"].shape, found["preserved"].shape
        ((2, 8, 8, 1), (2, 8, 8, 1), (2,))
    """
    from featwatch.explain.ascent.images import painter_of
    from featwatch.explain.ascent.recipe import Recipe

    subject = subject_of(model, site, probe)
    modulator = modulator_of(model, subject)
    painter = painter_of(model, site, probe, recipe=Recipe(steps=steps, objective="channel", init="patch"))
    low, high = painter.bounds.limits
    range_ = high - low
    neutral = np.asarray(probe.x).reshape(-1, *subject.form.shape)
    neutral = subject.form.pictures(neutral).mean(axis=(0, 1, 2), dtype=np.float64).astype(np.float32)
    pixels = []
    for first in range(0, len(filters), painter.at_once):
        some = slice(first, first + painter.at_once)
        starts = np.asarray(strongest)[some, None]
        pixels.append(painter.paint(painter.directions(filters[some]), None, starts, np.zeros_like(starts)).pixels)
    whole = np.concatenate(pixels)
    found = modulator.filtered(low + whole.astype(np.float32) / 255 * range_, filters, neutral, threshold)
    shares = (found.pictures - low) / np.where(range_ > 0, range_, 1)
    return {
        "filtered_filters": np.asarray(filters, np.int32),
        "whole_pixels": whole,
        "filtered_pixels": np.rint(255 * np.clip(shares, 0, 1)).astype(np.uint8),
        "preserved": found.preserved,
    }


def preserved(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(pairs,) float32: ⟨A, A′⟩ / max(‖A‖², ‖A′‖²) of maps, (pairs, …), of values ≥ 0; NaN where both are 0 everywhere.

    >>> preserved(np.array([[2.0, 2.0], [1.0, 0.0], [2.0, 4.0]]), np.array([[2.0, 0.0], [0.0, 1.0], [1.0, 2.0]]))
    array([0.5, 0. , 0.5], dtype=float32)
    """
    one, other = before.reshape(len(before), -1).astype(np.float64), after.reshape(len(after), -1).astype(np.float64)
    larger = np.maximum(np.square(one).sum(axis=1), np.square(other).sum(axis=1))
    return np.divide((one * other).sum(axis=1), larger, out=np.full(len(one), np.nan), where=larger > 0).astype(np.float32)


def enlarging(size: int, count: int, first: float, pitch: float) -> np.ndarray:
    """(size, count): Lanczos resampling with three lobes of `count` values whose centres lie at first, first + pitch, …

    Weights add up to 1.  Beyond half a pitch from the outermost centres the value is that at that distance.
    """
    places = np.clip((np.arange(size) - first) / pitch, -0.5, count - 0.5)
    distance = places[:, None] - np.arange(count)
    weights = np.where(np.abs(distance) < _LANCZOS, np.sinc(distance) * np.sinc(distance / _LANCZOS), 0)
    return weights / weights.sum(axis=1, keepdims=True)


def blurring(size: int, deviation: float) -> np.ndarray:
    """(size, size): a Gaussian of this standard deviation, in pixels; at the ends of those weights that are left."""
    distance = np.arange(size)[:, None] - np.arange(size)
    weights = np.exp(-0.5 * np.square(distance / max(deviation, 1e-6)))
    return weights / weights.sum(axis=1, keepdims=True)


def _to_one(values: np.ndarray) -> np.ndarray:
    largest = values.max(axis=(1, 2), keepdims=True)
    return np.divide(values, largest, out=np.zeros(values.shape), where=largest > 0)
