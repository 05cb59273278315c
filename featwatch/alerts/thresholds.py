"""Every number that an alert depends on, in one place, with the reason for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """When something is called wrong.  A share lies between 0 and 1; checks are records of one layer, one after another."""

    # A filter is dead when it is so in this many checks in a row: one check is one state of the weights, and a
    # filter that fires for rare inputs can miss a probe set once.  The alert goes after as many checks without one.
    dead_checks: int = 2
    # Share of a layer's filters above which their loss is a fault, not a saving: SageMaker Debugger's rule
    # DeadRelu fires when more than 50 % of a layer is dead.  Below, the alert is advice: they can be pruned.
    dead_share: float = 0.5

    # What is not finite never becomes so again by training on: once is enough.
    not_finite_checks: int = 1


DEFAULTS = Thresholds()
