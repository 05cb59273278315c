"""Event files written by hand, so that they may hold what featwatch's writer never would."""

from __future__ import annotations

import itertools
import json
import zlib
from pathlib import Path
from typing import Any

from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

_counter = itertools.count()


class HandMadeLog:
    """An event file in `directory`; wall times count up from `start` in seconds unless they are given."""

    def __init__(self, directory: Path, *, start: float = 1_000_000.0, first_step: int = 0) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / f"events.out.tfevents.{int(start):010d}.host.1.{next(_counter)}.featwatch"
        self._file = self.path.open("wb")
        self._records = RecordWriter(self._file)
        self._now = start
        self.event(file_version="brain.Event:2")
        self.event(step=first_step, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START))

    def __enter__(self) -> HandMadeLog:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def event(self, wall_time: float | None = None, **fields: Any) -> float:
        """Append an event; its wall time."""
        self._now += 1
        wall_time = self._now if wall_time is None else wall_time
        self._records.write(event_pb2.Event(wall_time=wall_time, **fields).SerializeToString())
        return wall_time

    def value(
        self, tag: str, step: int, tensor: tensor_pb2.TensorProto | None, *, data_class: str = "BLOB_SEQUENCE",
        plugin: str = "featwatch", content: bytes = b"", wall_time: float | None = None,
    ) -> float:  # fmt: skip
        metadata = summary_pb2.SummaryMetadata(
            plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name=plugin, content=content),
            data_class=getattr(summary_pb2, f"DATA_CLASS_{data_class}"),
        )
        value = summary_pb2.Summary.Value(tag=tag, metadata=metadata, tensor=tensor)
        return self.event(wall_time, step=step, summary=summary_pb2.Summary(value=[value]))

    def blobs(self, tag: str, step: int, blobs: list[bytes], **options: Any) -> float:
        return self.value(tag, step, strings(blobs), **options)

    def numbers(self, tag: str, step: int, text: bytes, **options: Any) -> float:
        return self.value(f"numbers/{tag}", step, strings([text]), data_class="TENSOR", **options)


def strings(values: list[bytes], dims: list[int] | None = None) -> tensor_pb2.TensorProto:
    """A string tensor that claims to have the shape `dims`."""
    shape = _shape([len(values)] if dims is None else dims)
    return tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=values, tensor_shape=shape)


def floats(values: list[float], dims: list[int]) -> tensor_pb2.TensorProto:
    return tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=values, tensor_shape=_shape(dims))


def _shape(dims: list[int]) -> tensor_shape_pb2.TensorShapeProto:
    return tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=size) for size in dims])


def header(kind: str, layer: str = "", epoch: int = 0, *, fields: Any = None, blobs: Any = (), version: Any = 1) -> bytes:
    """A header as `http_api.md`'s reader may meet it: nothing is checked, and NaN is written as Python writes it."""
    stated = {"format": version, "kind": kind, "layer": layer, "epoch": epoch, "fields": fields or {}, "blobs": list(blobs)}
    return json.dumps(stated).encode()


def entry(name: str, dtype: str, shape: Any, blob: bytes = b"", **more: Any) -> dict[str, Any]:
    return {"name": name, "dtype": dtype, "shape": shape, "crc32": zlib.crc32(blob), **more}
