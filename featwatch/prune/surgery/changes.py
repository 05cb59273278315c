"""Changes that can all be taken back, in the reverse order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from featwatch.prune.surgery import keras_private

_ABSENT = object()


class Changes:
    """A record of what was changed, and of how it was before.

    >>> class Layer: filters = 8
    >>> layer, changes = Layer(), Changes()
    >>> changes.attribute(layer, "filters", 5)
    >>> layer.filters
    5
    >>> changes.take_back()
    >>> layer.filters
    8
    """

    def __init__(self) -> None:
        self._before: list[Callable[[], object]] = []

    def attribute(self, owner: Any, name: str, value: Any) -> None:
        """Set an attribute as it is, past any tracking."""
        old = getattr(owner, name) if isinstance(getattr(type(owner), name, None), property) else vars(owner).get(name, _ABSENT)
        self.restoring(lambda: object.__delattr__(owner, name) if old is _ABSENT else object.__setattr__(owner, name, old))
        object.__setattr__(owner, name, value)

    def variable(self, variable: Any, value: Any) -> None:
        """Give a variable a value of another shape."""
        held = keras_private.stored(variable)
        self.restoring(lambda: keras_private.store(variable, held))
        keras_private.put(variable, value)

    def restoring(self, before: Callable[[], object]) -> None:
        """Have this called when all is taken back; said before the change, so that none is left half done."""
        self._before.append(before)

    def take_back(self) -> None:
        """Make everything as it was.  An interruption, or something that fails, is raised when the rest is done."""
        failed: BaseException | None = None
        while self._before:
            try:
                self._before[-1]()
            except KeyboardInterrupt as error:          # in the middle of it: it is done once more
                failed = error
                continue
            except Exception as error:
                failed = failed or error
            self._before.pop()
        if failed is not None:
            raise failed
