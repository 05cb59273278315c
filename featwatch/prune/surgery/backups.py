"""Surgery written down beside the backups of `BackupAndRestore`, so that an interrupted training goes on with as many units.

A backup holds weights alone: they fit the model only as it was when the backup was made.  So each surgery in `fit` is
written into the backup's folder, and `resumed` repeats as many as the backup has seen before Keras loads it.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import keras

from featwatch.errors import first_line
from featwatch.prune.surgery.changes import Changes

FILE = "featwatch_prunings.json"


def follow(changes: Changes, callbacks: Sequence[Any], removed: Mapping[str, Sequence[int]]) -> list[str]:
    """Write down what goes beside each backup; gives what there is to say where that fails."""
    said = []
    for callback in callbacks:
        if not isinstance(callback, keras.callbacks.BackupAndRestore):
            continue
        path = Path(callback.backup_dir) / FILE
        steps = _steps(path)
        changes.restoring(lambda path=path, steps=steps: _write(path, steps))     # type: ignore[misc]
        try:
            _write(path, [*steps, dict(removed)])
        except OSError as error:
            said.append(f"{path} could not be written: a training resumed from this backup would not fit ({first_line(error)})")
    return said


def resumed(model: Any, backup_dir: str | os.PathLike[str]) -> int:
    """How many surgeries were repeated, to make a new model fit the backup that `BackupAndRestore` left of a training.

    To be called before `fit`, on the whole model, compiled or not, whose training was interrupted.

    Raises:
        ValueError: the backup fits the model after none of the surgeries.
    """
    from featwatch.prune.anatomy import Anatomy
    from featwatch.prune.surgery.operating import operate

    steps, weights = _steps(Path(backup_dir) / FILE), Path(backup_dir) / "latest.weights.h5"
    if not steps or not weights.exists():
        return 0
    done: list[Any] = []
    for removed in [*steps, None]:
        if _fits(model, weights):
            return len(done)
        if removed is not None:
            anatomy = Anatomy(model)
            done.append(operate(anatomy, anatomy.groups({name: units for name, units in removed.items() if units})))
    for surgery in reversed(done):
        surgery.undo()
    raise ValueError(f"model={model.name!r}: {weights} fits it after none of the {len(steps)} steps of pruning in {FILE}")


def _steps(path: Path) -> list[dict[str, Sequence[int]]]:
    try:
        steps = json.loads(path.read_text())
    except (OSError, ValueError):
        return []
    return steps if isinstance(steps, list) else []


def _write(path: Path, steps: Sequence[Mapping[str, Sequence[int]]]) -> None:
    """Whole or not at all."""
    if not steps and not path.parent.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(list(steps)))
    new.replace(path)


def _fits(model: Any, weights: Path) -> bool:
    """Whether a file of weights has arrays of all the model's shapes."""
    held: Counter[tuple[int, ...]] = Counter()

    def count(name: str, entry: Any) -> None:
        if isinstance(entry, h5py.Dataset) and not name.startswith("optimizer"):
            held[tuple(entry.shape)] += 1

    with h5py.File(weights, "r") as file:
        file.visititems(count)
    return not Counter(tuple(weight.shape) for weight in model.weights) - held
