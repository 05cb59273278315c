"""`SaturatedUnits`: units that stand at the ends of their activation's range, where no gradient passes (rows A1, H4)."""

from __future__ import annotations

import numpy as np

from featwatch.alerts.arguments import a_share
from featwatch.alerts.filterwise import FilterDetector, Said, advice_up_to, known, listed
from featwatch.alerts.thresholds import DEFAULTS
from featwatch.alerts.words import some
from featwatch.records import LayerHealth, Record

# Functions with an end at which they hardly rise any more; of a rectifier that is off tells `NearlyDeadFilters`.
BOUNDED = frozenset({
    "sigmoid", "hard_sigmoid", "tanh", "hard_tanh", "softsign", "relu6", "elu", "celu", "selu", "softplus",
})  # fmt: skip
CURE = "Lower the learning rate, use smaller initial weights, or normalise before the activation."


class SaturatedUnits(FilterDetector):
    """A layer's units whose activation passes a gradient at hardly any position of any sample, though they vary.

    They answer like switches, and learn nothing more.  What the model gives itself may well do so, and is left out.

    Arguments:
        checks: in a row in which it must be so.
        responsive: share of samples × positions with a gradient; a unit with less is saturated.
        share: of the layer's units, above which it is a warning.
    """

    kind = "saturated units"

    def __init__(
        self,
        *,
        checks: int = DEFAULTS.saturated_checks,
        responsive: float = DEFAULTS.saturated_responsive,
        share: float = DEFAULTS.dead_share,
    ) -> None:
        self.responsive = a_share("responsive", responsive)
        self.share = a_share("share", share)
        super().__init__(checks)

    def judge(self, record: Record) -> tuple[np.ndarray, np.ndarray] | None:
        if not isinstance(record, LayerHealth) or record.activation not in BOUNDED or self.savings.is_output(record.layer):
            return None
        if record.non_finite_activations or not known(record.responsive_fraction, len(record.dead)):
            return None
        saturated = record.responsive_fraction < self.responsive
        if record.activation == "relu6":
            saturated &= record.active_fraction >= DEFAULTS.nearly_dead_active
        return saturated, ~record.dead

    def say(self, record: LayerHealth, filters: np.ndarray) -> Said:
        count, of_all = len(filters), len(record.dead)
        return Said(
            severity=advice_up_to(self.share, count, of_all),
            text=f"{count} of {of_all} units ({some(filters)}) stand at an end of {record.activation} at all but "
            f"{100 * self.responsive:.2g} % of positions",
            suggestion=CURE,
            evidence={
                "saturated": count,
                "responsive_fraction": listed(filters, record.responsive_fraction), "activation": record.activation,
                "threshold": self.responsive,
            },
        )  # fmt: skip
