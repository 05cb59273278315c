"""The forward passes that a watch has traced, kept from one `fit` to the next."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from featwatch.economy import Economy, economies, economy_of
from featwatch.errors import in_words
from featwatch.explain.fields.fields import field_of
from featwatch.graphs import graph_of
from featwatch.layers import Site
from featwatch.plan import Plan
from featwatch.probe import Probe
from featwatch.recorders.base import Recorder
from featwatch.records import LayerInfo
from featwatch.taps import TapPass
from featwatch.weights import holders


class TapPasses:
    """One traced pass for each set of reductions that are needed together.

    Kept while model, plan and probe stay the same: TensorFlow gives the memory of a compiled function
    never back, and compiling takes seconds.
    """

    def __init__(self, model: Any, plan: Plan, probe: Probe) -> None:
        self.plan = plan
        self._model = weakref.ref(model)
        self._signature = _signature(model, plan)
        self._probe = probe
        self._traced: dict[frozenset[tuple[str, tuple[str, ...]]], TapPass] = {}
        self._infos: dict[str, LayerInfo] = {}
        self._counted: dict[int, Economy] | None = None     # layer -> what it costs; None = not counted yet
        self._uncounted = ""                                # why that failed
        self._states: dict[Recorder, dict[str, Any]] = {}

    def are_of(self, model: Any, plan: Plan) -> bool:
        """Whether they still serve this model and plan: the same layers, unchanged."""
        return self._model() is model and self._signature == _signature(model, plan)

    def still_serve(self, model: Any) -> bool:
        """Whether they read the model as it is: neither layers nor what holds their weights have changed since."""
        return self.are_of(model, self.plan)

    def of(self, recorders: Sequence[Recorder]) -> TapPass:
        """The pass that reads what these recorders need; traced and compiled at its first use."""
        needs = self.plan.needs(recorders)
        key = frozenset((site.name, names) for site, names in needs.items())
        if key not in self._traced:
            model = self._model()
            if model is None:
                raise RuntimeError("the model is gone")
            taps = TapPass(model, needs, len(self._probe))
            taps.prepare(next(iter(self._probe.batches()))[0])
            if needs and len(taps.refused) == len(needs):
                name, reason = next(iter(taps.refused.items()))
                raise RuntimeError(f"no layer can be read; of {name!r}: {reason}")
            self._traced[key] = taps
        return self._traced[key]

    def info(self, site: Site, taps: TapPass) -> LayerInfo:
        """The description of a site that `taps` reads, its receptive field and its costs included."""
        if site.name not in self._infos:
            field, economy = field_of(self._model(), site, probe=self._probe), self._economy(site)
            self._infos[site.name] = replace(
                taps.info(site),
                field_size=field.size,
                field_stride=field.stride,
                field_offset=field.offset,
                field_input=field.input,
                field_kind=field.kind,
                multiply_adds=economy.multiply_adds,
                filter_parameters=economy.filter_parameters,
                filter_multiply_adds=economy.filter_multiply_adds,
                saving_note=economy.note,
                reads_input=economy.reads_input,
            )
        return self._infos[site.name]

    def _economy(self, site: Site) -> Economy:
        model = self._model()
        if self._counted is None:
            self._counted = {}
            try:
                batch = next(iter(self._probe.batches()))[0]
                self._counted = economies(model, tuple(getattr(batch, "shape", (None,)))[1:])
            except Exception as error:      # of a graph that is made otherwise than those that are known
                self._uncounted = f"counting failed: {in_words(error)}"
        if self._uncounted:
            return Economy(note=self._uncounted)
        return economy_of(site.layer, self._counted, graph_of(model) is not None and not site.inside)

    def state_of(self, recorder: Recorder) -> dict[str, Any]:
        """What a recorder that explains the model keeps from look to look."""
        return self._states.setdefault(recorder, {})


def _signature(model: Any, plan: Plan) -> tuple[object, ...]:
    watched = tuple((site.name, id(site.layer), id(site.tapped), plan.of_site(site, plan.recorders)) for site in plan.sites)
    graph = graph_of(model)
    operations = tuple(id(operation) for operation in graph.operations) if graph is not None else ()
    return watched, operations, holders(model)
