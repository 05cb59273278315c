"""What featwatch says of a network as it is: its records, made by the very path that a training takes, and its alerts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from benchmarks.filter_nets import FilterNet
from featwatch.records import Record


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Nothing(Record):
    """What the recorder that keeps snapshots never produces."""

    kind: ClassVar[str] = "nothing"


class Looking:
    """Reads one network again and again; its pass is compiled once."""

    def __init__(self, net: FilterNet) -> None:
        import featwatch as fw
        from featwatch.preparation import prepare
        from featwatch.recorders.base import LayerSnapshot, Recorder
        from featwatch.recorders.pipeline import in_order

        class Keeping(Recorder):
            """Keeps the snapshots that the others are shown."""

            name = "keeping"
            produces = Nothing
            reductions = ("moment_values",)
            in_worker = False

            def __init__(self) -> None:
                self.snapshots: list[LayerSnapshot] = []

            def analyse(self, snapshot: LayerSnapshot) -> None:
                self.snapshots.append(snapshot)

        self._net = net
        self._keeping = Keeping()
        self._probe = fw.Probe(*net.probe, batch_size=200)
        self._recorders = in_order([fw.FilterHealth(), fw.FilterSimilarity(weight_layout=False), self._keeping])
        self._prepared = prepare(net.model, self._probe, self._recorders, None, None)

    def look(self) -> tuple[list[Record], list[Any]]:
        """The records, and the snapshots by layer that they were made of."""
        from featwatch.recording import Recording
        from featwatch.sessions import Setting
        from featwatch.writers import MemoryWriter

        writer = MemoryWriter()
        self._keeping.snapshots.clear()
        recording = Recording(self._net.model, self._probe, self._prepared, writer, background=False)
        recording.open(Setting(epoch=0))
        recording.snapshot(0, self._recorders)
        recording.close(0)
        if recording.failure():
            raise RuntimeError(recording.failure())
        return writer.records, list(self._keeping.snapshots)


def alerts_of(records: Sequence[Record], detectors: Iterable[Any], checks: int = 12) -> list[Any]:
    """The alerts that are open after so many checks at which the records were the same."""
    import featwatch as fw

    session = next(record for record in records if record.kind == "session")
    desk = fw.alerts.AlertDesk(detectors, [entry["name"] for entry in session.layers], trouble=_raise)
    for epoch in range(checks):
        for record in records:
            if epoch == 0 or record.kind not in ("session", "probe", "journal", "closing"):
                desk.see(dataclasses.replace(record, epoch=epoch))
    return list(desk.open)


def _raise(text: str) -> None:
    raise RuntimeError(text)
