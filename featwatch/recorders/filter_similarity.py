"""`FilterSimilarity`: which filters of a layer say what others say already, and how alike their weights are (row H5)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from featwatch.analysis.acting_weights import COUPLED, cosines, directions, weight_classes
from featwatch.analysis.combinations import no_sums, sums
from featwatch.analysis.similarity import ROWS_PER_NUMBER, Moments, alike, moments, multiples
from featwatch.analysis.weight_map import LEAST_LAID_OUT, laid_out_every, weight_layout, weight_map
from featwatch.folding import folded
from featwatch.options import real, whole
from featwatch.recorders.base import LayerSnapshot, NothingToSay, Recorder
from featwatch.records import Similarity

CORRELATION = 0.98
RESIDUAL = 0.02
MOST_TERMS = 8


class FilterSimilarity(Recorder):
    """Filters that are multiples of others, or weighted sums of a few, up to a constant; and a map of their weights.

    `correlation`, `residual`: a filter is a multiple of another, or a sum of others, when it correlates at least so much with
    that, and that leaves no more than this share of its deviation, RMS: 0.02 is 0.04 % of the variance, which is the
    stricter of the two; 0.2 and more leave it to the correlation.  `terms`: of a sum, at most.  `weight_layout`: whether
    there is a UMAP of the weights beside their principal components, which of more than 512 filters is made at some
    records only.  `seed`: of that.

    Compared is what the probe shows, over samples × positions after the activation that applies.  Filters that say the same
    of everything, as the dead do, are compared with none; nor are those whose variance so few rows carry that likeness
    may be luck.  The record's note says how many.  Layers of more than 2,048 filters are not compared.

    >>> fw.FilterSimilarity(residual=0.05, layers="conv*")    # doctest: +SKIP
    """

    name = "filter_similarity"
    produces = Similarity
    reductions = ("moment_values", "maximum", "minimum")

    def __init__(
        self,
        correlation: float = CORRELATION,
        residual: float = RESIDUAL,
        terms: int = 3,
        weight_layout: bool = True,
        seed: int = 0,
        *,
        layers: str | Sequence[str] | Callable[..., bool] | None = None,
        schedule: Any = None,
    ) -> None:
        self.correlation = real("correlation", correlation, 0.0, 1.0)
        self.residual = real("residual", residual, 0.0, 0.9, open_below=True)
        self.terms = whole("terms", terms, 1, MOST_TERMS)
        if not isinstance(weight_layout, bool):
            raise TypeError(f"weight_layout={weight_layout!r} is neither True nor False")
        self.weight_layout = weight_layout
        self.seed = whole("seed", seed, 0, 2**32 - 1)
        self.layers = layers
        self.schedule = schedule

    def analyse(self, snapshot: LayerSnapshot) -> Similarity:
        reduced, info = snapshot.reductions, snapshot.info
        if len(reduced["moment_mean"]) < info.filters:
            return _too_many(snapshot)
        rows, taken = int(reduced["moment_rows"]), int(reduced["moment_positions"])
        if not rows:
            where = f"layer {snapshot.layer!r} at epoch {snapshot.epoch}"
            raise NothingToSay(f"no row of activations of {where} is finite (did the training diverge?)")
        minimum, maximum = reduced["minimum"].min(axis=0), reduced["maximum"].max(axis=0)
        known = moments(reduced["moment_mean"], reduced["moment_covariance"], rows, minimum, maximum)
        weights, last = _of_weights(snapshot), _fitting(snapshot)
        coupled = info.activation in COUPLED
        found = multiples(
            known,
            np.zeros_like(known.covariance, bool) if coupled else alike(known, self._limit),
            None if weights is None else weights.classes,
            None if last is None else (last.group >= 0) & (last.keep != np.arange(len(last.keep))),
        )
        before = None if last is None else last.removable
        few = no_sums(found, self.terms) if coupled else sums(known, found, self.terms, self._limit, before)
        nearest, correlation = _nearest(known)
        positions = info.features // max(info.filters, 1)
        return Similarity(
            epoch=snapshot.epoch,
            layer=snapshot.layer,
            **vars(found),
            nearest=nearest,
            correlation=correlation,
            **vars(few),
            **(self._planes(weights, last) if weights is not None else {}),
            values=rows,
            exact=rows == len(snapshot.labels) * positions,
            note="; ".join(self._remarks(info.activation, known, weights, len(snapshot.labels) * taken - rows)),
        )

    @property
    def _limit(self) -> float:
        """The residual that neither of the two thresholds lets pass."""
        return min(self.residual, math.sqrt(1 - self.correlation**2))

    def _planes(self, weights: _Weights, last: Similarity | None) -> dict[str, Any]:
        """The record's fields that hold the maps of the weights."""
        count = len(weights.cosines)
        plane, explained = weight_map(weights.cosines, None if last is None else last.weight_map)
        layout, age = np.zeros((0, 0), np.float32), 0
        if self.weight_layout and count >= LEAST_LAID_OUT:
            old = last.weight_layout if last is not None and last.weight_layout.shape == plane.shape else None
            if last is not None and old is not None and last.layout_age + 1 < laid_out_every(count):
                layout, age = old, last.layout_age + 1
            else:
                layout = np.where(weights.finite, weight_layout(weights.cosines, plane, old, self.seed), np.nan)
        return {
            "weight_map": np.where(weights.finite, plane, np.nan).astype(np.float32),
            "weight_layout": layout.astype(np.float32),
            "layout_age": age,
            "explained": explained,
        }

    def _remarks(self, activation: str, known: Moments, weights: _Weights | None, lost: int) -> Iterator[str]:
        """What was not compared, and why."""
        if activation in COUPLED:
            yield f"{activation} makes every filter depend on all others, so that only equal weights count and none can go"
        still = int(np.count_nonzero(~known.varies))
        if still:
            yield f"{_filters(still)} the same of every row and compared with none"
        if activation not in COUPLED:
            unsure = [int(np.count_nonzero(known.varies & ~known.enough(terms, self._limit))) for terms in (1, self.terms)]
            if known.rows < ROWS_PER_NUMBER * (self.terms + 1):
                yield f"{known.rows} rows are too few to tell sums of {self.terms} others from luck"
            if unsure[0]:
                yield f"{_filters(unsure[0])} carried by too few rows to be compared by activations"
            if unsure[1] > unsure[0]:
                yield f"{_filters(unsure[1] - unsure[0])} carried by too few rows to be taken for sums"
        if lost:
            yield f"{lost} rows with a value that is not finite left out"
        if weights is None:
            yield "no weights to compare"
        elif weights.classes is None:
            yield "something else changes the values between weights and activation, so that weights are not compared"
        if weights is not None and not weights.exact:
            yield "the maps are of shortened weights"


