"""`maximising_images`: samples led a few steps towards what maximises filters of a trained model (row F9)."""

from __future__ import annotations

import weakref
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from featwatch.analysis.specificity import specific_units
from featwatch.explain.ascent.bounds import Bounds, bounds_of
from featwatch.explain.kept import kept
from featwatch.explain.leading.frequencies import side_of_squares
from featwatch.explain.leading.leading import Leader, Led, Starts
from featwatch.explain.strongest import strength
from featwatch.explain.subject import Subject, filters_of, subject_of
from featwatch.probe import Probe
from featwatch.records import MaximisingImages

MOST_STEPS = 50                     # of the calibration: by then a value may have gone through half of its range
TOLERANCE = 0.1                     # by how much more than the data has of it counts as noise, relative to that
CALIBRATED_ON = 32                  # units at most
DEFAULT_STEPS = 20                  # where nothing can be calibrated
_NATURAL = 8                        # samples of the probe for each of these units


@dataclass(frozen=True, eq=False)
class Calibration:
    """How many steps are taken."""

    steps: int
    units: int = 0                  # over which that is the mean
    natural_noise: float = float("nan")
    note: str = ""


class Gallery:
    """What makes the maximising images of one layer from one probe.

    Building it traces the layer's functions, which takes seconds where they are not kept already.

    Raises Unsuitable and WritesState as `Leader` does.
    """

    def __init__(self, model: Any, subject: Subject, probe: Probe) -> None:
        samples = subject.form.pictures(np.asarray(probe.x))
        self._pictures = samples
        self.side = side_of_squares(samples[:, 0, :, 0]) if subject.form.kind == "vector" else 0
        self._bounds: Bounds = bounds_of(samples, each_position=subject.form.kind == "vector" and not self.side)
        self._subject = subject
        self.leader: Leader = kept(model, ("maximising", *subject.key, self.side), lambda: Leader(subject, self.side))
        self._labels = probe.labels

    def calibrate(self, reductions: dict[str, np.ndarray], most: int = CALIBRATED_ON) -> Calibration:
        """How many steps to take: the mean, over units specific to one class, of the last step before noise appears.

        A unit's noise appears at the first step at which the share of high spatial frequencies in what the unit sees is
        more than a tenth larger than in the data, which is the probe where it activates the unit, and than in the sample
        it started from.  `featwatch.explain.leading.frequencies` says how the share is measured.

        Arguments:
            reductions: "maximum", "peak", "mean" and "below_zero" of the probe, (samples, filters) each.
            most: units.
        """
        if not self.leader.measures_noise:
            vectors = "vectors have no spatial frequencies" if self._subject.form.kind == "vector" else "units see too little"
            return Calibration(DEFAULT_STEPS, note=f"{vectors}: {DEFAULT_STEPS} steps, not calibrated")
        chosen, note = self._specific(reductions, most)
        if not len(chosen):
            return Calibration(DEFAULT_STEPS, note=f"no unit is active: {DEFAULT_STEPS} steps, not calibrated")
        natural = self._natural(chosen, reductions)
        led = self.lead(chosen, reductions, MOST_STEPS)
        last = _last_before(led.noise, natural)
        never = int(np.count_nonzero(last == MOST_STEPS))
        if never:
            note += f"; of {len(chosen)} units {never} show no noise in {MOST_STEPS} steps"
        units = 0 if note.startswith("no unit") else len(chosen)
        return Calibration(max(1, round(float(last.mean()))), units, natural, note.removeprefix("; "))

    def lead(self, filters: np.ndarray, reductions: dict[str, np.ndarray], steps: int) -> Led:
        """The samples that activate these filters most, led so many steps."""
        maxima = reductions["maximum"][:, filters]
        samples = np.where(np.isfinite(maxima), maxima, -np.inf).argmax(axis=0)
        starts = self.leader.starts(filters, samples, reductions["peak"][samples, filters])
        return self.leader.lead(self._pictures, starts, self._bounds, steps)

    def record(self, filters: np.ndarray, samples: np.ndarray, led: Led, calibration: Calibration, *, epoch: int,
               step: int = -1, note: str = "") -> MaximisingImages:  # fmt: skip
        """The record of what was led.

        Arguments:
            samples: (filters,) indices into the probe, from which each started.
        """
        low, high = self._bounds.limits
        images = self._bounds.low + (self._bounds.high - self._bounds.low) * led.shares
        shown = (images - low) / np.where(high > low, high - low, 1)
        pixels = np.rint(255 * np.clip(shown, 0, 1)).astype(np.uint8)
        boxes, notes = led.boxes, [calibration.note, note]
        if self.side:
            pixels = pixels.reshape(-1, self.side, self.side, 1)
            boxes = np.tile(np.array([0, self.side - 1] * 2, np.int32), (len(filters), 1))
            notes.append(f"vectors of {self.side**2} values, read as squares")
        if not self.leader.before:
            activation = self._subject.site.activation
            notes.append(f"what enters the activation {activation!r} cannot be had: the values are those that leave it")
        measured = self.leader.measures_noise
        return MaximisingImages(
            epoch=epoch,
            step=step,
            layer=self._subject.site.name,
            filters=filters.astype(np.int32),
            samples=samples.astype(np.int32),
            pixels=pixels,
            low=low,
            high=high,
            started=led.started,
            activation=led.activation,
            steps=calibration.steps,
            **({"noise": led.noise[:, -1]} if measured else {}),
            natural_noise=calibration.natural_noise,
            calibrated_on=calibration.units,
            boxes=boxes,
            note="; ".join(filter(None, notes)),
        )

    def _specific(self, reductions: dict[str, np.ndarray], most: int) -> tuple[np.ndarray, str]:
        """The filters that steps are calibrated on, and what there is to say of them."""
        alive = np.flatnonzero((reductions["maximum"] > reductions["maximum"].min(axis=0)).any(axis=0))
        chosen, note = alive, "no unit is specific to one class: calibrated on all that there are"
        if len(np.unique(self._labels[self._labels >= 0])) < 2:
            note = "no unit can be specific to a class, as the probe has no labels of two: calibrated on all that there are"
        else:
            found = specific_units(reductions["mean"], self._labels, reductions["below_zero"])
            specific = np.flatnonzero(found.modality == 1)
            if len(specific):
                chosen, note = specific, ""
        if len(chosen) > most:
            note = f"{note}; of {len(chosen)} of them {most}" if note else f"calibrated on {most} of {len(chosen)} units"
            chosen = chosen[np.linspace(0, len(chosen) - 1, most).round().astype(int)]
        return chosen, note

    def _natural(self, filters: np.ndarray, reductions: dict[str, np.ndarray]) -> float:
        """The share of high frequencies in the data: in what these units see of some samples, where they answer most."""
        count = len(self._pictures)
        some = np.linspace(0, count - 1, min(count, _NATURAL)).round().astype(int)
        samples, units = np.tile(some, len(filters)), filters.repeat(len(some))
        starts: Starts = self.leader.starts(units, samples, reductions["peak"][samples, units])
        reach = self._bounds.high - self._bounds.low
        scale = np.where(reach > 0, reach, 1)
        high = total = 0.0
        for first in range(0, len(starts), 64):
            here = starts.some(np.arange(first, min(first + 64, len(starts))))
            windows = self.leader.natural_windows(self._pictures, here)
            found = self.leader.frequencies.energies((windows - self._bounds.low) / scale)
            high, total = high + float(found[0].sum()), total + float(found[1].sum())
        return high / total if total > 0 else 0.0


