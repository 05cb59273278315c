"""`FeatureImages`: images that maximise filters, made while the model trains (rows F1 to F4)."""

from __future__ import annotations

import dataclasses
import difflib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from featwatch.explain.ascent.recipe import Recipe
from featwatch.options import real, whole
from featwatch.recorders.allowance import Allowance
from featwatch.recorders.base import ExplainingRecorder, Look, NothingToSay
from featwatch.recorders.chosen_filters import check_layers, filters_by_layer
from featwatch.recorders.feature_work import LayerWork
from featwatch.records import FeatureImages as FeatureImagesRecord
from featwatch.schedule import every


class FeatureImages(ExplainingRecorder):
    """For every filter an image that maximises it, by gradient ascent on its receptive field.

    What a snapshot has no time for has its turn at a later one: of each layer first the most active filters, then all
    others, then those whose weights changed most since their image was made.  Each record says what was made at its epoch.

    Arguments:
        filters: numbers of filters, of every layer or by the layers' names; None = all, by turns.
        steps: of gradient ascent.
        basis: "fourier", "pixels", or a decoder: a Keras model from a latent to a picture.
        init: "patches", the mean of the nine patches of the probe that activate the filter most, "noise", …
        snapshots: steps of the ascent after which the images are kept too; a record holds 4 MB of them at most.
        filtered: of so many of a layer's most active filters an image as large as the input is made, and what of it activates
            them is told from what does not; layers take turns, the deepest first, once all filters have an image.
        choices: all others that `featwatch.explain.ascent.recipe.Recipe` knows, such as starts=3 or at_least=35.
        seconds: that a snapshot may take, for all layers together.  What one took too many, as a layer's functions were
            traced, is missing at the next ones.  None = no limit.
        share: of the time since the snapshot before, which a snapshot may take at most where that is less than `seconds`.
        schedule: every five epochs, unless told.
    """

    name = "feature_images"
    produces = FeatureImagesRecord
    reductions = ("maximum", "peak")

    def __init__(
        self,
        filters: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
        steps: int = 64,
        basis: Any = "fourier",
        init: str = "patches",
        seconds: float | None = 2.0,
        *,
        share: float = 0.25,
        snapshots: Sequence[int] = (1, 8, 32),
        filtered: int = 4,
        layers: str | Sequence[str] | Callable[..., bool] | None = None,
        schedule: Any = None,
        **choices: Any,
    ) -> None:
        self.filters = filters_by_layer(filters)
        self._recipe = recipe_of(steps=steps, basis=basis, init=init, snapshots=snapshots, **choices)
        self.steps = self._recipe.steps
        self.basis = self._recipe.basis_name
        self.init = self._recipe.init
        self.snapshots = self._recipe.snapshots
        self.filtered = whole("filtered", filtered, 0)
        self.choices = choices
        self.seconds = None if seconds is None else real("seconds", seconds, 0.0, open_below=True)
        self.share = real("share", share, 0.0, open_below=True)
        self.layers = layers
        self.schedule = every(epochs=5) if schedule is None else schedule
        self._clock = time.perf_counter

    def explain(self, look: Look) -> Iterator[FeatureImagesRecord | NothingToSay]:
        check_layers(self.filters, look.sites)
        allowance = look.state.setdefault("allowance", Allowance(self.seconds, self.share, self._clock))
        allowance.begin()
        try:
            works: list[LayerWork] = []
            for name, site in look.sites.items():
                if isinstance(self.filters, Mapping) and name not in self.filters:
                    continue
                work = look.state.setdefault("works", {}).setdefault(name, self._work(site))
                try:
                    work.begin(*self.finite(look.snapshots[name]), look.snapshots[name].weights)
                    works.append(work)
                except NothingToSay as reason:
                    yield reason.of(name)
            yield from self._filter(works, look, allowance)
            made = 0
            while chosen := _whose_turn(works, allowance, made):
                try:
                    chosen.turn(look, allowance.left, allowance.granted)
                    made += 1
                except NothingToSay as reason:
                    yield reason.of(chosen.name)
            if not any(work.filterings for work in works):      # everything was made at the first snapshot
                yield from self._filter(works, look, allowance)
            if not made and any(work.wanted for work in works) and not look.state.setdefault("said", False):
                look.state["said"] = True       # once: on a schedule of steps it may be so at every other snapshot
                yield NothingToSay("no time for any image here, nor at later snapshots where those before took too many seconds")
            for record in (work.finish(look) for work in works):
                if record is not None:
                    yield record
        finally:
            allowance.end()

    def _filter(self, works: Sequence[LayerWork], look: Look, allowance: Allowance) -> Iterator[NothingToSay]:
        """Filter images of the layers whose turn it is, the deepest first; of all layers, where there is no limit.

        Those after the first take half of the seconds at most: the others are for images.
        """
        works = [work for work in works if not work.refusal]
        if not self.filtered or not all(work.complete for work in works) or allowance.in_debt:
            return
        starting = _typical([work.starting_seconds for work in works])
        with_maps = [work for work in works if not work.unfilterable and len(look.snapshots[work.name].info.shape) > 1]
        reserve, first = allowance.left / 2, True
        for work in sorted(reversed(with_maps), key=lambda work: work.filterings):
            if work.filtering_seconds(starting) > allowance.left - (0.0 if first or self.seconds is None else reserve):
                continue
            first = False
            try:
                work.filter(look, self.filtered)
                if work.wanted:         # a record holds an image at least
                    work.turn(look, 0.0, 0.0)
            except NothingToSay as reason:
                yield reason.of(work.name)

    def _work(self, site: Any) -> LayerWork:
        filters = self.filters[site.name] if isinstance(self.filters, Mapping) else self.filters
        return LayerWork(site, self._recipe, filters, self._clock)


def _whose_turn(works: Sequence[LayerWork], allowance: Allowance, made: int) -> LayerWork | None:
    """The layer to make images of next, after so many turns in this snapshot: of those that there is time for.

    Layers with filters that never had an image come before the others, but for every fourth turn; among equals comes first
    who has had the fewest turns.  The first of all need not fit where nothing is owed, so that what is slow has its turn
    all the same.
    """
    nothing_yet, anew = not made, made % 4 == 3
    waiting = sorted((work for work in works if work.wanted), key=lambda work: (work.complete != anew, work.turns))
    if not waiting:
        return None
    starting = _typical([work.starting_seconds for work in works])
    if nothing_yet and not allowance.in_debt:
        return waiting[0]
    left = allowance.left
    fitting = (work for work in waiting if work.least_seconds(starting) <= left)
    small = (work for work in waiting if nothing_yet and work.started and work.least_seconds(starting) <= allowance.small)
    return next(fitting, None) or next(small, None)


def _typical(seconds: Sequence[float]) -> float:
    """What the first turn of a layer takes: the median of those so far, 0 where there was none."""
    known = [each for each in seconds if math.isfinite(each)]
    return float(np.median(known)) if known else 0.0



def recipe_of(**choices: Any) -> Recipe:
    """The recipe of these choices.  Raises ValueError, TypeError where one is not known, or not for a recorder."""
    known = [field.name for field in dataclasses.fields(Recipe)]
    for name in choices:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
            raise TypeError(f"{name}={choices[name]!r}: there is no such choice; did you mean {close!r}?")
    recipe = Recipe(**choices)
    if recipe.keep == "all" and recipe.starts > 1:
        raise ValueError("keep='all': of each filter one image is recorded; keep 'best' or 'mean'")
    return recipe
