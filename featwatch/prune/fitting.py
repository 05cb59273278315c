"""Whether a plan fits a model: the groups that go by it, or what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from featwatch.errors import RefusedType, RefusedValue
from featwatch.phrases import closest, ranges
from featwatch.prune.anatomy import Anatomy
from featwatch.prune.words import several

ANEW = "make a plan for this model with featwatch.prune.plan(model, …)"


def groups_of(anatomy: Anatomy, removed: Mapping[str, Sequence[int]], argument: str = "units") -> set[int]:
    """The groups that go with these units of layers.

    Arguments:
        removed: layer -> units, numbered from 0; negative numbers are refused.
        argument: what errors call it.

    Raises:
        TypeError: it is no mapping from names to whole numbers.
        ValueError: a layer or unit that the model has not, units that have to stay, or a layer that would lose all of its own.
    """
    checked = named_units(anatomy, removed, argument)
    for name, numbers in checked.items():
        ids = anatomy.made[name].ids[numbers]
        frozen = numbers[anatomy.units.frozen(ids)] if len(numbers) else numbers
        if len(frozen):
            why = anatomy.units.why(int(anatomy.made[name].ids[frozen[0]]))
            raise RefusedValue(
                f"{argument}: {_units(frozen)} of {name!r} cannot go: {why}. Leave {'it' if len(frozen) == 1 else 'them'} out"
            )
    groups = anatomy.groups({name: numbers for name, numbers in checked.items() if len(numbers)})
    emptied = [name for name, units in anatomy.going(groups).items() if len(units) == len(anatomy.made[name].ids)]
    if emptied:
        raise RefusedValue(
            f"{argument}: layer {emptied[0]!r} would lose all of its {len(anatomy.made[emptied[0]].ids)} units; "
            "leave one at least"
        )
    left = _channelless(anatomy, groups)
    if left:
        raise RefusedValue(f"{argument}: {left} would have no channel left; leave one at least")
    mistaken = anatomy.mistaken(groups)
    if mistaken:
        raise RefusedValue(
            f"{argument}: {mistaken[0]!r} would have as many filters as columns, and Keras would add its bias along these; "
            "leave one more"
        )
    return groups


def named_units(anatomy: Anatomy, units: Mapping[str, Sequence[int]], argument: str = "units") -> dict[str, np.ndarray]:
    """layer -> (n,) int64 numbers of units that the model has.

    Raises:
        TypeError: it is no mapping from names to whole numbers.
        ValueError: a layer or unit that the model has not.
    """
    if not isinstance(units, Mapping):
        raise RefusedType(f"{argument}={units!r} is no mapping; give units by layer, such as {{'conv1': [0, 3]}}")
    return {name: _numbers(anatomy, name, numbers, argument) for name, numbers in units.items()}


def check_model(anatomy: Anatomy, units: Mapping[str, int], name: str) -> None:
    """Refuse a plan that was made for another model.

    Arguments:
        units: layer -> units it has in the model that the plan is for; empty = not known.
        name: of that model.
    """
    for layer, count in units.items():
        here = anatomy.made.get(layer)
        if here is None:
            whose = f" ({name!r})" if name else ""
            raise RefusedValue(
                f"the plan is for another model{whose}: this one, {anatomy.model.name!r}, has no layer with units called "
                f"{layer!r}{closest(layer, anatomy.made)}; {ANEW}"
            )
        if len(here.ids) != count:
            raise RefusedValue(
                f"the plan is for a model in which {layer!r} has {count} units; here it has {len(here.ids)}"
                f" (was it pruned already?); {ANEW}"
            )


def along(anatomy: Anatomy, removed: Mapping[str, Sequence[int]], named: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    """What goes beside the units that were named."""
    found = {name: sorted(set(units) - set(map(int, named.get(name, ())))) for name, units in removed.items()}
    return {name: units for name, units in found.items() if units}


def said_of(anatomy: Anatomy, beside: Mapping[str, Sequence[int]]) -> list[str]:
    """A sentence where units go along that others have filters for; batch normalisations go without saying."""
    mixing = [f"{name} ({ranges(list(units))})" for name, units in beside.items() if anatomy.made[name].mixes]
    if not mixing:
        return []
    return ["with the units named go those that are added to them, or otherwise tied to them: " + several(mixing, 8)]


def _numbers(anatomy: Anatomy, name: Any, numbers: Any, argument: str) -> np.ndarray:
    if not isinstance(name, str):
        raise RefusedType(f"{argument}: {name!r} is no layer's name")
    made = anatomy.made.get(name)
    if made is None:
        raise RefusedValue(
            f"{argument}: the model {anatomy.model.name!r} has no layer with units called {name!r}{closest(name, anatomy.made)}"
        )
    array = np.asarray(numbers) if isinstance(numbers, (list, tuple, set, frozenset, range, np.ndarray)) else None
    if isinstance(numbers, (set, frozenset)):
        array = np.asarray(sorted(numbers))
    if array is None or array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise RefusedType(f"{argument}[{name!r}]={numbers!r}: give the units' numbers as a list of whole numbers")
    array = array.astype(np.int64)
    count = len(made.ids)
    wrong = array[(array < 0) | (array >= count)]
    if len(wrong):
        there = f"the layer has {count}, numbered 0 to {count - 1}"
        raise RefusedValue(f"{argument}[{name!r}]: there is no unit {int(wrong[0])}; {there}")
    several, times = np.unique(array, return_counts=True)
    if (times > 1).any():
        raise RefusedValue(f"{argument}[{name!r}] names unit {int(several[times > 1][0])} more than once; name each once")
    return array


def _channelless(anatomy: Anatomy, groups: set[int]) -> str:
    """A tensor that would have no channel left, in words; "" where each has one."""
    removed = np.asarray(sorted(groups), np.int64)
    for label in anatomy.labels.values():
        if len(label.ids) and np.isin(anatomy.units.roots(label.ids), removed).all():
            return f"a tensor of shape {label.shape} within the model"
    return ""


def _units(numbers: np.ndarray) -> str:
    return f"unit {numbers[0]}" if len(numbers) == 1 else f"units {ranges(numbers.tolist())}"
