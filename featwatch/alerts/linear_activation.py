"""`LinearActivation`: a layer whose activation has become a straight line where its values lie (row A1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from featwatch.alerts.arguments import a_share, checks_in_a_row
from featwatch.alerts.detector import Detector, Finding
from featwatch.alerts.filterwise import known
from featwatch.alerts.savings import Savings
from featwatch.alerts.straight import bend, smooth
from featwatch.alerts.thresholds import DEFAULTS
from featwatch.records import Alert, LayerHealth, Record

# Functions of straight pieces, or of one above 0, by where a filter must be nearly always to be on one piece.
_ABOVE_ZERO = frozenset({"relu", "elu", "celu", "selu"})
_IN_THE_MIDDLE = frozenset({"relu6", "hard_sigmoid", "hard_tanh"})
_EITHER_SIDE = frozenset({"leaky_relu", "prelu"})
CURE = "It adds no more than a linear layer does: normalise before the activation, start from larger weights, or leave it out."


class LinearActivation(Detector):
    """A layer nearly all of whose living filters use a straight part of their activation function only.

    A function of straight pieces is straight for a filter that is on one piece for nearly all samples × positions; a
    smooth one where it departs from its tangent by little between the filter's extremes over the probe.

    Arguments:
        checks: in a row in which it must be so.
        filters: share of the layer's living filters of which it must be so.
        piece: share of samples × positions that must be on one piece.
        bend: how far a smooth function may depart from its tangent, by half of the filter's range.
    """

    kind = "linear activation"

    def __init__(
        self,
        *,
        checks: int = DEFAULTS.linear_checks,
        filters: float = DEFAULTS.linear_filters,
        piece: float = DEFAULTS.linear_piece,
        bend: float = DEFAULTS.linear_bend,
    ) -> None:
        self.raise_after = self.resolve_after = checks_in_a_row(checks)
        self.filters = a_share("filters", filters)
        self.piece = a_share("piece", piece)
        self.bend = a_share("bend", bend)
        self.start((), ())

    def start(self, layers: Sequence[str], opened: Sequence[Alert]) -> None:
        self._savings = Savings()

    def update(self, record: Record) -> Iterable[Finding]:
        self._savings.see(record)
        if not isinstance(record, LayerHealth) or record.non_finite_activations or self._savings.is_output(record.layer):
            return
        straight = self._straight(record)
        if straight is None or record.dead.all():
            return
        alive = ~record.dead
        count, share = int(np.count_nonzero(straight & alive)), float(straight[alive].mean())
        yield Finding(
            epoch=record.epoch,
            layer=record.layer,
            wrong=share >= self.filters,
            severity="advice",
            text=f"{count} of {alive.sum()} living filters stay on a straight part of {record.activation}",
            suggestion=CURE,
            evidence={
                "straight": count, "living": int(alive.sum()), "share": share,
                "activation": record.activation, "active_fraction": float(np.median(record.active_fraction[alive])),
                "minimum": float(record.min_activation[alive].min()), "maximum": float(record.max_activation[alive].max()),
            },
            view="filters",
        )  # fmt: skip

    def _straight(self, record: LayerHealth) -> np.ndarray | None:
        """Of which filters the activation is straight, (filters,) bool; None where that is not known of the function."""
        name, active, responsive = record.activation, record.active_fraction, record.responsive_fraction
        if name in _ABOVE_ZERO:
            return active > self.piece
        if name in _IN_THE_MIDDLE and known(responsive, len(active)):
            return responsive > self.piece
        if name in _EITHER_SIDE:
            return (active > self.piece) | (active < 1 - self.piece)
        return bend(name, record.min_activation, record.max_activation) <= self.bend if smooth(name) else None