@dataclass(frozen=True, eq=False, kw_only=True)
class _Weights:
    """What the weights tell."""

    cosines: np.ndarray             # (filters, filters) float32
    exact: bool                     # whether those are
    finite: np.ndarray              # (filters, 1) bool
    classes: np.ndarray | None      # (filters,) int32; None = they do not act on the activations alone


def _too_many(snapshot: LayerSnapshot) -> Similarity:
    """The record of a layer of more filters than are compared: it says so, and nothing else."""
    filters = snapshot.info.filters
    unknown, itself = np.full(filters, np.nan, np.float32), np.arange(filters, dtype=np.int32)
    return Similarity(
        epoch=snapshot.epoch,
        layer=snapshot.layer,
        group=np.full(filters, -1, np.int32),
        keep=itself,
        factor=np.ones(filters, np.float32),
        offset=np.zeros(filters, np.float32),
        residual=unknown,
        by=np.full(filters, ""),
        nearest=np.full(filters, -1, np.int32),
        correlation=unknown,
        terms=np.full((filters, 1), -1, np.int32),
        coefficients=np.zeros((filters, 1), np.float32),
        unexplained=unknown,
        removable=np.zeros(filters, bool),
        exact=False,
        note=f"{filters:,} filters are too many to be compared with each other",
    )


def _of_weights(snapshot: LayerSnapshot) -> _Weights | None:
    weights, bias, normalisation, count = snapshot.weights, snapshot.bias, snapshot.normalisation, snapshot.info.filters
    if weights is None or len(weights) != count or not weights.shape[1]:
        return None
    if normalisation is not None and len(normalisation.factor) != count:
        normalisation = None
    unit, lengths = directions(weights, normalisation)
    between, exact = cosines(unit)
    classes = None
    if snapshot.direct and (bias is None or len(bias) == count):
        offsets = folded(weights[:, :0], bias, normalisation)[1]
        classes = weight_classes(unit, between, lengths, offsets, snapshot.info.activation)
    return _Weights(cosines=between, exact=exact, finite=np.isfinite(weights).all(axis=1)[:, None], classes=classes)


def _fitting(snapshot: LayerSnapshot) -> Similarity | None:
    """The layer's last record, if it is of as many filters."""
    last = snapshot.previous
    return last if isinstance(last, Similarity) and len(last.keep) == snapshot.info.filters else None


def _nearest(known: Moments) -> tuple[np.ndarray, np.ndarray]:
    """The other filter with the largest |correlation|, (filters,) int32, and that correlation, float32; −1 and NaN for none."""
    size = np.abs(known.correlation)
    np.fill_diagonal(size, 0.0)
    nearest = np.argmax(size, axis=1)
    there = size.max(axis=1) > 0
    correlation = known.correlation[np.arange(len(size)), nearest]
    return np.where(there, nearest, -1).astype(np.int32), np.where(there, correlation, np.nan).astype(np.float32)


def _filters(count: int) -> str:
    return "1 filter is" if count == 1 else f"{count} filters are"
