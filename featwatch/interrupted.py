"""Recordings that an exception or Ctrl-C left open when it ended a `fit`: nobody tells a callback of that."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from featwatch.recording import Recording


@dataclass(frozen=True, eq=False)
class _Open:
    """A recording that a `fit` of this process opened and has not finished."""

    thread: int
    watch: weakref.ref[Any]
    recording: Recording
    abandon: str                        # name of the watch's method that lets go of it


_open: dict[str, _Open] = {}            # by run directory


def opened(directory: str, watch: Any, recording: Recording, abandon: Callable[[str], None]) -> None:
    """Note that a watch records into a directory; `abandon`, a method of it, lets go of that, given the reason."""
    _open[directory] = _Open(threading.get_ident(), weakref.ref(watch), recording, abandon.__name__)


def closed(directory: str, recording: Recording) -> None:
    """Note that a recording is over."""
    held = _open.get(directory)
    if held is not None and held.recording is recording:
        del _open[directory]


def release(directory: str, reason: str) -> None:
    """Let go of what earlier fits of this thread left open.

    That is a recording into the same directory, and any whose watch nobody holds any more.
    """
    for place, held in list(_open.items()):
        if held.thread != threading.get_ident():
            continue
        watch = held.watch()
        if watch is None:
            del _open[place]
            held.recording.abandon(0, reason)
        elif place == directory:
            getattr(watch, held.abandon)(reason)
