"""What happened to single samples from one record of the predictions to the next (row E13)."""

from __future__ import annotations

from typing import Any

import numpy as np

from featwatch.records import Predictions, SampleEvents

KINDS = ("forgotten", "learnt", "flip", "jump")
MOST = 64           # entries of a record …
OF_EACH = 16        # … among them so many of each kind, if there are: early on the rest drowns in what is learnt
JUMP = 0.25         # change of certainty from which on it is one: a quarter of what is possible


def sample_events(before: Predictions, now: Predictions, labels: np.ndarray, ever_right: np.ndarray) -> SampleEvents:
    """What became of the samples between two records of the same samples and classes.

    Arguments:
        labels: (samples,), −1 = no label.
        ever_right: (samples,) bool, whether a sample was right in any record before `before`.

    The sizes, 0 to 1, are changes of probability.  Where the predicted class is another one: the larger of
    what the former class lost and what the new one won, of which at least one is not negative.  Of a jump:
    the change of the certainty, where that is at least `JUMP`.  They are NaN where the scores are no
    probabilities.  A sample that was not predicted in one of the two, since its scores were not finite, is
    left out; one that was right, forgotten and is right again is neither learnt nor flipped.  Forgetting as
    in Toneva et al. 2019, *An Empirical Study of Example Forgetting*.
    """
    samples = np.arange(len(labels))
    old, new = before.classes, now.classes
    known = (old >= 0) & (new >= 0)
    was_right, is_right = (labels >= 0) & (old == labels), (labels >= 0) & (new == labels)
    with np.errstate(invalid="ignore"):         # a model that diverged
        lost = before.scores[samples, old] - now.scores[samples, old]
        won = now.scores[samples, new] - before.scores[samples, new]
        rise = np.abs(now.certainty - before.certainty)
    are_probabilities = np.isfinite(before.certainty) & np.isfinite(now.certainty)
    size = np.where(old == new, rise, np.maximum(lost, won))
    size = np.where(known & are_probabilities, np.clip(size, 0.0, 1.0), np.nan)
    found = {
        "forgotten": known & was_right & ~is_right,
        "learnt": known & is_right & ~was_right & ~ever_right,
        "flip": known & (old != new) & ~was_right & ~is_right,
        "jump": known & (old == new) & (size >= JUMP),
    }
    entries = _largest({kind: np.flatnonzero(mask) for kind, mask in found.items()}, size)
    return SampleEvents(
        epoch=now.epoch,
        step=now.step,
        entries=tuple(_entry(kind, sample, size, old, new) for kind, sample in entries),
        counts={kind: int(mask.sum()) for kind, mask in found.items()},
        since=_place(before),
    )


class SampleHistory:
    """The predictions of one training on one axis, record by record, as far as the next events need them.

    `labels`: (samples,) int, −1 = no label.
    """

    def __init__(self, labels: np.ndarray) -> None:
        self._labels = labels
        self._last: Predictions | None = None
        self._before: Predictions | None = None         # the record before `_last`
        self._right = np.zeros(len(labels), bool)       # in `_before` or any record before it

    def follow(self, now: Predictions) -> None:
        """Take note of the next record.

        One of the same place as the last takes its place; one of an earlier place, or with another number of
        samples or classes, begins a new history.
        """
        if self._last is None or _place(now) < _place(self._last) or now.scores.shape != self._last.scores.shape:
            self._before, self._right = None, np.zeros(len(self._labels), bool)
        elif _place(now) > _place(self._last):
            self._before = self._last
            self._right = self._right | ((self._labels >= 0) & (self._last.classes == self._labels))
        self._last = now

    def events(self) -> SampleEvents | None:
        """What happened between the last two records; None where there are no two."""
        if self._before is None or self._last is None or len(self._last.classes) != len(self._labels):
            return None
        return sample_events(self._before, self._last, self._labels, self._right)


def _largest(found: dict[str, np.ndarray], size: np.ndarray) -> list[tuple[str, int]]:
    """(kind, sample) of the largest `OF_EACH` of each kind and of the largest of the rest, the largest first."""
    largeness = -np.nan_to_num(size, nan=-1.0)
    keys = largeness.tolist()

    def order(one: tuple[str, int]) -> tuple[float, int, int]:
        return keys[one[1]], KINDS.index(one[0]), one[1]

    first: list[tuple[str, int]] = []
    rest: list[tuple[str, int]] = []
    for kind, samples in found.items():
        # Stable: of equal ones the first samples.
        samples = samples[np.argsort(largeness[samples], kind="stable")][:MOST]
        ordered = [(kind, sample) for sample in samples.tolist()]
        first += ordered[:OF_EACH]
        rest += ordered[OF_EACH:]
    return sorted([*first, *sorted(rest, key=order)[: MOST - len(first)]], key=order)


def _entry(kind: str, sample: int, size: np.ndarray, old: np.ndarray, new: np.ndarray) -> dict[str, Any]:
    return {
        "kind": kind, "sample": sample, "size": round(float(size[sample]), 4), "before": int(old[sample]),
        "after": int(new[sample]),
    }  # fmt: skip


def _place(record: Predictions) -> int:
    """Where the record stands on its axis."""
    return record.step if record.step >= 0 else record.epoch
