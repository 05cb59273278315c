"""What layers make of some samples of a probe, as pictures: what `ActivationMaps` records (rows H7, H8)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from featwatch.explain.responses import Response, Responses
from featwatch.graphs import graph_of
from featwatch.layers import Site
from featwatch.probe import Probe
from featwatch.structures import mapped


def responses_of(
    model: Any, sites: Sequence[Site], probe: Probe, samples: np.ndarray, cell: Callable[[tuple[int, ...], int], int]
) -> Callable[[], dict[str, Response]]:
    """A function that gives what the layers make of some samples of a probe, each time with the weights of the moment.

    Their maps are pictures, (samples, rows, columns, filters), each number the mean over a square of positions; the
    first convolutions' bare responses are among them.

    Arguments:
        samples: indices into the probe.
        cell: (shape of a map, maps of the layer that are kept: 1, or 2 with the bare response) -> positions on a side
            of these squares.
    """
    responses = Responses(model, sites, lambda values, bare: pooled(picture(values), cell(values.shape[1:], 1 + bare)), bare=True)
    # For a model that wants its batches of one size the rest is filled up; of some only trying tells.
    shapes = [tensor.shape for tensor in getattr(graph_of(model), "inputs", ())]
    fixed = any(shape and shape[0] not in (None, len(samples)) for shape in shapes)
    filled = np.resize(samples, max(probe.batch_size, len(samples)))
    waiting = [filled] if fixed else [samples, filled]

    def of(rows: np.ndarray) -> dict[str, Response]:
        return responses.read(mapped(lambda array: array[rows], probe.x))

    def read() -> dict[str, Response]:
        try:
            found = of(waiting[0])
        except Exception:
            if len(waiting) == 1:
                raise
            waiting.pop(0)
            found = of(waiting[0])
        some = slice(len(samples))
        return {
            name: Response(each.values[some], None if each.bare is None else each.bare[some]) for name, each in found.items()
        }

    return read


def picture(values: tf.Tensor) -> tf.Tensor:
    """(batch, rows, columns, filters) of the maps (batch, …, filters): one row of a 1-D map, the middle slice of more."""
    axes = values.shape.rank - 2
    if axes == 1:
        return values[:, None]
    while axes > 2:
        values = values[:, values.shape[1] // 2]
        axes -= 1
    return values


def pooled(maps: tf.Tensor, cell: int) -> tf.Tensor:
    """(batch, ⌈rows / cell⌉, ⌈columns / cell⌉, filters): means over squares of positions, of those that there are at the ends."""
    if cell == 1:
        return maps
    rows, columns, filters = maps.shape[1:]
    tall, wide = -(-rows // cell), -(-columns // cell)
    padded = tf.pad(maps, ((0, 0), (0, tall * cell - rows), (0, wide * cell - columns), (0, 0)))
    sums = tf.reduce_sum(tf.reshape(padded, (-1, tall, cell, wide, cell, filters)), axis=(2, 4))
    heights, widths = (np.minimum(cell, size - cell * np.arange(count)) for size, count in ((rows, tall), (columns, wide)))
    return sums / np.outer(heights, widths)[..., None].astype(np.float32)
