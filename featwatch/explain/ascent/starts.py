"""From what an ascent may start (row F3): what is in the data, or noise, as pictures of a window's size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from featwatch.explain.ascent.bounds import Bounds
from featwatch.explain.ascent.frame import Frame

PATCHES = 9                         # of which the mean is a start
CROPS = 4                           # likewise
TRIES = 100                         # at crops from which a gradient comes


@dataclass(frozen=True, eq=False)
class Starts:
    """The starts for one window.  All give (images, height, width, channels) float32, in the units of the model's input."""

    frame: Frame
    map_size: tuple[int, ...]       # of the layer's map over the whole input
    bounds: Bounds
    samples: np.ndarray | None      # the pictures of the probe, (samples, height, width, channels)

    def cuts(self, strongest: np.ndarray, peaks: np.ndarray) -> np.ndarray:
        """(images, patches, height, width, channels): what excites the units most in the probe.

        Arguments:
            strongest: (images, patches) indices of samples, the strongest first.
            peaks: (images, patches) where in the map the largest value is, as an index over positions.
        """
        found = self._cut(strongest.ravel(), peaks.ravel())
        return found.reshape(*strongest.shape, *found.shape[1:])

    def patches(self, cuts: np.ndarray, start: int, seed: int) -> np.ndarray:
        """The mean of the patches; from the second start on of as many drawn from them at random, some of them repeatedly."""
        if start == 0 or cuts.shape[1] == 1:
            return cuts.mean(axis=1)
        drawn = np.random.default_rng((seed, start)).integers(0, cuts.shape[1], cuts.shape[1])
        return cuts[:, drawn].mean(axis=1)

    def patch(self, cuts: np.ndarray, start: int) -> np.ndarray:
        """The best patch, at the second start the second best, and so on."""
        return cuts[:, start % cuts.shape[1]]

    def mean(self, count: int) -> np.ndarray:
        """The mean of the probe's pictures, in the window."""
        return np.repeat(self._at_home(self._all()).astype(np.float64).mean(axis=0, keepdims=True), count, axis=0)

    def empty(self, count: int) -> np.ndarray:
        """Zeros, or what of the range is next to them."""
        low, high = (np.broadcast_to(each, (*self.frame.size, each.shape[-1])) if each.shape[0] == each.shape[1] == 1 else each
                     for each in (self.bounds.low, self.bounds.high))  # fmt: skip
        return np.repeat(np.clip(np.zeros_like(low), low, high)[None], count, axis=0)

    def crops(self, count: int, start: int, seed: int) -> np.ndarray:
        """For each image the mean of four of the probe's pictures, in the window."""
        random = np.random.default_rng((seed, start))
        window = self._at_home(self._all())
        return np.stack([window[random.integers(0, len(window), CROPS)].mean(axis=0) for _ in range(count)])

    def _all(self) -> np.ndarray:
        assert self.samples is not None
        return self.samples

    def _at_home(self, pictures: np.ndarray) -> np.ndarray:
        (top, left), (height, width) = self.frame.origin, self.frame.size
        return pictures[:, top : top + height, left : left + width]

    def _cut(self, samples: np.ndarray, peaks: np.ndarray) -> np.ndarray:
        """(cuts, height, width, channels) float32: what the units at `peaks` see; 0 where that is beyond the picture."""
        pictures = self._all()
        height, width = self.frame.size
        if self.frame.stride is None:
            return pictures[samples].astype(np.float32)
        places = np.stack(np.unravel_index(peaks, self.map_size), axis=1) - np.array(self.frame.full_unit)
        moved = np.zeros((len(samples), 2), np.int64)
        moved[:, 2 - places.shape[1]:] = places
        corners = self.frame.origin + np.floor(moved * [float(pace) for pace in self.frame.stride]).astype(np.int64)
        whole_height, whole_width = pictures.shape[1:3]
        low, high = self.bounds.limits
        cut = np.empty((len(samples), height, width, len(low)), np.float32)
        cut[:] = np.clip(np.zeros_like(low), low, high)                              # as padding is seen
        for image, sample, (top, left) in zip(cut, samples, corners, strict=True):
            rows = slice(max(top, 0), min(top + height, whole_height))
            columns = slice(max(left, 0), min(left + width, whole_width))
            if rows.start < rows.stop and columns.start < columns.stop:
                image[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = (
                    pictures[sample, rows, columns]
                )
        return cut
