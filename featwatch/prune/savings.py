"""What a model weighs without some of its units: parameters and multiply-adds, counted without making the smaller model."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from featwatch.prune.anatomy import Anatomy
from featwatch.prune.multiplications import Term, concrete, shapes_like, terms
from featwatch.prune.words import several


@dataclass(frozen=True)
class Savings:
    """Parameters, and multiply-adds for one sample (−1 = not known), before and after."""

    parameters_before: int = -1
    parameters_after: int = -1
    multiply_adds_before: int = -1
    multiply_adds_after: int = -1


class Sizes:
    """Counts what is left of a model when groups go; made once, asked as often as there are questions.

    Parameters are those that `model.count_params()` counts.  Multiply-adds are those of convolutions, dense and recurrent
    layers and attention, for one sample, padding included, as published counts have them; biases, normalisations and
    activations are not counted.  `uncounted`: layers whose multiply-adds are not known, so that the counts lack them.
    `said`: what there is to say of the counts.

    Arguments:
        sample: shape of one sample, for a model of one input that leaves its size open.
        like: samples as the model takes them, in the place of `sample`; not used where nothing is open.

    >>> Sizes(anatomy).of(()).parameters == model.count_params()    # doctest: +SKIP
    True
    """

    def __init__(self, anatomy: Anatomy, sample: Sequence[int | None] | None = None, *, like: Any = None) -> None:
        self._axes: dict[int, tuple[np.ndarray, ...]] = {}      # identity of a variable -> the roots along each axis, or none
        self._lengths: dict[int, tuple[int, ...]] = {}
        self._roots: dict[int, np.ndarray] = {}                 # by the identity of the ids: many axes have the same ones
        self._anatomy = anatomy
        weights = list({id(weight): weight for weight in anatomy.model.weights}.values())
        self._weights = [self._known(weight) for weight in weights]
        samples = [sample] if sample is not None else ([] if like is None else shapes_like(anatomy.graph, like))
        found, self.uncounted = terms(anatomy.graph, concrete(anatomy.graph, samples) if samples else None)
        self._terms: list[Term] = found
        for term in found:
            if term.variable is not None:
                self._known(term.variable)
        self.multiply_adds_known = all(term.positions is not None for term in found)
        self.said: list[str] = []
        if self.uncounted:
            self.said.append(f"multiply-adds lack those of {several(self.uncounted)}: what they compute is not known")
        if like is not None and samples and self.multiply_adds_known:
            of = " and ".join(str(tuple(each)) for each in samples)
            self.said.append(f"multiply-adds are for samples of {of}, as the probe has them: the model leaves their size open")

    def of(self, groups: Iterable[int]) -> tuple[int, int]:
        """(parameters, multiply-adds) that are left without these groups; −1 where the size of a map is open."""
        removed = np.asarray(sorted(groups), np.int64)
        kept = {key: int(np.count_nonzero(~np.isin(roots, removed))) for key, roots in self._roots.items()}
        shapes = {key: self._shape(key, kept) for key in self._lengths}
        parameters = sum(math.prod(shapes[key]) for key in self._weights)
        if not self.multiply_adds_known:
            return parameters, -1
        return parameters, sum(_of_term(term, shapes) for term in self._terms)

    def by_layer(self) -> dict[int, int]:
        """The multiply-adds of each layer that has any, in all of its calls, by its identity; −1 where they are not known."""
        found: dict[int, int] = {}
        shapes = {key: list(lengths) for key, lengths in self._lengths.items()}
        for term in self._terms:
            before = found.get(id(term.layer), 0)
            found[id(term.layer)] = -1 if before < 0 or term.positions is None else before + _of_term(term, shapes)
        return found

    def savings(self, groups: Iterable[int]) -> Savings:
        """What removing these groups saves."""
        before, after = self.of(()), self.of(groups)
        return Savings(before[0], after[0], before[1], after[1])

    def _known(self, variable: Any) -> int:
        key = id(variable)
        if key not in self._lengths:
            self._lengths[key] = tuple(int(size) for size in variable.shape)
            sliced = self._anatomy.sliced.get(key)
            if sliced is not None:
                for ids in sliced.axes.values():
                    self._roots.setdefault(id(ids), self._anatomy.units.roots(ids))
        return key

    def _shape(self, key: int, kept: dict[int, int]) -> list[int]:
        shape = list(self._lengths[key])
        sliced = self._anatomy.sliced.get(key)
        for axis, ids in ({} if sliced is None else sliced.axes).items():
            shape[axis] = kept[id(ids)]
        return shape


def _of_term(term: Term, shapes: dict[int, list[int]]) -> int:
    assert term.positions is not None
    if term.variable is None:
        return term.positions
    shape = shapes[id(term.variable)]
    return term.positions * math.prod(shape if term.axes is None else [shape[axis] for axis in term.axes])
