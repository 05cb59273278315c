"""Where a probe's samples come from: whatever a user has, drawn from, as arrays with one axis of samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from featwatch.drawing import Reservoir, drawn
from featwatch.labels import Labels, as_label_array, as_labels, is_class_like, no_labels
from featwatch.streams import Batch, Stream, is_stream, untouched_random_state
from featwatch.structures import filled, is_nested, leaves, mapped

_CHECKED_AT_ONCE = 1 << 24          # values: bounds the memory that looking for NaN takes
_LOOKED_AT = 10                     # times the size: samples of a stream that are read at most
_LOOKED_AT_LEAST = 1000
_SMALL = 1024                       # values per sample: labels of which all are kept until the draw


@dataclass(frozen=True)
class Drawn:
    """The samples that were drawn from a source."""

    x: Any                              # a structure of arrays, (samples, …)
    labels: Labels
    rows: np.ndarray                    # (samples,) int64, ascending: their places in the source
    source_size: int                    # samples that were drawn from
    whole: bool                         # whether these were all samples of the source
    notes: tuple[str, ...] = ()         # how they were read, in sentences


def drawn_from(x: Any, y: Any, class_names: Any, *, size: int, seed: int, in_order: bool) -> Drawn:
    """At most `size` samples of `x`, stratified by class where there are labels.

    Arguments:
        in_order: whether anything belongs to the samples by their order in the source.

    Raises:
        TypeError, ValueError: what is no source of samples, or does not fit together.
    """
    if is_stream(x):
        with untouched_random_state():          # all the while: data sets may read ahead in threads of their own
            return _from_stream(x, y, class_names, size=size, seed=seed, in_order=in_order)
    arrays = input_arrays(x, y)
    samples = len(leaves(arrays)[0][1])
    labels = no_labels(samples, class_names) if y is None else as_labels(y, samples, class_names)
    rows = drawn(labels.numbers, size, seed)
    x = mapped(lambda array: array[rows].astype(array.dtype.newbyteorder("="), copy=False), arrays)
    return Drawn(x, labels.at(rows), rows, samples, True, labels.notes)


def _from_stream(x: Any, y: Any, class_names: Any, *, size: int, seed: int, in_order: bool) -> Drawn:
    stream = Stream(x, limit=max(_LOOKED_AT * size, _LOOKED_AT_LEAST), seed=seed, in_order=in_order or y is not None)
    beside = None if y is None else _Beside(y)
    reservoir = Reservoir(size, seed)
    rows_seen: list[np.ndarray] = []
    outputs_seen: list[list[np.ndarray]] = []
    x_like = y_like = None
    large = False
    for batch in stream:
        labels = batch.y if beside is None else beside.of(batch)
        several = is_nested(batch.x)
        arrays = [_checked(f"batch {batch.number} of x: {name}", array, several) for name, array in leaves(batch.x, "x")]
        outputs = [] if labels is None else [array for _, array in leaves(labels)]
        if x_like is None:
            x_like, y_like = batch.x, labels
            large = any(array.size > _SMALL * len(array) for array in outputs)
        reservoir.add(_strata(outputs, len(batch)), arrays + outputs if large else arrays)
        rows_seen.append(batch.rows)
        if not large:
            outputs_seen.append(outputs)
    if beside is not None and stream.exhausted:
        beside.refuse_rest()
    places, parts = reservoir.result()
    rows = np.concatenate(rows_seen)[places]
    inputs = len(leaves(x_like))
    if y_like is None:
        known = no_labels(len(rows), class_names)
    elif large:
        known = as_labels(filled(y_like, parts[inputs:]), len(rows), class_names)
    else:                               # all labels that were seen: what the classes are does not depend on the draw
        every = [np.concatenate(arrays) for arrays in zip(*outputs_seen, strict=True)]
        known = as_labels(filled(y_like, every), reservoir.seen, class_names).at(places)
    x = filled(x_like, parts[:inputs])
    return Drawn(x, known, rows, reservoir.seen, stream.exhausted, (*stream.notes, *known.notes))


class _Beside:
    """Labels that were given beside a stream: one per sample, in the stream's order."""

    def __init__(self, y: Any) -> None:
        self._y = filled(y, [as_label_array(name, leaf) for name, leaf in leaves(y, "y")])
        self._count = min((len(array) if array.ndim else 0 for _, array in leaves(self._y)), default=0)
        self._asked = 0

    def of(self, batch: Batch) -> Any:
        if batch.y is not None:
            raise ValueError("x gives labels and y is given too; leave y out, or take them out of x: dataset.map(lambda x, y: x)")
        self._asked = max(self._asked, int(batch.rows[-1]) + 1)
        if self._asked > self._count:
            raise ValueError(f"y holds {self._count} labels and x at least {self._asked} samples; pass one label per sample")
        return mapped(lambda array: array[batch.rows], self._y)

    def refuse_rest(self) -> None:
        if self._asked < self._count:
            raise ValueError(f"y holds {self._count} labels and x {self._asked} samples; pass one label per sample")


