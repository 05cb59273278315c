"""`FeatureImages`: images that maximise filters, made while the model trains (rows F1 to F3)."""

from __future__ import annotations

import difflib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from featwatch.recorders.base import ExplainingRecorder, Look, NothingToSay
from featwatch.recorders.options import real, whole
from featwatch.recorders.turns import Turns
from featwatch.records import FeatureImages as FeatureImagesRecord
from featwatch.schedule import every

PATCHES = 9                         # of the probe, whose mean is a start
_IMAGES_TRIED, _STEPS_TRIED = 4, 2  # of a layer that is new, to see how long a step takes
_LEAST_SHARE = 0.25                 # of the seconds of a snapshot, for its first batch and for that of a new layer, in any case


class FeatureImages(ExplainingRecorder):
    """For every filter an image that maximises it, by gradient ascent on its receptive field.

    Arguments:
        filters: numbers of filters, of every layer or by the layers' names; None = of each layer the 16
            most active ones first, then the others in turns.
        steps: of gradient ascent.
        basis: "fourier" or "pixels".
        init: "patches", the mean of the nine patches of the probe that activate the filter most, or "noise".
        seconds: that a snapshot may take, for all layers together; what does not fit has its turn at a later
            snapshot.  Something is made at each.  None = no limit.
        schedule: every five epochs, unless told.
    """

    name = "feature_images"
    produces = FeatureImagesRecord
    reductions = ("maximum", "peak")

    def __init__(
        self,
        filters: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
        steps: int = 64,
        basis: str = "fourier",
        init: str = "patches",
        seconds: float | None = 2.0,
        *,
        layers: str | Sequence[str] | Callable[..., bool] | None = None,
        schedule: Any = None,
    ) -> None:
        self.filters = _checked(filters)
        self.steps = whole("steps", steps, 1)
        self.basis = _one_of("basis", basis, ("fourier", "pixels"))
        self.init = _one_of("init", init, ("patches", "noise"))
        self.seconds = None if seconds is None else real("seconds", seconds, 0.0, open_below=True)
        self.layers = layers
        self.schedule = every(epochs=5) if schedule is None else schedule
        self._least = _LEAST_SHARE * (self.seconds or 0.0)      # seconds
        self._clock = time.perf_counter

    def explain(self, look: Look) -> Iterator[FeatureImagesRecord | NothingToSay]:
        began = self._clock()
        self._check_layers(look)
        works: list[_Work] = []
        for name, site in look.sites.items():
            if isinstance(self.filters, Mapping) and name not in self.filters:
                continue
            work = look.state.setdefault(name, _Work(self, site))
            if work.refusal:
                continue
            try:
                work.begin(self.finite(look.snapshots[name]))
            except NothingToSay as reason:
                reason.layer = name
                yield reason
                continue
            works.append(work)
        done = 0
        while works := [work for work in works if work.wanted]:
            left = math.inf if self.seconds is None else self.seconds - (self._clock() - began)
            # Who has had the fewest turns; of those that still fit, but for the first, so that nobody waits for ever.
            in_turn = sorted(works, key=lambda work: work.turns)
            starting = _typical(look.state.values())
            work = next((w for w in in_turn if not done or w.least_seconds(starting) <= left), None)
            if work is None:
                break
            try:
                work.turn(look, left, least=0.0 if done else self._least)
                done += 1
            except NothingToSay as reason:
                reason.layer = work.name
                yield reason
        for name in look.sites:
            record = look.state[name].finish(look) if name in look.state else None
            if record is not None:
                yield record

    def _check_layers(self, look: Look) -> None:
        for name in self.filters if isinstance(self.filters, Mapping) else ():
            if name not in look.sites:
                close = difflib.get_close_matches(name, look.sites, n=1, cutoff=0.0)
                raise ValueError(f"filters: {name!r} is none of this recorder's layers; did you mean {close[0]!r}?")


