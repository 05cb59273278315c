"""`NearlyDeadFilters`: rectified filters that fire hardly ever (rows A1, H4)."""

from __future__ import annotations

import numpy as np

from featwatch.alerts.arguments import a_share
from featwatch.alerts.filterwise import FilterDetector, Said, advice_up_to, known, listed
from featwatch.alerts.thresholds import DEFAULTS
from featwatch.alerts.words import some
from featwatch.records import LayerHealth, Record

RECTIFIERS = frozenset({"relu", "relu6"})
# Smooth ones come back to 0 from below: how often they pass a gradient tells more than how often they are above 0.
SMOOTH_RECTIFIERS = frozenset({"gelu", "silu", "swish", "mish", "hard_silu", "hard_swish"})
CURE = "They see what is rare, or die: then lower the learning rate, or use a leaky activation."


class NearlyDeadFilters(FilterDetector):
    """A layer's rectified filters that are off at nearly every position of nearly every sample, and not dead.

    Advice, for what is rare may still matter; a warning above a share of the layer.

    Arguments:
        checks: in a row in which it must be so.
        active: share of samples × positions; a filter that is active at fewer is nearly dead.
        share: of the layer's filters, above which it is a warning.

    Example:
        >>> fw.Watch("logs/run", probe, alerts=[fw.alerts.NearlyDeadFilters(active=0.005)])  # doctest: +SKIP
    """

    kind = "nearly dead filters"

    def __init__(
        self,
        *,
        checks: int = DEFAULTS.nearly_dead_checks,
        active: float = DEFAULTS.nearly_dead_active,
        share: float = DEFAULTS.dead_share,
    ) -> None:
        self.active = a_share("active", active)
        self.share = a_share("share", share)
        super().__init__(checks)

    def judge(self, record: Record) -> tuple[np.ndarray, np.ndarray] | None:
        if not isinstance(record, LayerHealth) or record.non_finite_activations or self.savings.is_output(record.layer):
            return None
        active = _active(record)
        if active is None:
            return None
        # What dies now and then between its rare successes is nearly dead all the time.
        return active < self.active, ~record.dead

    def say(self, record: LayerHealth, filters: np.ndarray) -> Said:
        count, of_all, active = len(filters), len(record.dead), _active(record)
        assert active is not None
        effect = f"changes at most what comes of the {100 * active[filters].max():.2g} % of positions at which one fires"
        return Said(
            severity=advice_up_to(self.share, count, of_all),
            text=f"{count} of {of_all} filters ({some(filters)}) fire at less than {100 * self.active:.2g} % of all positions",
            suggestion=f"{CURE} {self.savings.advice(record.layer, count, effect)}",
            evidence={
                "nearly_dead": count, "active_fraction": listed(filters, active),
                "threshold": self.active, **self.savings.evidence(record.layer, count, effect),
            },
        )  # fmt: skip


def _active(record: LayerHealth) -> np.ndarray | None:
    """How often each filter is active; None where that says nothing of whether it is nearly dead."""
    if record.activation in RECTIFIERS:
        return record.active_fraction
    if record.activation in SMOOTH_RECTIFIERS and known(record.responsive_fraction, len(record.dead)):
        return record.responsive_fraction
    return None
