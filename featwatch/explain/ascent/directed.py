"""Images that maximise weighted sums of a layer's filters: of groups of filters, of clusters of samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from featwatch.explain.ascent.images import painter_of, together
from featwatch.explain.ascent.painter import PATCHES, Painted, Painter
from featwatch.layers import Site
from featwatch.probe import Probe

MOST_SAMPLES = 64                   # of the probe, among which the starts are looked for
_VALUES_AT_ONCE = 1 << 22           # of a layer's maps


def painted(
    model: Any, site: Site, probe: Probe, directions: np.ndarray, rows: np.ndarray | None = None, *, steps: int | None = None
) -> tuple[Painted, Painter]:
    """An image for each direction, from the mean of the patches of the probe that go furthest in it, and what made them.

    What enters the activation of the central unit, weighted with the direction, is what grows.

    Arguments:
        directions: (images, filters of the layer), none of them all zero.
        rows: indices into the probe: of which samples the patches may be; None = of some 64.
        steps: of gradient ascent; None = as of `feature_images`.

    Raises Unsuitable where the layer has no feature images.
    """
    painter = painter_of(model, site, probe)
    if rows is None:
        rows = np.linspace(0, len(probe) - 1, min(len(probe), MOST_SAMPLES)).round().astype(np.int64)
    strongest, peaks = _furthest(painter, probe, directions, rows)
    parts = []
    for first in range(0, len(directions), painter.at_once):
        some = slice(first, first + painter.at_once)
        parts.append(painter.paint(directions[some], steps, strongest[some], peaks[some]))
    return together(parts), painter


def _furthest(painter: Painter, probe: Probe, directions: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(images, patches) each: which samples go furthest in each direction, and at which position of the map."""
    largest, places = [], []
    for values in _values(painter, probe, directions, rows):
        largest.append(values.max(axis=1))
        places.append(values.argmax(axis=1))
    best = np.argsort(-np.concatenate(largest), axis=0, kind="stable")[:PATCHES].T
    return rows[best], np.take_along_axis(np.concatenate(places).T, best, axis=1)


def _values(painter: Painter, probe: Probe, directions: np.ndarray, rows: np.ndarray) -> Iterator[np.ndarray]:
    """(some samples, positions, images) of them all in turn."""
    pictures = painter.form.pictures(probe.x)
    size = int(np.prod(painter.maps.size, dtype=np.int64)) * painter.filters
    at_once = max(1, min(len(rows), _VALUES_AT_ONCE // max(1, size)))
    for first in range(0, len(rows), at_once):
        maps = painter.maps(pictures[rows[first : first + at_once]]).numpy()
        yield (maps @ directions.T).reshape(len(maps), -1, len(directions))
