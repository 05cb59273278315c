"""A recording begins: traced, its log opened, what is known written."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from featwatch.alerts import Detector
from featwatch.cost import Costs
from featwatch.errors import RefusedValue, in_words, notify
from featwatch.log import Log
from featwatch.preparation import Prepared
from featwatch.probe import Probe
from featwatch.recording import Recording
from featwatch.sessions import Setting
from featwatch.writers import has_records, run_directory


def begin(
    log_dir: str,
    model: Any,
    probe: Probe,
    prepared: Prepared,
    setting: Setting,
    holds: Callable[[Recording], None],
    *,
    background: bool,
    detectors: Sequence[Detector],
    costs: Costs,
) -> None:
    """Open a recording.

    Arguments:
        holds: is given it as soon as it has the log, so that it is let go of whatever happens then.
        otherwise: as of `Recording`.

    Raises:
        RefusedValue: another training is writing into the directory.
    """
    began = time.perf_counter()
    prepared.passes.of(prepared.passes.plan.recorders)  # traced before: a log that is opened supersedes what is in it
    setting_up = time.perf_counter() - began
    supersedes = setting.epoch == 0 and has_records(log_dir)
    try:
        writer = Log(log_dir, setting.epoch, None if setting.step < 0 else setting.step, on_error=_disk_trouble)
    except ValueError as error:
        raise RefusedValue(str(error)) from None
    recording = Recording(model, probe, prepared, writer, background=background, detectors=detectors, costs=costs)
    recording.took("setting up", setting_up)
    holds(recording)
    recording.open(setting)
    if supersedes:
        notify(f"{run_directory(log_dir)!r} holds an earlier training; this one starts over and supersedes it")


def _disk_trouble(error: Exception) -> None:
    notify(f"the log can no longer be written ({in_words(error)}); what follows is not recorded, training goes on")
