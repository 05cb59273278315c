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

    # What a model must have reached above chance before it can be said to lose it.
    learnt: float = 0.1
    # Share of its kNN accuracy above chance that the deepest layer must lose.  Healthy trainings waver by a few
    # percent (digits: 0.05 at most once they have learnt); an Adam step a thousand times too long costs nearly all.
    collapse_share: float = 0.3
    # Above this there is hardly anything left to lose.
    collapse_critical_share: float = 0.7
    collapse_checks: int = 2
    # Smaller falls than this many standard errors of an accuracy over the probe are its noise: 3 σ.
    standard_errors: float = 3.0

    # Share of the samples that are given one class.  Not 1: a few outliers may still be told apart.
    one_class_share: float = 0.99
    one_class_checks: int = 2


DEFAULTS = Thresholds()