class _Work:
    """One layer: its painter, whose turn it is, and how long a batch of it takes."""

    def __init__(self, recorder: FeatureImages, site: Any) -> None:
        self.refusal = ""
        self.starting_seconds = math.nan        # which tracing took
        self._recorder = recorder
        self._site = site
        self._painter: Any = None
        self._turns: Turns | None = None
        self._seconds_per_image = math.nan
        self._maxima = self._peaks = np.zeros((0, 0))
        self._painted: list[tuple[np.ndarray, Any]] = []
        self._elapsed = 0.0

    @property
    def name(self) -> str:
        """The layer's."""
        return str(self._site.name)

    @property
    def turns(self) -> int:
        return self._turns.count if self._turns else 0

    @property
    def wanted(self) -> bool:
        return not self.refusal and (self._turns is None or self._turns.waiting > 0)

    def begin(self, reductions: tuple[np.ndarray, ...]) -> None:
        """A snapshot begins, with (samples, filters) largest values and where in the map they are."""
        self._maxima, self._peaks = reductions
        self._painted, self._elapsed = [], 0.0
        if self._turns:
            self._turns.begin()

    def least_seconds(self, starting: float) -> float:
        """What its next image will take; `starting` = what tracing another layer took, 0 where there was none."""
        return starting if self._painter is None else self._seconds_per_image

    def turn(self, look: Look, left: float, least: float) -> None:
        """Make a batch of images: as many as should fit into what is `left` of the seconds, or into `least`, and one at least.

        Raises NothingToSay where the layer turns out to have none.
        """
        clock = self._recorder._clock
        began = clock()
        if self._painter is None:
            self._start(look)
            self.starting_seconds = clock() - began
            left, least = left - self.starting_seconds, self._recorder._least
        assert self._turns is not None
        started = clock()
        most = max(1, int(min(self._painter.at_once, max(left, least) // max(self._seconds_per_image, 1e-6))))
        filters = self._turns.next(self._maxima.mean(axis=0), most)
        self._painted.append((filters, self._paint(filters, self._recorder.steps)))
        ended = clock()
        self._elapsed += ended - began
        self._seconds_per_image = (ended - started) / len(filters)

    def finish(self, look: Look) -> FeatureImagesRecord | None:
        """The record of what was made at this snapshot."""
        if not self._painted:
            return None
        from featwatch.explain.images import together

        filters = np.concatenate([filters for filters, _ in self._painted])
        painted, self._painted = together([images for _, images in self._painted]), []
        return self._painter.record(
            painted, filters, epoch=look.epoch, step=look.step, layer=self._site.name,
            steps=self._recorder.steps, init=self._recorder.init, seconds=self._elapsed,
        )  # fmt: skip

    def _start(self, look: Look) -> None:
        from featwatch.explain.images import painter_of

        clock = self._recorder._clock
        try:
            self._painter = painter_of(look.model, self._site, look.probe, basis=self._recorder.basis)
            some = np.arange(min(_IMAGES_TRIED, self._painter.at_once)) % self._painter.filters
            self._paint(some, 1)                # TensorFlow prepares a graph as it runs first
            began = clock()
            self._paint(some, _STEPS_TRIED)
            self._seconds_per_image = (clock() - began) / _STEPS_TRIED / len(some) * self._recorder.steps
        except Exception as error:
            self.refusal = (str(error) or type(error).__name__).splitlines()[0]
            raise NothingToSay(f"layer {self._site.name!r} has no feature images: {self.refusal}") from None
        self._turns = Turns(self._wanted_filters())

    def _paint(self, filters: np.ndarray, steps: int) -> Any:
        directions = self._painter.directions(filters)
        if self._recorder.init == "noise":
            return self._painter.from_noise(directions, steps)
        strongest = np.argsort(-self._maxima[:, filters], axis=0, kind="stable")[:PATCHES].T
        return self._painter.from_patches(directions, steps, strongest, self._peaks[strongest, filters[:, None]])

    def _wanted_filters(self) -> np.ndarray:
        given = self._recorder.filters
        if isinstance(given, Mapping):
            given = given[self._site.name]
        if given is None:
            return np.arange(self._painter.filters)
        if max(given) >= self._painter.filters:
            raise ValueError(
                f"filters: layer {self._site.name!r} has the filters 0 to {self._painter.filters - 1}, and no filter {max(given)}"
            )
        return np.array(given)


def _typical(works: Any) -> float:
    """What the first turn of a layer takes: the median of those so far, 0 where there was none."""
    known = [work.starting_seconds for work in works if math.isfinite(work.starting_seconds)]
    return float(np.median(known)) if known else 0.0


def _checked(filters: Any) -> Any:
    if filters is None:
        return None
    if isinstance(filters, Mapping):
        if not filters:
            raise ValueError("filters={} names no layer; leave it out for the most active filters of every layer")
        return {str(layer): _numbers(f"filters[{layer!r}]", numbers) for layer, numbers in filters.items()}
    return _numbers("filters", filters)


def _numbers(argument: str, value: Any) -> tuple[int, ...]:
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        raise TypeError(f"{argument}={value!r}: give a list of filters' numbers, as in [0, 3], or a dict of them by layer")
    numbers = tuple(dict.fromkeys(whole(argument, number, 0) for number in value))
    if not numbers:
        raise ValueError(f"{argument}=[] names no filter; leave it out for the most active ones")
    return numbers


def _one_of(argument: str, value: Any, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ValueError(f"{argument}={value!r}: expected " + " or ".join(map(repr, allowed)))
    return str(value)
