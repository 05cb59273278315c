"""Size, stride and offset of receptive fields, from the boxes of a few units."""

from __future__ import annotations

import numpy as np
import pytest

from featwatch.explain.fields import measuring
from featwatch.explain.fields.regular import Rule, rule_of, telling


@pytest.mark.parametrize("seed", range(40))
def test_rules_are_found_from_boxes_that_are_cut(seed: int) -> None:
    """Whatever the size, stride and offset: what lies within the input is told for every unit, not for the measured ones only."""
    rng = np.random.default_rng(seed)
    size, stride, wide = (int(rng.integers(*limits)) for limits in ((20, 60), (1, 6), (1, 30)))
    offset = int(rng.integers(max(-9, 1 - wide), 3))
    count = max(1, (size - 1 - offset) // stride)
    every = np.arange(count)
    low, high = np.maximum(offset + every * stride, 0), np.minimum(offset + every * stride + wide - 1, size - 1)
    some = np.array([unit for (unit,) in telling((count,))])
    rule = rule_of(some, low[some], high[some], size)
    assert rule.regular
    for unit in some:
        first, last = rule.box(int(unit))
        assert (max(first, 0), min(last, size - 1)) == (low[unit], high[unit])
    if (low[some] > 0).sum() > 1 and (high[some] < size - 1).any():
        assert (rule.size, rule.stride, rule.offset) == (wide, stride, offset)


def test_where_no_rule_holds_every_unit_sees_less_than_is_said() -> None:
    units, low, high = np.array([0, 1, 2, 3]), np.array([0, 3, 4, 9]), np.array([2, 4, 9, 11])
    rule = rule_of(units, low, high, 20)
    assert not rule.regular
    assert all(rule.box(u)[0] <= a and rule.box(u)[1] >= b for u, a, b in zip(units.tolist(), low, high, strict=True))
    assert rule_of(np.array([0]), np.array([3]), np.array([5]), 9) == Rule(3, 0, 3, True)


def test_units_that_tell_a_rule() -> None:
    assert telling(()) == [()] and sorted(telling((3,))) == [(0,), (1,), (2,)]
    units = telling((40, 5))
    assert units[:3] == [(20, 2), (0, 0), (39, 4)] and {(0, 4), (39, 0), (1, 1), (20, 4)} <= set(units) and len(units) <= 13
    assert telling((40,))[:4] == [(20,), (0,), (39,), (19,)] and measuring.LEAST == 4
