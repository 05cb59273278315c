"""`ClassSpecificity`: which classes each filter answers to (row H6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from featwatch.analysis.specificity import MARGIN, Specific, only_largest, specific_units
from featwatch.options import real
from featwatch.recorders.base import LayerSnapshot, Recorder
from featwatch.records import Specificity

MOST_MEANS = 1 << 18        # classes × filters in a record: 1 MB; of more classes each filter's largest means are kept


class ClassSpecificity(Recorder):
    """For every filter its mean activation by class, and whether it is specific to one class, to two, or to none.

    Of a probe with labels of fewer than two classes there is one record, which says so.

    `margin`: by how much the mean over a class must exceed the mean over all of them, relative to that.
    """

    name = "class_specificity"
    produces = Specificity
    reductions = ("mean", "below_zero")
    in_worker = False

    def __init__(
        self,
        margin: float = MARGIN,
        *,
        layers: str | Sequence[str] | Callable[..., bool] | None = None,
        schedule: Any = None,
    ) -> None:
        self.margin = real("margin", margin, 0.0, open_below=True)
        self.layers = layers
        self.schedule = schedule

    def analyse(self, snapshot: LayerSnapshot) -> Specificity | None:
        means, below_zero = (snapshot.reductions[name] for name in self.reductions)
        classes = np.unique(snapshot.labels[snapshot.labels >= 0])
        if len(classes) < 2:
            return self._nothing(snapshot, len(classes))
        found = specific_units(means, snapshot.labels, below_zero, margin=self.margin)
        kept = max(2, MOST_MEANS // found.means.shape[1])
        return Specificity(
            epoch=snapshot.epoch,
            layer=snapshot.layer,
            means=only_largest(found.means, kept).astype(np.float32),
            overall=found.overall.astype(np.float32),
            samples=found.samples.astype(np.int32),
            modality=found.modality.astype(np.int32),
            first=found.first.astype(np.int32),
            second=found.second.astype(np.int32),
            margin=self.margin,
            note=_note(found, kept),
        )

    def _nothing(self, snapshot: LayerSnapshot, classes: int) -> Specificity | None:
        if isinstance(snapshot.previous, Specificity) and not len(snapshot.previous.means):
            return None                         # that was said
        filters = snapshot.info.filters
        none = np.full(filters, -1, np.int32)
        return Specificity(
            epoch=snapshot.epoch,
            layer=snapshot.layer,
            means=np.zeros((0, filters), np.float32),
            overall=np.full(filters, np.nan, np.float32),
            samples=np.zeros(0, np.int32),
            modality=none,
            first=none,
            second=none,
            margin=self.margin,
            note="the probe has no class labels" if not classes else "the labelled samples of the probe are of one class",
        )


def _note(found: Specific, kept: int) -> str:
    notes = []
    few = int(np.count_nonzero(found.samples == 1))
    if few:
        notes.append(f"classes with a single sample in the probe: {few}; no filter counts as specific to them")
    if found.negative:
        notes.append(f"filters that are undefined, as they do not lie above zero on the whole: {found.negative}")
    if found.non_finite:
        notes.append(f"filters that are undefined, as a value is not finite: {found.non_finite}")
    if kept < len(found.means):
        notes.append(f"of each filter the {kept} largest means are kept")
    return "; ".join(notes)
