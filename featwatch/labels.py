"""Labels in the forms that users have them, as class numbers and names, or as the targets of a regression."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from featwatch.structures import is_nested, leaves, mapped

_LARGEST = np.iinfo(np.int32).max
_MOST_TARGETS = 64                  # columns that the record keeps
_CURE = "class numbers count from 0, and -1 means no label"


@dataclass(frozen=True)
class Labels:
    """What is known of samples beside their inputs."""

    y: Any                          # int32 class numbers, or what was given; in its structure for several outputs
    numbers: np.ndarray             # (samples,) int32 class numbers, −1 = none
    names: tuple[str, ...] = ()     # of the classes, where they are known
    targets: np.ndarray | None = None       # (samples, targets) float32, of a regression
    notes: tuple[str, ...] = ()

    def at(self, rows: np.ndarray) -> Labels:
        """The same of some of the samples."""
        numbers = self.numbers[rows]
        y = numbers if self.y is self.numbers else None if self.y is None else mapped(lambda array: array[rows], self.y)
        return replace(self, y=y, numbers=numbers, targets=None if self.targets is None else self.targets[rows])


def no_labels(samples: int, class_names: Any = None) -> Labels:
    """What is known where nothing is.  The names are those of the classes that the model predicts."""
    return Labels(None, np.full(samples, -1, np.int32), as_class_names(class_names))


def as_labels(y: Any, samples: int, class_names: Any = None) -> Labels:
    """The labels of `samples` samples.

    `y` may be class numbers, as (samples,) or (samples, 1), −1 = no label; one-hot rows; strings, which are
    numbered by `class_names` or, without it, in sorted order; or measurements, which are no labels but the
    targets of a regression: floats that are not whole, and rows that are not one-hot.  A dict or tuple of
    these holds one per output of a model of several.  Raises TypeError or ValueError that names the cure.
    """
    names = as_class_names(class_names)
    y = _outputs_apart(y, samples)
    if not is_nested(y):
        return _of_one_output("y", y, samples, names)
    found = {}
    for name, leaf in leaves(y, "y"):
        array = _of_samples(name, leaf, samples)
        found[name] = (_of_one_output(name, array, samples, names if is_class_like(array) else ()), is_class_like(array))
    kept = iter([labels.y for labels, _ in found.values()])
    y = mapped(lambda _: next(kept), y)
    classes = [name for name, (_, class_like) in found.items() if class_like]
    targets = [labels.targets for labels, _ in found.values() if labels.targets is not None]
    columns = np.concatenate(targets, axis=1) if targets else None
    if len(classes) == 1:
        chosen = found[classes[0]][0]
        return Labels(y, chosen.numbers, chosen.names, columns, (f"the labels are {classes[0]}", *chosen.notes))
    told = "several of which could be class labels: " + ", ".join(classes) if classes else "none of which are class labels"
    note = f"y holds {len(found)} outputs, {told}; so the samples have no labels, pass the one to use as y"
    return Labels(y, np.full(samples, -1, np.int32), names, columns, (note,))


def is_class_like(y: np.ndarray) -> bool:
    """Whether `y`, (samples, …), holds classes: whole numbers, strings or one-hot rows, one per sample."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.dtype.kind in "OSU":
        return y.ndim == 1
    if y.ndim == 2:
        return y.shape[1] > 1 and _is_one_hot(y)
    if y.ndim != 1 or y.dtype.kind in "biu":
        return y.ndim == 1
    with np.errstate(invalid="ignore"):
        finite = y[np.isfinite(y)]
    # Whole, but not class numbers: negative ones, and more classes than there are samples.
    return bool((finite == np.floor(finite)).all() and (finite >= -1).all() and finite.max(initial=0) < max(len(y), 1000))


def as_class_names(class_names: Any) -> tuple[str, ...]:
    """The names as strings, in the order of the class numbers.  Raises TypeError."""
    if class_names is None:
        return ()
    if isinstance(class_names, (str, bytes, dict, set, frozenset)):
        kind = type(class_names).__name__
        raise TypeError(f"class_names is a {kind}; pass a list of names in the order of the class numbers")
    try:
        return tuple(str(name) for name in class_names)
    except TypeError:
        raise TypeError(f"class_names={class_names!r}: pass a list of names in the order of the class numbers") from None


def _outputs_apart(y: Any, samples: int) -> Any:
    """`y` with a list of one array per output as a tuple; a list of one label per sample stays."""
    arrays = isinstance(y, list) and y and all(hasattr(part, "__array__") and getattr(part, "ndim", 0) for part in y)
    return tuple(y) if arrays and len(y) != samples and all(len(part) == samples for part in y) else y


