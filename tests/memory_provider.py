"""A data provider that holds records in memory: what a loader would say, at once, and counting what it is asked."""

from __future__ import annotations

import json
from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
from tensorboard.data import provider as tensorboard_provider
from tensorboard.errors import NotFoundError

from featwatch import wire
from featwatch.records import Record


class MemoryProvider:
    """Implements what `Source` asks of TensorBoard's `DataProvider`; wall times count up in seconds."""

    def __init__(self) -> None:
        # run -> tag -> step -> (wall time, blobs, text of the numbers)
        self.series: dict[str, dict[str, dict[int, tuple[float, list[bytes], bytes]]]] = {}
        self.calls: Counter[str] = Counter()
        self.now = 100.0

    def write(self, run: str, record: Record) -> None:
        axis, place = wire.place_of(record)
        where = f"{run}/{wire.STEPS_DIRECTORY}" if axis == "steps" else run
        self.put(where, wire.tag_of(record.kind, record.layer), place, wire.encode(record), wire.encode_numbers(record))

    def put(self, run: str, tag: str, step: int, blobs: list[bytes], text: bytes = b"{}") -> None:
        self.now += 1
        self.series.setdefault(run, {}).setdefault(tag, {})[step] = (self.now, blobs, text)

    def list_runs(self, context: Any, *, experiment_id: str) -> list[Any]:
        return [tensorboard_provider.Run(run, run, 0) for run in self.series]

    def list_plugins(self, context: Any, *, experiment_id: str) -> list[str]:
        return [wire.PLUGIN]

    def list_blob_sequences(self, context: Any, *, experiment_id: str, plugin_name: str, run_tag_filter: Any) -> Any:
        self.calls["list"] += 1
        return {
            run: {
                tag: tensorboard_provider.BlobSequenceTimeSeries(
                    max_step=max(data), max_wall_time=max(one[0] for one in data.values()),
                    max_length=max(len(one[1]) for one in data.values()), plugin_content=b"", description="", display_name="",
                )
                for tag, data in tags.items()
            }
            for run, tags in self._chosen(run_tag_filter)
        }  # fmt: skip

    def read_blob_sequences(
        self, context: Any, *, experiment_id: str, plugin_name: str, downsample: int, run_tag_filter: Any
    ) -> Any:
        self.calls["read"] += 1
        return {
            run: {
                tag: [
                    SimpleNamespace(
                        step=step, wall_time=data[step][0],
                        values=[SimpleNamespace(blob_key=json.dumps([run, tag, step, i])) for i in range(len(data[step][1]))],
                    )
                    for step in sorted(data)[-downsample:]
                ]
                for tag, data in tags.items()
            }
            for run, tags in self._chosen(run_tag_filter)
        }  # fmt: skip

    def read_tensors(self, context: Any, *, experiment_id: str, plugin_name: str, downsample: int, run_tag_filter: Any) -> Any:
        self.calls["tensors"] += 1
        return {
            run: {
                wire.NUMBERS + tag: [
                    SimpleNamespace(step=step, wall_time=wall_time, numpy=np.array([text], object))
                    for step, (wall_time, _, text) in sorted(data.items())[-downsample:]
                ]
                for tag, data in tags.items()
                if wire.NUMBERS + tag in run_tag_filter.tags
            }
            for run, tags in self.series.items()
            if run in run_tag_filter.runs
        }

    def read_blob(self, context: Any, *, blob_key: str) -> bytes:
        self.calls["blob"] += 1
        run, tag, step, i = json.loads(blob_key)
        try:
            return self.series[run][tag][step][1][i]
        except (KeyError, IndexError):
            raise NotFoundError(blob_key) from None

    def _chosen(self, chosen: Any) -> list[tuple[str, dict[str, Any]]]:
        return [
            (run, {tag: data for tag, data in tags.items() if chosen.tags is None or tag in chosen.tags})
            for run, tags in self.series.items()
            if chosen.runs is None or run in chosen.runs
        ]
