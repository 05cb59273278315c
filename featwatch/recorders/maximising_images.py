"""`MaximisingImages`: samples of the probe, led a few steps towards what maximises filters (row F9)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from featwatch.errors import first_line
from featwatch.options import real, whole
from featwatch.recorders.base import ExplainingRecorder, Look, NothingToSay
from featwatch.recorders.turns import Turns
from featwatch.records import MaximisingImages as MaximisingImagesRecord
from featwatch.schedule import every

MOST_BYTES = 1 << 20                # of images in a record
_CALIBRATED_ON = 8                  # units at most: as many steps of each as of some fifty images are taken


class MaximisingImages(ExplainingRecorder):
    """For every filter the sample that activates it most, led a few steps towards what activates it more.

    No default recorder: `FeatureImages` shows what filters look for, and this would take as long again.

    Arguments:
        steps: how many; None = as many as leave the images without noise.  That is calibrated for each layer at its first
            images, on up to eight units, and again whenever the epoch, or the step, has doubled.
        seconds: that a snapshot may take, for all layers together; what does not fit has its turn at a later
            snapshot.  Something is made at each.  None = no limit.
        schedule: every five epochs, unless told.
    """

    name = "maximising_images"
    produces = MaximisingImagesRecord
    reductions = ("maximum", "peak", "mean", "below_zero")

    def __init__(
        self,
        steps: int | None = None,
        seconds: float | None = 1.0,
        *,
        layers: str | Sequence[str] | Callable[..., bool] | None = None,
        schedule: Any = None,
    ) -> None:
        self.steps = None if steps is None else whole("steps", steps, 1)
        self.seconds = None if seconds is None else real("seconds", seconds, 0.0, open_below=True)
        self.layers = layers
        self.schedule = every(epochs=5) if schedule is None else schedule
        self._clock = time.perf_counter

    def explain(self, look: Look) -> Iterator[MaximisingImagesRecord | NothingToSay]:
        began = self._clock()
        works: list[_Work] = []
        for name in look.sites:
            work = look.state.setdefault(name, _Work(self))
            try:
                if not work.refused:
                    work.begin(look, name, self.finite(look.snapshots[name]))
                    works.append(work)
            except NothingToSay as reason:
                yield reason.of(name)
        waiting, done = list(works), 0
        while waiting := [work for work in waiting if work.waiting]:
            left = math.inf if self.seconds is None else self.seconds - (self._clock() - began)
            # Who has had the fewest turns; of those that still fit, but for the first, so that nobody waits for ever.
            in_turn = sorted(waiting, key=lambda work: work.count)
            work = next((work for work in in_turn if not done or work.seconds_expected <= left), None)
            if work is None:
                break
            done += 1
            try:
                work.turn(look, left)
            except NothingToSay as reason:
                yield reason.of(work.name)
        for work in works:
            record = work.record(look)
            if record is not None:
                yield record


class _Work:
    """One layer: its gallery, whose turn it is, and how long a batch of it takes."""

    def __init__(self, recorder: MaximisingImages) -> None:
        self.name = ""
        self.refused = False
        self.count = 0                          # turns that there have been
        self._recorder = recorder
        self._gallery: Any = None
        self._turns: Turns | None = None
        self._calibration: Any = None
        self._calibrated_at = 0
        self._seconds_per_image = 0.0
        self._reductions: dict[str, np.ndarray] = {}
        self._made: list[tuple[np.ndarray, Any]] = []
        self._room = 0
        self._active = np.zeros(0)              # how active each filter was when it was looked at last

    def begin(self, look: Look, name: str, reductions: tuple[np.ndarray, ...]) -> None:
        """A snapshot begins."""
        self.name = name
        self._reductions = dict(zip(self._recorder.reductions, reductions, strict=True))
        self._made = []
        if self._turns is None:
            filters = reductions[0].shape[1]
            self._turns, self._active = Turns(np.arange(filters)), np.zeros(filters)
            shape = np.asarray(look.probe.x).shape[1:] if hasattr(look.probe.x, "shape") else ()
            self._room_in_all = max(1, MOST_BYTES // max(1, math.prod(shape)))
        self._room = self._room_in_all
        self._turns.begin()

    @property
    def waiting(self) -> bool:
        return not self.refused and self._room > 0 and self._turns is not None and self._turns.waiting > 0

    @property
    def seconds_expected(self) -> float:
        """What its next image will take; 0 where nothing is known of it."""
        return self._seconds_per_image

    def turn(self, look: Look, left: float) -> None:
        """Make a batch of images: as many as should fit into what is `left` of the seconds, and one at least.

        Raises NothingToSay where the layer turns out to have none.
        """
        self.count += 1
        began = self._recorder._clock()
        try:
            self._prepare(look)
        except Exception as error:
            self.refused = True
            reason = first_line(error)
            raise NothingToSay(f"layer {self.name!r} has no maximising images: {reason}") from None
        started = self._recorder._clock()
        left -= started - began
        assert self._turns is not None
        most = min(self._room, self._gallery.leader.at_once)
        if math.isfinite(left):
            known = self._seconds_per_image > 0
            most = max(1, min(most, int(max(left, 0) / self._seconds_per_image) if known else 4))
        activity = self._reductions["maximum"].mean(axis=0)
        filters = self._turns.next(activity, most=most, change=np.abs(activity - self._active))
        self._active[filters] = activity[filters]
        self._made.append((filters, self._gallery.lead(filters, self._reductions, self._calibration.steps)))
        self._room -= len(filters)
        self._seconds_per_image = max((self._recorder._clock() - started) / len(filters), 1e-6)

    def record(self, look: Look) -> MaximisingImagesRecord | None:
        """The record of what was made at this snapshot."""
        if not self._made:
            return None
        from featwatch.explain.leading.leading import together

        filters = np.concatenate([filters for filters, _ in self._made])
        led, self._made = together([led for _, led in self._made]), []
        in_all = self._reductions["maximum"].shape[1]
        note = f"{len(filters)} of {in_all} filters, by turns" if len(filters) < in_all else ""
        found: MaximisingImagesRecord = self._gallery.record(
            filters, self._reductions["maximum"][:, filters].argmax(axis=0), led, self._calibration, epoch=look.epoch,
            step=look.step, note=note,
        )  # fmt: skip
        return found

    def _prepare(self, look: Look) -> None:
        from featwatch.explain.leading.maximising import Calibration, Gallery
        from featwatch.explain.subject import subject_of

        if self._gallery is None:
            subject = subject_of(look.model, look.sites[self.name], look.probe)
            self._gallery = Gallery(look.model, subject, look.probe)
        if self._recorder.steps is not None:
            self._calibration = Calibration(self._recorder.steps)
            return
        now = look.epoch if look.step < 0 else look.step
        if self._calibration is None or (now > self._calibrated_at and now >= 2 * self._calibrated_at):
            self._calibration, self._calibrated_at = self._gallery.calibrate(self._reductions, _CALIBRATED_ON), now
