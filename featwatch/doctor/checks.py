"""What a look at something gave: fine, worth knowing, or broken, with the cure."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TextIO

FINE, NOTABLE, BROKEN = "✓", "!", "✗"
_PLAIN = {FINE: "ok", NOTABLE: "!", BROKEN: "XX"}      # for terminals that know ASCII alone


@dataclass(frozen=True)
class Check:
    """One line of the doctor's report."""

    mark: str                   # FINE, NOTABLE or BROKEN
    text: str
    cure: str = ""              # what to do, where something is to be done


def fine(text: str) -> Check:
    return Check(FINE, text)


def notable(text: str, cure: str = "") -> Check:
    return Check(NOTABLE, text, cure)


def broken(text: str, cure: str) -> Check:
    return Check(BROKEN, text, cure)


def show(title: str, checks: Iterable[Check], to: TextIO | None = None) -> set[str]:
    """Print a chapter of the report as its checks are made; returns the marks in it."""
    to = to or sys.stdout
    _print(f"\n{title}", to)
    marks = set()
    for check in checks:
        marks.add(check.mark)
        _print(f"  {check.mark} {_one_line(check.text)}", to)
        if check.cure:
            _print(f"      → {_one_line(check.cure)}", to)
    return marks


def _print(line: str, to: TextIO) -> None:
    encoding = getattr(to, "encoding", None) or "utf-8"
    try:
        line.encode(encoding)
    except UnicodeEncodeError:
        for mark, plain in _PLAIN.items():
            line = line.replace(mark, plain)
        line = line.replace("→", "->").replace("–", "-").encode(encoding, "replace").decode(encoding)
    print(line, file=to, flush=True)


def _one_line(text: str) -> str:
    """A text from a log or an exception, without what would move the cursor."""
    return "".join(character if character.isprintable() else " " for character in " ".join(text.split()))
