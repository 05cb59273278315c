"""`ActivationHistograms`: how every filter's activations are distributed over the probe (rows H1, H2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from featwatch.analysis.dyadic import FINE_BINS, Grid
from featwatch.analysis.histograms import SHOWN_INPUTS, common_grid, stratified, sufficiency
from featwatch.options import whole
from featwatch.recorders.base import LayerSnapshot, NothingToSay, Recorder
from featwatch.records import Histograms, Record


class ActivationHistograms(Recorder):
    """A histogram of every filter's activations, on bins that compare over epochs, and its maxima on some inputs.

    `bins`: how many; their width is a power of two and never shrinks from one epoch to the next.
    """

    name = "activation_histograms"
    produces = Histograms
    outlasts = "all"
    reductions = ("sampled_values", "maximum", "minimum")

    def __init__(
        self,
        bins: int = 64,
        *,
        layers: str | Sequence[str] | Callable[..., bool] | None = None,
        schedule: Any = None,
    ) -> None:
        self.bins = whole("bins", bins, 2, FINE_BINS)
        self.layers = layers
        self.schedule = schedule

    def analyse(self, snapshot: LayerSnapshot) -> Histograms:
        reduced = snapshot.reductions
        fine, edges = reduced["histogram_counts"], reduced["histogram_edges"]
        if not fine.shape[1]:
            raise NothingToSay(f"no activation of layer {snapshot.layer!r} at epoch {snapshot.epoch} is finite")
        maxima = reduced["maximum"]
        minimum, maximum = np.fmin.reduce(_finite(reduced["minimum"])), np.fmax.reduce(_finite(maxima))
        # The last bin's lower edge stands for the values in it: on wider grids both lie in the same bin.
        low, high = np.fmin.reduce(minimum, initial=edges[0]), np.fmax.reduce(maximum, initial=edges[-2])
        fine_grid = Grid.of_edges(edges)
        grid = common_grid(float(low), float(high), self.bins, fine_grid.exponent, _grid_of(snapshot.previous))
        counts = fine_grid.merged(fine, grid)
        positions, counted = snapshot.info.features // snapshot.info.filters, int(reduced["histogram_positions"])
        inputs = stratified(snapshot.labels, SHOWN_INPUTS)
        enough = sufficiency(maxima, snapshot.labels)
        return Histograms(
            epoch=snapshot.epoch,
            layer=snapshot.layer,
            step=snapshot.step,
            counts=counts,
            edges=grid.edges,
            minimum=minimum,
            maximum=maximum,
            inputs=inputs,
            maxima=maxima[inputs],
            positions=positions,
            positions_counted=counted,
            values_per_filter=int(counts.sum(axis=1).max()),
            non_finite=int(reduced["histogram_left_out"].sum()),
            exact=counted == positions,
            order_agreement=enough.order_agreement,
            silent_agreement=enough.silent_agreement,
            evenness=enough.evenness,
            enough_inputs=enough.enough,
        )


def _finite(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, np.float32(np.nan))


def _grid_of(previous: Record | None) -> Grid | None:
    """The bins of the record before; None where there is none, or all values were equal: its bins say nothing of the layer."""
    if not isinstance(previous, Histograms) or np.fmin.reduce(previous.minimum) == np.fmax.reduce(previous.maximum):
        return None
    return Grid.of_edges(previous.edges)
