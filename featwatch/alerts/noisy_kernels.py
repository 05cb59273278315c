"""`NoisyKernels`: first kernels without any smoothness after training (rows A1, H11)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from featwatch.alerts.arguments import a_count, a_number, checks_in_a_row
from featwatch.alerts.detector import Detector, Finding
from featwatch.alerts.savings import Savings
from featwatch.alerts.thresholds import DEFAULTS
from featwatch.records import Alert, LayerHealth, LayerInfo, Predictions, Record

CURE = "Train on, or with a higher learning rate; where it fits the training data already, use weight decay or more data."


class NoisyKernels(Detector):
    """The convolution that reads the model's input has kernels as rough as noise though the training has settled.

    Roughness is Geary's C: neighbouring weights of noise differ as any two do, 1, those of a smooth kernel less.  At
    the start all kernels are noise, and so are small ones and few ones by chance: those are not judged.  Advice only: on
    data without smooth structure kernels may have to be rough.

    Arguments:
        checks: in a row in which it must be so.
        roughness: the median over the layer's filters; more is noise.
        epochs: of training before it is said.
    """

    kind = "noisy kernels"

    def __init__(
        self,
        *,
        checks: int = DEFAULTS.noisy_checks,
        roughness: float = DEFAULTS.noisy_roughness,
        epochs: int = DEFAULTS.noisy_epochs,
    ) -> None:
        self.raise_after = self.resolve_after = checks_in_a_row(checks)
        self.roughness = a_number("roughness", roughness, 0, 2)
        self.epochs = a_count("epochs", epochs)
        self.start((), ())

    def start(self, layers: Sequence[str], opened: Sequence[Alert]) -> None:
        self._savings = Savings()
        self._accuracies: list[float] = []          # best of the model's predictions of the probe so far, oldest first

    def update(self, record: Record) -> Iterable[Finding]:
        self._savings.see(record)
        if isinstance(record, Predictions) and math.isfinite(record.accuracy):
            self._accuracies.append(max([record.accuracy, *self._accuracies[-1:]]))
        if not isinstance(record, LayerHealth) or not len(record.roughness):
            return
        layer = self._savings.of(record.layer)
        values = record.roughness[np.isfinite(record.roughness) & ~record.dead]
        if layer is None or not _judged(layer, len(values)):
            return
        median = float(np.median(values))
        noisy = median >= self.roughness
        if noisy and (record.epoch < self.epochs or not self._settled()):
            return
        yield Finding(
            epoch=record.epoch,
            layer=record.layer,
            wrong=noisy,
            severity="advice",
            text=f"its kernels are as rough as noise: Geary's C is {median:.2f} in the median of {len(values)}",
            suggestion=CURE,
            evidence={"roughness": median, "filters": len(values), "threshold": self.roughness, "kernel": layer.field_size},
            view="filters",
        )

    def _settled(self) -> bool:
        """Whether the model's accuracy on the probe has stopped to rise, as far as that is known."""
        past = self._accuracies[-1 - DEFAULTS.noisy_plateau :]
        return not past or (len(past) > DEFAULTS.noisy_plateau and past[-1] - past[0] < DEFAULTS.noisy_progress)


def _judged(layer: LayerInfo, filters: int) -> bool:
    """Whether the roughness of the layer's kernels tells something: what they see of the input is as large as they are."""
    large = bool(layer.field_size) and min(layer.field_size) >= DEFAULTS.noisy_width
    return layer.reads_input and large and filters >= DEFAULTS.noisy_filters
