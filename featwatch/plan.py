"""Which recorder looks at which layer, and what the shared forward pass must therefore read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from featwatch.errors import RefusedType, RefusedValue
from featwatch.layers import LayerChoice, Layers, Site, pick
from featwatch.recorders.base import Recorder


class Plan:
    """The sites of a model that are watched, by recorder.

    Arguments:
        found: the model's layers.
        model_name: for error messages.
        recorders: in an order in which each comes after what it builds on.
        layers: the watch's own choice, for recorders that make none.

    Raises:
        RefusedValue: a layer that does not exist, or that cannot be watched.
    """

    def __init__(self, found: Layers, model_name: str, recorders: Sequence[Recorder], layers: LayerChoice) -> None:
        self.recorders = tuple(recorders)
        self.refused = found.refused
        try:
            chosen = {}
            for recorder in self.recorders:
                choice = recorder.layers if recorder.layers is not None else layers
                chosen[recorder] = {site.name for site in pick(found, choice, model_name)}
        except ValueError as error:
            raise RefusedValue(str(error)) from None
        except TypeError as error:
            raise RefusedType(str(error)) from None
        for recorder in reversed(self.recorders):
            for base in self._bases(recorder):
                chosen[base] |= chosen[recorder]
        watched = set().union(*chosen.values())
        self.sites = tuple(site for site in found.sites if site.name in watched)
        self._chosen = chosen

    def due_with_bases(self, due: Iterable[Recorder]) -> list[Recorder]:
        """The due recorders and what they build on, in order."""
        wanted = set(due)
        for recorder in reversed(self.recorders):
            if recorder in wanted:
                wanted |= set(self._bases(recorder))
        return [recorder for recorder in self.recorders if recorder in wanted]

    def dependents(self, recorder: Recorder) -> list[Recorder]:
        """What builds on a recorder, directly or not."""
        found: list[Recorder] = []
        for other in self.recorders:
            if any(base is recorder or base in found for base in self._bases(other)):
                found.append(other)
        return found

    def of_site(self, site: Site, due: Iterable[Recorder]) -> tuple[Recorder, ...]:
        """Those of the due recorders that look at this site and what they build on, in order."""
        return tuple(self.due_with_bases(recorder for recorder in due if site.name in self._chosen[recorder]))

    def needs(self, due: Sequence[Recorder]) -> dict[Site, tuple[str, ...]]:
        """The reductions that the due recorders need, by site; sites that none of them looks at are left out."""
        needs = {}
        for site in self.sites:
            mine = self.of_site(site, due)
            if mine:
                names = {name for recorder in mine for name in recorder.reductions}
                needs[site] = tuple(sorted(names))
        return needs

    def _bases(self, recorder: Recorder) -> list[Recorder]:
        return [other for other in self.recorders if isinstance(other, recorder.builds_on)]
