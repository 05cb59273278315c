"""Windows for other units than the central one, and larger ones than a receptive field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from featwatch.explain.ascent.frame import Frame, frame_of, whole
from featwatch.explain.fields.arithmetic import Start
from featwatch.explain.fields.fields import receptive_field
from featwatch.explain.forms import Form
from featwatch.layers import Site


def window_of(
    model: Any, site: Site, form: Form, map_size: Sequence[int], unit: Sequence[int] | None = None, at_least: int | None = None
) -> Frame:
    """The window in which a unit is maximised: `frame_of` the central one, enlarged and moved as it is asked for.

    Arguments:
        map_size: of the layer's map over the whole input.
        unit: in that map; None = the central one.
        at_least: pixels on a side; None = the receptive field.

    Raises ValueError where the map has no such unit.
    """
    if unit is not None and (len(unit) != len(map_size) or any(u >= n for u, n in zip(unit, map_size, strict=True))):
        raise ValueError(f"unit={tuple(unit)}: the map of layer {site.name!r} has the size {tuple(map_size)}, counted from 0")
    frame = frame_of(model, site, form, map_size)
    grids = _grids(model, site, frame, form)
    if at_least is not None and frame.patch:
        frame = _enlarged(frame, form, grids, at_least)
    if unit is not None and tuple(unit) != frame.full_unit:
        return _moved(frame, form, grids, unit) or _whole_for(model, site, form, map_size, unit)
    return frame


def whole_of(model: Any, site: Site, form: Form, map_size: Sequence[int], unit: Sequence[int] | None) -> Frame:
    """All of the input, for a unit; None = the central one."""
    return whole(form, map_size) if unit is None else _whole_for(model, site, form, map_size, unit)


def _grids(model: Any, site: Site, frame: Frame, form: Form) -> list[int]:
    """By multiples of how many pixels a window may be moved, per axis of the form."""
    try:
        return [int(grid) for _, grid in Start(model, site).paces()]
    except (TypeError, ValueError):
        stride = frame.stride or (Fraction(1), Fraction(1))
        return [max(1, stride[axis].numerator) for axis in form.axes]


def _enlarged(frame: Frame, form: Form, grids: Sequence[int], at_least: int) -> Frame:
    assert frame.stride is not None
    size, origin, unit, box = list(frame.size), list(frame.origin), list(frame.unit), list(frame.box)
    for i, (axis, grid) in enumerate(zip(form.axes, grids, strict=True)):
        full, pace = form.size[axis], frame.stride[axis]
        if size[axis] >= min(at_least, full):
            continue
        more = -(-(min(at_least, full) - size[axis]) // grid) * grid        # whole grids: strides and padding fall as before
        before = min(more // 2 // grid * grid, origin[axis] // grid * grid)
        before = max(before, origin[axis] + size[axis] + more - full)
        before = -(-before // grid) * grid
        if before > origin[axis] or size[axis] + more > full or (before / pace).denominator != 1:
            before, more = origin[axis], full - size[axis]
        if (Fraction(before) / pace).denominator != 1:
            continue
        size[axis] += more
        origin[axis] -= before
        unit[i] += int(before / pace)
        box[2 * axis] += before
        box[2 * axis + 1] += before
    patch = tuple(size) != form.size[:2]
    return replace(frame, size=(size[0], size[1]), origin=(origin[0], origin[1]), unit=tuple(unit), box=tuple(box), patch=patch)


def _moved(frame: Frame, form: Form, grids: Sequence[int], unit: Sequence[int]) -> Frame | None:
    """The same window around another unit; None where it would not lie in the input as it did."""
    if not frame.patch or frame.stride is None:
        return None
    origin = list(frame.origin)
    for axis, grid, here, there in zip(form.axes, grids, frame.full_unit, unit, strict=True):
        by = (there - here) * frame.stride[axis]
        if by.denominator != 1 or by % grid:
            return None
        origin[axis] += int(by)
        if origin[axis] < 0 or origin[axis] + frame.size[axis] > form.size[axis]:
            return None
    return replace(frame, origin=(origin[0], origin[1]))


def _whole_for(model: Any, site: Site, form: Form, map_size: Sequence[int], unit: Sequence[int]) -> Frame:
    frame = replace(whole(form, map_size), unit=tuple(unit))
    try:
        seen = receptive_field(model, site, unit).inside
    except (TypeError, ValueError):
        return frame
    if len(seen.lo) != len(form.axes):
        return frame
    box = list(frame.box)
    for axis, low, high in zip(form.axes, seen.lo, seen.hi, strict=True):
        box[2 * axis], box[2 * axis + 1] = low, high
    return replace(frame, box=tuple(box))
