"""`FilterHealth`: what each filter of a layer does over the probe, and its weights (rows H3, H4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from featwatch.analysis.filters import (
    causes,
    dead,
    energy,
    finite_mean,
    negative_fraction,
    not_finite_activations,
    not_finite_weights,
)
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
    """Energy, share of negative weights, bias, activity, and the dead filters with the cause of death, for every filter.

    A filter with NaN or infinity among its activations is counted as such, and what would be said of
    them is NaN; likewise for weights.
    """

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
        maxima, minima, means, active = (snapshot.reductions[name] for name in self.reductions)
        weights, bias, activation = snapshot.weights, snapshot.bias, snapshot.info.activation
        diverged = not_finite_activations(maxima, minima, means)
        broken = not_finite_weights(weights, bias, len(diverged))
        maximum, minimum = _known(maxima.max(axis=0), diverged), _known(minima.min(axis=0), diverged)
        unknown = np.full(len(diverged), np.nan, np.float32)
        is_dead, test = dead(maximum, minimum, activation)
        return LayerHealth(
            epoch=snapshot.epoch,
            layer=snapshot.layer,
            energy=unknown if weights is None else _known(np.minimum(energy(weights), LARGEST), broken),
            negative_fraction=unknown if weights is None else _known(negative_fraction(weights), broken),
            bias=unknown if bias is None else _known(bias, ~np.isfinite(bias)),
            active_fraction=_known(active.mean(axis=0, dtype=np.float64), diverged),
            max_activation=maximum,
            min_activation=minimum,
            mean_activation=_known(finite_mean(means), diverged),
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
            group=np.full(len(diverged), -1, np.int32),
            activation=activation,
            test=test,
            non_finite_activations=int(diverged.sum()),
            non_finite_weights=int(broken.sum()),
        )


def _known(values: np.ndarray, unknown: np.ndarray) -> np.ndarray:
    """The values as float32, NaN where they are unknown."""
    return np.where(unknown, np.nan, values).astype(np.float32)
