"""Sources that are read in sequence: data sets, generators, `keras.utils.PyDataset`, as batches of arrays."""

from __future__ import annotations

import contextlib
import inspect
import random
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from featwatch.structures import filled, is_nested, leaves
from featwatch.tfdata import is_dataset, private_copy


@dataclass(frozen=True)
class Batch:
    """Some samples of a stream: structures of arrays with one axis of samples."""

    number: int
    x: Any
    y: Any                              # None: no labels
    rows: np.ndarray                    # (samples,) int64: their places in the source

    def __len__(self) -> int:
        return len(self.rows)


class Stream:
    """A source of batches, read at most once and at most until `limit` samples were seen.

    Arguments:
        x: a `tf.data.Dataset`, an iterator or iterable of batches, or what gives batches by number.
        in_order: whether a data set's own order is asked for, since something belongs to its samples by it.

    Raises:
        TypeError: nothing that gives batches.
    """

    def __init__(self, x: Any, *, limit: int, seed: int, in_order: bool) -> None:
        self.limit = limit
        self.notes: tuple[str, ...] = ()
        self.exhausted = False          # whether the source ended before the limit
        self._each = 0                  # samples in the first batch
        self._spread = False            # whether batches are left out in between
        self._numbered: Iterator[tuple[int, Any]]
        if is_dataset(x):
            copy = private_copy(x, limit=limit, seed=seed, in_order=in_order)
            self.notes, self._numbered, self._what = copy.notes, enumerate(copy.batches()), "data set"
        elif hasattr(x, "__getitem__") and hasattr(x, "__len__"):
            self._numbered, self._what = self._asked_for(x), type(x).__name__
        else:
            self._numbered, self._what = enumerate(iter(x)), "generator" if inspect.isgenerator(x) else type(x).__name__

    def __iter__(self) -> Iterator[Batch]:
        seen, first = 0, None
        while seen < self.limit:
            number, element = next(self._numbered, (-1, None))
            if number < 0:
                self.exhausted = True
                break
            x, y = _split(element, number)
            x, y, count = _arrays(x, y, number)
            if not count:
                continue
            first = first or _outline(x, y)
            _refuse_change(_outline(x, y), first, number)
            self._each = self._each or count
            start = number * self._each if self._spread else seen
            yield Batch(number, x, y, np.arange(start, start + count, dtype=np.int64))
            seen += count
        if not seen:
            raise ValueError(f"x is a {self._what} that gives no samples; pass one that does (a generator can be read only once)")
        if not self.exhausted:
            self.notes += (f"x is a {self._what}; its first {seen:,} samples were looked at, there may be more",)

    def _asked_for(self, x: Any) -> Iterator[tuple[int, Any]]:
        """Batches by their numbers, each once and in order; evenly spread where all would be more than the limit."""
        try:
            count = len(x)
        except (TypeError, NotImplementedError, ValueError):      # an infinite keras.utils.PyDataset
            count = sys.maxsize
        if not count:
            return
        yield 0, x[0]
        wanted = -(-self.limit // max(self._each, 1))
        if count == sys.maxsize or count <= wanted:
            yield from ((number, x[number]) for number in range(1, count))
            return
        self._spread = True
        self.notes += (f"x is a {self._what} of {count:,} batches, of which {wanted:,}, evenly spread, were looked at",)
        yield from ((number, x[number]) for number in np.unique(np.linspace(0, count - 1, wanted).astype(int))[1:].tolist())


def is_stream(x: Any) -> bool:
    """Whether `x` gives batches rather than being an array.  Raises TypeError for functions that would return one."""
    if isinstance(x, (str, bytes, list)) or is_nested(x) or x is None or hasattr(x, "__array__"):
        return False
    if hasattr(x, "toarray") or type(x).__name__ in ("RaggedTensor", "SparseTensor"):       # SciPy's and TensorFlow's own
        raise TypeError(f"x is a {type(x).__name__}; make it dense first, e.g. x.toarray() or x.to_tensor()")
    if is_dataset(x) or isinstance(x, Iterable) or (hasattr(x, "__getitem__") and hasattr(x, "__len__")):
        return True
    if callable(x):
        name = getattr(x, "__name__", type(x).__name__)
        raise TypeError(f"x is the function {name!r}; call it and pass the generator that it returns: {name}()")
    return False


@contextlib.contextmanager
def untouched_random_state() -> Iterator[None]:
    """Python's, NumPy's and TensorFlow's global generators are afterwards where they were: reading may draw from them."""
    python, numpy = random.getstate(), np.random.get_state()
    context = getattr(sys.modules.get("tensorflow.python.eager.context"), "context", None)
    seeds = getattr(context(), "_rng", None) if context else None       # gives TensorFlow's operations their seeds
    if seeds:
        drawn = seeds.getstate()
        # Others than training's: an operation's kernel is kept by its seed, and its own state cannot be put back.
        seeds.seed("featwatch")
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        if seeds:
            seeds.setstate(drawn)


def _split(element: Any, number: int) -> tuple[Any, Any]:
    """(x, y) of (x, y), (x, y, weights), (x,) or x, as Keras takes them; y is None where there is none."""
    if isinstance(element, list):
        element = tuple(element)
    if not isinstance(element, tuple) or hasattr(element, "_fields"):
        return element, None
    if not 1 <= len(element) <= 3:
        raise ValueError(f"batch {number} of x is a tuple of {len(element)}; expected (x, y), (x, y, sample_weight) or x")
    return element[0], element[1] if len(element) > 1 else None


def _arrays(x: Any, y: Any, number: int) -> tuple[Any, Any, int]:
    """Both as structures of arrays, and how many samples they hold.  Raises TypeError or ValueError."""
    x, y = (_listless(part) for part in (x, y))
    named = leaves(x, "x") + ([] if y is None else leaves(y, "y"))
    arrays = []
    for name, leaf in named:
        try:
            array = np.asarray(leaf)
        except ValueError as error:
            raise ValueError(f"batch {number}: {name} cannot become an array ({error})") from None
        if array.ndim == 0:
            raise ValueError(
                f"batch {number}: {name} is {leaf!r}, without an axis of samples; x has to give batches "
                "(for single samples of tf.data, say dataset.batch(64))"
            )
        arrays.append(array)
    for (name, _), array in zip(named, arrays, strict=True):
        if len(array) != len(arrays[0]):
            raise ValueError(f"batch {number}: {name} holds {len(array)} samples and {named[0][0]} {len(arrays[0])}")
    count = len(leaves(x))
    return filled(x, arrays[:count]), None if y is None else filled(y, arrays[count:]), len(arrays[0])


def _listless(part: Any) -> Any:
    """The part with lists of arrays as tuples: several inputs or outputs; a list of numbers is an array."""
    if isinstance(part, Mapping):
        return {key: _listless(value) for key, value in part.items()}
    if isinstance(part, list) and part and all(hasattr(value, "__array__") and getattr(value, "ndim", 0) for value in part):
        return tuple(part)
    return part


def _outline(x: Any, y: Any) -> list[tuple[str, tuple[int, ...], str]]:
    named = leaves(x, "x") + ([] if y is None else leaves(y, "y"))
    return [(name, array.shape[1:], array.dtype.kind) for name, array in named]


def _refuse_change(outline: list[Any], first: list[Any], number: int) -> None:
    if [name for name, _, _ in outline] != [name for name, _, _ in first]:
        now, then = (", ".join(name for name, _, _ in one) for one in (outline, first))
        raise ValueError(f"batch {number} of x gives {now} and the first batch {then}; every batch has to give the same")
    for (name, shape, kind), (_, then_shape, then_kind) in zip(outline, first, strict=True):
        if shape != then_shape:
            raise ValueError(
                f"batch {number}: {name} has samples of the shape {shape} and in the first batch {then_shape}; "
                "resize or pad them to one"
            )
        if kind != then_kind and "O" in (kind, then_kind):
            raise ValueError(f"batch {number}: {name} changes between text and numbers")
