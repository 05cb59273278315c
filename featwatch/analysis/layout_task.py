"""What a layout is asked for, and what it gives."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np


@dataclass(frozen=True, eq=False)
class Trace:
    """Where the points were while a layout was being optimised (row E9): filled by the layout, at most `stages` times."""

    stages: int
    rounds: list[int] = field(default_factory=list)             # done by then
    points: list[np.ndarray] = field(default_factory=list)      # (samples, 2) float32 each

    def add(self, rounds: int, points: np.ndarray) -> None:
        self.rounds.append(rounds)
        self.points.append(points.astype(np.float32))


@dataclass(frozen=True, eq=False, kw_only=True)
class Task:
    """What a layout is made of."""

    features: np.ndarray                    # (samples, features), finite
    indices: np.ndarray                     # (samples, k): the nearest others in the feature space, nearest first
    distances: np.ndarray                   # (samples, k)
    n_neighbors: int = 15                   # the sample itself counts as one, as everywhere with UMAP
    min_dist: float = 0.1
    seed: int = 0
    start: np.ndarray | None = None         # (samples, 2) points of the epoch before, or a fresh start
    before: np.ndarray | None = None        # (samples, features) that `start` was made of, where they are known
    trace: Trace | None = None
    freedom: float = 0.0                    # that the epoch before took: see `featwatch.analysis.steady`
    report: dict[str, float] = field(default_factory=dict)     # what the layout has to say of itself: "freedom"


Layout = Callable[[Task], np.ndarray]


def in_canonical_order(layout: Layout) -> Layout:
    """The layout, made of the samples in an order that follows from their features alone.

    So it does not matter in which order they come: permuted samples have the same points, permuted.  (Of samples with
    equal distances `indices` may name others.)
    """

    def ordered(task: Task) -> np.ndarray:
        rows = np.ascontiguousarray(task.features)
        order = np.argsort([hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in rows], kind="stable")
        place = np.empty(len(order), np.int32)
        place[order] = np.arange(len(order), dtype=np.int32)
        trace = None if task.trace is None else Trace(task.trace.stages)
        points = layout(
            replace(
                task,
                features=rows[order],
                indices=place[task.indices[order]],
                distances=task.distances[order],
                start=None if task.start is None else task.start[order],
                before=None if task.before is None or len(task.before) != len(order) else task.before[order],
                trace=trace,
            )
        )[place]
        if task.trace is not None and trace is not None:
            for rounds, stage in zip(trace.rounds, trace.points, strict=True):
                task.trace.add(rounds, stage[place])
        return points

    return ordered
