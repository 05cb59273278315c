"""`ClassActivation`: where each layer sees the class that is predicted, and which filters decide that (row S6)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from featwatch.analysis.histograms import stratified
from featwatch.options import one_of, real, whole
from featwatch.recorders.base import ExplainingRecorder, Look, NothingToSay
from featwatch.recorders.chosen_samples import one_of_each_class_first
from featwatch.recorders.layer_turns import LayerTurns
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
        seconds: that a snapshot may take with "scorecam", for all layers together; layers for which there is no time have
            their turns first at the next one.  None = no limit.
        share: of the time since the snapshot before, likewise, where that is less than `seconds`.
        output: which output of the model holds the scores, by index or name; None = as the watch was told, or the losses tell.
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
        seconds: float | None = 2.0,
        share: float = 0.2,
        output: int | str | None = None,
        layers: str | Sequence[str] | Callable[..., bool] | None = None,
        schedule: Any = None,
    ) -> None:
        self.samples = whole("samples", samples, 1)
        self.classes = one_of("classes", classes, ("predicted", "label"))
        self.method = one_of("method", method, _METHODS)
        self.ranked = whole("ranked", ranked, 1)
        self.size = whole("size", size, 1)
        self.seconds = None if seconds is None else real("seconds", seconds, 0.0, open_below=True)
        self.share = real("share", share, 0.0, open_below=True)
        self.output = output if output is None or isinstance(output, str) else whole("output", output, 0)
        self.layers = layers
        self.schedule = every(epochs=5) if schedule is None else schedule
        self._clock = time.perf_counter

    def explain(self, look: Look) -> Iterator[ClassActivationRecord | NothingToSay]:
        from featwatch.explain.decision.class_maps import ClassViews
        from featwatch.explain.forms import Unsuitable

        state = look.state
        sites = [site for name, site in look.sites.items() if len(look.snapshots[name].info.shape) > 1]
        if not sites or "refusal" in state:
            return
        if "views" not in state:
            state["samples"] = self._samples(look.probe.labels)
            known = None if look.output < 0 else look.output
            output = known if self.output is None else self.output
            state["views"] = ClassViews(look.model, sites, self.method, output=output, cell=self._cell)
            state["turns"] = LayerTurns(self.seconds, self.share, self._clock)
            state["told"] = set()
        samples, views, turns = state["samples"], state["views"], state["turns"]
        wanted = look.probe.labels[samples] if self.classes == "label" else np.full(len(samples), -1)
        try:
            names = views.read(look.probe.x, wanted, rows=samples, shown=self.samples)
            if not views.scores.of_classes:
                raise Unsuitable(f"the output {views.scores.name!r} holds no class scores")
        except Unsuitable as reason:
            state["refusal"] = str(reason)
            yield NothingToSay(f"no layer has class activations: {reason}")
            return
        for name in [site.name for site in sites if site.name not in names and site.name not in state["told"]]:
            state["told"].add(name)
            why = views.refused.get(name, "it cannot be read")
            yield NothingToSay(f"layer {name!r} has no class activations: {why}").of(name)
        # One pass was for all layers; what Score-CAM does then takes many for each of them.
        for name in turns.of(names) if self.method == "scorecam" else names:
            yield self._record(look, name)
        if turns.left_out and "time" not in state["told"]:
            state["told"].add("time")
            yield NothingToSay(turns.said)
        views.forget()

    def _record(self, look: Look, name: str) -> ClassActivationRecord | NothingToSay:
        from featwatch.explain.decision.class_maps import record_of
        from featwatch.explain.forms import Unsuitable

        samples, views = look.state["samples"], look.state["views"]
        try:
            record: ClassActivationRecord = record_of(
                views.view(name), views.classes, samples, min(self.samples, len(samples)), epoch=look.epoch, layer=name,
                method=self.method, note=f"influence: over {len(samples)} samples",
            )  # fmt: skip
        except Unsuitable as reason:
            return NothingToSay(f"layer {name!r} at epoch {look.epoch} has no class activations: {reason}").of(name)
        return record

    def _samples(self, labels: np.ndarray) -> np.ndarray:
        """(ranked,) int32: those with maps first, then the others over which the influence is the mean."""
        shown = one_of_each_class_first(labels, self.samples)
        others = stratified(labels, max(self.ranked, len(shown)))
        return np.concatenate([shown, np.setdiff1d(others, shown)])[: max(self.ranked, len(shown))].astype(np.int32)

    def _cell(self, size: tuple[int, int]) -> int:
        return -(-max(size) // self.size)
