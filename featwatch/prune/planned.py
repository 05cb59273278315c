"""A plan: what goes, what goes along with it, what stays and why, and what that saves."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from featwatch.errors import RefusedType, notify
from featwatch.prune.savings import Savings as Savings

if TYPE_CHECKING:
    from featwatch.prune.anatomy import Anatomy
    from featwatch.prune.compensation import Compensation
    from featwatch.prune.surgery import Surgery

UNPROVEN = "what it saves is as the file says; plan.fitted(model) counts it"
EDITED = "`removed` was edited by hand: what goes along is worked out when the plan is applied"


@dataclass(frozen=True, eq=False)
class Plan:
    """What is to go from a model.  Made by `featwatch.prune.plan` or `plan_from`, or read from a file.

    Units are numbered from 0, as the layer's output channels are.  Of units that go together it is enough to name one:
    what goes along is worked out when the plan is applied.

    >>> plan = fw.prune.plan(model, ratio=0.3)          # doctest: +SKIP
    >>> print(plan)                                     # doctest: +SKIP
    >>> small = plan.apply(model)                       # doctest: +SKIP
    """

    removed: Mapping[str, Sequence[int]]            # layer -> units: all that goes, batch normalisations included
    frozen: Mapping[str, str] = field(default_factory=dict)     # layer -> why none of its units can go
    savings: Savings = Savings()
    units: Mapping[str, int] = field(default_factory=dict)      # layer -> units it has in the model that the plan is for
    model: str = ""                                 # that model's name
    criterion: str = ""                             # how the units were chosen; "" = by hand
    notes: Sequence[str] = ()                       # what else there is to say: approximations, exclusions
    along: Mapping[str, Sequence[int]] = field(default_factory=dict)    # of `removed`, what goes with the rest

    @property
    def chosen(self) -> dict[str, list[int]]:
        """`removed` without what goes along: each group of units that go together once, or as it was named."""
        found = {name: sorted(set(units) - set(self.along.get(name, ()))) for name, units in self.removed.items()}
        return {name: units for name, units in found.items() if units}

    def groups(self, anatomy: Anatomy) -> set[int]:
        """The groups of the model's anatomy that go.

        Raises:
            ValueError: the plan does not fit the model; the message says why and what to do.
        """
        from featwatch.prune.fitting import check_model, groups_of

        check_model(anatomy, self.units, self.model)
        return groups_of(anatomy, self.removed, "removed")

    def fitted(self, model: Any) -> Plan:
        """The same plan with all that goes along in this model, and what that saves: of one that was edited by hand.

        Raises:
            ValueError: the plan does not fit the model.
        """
        from featwatch.prune.planning import anatomy_of, plan_of

        anatomy = anatomy_of(model)
        made = plan_of(anatomy, self.groups(anatomy), named=self.chosen, criterion=self.criterion)
        frozen = {name: why for name, why in self.frozen.items() if name in made.units}
        notes = dict.fromkeys([*(note for note in self.notes if note not in (EDITED, UNPROVEN)), *made.notes])
        return replace(made, frozen={**frozen, **made.frozen}, notes=tuple(notes))

    def apply(self, model: Any, probe: Any = None, compensate: bool = True) -> Any:
        """A new, smaller model; the given one stays as it is.

        Arguments:
            model: the one that the plan is for.
            probe: a `Probe` of eight samples or more; with it, what the removed units gave is made up for by those that stay, as
                far as they can.  A constant unit may have to stay for that, with a warning.
            compensate: False = it is not, even with a probe.

        Raises:
            ValueError: the plan does not fit the model.
        """
        from featwatch.prune.rebuild import rebuilt

        anatomy, groups, values, _ = self._prepared(model, probe if compensate else None)
        return rebuilt(anatomy, groups, values=values)

    def apply_inplace(
        self, model: Any, probe: Any = None, compensate: bool = True, *, callbacks: Sequence[Any] = (), models: Sequence[Any] = ()
    ) -> Surgery:
        """The same model object made smaller, its optimiser's state carried over; gives what can undo it.

        Arguments and errors as of `apply`; `callbacks`, `models`: as of `featwatch.prune.surgery.operate`.
        """
        from featwatch.prune.surgery import operate

        anatomy, groups, values, notes = self._prepared(model, probe if compensate else None)
        surgery = operate(anatomy, groups, values=values, callbacks=callbacks, models=models)
        surgery.notes = (*surgery.notes, *notes)
        return surgery

    def compensation(self, model: Any, probe: Any) -> Compensation:
        """What would make up for the removed units, and the errors that are to be expected of the smaller model.

        The model stays as it is.  Arguments and errors as of `apply`.
        """
        from featwatch.prune.planning import anatomy_of

        anatomy = anatomy_of(model)
        return _compensation(anatomy, self.groups(anatomy), probe)

    def _prepared(self, model: Any, probe: Any) -> tuple[Anatomy, set[int], Sequence[tuple[Any, Any]], Sequence[str]]:
        """What goes from the model, what variables are to be before, and what there is to say of that."""
        from featwatch.prune.planning import anatomy_of

        anatomy = anatomy_of(model)
        groups = self.groups(anatomy)
        if probe is None or not groups:
            return anatomy, groups, (), ()
        found = _compensation(anatomy, groups, probe)
        if len(found.groups) < len(groups):
            left, why = len(groups) - len(found.groups), [note for note in found.notes if " stays: " in note]
            notify(f"{left} of the plan's units stay{'s' * (left == 1)}: " + "; ".join(why or found.notes))
        return anatomy, found.groups, found.values, found.notes

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the plan as JSON, which may be edited by hand: see `featwatch.prune.plan_file`.

        Raises:
            ValueError: there is no such folder.
        """
        from featwatch.prune.plan_file import write

        write(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Plan:
        """The plan that a file holds.

        Raises:
            ValueError: there is no such file, or it is no plan; the message says where and why.
        """
        from featwatch.prune.plan_file import read

        return read(path)

    def summary(self) -> str:
        """What goes and what that saves, as a table in text."""
        from featwatch.prune.table import table

        return table(self)

    def __str__(self) -> str:
        return self.summary()

    def __repr__(self) -> str:
        units, layers = sum(map(len, self.chosen.values())), len(self.removed)
        of = self.model or "a model"
        return f"<Plan: {units} unit{'s' * (units != 1)} of {of} go, {layers} layer{'s' * (layers != 1)} shrink>"


def _compensation(anatomy: Anatomy, groups: set[int], probe: Any) -> Compensation:
    from featwatch.probe import Probe
    from featwatch.prune.compensation import compensated

    if not isinstance(probe, Probe):
        raise RefusedType(f"probe is a {type(probe).__name__}; make one with featwatch.Probe(x, y)")
    return compensated(anatomy, groups, probe)
