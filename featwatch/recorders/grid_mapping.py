"""`GridMapping`: each embedding's samples on a regular grid, where none covers another (row E7)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from featwatch.analysis.grid import Box, assignment, box_over
from featwatch.recorders.base import LayerSnapshot, NothingToSay, Recorder
from featwatch.recorders.embeddings import Embeddings
from featwatch.records import Embedding, GridMap


class GridMapping(Recorder):
    """The assignment of an embedding's samples to the cells of a square grid with the least sum of squared distances.

    The grid stays where it was at the epoch before while the embedding does.
    """

    name = "grid_mapping"
    produces = GridMap
    outlasts = "all"
    builds_on = (Embeddings,)

    def __init__(
        self,
        *,
        layers: str | Sequence[str] | Callable[..., bool] | None = None,
        schedule: Any = None,
    ) -> None:
        self.layers = layers
        self.schedule = schedule

    def analyse(self, snapshot: LayerSnapshot) -> GridMap | None:
        began = time.perf_counter()
        embedding = snapshot.results.get(Embedding.kind)
        if not isinstance(embedding, Embedding):
            return None
        points = embedding.points
        if not np.isfinite(points).all():
            raise NothingToSay(f"the embedding of layer {snapshot.layer!r} at epoch {snapshot.epoch} is not finite")
        before = snapshot.previous
        box = box_over(points, Box.of(before) if isinstance(before, GridMap) else None)
        found = assignment(points, box)
        return GridMap(
            epoch=snapshot.epoch,
            layer=snapshot.layer,
            cells=found.cells,
            columns=box.columns,
            rows=box.rows,
            left=box.left,
            bottom=box.bottom,
            cell=box.cell,
            cost=float(((box.centres(found.cells) - points) ** 2).sum(axis=1).mean()),
            exact=found.exact,
            elapsed_seconds=time.perf_counter() - began,
        )
