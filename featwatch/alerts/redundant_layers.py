"""`RedundantLayers`: layers that separate the classes no better than the one before them (rows A1, E12)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from featwatch.alerts.arguments import a_share, checks_in_a_row
from featwatch.alerts.chance import chance
from featwatch.alerts.detector import Detector, Finding
from featwatch.alerts.thresholds import DEFAULTS
from featwatch.records import Alert, LayerSeparation, ProbeRecord, Record


class RedundantLayers(Detector):
    """Layers in the middle of a model that has learnt, behind which the classes are as separate as before.

    A layer counts where, check after check, neither kNN accuracy nor silhouette differs from that of the
    watched layer before it, and kNN accuracy is close to the best of all layers already: early layers may
    prepare what later ones separate.  Only a suggestion: what a layer does for other things than separation
    does not show.

    Arguments:
        checks: in a row in which it must be so.
        knn_gain, silhouette_gain: differences below this are none.
        saturation: share of the best layer's kNN accuracy above chance that the layer before has reached.
    """

    kind = "redundant layer"

    def __init__(
        self,
        *,
        checks: int = DEFAULTS.redundant_checks,
        knn_gain: float = DEFAULTS.redundant_knn_gain,
        silhouette_gain: float = DEFAULTS.redundant_silhouette_gain,
        saturation: float = DEFAULTS.redundant_saturation,
    ) -> None:
        self.raise_after = self.resolve_after = checks_in_a_row(checks)
        self.knn_gain = a_share("knn_gain", knn_gain)
        self.silhouette_gain = a_share("silhouette_gain", silhouette_gain)
        self.saturation = a_share("saturation", saturation)
        self.start((), ())

    def start(self, layers: Sequence[str], opened: Sequence[Alert]) -> None:
        self._order = {layer: place for place, layer in enumerate(layers)}
        self._chance = 0.0
        self._place = (-1, -1)                                  # the check that is being collected
        self._collected: dict[str, LayerSeparation] = {}
        self._expected: set[str] = set()                        # the layers of the last check
        self._bests: list[float] = []                           # best kNN accuracy of the last checks, oldest first

    def update(self, record: Record) -> Iterable[Finding]:
        if isinstance(record, ProbeRecord):
            self._chance = chance(record.labels)
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
        known = [record for record in checked if math.isfinite(record.knn_accuracy) and math.isfinite(record.silhouette)]
        if len(known) < 3:
            return
        best = max(record.knn_accuracy for record in known)
        settled = self._settled(best)
        for before, record in zip(known[:-2], known[1:-1], strict=True):
            knn_gain = record.knn_accuracy - before.knn_accuracy
            silhouette_gain = record.silhouette - before.silhouette
            size = max(_ratio(knn_gain, self.knn_gain), _ratio(silhouette_gain, self.silhouette_gain))
            saturation = (before.knn_accuracy - self._chance) / max(best - self._chance, 1e-9)
            if settled and saturation >= self.saturation and size < 1:
                yield self._finding(before, record, {
                    "knn_gain": knn_gain, "silhouette_gain": silhouette_gain,
                    "knn_accuracy": record.knn_accuracy, "silhouette": record.silhouette,
                    "before": before.layer, "best_knn_accuracy": best, "saturation": saturation,
                })  # fmt: skip
            elif size >= DEFAULTS.redundant_release or saturation < self.saturation - DEFAULTS.redundant_slack:
                yield Finding(epoch=record.epoch, layer=record.layer, wrong=False)

    def _settled(self, best: float) -> bool:
        """Whether the model has learnt, and its best layer gets no better any more."""
        earlier = self._bests
        self._bests = [*earlier, best][-DEFAULTS.redundant_plateau :]
        if len(earlier) < DEFAULTS.redundant_plateau or best - self._chance < DEFAULTS.redundant_learnt * (1 - self._chance):
            return False
        return best - earlier[0] < DEFAULTS.redundant_progress

    def _finding(self, before: LayerSeparation, record: LayerSeparation, evidence: Mapping[str, object]) -> Finding:
        return Finding(
            epoch=record.epoch,
            layer=record.layer,
            wrong=True,
            severity="advice",
            text=f"it separates the classes no better than {before.layer} before it: kNN accuracy {before.knn_accuracy:.3f} → "
            f"{record.knn_accuracy:.3f}, silhouette {before.silhouette:.3f} → {record.silhouette:.3f}",
            suggestion="Try the model without this layer.",
            evidence=evidence,
            view="samples",
            news=before.layer,
        )


def _ratio(gain: float, margin: float) -> float:
    return abs(gain) / margin if margin else math.inf
