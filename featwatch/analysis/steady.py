"""Layouts that move as little as keeps them faithful: no sample farther than its features did, in proportion (row E3)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from featwatch.analysis.layout_task import Task
from featwatch.analysis.movement import aligned, relative_movement
from featwatch.analysis.quality import neighbours_kept

# How far a sample may move in the plane, in median distances to the farthest of the nearest neighbours, for each such distance
# that its features moved.  The smallest that keeps the neighbourhoods is taken, from one step below that of the epoch before:
# where it jumps from epoch to epoch, so do the movements.  Measured on 600 samples, 16 epochs of a digits net: Spearman's ρ of
# movements in features and in the plane is 0.51 (dense layer) and 0.34 (softmax) where any may follow any, 0.55 and 0.45 as it
# is; of a convolution 0.84 either way.
FREEDOMS = tuple(0.05 * 2 ** (step / 2) for step in range(13))
KEEP = 0.96             # share of the neighbours kept by a layout that is free to move which the steady one must keep
# So many times the neighbours of the old layout a new one must keep to take its place, where half of the samples have left
# their neighbourhoods.  Without it a softmax of two classes keeps 0.79 of 15 neighbours, with it 0.85.
ANEW = 1.04
UNKNOWN = 2.0           # movement of features that is assumed where those before are not known
_MOST_JUDGED = 1000     # samples over which the neighbours kept are a mean
_LEAST_OTHERS = 3       # times as many samples as neighbours that are counted: where all are neighbours, any layout keeps them
_TIGHTER = 1.5          # one step down and not two
_HOSTS = 3              # nearest settled neighbours among which a sample is put that changed altogether
_FAR = 3.0              # … as told by its own neighbours: enough where classes are corners
_PASSED = 0.1           # … as told by ranks: where all distances are much the same
_FINEST = 1e-3          # movements below this count the same when pictures are laid over each other


def movements(task: Task) -> np.ndarray:
    """How far each sample's features moved, (samples,), in median distances to the farthest of the `indices`."""
    count = len(task.features)
    if task.before is None or task.before.shape != task.features.shape:
        return np.full(count, UNKNOWN)
    return relative_movement(task.features, task.before, typical_reach(task.distances))


def resettled(task: Task, moved: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The start, (samples, 2) float64, with samples that went elsewhere in the features put among those that they are near now.

    Gradients would have to lead them through everything that lies between.  Which these are, (samples,) bool, is given too:
    they moved by more than one median distance to the neighbours, are near `_HOSTS` that did not, and either came `_FAR`
    times as far as their own neighbours are, or a `_PASSED`th of all samples was nearer than where they came from.
    """
    start = np.asarray(task.start, np.float64)
    points, guests = start.copy(), np.zeros(len(start), bool)
    if task.before is None or task.before.shape != task.features.shape:
        return points, guests
    hosts = moved <= 1
    near = hosts[task.indices]
    reach, before = typical_reach(task.distances), task.before.astype(np.float64)
    for sample in np.flatnonzero((moved > 1) & (near.sum(axis=1) >= _HOSTS)):
        way = np.linalg.norm(before - task.features[sample], axis=1)
        passed = np.count_nonzero(way < way[sample]) / len(start)
        if moved[sample] * reach > _FAR * task.distances[sample, -1] or passed > _PASSED:
            guests[sample] = True
            points[sample] = start[task.indices[sample][near[sample]][:_HOSTS]].mean(axis=0)
    return points, guests


def better(task: Task, free: np.ndarray, anew: np.ndarray) -> np.ndarray:
    """`free`, a layout that went on from the start, unless one made `anew` keeps clearly more neighbours; both (samples, 2)."""
    judge = _Judge(task)
    return anew if judge.kept(anew) > ANEW * judge.kept(free) else free


def typical_reach(distances: np.ndarray) -> float:
    """The median distance to the farthest of the nearest neighbours, over samples that have any at a distance; 0 if none has."""
    reach = distances[:, -1] if distances.shape[1] else np.zeros(0)
    reach = reach[reach > 0]
    return float(np.median(reach)) if len(reach) else 0.0


def steady(
    task: Task, free: np.ndarray, within: Callable[[np.ndarray, np.ndarray], np.ndarray], guests: np.ndarray | None = None
) -> np.ndarray:
    """The layout that moves least among those that keep nearly as many neighbours as `free`, (samples, 2) float64.

    `task`: with a start.  `free`: (samples, 2), the layout where every point may move.  `within`: gives a layout from
    points and how far from the start each may be, (samples,).  A sample may move in proportion to how far its features
    moved, and to the square of that beyond one median distance to its neighbours; `guests`, which are `resettled`, anywhere.
    """
    start = np.asarray(task.start, np.float64)
    moved = movements(task)
    free = aligned(free, start, 1 / np.maximum(np.minimum(moved, 1e6), _FINEST) ** 2)
    judge = _Judge(task)
    allowed = moved * np.maximum(moved, 1.0) * judge.reach_in(start)
    allowed[resettled(task, moved)[1] if guests is None else guests] = np.inf
    wanted = KEEP * judge.kept(free)
    shift = free - start
    length = np.maximum(np.linalg.norm(shift, axis=1), 1e-12)
    points, lowest = start, task.freedom / _TIGHTER
    for freedom in (freedom for freedom in FREEDOMS if freedom >= min(lowest, FREEDOMS[-1])):
        reach = freedom * allowed
        task.report["freedom"] = freedom
        points = within(start + shift * np.minimum(1.0, reach / length)[:, None], reach)
        if judge.kept(points) >= wanted:
            break
    return points


class _Judge:
    """Counts neighbours that a layout keeps, over some of the samples where they are many."""

    def __init__(self, task: Task) -> None:
        self._k = task.indices.shape[1]
        count = len(task.features)
        every = -(-count // _MOST_JUDGED)
        self._rows = np.arange(0, count, every)
        self._counted = min(self._k, max(1, count // _LEAST_OTHERS))
        self._indices = task.indices[self._rows, : self._counted]

    def kept(self, points: np.ndarray) -> float:
        near = self._search(points)[1][:, : self._counted]
        return neighbours_kept(self._indices, near.astype(self._indices.dtype)) if self._k else 1.0

    def reach_in(self, points: np.ndarray) -> float:
        """The median distance in the plane to the farthest of as many neighbours."""
        distances = self._search(points)[0]
        return float(np.median(distances[:, -1])) if self._k else 0.0

    def _search(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        from scipy.spatial import cKDTree

        distances, near = cKDTree(points).query(points[self._rows], self._k + 1)
        return distances[:, 1:], near[:, 1:]
