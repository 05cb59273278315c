"""What is traced for the feature images of a layer, and kept: its maps of whole pictures, and the ascents in a window."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from featwatch.explain.ascent.ascent import Ascent, traced
from featwatch.explain.ascent.bases import Basis
from featwatch.explain.ascent.bounds import Bounds
from featwatch.explain.ascent.frame import Frame
from featwatch.explain.ascent.objective import Objective
from featwatch.explain.ascent.priors import basis_of
from featwatch.explain.ascent.recipe import Recipe
from featwatch.explain.ascent.robustness import robustness
from featwatch.explain.ascent.trimming import Trimming, trimming_of
from featwatch.explain.ascent.windows import whole_of, window_of
from featwatch.explain.forms import Form
from featwatch.explain.kept import kept
from featwatch.layers import Site, sites

AGREEMENT = 1e-4                    # between window and whole input, relative to the largest value; in half precision more


class WholeMaps:
    """(pictures, …, filters) float32 of (pictures, height, width, channels) as large as the input: what enters the activation."""

    def __init__(self, model: Any, site: Site, form: Form) -> None:
        objective = Objective(weakref.ref(model), site, form)
        self.form = form
        self.before, self.precision = True, 0.0

        def maps(pictures: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            read = objective.read(pictures)
            self.before, self.precision = read.before, read.precision
            return read.maps, read.after

        self._maps = traced(maps, tf.TensorSpec((None, *form.size), tf.float32))
        shape = tuple(self._maps.structured_outputs[0].shape)[1:]
        self.filters, self.size = int(shape[-1]), tuple(int(n) for n in shape[:-1])

    def __call__(self, pictures: Any) -> tf.Tensor:
        return self.both(pictures)[0]

    def both(self, pictures: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """The same, and what leaves the activation."""
        return self._maps(tf.cast(pictures, tf.float32))


@dataclass(frozen=True, eq=False)
class Traces:
    """All of it for one layer, one recipe and one range of the input."""

    whole: WholeMaps
    frame: Frame
    basis: Basis
    ascent: Ascent


def traces_of(model: Any, site: Site, form: Form, bounds: Bounds, recipe: Recipe) -> Traces:
    """The traces, made at the first call and kept while the model stays as it is: seconds.

    Raises:
        Unsuitable: no gradient leads from the layer to the input.
        WritesState: the model writes variables in inference.
        ValueError: the layer's map has no such unit as the recipe wants.
    """
    subject = (id(site.layer), id(site.tapped), form)
    return kept(model, ("feature images", *subject, recipe.traced, recipe.unit, recipe.at_least, bounds.key),
                lambda: _made(model, site, form, bounds, recipe, subject))  # fmt: skip


def _made(model: Any, site: Site, form: Form, bounds: Bounds, recipe: Recipe, subject: tuple[Any, ...]) -> Traces:
    whole = kept(model, ("whole maps", *subject), lambda: WholeMaps(model, site, form))
    reference = weakref.ref(model)

    def ascent(frame: Frame, unit: tuple[int, ...] | None, trimming: Trimming | None) -> tuple[Basis, Ascent]:
        total, alone = recipe.objective == "sum", unit is not None and frame.patch
        objective = Objective(
            reference, site, form, unit if alone else None, total=total, leaving=unit is None, alone=alone, trimming=trimming
        )  # fmt: skip
        basis = basis_of(recipe, form, frame.size, bounds)
        moved = robustness(
            frame.size, jitter=recipe.jitter if form.has_neighbours else 0, rotate=recipe.rotate, scale=recipe.scale
        )
        return basis, Ascent(objective, basis, whole.filters, moved, 0 if alone or unit is None else len(unit))

    def traces(frame: Frame, trimming: Trimming | None = None) -> Traces:
        # Windows are alike around most units; in the whole input the unit is an argument.
        unit = frame.unit if recipe.objective == "neuron" else None
        alike = frame.size, unit if frame.patch else None, trimming is not None
        basis, found = kept(
            model, ("ascent", *subject, recipe.traced, bounds.key, *alike), lambda: ascent(frame, unit, trimming)
        )
        return Traces(whole, frame, basis, found if unit is None or frame.patch else found.at(unit))

    full = whole_of(model, site, form, whole.size, recipe.unit)
    if recipe.objective == "neuron" and not recipe.learned:
        frame = window_of(model, site, form, whole.size, recipe.unit, recipe.at_least)
        for trimming in dict.fromkeys([trimming_of(model, site, frame.unit), None]) if frame.patch else ():
            try:
                found = traces(frame, trimming)
                if _agrees(found, bounds):
                    return found
            except Exception:           # such as a layer that only takes inputs of one size
                continue
        full = full if frame.patch else frame
    return traces(full)


def _agrees(found: Traces, bounds: Bounds) -> bool:
    """Whether the unit has the same value in the window as in the whole picture, in some pictures."""
    frame, whole = found.frame, found.whole
    random = np.random.default_rng(0)
    height, width = frame.size
    top, left = frame.origin
    shares = random.random((4, *whole.form.size), np.float32)
    for axis in (1, 2):                     # two of them in blocks: what closes every ReLU for noise may open some for these
        shares[2:] = np.take(shares[2:], np.arange(shares.shape[axis]) // 3 * 3, axis=axis)
    pictures = (bounds.low + (bounds.high - bounds.low) * shares).astype(np.float32)
    directions = random.normal(size=(4, whole.filters)).astype(np.float32)
    there = (whole(pictures).numpy()[(slice(None), *frame.full_unit)] * directions).sum(axis=1)
    here = found.ascent.values(pictures[:, top : top + height, left : left + width], directions)
    tolerance = max(AGREEMENT, 8 * whole.precision)
    return bool(np.abs(there - here).max() <= tolerance * max(float(np.abs(there).max()), 1e-6))


def depth_of(model: Any, site: Site) -> int:
    """How many layers with weights stand before a layer, in graph order."""
    before = 0
    for each in sites(model):
        if each.layer is site.layer:
            break
        before += bool(each.layer.weights) and each.path == site.path
    return before
