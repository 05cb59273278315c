"""Where samples were, as one array over epochs or over layers, in a frame as `http_api.md` says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tensorboard_plugin_featwatch.along import array, shortened_damages
from tensorboard_plugin_featwatch.frames import Damaged, StoredRecord, encode_frame

MAX_SAMPLES = 200


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
        along = array("layers", np.arange(len(names)), "<u2", tuple(names))
    else:
        along = array("epochs", np.array(places, np.int64), "<i4")
    arrays = (array("samples", samples, "<i4"), along, array("points", points, "<f4"))
    return encode_frame([StoredRecord("trails", layer, epoch, {"over": over}, arrays)], shortened_damages(damaged))
