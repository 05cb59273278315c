"""The feature images of one layer: its starts and ascents, by one recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from featwatch.explain.ascent.ascent import Climbed
from featwatch.explain.ascent.bounds import Bounds, apart
from featwatch.explain.ascent.recipe import FROM_DATA, Recipe
from featwatch.explain.ascent.starts import PATCHES, TRIES, Starts
from featwatch.explain.ascent.traces import depth_of, traces_of
from featwatch.explain.forms import Form
from featwatch.layers import Site
from featwatch.records import FeatureImages

__all__ = ["PATCHES", "Painted", "Painter", "together"]

_PIXELS_AT_ONCE = 1 << 18
_IMAGES_AT_ONCE = 32                # of small windows most of a step is what TensorFlow takes to start its operations


@dataclass(frozen=True, eq=False)
class Painted:
    """Some feature images, one per direction; of several starts that are all kept, as many per direction."""

    pixels: np.ndarray              # (images, height, width, channels) uint8
    activation: np.ndarray          # (images,) float32
    natural: np.ndarray             # (images,) float32: of the best patch, or of the whole probe; NaN = not known
    reached: np.ndarray             # (images,) bool
    taken: np.ndarray               # (images,) int32 steps, before the guard ended the ascent
    features: np.ndarray            # (images, numbers) float32: a sketch of what the layer makes of the image
    between: np.ndarray             # (images, snapshots, height, width, channels) uint8
    after: tuple[int, ...]          # the steps after which these were made
    steps: int                      # that there were to be
    init: str                       # from what it began


class Painter:
    """What makes the feature images of one layer.  What has to be traced is kept; the first time that takes seconds.

    Arguments:
        samples: the pictures of the probe, (samples, height, width, channels), or None.
        recipe: how they are made.

    Raises:
        Unsuitable: no gradient leads from the layer to the input.
        WritesState: the model writes variables in inference.
    """

    def __init__(
        self, model: Any, site: Site, form: Form, bounds: Bounds, samples: np.ndarray | None, *, recipe: Recipe | None = None
    ) -> None:
        recipe = recipe or Recipe()
        if recipe.basis == "fourier" and not form.has_neighbours:
            recipe = recipe.with_(basis="pixels")
        self.form, self.recipe, self.basis = form, recipe, recipe.basis_name
        self.bounds = bounds if recipe.decorrelate else apart(bounds)
        self._site = site
        _check_norm(recipe, self.bounds, form)
        self._traces = traces_of(model, site, form, self.bounds, recipe)
        whole, self.frame = self._traces.whole, self._traces.frame
        self.maps, self.filters, self._map_size = whole, whole.filters, whole.size      # `maps`: of whole pictures
        self._depth = depth_of(model, site) if recipe.deeper else 0
        self._starts = Starts(self.frame, whole.size, self.bounds, samples)

    @property
    def at_once(self) -> int:
        """How many images are made in one batch."""
        height, width = self.frame.size
        return max(1, min(_IMAGES_AT_ONCE, _PIXELS_AT_ONCE // (height * width)))

    @property
    def steps(self) -> int:
        """Of an ascent: the recipe's, more for a deeper layer where the recipe says so."""
        return round(self.recipe.steps * (1 + self.recipe.deeper * self._depth))

    @property
    def note(self) -> str:
        """What is particular about the values."""
        if self.maps.before:
            return ""
        return f"what enters the activation {self._site.activation!r} cannot be had: the values are those that leave it"

    def directions(self, filters: np.ndarray) -> np.ndarray:
        """(filters, all filters) float32: one filter each."""
        return np.eye(self.filters, dtype=np.float32)[filters]

    def paint(
        self, directions: np.ndarray, steps: int | None = None, strongest: np.ndarray | None = None,
        peaks: np.ndarray | None = None, natural: np.ndarray | None = None,
    ) -> Painted:  # fmt: skip
        """Feature images as the recipe says.

        Arguments:
            directions: (images, filters of the layer): what of the layer each is to maximise.
            steps: None = the recipe's.
            strongest: (images, patches) indices of samples, those that activate most first; without them starts from
                patches become noise.
            peaks: (images, patches) where in the map the largest value is, as an index over positions.
            natural: (images,) the largest value that the data give, for where that of the best patch is not known.
        """
        steps = self.steps if steps is None else steps
        init = self._possible(strongest)
        cuts = self._starts.cuts(strongest, peaks) if strongest is not None and peaks is not None else None
        of_patches = self._natural(cuts, directions)
        natural = of_patches if natural is None else np.where(np.isnan(of_patches), natural, of_patches).astype(np.float32)
        limits = self._limits(natural, directions)
        found = [self._climbed(init, start, cuts, directions, steps, limits) for start in range(self.recipe.starts)]
        return self._painted(self._kept(found, directions), np.repeat(natural, self._per_direction), steps, init)

    def from_noise(self, directions: np.ndarray, steps: int, seed: int = 0) -> Painted:
        """Feature images that begin with noise."""
        natural = np.full(len(directions), np.nan, np.float32)
        numbers = self._traces.basis.noise(len(directions), seed)
        return self._painted(self._climb(numbers, directions, steps, None), natural, steps, "noise")

    def from_patches(self, directions: np.ndarray, steps: int, strongest: np.ndarray, peaks: np.ndarray) -> Painted:
        """Feature images that begin with the mean of what activates most in the probe: arguments as of `paint`."""
        cuts = self._starts.cuts(strongest, peaks)
        natural = self._natural(cuts, directions)
        numbers = self._traces.basis.start(cuts.mean(axis=1))
        limits = self._limits(natural, directions)
        return self._painted(self._climb(numbers, directions, steps, limits), natural, steps, "patches")

    def record(self, painted: Painted, filters: np.ndarray, *, epoch: int, step: int, layer: str, seconds: float,
               steps: int | None = None, init: str | None = None, note: str = "") -> FeatureImages:  # fmt: skip
        """The record of what was painted for these filters.

        Arguments:
            steps, init: None = as they were painted.
            note: what else is to be said of them.
        """
        low, high = self.bounds.limits
        named = np.repeat(filters.astype(np.int32), len(painted.pixels) // len(filters))
        steps = painted.steps if steps is None else steps
        return FeatureImages(
            epoch=epoch,
            step=step,
            layer=layer,
            filters=named,
            pixels=painted.pixels,
            low=low,
            high=high,
            activation=painted.activation,
            natural=painted.natural,
            reached=painted.reached,
            refreshed=np.full(len(named), epoch, np.int32),
            snapshot_steps=np.array(painted.after, np.int32),
            snapshot_pixels=painted.between,
            stopped=painted.taken if (painted.taken < painted.steps).any() else np.zeros(0, np.int32),
            features=painted.features,
            unit=self.frame.unit if self.recipe.objective == "neuron" else (),
            box=self.frame.box,
            patch=self.frame.patch,
            steps=steps,
            basis=self.basis,
            init=painted.init if init is None else init,
            objective=self.recipe.objective,
            settings=self.recipe.settings,
            filters_in_all=self.filters,
            elapsed_seconds=seconds,
            note="; ".join(each for each in (self.note, note) if each),
        )

    @property
    def _per_direction(self) -> int:
        return self.recipe.starts if self.recipe.keep == "all" else 1

    def _possible(self, strongest: np.ndarray | None) -> str:
        """The recipe's start, or noise where there is nothing to take it from."""
        init = self.recipe.init
        lacking = strongest is None if init in ("patches", "patch") else self._starts.samples is None
        return "noise" if self.recipe.learned or (init in FROM_DATA and lacking) else init

    def _climbed(
        self, init: str, start: int, cuts: np.ndarray | None, directions: np.ndarray, steps: int, limits: np.ndarray | None
    ) -> Climbed:
        seed, count, basis = self.recipe.seed, len(directions), self._traces.basis
        if init == "crops":
            return self._from_crops(start, directions, steps, limits)
        if init == "noise":
            return self._climb(basis.noise(count, (seed, start)), directions, steps, limits)
        if init in ("patches", "patch"):
            assert cuts is not None
            patch = self._starts.patches(cuts, start, seed) if init == "patches" else self._starts.patch(cuts, start)
            numbers = basis.start(patch)
        else:
            numbers = basis.start(self._starts.mean(count) if init == "mean" else self._starts.empty(count))
            if start:                       # there is only one such picture: what tells its starts apart is noise
                numbers += basis.noise(count, (seed, start))
        return self._climb(numbers, directions, steps, limits)

    def _from_crops(self, start: int, directions: np.ndarray, steps: int, limits: np.ndarray | None) -> Climbed:
        """Drawn anew, up to `TRIES` times, where no gradient comes; then on from there, with the start subtracted."""
        basis, seed, count = self._traces.basis, self.recipe.seed, len(directions)
        crops = self._starts.crops(count, start * TRIES, seed)
        for attempt in range(1, TRIES):
            numbers = basis.start(crops)
            missing = ~self._traces.ascent.arrives(numbers, directions)
            if not missing.any():
                break
            crops[missing] = self._starts.crops(count, start * TRIES + attempt, seed)[missing]
        first = self._climb(basis.start(crops), directions, steps, limits)
        without = self.bounds.neutral + self._images(first.shares) - crops
        again = self._climb(basis.start(without), directions, steps, limits)
        # Where no gradient comes to what is left without the start, it stays.
        return chosen([first, again], again.reached[:, None].astype(int))

    def _climb(self, numbers: np.ndarray, directions: np.ndarray, steps: int, limits: np.ndarray | None) -> Climbed:
        recipe = self.recipe
        return self._traces.ascent.climb(
            numbers, directions, steps, learning_rate=recipe.learning_rate, total_variation=recipe.total_variation or 0.0,
            limits=limits, after=recipe.snapshots,
        )  # fmt: skip

    def _kept(self, found: Sequence[Climbed], directions: np.ndarray) -> Climbed:
        """Of several starts the best, the mean or all; the images of one direction side by side."""
        if len(found) == 1:
            return found[0]
        if self.recipe.keep == "all":
            return chosen(found, np.arange(len(found))[None].repeat(len(directions), axis=0))
        values = np.stack([each.activation for each in found], axis=1)
        best = chosen(found, np.argmax(np.where(np.isnan(values), -np.inf, values), axis=1)[:, None])
        if self.recipe.keep == "best":
            return best
        mean = self._traces.basis.start(self._images(np.mean([each.shares for each in found], axis=0)))
        between = [np.mean([each.between[i] for each in found], axis=0) for i in range(len(best.between))]
        shown = self._climb(mean, directions, 0, None)
        taken = np.max([each.taken for each in found], axis=0)
        return replace(shown, reached=np.any([each.reached for each in found], axis=0), taken=taken, between=between)

    def _natural(self, cuts: np.ndarray | None, directions: np.ndarray) -> np.ndarray:
        """(images,) the value of each unit at its best patch; NaN where the unit is not where that was cut."""
        if cuts is None or self.recipe.objective != "neuron" or not (self.frame.patch or not self._map_size):
            return np.full(len(directions), np.nan, np.float32)
        return self._traces.ascent.values(cuts[:, 0], directions)

    def _limits(self, natural: np.ndarray, directions: np.ndarray) -> np.ndarray | None:
        """(images,) beyond what an ascent ends: the natural maximum and so many widths of the natural range."""
        if self.recipe.guard is None or not np.isfinite(natural).any():
            return None
        middle = np.broadcast_to(self.bounds.neutral, (*self.frame.size, self.form.size[2]))
        neutral = self._traces.ascent.values(np.repeat(middle[None], len(directions), axis=0), directions)
        width = np.where(natural > neutral, natural - neutral, np.abs(natural))
        return np.where(np.isfinite(width) & (width > 0), natural + self.recipe.guard * width, np.inf).astype(np.float32)

    def _images(self, shares: np.ndarray) -> np.ndarray:
        return self.bounds.low + (self.bounds.high - self.bounds.low) * shares

    def _painted(self, climbed: Climbed, natural: np.ndarray, steps: int, init: str) -> Painted:
        between = [self._pixels(shares) for shares in climbed.between]
        return Painted(
            self._pixels(climbed.shares), climbed.activation, natural, climbed.reached, climbed.taken, climbed.features,
            np.stack(between, axis=1) if between else np.zeros((len(natural), 0, *climbed.shares.shape[1:]), np.uint8),
            tuple(step for step in self.recipe.snapshots if step < steps), steps, init,
        )  # fmt: skip

    def _pixels(self, shares: np.ndarray) -> np.ndarray:
        low, high = self.bounds.limits
        shown = (self._images(shares) - low) / np.where(high > low, high - low, 1)
        return np.rint(255 * np.clip(shown, 0, 1)).astype(np.uint8)


def _check_norm(recipe: Recipe, bounds: Bounds, form: Form) -> None:
    if recipe.norm is None:
        return
    farthest = np.maximum(bounds.high - bounds.neutral, bounds.neutral - bounds.low)
    most = float(np.sqrt(np.square(np.broadcast_to(farthest, form.size)).sum()))
    if recipe.norm >= most:
        raise ValueError(f"norm={recipe.norm:g}: no picture within the range of the data is farther from its mean than {most:g}")


def chosen(found: Sequence[Climbed], which: np.ndarray) -> Climbed:
    """Of each image those of the ascents that `which`, (images, kept), names."""
    rows = np.arange(len(which))[:, None]

    def of(arrays: Sequence[np.ndarray]) -> np.ndarray:
        together = np.stack(arrays, axis=1)[rows, which]
        return together.reshape(-1, *together.shape[2:])

    return Climbed(
        shares=of([each.shares for each in found]),
        activation=of([each.activation for each in found]),
        reached=of([each.reached for each in found]),
        taken=of([each.taken for each in found]),
        features=of([each.features for each in found]),
        between=[of([each.between[i] for each in found]) for i in range(len(found[0].between))],
    )


def together(painted: Sequence[Painted]) -> Painted:
    """All of them, in order."""
    arrays = ("pixels", "activation", "natural", "reached", "taken", "features", "between")
    joined: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in painted]) for name in arrays}
    return replace(painted[0], **joined)
