"""The errors that are meant for the user, and the way in which everything else is told without ending a `fit`."""

from __future__ import annotations

import sys
import warnings


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


def first_line(error: BaseException) -> str:
    """What an exception says, in its first line; its name where it says nothing."""
    return (str(error) or type(error).__name__).splitlines()[0]


def in_words(error: BaseException) -> str:
    """An exception as one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
