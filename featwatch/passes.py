"""The forward passes that a watch has traced, kept from one `fit` to the next."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

from featwatch.layers import graph_of
from featwatch.plan import Plan
from featwatch.probe import Probe
from featwatch.recorders.base import Recorder
from featwatch.taps import TapPass


class TapPasses:
    """One traced pass for each set of recorders that are due together.

    Kept while model, plan and probe stay the same: TensorFlow gives the memory of a compiled function
    never back, and compiling takes seconds.
    """

    def __init__(self, model: Any, plan: Plan, probe: Probe) -> None:
        self.plan = plan
        self._model = weakref.ref(model)
        self._signature = _signature(model, plan)
        self._probe = probe
        self._traced: dict[frozenset[Recorder], TapPass] = {}

    def are_of(self, model: Any, plan: Plan) -> bool:
        """Whether they still serve this model and plan: the same layers, unchanged."""
        return self._model() is model and self._signature == _signature(model, plan)

    def of(self, recorders: Sequence[Recorder]) -> TapPass:
        """The pass that reads what these recorders need; traced and compiled at its first use."""
        key = frozenset(recorders)
        if key not in self._traced:
            model = self._model()
            if model is None:
                raise RuntimeError("the model is gone")
            taps = TapPass(model, self.plan.needs(recorders), len(self._probe))
            taps.prepare(next(iter(self._probe.batches()))[0])
            self._traced[key] = taps
        return self._traced[key]


def _signature(model: Any, plan: Plan) -> tuple[object, ...]:
    watched = tuple((site.name, id(site.layer), id(site.tapped), plan.of_site(site, plan.recorders)) for site in plan.sites)
    operations = tuple(id(operation) for operation in graph_of(model).operations)
    return watched, operations, tuple(tuple(variable.shape) for variable in model.variables)
