"""`ClassActivation`: where each layer sees the class that is predicted, and which filters decide that (row S6)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from featwatch.analysis.histograms import stratified
from featwatch.recorders.base import ExplainingRecorder, Look, NothingToSay
from featwatch.recorders.chosen_samples import one_of_each_class_first
from featwatch.recorders.options import whole
from featwatch.records import ClassActivation as ClassActivationRecord
from featwatch.schedule import every

_METHODS = ("gradcam", "gradcam++", "layercam", "scorecam")


class ClassActivation(ExplainingRecorder):
    """Of a few samples of the probe where each layer sees a class, and each filter's influence on the decision.

    All layers that have positions, in one forward and one backward pass over some samples; layers without have none.
    The maps are of the same samples each time, so that they can be followed over epochs.

    Arguments:
        samples: how many have maps, one of each class first.
        classes: "predicted", by the model as it is then, or "label": the sample's own class, where it has one.
        method: "gradcam", "gradcam++", "layercam" or "scorecam", as of `explain.class_activation`; the last takes a
            forward pass for each filter and sample.
        ranked: over how many samples the influence is the mean, those with maps among them.
        size: the most rows and columns of a map; of a larger one squares of positions are averaged.
        output: which output of the model holds the scores, by index or name; needed where there are several and the
            losses do not tell.
        schedule: every five epochs, unless told.
    """

    name = "class_activation"
    produces = ClassActivationRecord

    def __init__(
        self,
        samples: int = 6,
        classes: str = "predicted",
        method: str = "gradcam",
        *,
        ranked: int = 64,
        size: int = 48,
        output: int | str | None = None,
        layers: str | Sequence[str] | Callable[..., bool] | None = None,
        schedule: Any = None,
    ) -> None:
        self.samples = whole("samples", samples, 1)
        self.classes = _one_of("classes", classes, ("predicted", "label"))
        self.method = _one_of("method", method, _METHODS)
        self.ranked = whole("ranked", ranked, 1)
        self.size = whole("size", size, 1)
        self.output = output if output is None or isinstance(output, str) else whole("output", output, 0)
        self.layers = layers
        self.schedule = every(epochs=5) if schedule is None else schedule

    def explain(self, look: Look) -> Iterator[ClassActivationRecord | NothingToSay]:
        from featwatch.explain.class_maps import ClassViews, record_of
        from featwatch.explain.forms import Unsuitable

        sites = [site for name, site in look.sites.items() if len(look.snapshots[name].info.shape) > 1]
        if not sites or "refusal" in look.state:
            return
        if "views" not in look.state:
            look.state["samples"] = self._samples(look.probe.labels)
            look.state["views"] = ClassViews(look.model, sites, self.method, output=self.output, cell=self._cell)
            look.state["told"] = set()
        samples, views, told = look.state["samples"], look.state["views"], look.state["told"]
        shown = min(self.samples, len(samples))
        wanted = look.probe.labels[samples] if self.classes == "label" else np.full(len(samples), -1)
        try:
            found = views.of(look.probe.x, wanted, rows=samples, shown=shown)
            if not views.scores.of_classes:
                raise Unsuitable(f"the output {views.scores.name!r} holds no class scores")
        except Unsuitable as reason:
            look.state["refusal"] = str(reason)
            yield NothingToSay(f"no layer has class activations: {reason}")
            return
        for site in sites:
            try:
                if site.name in found:
                    yield record_of(
                        found[site.name], views.classes, samples, shown, epoch=look.epoch, layer=site.name, method=self.method,
                        note=f"influence: over {len(samples)} samples",
                    )  # fmt: skip
                elif site.name not in told:
                    told.add(site.name)
                    raise Unsuitable(views.refused.get(site.name, "it cannot be read"))
            except Unsuitable as reason:
                nothing = NothingToSay(f"layer {site.name!r} has no class activations: {reason}")
                nothing.layer = site.name
                yield nothing

    def _samples(self, labels: np.ndarray) -> np.ndarray:
        """(ranked,) int32: those with maps first, then the others over which the influence is the mean."""
        shown = one_of_each_class_first(labels, self.samples)
        others = stratified(labels, max(self.ranked, len(shown)))
        return np.concatenate([shown, np.setdiff1d(others, shown)])[: max(self.ranked, len(shown))].astype(np.int32)

    def _cell(self, size: tuple[int, int]) -> int:
        return -(-max(size) // self.size)


def _one_of(argument: str, value: Any, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ValueError(f"{argument}={value!r}: expected " + " or ".join(map(repr, allowed)))
    return str(value)
