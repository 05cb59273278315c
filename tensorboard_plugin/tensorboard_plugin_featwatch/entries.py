"""What a run holds: its sessions, and its series of records that no later session supersedes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from featwatch import wire

MAX_EPOCH = 2**31
MAX_PROBLEMS = 20


@dataclass(frozen=True, eq=False)
class Series:
    """The records of one kind and layer that are in force.

    Epochs and wall times only, no blob keys: for a hundred layers times a thousand epochs those
    would be hundreds of megabytes.
    """

    kind: str
    layer: str
    tag: str
    epochs: np.ndarray          # (records,) int64, increasing
    wall_times: np.ndarray      # (records,) float64

    def wall_time(self, epoch: int) -> float | None:
        """When the record of this epoch was written, or None."""
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
    def generation(self) -> str:
        """Wall time of the newest session, so written that it reads back as the same number; "0" without any."""
        return repr(float(self.wall_times[-1])) if len(self.wall_times) else "0"


@dataclass(frozen=True, eq=False)
class RunEntry:
    """One run: its sessions and its series."""

    run: str
    name: str
    sessions: Sessions
    updated: float | None       # wall time of the newest record
    series: Mapping[tuple[str, str], Series]
    problems: tuple[str, ...]

    @property
    def generation(self) -> str:
        return self.sessions.generation

    def of_kind(self, kind: str) -> dict[str, Series]:
        """Layer -> series."""
        return {layer: series for (name, layer), series in self.series.items() if name == kind}

    def described(self) -> dict[str, object]:
        """The run as `/index` answers it; equal lists of epochs are listed once."""
        lists: dict[bytes, int] = {}
        epochs: list[list[int]] = []
        places: dict[str, dict[str, int]] = {}
        for (kind, layer), series in self.series.items():
            place = lists.setdefault(series.epochs.tobytes(), len(epochs))
            if place == len(epochs):
                epochs.append(series.epochs.tolist())
            places.setdefault(kind, {})[layer] = place
        return {
            "run": self.run, "name": self.name, "generation": self.generation, "updated": self.updated,
            "epochs": epochs, "series": places, "problems": list(self.problems),
        }  # fmt: skip


def run_entry(run: str, tags: Mapping[str, tuple[np.ndarray, np.ndarray]], problems: Iterable[str]) -> RunEntry:
    """The entry of a run from the steps and wall times of each tag, whatever a hostile log put there."""
    problems = list(problems)
    sane = {}
    for tag, (steps, wall_times) in sorted(tags.items()):
        good = (steps >= 0) & (steps < MAX_EPOCH) & np.isfinite(wall_times)
        if not good.all():
            problems.append(f"{np.count_nonzero(~good)} records under {clipped(tag)} have an impossible epoch or time.")
        order = np.argsort(steps[good], kind="stable")
        sane[tag] = (steps[good][order], wall_times[good][order])
    opened = sane.get(wire.tag_of("session"), (np.zeros(0, np.int64), np.zeros(0)))
    sessions = Sessions.of(*opened)
    if not len(opened[0]):
        problems.append("No session is recorded: the log's beginning is missing or damaged.")
    series = {}
    for tag, (epochs, wall_times) in sane.items():
        valid = sessions.in_force(epochs, wall_times)
        if valid.any():
            kind, layer = wire.parse_tag(tag)
            series[kind, layer] = Series(kind, layer, tag, epochs[valid], wall_times[valid])
    updated = max((one.newest for one in series.values()), default=None)
    return RunEntry(run, _name(run), sessions, updated, series, shortened(problems))


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
