"""The attributions of one layer over a training: its functions, whose turn it is, and how long a filter takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from featwatch.analysis.attribution_maps import averaged, most_of_channels, signed_maps
from featwatch.analysis.kernels import Fit, fitted
from featwatch.errors import first_line
from featwatch.recorders.base import Look, NothingToSay
from featwatch.recorders.turns import Turns
from featwatch.records import Attributions

METHODS = ("saliency", "occlusion", "deconv", "guided", "gradient")
MOST_NUMBERS = 2_000_000            # bytes of maps in a record
AT_ONCE = 8                         # filters in a turn
_LEAST_SIDE = 16                    # px, down to which maps get coarser before there are fewer samples


@dataclass(frozen=True, eq=False)
class Wishes:
    """What is to be made of one layer."""

    filters: tuple[int, ...] | None     # None = all
    samples: np.ndarray                 # (shown,) int32, of the probe
    methods: tuple[str, ...]
    aggregate: str
    share: float
    square: int | None
    stride: int | None
    twin: bool
    size: int


@dataclass(frozen=True, eq=False)
class _Made:
    """What a turn gave, by filter on the first axis or, where there are methods, on the second."""

    filters: np.ndarray
    pixels: np.ndarray
    reach: np.ndarray
    activation: np.ndarray
    boxes: np.ndarray
    notes: tuple[str, ...]


class AttributionWork:
    """One layer's attributions.

    Arguments:
        wishes: what they shall be.
        site: the layer.
        shared: what all layers of the recorder use together, kept from snapshot to snapshot.
        clock: gives the time in seconds.
    """

    def __init__(self, wishes: Wishes, site: Any, shared: dict[str, Any], clock: Callable[[], float]) -> None:
        self.refusal = ""                       # why the layer has none
        self.starting_seconds = 0.0             # which tracing and the first filter took
        self._wishes, self._site, self._shared, self._clock = wishes, site, shared, clock
        self._functions: Any = None
        self._pictures = np.zeros((0, 0, 0, 0), np.float32)
        self._fit = Fit(0, 1)
        self._turns: Turns | None = None
        self._seconds_per_filter = math.nan
        self._activity = np.zeros(0)
        self._made: list[_Made] = []
        self._of_twin: dict[int, tuple[np.ndarray, np.ndarray]] = {}    # filter -> pixels, reach: they never change
        self._notes: dict[str, None] = {}       # what is to be said of these

    @property
    def name(self) -> str:
        """The layer's."""
        return str(self._site.name)

    @property
    def turns(self) -> int:
        """How many it has had."""
        return self._turns.count if self._turns else 0

    @property
    def wanted(self) -> bool:
        """Whether there are filters that have not been looked at in this snapshot."""
        return not self.refusal and (self._turns is None or self._turns.waiting > 0)

    def begin(self, maxima: np.ndarray) -> None:
        """A snapshot begins, with (samples, filters) largest values."""
        self._activity, self._made = maxima.mean(axis=0), []
        if self._turns:
            self._turns.begin()

    def least_seconds(self, starting: float) -> float:
        """What its next filter will take; `starting` = what that took of another layer that was new."""
        return starting if self._turns is None else self._seconds_per_filter

    def turn(self, look: Look, left: float) -> None:
        """Look at some filters: at as many as should fit into what is `left` of the seconds, at one at least.

        Raises NothingToSay where the layer turns out to have no attributions.
        """
        began = self._clock()
        if self._turns is None:
            self._start(look)
        assert self._turns is not None
        known = math.isfinite(self._seconds_per_filter)
        # Of a layer that is new one filter tells how long one takes; the functions are traced meanwhile.
        most = int(np.clip(left / max(self._seconds_per_filter, 1e-6), 1, AT_ONCE)) if known else 1
        filters = self._turns.next(self._activity, most)
        self._made.append(self._look_at(look, np.sort(filters)))
        if known:
            self._seconds_per_filter = (self._clock() - began) / len(filters)
        else:
            self._seconds_per_filter = self.starting_seconds = self._clock() - began

    def finish(self, look: Look) -> Attributions | None:
        """The record of what was made at this snapshot."""
        made, self._made = self._made, []
        if not made:
            return None
        filters = np.concatenate([each.filters for each in made])
        order = np.argsort(filters)
        boxes = _padded([each.boxes for each in made])[order]
        twin: dict[str, np.ndarray] = {}
        if self._wishes.twin:
            found = [self._of_twin[int(f)] for f in filters[order]]
            twin = {"twin_pixels": np.stack([p for p, _ in found], axis=1), "twin_reach": np.stack([r for _, r in found], axis=1)}
        return Attributions(
            epoch=look.epoch,
            layer=self.name,
            step=look.step,
            methods=np.array(self._wishes.methods),
            filters=filters[order].astype(np.int32),
            samples=self._wishes.samples[: self._fit.samples],
            pixels=np.concatenate([each.pixels for each in made], axis=1)[:, order],
            reach=np.concatenate([each.reach for each in made], axis=1)[:, order],
            activation=np.concatenate([each.activation for each in made])[order],
            **({"boxes": boxes} if boxes.size else {}),
            **twin,
            input_shape=self._functions.size,
            note=self._note([note for each in made for note in each.notes]),
        )

    def _start(self, look: Look) -> None:
        from featwatch.explain.attribution.layer_functions import LayerFunctions
        from featwatch.explain.attribution.occlusion_maps import neutral_of
        from featwatch.explain.attribution.twin import Twin
        from featwatch.explain.subject import filters_of, subject_of

        try:
            subject = subject_of(look.model, self._site, look.probe)
            self._functions = LayerFunctions(subject)
            filters = filters_of(self._wishes.filters, self._functions.filters, self.name)
            self._fit = fitted(
                self._functions.size, len(filters) * len(self._wishes.methods) * (2 if self._wishes.twin else 1),
                len(self._wishes.samples), longest=self._wishes.size, values=MOST_NUMBERS, least=_LEAST_SIDE,
            )  # fmt: skip
            self._pictures = subject.pictures(np.asarray(look.probe.x)[self._wishes.samples[: self._fit.samples]])
            if "occlusion" in self._wishes.methods and "neutral" not in self._shared:
                self._shared["neutral"] = neutral_of(subject.form, subject.form.pictures(np.asarray(look.probe.x)))
            if self._wishes.twin and "twin" not in self._shared:
                self._shared["twin"] = Twin(look.model)
        except Exception as error:
            raise self._refused(error) from None
        self._turns = Turns(filters)

    def _refused(self, error: Exception) -> NothingToSay:
        self.refusal = first_line(error)
        return NothingToSay(f"layer {self.name!r} has no attributions: {self.refusal}")

    def _look_at(self, look: Look, filters: np.ndarray) -> _Made:
        from featwatch.explain.attribution.attribution import NotFinite, looked

        try:
            about = looked(self._functions, filters, self._pictures)
            maps, notes = self._maps(about)
            notes[about.limited(self._wishes.share)] = None
            if self._wishes.twin:
                notes |= self._look_at_twin(np.array([f for f in filters if int(f) not in self._of_twin], np.int64), maps.shape)
        except NotFinite as error:
            raise NothingToSay(str(error)) from None
        except Exception as error:
            raise self._refused(error) from None
        pixels, reach = signed_maps(maps)
        return _Made(filters, pixels, reach, about.values[..., 0], about.boxes(self._wishes.share), tuple(notes))

    def _look_at_twin(self, filters: np.ndarray, shape: tuple[int, ...]) -> dict[str, None]:
        """Make the same of the twin, for filters of which it is not made yet; returns what is to be said of it."""
        from featwatch.explain.attribution.attribution import NotFinite, looked

        twin = self._shared["twin"]
        if len(filters):
            try:
                maps, notes = self._maps(looked(self._functions, filters, self._pictures, twin))
            except NotFinite:
                maps, notes = np.full((shape[0], len(filters), *shape[2:]), np.nan, np.float32), {}
                self._notes["activations of the random twin are not finite"] = None
            pixels, reach = signed_maps(maps)
            self._of_twin |= {int(f): (pixels[:, i], reach[:, i]) for i, f in enumerate(filters)}
            self._notes |= notes
        return {**self._notes, twin.note: None}

    def _maps(self, about: Any) -> tuple[np.ndarray, dict[str, None]]:
        """(methods, filters, samples, rows, columns) float32, and what is to be said of them."""
        from featwatch.explain.attribution.deconvolution_maps import deconvolution_of
        from featwatch.explain.attribution.occlusion_maps import occlusion_of
        from featwatch.explain.attribution.saliency_maps import saliency_of

        maps: list[np.ndarray] = []
        notes: dict[str, None] = {}
        for method in self._wishes.methods:
            if method == "saliency":
                found = saliency_of(about, self._wishes.aggregate)
            elif method == "occlusion":
                found = occlusion_of(about, *self._square, self._shared["neutral"])
            else:
                found = deconvolution_of(about, method, self._wishes.share)
            values = most_of_channels(found.maps) if found.maps.ndim == 5 else found.maps
            maps.append(averaged(values, self._fit.cell))
            notes[found.note] = None
        return np.stack(maps), notes

    @property
    def _square(self) -> tuple[int, int]:
        """Side and stride of what occlusion covers."""
        square = self._wishes.square or max(3, round(max(self._functions.size) / 8))
        return square, self._wishes.stride or max(1, square // 2)

    def _note(self, notes: list[str]) -> str:
        assert self._turns is not None
        said = list(dict.fromkeys(filter(None, notes)))
        if "saliency" in self._wishes.methods and self._wishes.aggregate == "sum":
            said.append("saliency is that of the sum over all units")
        if "occlusion" in self._wishes.methods and self._functions.subject.form.has_neighbours:
            square, stride = self._square
            said.append(f"occlusion by squares of {square} × {square} px, every {stride}")
        if self._fit.cell > 1:
            said.append(f"each pixel of a map is the mean over {self._fit.cell} × {self._fit.cell} of the image")
        if self._fit.samples < len(self._wishes.samples):
            said.append(f"{self._fit.samples} of {len(self._wishes.samples)} samples, so that the log stays small")
        if self._turns.waiting:
            said.append(f"no time for {self._turns.waiting} more filters, which have their turn at later snapshots")
        return "; ".join(said)


def _padded(parts: list[np.ndarray]) -> np.ndarray:
    """(filters, samples, most units, 4): boxes of several turns, filled up with −1."""
    most = max(part.shape[2] for part in parts)
    wide = [np.pad(part, ((0, 0), (0, 0), (0, most - part.shape[2]), (0, 0)), constant_values=-1) for part in parts]
    return np.concatenate(wide)
