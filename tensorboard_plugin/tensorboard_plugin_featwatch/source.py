"""TensorBoard's data provider as this plugin sees it: series of records, their numbers, their blobs.

The provider answers from whatever loader is in use (RustBoard over gRPC, or the Python loader).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from tensorboard.data.provider import RunTagFilter

from featwatch.wire import PLUGIN
from tensorboard_plugin_featwatch.claims import of_one_value

# `downsample`, which always keeps the newest; 0 would mean none.
EVERYTHING = 10**9
NEWEST = 1


@dataclass(frozen=True)
class Source:
    """The data provider, on behalf of one request."""

    provider: Any
    context: Any
    experiment: str

    def run_names(self) -> list[str]:
        """Names of all runs, featwatch's or not."""
        return [run.run_name for run in self.provider.list_runs(self.context, experiment_id=self.experiment)]

    def list_series(self, run: str | None = None) -> dict[str, dict[str, Any]]:
        """run -> tag -> `BlobSequenceTimeSeries` (newest step and wall time, greatest length) of every series."""
        return self.provider.list_blob_sequences(self.context, run_tag_filter=_filter([run] if run else None), **self._ours)

    def read_series(
        self, runs: Collection[str], tags: Collection[str], downsample: int = EVERYTHING
    ) -> dict[str, dict[str, list[Any]]]:
        """run -> tag -> `BlobSequenceDatum`s: step, wall time and the keys of the blobs."""
        return self.provider.read_blob_sequences(
            self.context, downsample=downsample, run_tag_filter=_filter(runs, tags), **self._ours
        )

    def read_tensors(self, run: str, tags: Collection[str], downsample: int = EVERYTHING) -> dict[str, list[Any]]:
        """tag -> `TensorDatum`s: step, wall time and the array; empty where it claims to have more than one value, or none."""
        return of_one_value(self.provider).read_tensors(
            self.context, downsample=downsample, run_tag_filter=_filter([run], tags), **self._ours
        ).get(run, {})

    @property
    def _ours(self) -> dict[str, str]:
        return {"experiment_id": self.experiment, "plugin_name": PLUGIN}

    def read_blob(self, key: str) -> Any:
        """What is stored under a key: bytes, unless the log is hostile."""
        return self.provider.read_blob(self.context, blob_key=key)


def _filter(runs: Collection[str] | None, tags: Collection[str] | None = None) -> RunTagFilter:
    return RunTagFilter(runs=list(runs) if runs else None, tags=list(tags) if tags else None)
