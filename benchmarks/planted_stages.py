"""Faults of whole layers: an activation that acts as a straight line, kernels that are noise (benchmark B7)."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.filter_nets import FilterNet, Stage, entering_and_leaving
from benchmarks.planting import RECTIFIERS, Bed, Planted, bed_of

BENT = (*RECTIFIERS, "leaky_relu", "tanh", "sigmoid", "gelu", "elu")
STRAIGHT_FROM = {"gelu": 5.0}                           # above it the function is a straight line; 0 of the others that bend once
SHARES = (1.0, 0.995, 0.98, 0.95, 0.9, 0.8)             # of values on the straight part
MIXTURES = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)             # of noise in the energy of smooth kernels


def make_linear(net: FilterNet, rng: np.random.Generator) -> Planted | None:
    """A stage of which a share of the values, or all of them, lie where its activation is a straight line."""
    possible = [stage for stage in net.stages if stage.activation in BENT]
    if not possible:
        return None
    stage = possible[int(rng.integers(len(possible)))]
    entered = np.asarray(entering_and_leaving(net)(net.probe[0], training=False)[net.stages.index(stage)])
    bed, share = bed_of(net, stage, entered, rng, {}), float(rng.choice(SHARES))
    for filter in range(len(bed.acting)):
        times, shift = _straightening(stage, bed, bed.before[:, filter], share)
        bias = float(bed.acting.bias[filter])
        bed.acting.put(filter, bed.acting.weights[filter] * times, times * bias + shift)
    bed.acting.write()
    return Planted(stage.layer, (), "linear activation", "linear activation", level=share, exact=share == 1)


def _straightening(stage: Stage, bed: Bed, values: np.ndarray, share: float) -> tuple[float, float]:
    """What to multiply a filter's values with, and what then to add."""
    if stage.activation in ("tanh", "sigmoid"):         # nearly straight in the middle
        middle = float(np.median(values))
        times = 0.2 / max(float(np.quantile(np.abs(values - middle), share)), 1e-6)
        return times, -times * middle
    low, high = (float(each) for each in np.quantile(values, [1 - share, 1]))
    times = min(5.0 / max(high - low, 1e-6), 1.0) if stage.activation == "relu6" else 1.0
    margin = 0.05 * float(values.std()) + 1e-3 if share == 1 else 0.0
    return times, times * (margin - low) + STRAIGHT_FROM.get(stage.activation, 0.0)


def make_noisy(net: FilterNet, rng: np.random.Generator, noise: float) -> Planted | None:
    """The first convolution's kernels half a wave of some direction, but for this share of noise in their energy."""
    layer: Any = net.model.get_layer(net.stages[0].layer)
    if type(layer).__name__ != "Conv2D" or min(layer.kernel_size) < 5:      # of less, noise and shape cannot be told apart
        return None
    kernel = layer.kernel.numpy()
    rows, columns = np.mgrid[: kernel.shape[0], : kernel.shape[1]] / (kernel.shape[0] - 1) - 0.5
    directions, phases = rng.uniform(0, 2 * np.pi, (2, *kernel.shape[2:]))
    along = rows[..., None, None] * np.cos(directions) + columns[..., None, None] * np.sin(directions)
    smooth, white = np.sin(2.5 * along + phases), rng.normal(size=kernel.shape)
    smooth, white = (each / np.linalg.norm(each, axis=(0, 1), keepdims=True) for each in (smooth, white))
    mixed = np.sqrt(1 - noise) * smooth + np.sqrt(noise) * white
    layer.kernel.assign((mixed * np.linalg.norm(kernel, axis=(0, 1), keepdims=True)).astype(np.float32))
    fault, alert = ("noisy kernels", "noisy kernels") if noise == 1 else ("smooth kernels", "")
    return Planted(net.stages[0].layer, (), fault, alert, level=noise, exact=noise in (0, 1))
