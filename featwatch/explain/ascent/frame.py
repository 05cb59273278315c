"""On which part of the input a unit's image is optimised: its receptive field, where that serves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from featwatch.explain.fields.arithmetic import FAR, NoGraph, Start
from featwatch.explain.fields.axes import NoSize
from featwatch.explain.fields.measuring import measured
from featwatch.explain.forms import Form
from featwatch.layers import Site

_Along = tuple[int, int, Fraction, int]     # along one axis: lo and hi of a unit's field, its pace and its grid


@dataclass(frozen=True)
class Frame:
    """A window of the input, (height, width), and the unit in the map that a model makes of just that window."""

    size: tuple[int, int]
    origin: tuple[int, int]         # of the window in the input
    unit: tuple[int, ...]           # in the map of the window
    box: tuple[int, ...]            # lo0, hi0, lo1, hi1 of its receptive field in the window, inclusive
    # By how much the field moves from unit to unit, on average; None = it cannot be told, or does not move.
    stride: tuple[Fraction, Fraction] | None
    patch: bool                     # whether the window is less than the whole input

    @property
    def full_unit(self) -> tuple[int, ...]:
        """The unit that sees the same in the map of the whole input."""
        if self.stride is None:
            return self.unit
        moved = [int(o / s) for o, s in zip(self.origin, self.stride, strict=True)][-len(self.unit) :]
        return tuple(u + by for u, by in zip(self.unit, moved, strict=True))


def whole(form: Form, map_size: Sequence[int]) -> Frame:
    """All of the input, and the central unit."""
    height, width, _ = form.size
    return Frame((height, width), (0, 0), tuple(n // 2 for n in map_size), (0, height - 1, 0, width - 1), None, False)


def frame_of(model: Any, site: Site, form: Form, map_size: Sequence[int]) -> Frame:
    """The smallest window in which the central unit finds all that it sees, aligned as in the whole input.

    Strides and padding fall alike in both when the window starts at a multiple of the total stride, and its
    size leaves the same remainder.  Where no part of the input serves, all of it.  Where fields are measured, that they
    move from unit to unit as from one point of a grid to the next is assumed: compare the unit's values.

    Arguments:
        map_size: of the layer's map over the whole input.
    """
    full = whole(form, map_size)
    axes = form.axes
    try:
        along = _computed(model, site, full.unit)
        along = _measured(model, site, form, full.unit) if along is None else along
    except Exception:                   # whatever the model raises of random inputs
        return full
    if not axes or along is None or not len(axes) == len(map_size) == len(along):
        return full
    size, origin, unit, stride = list(full.size), [0, 0], list(full.unit), [Fraction(1), Fraction(1)]
    bounds = [[0, full.size[0] - 1], [0, full.size[1] - 1]]
    for i, axis in enumerate(axes):
        (low, high, pace, grid), whole_size = along[i], full.size[axis]
        first = low // grid * grid
        wide = high - first + 1
        wide += (whole_size - wide) % grid
        if first >= 0 and first + wide > whole_size:
            first -= grid
            wide += grid
        if first < 0 or first + wide > whole_size or (first / pace).denominator != 1:
            first, wide = 0, whole_size
        size[axis], origin[axis], unit[i], stride[axis] = wide, first, unit[i] - int(first / pace), pace
        bounds[axis] = [max(low - first, 0), min(high - first, wide - 1)]
    return Frame(
        (size[0], size[1]), (origin[0], origin[1]), tuple(unit), (*bounds[0], *bounds[1]), (stride[0], stride[1]),
        patch=tuple(size) != full.size,
    )  # fmt: skip


def _computed(model: Any, site: Site, unit: Sequence[int]) -> list[_Along] | None:
    """None where the graph does not tell; empty where something of the unit's field does not move along with the unit."""
    try:
        start = Start(model, site)
        paces = start.paces()
        hulls, _ = start.hulls([np.array([u, u + FAR]) for u in unit])
    except (NoGraph, NoSize):
        return None
    if start.guessed:
        return None
    if any(low[-1] - low[0] != FAR * pace for (low, _), (pace, _) in zip(hulls, paces, strict=True)):
        return []
    return [(int(low[0]), int(high[0]), *pace) for (low, high), pace in zip(hulls, paces, strict=True)]


def _measured(model: Any, site: Site, form: Form, unit: Sequence[int]) -> list[_Along] | None:
    found = measured(model, site, np.zeros((1, *form.shape), np.float32))
    box = found.box(unit)
    seen = dict(zip(found.units, found.spans, strict=True)).get(tuple(unit))
    if seen != found.cut(unit) or not all(rule.stride > 0 for rule in found.rules):
        return None
    return [(*ends, Fraction(rule.stride), rule.stride) for ends, rule in zip(box, found.rules, strict=True)]
