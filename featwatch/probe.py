"""The fixed samples that a watch looks at every time."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from featwatch.attributes import as_columns, plain_columns
from featwatch.pictures import form_of
from featwatch.records import ProbeRecord
from featwatch.sources import Drawn, drawn_from, samples_of
from featwatch.structures import described, is_nested, leaves, mapped
from featwatch.tfdata import is_dataset
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
    x: where the samples come from.

        * An array, (samples, …), of numbers or strings, or what NumPy can turn into one.
        * For a model of several inputs a dict or tuple of arrays, nested as the model's inputs are.
        * A `tf.data.Dataset`, batched or not, of (x, y), (x, y, sample_weight) or x.  A private copy of it is
          read, so that training on the same object sees what it would see without the probe.  Its shuffles,
          repetitions and caches are left out; of a source that is too large to be read whole, the shuffles
          stay, with a seed of the probe's.
        * A generator or iterable of batches (x, y), (x, y, sample_weight) or x.  It is read as far as needed
          and not put back: the probe takes its first `10 * size` samples, at least 1,000, and no more.
        * A `keras.utils.PyDataset`, or anything else that gives batches by number.  Each batch is asked for
          at most once, in order; of a large one evenly spread batches are.

        The probe keeps a copy of its samples, in their dtype: what is done to `x` later does not reach it.
    y: labels, where `x` does not give them: (samples,) class numbers, −1 = no label; or (samples, 1); or one-hot
        (samples, classes); or strings.  Measurements, which are not whole numbers, are the targets of a
        regression.  For a model of several outputs a dict or tuple of these.  None: no labels.
    class_names: the class numbers' names.  Where `y` is of strings and this is None: these strings, sorted.
    images: (samples, height, width[, channels]), what to show of the samples where `x` itself is no picture.
    attributes: columns to look at the samples by, a dict of sequences or a DataFrame: numbers, strings,
        bools, None.  At most 64 columns, texts of at most 200 characters.
    masks: (samples, height, width) from 0 or False, the background, to 1 or True, the object; or the value
        that all channels of a background pixel have.  The background is not shown.
    size: samples to keep at most.  A larger source is drawn from, class by class in proportion and at
        least one of each class where `size` allows that, the same samples for the same `seed`; their
        order is kept.  Of a source that is read in sequence at most `10 * size` samples, at least 1,000,
        are looked at; `notes` says where that was not all.
    batch_size: samples that are shown to the model at once.

    `images`, `attributes`, `masks` and `y` belong to the source's samples by their order.

    Attributes
    ----------
    x: the samples, in the structure that was given.
    y: int32 class numbers, or what was given; None where nothing was.
    labels: (samples,) int32 class numbers, −1 = none.
    targets: (samples, targets) float32 of a regression; (0, 0) where there are none.
    indices: (samples,) int64, the samples' places in the source.
    source_size: samples that were drawn from.
    notes: how the samples were read and drawn, in sentences.

    Raises TypeError for what is no source of samples, ValueError for what does not fit together or is not
    finite.

    Examples
    --------
    >>> probe = Probe(np.zeros((6, 2, 2)), [0, 1, 1, 0, 2, 1], size=3)
    >>> len(probe), sorted(probe.labels.tolist())
    (3, [0, 1, 2])
    >>> batches = ((np.full((4, 2), n), ["a", "b", "a", "b"]) for n in range(5))
    >>> Probe(batches, size=8, attributes={"day": range(20)})
    <Probe: 8 of 20 samples of shape (2,), int64>
    >>> several = Probe({"photo": np.zeros((6, 8, 8, 3)), "age": np.arange(6)}, batch_size=4)
    >>> [(batch["age"].tolist(), count) for batch, count in several.batches()]
    [([0, 1, 2, 3], 4), ([4, 5, 5, 5], 2)]
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
        self.size = _integer("size", size, least=1)
        self.seed = _integer("seed", seed, least=0)
        self.batch_size = _integer("batch_size", batch_size, least=1)

        if class_names is None and is_dataset(x):
            class_names = getattr(x, "class_names", None)           # keras.utils.image_dataset_from_directory says them
        pictures = None if images is None else samples_of("images", images)
        columns = {} if attributes is None else as_columns(attributes)
        masks = None if masks is None else _masks(masks)
        beside = {
            "images": pictures,
            "masks": masks if isinstance(masks, np.ndarray) else None,
            **{f"attributes[{name!r}]": values for name, values in columns.items()},
        }
        beside = {name: values for name, values in beside.items() if values is not None}
        found = drawn_from(x, y, class_names, size=self.size, seed=self.seed, in_order=bool(beside))
        for name, values in beside.items():
            _refuse_other_length(name, len(values), found)

        self.source_size = found.source_size
        self.indices = _frozen(found.rows)                          # (samples,) int64, ascending: rows of the source
        self.x = mapped(_frozen, found.x)
        self.y = None if found.labels.y is None else mapped(_frozen, found.labels.y)
        self.labels = _frozen(found.labels.numbers)                 # (samples,) int32, −1 = no label
        self.class_names = found.labels.names
        targets = found.labels.targets
        self.targets = _frozen(np.zeros((0, 0), np.float32) if targets is None else targets)    # (samples, targets) float32
        self.attributes, notes = plain_columns(columns, self.indices)
        self.notes = (*found.notes, *notes)                         # how the samples were read and drawn, in sentences
        self._pictures: np.ndarray
        self._pictures_name, self._pictures = _pictures(self.x) if pictures is None else ("images", pictures[self.indices])
        self._masks = masks[self.indices] if isinstance(masks, np.ndarray) else masks
        if self._masks is not None:
            _refuse_other_size(self._masks, self._pictures_name, self._pictures)

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
            attributes=self.attributes,
        )

    @cached_property
    def _sprite(self) -> Sprite:
        sprite = sprite_of(self._pictures, self._masks)
        return replace(sprite, note=f"{self._pictures_name}: {sprite.note}") if is_nested(self.x) else sprite


def _pictures(x: Any) -> tuple[str, np.ndarray]:
    """The input that is shown: the first that is a picture, with its name."""
    inputs = leaves(x, "x")
    return next(((name, array) for name, array in inputs if not isinstance(form_of(array), str)), inputs[0])


def _masks(masks: Any) -> np.ndarray | float:
    """(samples, height, width) or one number.  Raises TypeError or ValueError."""
    if isinstance(masks, (int, float, np.number)) and not isinstance(masks, bool):
        return float(masks)
    array = samples_of("masks", masks)
    if array.ndim == 4 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim != 3 or array.dtype == object:
        raise ValueError(f"masks has the shape {array.shape}; pass (samples, height, width), or the background's value")
    if not (array.min() >= 0 and array.max() <= 1):
        raise ValueError(f"masks goes from {array.min()} to {array.max()}; pass True or 1 for the object, e.g. masks > 0")
    return array


def _refuse_other_length(name: str, length: int, found: Drawn) -> None:
    least = int(found.rows[-1]) + 1
    if length != found.source_size if found.whole else length < least:
        samples = f"{found.source_size}" if found.whole else f"at least {max(least, found.source_size)}"
        raise ValueError(f"{name} holds {length} samples and x {samples}; pass one per sample, in the same order")


def _refuse_other_size(masks: np.ndarray | float, name: str, pictures: np.ndarray) -> None:
    form = form_of(pictures)
    if isinstance(form, str):
        raise ValueError(f"masks are given, but {form}; pass the pictures to show as images")
    if isinstance(masks, np.ndarray) and masks.shape[1:] != tuple(form.size):
        raise ValueError(f"masks are of {masks.shape[1:]} pixels and {name} of {tuple(form.size)}; pass masks of that size")


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
