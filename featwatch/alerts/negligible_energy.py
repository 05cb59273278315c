"""`NegligibleEnergy`: filters whose weights hardly count beside those of their layer (rows A1, H3)."""

from __future__ import annotations

import numpy as np

from featwatch.alerts.arguments import a_share
from featwatch.alerts.filterwise import FilterDetector, Said, known, listed
from featwatch.alerts.thresholds import DEFAULTS
from featwatch.alerts.words import some
from featwatch.records import LayerHealth, Record


class NegligibleEnergy(FilterDetector):
    """A layer's living filters whose weights are far smaller than those of its other filters.

    By the length of the weight vector; where a batch normalisation follows, which undoes that, by the size of its
    scale γ (Liu et al. 2017, *Learning Efficient Convolutional Networks through Network Slimming*).

    Arguments:
        checks: in a row in which it must be so.
        ratio: to the layer's median; less is negligible.
    """

    kind = "negligible energy"

    def __init__(self, *, checks: int = DEFAULTS.energy_checks, ratio: float = DEFAULTS.energy_ratio) -> None:
        self.ratio = a_share("ratio", ratio)
        super().__init__(checks)

    def judge(self, record: Record) -> tuple[np.ndarray, np.ndarray] | None:
        if not isinstance(record, LayerHealth) or record.non_finite_weights or self.savings.is_output(record.layer):
            return None
        found = _relative(record)
        return None if found is None else (found[0] < self.ratio, ~record.dead)

    def say(self, record: LayerHealth, filters: np.ndarray) -> Said:
        found = _relative(record)
        assert found is not None
        relative, what = found
        count, of_all = len(filters), len(relative)
        reach = np.abs([record.max_activation[filters], record.min_activation[filters]]).max()
        effect = f"takes no more than {reach:.3g} from what follows"
        return Said(
            text=f"{count} of {of_all} filters ({some(filters)}) have less than {100 * self.ratio:.2g} % of the layer's "
            f"median {what}",
            suggestion=self.savings.advice(record.layer, count, effect),
            evidence={
                "negligible": count, "relative": listed(filters, relative),
                "measure": what, "largest_activation": reach, "threshold": self.ratio,
                **self.savings.evidence(record.layer, count, effect),
            },
        )  # fmt: skip


def _relative(record: LayerHealth) -> tuple[np.ndarray, str] | None:
    """How much each filter weighs, relative to the layer's median, and what that is of; None where there is no measure."""
    filters = len(record.dead)
    scaled = known(record.scale, filters) and np.isfinite(record.scale).all()
    sizes = np.abs(record.scale) if scaled else np.sqrt(record.energy)
    if filters < DEFAULTS.energy_filters or not np.isfinite(sizes).all():
        return None
    median = float(np.median(sizes))
    return (sizes / median, "batch-norm scale" if scaled else "weight norm") if median > 0 else None
