"""`Attributions`: what in some samples some filters answer to, while the model trains (rows S1 to S5)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from featwatch.options import real, whole
from featwatch.recorders.allowance import ANY, Allowance
from featwatch.recorders.attribution_work import METHODS, AttributionWork, Wishes
from featwatch.recorders.base import ExplainingRecorder, Look, NothingToSay
from featwatch.recorders.chosen_filters import check_layers, filters_by_layer, numbers
from featwatch.recorders.chosen_samples import one_of_each_class_first
from featwatch.records import Attributions as AttributionsRecord
from featwatch.schedule import every


class Attributions(ExplainingRecorder):
    """Of chosen filters what in chosen samples of the probe they answer to.

    The response is what leaves the activation.  Not a default recorder: it is about what the user points at.

    Arguments:
        filters: numbers of filters, of every layer or by the layers' names; None = of each layer the most active
            ones first, then the others in turns.
        images: indices into the probe, or how many samples, one of each class first.
        methods: some of "saliency", "occlusion", "deconv", "guided", "gradient": see `explain.saliency`,
            `explain.occlusion` and `explain.deconvolution`.
        aggregate: "max" or "sum", of saliency.
        share: of a map's largest value, from which on a unit takes part in the last three methods and has a box.
        square: side of what occlusion covers, in pixels; None = an eighth of the image's longer side, 3 at least.
        stride: of occlusion; None = half of `square`.
        twin: whether the same is made of a random twin, a net of the same architecture that has learnt nothing.
        size: the most rows and columns of a map; of a larger one squares of pixels are averaged.
        seconds: that a snapshot may take; what does not fit comes first at a later one.  Something is made at
            each, unless those before took too many.  None = no limit.
        schedule: every five epochs, unless told.
    """

    name = "attributions"
    produces = AttributionsRecord
    reductions = ("maximum",)

    def __init__(
        self,
        filters: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
        images: Sequence[int] | int = 4,
        methods: Sequence[str] = ("saliency",),
        *,
        aggregate: str = "max",
        share: float = 0.98,
        square: int | None = None,
        stride: int | None = None,
        twin: bool = False,
        size: int = 96,
        seconds: float | None = 5.0,
        layers: str | Sequence[str] | Callable[..., bool] | None = None,
        schedule: Any = None,
    ) -> None:
        self.filters = filters_by_layer(filters)
        self.images = whole("images", images, 1) if np.ndim(images) == 0 else numbers("images", images, "[0, 3]")
        self.methods = _methods(methods)
        if aggregate not in ("max", "sum"):
            raise ValueError(f"aggregate={aggregate!r}: expected 'max' or 'sum'")
        self.aggregate = aggregate
        self.share = real("share", share, 0.0, 1.0, open_below=True)
        self.square = None if square is None else whole("square", square, 1)
        self.stride = None if stride is None else whole("stride", stride, 1)
        if not isinstance(twin, (bool, np.bool_)):
            raise TypeError(f"twin={twin!r}: give True or False")
        self.twin = bool(twin)
        self.size = whole("size", size, 1)
        self.seconds = None if seconds is None else real("seconds", seconds, 0.0, open_below=True)
        self.layers = layers
        self.schedule = every(epochs=5) if schedule is None else schedule
        self._clock = time.perf_counter

    def explain(self, look: Look) -> Iterator[AttributionsRecord | NothingToSay]:
        allowance = look.state.setdefault("allowance", Allowance(self.seconds, ANY, self._clock))
        allowance.begin()
        try:
            if allowance.left <= 0:
                yield NothingToSay("no time for attributions here: those before took too many seconds")
                return
            yield from self._made(look, allowance)
        finally:
            allowance.end()

    def _made(self, look: Look, allowance: Allowance) -> Iterator[AttributionsRecord | NothingToSay]:
        works = []
        for work in self._works(look):
            try:
                work.begin(*self.finite(look.snapshots[work.name]))
                works.append(work)
            except NothingToSay as reason:
                yield reason.of(work.name)
        made = 0
        while waiting := sorted((work for work in works if work.wanted), key=lambda work: work.turns):
            left = allowance.left
            starting = max((work.starting_seconds for work in works), default=0.0)
            chosen = next((work for work in waiting if not made or work.least_seconds(starting) <= left), None)
            if chosen is None:
                break
            try:
                chosen.turn(look, left)
                made += 1
            except NothingToSay as reason:
                yield reason.of(chosen.name)
        for work in works:
            record = work.finish(look)
            if record is not None:
                yield record

    def _works(self, look: Look) -> list[AttributionWork]:
        if "works" not in look.state:
            check_layers(self.filters, look.sites)
            shown = self._shown(look.probe)
            look.state["works"] = [
                AttributionWork(self._wishes(name, shown), site, look.state, self._clock)
                for name, site in look.sites.items()
                if not isinstance(self.filters, Mapping) or name in self.filters
            ]
        works: list[AttributionWork] = look.state["works"]
        return [work for work in works if not work.refusal]

    def _shown(self, probe: Any) -> np.ndarray:
        if isinstance(self.images, int):
            return one_of_each_class_first(probe.labels, self.images)
        if max(self.images) >= len(probe):
            raise ValueError(f"images: the probe has the samples 0 to {len(probe) - 1}, and no sample {max(self.images)}")
        return np.array(self.images, np.int32)

    def _wishes(self, layer: str, shown: np.ndarray) -> Wishes:
        filters = self.filters[layer] if isinstance(self.filters, Mapping) else self.filters
        return Wishes(
            filters, shown, self.methods, self.aggregate, self.share, self.square, self.stride, self.twin, self.size
        )



def _methods(value: Any) -> tuple[str, ...]:
    methods = (value,) if isinstance(value, str) else tuple(dict.fromkeys(value)) if hasattr(value, "__iter__") else ()
    for method in methods or (value,):
        if method not in METHODS:
            raise ValueError(f"methods={value!r}: expected some of {', '.join(map(repr, METHODS))}")
    return methods
