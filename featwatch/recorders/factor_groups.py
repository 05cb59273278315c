"""`FactorGroups`: filters that act together, where they act, and what they look for (row F8)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from featwatch.errors import first_line
from featwatch.options import real, whole
from featwatch.recorders.base import ExplainingRecorder, Look, NothingToSay
from featwatch.recorders.chosen_samples import one_of_each_class_first
from featwatch.recorders.layer_turns import LayerTurns
from featwatch.records import FactorGroups as FactorGroupsRecord
from featwatch.schedule import every

MOST_VALUES = 512_000       # of a layer that are factorised
OF_DENSE = 24               # samples that are recorded of a layer without positions; it is factorised over all


class FactorGroups(ExplainingRecorder):
    """Of each layer groups of filters that act together in some samples, and an image that maximises each group.

    The groups keep their places from record to record, each taken by the group that is most like the one before; also in a
    training that is resumed.

    Arguments:
        groups: how many, at most.
        samples: of the probe, whose feature tensors are factorised together: one of each class first, the same each time.
            Of layers without positions it is the whole probe.
        size: the most rows and columns of a map; of a larger one means over squares of positions are factorised.
        images: whether there are images of the groups.
        seconds: that a snapshot may take, for all layers together; layers for which there is no time have their turns
            first at the next one.  None = no limit.
        share: of the time since the snapshot before, which a snapshot may take at most where that is less than `seconds`.
        schedule: every five epochs, unless told.
    """

    name = "factor_groups"
    produces = FactorGroupsRecord
    reductions = ("mean",)

    def __init__(
        self,
        groups: int = 6,
        samples: int = 6,
        *,
        size: int = 32,
        images: bool = True,
        seconds: float | None = 2.0,
        share: float = 0.2,
        layers: str | Sequence[str] | Callable[..., bool] | None = None,
        schedule: Any = None,
    ) -> None:
        self.groups = whole("groups", groups, 1)
        self.samples = whole("samples", samples, 1)
        self.size = whole("size", size, 1)
        if not isinstance(images, bool):
            raise TypeError(f"images={images!r}: give True or False")
        self.images = images
        self.seconds = None if seconds is None else real("seconds", seconds, 0.0, open_below=True)
        self.share = real("share", share, 0.0, open_below=True)
        self.layers = layers
        self.schedule = every(epochs=5) if schedule is None else schedule
        self._clock = time.perf_counter

    def explain(self, look: Look) -> Iterator[FactorGroupsRecord | NothingToSay]:
        state = look.state
        turns = state.setdefault("turns", LayerTurns(self.seconds, self.share, self._clock))
        if "samples" not in state:
            state.update(samples=one_of_each_class_first(look.probe.labels, self.samples), weights={}, unread=set(), blind={})
        names = [name for name in look.sites if name not in state["unread"]]
        maps: dict[str, Any] | None = None
        for name in turns.of(names):
            if maps is None:                # of all layers in one pass
                maps = self._maps(look)
            try:
                yield self._record(look, name, maps)
            except NothingToSay as reason:
                yield reason.of(name)
        if turns.left_out and not state.setdefault("said", False):
            state["said"] = True
            yield NothingToSay(turns.said)

    def _record(self, look: Look, name: str, maps: dict[str, Any]) -> FactorGroupsRecord:
        from featwatch.explain.forms import Unsuitable
        from featwatch.explain.groups import grouped, with_images

        state, shape = look.state, look.shape(name)
        tensor, fitting = self._tensor(shape)
        samples, shown = state["samples"][:fitting], None
        if len(shape) < 2:
            (mean,) = self.finite(look.snapshots[name])
            samples = np.arange(len(mean))
            shown = one_of_each_class_first(look.probe.labels, min(OF_DENSE, len(mean)))
            values = mean[:, None, None]
        elif name in maps:
            values = maps[name].values[:fitting]
        else:
            state["unread"].add(name)
            raise NothingToSay(f"layer {name!r} has no groups: it cannot be read for {len(state['samples'])} samples")
        try:
            record: FactorGroupsRecord = grouped(
                values, self.groups, samples=samples, layer=name, epoch=look.epoch, tensor=tensor, shown=shown,
                earlier=_earlier(look, name, values.shape[-1]),
            )  # fmt: skip
        except Unsuitable as reason:
            raise NothingToSay(f"layer {name!r} at epoch {look.epoch} has no groups: {reason}") from None
        state["weights"][name] = record.weights
        if fitting < len(state["samples"]) and shown is None:
            record = _noted(record, f"{fitting} of {len(state['samples'])} samples, so that it takes no longer")
        if shown is not None:
            record = _noted(record, f"of all {len(samples)} samples of the probe")
        if self.images and name not in state["blind"]:
            try:
                return with_images(record, look.model, look.sites[name], look.probe)
            except Exception as error:
                state["blind"][name] = first_line(error)
        return _noted(record, f"no feature images: {state['blind'][name]}") if self.images else record

    def _maps(self, look: Look) -> Any:
        if "read" not in look.state:
            from featwatch.explain.maps import responses_of

            sites = [site for name, site in look.sites.items() if len(look.shape(name)) > 1]
            look.state["read"] = (
                responses_of(look.model, sites, look.probe, look.state["samples"], lambda shape, _: self._tensor(shape)[0].cell)
                if sites else dict
            )  # fmt: skip
        return look.state["read"]()

    def _tensor(self, shape: tuple[int, ...]) -> Any:
        from featwatch.explain.groups import tensor_of

        return tensor_of(shape, self.samples, longest=self.size, values=MOST_VALUES)



def _earlier(look: Look, name: str, filters: int) -> np.ndarray | None:
    """(groups, filters): the weights of the last record's groups, also of one that an earlier training left in the log."""
    weights: np.ndarray | None = look.state["weights"].get(name)
    if weights is None:
        before = look.latest.get(name, {}).get(FactorGroupsRecord.kind)
        weights = before.weights if isinstance(before, FactorGroupsRecord) else None
    return weights if weights is not None and weights.shape[1:] == (filters,) else None


def _noted(record: FactorGroupsRecord, text: str) -> FactorGroupsRecord:
    return replace(record, note="; ".join(filter(None, (record.note, text))))
