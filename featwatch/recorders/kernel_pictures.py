"""`KernelPictures`: a layer's kernels as pictures (row H7)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from featwatch.analysis.kernels import pictures, planes
from featwatch.options import whole
from featwatch.recorders.base import LayerSnapshot, NothingToSay, Recorder
from featwatch.records import Kernels
from featwatch.schedule import every

MOST_PIXELS = 256_000       # in a record; of wide layers fewer input channels are shown, but one of each filter


class KernelPictures(Recorder):
    """For every filter of a convolution its kernel as pictures, one for each of the input channels with most of its energy.

    Layers without positions, and kernels of one position, have none.

    Arguments:
        inputs: how many input channels of each filter.
        schedule: every five epochs, unless told.
    """

    name = "kernel_pictures"
    produces = Kernels
    wants_kernel = True
    in_worker = False

    def __init__(
        self,
        inputs: int = 8,
        *,
        layers: str | Sequence[str] | Callable[..., bool] | None = None,
        schedule: Any = None,
    ) -> None:
        self.inputs = whole("inputs", inputs, 1)
        self.layers = layers
        self.schedule = every(epochs=5) if schedule is None else schedule

    def analyse(self, snapshot: LayerSnapshot) -> Kernels | None:
        kernel = snapshot.kernel
        if kernel is None or not 3 <= kernel.ndim <= 5 or math.prod(kernel.shape[:-2]) == 1:
            return None
        notes = []
        if "Separable" in snapshot.info.type and snapshot.weights is not None:
            # What a filter sees in an input channel: the channel's kernel times the filter's weight for it.
            kernel = kernel.swapaxes(-2, -1) * snapshot.weights.T
            notes.append("depthwise times pointwise kernels")
        channels, filters = kernel.shape[-2:]
        if filters != snapshot.info.filters:
            raise NothingToSay(f"layer {snapshot.layer!r} has kernels for {filters} filters and gives {snapshot.info.filters}")
        shown, left_out = planes(kernel)
        wanted = min(self.inputs, channels)
        inputs = max(1, min(wanted, MOST_PIXELS // (shown[..., 0, 0].size * filters)))
        found = pictures(kernel, shown, inputs)
        if inputs < wanted:
            notes.append(f"of so wide a layer {inputs} inputs of each filter are shown")
        if left_out:
            notes.append(left_out)
        unknown = int(np.count_nonzero(np.isnan(found.largest)))
        if unknown:
            notes.append(f"filters with a weight that is not finite: {unknown}")
        return Kernels(
            epoch=snapshot.epoch,
            layer=snapshot.layer,
            pixels=found.pixels,
            inputs=found.inputs,
            largest=found.largest,
            covered=found.covered,
            channels=channels,
            note="; ".join(notes),
        )
