"""A tensor of a model's graph as pruning sees it: which unit each of its channels is, and what has weights for them.

What follows when units go is told in three ways: a `Sliced` variable gets shorter along axes, a `Sized` option counts fewer
units, and a `Rewritten` operation is given other options, attributes or arguments.  `prune.following` puts the last two
together: `options` for new layers, `attributes` for the same ones, `arguments` for calls of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

Shape = tuple[int | None, ...]
Kept = Callable[[np.ndarray], np.ndarray]       # units -> the places among them of those that stay
Arguments = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Labelled:
    """A tensor and the units of its channels.  A unit may have several channels, after `Flatten` for one."""

    shape: Shape                        # with the batch axis
    axis: int                           # of the channels; 0 = it has none, as a number per sample
    ids: np.ndarray                     # (channels,) of `Units`

    def shaped(self, shape: Sequence[int | None], axis: int | None = None) -> Labelled:
        """The same channels in a tensor of another shape; `axis`: where they are now."""
        return replace(self, shape=tuple(shape), axis=self.axis if axis is None else axis)

    @property
    def last(self) -> bool:
        """Whether the channels are on the last axis."""
        return self.axis == len(self.shape) - 1


@dataclass(frozen=True, eq=False)
class Call:
    """One call of an operation in the graph."""

    operation: Any
    name: str                           # of the operation, below those of the models around it
    reads: tuple[Labelled, ...]         # in the order in which the call's arguments name them
    shapes: tuple[Shape, ...]           # of what it gives
    args: tuple[Any, ...] = ()          # as called, a `Labelled` in the place of each tensor
    kwargs: dict[str, Any] = field(default_factory=dict)

    @property
    def read(self) -> Labelled:
        return self.reads[0]

    @property
    def shape(self) -> Shape:
        return self.shapes[0]


@dataclass(eq=False)
class Sliced:
    """A variable that has numbers of their own for units: along which of its axes, and for which of them."""

    variable: Any
    owner: str                          # name of the layer
    axes: dict[int, np.ndarray] = field(default_factory=dict)   # axis -> (length of that axis,) ids


@dataclass(frozen=True, eq=False)
class Sized:
    """An option of a layer that says how many units it has: `filters`, `units`, `groups` …"""

    layer: Any
    option: str                         # its name in the layer's configuration
    ids: np.ndarray
    per: int = 1                        # channels for each that the option counts
    # Where it is an attribute: object and name; () = of the layer, under the option's own name.
    held: tuple[tuple[Any, str], ...] = ()


@dataclass(frozen=True, eq=False)
class Rewritten:
    """An operation that names channels in other ways than by counting them: a slice, a split, a target shape, constants."""

    operation: Any
    ids: np.ndarray                     # of all units that it depends on
    # What of its configuration becomes what.
    configuration: Callable[[Kept], dict[str, Any]] | None = None
    # Attributes, where they are not what the configuration says, on the operation, under the same names.
    attributes: Callable[[Kept], list[tuple[Any, str, Any]]] | None = None
    # Of a call's arguments, tensors or whatever stands for them included: the same, what names channels replaced.
    arguments: Callable[[Kept, tuple[Any, ...], dict[str, Any]], Arguments] | None = None


@dataclass(frozen=True, eq=False)
class Made:
    """What a layer with weights gives: the units of its output channels.

    `mixes`: whether it makes them of others (a convolution); a batch normalisation only changes those that it reads.
    """

    layer: Any
    name: str
    ids: np.ndarray
    mixes: bool = True
