"""The important areas of an attribution: a watershed between what surely matters and what surely does not (row S4)."""

from __future__ import annotations

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse import csgraph


def important_regions(saliency: np.ndarray, *, share: float = 0.5, sigma: float = 1.0) -> np.ndarray:
    """(rows, columns) bool: where a map is large in magnitude, its borders where it falls off most steeply.

    The map is smoothed first.  What reaches `share` of the largest value then is inside, what is at most half of that
    outside.  Each pixel in between goes to that of the two to which a path leads whose largest step, from a pixel to one
    beside, above or below it, is smallest.  Nothing is inside where the map is zero everywhere.

    Arguments:
        saliency: (rows, columns), signed or not; what is not finite counts as zero.
        share: of the largest value after smoothing, above 0 to 1.
        sigma: of the Gaussian that smooths, in pixels; 0 = none.

    Raises:
        ValueError: an argument is out of its range.

    >>> step = np.zeros((3, 8)); step[:, 2:5] = 1; step[:, 5] = 0.4
    >>> important_regions(step, sigma=0)[1].astype(int).tolist()
    [0, 0, 1, 1, 1, 0, 0, 0]

    Source: Cousty, Bertrand, Najman and Couprie 2009, *Watershed cuts: minimum spanning forests and the drop of water
    principle*.
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
    size /= largest
    inside, outside = size >= share, size <= share / 2
    if not outside.any():
        return np.ones(saliency.shape, bool)
    return inside if (inside | outside).all() else _flooded(size, inside, outside)


def _flooded(heights: np.ndarray, inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """(rows, columns) bool: pixels that a minimum spanning forest with the two as its roots joins to `inside`.

    `scipy.ndimage.watershed_ift` lets water run from the end of a row to the beginning of the next.
    """
    pixels = np.arange(heights.size).reshape(heights.shape)
    one_root, other_root = heights.size, heights.size + 1
    edges = [
        # Above 1, as no edge may weigh nothing; what joins the roots' pixels to them weighs less than all of these.
        (pixels[:-1].ravel(), pixels[1:].ravel(), 1 + np.abs(np.diff(heights, axis=0)).ravel()),
        (pixels[:, :-1].ravel(), pixels[:, 1:].ravel(), 1 + np.abs(np.diff(heights, axis=1)).ravel()),
        *((pixels[mask], np.full(mask.sum(), root), np.full(mask.sum(), 0.5))
          for mask, root in ((inside, one_root), (outside, other_root))),
        (np.array([one_root]), np.array([other_root]), np.array([0.25])),
    ]  # fmt: skip
    start, end, weight = (np.concatenate(part) for part in zip(*edges, strict=True))
    tree = csgraph.minimum_spanning_tree(sparse.csr_array((weight, (start, end)), shape=(heights.size + 2,) * 2)).tolil()
    tree[one_root, other_root] = tree[other_root, one_root] = 0         # two trees
    _, labels = csgraph.connected_components(tree.tocsr(), directed=False)
    return np.asarray(labels[:-2] == labels[one_root]).reshape(heights.shape)


def smoothed(saliency: np.ndarray, sigma: float) -> np.ndarray:
    """(rows, columns) float64: magnitudes under a Gaussian; beyond the edge is nothing."""
    size = np.abs(np.where(np.isfinite(saliency), saliency, 0)).astype(np.float64)
    return ndimage.gaussian_filter(size, sigma, mode="constant") if sigma else size


def outline(mask: np.ndarray, width: int = 1) -> np.ndarray:
    """(rows, columns) bool: the pixels just outside a mask, so many wide."""
    grown = ndimage.binary_dilation(mask, ndimage.generate_binary_structure(2, 2), iterations=width)
    return np.asarray(grown & ~mask)
