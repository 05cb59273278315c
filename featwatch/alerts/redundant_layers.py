"""`RedundantLayers`: layers that separate the classes no better than the one before them (rows A1, A2, E12)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from featwatch.alerts.arguments import a_share, checks_in_a_row
from featwatch.alerts.chance import chance
from featwatch.alerts.detector import Detector, Finding
from featwatch.alerts.gains import Gains, separates
from featwatch.alerts.persistence import Persistence
from featwatch.alerts.thresholds import DEFAULTS
from featwatch.alerts.words import some
from featwatch.records import Alert, LayerSeparation, ProbeRecord, Record, Session


class RedundantLayers(Detector):
    """Layers of a model that has learnt, behind which features and classes lie as they did before.

    A layer counts where, check after check, the features behind it are nearly those of the watched layer before it
    (linear CKA), kNN accuracy, silhouette and linear probe gain nothing, and either separation was saturated before
    or the two layers cannot be told apart at all: early layers may prepare what later ones separate.  Where every
    layer to the last but one counts, separation is saturated from the layer before them on, and the alert says so.
    The last watched layer does not count, it gives the answer; nor do layers without weights, and those that normalise.
    One without an activation, which may end a residual branch, counts only where nothing tells the two apart.

    Only a suggestion: what a layer does for other things than separation does not show, and the layer watched before
    it need not be the one that feeds it.

    Arguments:
        checks: in a row in which it must be so.
        cka: similarity of the two layers' features from which on they are nearly the same.
        knn_gain, silhouette_gain, probe_gain: gains of less are none.
        saturation: share of the best layer's kNN accuracy above chance that the layer before has reached.

    Example:
        >>> fw.Watch("logs/run", probe, alerts=[fw.alerts.RedundantLayers(cka=0.99, checks=6)])  # doctest: +SKIP
    """

    kind = "redundant layer"

    def __init__(
        self,
        *,
        checks: int = DEFAULTS.redundant_checks,
        cka: float = DEFAULTS.redundant_cka,
        knn_gain: float = DEFAULTS.redundant_knn_gain,
        silhouette_gain: float = DEFAULTS.redundant_silhouette_gain,
        probe_gain: float = DEFAULTS.redundant_probe_gain,
        saturation: float = DEFAULTS.redundant_saturation,
    ) -> None:
        self.raise_after = self.resolve_after = checks_in_a_row(checks)
        self.cka = a_share("cka", cka)
        self.knn_gain = a_share("knn_gain", knn_gain)
        self.silhouette_gain = a_share("silhouette_gain", silhouette_gain)
        self.probe_gain = a_share("probe_gain", probe_gain)
        self.saturation = a_share("saturation", saturation)
        self.start((), ())

    def start(self, layers: Sequence[str], opened: Sequence[Alert]) -> None:
        self._order = {layer: place for place, layer in enumerate(layers)}
        self._types: dict[str, str] = {}
        self._activations: dict[str, str] = {}
        self._parameters: dict[str, int] = {}
        self._multiply_adds: dict[str, int] = {}                # −1 = not known
        self._chance = 0.0
        self._place = (-1, -1)                                  # the check that is being collected
        self._collected: dict[str, LayerSeparation] = {}
        self._expected: set[str] = set()                        # the layers of the last check
        self._bests: list[float] = []                           # best kNN accuracy of the last checks, oldest first
        self._holding = {alert.layer: self._persistence(alert.since) for alert in opened}

    def update(self, record: Record) -> Iterable[Finding]:
        if isinstance(record, ProbeRecord):
            self._chance = chance(record.labels)
        if isinstance(record, Session):
            self._types = {str(info.get("name")): str(info.get("type", "")) for info in record.layers}
            self._activations = {str(info.get("name")): str(info.get("activation", "")) for info in record.layers}
            self._parameters = {str(info.get("name")): int(info.get("parameters", 0)) for info in record.layers}
            self._multiply_adds = {str(info.get("name")): int(info.get("multiply_adds", -1)) for info in record.layers}
        if not isinstance(record, LayerSeparation):
            return
        place = (record.epoch, record.step)
        if place < self._place:                                 # its check is over
            self._expected.add(record.layer)
            return
        if place > self._place:
            if not self._expected:                              # how many layers there are is known only now
                yield from self._judge()
            self._place, self._collected = place, {}
        self._collected[record.layer] = record
        if self._expected and self._expected <= self._collected.keys():
            yield from self._judge()

    def _judge(self) -> Iterable[Finding]:
        """What the collected check says of each layer that has a watched one before it and one behind it."""
        checked = sorted(self._collected.values(), key=lambda record: self._order.get(record.layer, len(self._order)))
        self._expected |= {record.layer for record in checked}
        known = [record for record in checked if separates(record)]
        if len(known) < 3:
            return
        best = max(record.knn_accuracy for record in known)
        learnt, settled = self._learnt(best, DEFAULTS.learnt), self._settled(best)
        steps = [self._step(known[:place], known[place]) for place in range(1, len(known) - 1)]
        steps = [step for step in steps if self._is_meant_to_add(step)]
        verdicts = {step.layer: self._verdict(step, best, learnt, settled) for step in steps}
        for step in steps:
            verdict = verdicts[step.layer]
            if verdict is not None:
                self._holding.setdefault(step.layer, self._persistence()).update(step.after.epoch, verdict)
        tail = self._tail(steps, best)
        for step in steps:
            verdict = verdicts[step.layer]
            if verdict:
                yield self._finding(step, best, tail)
            elif verdict is False:
                yield Finding(epoch=step.after.epoch, layer=step.layer, wrong=False)

    def _step(self, earlier: Sequence[LayerSeparation], after: LayerSeparation) -> Gains:
        """The layer and the one before it, or the nearest that it gives back where what is between them gives nothing."""
        nearest = Gains(earlier[-1], after)
        if nearest.compared:
            return nearest
        steps = (Gains(before, after) for before in reversed(earlier))
        return next((step for step in steps if self._is_same(step, 1.0)), nearest)

    def _is_meant_to_add(self, step: Gains) -> bool:
        """Whether the layer is there to change features: flattening and dropout are not; normalisation serves the training."""
        if self._types.get(step.layer, "").endswith("Normalization"):
            return False
        return not step.compared or self._parameters.get(step.layer, 1) > 0

    def _verdict(self, step: Gains, best: float, learnt: bool, settled: bool) -> bool | None:
        """Whether the layer adds nothing; None between what says so and what says the opposite."""
        same = self._is_same(step, 1.0)
        # One without an activation may end a residual branch: what it does shows behind the sum only.
        ends_a_branch = self._activations.get(step.layer) == "linear"
        nothing = not ends_a_branch and self._adds_nothing(step, 1.0) and self._saturation(step, best) >= self.saturation
        if (learnt and same) or (settled and nothing):
            return True
        release, slack = DEFAULTS.redundant_release, DEFAULTS.redundant_slack
        may_be = self._adds_nothing(step, release) and self._saturation(step, best) >= self.saturation - slack
        return None if may_be or self._is_same(step, release) else False

    def _adds_nothing(self, step: Gains, slack: float) -> bool:
        """Whether the features are nearly the same and nothing is gained by margins so many times as wide."""
        gained = step.knn_gain >= self.knn_gain * slack or step.probe_gain >= self.probe_gain * slack
        clearer = step.silhouette_gain >= self.silhouette_gain * slack
        return not gained and not clearer and step.cka >= 1 - (1 - self.cka) * slack

    def _is_same(self, step: Gains, slack: float) -> bool:
        """Whether nothing tells the two layers apart: their CKA, or their numbers where they were not compared."""
        if step.compared and not step.cka >= 1 - (1 - DEFAULTS.redundant_same_cka) * slack:
            return False
        differences = (step.knn_gain, step.silhouette_gain, step.probe_gain)
        return max(map(abs, differences)) <= DEFAULTS.redundant_same * slack

    def _saturation(self, step: Gains, best: float) -> float:
        return (step.before.knn_accuracy - self._chance) / max(best - self._chance, 1e-9)

    def _settled(self, best: float) -> bool:
        """Whether the model has learnt, and its best layer gets no better any more."""
        earlier = self._bests
        self._bests = [*earlier, best][-DEFAULTS.redundant_plateau :]
        if len(earlier) < DEFAULTS.redundant_plateau or not self._learnt(best, DEFAULTS.redundant_learnt):
            return False
        return best - earlier[0] < DEFAULTS.redundant_progress

    def _learnt(self, best: float, share: float) -> bool:
        """Whether the model's best layer has this share of what lies above chance."""
        return best - self._chance >= share * (1 - self._chance)

    def _persistence(self, since: int | None = None) -> Persistence:
        return Persistence(self.raise_after, self.resolve_after, holds_since=since)

    def _tail(self, steps: Sequence[Gains], best: float) -> list[Gains]:
        """The last layers but one, as far as all of them have added nothing for long enough, and nothing was left to add."""
        tail: list[Gains] = []
        least = self.saturation - DEFAULTS.redundant_slack
        for step in reversed(steps):
            holding = self._holding.get(step.layer)
            if holding is None or not holding.holds or self._saturation(step, best) < least:
                break
            tail.insert(0, step)
        return tail

    def _finding(self, step: Gains, best: float, tail: Sequence[Gains]) -> Finding:
        before, after = step.before, step.after
        names = [each.layer for each in tail]
        start = tail[0].before if step.layer in names else None
        saturated = names if start else []
        reached = f"which has {start.knn_accuracy:.3f} of {best:.3f}" if start else ""
        level = f"; separation is saturated from {start.layer} on, {reached}" if start else ""
        return Finding(
            epoch=after.epoch,
            layer=step.layer,
            wrong=True,
            severity="advice",
            text=f"it separates the classes no better than {before.layer}, watched before it: {step.in_words()}{level}",
            suggestion=self._suggestion(step.layer, saturated),
            evidence={
                "before": before.layer,
                "cka": step.cka,
                "knn_gain": step.knn_gain,
                "silhouette_gain": step.silhouette_gain,
                "probe_gain": step.probe_gain,
                "knn_accuracy": after.knn_accuracy,
                "silhouette": after.silhouette,
                "probe_accuracy": after.probe_accuracy,
                "best_knn_accuracy": best,
                "saturation": self._saturation(step, best),
                "saturated_from": start.layer if start else "",
                "saturated": saturated,
                **self._saving(step.layer, saturated),
            },
            view="samples",
            news=(before.layer, *saturated),
        )

    def _saving(self, layer: str, tail: Sequence[str]) -> Mapping[str, Any]:
        """What the model would be smaller by, as far as the session told how large its layers are."""
        if not self._parameters.get(layer):
            return {}
        of_all = sum(self._parameters.values())
        saving: dict[str, Any] = {
            "parameters": self._parameters[layer], "watched_parameters": of_all,
            "share_of_parameters": self._parameters[layer] / of_all,
        }  # fmt: skip
        multiply_adds, of_all = self._multiply_adds.get(layer, -1), sum(max(each, 0) for each in self._multiply_adds.values())
        if multiply_adds >= 0 and of_all:
            saving |= {"multiply_adds": multiply_adds, "share_of_multiply_adds": multiply_adds / of_all}
        return saving | ({"saturated_parameters": sum(self._parameters.get(name, 0) for name in tail)} if tail else {})

    def _suggestion(self, layer: str, tail: Sequence[str]) -> str:
        saving = self._saving(layer, tail)
        size = f": {_share(saving['parameters'], saving['watched_parameters'])} less" if saving else ""
        if len(tail) < 2:
            return f"Try the model without this layer{size}."
        together = f", {_share(saving['saturated_parameters'], saving['watched_parameters'])}" if saving else ""
        return f"Try the model without this layer{size}; or without all of {some(tail)}{together}."


def _share(part: int, whole: int) -> str:
    """A number of parameters, and its share of those of all watched layers."""
    return f"{part:,} parameters ({part / whole:.0%} of the watched layers')" if whole else f"{part:,} parameters"
