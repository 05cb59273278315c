"""`FilterHealth`: what each filter of a layer does over the probe, and its weights (rows H3, H4, H11)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from featwatch.activations import Passing
from featwatch.analysis.causes import Entered, Layer, causes
from featwatch.analysis.filters import (
    dead,
    energy,
    finite_mean,
    lives,
    negative_fraction,
    not_finite_activations,
    not_finite_weights,
)
from featwatch.analysis.roughness import roughness
from featwatch.recorders.base import LayerSnapshot, Recorder
from featwatch.records import LayerHealth

# Layers whose filters are weighted sums of what enters them.  A separable convolution's are not: its
# pointwise weights see what the depthwise ones made of it, so that signs and bounds prove nothing.
WEIGHTED_SUMS = frozenset({
    "Dense", "Conv1D", "Conv2D", "Conv3D", "DepthwiseConv1D", "DepthwiseConv2D",
    "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose",
})  # fmt: skip
SEPARABLE = frozenset({"SeparableConv1D", "SeparableConv2D"})
INPUTS = ("input_channel_minimum", "input_channel_maximum", "input_channel_mean")
LARGEST = np.finfo(np.float32).max      # squares of huge weights go beyond what the record can hold


class FilterHealth(Recorder):
    """Energy, share of negative weights, bias, activity, roughness, and the dead filters with their causes, for every filter.

    A filter with NaN or infinity among its activations is counted as such, and what would be said of
    them is NaN; likewise for weights.
    """

    name = "filter_health"
    produces = LayerHealth
    reductions = ("maximum", "minimum", "mean", "active", "responsive", *INPUTS)
    wants_kernel = True
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
        maxima, minima, means, active, responsive = (snapshot.reductions[name] for name in self.reductions[:5])
        weights, bias, normalisation = snapshot.weights, snapshot.bias, snapshot.normalisation
        diverged = not_finite_activations(maxima, minima, means)
        broken = not_finite_weights(weights, bias, len(diverged))
        maximum, minimum = _known(maxima.max(axis=0), diverged), _known(minima.min(axis=0), diverged)
        passing = snapshot.passing.as_seen(minimum, maximum)
        several = len(maxima) > 1 or any(length != 1 for length in snapshot.info.shape[:-1])
        is_dead, test = dead(minimum, maximum, passing, several=several)
        cause, proven = causes(is_dead, minimum, maximum, _layer(snapshot, passing))
        before = _before(snapshot, len(diverged))
        since = lives(is_dead, ~diverged, _state(before))
        unknown, none = np.full(len(diverged), np.nan, np.float32), np.zeros(0, np.float32)
        responds = np.ones_like(responsive) if passing.everywhere else responsive
        return LayerHealth(
            epoch=snapshot.epoch,
            layer=snapshot.layer,
            energy=unknown if weights is None else _known(np.minimum(energy(weights), LARGEST), broken),
            negative_fraction=unknown if weights is None else _known(negative_fraction(weights), broken),
            bias=unknown if bias is None else _known(bias, ~np.isfinite(bias)),
            active_fraction=_known(active.mean(axis=0, dtype=np.float64), diverged),
            responsive_fraction=_known(responds.mean(axis=0, dtype=np.float64), diverged),
            max_activation=maximum,
            min_activation=minimum,
            mean_activation=_known(finite_mean(means), diverged),
            dead=is_dead,
            cause=cause,
            proven=proven,
            group=np.full(len(diverged), -1, np.int32),
            scale=none if normalisation is None else normalisation.scale,
            shift=none if normalisation is None else normalisation.shift,
            roughness=_roughness(snapshot, unknown),
            ever_alive=since.ever_alive,
            died=since.died,
            revived=since.revived,
            awoke=since.awoke,
            since=-1 if before is None else before.epoch if snapshot.step < 0 else before.step,
            activation=snapshot.info.activation,
            test=test,
            non_finite_activations=int(diverged.sum()),
            non_finite_weights=int(broken.sum()),
        )


def _layer(snapshot: LayerSnapshot, passing: Passing) -> Layer:
    kind, inputs = snapshot.info.type, snapshot.inputs_per_filter
    sums = kind in WEIGHTED_SUMS or (kind == "TimeDistributed" and inputs > 0)
    return Layer(
        weights=snapshot.weights,
        bias=snapshot.bias,
        normalisation=snapshot.normalisation,
        passing=passing,
        decisive=sums or kind in SEPARABLE,
        sums=sums,
        direct=snapshot.direct,
        entered=_entered(snapshot.reductions),
        inputs_per_filter=inputs,
    )


def _entered(reductions: Mapping[str, np.ndarray]) -> Entered | None:
    """What entered the layer; None of a layer with several inputs, or with whole numbers for an input."""
    return Entered(*(reductions[name] for name in INPUTS)) if INPUTS[0] in reductions else None


def _before(snapshot: LayerSnapshot, filters: int) -> LayerHealth | None:
    """The record before, if it is of as many filters and stands on the same axis."""
    found = snapshot.previous
    if not isinstance(found, LayerHealth) or len(found.dead) != filters or (found.step < 0) != (snapshot.step < 0):
        return None
    return found


def _state(record: LayerHealth | None) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Which filters are dead in a record, of which that is known, and which had ever been alive by then."""
    if record is None:
        return None
    known = np.isfinite(record.max_activation)
    told = len(record.ever_alive) == len(known)         # not by earlier versions
    return record.dead, known, record.ever_alive if told else known & ~record.dead


def _roughness(snapshot: LayerSnapshot, unknown: np.ndarray) -> np.ndarray:
    """Unknown of a separable convolution too: its kernels in space are not those of its filters."""
    kernel = snapshot.kernel
    if kernel is None or kernel.shape[-1] != len(unknown) or snapshot.info.type in SEPARABLE:
        return unknown
    return roughness(kernel).astype(np.float32)


def _known(values: np.ndarray, unknown: np.ndarray) -> np.ndarray:
    """The values as float32, NaN where they are unknown."""
    return np.where(unknown, np.nan, values).astype(np.float32)
