"""The errors that are meant for the user, and the way in which everything else is told without ending a `fit`."""

from __future__ import annotations

import contextlib
import random
import sys
import warnings
from collections.abc import Iterator

import numpy as np


class FeatwatchWarning(UserWarning):
    """Something that featwatch could not do.  Training goes on."""


class RefusedValue(ValueError):
    """A mistake of the user's, found at the start of `fit`: the argument, the value, and the cure."""


class RefusedType(TypeError):
    """The same for something of the wrong type."""


def notify(text: str) -> None:
    """Warn the user, without raising even where warnings are turned into errors."""
    try:
        warnings.warn(f"featwatch: {text}", FeatwatchWarning, stacklevel=3)
    except Warning:
        print(f"featwatch: {text}", file=sys.stderr)


def in_words(error: BaseException) -> str:
    """An exception as one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__


@contextlib.contextmanager
def global_rng_untouched() -> Iterator[None]:
    """Put Python's and NumPy's global generators back as they were: training must not see that it was watched."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
