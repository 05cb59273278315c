"""What a layer adds to the separation of the classes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from featwatch.records import LayerSeparation


@dataclass(frozen=True)
class Gains:
    """The differences between two layers of one epoch: positive where `after` separates better than `before`."""

    before: LayerSeparation
    after: LayerSeparation

    @property
    def layer(self) -> str:
        return self.after.layer

    @property
    def knn_gain(self) -> float:
        return self.after.knn_accuracy - self.before.knn_accuracy

    @property
    def silhouette_gain(self) -> float:
        return self.after.silhouette - self.before.silhouette

    @property
    def probe_gain(self) -> float:
        """Of the linear probe; 0 where it is not known."""
        gain = self.after.probe_accuracy - self.before.probe_accuracy
        return gain if math.isfinite(gain) else 0.0

    @property
    def compared(self) -> bool:
        """Whether the record holds the CKA of these two layers: `before` is the last that was watched before `after`."""
        return self.after.previous == self.before.layer

    @property
    def cka(self) -> float:
        """Linear CKA of the two layers' features; NaN where it is not known."""
        return self.after.cka_to_previous if self.compared else math.nan

    def in_words(self) -> str:
        """The figures of both layers in a line."""
        before, after = self.before, self.after
        figures = [
            f"kNN accuracy {before.knn_accuracy:.3f} → {after.knn_accuracy:.3f}",
            f"silhouette {before.silhouette:.3f} → {after.silhouette:.3f}",
        ]
        if math.isfinite(before.probe_accuracy) and math.isfinite(after.probe_accuracy):
            figures.append(f"linear probe {before.probe_accuracy:.3f} → {after.probe_accuracy:.3f}")
        if math.isfinite(self.cka):
            figures.append(f"CKA of their features {self.cka:.3f}")
        return ", ".join(figures)


def separates(record: LayerSeparation) -> bool:
    """Whether there is something to compare; of a layer that gives the same for every sample the dead filters tell."""
    constant = record.silhouette == 0.0 and math.isnan(record.cka_to_previous) and record.previous != ""
    return math.isfinite(record.knn_accuracy) and math.isfinite(record.silhouette) and not constant
