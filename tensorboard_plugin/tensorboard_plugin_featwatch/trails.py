"""Where samples were, as one array over epochs or over layers, in a frame as `http_api.md` says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from featwatch.wire import BlobInfo
from tensorboard_plugin_featwatch.frames import Damaged, StoredRecord, encode_frame

MAX_SAMPLES = 200
MAX_PLACES = 2000       # epochs or layers
MAX_POSITION = 2**31    # of an epoch or step: what the frame's numbers hold
MAX_DAMAGED = 20        # embeddings that are named


def some_of(places: list[Any]) -> list[Any]:
    """At most `MAX_PLACES` of them, evenly spread, with the first and the last."""
    if len(places) <= MAX_PLACES:
        return places
    return [places[round(i * (len(places) - 1) / (MAX_PLACES - 1))] for i in range(MAX_PLACES)]


def trail_frame(
    over: str, layer: str, epoch: int, places: Sequence[Any], samples: np.ndarray, points: np.ndarray, damaged: list[Damaged]
) -> bytes:
    """The frame of one record of the kind "trails".

    Arguments:
        over: "epochs" or "layers": what the `places` are, numbers or names.
        layer, epoch: of the record: the ones that are the same all along.
        samples: (samples,) int.
        points: (places, samples, 2) float32.
    """
    if over == "layers":
        names = [str(name) for name in places]
        along = _array("layers", np.arange(len(names)), "<u2", tuple(names))
    else:
        along = _array("epochs", np.array(places, np.int64), "<i4")
    arrays = (_array("samples", samples, "<i4"), along, _array("points", points, "<f4"))
    more = len(damaged) - MAX_DAMAGED
    told = [*damaged[:MAX_DAMAGED], Damaged("", f"… and {more} more.")] if more > 0 else damaged
    return encode_frame([StoredRecord("trails", layer, epoch, {"over": over}, arrays)], told)


def _array(name: str, values: np.ndarray, dtype: str, table: tuple[str, ...] | None = None) -> tuple[BlobInfo, bytes]:
    return BlobInfo(name, 0, dtype, values.shape, table, 0), np.ascontiguousarray(values, dtype).tobytes()
