"""Looks at the logs: which runs there are, and what each of them holds.

One look serves all tabs for half a second.  A series that did not change since the last look is not read
again, and one that grew by a single epoch is not either: its newest record is all there is to know.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import featwatch
from featwatch import wire
from featwatch.records import KINDS, Session
from tensorboard_plugin_featwatch.entries import RunEntry, clipped, run_entries
from tensorboard_plugin_featwatch.source import Source

LIFETIME_SECONDS = 0.5          # a look serves for so long …
LIFETIME_FACTOR = 4             # … or for so many times as long as it took …
MAX_LIFETIME_SECONDS = 5.0      # … but never longer than this
MAX_EXPERIMENTS = 8
MAX_BLOBS = 64                  # an honest record has a dozen
REFERENCES_PER_READ = 200_000   # blob keys in one answer of the data server, which may send 256 MiB

# Newest step, newest wall time and greatest length of a series: what changes when the series does.
Signature = tuple[int, float, int]
Place = tuple[str, str]         # run, tag
Steps = tuple[Signature, np.ndarray, np.ndarray]    # … as of this signature; steps; wall times


@dataclass(frozen=True, eq=False)
class Snapshot:
    """All runs at one moment, and the answer that describes them."""

    runs: Mapping[str, RunEntry]
    etag: str
    answer: Mapping[str, Any]
    # run -> `updated` of the look before.  A look is not atomic: while it reads, a record may show up
    # after one that is older but in a series it has already passed.  Up to here it missed none.
    settled: Mapping[str, float]


class Catalogue:
    """The newest snapshot, for every experiment that TensorBoard is asked about."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._experiments: OrderedDict[str, _Experiment] = OrderedDict()

    def snapshot(self, source: Source) -> Snapshot:
        """What is recorded now, or was half a second ago."""
        return self._experiment(source).snapshot(source)

    def forget(self, source: Source) -> None:
        """Look anew, and at everything, when next asked: something was not as the last look had it."""
        self._experiment(source).forget()

    def _experiment(self, source: Source) -> _Experiment:
        with self._lock:
            experiment = self._experiments.setdefault(source.experiment, _Experiment())
            self._experiments.move_to_end(source.experiment)
            if len(self._experiments) > MAX_EXPERIMENTS:
                self._experiments.popitem(last=False)
            return experiment


class _Experiment:
    def __init__(self) -> None:
        self._expires = 0.0
        self._lock = threading.Lock()
        self._snapshot = _described({})
        self._read: dict[Place, Steps] = {}
        self._problems: dict[str, list[str]] = {}

    def snapshot(self, source: Source) -> Snapshot:
        with self._lock:
            start = time.monotonic()
            if start >= self._expires:
                self._snapshot = self._look(source)
                end = time.monotonic()
                self._expires = end + min(max(LIFETIME_SECONDS, LIFETIME_FACTOR * (end - start)), MAX_LIFETIME_SECONDS)
            return self._snapshot

    def forget(self) -> None:
        with self._lock:
            self._expires = 0.0
            self._read = {}

    def _look(self, source: Source) -> Snapshot:
        listing, problems = _list(source)
        signatures, refused = _sorted_out(listing, problems)
        changed = [place for place, signature in signatures.items() if self._read.get(place, (None,))[0] != signature]
        read = {place: self._read[place] for place in signatures.keys() - set(changed)}
        reopened = {run for run, tag in changed if wire.parse_tag(tag)[0] == Session.kind}
        grown = {
            place for place in changed if place[0] not in reopened and _grew_by_one(self._read.get(place), signatures[place])
        }
        for place in grown:
            signature, (_, steps, wall_times) = signatures[place], self._read[place]
            read[place] = (signature, np.append(steps, signature[0]), np.append(wall_times, signature[1]))
        for places in _portions([place for place in changed if place not in grown], signatures, refused):
            for place, data in _read(source, places, problems):
                steps = np.array([datum.step for datum in data], np.int64)
                read[place] = (signatures[place], steps, np.array([datum.wall_time for datum in data], np.float64))
        settled = {run: entry.updated for run, entry in self._snapshot.runs.items() if entry.updated is not None}
        if not changed and read.keys() == self._read.keys() and problems == self._problems:
            return replace(self._snapshot, settled=settled)
        self._read, self._problems = read, problems
        tags: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = {run: {} for run in listing.keys() | problems.keys()}
        for (run, tag), (_, steps, wall_times) in read.items():
            tags[run][tag] = (steps, wall_times)
        return _described(run_entries(tags, problems), settled)


