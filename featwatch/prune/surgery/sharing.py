"""Other models that share layers with the one that is operated on: what of them has to get smaller along with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from featwatch.graphs import graph_of
from featwatch.prune.anatomy import AN_INPUT, AN_OUTPUT, Anatomy
from featwatch.prune.surgery.resizing import Keeping
from featwatch.prune.surgery.symbolic import calls
from featwatch.prune.surgery.unsupported import Unsupported


def along(keeping: Keeping, models: Sequence[Any], asked: Sequence[Any]) -> list[Keeping]:
    """What stays of the models that have calls of their own of the shared layers.

    Arguments:
        asked: those of them that may lose units of layers of their own, because the user named them.

    Raises:
        Unsupported: one would lose units that the operated model keeps, or of layers of its own without having been named.
    """
    known = {id(node) for node in calls(keeping.anatomy.graph)}
    found = []
    for model in models:
        graph = graph_of(model)
        if graph is None or model is keeping.anatomy.model or all(id(node) in known for node in calls(graph)):
            continue
        found.append(_along(keeping, model, any(model is each for each in asked)))
    return found


def _along(keeping: Keeping, model: Any, asked: bool) -> Keeping:
    anatomy = Anatomy(model)
    shared = [sliced for sliced in anatomy.sliced.values() if keeping.places(sliced.variable)]
    going = set[int]()
    for sliced in shared:
        for axis, places in keeping.places(sliced.variable).items():
            ids = sliced.axes.get(axis)
            if ids is None:
                raise Unsupported(f"the model {model.name!r} uses {sliced.owner!r} in a way in which no unit of it can go")
            going.update(int(root) for root in anatomy.units.roots(np.delete(ids, places)))
    found = Keeping(anatomy, going)
    for sliced in anatomy.sliced.values():
        ours, theirs = keeping.places(sliced.variable), found.places(sliced.variable)
        same = set(ours) == set(theirs) and all(np.array_equal(ours[axis], theirs[axis]) for axis in ours)
        own = id(sliced.variable) not in keeping.anatomy.sliced
        if not same and not own:
            raise Unsupported(f"in the model {model.name!r}, which shares {sliced.owner!r}, other units go along")
        if not same and not asked:
            raise Unsupported(
                f"the model {model.name!r} shares layers with {keeping.anatomy.model.name!r} and would lose units of its own "
                f"layer {sliced.owner!r}: name it, models=[{model.name}], or delete it"
            )
    for name, made in anatomy.made.items():
        for unit in np.delete(made.ids, found.kept(made.ids)):
            why = anatomy.units.why(int(unit))
            if why not in ("", AN_INPUT, AN_OUTPUT):
                raise Unsupported(f"the model {model.name!r} shares units of {name!r} that have to stay there: {why}")
    return found

