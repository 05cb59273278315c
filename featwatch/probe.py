"""The fixed samples that a watch looks at every time."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from featwatch.labels import as_class_names, as_labels
from featwatch.records import ProbeRecord
from featwatch.thumbnails import Sprite, sprite_of

_CHECKED_AT_ONCE = 1 << 24          # values: bounds the memory that looking for NaN takes


class Probe:
    """A fixed, labelled or unlabelled, sample of a data set.

    Parameters
    ----------
    x: (samples, …), numbers.  An array, or what NumPy can turn into one: nested lists, tensors.  The
        probe keeps a copy of its samples, in the dtype of `x`: what is done to `x` later does not reach it.
    y: (samples,) class numbers, −1 = no label; or (samples, 1); or one-hot (samples, classes); or
        strings, one per sample.  None: no labels.
    class_names: the class numbers' names.  Where `y` is of strings and this is None: these strings, sorted.
    images: (samples, height, width[, channels]), what to show of the samples where `x` itself is no picture.
    size: samples to keep at most.  A larger source is drawn from, class by class in proportion and at
        least one of each class where `size` allows that, the same samples for the same `seed`; their
        order is kept.
    batch_size: samples that are shown to the model at once.

    Raises TypeError for what is not arrays of numbers, ValueError for what does not fit together or is
    not finite.

    Examples
    --------
    >>> probe = Probe(np.zeros((6, 2, 2)), [0, 1, 1, 0, 2, 1], size=3)
    >>> len(probe), sorted(probe.labels.tolist())
    (3, [0, 1, 2])
    """

    def __init__(
        self,
        x: Any,
        y: Any = None,
        *,
        class_names: Any = None,
        images: Any = None,
        attributes: Any = None,
        masks: Any = None,
        size: int = 1000,
        seed: int = 0,
        batch_size: int = 64,
    ) -> None:
        for name, value in (("attributes", attributes), ("masks", masks)):
            if value is not None:
                raise ValueError(f"{name} is not supported yet; leave it out")
        self.size = _integer("size", size, least=1)
        self.seed = _integer("seed", seed, least=0)
        self.batch_size = _integer("batch_size", batch_size, least=1)

        source = _samples("x", x)
        _refuse_non_finite(source)
        labels, names = (None, as_class_names(class_names)) if y is None else as_labels(y, len(source), class_names)
        pictures = None if images is None else _samples("images", images)
        if pictures is not None and len(pictures) != len(source):
            raise ValueError(f"images holds {len(pictures)} samples and x {len(source)}; pass one image per sample")

        self.source_size = len(source)
        self.class_names: tuple[str, ...] = names
        self.indices = _choose(labels, len(source), self.size, self.seed)       # (samples,) int64, ascending
        self.x = _frozen(source[self.indices].astype(source.dtype.newbyteorder("="), copy=False))
        self.y = None if labels is None else _frozen(labels[self.indices])      # (samples,) int32, or None
        self.labels = _frozen(np.full(len(self.indices), -1, np.int32)) if self.y is None else self.y
        self._images = None if pictures is None else _frozen(pictures[self.indices])

    def __len__(self) -> int:
        return len(self.indices)

    def __repr__(self) -> str:
        drawn = "" if len(self) == self.source_size else f" of {self.source_size:,}"
        return f"<Probe: {len(self):,}{drawn} samples of shape {self.x.shape[1:]}, {self.x.dtype}>"

    def batches(self) -> Iterator[tuple[np.ndarray, int]]:
        """The samples in order as (batch, count), every batch exactly (batch_size, …), of which `count` are real.

        The last batch is filled up by repeating its last sample, so that one traced graph serves them all.
        """
        for start in range(0, len(self), self.batch_size):
            batch = self.x[start : start + self.batch_size]
            count = len(batch)
            if count < self.batch_size:
                batch = np.concatenate([batch, np.repeat(batch[-1:], self.batch_size - count, axis=0)])
            yield batch, count

    def record(self, epoch: int) -> ProbeRecord:
        """What the log keeps of the probe: labels, names, and the samples' thumbnails."""
        sprite = self._sprite
        return ProbeRecord(
            epoch=epoch,
            labels=self.labels,
            indices=self.indices,
            class_names=self.class_names,
            source_size=self.source_size,
            thumbnails=sprite.png,
            thumbnail_width=sprite.width,
            thumbnail_height=sprite.height,
            thumbnail_columns=sprite.columns,
            thumbnail_note=sprite.note,
        )

    @cached_property
    def _sprite(self) -> Sprite:
        return sprite_of(self.x if self._images is None else self._images)


