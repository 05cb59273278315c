"""The same recordings of a model that is already trained."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import Any

from featwatch.alerts import Detector
from featwatch.arguments import checked_recorders, writable
from featwatch.earlier import Earlier, earlier
from featwatch.errors import notify
from featwatch.layers import LayerChoice, check_choice
from featwatch.log import Log
from featwatch.options import whole
from featwatch.preparation import prepare
from featwatch.probe import Probe
from featwatch.reader import Run, load
from featwatch.recorders import default_recorders
from featwatch.recorders.base import Recorder
from featwatch.recorders.pipeline import in_order
from featwatch.recording import Recording
from featwatch.sessions import Setting
from featwatch.writers import has_records, run_directory


def snapshot(
    model: Any,
    probe: Probe,
    log_dir: str | os.PathLike[str],
    *,
    layers: LayerChoice = None,
    recorders: Sequence[Recorder] | None = None,
    epoch: int = 0,
) -> Run:
    """What `Watch` would record of a model as it is now, written to `log_dir` and read back.

    The model is left as it is.  Everything is computed here and now, feature images within their allowance
    of seconds.  With `epoch` 0 it takes the place of what is in the log; with a later one it continues it: layouts
    start from where they were, clusters keep who they are.

    Arguments:
        model: a built Keras model.
        probe, log_dir, layers, recorders: as of `Watch`.
        epoch: the epoch that the model is shown at.

    Raises:
        ValueError, TypeError: the arguments, the model and the probe do not go together.
        RuntimeError: a recorder failed, or the model cannot be read.

    Example:
        >>> run = fw.snapshot(keras.models.load_model("model.keras"), fw.Probe(x, y), "logs/trained")  # doctest: +SKIP
    """
    if not isinstance(probe, Probe):
        raise TypeError(f"probe is a {type(probe).__name__}; make one with featwatch.Probe(x, y)")
    if not getattr(model, "built", False):
        raise ValueError(f"the model {getattr(model, 'name', model)!r} is not built: call it on a batch of data first")
    check_choice(layers)
    wanted = in_order(checked_recorders(default_recorders() if recorders is None else recorders))
    first = whole("epoch", epoch, 0)
    prepared = prepare(model, probe, wanted, layers, None)
    prepared.passes.of(wanted)
    directory = writable(log_dir)
    later = _recorded_from(directory, first)
    before = earlier(directory, first, probe) if first else Earlier()
    # At epoch 0 it takes the place of what was recorded by step, too.
    step = 0 if first == 0 and has_records(directory, "steps") else None
    later = later or ("steps" if step == 0 else "")
    writer = Log(directory, first, step)
    detectors: Sequence[Detector] = ()          # one look is no check in a row
    recording = Recording(model, probe, prepared, writer, background=False, detectors=detectors)
    try:
        recording.open(
            Setting(
                epoch=first,
                step=-1 if step is None else step,
                schedule=f"snapshot at epoch {first}",
                memory=before.memory,
                histories=before.histories,
            )
        )
        recording.snapshot(first, wanted)
        recording.log_epoch(first, {}, 0.0)
    finally:
        recording.close(first)
    if recording.failure():
        raise RuntimeError(f"featwatch: {recording.failure()}")
    if later:
        notify(f"{run_directory(directory)!r} held records of {later}; this snapshot at epoch {first} supersedes them")
    return load(directory)


def _recorded_from(directory: str, epoch: int) -> str:
    """What the log holds of an epoch and later ones, in words; "" where that is nothing."""
    if not has_records(directory):
        return ""
    with contextlib.suppress(Exception):        # a log that cannot be read has nothing to lose
        epochs = [each for each in load(directory).epochs if each >= epoch]
        many = len(epochs) > 1
        return f"epoch{'s' * many} {epochs[0]}" + f" to {epochs[-1]}" * many if epochs else ""
    return ""
