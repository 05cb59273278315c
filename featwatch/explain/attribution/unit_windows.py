"""Windows of pictures in which single units find all that they see, where a layer takes such windows.

A window has the size of a receptive field, rounded up so that strides and padding fall as in the whole
picture; at the picture's edge it is moved inwards, so that its edge is the picture's and what is padded there
is padded alike.  Whether a unit's value is the same in both is checked for every one by who uses them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from featwatch.explain.attribution.layer_functions import LayerFunctions

AGREEMENT = 1e-4                        # relative to the unit's value
_WORTH = 0.6                            # of the picture's area at most


@dataclass(frozen=True, eq=False)
class UnitWindows:
    """Where the windows of some units are."""

    size: tuple[int, int]           # (height, width)
    corners: np.ndarray             # (units, 2) int64: the first row and column of each
    units: np.ndarray               # (units, axes) int64: the unit's position in the map of its window
    fit: np.ndarray                 # (units,) bool: whether there is a window for it
    map_size: tuple[int, ...]       # of a window's map

    def cut(self, pictures: np.ndarray, some: np.ndarray) -> np.ndarray:
        """(some, height, width, channels): the windows of units `some`, each of its picture in `pictures`."""
        height, width = self.size
        return np.stack([
            picture[top : top + height, left : left + width]
            for picture, (top, left) in zip(pictures, self.corners[some], strict=True)
        ])  # fmt: skip


def windows_of(functions: LayerFunctions, units: np.ndarray) -> UnitWindows | None:
    """The windows of units, (units, axes) positions in the map; None where windows do not serve, or would save nothing."""
    frame = functions.frame
    height, width = frame.size
    if not frame.patch or frame.stride is None or height * width > _WORTH * functions.size[0] * functions.size[1]:
        return None
    map_size = functions.window_map(frame.size)
    if map_size is None:
        return None
    axes = units.shape[1]
    corners = np.zeros((len(units), 2), np.int64)
    inside = np.array(units, np.int64)
    fit = np.ones(len(units), bool)
    for axis in range(axes):
        of_picture = axis + 2 - axes
        pace, room = float(frame.stride[of_picture]), functions.size[of_picture] - frame.size[of_picture]
        corner = np.clip(frame.origin[of_picture] + (units[:, axis] - frame.full_unit[axis]) * pace, 0, room)
        moved = corner / pace
        fit &= (corner == np.rint(corner)) & (moved == np.rint(moved))
        corners[:, of_picture] = np.rint(corner).astype(np.int64)
        inside[:, axis] -= np.rint(moved).astype(np.int64)
        fit &= (inside[:, axis] >= 0) & (inside[:, axis] < map_size[axis])
    return UnitWindows(frame.size, corners, inside, fit, map_size)


def agrees(here: np.ndarray, there: np.ndarray, precision: float) -> np.ndarray:
    """Whether values of units are the same in window and picture, (units,) bool; `precision`: of the layer's numbers."""
    return np.abs(here - there) <= max(AGREEMENT, 8 * precision) * np.maximum(np.abs(there), 1e-6)
