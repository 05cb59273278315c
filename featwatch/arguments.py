"""What `Watch` is given, checked: the argument, the value, and the cure."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from typing import Any

from featwatch.layers import check_choice
from featwatch.recorders.base import Recorder
from featwatch.writers import run_directory


def checked_recorders(recorders: Any) -> list[Recorder]:
    """The recorders as a list.  Raises TypeError or ValueError."""
    if isinstance(recorders, (Recorder, str)) or not isinstance(recorders, Sequence):
        raise TypeError(f"recorders={recorders!r}: expected a list, e.g. [featwatch.FilterHealth(), featwatch.Separation()]")
    for recorder in recorders:
        if isinstance(recorder, type) and issubclass(recorder, Recorder):
            raise TypeError(f"recorders: {recorder.__name__} is a class; make a recorder of it, featwatch.{recorder.__name__}()")
        if not isinstance(recorder, Recorder):
            raise TypeError(f"recorders: {recorder!r} is none; make one of featwatch's, e.g. featwatch.FilterHealth()")
        check_choice(recorder.layers)
    if not recorders:
        raise ValueError("recorders=[] records nothing; leave it out for the default ones")
    return list(recorders)


def checked_output(output: Any) -> int | str | None:
    """The `output` argument, before any model is known.  Raises TypeError."""
    if output is not None and (isinstance(output, bool) or not isinstance(output, (int, str))):
        raise TypeError(f"output={output!r}: expected the name or the index of an output of the model")
    return output


def writable(log_dir: Any) -> str:
    """`log_dir` as an absolute path, after a file could be made below it.  Raises TypeError or ValueError.

    Remote file systems (`gs://…`) are taken at their word.
    """
    if not isinstance(log_dir, (str, os.PathLike)):
        raise TypeError(f"log_dir={log_dir!r}: expected a path, e.g. 'logs/run-1'")
    path = os.fspath(log_dir)
    if not isinstance(path, str) or not path:
        raise ValueError(f"log_dir={log_dir!r}: expected a path, e.g. 'logs/run-1'")
    if "://" in path:
        return path
    try:
        os.makedirs(run_directory(path), exist_ok=True)
        with tempfile.TemporaryFile(dir=run_directory(path)):
            pass
    except OSError as error:
        raise ValueError(f"log_dir={path!r} cannot be written ({error.strerror or error}); choose a directory that can") from None
    return os.path.abspath(path)
