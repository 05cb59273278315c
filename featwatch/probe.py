"""The fixed samples that a watch looks at every time."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from featwatch.records import ProbeRecord
from featwatch.sources import drawn_from, samples_of
from featwatch.structures import described, is_nested, leaves, mapped
from featwatch.thumbnails import Sprite, sprite_of


@dataclass(frozen=True)
class InputSpec:
    """What one input of a probe is like."""

    shape: tuple[int, ...]              # of one sample
    dtype: str                          # as Keras says it: "float32", "int64", "bool", "string", …

    def __str__(self) -> str:
        return f"{self.shape} {self.dtype}"


class Probe:
    """A fixed, labelled or unlabelled, sample of a data set.

    Parameters
    ----------
    x: (samples, …), numbers or strings.  An array, or what NumPy can turn into one: nested lists, tensors.
        For a model of several inputs a dict or tuple of such arrays, nested as the model's inputs are.  The
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

        pictures = None if images is None else samples_of("images", images)
        found = drawn_from(x, y, class_names, size=self.size, seed=self.seed, in_order=pictures is not None)
        if pictures is not None and len(pictures) != found.source_size:
            raise ValueError(f"images holds {len(pictures)} samples and x {found.source_size}; pass one image per sample")

        self.source_size = found.source_size
        self.indices = _frozen(found.rows)                          # (samples,) int64, ascending: rows of the source
        self.x = mapped(_frozen, found.x)
        self.y = None if found.labels.y is None else mapped(_frozen, found.labels.y)
        self.labels = _frozen(found.labels.numbers)                 # (samples,) int32, −1 = no label
        self.class_names = found.labels.names
        targets = found.labels.targets
        self.targets = _frozen(np.zeros((0, 0), np.float32) if targets is None else targets)    # (samples, targets) float32
        self.notes = found.notes                                    # how the samples were read and drawn, in sentences
        self._images = None if pictures is None else _frozen(pictures[self.indices])

    def __len__(self) -> int:
        return len(self.indices)

    def __repr__(self) -> str:
        part = "" if len(self) == self.source_size else f" of {self.source_size:,}"
        what = described(self.spec, str) if is_nested(self.spec) else f"shape {self.spec.shape}, {self.spec.dtype}"
        return f"<Probe: {len(self):,}{part} samples of {what}>"

    @property
    def spec(self) -> Any:
        """An `InputSpec`, in the structure of `x`: shape without the samples' axis, and dtype, of each input."""
        return mapped(lambda array: InputSpec(array.shape[1:], "string" if array.dtype == object else array.dtype.name), self.x)

    @property
    def classes_seen(self) -> int:
        """The largest class number among the samples' labels, plus one; 0 where there are no labels."""
        return int(self.labels.max()) + 1

    def batches(self) -> Iterator[tuple[Any, int]]:
        """The samples in order as (batch, count), of which `count` are real.

        A batch has the structure of `x`, every array in it exactly (batch_size, …): the last batch is filled
        up by repeating its last sample, so that one traced graph serves them all.
        """
        for start in range(0, len(self), self.batch_size):
            rows = np.minimum(np.arange(start, start + self.batch_size), len(self) - 1)
            yield self._at(rows), min(self.batch_size, len(self) - start)

    def _at(self, rows: np.ndarray) -> Any:
        if len(self) >= rows[0] + len(rows):                                    # a view where nothing is repeated
            return mapped(lambda array: array[rows[0] : rows[0] + len(rows)], self.x)
        return mapped(lambda array: array[rows], self.x)

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
            notes=self.notes,
            targets=self.targets,
        )

    @cached_property
    def _sprite(self) -> Sprite:
        if self._images is not None:
            return sprite_of(self._images)
        inputs = leaves(self.x, "x")
        pictures = [(name, array) for name, array in inputs if array.ndim in (3, 4)] or inputs
        name, array = pictures[0]
        if array.dtype == object:
            return Sprite(note="the samples are text")
        sprite = sprite_of(array)
        return replace(sprite, note=f"{name}: {sprite.note}") if len(inputs) > 1 else sprite


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