def _of_one_output(name: str, y: Any, samples: int, names: tuple[str, ...]) -> Labels:
    array = _of_samples(name, y, samples)
    if array.ndim == 2 and array.shape[1] == 1 and array.dtype.kind in "OSU":
        array = array[:, 0]
    if array.dtype.kind in "OSU":
        numbers, names = _from_strings(name, array, names)
    elif is_class_like(array):
        numbers = _as_integers(name, array.argmax(axis=1) if array.ndim == 2 and array.shape[1] > 1 else array.reshape(-1))
    else:
        return _of_regression(name, array, names)
    if names and numbers.max() >= len(names):
        raise ValueError(f"class_names holds {len(names)} names, but {name} goes up to {numbers.max()}; name all of its classes")
    return Labels(numbers, numbers, names)


def _of_regression(name: str, array: np.ndarray, names: tuple[str, ...]) -> Labels:
    if array.dtype.kind == "f" or array.dtype.name == "bfloat16":
        odd = np.argwhere(~np.isfinite(array))
        if len(odd):
            raise ValueError(f"{name}{odd[0].tolist()} is {array[tuple(odd[0])]}; leave such samples out of x and y")
    without = np.full(len(array), -1, np.int32)
    columns = array.reshape(len(array), -1)
    if array.ndim > 2 or columns.shape[1] > _MOST_TARGETS:
        note = f"{name} has the shape {array.shape}: no class labels; it is kept in probe.y and not recorded"
        return Labels(array, without, names, None, (note,))
    note = f"{name} is taken as targets of a regression, not as class labels"
    if columns.shape[1] > 1 and columns.min() >= 0 and columns.max() <= 1:
        several = "several classes per sample" if ((columns == 0) | (columns == 1)).all() else "probabilities"
        note = f"{name} holds {several}, so the samples have no single label; for the largest pass {name}.argmax(axis=1)"
    return Labels(array, without, names, columns.astype(np.float32), (note,))


def _of_samples(name: str, y: Any, samples: int) -> np.ndarray:
    array = as_label_array(name, y)
    if array.ndim == 0 or len(array) != samples:
        found = "a single value" if array.ndim == 0 else f"{len(array)} labels"
        raise ValueError(f"{name} holds {found} and x {samples} samples; pass one label per sample")
    return array


def as_label_array(name: str, y: Any) -> np.ndarray:
    """`y` as an array of numbers or strings.  Raises TypeError or ValueError that names the cure."""
    if not isinstance(y, list) and not hasattr(y, "__array__"):
        raise TypeError(f"{name} is a {type(y).__name__}; pass an array with one label per sample")
    try:
        array = np.asarray(y)
    except ValueError as error:
        raise ValueError(f"{name} cannot become an array ({error}); pass one label per sample") from None
    if array.dtype.kind == "T":
        array = array.astype(object)
    if array.dtype.kind == "O" and all(isinstance(value, (int, np.integer)) for value in array.flat):
        odd = [index for index, value in enumerate(array.flat) if not -1 <= value <= _LARGEST]     # pandas' integers
        if odd:
            raise ValueError(f"{name}[{odd[0]}] is {array.flat[odd[0]]}; {_CURE}")
        return array.astype(np.int64)
    if array.dtype.kind not in "biufOSU" and array.dtype.name != "bfloat16":
        raise TypeError(f"{name} has the dtype {array.dtype}; pass class numbers, strings or measurements")
    return array


def _from_strings(name: str, array: np.ndarray, names: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
    if array.ndim != 1:
        raise ValueError(f"{name} is of strings and has the shape {array.shape}; pass one string per sample")
    texts = [_text(name, value, index) for index, value in enumerate(array.tolist())]
    if not names:
        names = tuple(sorted(set(texts)))
    elif len(set(names)) < len(names):
        raise ValueError("class_names holds a name twice, so that labels given as strings are ambiguous; make them differ")
    numbers = {text: number for number, text in enumerate(names)}
    for index, text in enumerate(texts):
        if text not in numbers:
            raise ValueError(f"{name}[{index}] is {text!r}, which is not among class_names {list(names)}")
    return np.array([numbers[text] for text in texts], np.int32), names


def _text(name: str, value: Any, index: int) -> str:
    if isinstance(value, bytes):            # what TensorFlow's string tensors hold
        return value.decode("utf-8", "replace")
    if isinstance(value, str):
        return value
    raise TypeError(f"{name}[{index}] is {value!r}; labels are all strings or all numbers (-1 for no label)")


def _is_one_hot(rows: np.ndarray) -> bool:
    return bool(((rows == 0) | (rows == 1)).all() and (rows.sum(axis=1) == 1).all())


def _as_integers(name: str, array: np.ndarray) -> np.ndarray:
    odd = np.flatnonzero(~((array >= -1) & (array <= _LARGEST)))       # NaN too
    if odd.size:
        raise ValueError(f"{name}[{odd[0]}] is {array[odd[0]]}; {_CURE}")
    return array.astype(np.int32)