def _checked(name: str, array: np.ndarray, several: bool) -> np.ndarray:
    array = samples_of(name, array, scalars=several)
    refuse_non_finite(name, array)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _strata(outputs: list[np.ndarray], samples: int) -> list[Any]:
    """A label of each sample, to draw by: of the first output that holds classes."""
    for array in outputs:
        if is_class_like(array):
            classes = array.argmax(axis=1) if array.ndim == 2 and array.shape[1] > 1 else array.reshape(-1)
            return classes.tolist()
    return [0] * samples


def input_arrays(x: Any, y: Any = None) -> Any:
    """`x` as one array, (samples, …), or as a structure of them for a model of several inputs.

    Raises TypeError for what is not arrays of numbers or strings, ValueError for what does not fit together,
    is ambiguous, or is not finite.
    """
    x = _told_apart(x, y)
    several = is_nested(x)
    named = leaves(x, "x")
    if not named:
        raise ValueError(f"x={x!r} is empty; pass at least one input")
    arrays = [samples_of(name, leaf, scalars=several) for name, leaf in named]
    first = named[0][0]
    for (name, _), array in zip(named, arrays, strict=True):
        if len(array) != len(arrays[0]):
            raise ValueError(
                f"{name} holds {len(array)} samples and {first} {len(arrays[0])}; "
                "several inputs need the same samples in the same order"
            )
        refuse_non_finite(name, array)
    return filled(x, arrays)


def samples_of(name: str, values: Any, *, scalars: bool = False) -> np.ndarray:
    """`values` as an array with at least one sample, or an error that says what would be right.

    Arguments:
        scalars: whether one value per sample, (samples,), is all right.
    """
    if not isinstance(values, list) and not hasattr(values, "__array__"):
        kind = type(values).__name__
        raise TypeError(f"{name} is a {kind}; pass an array, samples first, e.g. NumPy's")
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name} cannot become an array ({error}); its samples must have one shape") from None
    if array.dtype.kind == "T" or (array.dtype.kind in "OSU" and all(isinstance(value, (str, bytes)) for value in array.flat)):
        array, scalars = array.astype(object), True      # bytes stay bytes: they need not be text
    elif array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
        raise TypeError(f"{name} has the dtype {array.dtype}; convert it to numbers first, e.g. {name}.astype('float32')")
    if array.ndim < (1 if scalars else 2):
        variable = name.rpartition(" ")[2]
        cure = f"for one number per sample pass {variable}.reshape(-1, 1), for a single sample {variable}[None]"
        raise ValueError(f"{name} has the shape {array.shape}; samples come first, then their axes: {cure}")
    if array.size == 0:
        raise ValueError(f"{name} is empty, its shape is {array.shape}; pass at least one sample")
    return array


def refuse_non_finite(name: str, array: np.ndarray) -> None:
    """Raises ValueError with count, place and cure where numbers are NaN or infinite."""
    if array.dtype.kind in "biuO":
        return
    count, first = 0, None
    rows = max(1, _CHECKED_AT_ONCE * len(array) // array.size)
    for start in range(0, len(array), rows):
        bad = ~np.isfinite(array[start : start + rows])
        here = int(np.count_nonzero(bad))
        if here and first is None:
            row, *rest = (int(i) for i in np.unravel_index(int(bad.argmax()), bad.shape))
            first = (start + row, *rest)
        count += here
    if first is not None:
        axes = tuple(range(1, array.ndim))
        finite = f"np.isfinite({name})" + (f".all(axis={axes})" if axes else "")
        cure = f"e.g. keep = {finite}, then {name}[keep] and y[keep]" if " " not in name else "or put numbers in their place"
        raise ValueError(
            f"{name} holds {count:,} {'value' if count == 1 else 'values'} that {'is' if count == 1 else 'are'} NaN or "
            f"infinite, the first at {list(first)}; leave such samples out, {cure}"
        )


def _told_apart(x: Any, y: Any) -> Any:
    """`x` in which every list is one array: lists that are several inputs have become tuples.

    Raises ValueError where a list of arrays could be either.
    """
    if isinstance(x, Mapping):
        return {key: _told_apart(part, y) for key, part in x.items()}
    if isinstance(x, tuple) and not hasattr(x, "_fields"):
        return tuple(_told_apart(part, y) for part in x)
    if not isinstance(x, list) or not x:
        return x
    if all(is_nested(part) and any(hasattr(leaf, "__array__") for _, leaf in leaves(part)) for part in x):
        return tuple(_told_apart(part, y) for part in x)
    if not all(hasattr(part, "__array__") and getattr(part, "ndim", 0) for part in x):
        return x                                # numbers in lists
    if len({tuple(part.shape) for part in x}) > 1:         # no single array can be made of these
        return tuple(x) if len({len(part) for part in x}) == 1 else x
    labels = len(y) if hasattr(y, "__len__") and not is_nested(y) else None
    as_one, as_several = labels == len(x), labels == len(x[0])
    if as_one != as_several:
        return x if as_one else tuple(x)
    raise ValueError(
        f"x is a list of {len(x)} arrays of the shape {tuple(x[0].shape)}: samples, or the inputs of a model of several? "
        "Pass np.stack(x) for samples, tuple(x) for inputs"
    )