def maximising_images(
    model: Any, layer: Any, filters: Sequence[int] | int | None, probe: Any, *, steps: int | None = None
) -> MaximisingImages:
    """The sample that activates each filter most, led a few steps towards what activates it more.

    What grows is what enters the activation of the unit that is largest in that sample, the same one at all steps.  No
    step changes a value by more than 1 % of its range.

    Arguments:
        model: a built model; it is not changed.
        layer: its name, or the layer itself.
        filters: which; None = all of them.
        probe: a `Probe`, or samples.  With labels of two classes or more steps are calibrated on units that are
            specific to one.
        steps: how many; None = as many as leave the images without noise, calibrated once for a probe, and anew when the
            weights have changed (`Gallery.calibrate`).

    Returns: a `MaximisingImages` record: `.images` in the units of the model's input, and `.thresholded`, where they are
        above 0.9 of the range.

    Raises:
        ValueError: an argument is out of its range, or the layer has no such images: the message says why.

    Example:
        >>> found = maximising_images(net, "conv", [0, 3], fw.Probe(x), steps=5)
        >>> found.images.shape, bool((found.activation >= found.started).all())
        ((2, 8, 8, 1), True)
    """
    if steps is not None and (isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 1):
        raise ValueError(f"steps={steps!r}: expected a whole number of 1 or more, or None")
    given = probe
    probe = probe if isinstance(probe, Probe) else Probe(probe, size=max(1, len(probe)))
    subject = subject_of(model, layer, probe)
    reductions = strength(model, subject.site, probe)
    gallery = Gallery(model, subject, probe)
    named = filters_of(filters, gallery.leader.filters, subject.site.name)
    calibration = _calibrated(model, gallery, subject, given, reductions) if steps is None else Calibration(int(steps))
    maxima = reductions["maximum"][:, named]
    samples = np.where(np.isfinite(maxima), maxima, -np.inf).argmax(axis=0)
    return gallery.record(named, samples, gallery.lead(named, reductions, calibration.steps), calibration, epoch=0)


class _Calibrated:
    """The last calibration of a layer, and with which probe and weights it was made."""

    def __init__(self) -> None:
        self.probe: weakref.ref[Any] | None = None
        self.weights = 0
        self.found: Calibration | None = None


def _calibrated(model: Any, gallery: Gallery, subject: Subject, probe: Any, reductions: dict[str, np.ndarray]) -> Calibration:
    last = kept(model, ("maximising steps", *subject.key), _Calibrated)
    weights = 0
    for variable in model.variables:
        weights = zlib.crc32(variable.numpy().tobytes(), weights)
    if last.found is None or last.weights != weights or last.probe is None or last.probe() is not probe:
        last.found, last.weights = gallery.calibrate(reductions), weights
        last.probe = weakref.ref(probe) if isinstance(probe, Probe) else None
    return last.found


def _last_before(noise: np.ndarray, natural: float) -> np.ndarray:
    """(units,) the last step before the noise, (units, steps + 1), is more than the tolerance above that of data and start.

    >>> _last_before(np.array([[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]]), 0.2)
    array([1, 2])
    """
    noisy = noise > (1 + TOLERANCE) * np.maximum(noise[:, :1], natural)
    return np.where(noisy.any(axis=1), noisy.argmax(axis=1), noise.shape[1]) - 1
