"""`RedundantFilters`: filters that say what others of their layer say already (rows A1, A2, H5)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from featwatch.alerts.filterwise import LISTED, FilterDetector, Said
from featwatch.alerts.thresholds import DEFAULTS
from featwatch.alerts.words import some
from featwatch.records import Alert, LayerHealth, Record, Similarity

EFFECT = "changes outputs no more than that, once the weights for them are added to those for the filters that stay"
EXACTLY = 1e-4      # what is left below this is rounding


class RedundantFilters(FilterDetector):
    """A layer's filters that are multiples of others, or weighted sums of few, in each of the last checks.

    Which ones can go at once the record says (`Similarity.removable`); its thresholds are those of the recorder
    `FilterSimilarity`.  Which filter of a group stays may change from check to check.  Dead ones are not counted.

    Arguments:
        checks: in a row in which a filter must be redundant.
    """

    kind = "redundant filters"

    def __init__(self, *, checks: int = DEFAULTS.redundant_filter_checks) -> None:
        super().__init__(checks)

    def start(self, layers: Sequence[str], opened: Sequence[Alert]) -> None:
        super().start(layers, opened)
        self._dead: dict[str, np.ndarray] = {}      # by layer, of its last record

    def forget(self, layers: Collection[str]) -> None:
        super().forget(layers)
        for layer in layers:
            self._dead.pop(layer, None)

    def judge(self, record: Record) -> tuple[np.ndarray, np.ndarray] | None:
        if isinstance(record, LayerHealth):
            self._dead[record.layer] = record.dead
        if not isinstance(record, Similarity) or self.savings.is_output(record.layer):
            return None
        dead = self._dead.get(record.layer, np.zeros(0, bool))
        alive = ~dead if len(dead) == len(record.group) else np.ones(len(record.group), bool)
        return (record.group >= 0) | record.removable, record.removable & alive

    def say(self, record: Similarity, filters: np.ndarray) -> Said:
        count, of_all = len(filters), len(record.group)
        groups, sums = _groups(record, filters), _sums(record, filters)
        doubles = int(np.count_nonzero(record.group[filters] >= 0))
        told = ((doubles, "as multiples"), (count - doubles, "as sums of a few"))
        kinds = [f"{number} {how}" for number, how in told if number]
        left = np.where(record.group[filters] >= 0, record.residual[filters], record.unexplained[filters])
        worst = float(left[np.isfinite(left)].max(initial=0.0))
        return Said(
            text=f"{count} of {of_all} filters ({some(filters)}) say what others say, {' and '.join(kinds)}, "
            + (f"to within {100 * worst:.2g} % of their deviation" if worst >= EXACTLY else "exactly"),
            suggestion=self.savings.advice(record.layer, count, EFFECT),
            evidence={
                "redundant": count, "groups": groups, "sums": sums,
                "largest_residual": worst, "values": record.values, **self.savings.evidence(record.layer, count, EFFECT),
            },
        )  # fmt: skip


def _groups(record: Similarity, filters: np.ndarray) -> list[dict[str, Any]]:
    """The groups that these filters are in, with the filter that stays of each; `LISTED` at most."""
    numbers = np.unique(record.group[filters])
    return [
        {
            "stays": int(record.keep[members[0]]),
            "go": members.tolist(),
            "factors": record.factor[members].tolist(),
            "residual": float(record.residual[members].max()),
            "by": sorted(set(record.by[members].tolist())),
        }
        for members in (filters[record.group[filters] == number] for number in numbers[numbers >= 0][:LISTED])
    ]


def _sums(record: Similarity, filters: np.ndarray) -> list[dict[str, Any]]:
    """The filters among them that are sums of others, with those; `LISTED` at most."""
    return [
        {
            "goes": int(number),
            "terms": record.terms[number][record.terms[number] >= 0].tolist(),
            "coefficients": record.coefficients[number][record.terms[number] >= 0].tolist(),
            "residual": float(record.unexplained[number]),
        }
        for number in filters[record.group[filters] < 0][:LISTED]
    ]
