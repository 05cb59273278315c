"""A plan: what goes, what goes along with it, what stays and why, and what that saves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from featwatch.prune.surgery import Surgery


@dataclass(frozen=True)
class Savings:
    """Parameters, and multiply-adds for one sample (−1 = not known), before and after."""

    parameters_before: int = -1
    parameters_after: int = -1
    multiply_adds_before: int = -1
    multiply_adds_after: int = -1


@dataclass(frozen=True, eq=False)
class Plan:
    """What is to go from a model.  Made by `featwatch.prune.plan` or `plan_from`, or read from a file."""

    removed: Mapping[str, Sequence[int]]            # layer -> units: all that goes, batch normalisations included
    frozen: Mapping[str, str] = field(default_factory=dict)     # layer -> why none of its units can go
    savings: Savings = Savings()
    units: Mapping[str, int] = field(default_factory=dict)      # layer -> units it has in the model that the plan is for
    model: str = ""                                 # that model's name
    criterion: str = ""                             # how the units were chosen; "" = by hand
    notes: Sequence[str] = ()                       # what else there is to say: approximations, exclusions

    def apply(self, model: Any, probe: Any = None, compensate: bool = True) -> Any:
        """A new, smaller model; the given one stays as it is."""
        from featwatch.prune.anatomy import Anatomy
        from featwatch.prune.rebuild import rebuilt

        anatomy = Anatomy(model)
        return rebuilt(anatomy, anatomy.groups(self.removed))

    def apply_inplace(self, model: Any, probe: Any = None, compensate: bool = True) -> Surgery:
        """The same model object made smaller, its optimiser's state carried over; gives what can undo it."""
        from featwatch.prune.anatomy import Anatomy
        from featwatch.prune.surgery import operate

        anatomy = Anatomy(model)
        return operate(anatomy, anatomy.groups(self.removed))
