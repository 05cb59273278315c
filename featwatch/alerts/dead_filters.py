"""`DeadFilters`: filters that give nothing, check after check (rows A1, H4)."""

from __future__ import annotations

from collections import Counter

import numpy as np

from featwatch.alerts.arguments import a_share
from featwatch.alerts.filterwise import FilterDetector, Said, advice_up_to, known
from featwatch.alerts.thresholds import DEFAULTS
from featwatch.alerts.words import some
from featwatch.records import LayerHealth, Record

CURES = {
    "no energy": "Their weights do nothing: weaken the weight decay or regularisation.",
    "zero scale": "Their batch normalisation scales them by nearly 0: weaken what regularises its scale.",
    "dead inputs": "Nothing comes in by any channel that they look at: see to the layers before.",
    "negative bias": "Their biases were pushed far below 0: lower the learning rate, use a leaky activation, or raise them again "
    "(fw.prune.revive).",
    "negative weights": "Their inputs do not lift them: try another initialisation, a lower learning rate, a leaky activation, "
    "or start them anew (fw.prune.revive).",
    "saturated": "No gradient passes where they stand: use smaller initial weights, a lower learning rate, or normalise before "
    "the activation.",
    "unexplained": "They take no part in what the model does; if more die, lower the learning rate.",
}
NOTHING_PASSES = "Nothing that enters this layer comes out: start over with a lower learning rate or another initialisation."
NO_EFFECT = "changes no output"
CONSTANT = "changes no output once their constants are added to the biases of what reads them, but for padded borders"


class DeadFilters(FilterDetector):
    """A layer's filters that have been dead in each of the last checks, with the causes of death.

    Advice up to a share of the layer, for dead filters can be pruned without loss; a warning beyond;
    critical where the whole layer is dead.

    Arguments:
        checks: in a row in which a filter must be dead, and alive until it is so again.
        share: of the layer's filters, above which it is a warning.
    """

    kind = "dead filters"

    def __init__(self, *, checks: int = DEFAULTS.dead_checks, share: float = DEFAULTS.dead_share) -> None:
        self.share = a_share("share", share)
        super().__init__(checks)

    def judge(self, record: Record) -> tuple[np.ndarray, np.ndarray] | None:
        # One sample gives every unit of a dense layer one value only; and NaN is another detector's matter.
        if not isinstance(record, LayerHealth) or record.non_finite_activations or self.samples in (0, 1):
            return None
        return record.dead, np.ones_like(record.dead)

    def say(self, record: LayerHealth, filters: np.ndarray) -> Said:
        count, of_all = len(filters), len(record.dead)
        causes = Counter(record.cause[filters].tolist())
        proven = known(record.proven, of_all)
        effect = _effect(record, filters, proven and bool(record.proven[filters].all()))
        saving = {} if count == of_all else self.savings.evidence(record.layer, count, effect)
        if count == of_all:
            who, severity, cure = f"all {of_all} filters", "critical", NOTHING_PASSES
        else:
            who = f"{count} of {of_all} filters ({some(filters)})"
            severity = advice_up_to(self.share, count, of_all)
            cure = CURES.get(causes.most_common(1)[0][0], CURES["unexplained"])
            cure = f"{cure} {self.savings.advice(record.layer, count, effect)}"
        return Said(
            severity=severity,
            text=f"{who} {_what(record, filters)} of the probe",
            suggestion=cure,
            evidence={
                "dead": count, "causes": causes, "test": record.test,
                **({"proven": int(record.proven[filters].sum())} if proven else {}), **saving,
            },
        )  # fmt: skip


def _what(record: LayerHealth, filters: np.ndarray) -> str:
    """What these dead filters do."""
    highest, lowest = record.max_activation[filters], record.min_activation[filters]
    if "above 0" in record.test and (highest <= 0).all():
        return "rise above 0 for no sample"
    return "are the same for every sample" if (highest == lowest).all() else "pass no gradient on for any sample"


def _effect(record: LayerHealth, filters: np.ndarray, proven: bool) -> str:
    """What the outputs lose with these dead filters."""
    highest, lowest = record.max_activation[filters], record.min_activation[filters]
    if (highest == 0).all() and (lowest == 0).all():
        return NO_EFFECT if proven else f"{NO_EFFECT} of the probe"
    if (highest == lowest).all():
        return CONSTANT
    return f"takes no more from what follows than {(highest - lowest).max():.2g} of each, and a constant"
