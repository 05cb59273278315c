"""`UnreliableLayout`: pictures of the samples that should not be believed (row A1)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from featwatch.alerts.arguments import a_share, checks_in_a_row
from featwatch.alerts.detector import Detector, Finding
from featwatch.alerts.thresholds import DEFAULTS
from featwatch.records import Alert, Embedding, Record

CURE = (
    "Read the separation numbers, which are taken in the feature space, instead of distances in the picture; "
    "try more n_neighbors, a larger probe, or layout='pca', which invents no clusters."
)
CURE_OF_JUMPS = (
    "Read each picture by itself, and what changed from the numbers; a layout that takes `start`, as 'umap', 'tsne' and "
    "'pca' do, moves as the features do."
)


class UnreliableLayout(Detector):
    """A layer's layout shows neighbours that are none, loses nearly all that are, or jumps where the features do not.

    A probe of fewer than 30 samples is not judged: what such a measure says of it is chance.

    Arguments:
        checks: in a row in which it must be so, and in which it must not until the alert is resolved.
        trustworthiness: below this a layout is not believed; one at random has 0.5.
        neighbors_kept: share, of what lies above chance, of a sample's neighbours that must be so in the picture too.
        stability: rank correlation of the samples' movement in the features and in the picture, below which a picture
            that moves far while the features hardly do is said to jump.

    Example:
        >>> fw.Watch("logs/run", probe, alerts=[fw.alerts.UnreliableLayout(trustworthiness=0.9)])  # doctest: +SKIP
    """

    kind = "layout"

    def __init__(
        self,
        *,
        checks: int = DEFAULTS.layout_checks,
        trustworthiness: float = DEFAULTS.layout_trustworthiness,
        neighbors_kept: float = DEFAULTS.layout_neighbors_kept,
        stability: float = DEFAULTS.layout_stability,
    ) -> None:
        self.raise_after = self.resolve_after = checks_in_a_row(checks)
        self.trustworthiness = a_share("trustworthiness", trustworthiness)
        self.neighbors_kept = a_share("neighbors_kept", neighbors_kept)
        self.stability = a_share("stability", stability)
        self.start((), ())

    def start(self, layers: Sequence[str], opened: Sequence[Alert]) -> None:
        self._last: dict[str, Embedding] = {}

    def update(self, record: Record) -> Iterable[Finding]:
        if not isinstance(record, Embedding) or len(record.points) < DEFAULTS.layout_samples:
            return
        moved = _moved(self._last.get(record.layer), record)
        self._last[record.layer] = record
        chance = record.neighbors / (len(record.points) - 1)
        above = (record.neighbors_kept - chance) / (1 - chance) if chance < 1 else math.nan
        reasons = {}                            # a comparison with NaN, what is not known, gives none
        if record.trustworthiness < self.trustworthiness:
            reasons["trustworthiness"] = f"its trustworthiness is {record.trustworthiness:.2f}, where points at random have 0.50"
        if above < self.neighbors_kept:
            kept = f"it keeps {record.neighbors_kept:.0%} of each sample's {record.neighbors} nearest neighbours"
            reasons["neighbors_kept"] = f"{kept}, where points at random would keep {chance:.0%}"
        features = math.nan if record.movement is None or not len(record.movement) else float(np.median(record.movement))
        if moved > DEFAULTS.layout_moved and features < DEFAULTS.layout_features_moved and record.stability_rank < self.stability:
            since = "epoch" if record.step < 0 else "step"
            jump = f"it moved by {moved:.0%} of its radius since {since} {record.started_from}, the features hardly at all"
            reasons["stability"] = f"{jump}, and other samples than those whose features did (ρ {record.stability_rank:.2f})"
        yield Finding(
            epoch=record.epoch,
            layer=record.layer,
            wrong=bool(reasons),
            severity="advice",
            text=f"its picture is not to be believed: {'; '.join(reasons.values())}",
            suggestion=CURE_OF_JUMPS if [*reasons] == ["stability"] else CURE,
            evidence={
                "trustworthiness": record.trustworthiness,
                "neighbors_kept": record.neighbors_kept,
                "by_chance": chance,
                "neighbors": record.neighbors,
                "stability_rank": record.stability_rank,
                "moved": moved,
                "features_moved": features,
                "method": record.method,
                "samples": len(record.points),
            },
            view="samples",
            news=tuple(reasons),
        )


def _moved(last: Embedding | None, record: Embedding) -> float:
    """How far half of the points moved at least, in root mean square distances from their centre; NaN where that is not known."""
    if last is None or last.points.shape != record.points.shape:
        return math.nan
    if record.started_from != (last.epoch if last.step < 0 else last.step):
        return math.nan
    before = last.points.astype(np.float64)         # a square may be beyond float32
    radius = math.sqrt(float(np.mean(np.sum((before - before.mean(axis=0)) ** 2, axis=1))))
    step = float(np.median(np.linalg.norm(record.points - before, axis=1)))
    return step / radius if radius > 0 else math.nan
