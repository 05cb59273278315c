"""`featwatch doctor`: what is installed, what works, and why the tab may be empty."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TextIO

from featwatch.doctor.checks import BROKEN, NOTABLE, Check, broken, show
from featwatch.errors import in_words

__all__ = ["Check", "doctor", "show"]


def doctor(log_dir: str | None = None, to: TextIO | None = None) -> int:
    """Print the report, on a log directory too where one is given; returns the exit status: 1 where something is broken."""
    chapters: list[tuple[str, Callable[[], Iterable[Check]]]] = [
        ("Installed", _installed),
        ("TensorFlow and Keras", _framework),
        ("Analysis", _analysis),
        ("TensorBoard", _tab),
    ]
    if log_dir is not None:
        chapters.append((f"Logs in {log_dir}", lambda: _logs(log_dir)))
    marks = set().union(*(show(title, guarded(chapter), to) for title, chapter in chapters))
    if BROKEN in marks:
        summary = "Something is broken; what to do stands above."
    elif NOTABLE in marks:
        summary = "Nothing is broken."
    else:
        summary = "All is well."
    more = "  `featwatch doctor LOGDIR` also looks at what was recorded." if log_dir is None else ""
    print(f"\n{summary}{more}", file=to)
    return 1 if BROKEN in marks else 0


def guarded(chapter: Callable[[], Iterable[Check]]) -> Iterator[Check]:
    """The chapter's checks; a failure of the look itself is one more of them."""
    try:
        yield from chapter()
    except Exception as error:
        yield broken(f"this could not be looked at any further ({in_words(error)})", "pip install --force-reinstall featwatch")


# Each is imported when its turn comes: one that cannot be is reported, and the others still speak.


def _installed() -> Iterable[Check]:
    from featwatch.doctor.installation import installation

    return installation()


def _framework() -> Iterable[Check]:
    from featwatch.doctor.machine import framework

    return framework()


def _analysis() -> Iterable[Check]:
    from featwatch.doctor.machine import worker

    return worker()


def _tab() -> Iterable[Check]:
    from featwatch.doctor.tab import tab

    return tab()


def _logs(log_dir: str) -> Iterable[Check]:
    from featwatch.doctor.logs import logs

    return logs(log_dir)
