"""What follows when units go: options of new layers, attributes of the same ones, arguments of their calls."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from featwatch.prune.labelled import Arguments, Kept

if TYPE_CHECKING:
    from featwatch.prune.anatomy import Anatomy


def options(anatomy: Anatomy, groups: Iterable[int]) -> dict[int, dict[str, Any]]:
    """What is different in the configuration of each new layer or operation, by the identity of the one of the model.

    Layers that others wrap, as `Bidirectional` does, and that are activations of others are told by themselves.
    """
    kept = _kept(anatomy, groups)
    found: dict[int, dict[str, Any]] = {}
    for sized in anatomy.sized:
        found.setdefault(id(sized.layer), {})[sized.option] = len(kept(sized.ids)) // sized.per
    for rewritten in anatomy.rewritten.values():
        if rewritten.configuration is not None:
            found.setdefault(id(rewritten.operation), {}).update(rewritten.configuration(kept))
    return found


def attributes(anatomy: Anatomy, groups: Iterable[int]) -> list[tuple[Any, str, Any]]:
    """Every attribute of a layer or operation that changes when these groups go: whose, its name, its new value."""
    kept = _kept(anatomy, groups)
    found = []
    for sized in anatomy.sized:
        count = len(kept(sized.ids)) // sized.per
        found += [(owner, name, count) for owner, name in sized.held or ((sized.layer, sized.option),)]
    for rewritten in anatomy.rewritten.values():
        if rewritten.attributes is not None:
            found += rewritten.attributes(kept)
        elif rewritten.configuration is not None:
            found += [(rewritten.operation, name, value) for name, value in rewritten.configuration(kept).items()]
    return found


def arguments(
    anatomy: Anatomy, operation: Any, groups: Iterable[int], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Arguments:
    """The arguments of a call of an operation of the model, what names channels in them replaced.

    Arguments:
        operation: of the whole model, not the copy of it.
        args: with tensors, or whatever stands for them, at their places; so `kwargs`.
    """
    rewritten = anatomy.rewritten.get(id(operation))
    if rewritten is None or rewritten.arguments is None:
        return args, kwargs
    return rewritten.arguments(_kept(anatomy, groups), args, kwargs)


def _kept(anatomy: Anatomy, groups: Iterable[int]) -> Kept:
    return partial(anatomy.kept, groups=np.fromiter(groups, np.int64))
