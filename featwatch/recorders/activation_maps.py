"""`ActivationMaps`: what each layer makes of a few samples, channel by channel (rows H7, H8)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from featwatch.analysis.kernels import Fit, fitted, rows_and_columns, signed, unsigned
from featwatch.options import whole
from featwatch.recorders.base import ExplainingRecorder, Look, NothingToSay
from featwatch.recorders.chosen_samples import one_of_each_class_first
from featwatch.records import Maps
from featwatch.schedule import every

MOST_PIXELS = 512_000       # in a record
_OTHER_SIZE = "the bare response is of another size, as the activation comes after a pooling: it is left out"


class ActivationMaps(ExplainingRecorder):
    """Of a few samples of the probe every channel's map, after the activation that applies; layers without positions have none.

    Of the first convolutions also the bare response, kernel ∗ image.

    Arguments:
        samples: how many, one of each class first; the same ones each time.
        size: the most rows and columns of a map; of a larger one squares of positions are averaged.
        schedule: every five epochs, unless told.
    """

    name = "activation_maps"
    produces = Maps

    def __init__(
        self,
        samples: int = 6,
        size: int = 24,
        *,
        layers: str | Sequence[str] | Callable[..., bool] | None = None,
        schedule: Any = None,
    ) -> None:
        self.samples = whole("samples", samples, 1)
        self.size = whole("size", size, 1)
        self.layers = layers
        self.schedule = every(epochs=5) if schedule is None else schedule

    def explain(self, look: Look) -> Iterator[Maps | NothingToSay]:
        if "read" not in look.state:
            look.state["refused"] = set()
            look.state["samples"] = one_of_each_class_first(look.probe.labels, self.samples)
            look.state["read"] = self._reader(look, look.state["samples"])
        found = look.state["read"]()
        for name in look.sites:
            shape = look.shape(name)
            if len(shape) < 2 or name in look.state["refused"]:
                continue
            try:
                if name not in found:
                    look.state["refused"].add(name)
                    raise NothingToSay(f"layer {name!r} has no maps: it cannot be read for {len(look.state['samples'])} samples")
                yield self._record(look, name, shape, found[name], look.state["samples"])
            except NothingToSay as reason:
                yield reason.of(name)

    def _reader(self, look: Look, samples: np.ndarray) -> Callable[[], Any]:
        from featwatch.explain.maps import responses_of

        sites = [site for name, site in look.sites.items() if len(look.shape(name)) > 1]
        return responses_of(look.model, sites, look.probe, samples, lambda shape, maps: self._fit(shape, maps, len(samples)).cell)

    def _fit(self, shape: tuple[int, ...], maps: int, samples: int) -> Fit:
        """What fits into a record of so many maps of this shape: one of each filter, or two with the bare response."""
        return fitted(rows_and_columns(shape), shape[-1], samples, longest=self.size, values=MOST_PIXELS // maps)

    def _record(self, look: Look, name: str, shape: tuple[int, ...], found: Any, samples: np.ndarray) -> Maps:
        fit = self._fit(shape, 1 if found.bare is None else 2, len(samples))
        values = found.values[: fit.samples]
        finite = np.isfinite(values).all(axis=(0, 1, 2))
        if not finite.any():
            raise NothingToSay(f"no map of layer {name!r} at epoch {look.epoch} is finite (did the training diverge?)")
        values = np.where(finite, values, 0)
        low, high = values.min(axis=(0, 1, 2)), values.max(axis=(0, 1, 2))
        record = Maps(
            epoch=look.epoch,
            layer=name,
            samples=samples[: fit.samples],
            pixels=unsigned(values, low, high),
            low=np.where(finite, low, np.float32(np.nan)),
            high=np.where(finite, high, np.float32(np.nan)),
            full_size=rows_and_columns(shape),
            note=self._note(shape, fit, len(samples), int(np.count_nonzero(~finite))),
        )
        if found.bare is None:
            return record
        if found.bare.shape != found.values.shape:
            return replace(record, note="; ".join(filter(None, (record.note, _OTHER_SIZE))))
        pixels, reach = _convolved(found.bare[: fit.samples])
        return replace(record, convolved=pixels, reach=reach)

    def _note(self, shape: tuple[int, ...], fit: Fit, samples: int, unknown: int) -> str:
        notes = []
        if fit.cell > 1:
            notes.append(f"each pixel is the mean over {fit.cell} positions" + (f" × {fit.cell}" if len(shape) > 2 else ""))
        if fit.cell > -(-max(rows_and_columns(shape)) // self.size):
            notes.append(f"coarser than {self.size}, so that the log stays small")
        if fit.samples < samples:
            notes.append(f"{fit.samples} of {samples} samples, so that the log stays small")
        if len(shape) > 3:
            notes.append(f"the middle one of {' × '.join(map(str, shape[:-3]))} slices")
        if unknown:
            notes.append(f"filters with a value that is not finite: {unknown}")
        return "; ".join(notes)


def _convolved(bare: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The bare responses, (shown, rows, columns, filters), as bytes, and how far each filter's reach."""
    known = np.isfinite(bare).all(axis=(0, 1, 2))
    responses = np.where(known, bare, 0)
    reach = np.abs(responses).max(axis=(0, 1, 2))
    return signed(responses, reach), np.where(known, reach, np.float32(np.nan))
