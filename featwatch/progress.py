"""How much of the analysis is left at the end of `fit`: a bar on a terminal, a line elsewhere."""

from __future__ import annotations

import contextlib
import sys
from typing import Any


class Progress:
    """Call it with (layers finished, layers in all); it shows nothing before it is called, and never raises."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._start = 0

    def __call__(self, finished: int, total: int) -> None:
        with contextlib.suppress(Exception):        # a closed or missing stderr is no reason to lose results
            if self._bar is None and finished < total:
                self._bar, self._start = self._open(total - finished), finished
            if self._bar is not None and finished - self._start > self._bar.n:
                self._bar.update(finished - self._start - self._bar.n)

    def close(self) -> None:
        with contextlib.suppress(Exception):
            if self._bar is not None:
                self._bar.close()

    def _open(self, layers: int) -> Any:
        from tqdm import tqdm

        if not sys.stderr.isatty():
            print(f"featwatch: finishing the analysis, {layers} layers to go", file=sys.stderr)
        return tqdm(total=layers, desc="featwatch: finishing the analysis", unit="layer", leave=False, disable=None)
