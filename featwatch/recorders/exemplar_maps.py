"""`ExemplarMaps`: what each filter makes of the samples that activate it most (row F7)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from featwatch.analysis.exemplars import strongest
from featwatch.analysis.kernels import rows_and_columns, unsigned
from featwatch.options import real, whole
from featwatch.recorders.base import ExplainingRecorder, Look, NothingToSay
from featwatch.recorders.turns import Turns
from featwatch.records import ExemplarMaps as ExemplarMapsRecord
from featwatch.schedule import every

MOST_PIXELS = 512_000               # in a record
_AT_ONCE = 8                        # filters that a layer chooses before it is the next one's turn
_TRIED = 4                          # batches at first, to see how long one takes


class ExemplarMaps(ExplainingRecorder):
    """For every filter its maps of the samples that activate it most, after the activation that applies.

    Takes one more forward pass, over these samples only, for all layers at once.  Layers without positions have
    no maps.  Where not all filters fit into a record or into the seconds, they come by turns: first the most
    active ones, later those whose activation changed most.

    Arguments:
        top: how many samples; where the probe has fewer, all of them.
        size: the most rows and columns of a map; of a larger one squares of positions are averaged.
        seconds: that a snapshot may take, as estimated from the one before; one batch of samples is read in any case.
            None = no limit.
        schedule: every five epochs, unless told.
    """

    name = "exemplar_maps"
    produces = ExemplarMapsRecord
    reductions = ("maximum",)

    def __init__(
        self,
        top: int = 3,
        size: int = 24,
        seconds: float | None = 1.0,
        *,
        layers: str | Sequence[str] | Callable[..., bool] | None = None,
        schedule: Any = None,
    ) -> None:
        self.top = whole("top", top, 1)
        self.size = whole("size", size, 1)
        self.seconds = None if seconds is None else real("seconds", seconds, 0.0, open_below=True)
        self.layers = layers
        self.schedule = every(epochs=5) if schedule is None else schedule
        self._clock = time.perf_counter

    def explain(self, look: Look) -> Iterator[ExemplarMapsRecord | NothingToSay]:
        shapes = {name: look.shape(name) for name in look.sites}
        shapes = {name: shape for name, shape in shapes.items() if len(shape) > 1}
        if not shapes:
            return
        if "pairs" not in look.state:
            from featwatch.explain.maps import picture, pooled
            from featwatch.explain.strongest import PairMaps

            sites = [look.sites[name] for name in shapes]
            batch = next(iter(look.probe.batches()))[0]
            look.state["pairs"] = PairMaps(
                look.model, sites, batch, lambda values: pooled(picture(values), self._cell(rows_and_columns(values.shape[1:])))
            )
            look.state["turns"] = {name: Turns(np.arange(shape[-1])) for name, shape in shapes.items()}
            look.state["before"] = {}       # how active each filter was when its maps were looked at last
            for name, reason in look.state["pairs"].refused.items():
                yield NothingToSay(f"layer {name!r} has no maps: {reason}").of(name)
        waiting: dict[str, np.ndarray] = {}
        for name in shapes:
            maxima = look.snapshots[name].reductions["maximum"]
            if name in look.state["pairs"].refused:
                continue
            if not np.isfinite(maxima).any():
                yield NothingToSay(f"no activation of layer {name!r} at epoch {look.epoch} is finite").of(name)
                continue
            waiting[name] = maxima
        chosen = self._chosen(look, shapes, waiting)
        began = self._clock()
        maps = look.state["pairs"].read(look.probe, chosen)
        look.state["seconds"] = (self._clock() - began) / max(1, look.state["pairs"].batches)
        for name, (samples, filters) in chosen.items():
            yield self._record(look, name, shapes[name], samples, filters, maps[name])

    def _chosen(
        self, look: Look, shapes: Mapping[str, tuple[int, ...]], waiting: Mapping[str, np.ndarray]
    ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """By layer samples and filters: as many as fit into the records and, with their distinct samples, into the seconds."""
        state, size = look.state, look.probe.batch_size
        batches = math.inf if self.seconds is None else max(1, self.seconds // state["seconds"] if "seconds" in state else _TRIED)
        layers = list(waiting)
        state["first"] = first = (state.get("first", -1) + 1) % max(1, len(layers))     # who chooses first
        layers, served = layers[first:] + layers[:first], dict[str, list[np.ndarray]]()
        samples: set[int] = set()
        activity = {name: np.where(np.isfinite(maxima), maxima, 0).mean(axis=0) for name, maxima in waiting.items()}
        room = {name: self._room(shapes[name], len(waiting[name])) for name in layers}
        for name in layers:
            state["turns"][name].begin()
            state["before"].setdefault(name, np.zeros_like(activity[name]))
        while layers and (not samples or len(samples) + _AT_ONCE * self.top <= batches * size):
            name = layers.pop(0)
            turns, before, now = state["turns"][name], state["before"][name], activity[name]
            filters = turns.next(now, most=min(_AT_ONCE, room[name]), change=np.abs(now - before))
            before[filters] = now[filters]
            served.setdefault(name, []).append(filters)
            samples.update(strongest(waiting[name][:, filters], self.top).ravel().tolist())
            room[name] -= len(filters)
            if room[name] > 0 and turns.waiting:
                layers.append(name)
        together = {name: np.sort(np.concatenate(served[name])) for name in shapes if name in served}
        return {name: (strongest(waiting[name][:, filters], self.top), filters) for name, filters in together.items()}

    def _room(self, shape: tuple[int, ...], samples: int) -> int:
        """How many filters fit into a record."""
        cell = self._cell(rows_and_columns(shape))
        return max(1, MOST_PIXELS // (min(self.top, samples) * math.prod(-(-size // cell) for size in rows_and_columns(shape))))

    def _record(
        self, look: Look, name: str, shape: tuple[int, ...], samples: np.ndarray, filters: np.ndarray, maps: np.ndarray
    ) -> ExemplarMapsRecord:
        finite = np.isfinite(maps).all(axis=(1, 2, 3))
        values = np.where(finite[:, None, None, None], maps, 0)
        low, high = values.min(axis=(1, 2, 3)), values.max(axis=(1, 2, 3))
        return ExemplarMapsRecord(
            epoch=look.epoch,
            layer=name,
            filters=filters.astype(np.int32),
            samples=samples,
            pixels=np.moveaxis(unsigned(np.moveaxis(values, 0, -1), low, high), -1, 0),
            low=np.where(finite, low, np.float32(np.nan)),
            high=np.where(finite, high, np.float32(np.nan)),
            full_size=rows_and_columns(shape),
            filters_in_all=shape[-1],
            note=self._note(shape, len(filters), int(np.count_nonzero(~finite))),
        )

    def _cell(self, size: tuple[int, int]) -> int:
        """How many positions on a side are averaged."""
        return -(-max(size) // self.size)

    def _note(self, shape: tuple[int, ...], shown: int, unknown: int) -> str:
        notes, cell = [], self._cell(rows_and_columns(shape))
        if cell > 1:
            notes.append(f"each pixel is the mean over {cell} positions" + (f" × {cell}" if len(shape) > 2 else ""))
        if len(shape) > 3:
            notes.append(f"the middle one of {' × '.join(map(str, shape[:-3]))} slices")
        if shown < shape[-1]:
            notes.append(f"{shown} of {shape[-1]} filters, by turns, so that log and time stay small")
        if unknown:
            notes.append(f"filters with a value that is not finite: {unknown}")
        return "; ".join(notes)
