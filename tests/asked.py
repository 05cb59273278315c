"""The plugin's answers about one small run, asked without HTTP."""

from __future__ import annotations

from typing import Any

from tensorboard_plugin_featwatch.queries import Queries
from tensorboard_plugin_featwatch.source import Source

from tests.memory_provider import MemoryProvider
from tests.plugin_client import decode_frame
from tests.synthetic import Story

RUN = "run-1/featwatch"
STORY = Story(layers=2, epochs=4, samples=5, classes=2, filters=4)


class Asked:
    """Queries, asked about one run in the generation that it is in."""

    def __init__(self, provider: MemoryProvider) -> None:
        self.queries, self.source = Queries(), Source(provider, None, "")

    def described(self) -> dict[str, Any]:
        return next(run for run in self.queries.index(self.source)["runs"] if run["run"] == RUN)

    def epochs(self, kind: str, layer: str = "") -> list[int]:
        described = self.described()
        return described["epochs"][described["series"][kind][layer]] if layer in described["series"].get(kind, {}) else []

    def run(self) -> Any:
        return self.queries.run(self.source, RUN, self.described()["generation"])

    def numbers(self, after: float | None = None) -> tuple[float, dict[tuple[str, str], dict[str, Any]]]:
        answer = self.queries.numbers(self.source, RUN, self.described()["generation"], after)
        return answer["until"], {(one["kind"], one["layer"]): one for one in answer["series"]}

    def frame(self, kind: str, epoch: int, *layers: str) -> tuple[dict[str, Any], list[Any], bool]:
        frame = self.queries.records(self.source, RUN, self.described()["generation"], kind, epoch, layers)
        return *decode_frame(frame.content), frame.final
