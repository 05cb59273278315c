"""Surgery written down beside the backups of `BackupAndRestore`, so that an interrupted training goes on with as many units.

A backup holds weights alone: they fit the model only as it was when the backup was made.  So each surgery in `fit` is
written into the backup's folder, with how many units there were before it, and `resumed` repeats those that the backup has
seen before Keras loads it.  One that was undone stays written: the newest backup may be older than that.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from featwatch.errors import first_line
from featwatch.prune.anatomy import Anatomy
from featwatch.prune.surgery.resizing import Keeping

FILE = "featwatch_prunings.json"
# What Keras calls the weights, and those of the backup before, which it takes where the newest ones cannot be read.
WEIGHTS = ("latest.weights.h5", "latest.weights.h5.bkp")


@dataclass(frozen=True)
class Step:
    """A surgery: layers by their place in the graph, as their names may be others when the model is built again."""

    units: tuple[int, ...]              # how many each layer had before
    removed: Mapping[int, Sequence[int]]        # layer -> units that went, as they were numbered then

    @property
    def left(self) -> tuple[int, ...]:
        """How many each layer had after it."""
        return tuple(count - len(self.removed.get(at, ())) for at, count in enumerate(self.units))


def follow(callbacks: Sequence[Any], keepings: Sequence[Keeping]) -> list[str]:
    """Write down what goes beside each backup; gives what there is to say where that fails.

    Arguments:
        keepings: what stays of the models that get smaller.
    """
    said = []
    for callback in callbacks:
        if not isinstance(callback, keras.callbacks.BackupAndRestore):
            continue
        path = Path(callback.backup_dir) / FILE
        why = "it is of another model, that shares layers"
        for keeping in keepings:
            if keeping.anatomy.model is callback.model:
                why = "it is on another machine" if "://" in str(callback.backup_dir) else _written(path, keeping)
        if why:
            said.append(f"{path} was not written: a training resumed from this backup would not fit ({why})")
    return said


def resumed(model: Any, backup_dir: str | os.PathLike[str]) -> int:
    """How many surgeries were repeated, to make a new model fit the backup that `BackupAndRestore` left of a training.

    To be called before `fit`, on the whole model, compiled or not, whose training was interrupted; `AutoPrune` does it by
    itself.

    Raises:
        ValueError: the backup fits the model after none of the surgeries.
    """
    from featwatch.prune.surgery.operating import operate

    folder = Path(backup_dir)
    steps, held = _steps(folder / FILE), _held(folder)
    if not steps or held is None:
        return 0
    anatomy = Anatomy(model)
    names = list(anatomy.made)
    for chain in _chains(steps, tuple(len(made.ids) for made in anatomy.made.values())):
        groups = anatomy.groups({names[at]: units for at, units in _together(chain).items()})
        if _fits(anatomy, groups, held):
            if groups:
                operate(anatomy, groups)
            return len(chain)
    raise ValueError(
        f"model={model.name!r}: the backup in {folder} fits it after none of the {len(steps)} steps of pruning in {FILE}; "
        "build the model as it was when that training began, or delete the folder to begin anew"
    )


def _written(path: Path, keeping: Keeping) -> str:
    """Why that failed, "" where it did not."""
    made = keeping.anatomy.made
    at = {name: place for place, name in enumerate(made)}
    removed = {at[name]: units for name, units in keeping.anatomy.going(keeping.groups).items()}
    step = Step(tuple(len(each.ids) for each in made.values()), removed)
    try:
        _write(path, [*(each for each in _steps(path) if each != step), step], list(made))
    except OSError as error:
        return first_line(error)
    return ""


def _steps(path: Path) -> list[Step]:
    """Those that are written, the oldest first; none where there is no such file, or it is none of this kind."""
    try:
        found = []
        for entry in json.loads(path.read_text()):
            names = list(entry["units"])
            removed = {names.index(name): [int(unit) for unit in units] for name, units in entry["removed"].items()}
            found.append(Step(tuple(int(count) for count in entry["units"].values()), removed))
        return found
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return []


def _write(path: Path, steps: Sequence[Step], names: Sequence[str]) -> None:
    """Whole or not at all.  `names`: of the layers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    entries = []
    for step in steps:
        own = names if len(names) == len(step.units) else [str(at) for at in range(len(step.units))]
        removed = {own[at]: list(units) for at, units in step.removed.items()}
        entries.append({"units": dict(zip(own, step.units, strict=True)), "removed": removed})
    new.write_text(json.dumps(entries))
    new.replace(path)


def _chains(steps: Sequence[Step], units: tuple[int, ...]) -> Iterator[list[Step]]:
    """What may have been done one after the other to a model with so many units by layer: nothing, then each way, once.

    Of two surgeries that were begun with as many units the later one is tried first: the other was undone, or lost.
    """
    seen, waiting = {units}, [(units, list[Step]())]
    while waiting:
        now, chain = waiting.pop()
        yield chain
        for step in steps:
            if step.units == now and step.left not in seen:
                waiting.append((step.left, [*chain, step]))
        seen.update(each for each, _ in waiting)


def _together(chain: Iterable[Step]) -> dict[int, list[int]]:
    """Layer -> units, all that went in some surgeries one after the other, as they were numbered before the first."""
    left: dict[int, np.ndarray] = {}
    gone: dict[int, list[int]] = {}
    for step in chain:
        for at, units in step.removed.items():
            before = left.setdefault(at, np.arange(step.units[at]))
            gone.setdefault(at, []).extend(before[units].tolist())
            left[at] = np.delete(before, units)
    return gone


def _held(folder: Path) -> Counter[tuple[int, ...]] | None:
    """How many arrays of each shape a backup has, the optimiser's left out; None where there is none that can be read."""
    held: Counter[tuple[int, ...]] = Counter()

    def count(name: str, entry: Any) -> None:
        if isinstance(entry, h5py.Dataset) and not name.startswith("optimizer"):
            held[tuple(entry.shape)] += 1

    for name in WEIGHTS:
        try:
            with h5py.File(folder / name, "r") as file:
                held.clear()
                file.visititems(count)
        except OSError:
            continue
        return held
    return None


def _fits(anatomy: Anatomy, groups: set[int], held: Counter[tuple[int, ...]]) -> bool:
    """Whether there are arrays of all the model's shapes when these groups are gone."""
    wanted: Counter[tuple[int, ...]] = Counter()
    for weight in anatomy.model.weights:
        shape, sliced = list(weight.shape), anatomy.sliced.get(id(weight))
        for axis, ids in ({} if sliced is None else sliced.axes).items():
            shape[axis] = len(anatomy.kept(ids, groups))
        wanted[tuple(shape)] += 1
    return not wanted - held
