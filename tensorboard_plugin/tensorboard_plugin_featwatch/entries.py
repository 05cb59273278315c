"""What a run holds: its sessions, and its series of records that no later session supersedes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from featwatch import wire

MAX_PROBLEMS = 20


@dataclass(frozen=True, eq=False)
class Series:
    """The records of one kind and layer, on one axis, that are in force.

    Epochs and wall times only, no blob keys: for a hundred layers times a thousand epochs those
    would be hundreds of megabytes.
    """

    run: str                    # TensorBoard's: each axis is one of its own
    axis: str                   # one of `wire.AXES`
    kind: str
    layer: str
    tag: str
    epochs: np.ndarray          # (records,) int64, increasing; steps on that axis
    wall_times: np.ndarray      # (records,) float64

    def wall_time(self, epoch: int) -> float | None:
        """When the record of this epoch, or step, was written, or None."""
        place = int(np.searchsorted(self.epochs, epoch))
        return float(self.wall_times[place]) if place < len(self.epochs) and self.epochs[place] == epoch else None

    @property
    def newest(self) -> float:
        return float(self.wall_times.max())


@dataclass(frozen=True, eq=False)
class Sessions:
    """When each session was opened, and from which epoch on it supersedes what is older."""

    wall_times: np.ndarray      # (sessions,) float64, increasing
    first_epochs: np.ndarray    # (sessions + 1,) int64: smallest first epoch of this and all later sessions; at the end: none

    @classmethod
    def of(cls, first_epochs: np.ndarray, wall_times: np.ndarray) -> Sessions:
        """From the sessions' first epochs and wall times, both (sessions,), in any order."""
        order = np.argsort(wall_times, kind="stable")
        smallest = np.minimum.accumulate(first_epochs[order][::-1])[::-1]
        return cls(wall_times[order], np.append(smallest, np.iinfo(np.int64).max))

    def in_force(self, epochs: np.ndarray, wall_times: np.ndarray) -> np.ndarray:
        """Mask of the records that no later session with a first epoch up to theirs supersedes."""
        return epochs < self.first_epochs[np.searchsorted(self.wall_times, wall_times, side="right")]

    @property
    def newest(self) -> float:
        """Wall time of the newest session; 0 without any."""
        return float(self.wall_times[-1]) if len(self.wall_times) else 0.0


@dataclass(frozen=True, eq=False)
class RunEntry:
    """One run: its sessions and its series, on both axes."""

    run: str
    name: str
    generation: str             # wall time of the newest session, so written that it reads back as the same number
    updated: float | None       # wall time of the newest record
    series: Mapping[str, Mapping[tuple[str, str], Series]]      # axis -> (kind, layer) -> series
    problems: tuple[str, ...]

    def of_kind(self, kind: str, axis: str = "epochs") -> dict[str, Series]:
        """Layer -> series."""
        return {layer: series for (name, layer), series in self.series[axis].items() if name == kind}

    def one(self, kind: str) -> Series | None:
        """The series of a kind that belongs to no layer, by epoch."""
        return self.series["epochs"].get((kind, ""))

    def described(self) -> dict[str, object]:
        """The run as `/index` answers it."""
        steps = _described(self.series["steps"]) if self.series["steps"] else None
        return {
            "run": self.run, "name": self.name, "generation": self.generation, "updated": self.updated,
            **_described(self.series["epochs"]), "steps": steps, "problems": list(self.problems),
        }  # fmt: skip


def _described(series: Mapping[tuple[str, str], Series]) -> dict[str, object]:
    """The series of an axis as `/index` answers them; equal lists of epochs are listed once."""
    lists: dict[bytes, int] = {}
    epochs: list[list[int]] = []
    places: dict[str, dict[str, int]] = {}
    for (kind, layer), one in series.items():
        place = lists.setdefault(one.epochs.tobytes(), len(epochs))
        if place == len(epochs):
            epochs.append(one.epochs.tolist())
        places.setdefault(kind, {})[layer] = place
    return {"epochs": epochs, "series": places}


