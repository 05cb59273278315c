"""The receptive fields of a layer, from measurements of some of its units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from featwatch.explain.fields.probing import Span, TooLong, probing_of
from featwatch.explain.fields.regular import Rule, rule_of, telling
from featwatch.layers import Site

LEAST = 4                           # units that tell a rule: two in the middle, and the ends


@dataclass(frozen=True)
class Measured:
    """What some units of a layer see, and the rules for all of them."""

    units: tuple[tuple[int, ...], ...]
    spans: tuple[Span, ...]         # of each unit
    rules: tuple[Rule, ...]         # per spatial axis of the input
    input: tuple[int, ...]          # its spatial sizes

    def box(self, unit: Sequence[int]) -> list[tuple[int, int]]:
        """(lo, hi) per spatial axis of the input, perhaps beyond it, by the rules."""
        return [rule.box(place) for rule, place in zip(self.rules, _aligned(unit, len(self.rules)), strict=True)]

    def cut(self, unit: Sequence[int]) -> Span:
        """What of that lies within the input."""
        return tuple((max(low, 0), min(high, size - 1)) for (low, high), size in zip(self.box(unit), self.input, strict=True))


def measured(model: Any, site: Site, probe: Any = None, *, limited: bool = True) -> Measured:
    """What some units of a layer see.

    Arguments:
        probe: a `Probe`, or samples of the input, which tell its size; None = the shapes with which the model was built.
        limited: whether to stay within the seconds that are granted at the start of a training.

    Raises ValueError where it cannot be told: the message says why.
    """
    probing = probing_of(model, site, probe, limited=limited)
    every = telling(probing.map_size(site))
    units = every
    if limited:
        units = every[: probing.grant(site, every)]
        if len(units) < min(LEAST, len(every)):
            seconds = max(1, round(probing.seconds(len(every))))
            raise TooLong(f"not measured, to spare the training some {seconds} s: receptive_field(model, {site.name!r}) does")
    spans = probing.measure(site, units)
    sizes = probing.input_size(site)
    places = np.array([_aligned(unit, len(sizes)) for unit in units], np.int64).reshape(len(units), len(sizes))
    ends = np.array(spans, np.int64).reshape(len(units), len(sizes), 2)
    rules = [rule_of(places[:, axis], ends[:, axis, 0], ends[:, axis, 1], size) for axis, size in enumerate(sizes)]
    return Measured(tuple(units), tuple(spans), tuple(rules), sizes)


def _aligned(unit: Sequence[int], axes: int) -> list[int]:
    """The unit's index per spatial axis of the input, where axes correspond; else 0."""
    return list(unit) if len(unit) == axes else [0] * axes
