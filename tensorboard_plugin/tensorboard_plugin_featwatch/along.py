"""What the frames have in common that tell of something along epochs or layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from featwatch.wire import BlobInfo
from tensorboard_plugin_featwatch.frames import Damaged

MAX_PLACES = 2000       # epochs or layers
MAX_POSITION = 2**31    # of an epoch or step: what the frame's numbers hold
MAX_DAMAGED = 20        # records that are named


def some_of(places: list[Any], most: int | None = None) -> list[Any]:
    """At most `most` of them, 2 or more, evenly spread, with the first and the last; None = `MAX_PLACES`."""
    most = MAX_PLACES if most is None else min(most, MAX_PLACES)
    if len(places) <= most:
        return places
    return [places[round(i * (len(places) - 1) / (most - 1))] for i in range(most)]


def shortened_damages(damaged: list[Damaged]) -> list[Damaged]:
    """The first ones, and how many more there are."""
    more = len(damaged) - MAX_DAMAGED
    return [*damaged[:MAX_DAMAGED], Damaged("", f"… and {more} more.")] if more > 0 else damaged


def array(name: str, values: np.ndarray, dtype: str, table: tuple[str, ...] | None = None) -> tuple[BlobInfo, bytes]:
    """An array for a frame; with a table `values` are its codes."""
    return BlobInfo(name, 0, dtype, values.shape, table, 0), np.ascontiguousarray(values, dtype).tobytes()