def _list(source: Source) -> tuple[dict[str, dict[str, Any]], dict[str, list[str]]]:
    """All series, and the problems of runs that could not be listed."""
    try:
        return dict(source.list_series()), {}
    except Exception:
        # One hostile run must not hide the others, and the provider's answer is all or nothing.
        listing: dict[str, dict[str, Any]] = {}
        problems: dict[str, list[str]] = {}
        for run in source.run_names():
            try:
                listing |= source.list_series(run)
            except Exception as error:
                problems[run] = [f"TensorBoard could not read this run's event files ({type(error).__name__})."]
        return listing, problems


def _sorted_out(
    listing: Mapping[str, Mapping[str, Any]], problems: dict[str, list[str]]
) -> tuple[dict[Place, Signature], set[str]]:
    """The signatures of the series that will be read, and the runs that have others, which become problems."""
    signatures: dict[Place, Signature] = {}
    refused: set[str] = set()
    for run, tags in listing.items():
        for tag, about in sorted(tags.items()):
            reason = _reason_to_refuse(tag, about)
            if reason:
                said = problems.setdefault(run, [])
                if reason not in said:      # what is true of the whole run is said once
                    said.append(reason)
                refused.add(run)
            elif about.max_step is not None:
                signatures[run, tag] = (about.max_step, about.max_wall_time, about.max_length)
    return signatures, refused


def _reason_to_refuse(tag: str, about: Any) -> str:
    """Why a series is not read at all, for a person; "" where it is."""
    kind, layer = wire.parse_tag(tag)
    if kind not in KINDS:
        return f"Records of the kind {clipped(kind)} are not known to featwatch {featwatch.__version__} and not shown."
    if KINDS[kind].per_layer != bool(layer):
        return f"Records under {clipped(tag)} are not featwatch's and not shown."
    if about.max_length is not None and about.max_length > MAX_BLOBS:
        # The Python loader would make a key for each of them, however many a hostile log claims.
        return f"Records under {clipped(tag)} claim to have {about.max_length} parts and are not shown."
    version = _stated_format(about.plugin_content)
    if version > wire.FORMAT:
        return (
            f"Records in format {version} were written by a newer featwatch; this one reads up to format {wire.FORMAT}. "
            "Update it where TensorBoard runs to see them."
        )
    return ""


def _stated_format(content: bytes) -> int:
    """The format that a series' metadata states; 0 where it states none (the records' headers decide)."""
    try:
        stated = json.loads(content)["format"]
    except (ValueError, TypeError, KeyError, IndexError, RecursionError):
        return 0
    return stated if isinstance(stated, int) else 0


def _grew_by_one(before: Steps | None, now: Signature) -> bool:
    """Whether a series' newest record is the only one that is new: nothing fits between two epochs that follow each other."""
    if before is None:
        return False
    (step, wall_time, _), steps, wall_times = before
    # Its newest epoch must have been written last: after a resume it may be one that is superseded.
    in_order = len(steps) > 0 and (steps[-1], wall_times[-1]) == (step, wall_time)
    return bool(in_order) and now[0] == step + 1 and now[1] > wall_time


def _portions(places: list[Place], signatures: Mapping[Place, Signature], refused: set[str]) -> Iterator[list[Place]]:
    """`places` in portions that one call may read: all at once where that is safe and small, else parts of one run."""
    if not places:
        return
    sizes = {place: (min(signatures[place][0], 10_000) + 1) * (signatures[place][2] + 1) for place in places}
    runs, tags = {run for run, _ in places}, {tag for _, tag in places}
    # A call reads all its tags in all its runs, so it would also read a refused series of the same name.
    if not runs & refused and max(sizes.values()) * len(runs) * len(tags) <= REFERENCES_PER_READ:
        yield places
        return
    portion: list[Place] = []
    total = 0
    for place in sorted(places):
        if portion and (portion[-1][0] != place[0] or total + sizes[place] > REFERENCES_PER_READ):
            yield portion
            portion, total = [], 0
        portion.append(place)
        total += sizes[place]
    yield portion


def _read(source: Source, places: list[Place], problems: dict[str, list[str]]) -> Iterator[tuple[Place, list[Any]]]:
    """The data of each place; a place that cannot be read becomes a problem of its run."""
    try:
        found = source.read_series({run for run, _ in places}, {tag for _, tag in places})
    except Exception as error:
        if len(places) > 1:
            for place in places:
                yield from _read(source, [place], problems)
        else:
            ((run, tag),) = places
            problems.setdefault(run, []).append(f"Records under {clipped(tag)} could not be read ({type(error).__name__}).")
        return
    for run, tag in places:
        yield (run, tag), found.get(run, {}).get(tag, [])


def _described(runs: Mapping[str, RunEntry], settled: Mapping[str, float] | None = None) -> Snapshot:
    described = [entry.described() for entry in runs.values()]
    etag = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:20]
    answer = {"etag": etag, "format": wire.FORMAT, "version": featwatch.__version__, "runs": described}
    return Snapshot(runs, etag, answer, settled or {})
