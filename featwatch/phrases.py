"""Names and numbers as they stand in a sentence."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def closest(name: str, names: Iterable[str]) -> str:
    """" (did you mean 'conv2'?)", or nothing where there are no names."""
    found = difflib.get_close_matches(name, list(names), n=1, cutoff=0.0)
    return f" (did you mean {found[0]!r}?)" if found else ""


def ranges(numbers: list[int], most: int = 8) -> str:
    """Ascending numbers in short: "0–12, 15"; of very many pieces the first ones and the last."""
    pieces: list[list[int]] = []
    for number in numbers:
        if pieces and number == pieces[-1][-1] + 1:
            pieces[-1] = [pieces[-1][0], number]
        else:
            pieces.append([number])
    texts = ["–".join(map(str, piece)) for piece in pieces]
    return ", ".join(texts if len(texts) <= most else [*texts[: most - 1], "…", texts[-1]])
