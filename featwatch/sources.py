"""Where a probe's samples come from: whatever a user has, as arrays with one axis of samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from featwatch.structures import filled, is_nested, leaves

_CHECKED_AT_ONCE = 1 << 24          # values: bounds the memory that looking for NaN takes


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
        raise TypeError(f"{name} is a {kind}, which is not supported yet: pass arrays, samples first, e.g. NumPy's")
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name} cannot become an array ({error}); its samples must have one shape") from None
    if array.dtype.kind == "T" or (array.dtype.kind in "OSU" and all(isinstance(value, (str, bytes)) for value in array.flat)):
        array, scalars = array.astype(object), True      # bytes stay bytes: they need not be text
    elif array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
        raise TypeError(f"{name} has the dtype {array.dtype}; convert it to numbers first, e.g. {name}.astype('float32')")
    if array.ndim < (1 if scalars else 2):
        cure = f"for one number per sample pass {name}.reshape(-1, 1), for a single sample {name}[None]"
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
        raise ValueError(
            f"{name} holds {count:,} {'value' if count == 1 else 'values'} that {'is' if count == 1 else 'are'} NaN or "
            f"infinite, the first at {list(first)}; leave such samples out, e.g. keep = {finite}, then {name}[keep] and y[keep]"
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
