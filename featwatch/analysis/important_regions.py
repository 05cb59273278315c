"""The important areas of an attribution: a watershed between what surely matters and what surely does not (row S4)."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

_LEVELS = (1 << 16) - 1
_INSIDE, _OUTSIDE = 2, 1


def important_regions(saliency: np.ndarray, *, share: float = 0.5, sigma: float = 1.0) -> np.ndarray:
    """(rows, columns) bool: where a map is large in magnitude, its borders where it falls off most steeply.

    The map is smoothed first.  What reaches `share` of the largest value then is inside, what is at most half of that
    outside.  Each pixel in between goes to that of the two to which a path leads whose largest step is smallest; of
    equal ones outside.  Nothing is inside where the map is zero everywhere.

    Arguments:
        saliency: (rows, columns), signed or not; what is not finite counts as zero.
        share: of the largest value after smoothing, above 0 to 1.
        sigma: of the Gaussian that smooths, in pixels; 0 = none.

    Raises:
        ValueError: an argument is out of its range.

    >>> step = np.zeros((3, 8)); step[:, 2:5] = 1; step[:, 5] = 0.4
    >>> important_regions(step, sigma=0)[1].astype(int).tolist()
    [0, 0, 1, 1, 1, 0, 0, 0]

    Source: Falcão, Stolfi and Lotufo 2004, *The image foresting transform*, as in `scipy.ndimage.watershed_ift`.
    """
    if saliency.ndim != 2:
        raise ValueError(f"saliency of the shape {saliency.shape}: expected (rows, columns)")
    if not 0 < share <= 1:
        raise ValueError(f"share={share!r}: give a number above 0, 1 at most")
    if not sigma >= 0:
        raise ValueError(f"sigma={sigma!r}: give a number of 0 or more")
    size = smoothed(saliency, sigma)
    largest = size.max(initial=0.0)
    if not largest > 0:
        return np.zeros(saliency.shape, bool)
    markers = np.zeros(saliency.shape, np.int16)
    markers[size <= share / 2 * largest] = _OUTSIDE
    markers[size >= share * largest] = _INSIDE
    if (markers == 0).any() and (markers == _OUTSIDE).any():
        markers = ndimage.watershed_ift(np.rint(size / largest * _LEVELS).astype(np.uint16), markers)
    return np.asarray(markers == _INSIDE) if (markers == _OUTSIDE).any() else np.ones(saliency.shape, bool)


def smoothed(saliency: np.ndarray, sigma: float) -> np.ndarray:
    """(rows, columns) float64: magnitudes under a Gaussian; beyond the edge is nothing."""
    size = np.abs(np.where(np.isfinite(saliency), saliency, 0)).astype(np.float64)
    return ndimage.gaussian_filter(size, sigma, mode="constant") if sigma else size


def outline(mask: np.ndarray, width: int = 1) -> np.ndarray:
    """(rows, columns) bool: the pixels just outside a mask, so many wide."""
    grown = ndimage.binary_dilation(mask, ndimage.generate_binary_structure(2, 2), iterations=width)
    return np.asarray(grown & ~mask)
