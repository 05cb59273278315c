"""Class labels in the forms that users have them, as class numbers and names."""

from __future__ import annotations

from typing import Any

import numpy as np

_LARGEST = np.iinfo(np.int32).max


def as_labels(y: Any, samples: int, class_names: Any = None) -> tuple[np.ndarray, tuple[str, ...]]:
    """(samples,) int32 class numbers, −1 = no label, and the classes' names (empty where none are known).

    `y` may be class numbers, as (samples,) or (samples, 1); one-hot rows; or strings, which are numbered by
    `class_names` or, without it, in sorted order.  Raises TypeError or ValueError that names the cure.
    """
    names = as_class_names(class_names)
    array = _as_array(y)
    if array.ndim == 0 or len(array) != samples:
        found = "a single value" if array.ndim == 0 else f"{len(array)} labels"
        raise ValueError(f"y holds {found} and x {samples} samples; pass one label per sample")
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.dtype.kind in "OSU":
        return _from_strings(array, names)
    if array.ndim == 2:
        array = _from_one_hot(array)
    if array.ndim != 1:
        raise ValueError(f"y has the shape {array.shape}; expected (samples,), (samples, 1) or one-hot (samples, classes)")
    labels = _as_integers(array)
    if names and labels.max() >= len(names):
        raise ValueError(f"class_names holds {len(names)} names, but y goes up to {labels.max()}; name all of its classes")
    return labels.astype(np.int32), names


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


def _as_array(y: Any) -> np.ndarray:
    if not isinstance(y, list) and not hasattr(y, "__array__"):
        raise TypeError(f"y is a {type(y).__name__}, which is not supported yet: pass an array with one label per sample")
    try:
        array = np.asarray(y)
    except ValueError as error:
        raise ValueError(f"y cannot become an array ({error}); pass one label per sample") from None
    if array.dtype.kind == "O" and all(isinstance(value, (int, np.integer)) for value in array.flat):
        return array.astype(np.float64)             # pandas' integers; of what float64 rounds, all is out of range
    if array.dtype.kind not in "biufOSU":
        raise TypeError(f"y has the dtype {array.dtype}; pass class numbers or strings")
    return array


def _from_strings(array: np.ndarray, names: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
    if array.ndim != 1:
        raise ValueError(f"y is of strings and has the shape {array.shape}; pass one string per sample")
    texts = [_text(value, index) for index, value in enumerate(array.tolist())]
    if not names:
        names = tuple(sorted(set(texts)))
    elif len(set(names)) < len(names):
        raise ValueError("class_names holds a name twice, so that labels given as strings are ambiguous; make them differ")
    numbers = {name: number for number, name in enumerate(names)}
    for index, text in enumerate(texts):
        if text not in numbers:
            raise ValueError(f"y[{index}] is {text!r}, which is not among class_names {list(names)}")
    return np.array([numbers[text] for text in texts], np.int32), names


def _text(value: Any, index: int) -> str:
    if isinstance(value, bytes):            # what TensorFlow's string tensors hold
        return value.decode("utf-8", "replace")
    if isinstance(value, str):
        return value
    raise TypeError(f"y[{index}] is {value!r}; labels are all strings or all numbers (-1 for no label)")


def _from_one_hot(array: np.ndarray) -> np.ndarray:
    if not (((array == 0) | (array == 1)).all() and (array.sum(axis=1) == 1).all()):
        raise ValueError(
            f"y has the shape {array.shape} but its rows are not one-hot (a single 1 each); "
            "pass class numbers, e.g. y.argmax(axis=1) of soft labels"
        )
    return array.argmax(axis=1)


def _as_integers(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind == "f":
        odd = np.flatnonzero(array != np.floor(array))     # NaN differs from itself; infinity is caught below
        if odd.size:
            raise ValueError(f"y[{odd[0]}] is {array[odd[0]]}; labels are class numbers (-1 for no label), not measurements")
    odd = np.flatnonzero((array < -1) | (array > _LARGEST))
    if odd.size:
        raise ValueError(f"y[{odd[0]}] is {array[odd[0]]}; class numbers count from 0, and -1 means no label")
    return array.astype(np.int64)
