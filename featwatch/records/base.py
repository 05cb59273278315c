"""How a record is declared: frozen dataclasses of NumPy arrays and plain values, nothing else.

A field is one of

* a scalar (``int``, ``float``, ``bool``, ``str``), stored in the record's JSON header; a float that
  is not known is NaN;
* a plain JSON value (``tuple``, ``dict``), stored there as well;
* an array, declared with `array`, stored as one little-endian blob;
* a picture, declared with `picture`, stored as the bytes of a PNG file.

`wire` turns records into blobs and back by these declarations, so a new record needs a class and
nothing there.  Adding a field with a default keeps old logs readable.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np


def array(dtype: str, *axes: str, optional: bool = False, bits: int = 0) -> Any:
    """Declare an array field: its dtype ("float32", "int32", "bool", "str", …) and its axes by name.

    With `bits`, a float32 is stored with so many significant bits (`featwatch.packing.rounded`), otherwise exactly.
    An optional one may be left out; it is then an array without axes' sizes to agree with, all of them 0.
    """
    metadata = {"dtype": dtype, "axes": axes, "optional": optional, "bits": bits}
    if not optional:
        return field(metadata=metadata)
    empty = np.zeros((0,) * len(axes), "U1" if dtype == "str" else dtype)
    return field(default_factory=lambda: empty, metadata=metadata)


def picture() -> Any:
    """Declare a field that holds the bytes of a PNG file, or nothing (``b""``)."""
    return field(default=b"", metadata={"picture": True})


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Record:
    """What all records share: the epoch (k = the state after k epochs of training), the step, and the layer.

    A record is kept on one of two axes: with `step` −1 it stands at `epoch`; otherwise it was made on a
    schedule of steps, stands at `step`, and `epoch` is the epoch in which that was.
    """

    kind: ClassVar[str]
    per_layer: ClassVar[bool] = True
    # Numbers that are also logged as ordinary TensorBoard scalars, `<name>/<layer>`.
    headlines: ClassVar[tuple[str, ...]] = ()

    epoch: int
    layer: str = ""
    step: int = -1                      # optimiser updates done; −1 = kept by epoch

    def __repr__(self) -> str:
        """The fields in short: arrays by their shapes, pictures by their sizes."""
        fields = ", ".join(f"{f.name}={_short(getattr(self, f.name))}" for f in dataclasses.fields(self))
        return f"{type(self).__name__}({fields})"

    def numbers(self) -> dict[str, float]:
        """The record's scalar numbers by name: what a chart over epochs needs, without any array."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {
            # A log may hold whole numbers that no float can.
            name: float(value) if isinstance(value, float) or abs(value) < 1 << 63 else math.nan
            for name, value in values.items()
            if name not in ("epoch", "step") and isinstance(value, (bool, int, float))
        }

    def told(self) -> dict[str, Any]:
        """The events that the record tells of, to be listed over all epochs; {} where it is of no kind that does.

        "entries": the first of them, the most notable, as plain dicts of "kind", "size" and who it was; "counts": how many
        there were in all, by kind.  They are kept beside the numbers, so that a list of all needs no record's arrays.
        """
        return {}


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    text = f"{value:.6g}" if isinstance(value, float) else repr(value)
    return text if len(text) <= 80 else text[:79] + "…"
