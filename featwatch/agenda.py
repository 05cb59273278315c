"""When each recorder of a watch is due, on its own schedule."""

from __future__ import annotations

from collections.abc import Mapping

from featwatch.errors import notify
from featwatch.recorders.base import Recorder
from featwatch.schedule import Schedule, can_fire


class Agenda:
    """The schedules of a watch's recorders, and where each was last asked and last followed.

    Positions are epochs for recorders on a schedule of epochs, and optimiser updates for the others; the
    two never meet.
    """

    def __init__(self, schedules: Mapping[Recorder, Schedule]) -> None:
        self._schedules = dict(schedules)
        self._asked: dict[Recorder, int] = {}
        self._recorded: dict[Recorder, int] = {}

    def counts(self, unit: str) -> bool:
        """Whether any recorder counts in this unit, "epochs" or "steps"."""
        return any(schedule.unit == unit for schedule in self._schedules.values())

    def due(self, unit: str, position: int, last: bool) -> list[Recorder]:
        """The recorders that are due at `position`; what was recorded there already is not due again."""
        due = []
        for recorder, schedule in self._of(unit).items():
            fires = schedule.due(self._asked.get(recorder), position, last)
            if fires and self._recorded.get(recorder) != position:
                due.append(recorder)
            self._asked[recorder] = position
        return due

    def followed(self, recorders: list[Recorder], position: int) -> None:
        """Note that these recorders recorded at `position`."""
        self._recorded |= dict.fromkeys(recorders, position)

    def holds(self, unit: str, position: int) -> bool:
        """Whether any recorder recorded last at `position`."""
        return any(self._recorded.get(recorder) == position for recorder in self._of(unit))

    def idle(self, unit: str, first: int, last: int) -> list[Recorder]:
        """The recorders that are never due from `first` to `last`."""
        return [recorder for recorder, schedule in self._of(unit).items() if not can_fire(schedule, first, last)]

    def warn_of_idle(self, first: Mapping[str, int], last: Mapping[str, int]) -> None:
        """Tell the user of recorders that are never due.  `first`, `last`: by unit, those that are known."""
        for unit in last:
            idle = self.idle(unit, first[unit], last[unit])
            if idle:
                names = ", ".join(recorder.name for recorder in idle)
                notify(f"{names} will record nothing: its schedule names none of the {unit} {first[unit]} to {last[unit]}")

    def start_over(self) -> None:
        self._asked.clear()
        self._recorded.clear()

    def __str__(self) -> str:
        return ", ".join(dict.fromkeys(map(str, self._schedules.values())))

    def _of(self, unit: str) -> dict[Recorder, Schedule]:
        return {recorder: schedule for recorder, schedule in self._schedules.items() if schedule.unit == unit}