Tags = Mapping[str, tuple[np.ndarray, np.ndarray]]      # tag -> steps and wall times of its events


def run_entries(runs: Mapping[str, Tags], problems: Mapping[str, Iterable[str]]) -> dict[str, RunEntry]:
    """Run -> its entry, sorted, from TensorBoard's runs and what could not be read of them.

    TensorBoard's run `<run>/steps` is the run's axis of steps, where the run is there or is named as featwatch names one.
    """
    axes: dict[str, dict[str, str]] = {}
    for run in sorted(runs.keys() | problems.keys()):
        owner = _owner(run, runs)
        axes.setdefault(run if owner is None else owner, {})["epochs" if owner is None else "steps"] = run
    return {
        run: _run_entry(run, {axis: (one, runs.get(one, {}), problems.get(one, ())) for axis, one in places.items()})
        for run, places in sorted(axes.items())
    }


def _owner(run: str, runs: Mapping[str, Tags]) -> str | None:
    """The run whose axis of steps this one is, or None."""
    head, _, last = run.rpartition("/")
    owner = head or "."
    named = owner.rpartition("/")[2] == wire.RUN_DIRECTORY
    return owner if last == wire.STEPS_DIRECTORY and (named or owner in runs) else None


def _run_entry(run: str, axes: Mapping[str, tuple[str, Tags, Iterable[str]]]) -> RunEntry:
    """The entry of a run from TensorBoard's run, tags and problems of each axis, whatever a hostile log put there."""
    problems = [problem for _, _, of_axis in axes.values() for problem in of_axis]
    series: dict[str, dict[tuple[str, str], Series]] = {axis: {} for axis in wire.AXES}
    opened = 0.0
    for axis, (place, tags, _) in axes.items():
        sane = _sane(tags, axis, problems)
        sessions = Sessions.of(*sane.get(wire.tag_of("session"), (np.zeros(0, np.int64), np.zeros(0))))
        opened = max(opened, sessions.newest)
        for tag, (epochs, wall_times) in sane.items():
            valid = sessions.in_force(epochs, wall_times)
            if valid.any():
                kind, layer = wire.parse_tag(tag)
                series[axis][kind, layer] = Series(place, axis, kind, layer, tag, epochs[valid], wall_times[valid])
    if ("session", "") not in series["epochs"]:
        problems.append("No session is recorded: the log's beginning is missing or damaged.")
    updated = max((one.newest for of_axis in series.values() for one in of_axis.values()), default=None)
    return RunEntry(run, _name(run), repr(opened) if opened else "0", updated, series, shortened(problems))


def _sane(tags: Tags, axis: str, problems: list[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The tags with their events in order, those left out, with a problem, that no honest log holds."""
    sane = {}
    for tag, (epochs, wall_times) in sorted(tags.items()):
        good = (epochs >= 0) & (epochs < wire.MAX_POSITION) & np.isfinite(wall_times)
        if not good.all():
            bad = np.count_nonzero(~good)
            problems.append(f"{bad} records under {clipped(tag)} have an impossible {axis.removesuffix('s')} or time.")
        order = np.argsort(epochs[good], kind="stable")
        sane[tag] = (epochs[good][order], wall_times[good][order])
    return sane


def shortened(problems: Iterable[str]) -> tuple[str, ...]:
    """The first problems, each once, and how many more there are."""
    problems = list(dict.fromkeys(problems))
    more = len(problems) - MAX_PROBLEMS
    return (*problems[:MAX_PROBLEMS], f"… and {more} more.") if more > 0 else tuple(problems)


def clipped(text: str, length: int = 80) -> str:
    """A name from a log, quoted and short enough for a sentence."""
    return json.dumps(text if len(text) <= length else text[: length - 1] + "…", ensure_ascii=False)


def _name(run: str) -> str:
    """The user's name for a run: its directory without the part that featwatch adds."""
    head, _, last = run.rpartition("/")
    return (head or ".") if last == wire.RUN_DIRECTORY else run
