"""`NotFinite`: NaN and infinity among activations, weights, or losses (row A1)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from featwatch.alerts.arguments import checks_in_a_row
from featwatch.alerts.detector import Detector, Finding
from featwatch.alerts.thresholds import DEFAULTS
from featwatch.alerts.words import some
from featwatch.records import Alert, EpochLog, LayerHealth, Record

CURE = (
    "The training diverged, and training on does not heal it: go back to the last good epoch, with a lower learning rate, "
    "gradient clipping, or a look for NaN in the data; keras.callbacks.TerminateOnNaN() stops at once."
)


class NotFinite(Detector):
    """One alert for the model where something is NaN or infinite, naming the first layer in graph order in which it is.

    Arguments:
        checks: in a row in which it must be so.
    """

    kind = "not finite"
    per_layer = False

    def __init__(self, *, checks: int = DEFAULTS.not_finite_checks) -> None:
        self.raise_after = self.resolve_after = checks_in_a_row(checks)
        self.start((), ())

    def start(self, layers: Sequence[str], opened: Sequence[Alert]) -> None:
        self._order = {layer: place for place, layer in enumerate(layers)}
        self._weights: dict[str, int] = {}          # layer -> filters with such weights, in its last record; none without
        self._activations: dict[str, int] = {}
        self._losses: list[str] = []                # names of such losses, in the last epoch's log

    def update(self, record: Record) -> Iterable[Finding]:
        if isinstance(record, LayerHealth):
            _keep(self._weights, record.layer, record.non_finite_weights)
            _keep(self._activations, record.layer, record.non_finite_activations)
        elif isinstance(record, EpochLog):
            self._losses = [name for name, value in record.metrics.items() if name.endswith("loss") and not math.isfinite(value)]
        else:
            return
        layers = sorted({*self._weights, *self._activations}, key=lambda layer: (self._order.get(layer, len(self._order)), layer))
        if not layers and not self._losses:
            yield Finding(epoch=record.epoch, wrong=False)
            return
        first = layers[0] if layers else ""
        yield Finding(
            epoch=record.epoch,
            layer=first,
            wrong=True,
            severity="critical",
            text=self._text(layers),
            suggestion=CURE,
            evidence={
                "layers": layers,
                "filters with such weights": sum(self._weights.values()),
                "filters with such activations": sum(self._activations.values()),
                "losses": self._losses,
            },
            view="filters" if first else "overview",
            news=(bool(self._weights), bool(self._activations)),
        )

    def _text(self, layers: Sequence[str]) -> str:
        if not layers:
            return f"{some(self._losses)} of the epoch is NaN or infinite"
        parts = ((self._weights, "weights"), (self._activations, "activations"))
        what = " and ".join(name for counts, name in parts if layers[0] in counts)
        rest = f", and so in {len(layers) - 1} other layers" if len(layers) > 1 else ""
        return f"{what} of {layers[0]} are NaN or infinite{rest}"


def _keep(counts: dict[str, int], layer: str, count: int) -> None:
    counts.pop(layer, None)
    if count:
        counts[layer] = count
