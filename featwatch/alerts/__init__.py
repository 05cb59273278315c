"""Alerts: what a training shows that should not be so, found in the records as they are written (row A1).

A `Detector` looks at each record and says what is wrong; an `AlertDesk` raises an alert when that has
been so for several checks in a row, and resolves it when it is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from featwatch.alerts.collapse import Collapse
from featwatch.alerts.dead_filters import DeadFilters
from featwatch.alerts.desk import AlertDesk
from featwatch.alerts.detector import Detector, Finding
from featwatch.alerts.linear_activation import LinearActivation
from featwatch.alerts.nearly_dead import NearlyDeadFilters
from featwatch.alerts.negligible_energy import NegligibleEnergy
from featwatch.alerts.noisy_kernels import NoisyKernels
from featwatch.alerts.not_finite import NotFinite
from featwatch.alerts.one_class import OneClass
from featwatch.alerts.redundant_filters import RedundantFilters
from featwatch.alerts.redundant_layers import RedundantLayers
from featwatch.alerts.saturated_units import SaturatedUnits
from featwatch.alerts.telling import Teller
from featwatch.alerts.unreliable_layout import UnreliableLayout
from featwatch.alerts.words import in_a_line
from featwatch.records import Alert

__all__ = [
    "Alert", "AlertDesk", "Collapse", "DeadFilters", "Detector", "Finding", "LinearActivation", "NearlyDeadFilters",
    "NegligibleEnergy", "NoisyKernels", "NotFinite", "OneClass", "RedundantFilters", "RedundantLayers", "SaturatedUnits",
    "Teller", "UnreliableLayout", "checked_alerts", "default_detectors", "in_a_line",
]  # fmt: skip


def default_detectors() -> list[Detector]:
    """The detectors of a `Watch` that is given none, fresh ones."""
    return [
        NotFinite(), Collapse(), OneClass(), DeadFilters(), NearlyDeadFilters(), SaturatedUnits(), LinearActivation(),
        NegligibleEnergy(), RedundantFilters(), NoisyKernels(), RedundantLayers(), UnreliableLayout(),
    ]  # fmt: skip


def checked_alerts(alerts: Any) -> list[Detector]:
    """What `Watch(alerts=…)` stands for, as detectors: None for the default ones, a list of them, () for none.

    Raises TypeError or ValueError.
    """
    if alerts is None:
        return default_detectors()
    if isinstance(alerts, (Detector, str, bool)) or not isinstance(alerts, Sequence):
        raise TypeError(f"alerts={alerts!r}: expected a list, e.g. [featwatch.alerts.DeadFilters(checks=3)], or () for none")
    kinds: set[str] = set()
    for detector in alerts:
        if isinstance(detector, type) and issubclass(detector, Detector):
            raise TypeError(f"alerts: {detector.__name__} is a class; make a detector of it, {detector.__name__}()")
        if not isinstance(detector, Detector):
            names = ", ".join(type(each).__name__ for each in default_detectors())
            raise TypeError(f"alerts: {detector!r} is no detector; there are {names} in featwatch.alerts")
        if not isinstance(getattr(detector, "kind", None), str):
            raise TypeError(f"alerts: {type(detector).__name__} has no `kind`; give the class one, a short text")
        if detector.kind in kinds:
            raise ValueError(f"alerts: there are two detectors for {detector.kind!r}; keep one")
        kinds.add(detector.kind)
    return list(alerts)
