"""A stage of a network while faults are planted in it, and what is written down of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from benchmarks.acting_weights import Acting
from benchmarks.filter_nets import FilterNet, Stage, before_activation, by_filter

RECTIFIERS = ("relu", "relu6")


@dataclass(frozen=True)
class Planted:
    """What was done to some filters of a layer.

    Attributes:
        filters: of doubles and sums the last one is what the others give.
        fault: what was done.
        alert: the kind of alert that should name one of them at least; "" = none should, it is a control.
        cause: of death, where they are dead by it.
        level: of faults that come in degrees.
        exact: whether it is wrong by construction, beyond any threshold.
    """

    layer: str
    filters: tuple[int, ...]
    fault: str
    alert: str
    cause: str = ""
    level: float = math.nan
    exact: bool = True


@dataclass(eq=False)
class Bed:
    """A stage while it is planted in."""

    stage: Stage
    acting: Acting
    entered: np.ndarray                         # (samples, …, channels)
    before: np.ndarray                          # (samples × positions, filters) before the activation, nothing planted yet
    rng: np.random.Generator
    doubles: list[tuple[int, int]]              # channels that entered twice
    free: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.free = self.rng.permutation(len(self.acting)).tolist()
        self.energies = np.linalg.norm(self.acting.weights, axis=1)
        self.channels = by_filter(self.entered)
        self.largest, self.smallest = self.channels.max(axis=0), self.channels.min(axis=0)

    @property
    def activation(self) -> str:
        return self.stage.activation

    def take(self, varying: bool = False) -> int:
        """A filter with which nothing was done yet; one whose values vary where this is wanted.  Raises StopIteration."""
        place = next(k for k, one in enumerate(self.free) if not varying or self.varies(one))
        return self.free.pop(place)

    def varies(self, filter: int) -> bool:
        values = self.before[:, filter]
        top = 6.0 if self.activation == "relu6" else np.inf
        passing = float(((values > 0) & (values < top)).mean()) if self.activation in RECTIFIERS else 1.0
        return bool(np.ptp(values) > 1e-3) and passing > 0.02

    def offset(self) -> float:
        """What a filter without input gives; 0 only where nothing is rounded on the way."""
        return float(self.rng.choice((-0.1, 0.1) if self.acting.normalised else (-0.1, 0.0, 0.1)))

    def tile(self, by_channel: np.ndarray) -> np.ndarray:
        """(…, weights per filter): what each weight meets, from what each channel brings."""
        return np.tile(by_channel, self.acting.weights.shape[1] // len(by_channel))

    def reach(self, filter: int, weights: np.ndarray) -> float:
        """The largest w·x that any input within the bounds of what enters can give."""
        top, low = max(self.largest.max(), 0.0), min(self.smallest.min(), 0.0)
        return float(np.maximum(weights, 0).sum() * top + np.minimum(weights, 0).sum() * low)

    def dead_channels(self, filter: int) -> np.ndarray:
        """(inputs per filter,) bool."""
        dead = (self.largest == 0) & (self.smallest == 0)
        if not self.acting.depthwise:
            return dead
        multiplier = len(self.acting) // len(dead)
        return dead[filter // multiplier : filter // multiplier + 1]


def bed_of(
    net: FilterNet, stage: Stage, entered: np.ndarray, rng: np.random.Generator, doubled: dict[int, list[tuple[int, int]]]
) -> Bed:
    """A stage to plant in.  `doubled`: number of channels -> which of them are doubles, where so many enter."""
    before = by_filter(before_activation(net, stage, entered))
    return Bed(stage, Acting(net, stage), entered, before, rng, doubled.get(entered.shape[-1], []))
