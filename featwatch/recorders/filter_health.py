"""`FilterHealth`: what each filter of a layer does over the probe, and its weights (rows H3, H4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from featwatch.analysis.filters import causes, dead, energy, negative_fraction
from featwatch.recorders.base import LayerSnapshot, Recorder
from featwatch.records import LayerHealth

# Layers whose filters are weighted sums of what enters them.  A separable convolution's are not: its
# pointwise weights see what the depthwise ones made of it, so that signs and bounds prove nothing.
WEIGHTED_SUMS = frozenset({
    "Dense", "Conv1D", "Conv2D", "Conv3D", "DepthwiseConv1D", "DepthwiseConv2D",
    "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose",
})  # fmt: skip
LARGEST = np.finfo(np.float32).max      # squares of huge weights go beyond what the record can hold


class FilterHealth(Recorder):
    """Energy, share of negative weights, bias, activity, and the dead filters with the cause of death, for every filter."""

    name = "filter_health"
    produces = LayerHealth
    reductions = ("maximum", "minimum", "mean", "active")
    input_range = True
    in_worker = False

    def __init__(
        self,
        *,
        layers: str | Sequence[str] | Callable[..., bool] | None = None,
        schedule: Any = None,
    ) -> None:
        self.layers = layers
        self.schedule = schedule

    def analyse(self, snapshot: LayerSnapshot) -> LayerHealth:
        maxima, minima, means, active = self.finite(snapshot)
        maximum, minimum = maxima.max(axis=0), minima.min(axis=0)
        unknown = np.full(len(maximum), np.nan, np.float32)
        weights, bias, activation = snapshot.weights, snapshot.bias, snapshot.info.activation
        is_dead, test = dead(maximum, minimum, activation)
        return LayerHealth(
            epoch=snapshot.epoch,
            layer=snapshot.layer,
            energy=unknown if weights is None else np.minimum(energy(weights), LARGEST).astype(np.float32),
            negative_fraction=unknown if weights is None else negative_fraction(weights).astype(np.float32),
            bias=unknown if bias is None else bias,
            active_fraction=active.mean(axis=0, dtype=np.float64).astype(np.float32),
            max_activation=maximum,
            min_activation=minimum,
            mean_activation=means.mean(axis=0, dtype=np.float64).astype(np.float32),
            dead=is_dead,
            cause=causes(
                is_dead,
                weights,
                bias,
                activation,
                direct=snapshot.info.tapped == snapshot.layer and snapshot.info.type in WEIGHTED_SUMS,
                lowest=snapshot.input_minimum,
                highest=snapshot.input_maximum,
            ),
            group=np.full(len(maximum), -1, np.int32),
            activation=activation,
            test=test,
        )