def _samples(name: str, values: Any) -> np.ndarray:
    """`values` as an array with at least one sample, or an error that says what would be right."""
    if not isinstance(values, list) and not hasattr(values, "__array__"):
        kind = type(values).__name__
        raise TypeError(f"{name} is a {kind}, which is not supported yet: pass arrays, samples first, e.g. NumPy's")
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name} cannot become an array ({error}); its samples must have one shape") from None
    if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
        raise TypeError(f"{name} has the dtype {array.dtype}; convert it to numbers first, e.g. {name}.astype('float32')")
    if array.ndim < 2:
        cure = f"for one number per sample pass {name}.reshape(-1, 1), for a single sample {name}[None]"
        raise ValueError(f"{name} has the shape {array.shape}; samples come first, then their axes: {cure}")
    if array.size == 0:
        raise ValueError(f"{name} is empty, its shape is {array.shape}; pass at least one sample")
    return array


def _refuse_non_finite(x: np.ndarray) -> None:
    if x.dtype.kind in "biu":
        return
    count, first = 0, None
    rows = max(1, _CHECKED_AT_ONCE * len(x) // x.size)
    for start in range(0, len(x), rows):
        bad = ~np.isfinite(x[start : start + rows])
        here = int(np.count_nonzero(bad))
        if here and first is None:
            row, *rest = (int(i) for i in np.unravel_index(int(bad.argmax()), bad.shape))
            first = (start + row, *rest)
        count += here
    if first is not None:
        axes = tuple(range(1, x.ndim))
        raise ValueError(
            f"x holds {count:,} {'value' if count == 1 else 'values'} that {'is' if count == 1 else 'are'} NaN or infinite, "
            f"the first at {list(first)}; leave such samples out, e.g. keep = np.isfinite(x).all(axis={axes}), "
            "then x[keep] and y[keep]"
        )


def _choose(labels: np.ndarray | None, samples: int, size: int, seed: int) -> np.ndarray:
    """(at most size,) int64, ascending: the rows of the source to keep."""
    if samples <= size:
        return _frozen(np.arange(samples, dtype=np.int64))
    strata = np.zeros(samples, np.int32) if labels is None else labels
    rng = np.random.default_rng(seed)           # its own: the global generators stay where they are
    _, members_of, counts = np.unique(strata, return_inverse=True, return_counts=True)
    shares = _proportional(counts, size)
    by_class = np.split(np.argsort(members_of, kind="stable"), np.cumsum(counts)[:-1])
    chosen = [rng.choice(rows, share, replace=False) for rows, share in zip(by_class, shares, strict=True)]
    return _frozen(np.sort(np.concatenate(chosen)).astype(np.int64))


def _proportional(counts: np.ndarray, size: int) -> np.ndarray:
    """How many of `size` < sum(counts) seats each class gets: in proportion, at least one where there are enough.

    Largest remainder (Hamilton), after the classes that would get less than one seat were given one.
    """
    seats = np.zeros(len(counts), np.int64)
    free = np.ones(len(counts), bool)
    if size >= len(counts):
        while True:
            rare = free & (counts * (size - seats.sum()) < counts[free].sum())
            if not rare.any():
                break
            seats[rare], free[rare] = 1, False
    left = size - int(seats.sum())
    total = int(counts[free].sum())
    whole, remainder = np.divmod(counts[free] * left, max(total, 1))
    whole[np.argsort(-remainder, kind="stable")[: left - int(whole.sum())]] += 1
    seats[free] = whole
    return seats


def _integer(name: str, value: Any, *, least: int) -> int:
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}={value!r}: expected a whole number") from None
    if number < least:
        raise ValueError(f"{name}={number}: expected at least {least}")
    return number


def _frozen(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array
