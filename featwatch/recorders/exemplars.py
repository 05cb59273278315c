"""`Exemplars`: the probe's samples that activate each filter most (row F7)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from featwatch.analysis.exemplars import boxes, strongest, unravelled
from featwatch.options import whole
from featwatch.recorders.base import LayerSnapshot, NothingToSay, Recorder
from featwatch.records import FilterExemplars


class Exemplars(Recorder):
    """For every filter the samples with its highest activation, where in them that is, and what part of the input it sees.

    `top`: how many samples; where the probe has fewer, all of them.
    """

    name = "exemplars"
    produces = FilterExemplars
    reductions = ("maximum", "peak")

    def __init__(
        self,
        top: int = 9,
        *,
        layers: str | Sequence[str] | Callable[..., bool] | None = None,
        schedule: Any = None,
    ) -> None:
        self.top = whole("top", top, 1)
        self.layers = layers
        self.schedule = schedule

    def analyse(self, snapshot: LayerSnapshot) -> FilterExemplars:
        info, maxima, peaks = snapshot.info, snapshot.reductions["maximum"], snapshot.reductions["peak"]
        if not np.isfinite(maxima).any():
            raise NothingToSay(f"no activation of layer {snapshot.layer!r} at epoch {snapshot.epoch} is finite")
        samples = strongest(maxima, self.top)
        filters = np.arange(maxima.shape[1])[:, None]
        position = unravelled(peaks[samples, filters], tuple(size or 1 for size in info.shape[:-1]))
        seen = boxes(position, info.field_size, info.field_stride, info.field_offset)
        return FilterExemplars(
            epoch=snapshot.epoch,
            layer=snapshot.layer,
            step=snapshot.step,
            samples=samples,
            activation=maxima[samples, filters],
            position=position,
            **({} if seen is None else {"boxes": seen}),
            input_shape=info.field_input,
            receptive_field=info.field_kind,
        )
