"""The command `featwatch prune`: a saved model made smaller."""

from __future__ import annotations

import argparse
import os
import warnings
import zipfile
from collections.abc import Mapping
from typing import Any

import keras

from featwatch.probe import Probe
from featwatch.prune.comparing import compared
from featwatch.prune.criteria import NEED_PROBE
from featwatch.prune.from_alerts import plan_from
from featwatch.prune.latency import Latency, any_batch, latencies
from featwatch.prune.planned import Plan
from featwatch.prune.planning import plan
from featwatch.prune.table import Figure, change, table

SAVED_AS = (".keras", ".h5")
LOADED = (*SAVED_AS, ".hdf5")


def prune(options: argparse.Namespace, probe: Probe | None, alerts: Any) -> str:
    """Do what the command line says; gives what there is to tell.

    Arguments:
        options: as parsed: model, plan, ratio, criterion, round_to, ignore, per_layer, save_plan, output, dry_run, no_compensate.
        probe: samples, if there are some.
        alerts: a `Run` whose open alerts say what goes, or None.

    Raises:
        ValueError, TypeError: something does not fit; nothing is written.
    """
    _check_paths(options)
    model = _loaded(options.model)
    made = _plan(options, model, probe, alerts)
    if options.save_plan:
        made.save(options.save_plan)
    said = [f"The plan is in {options.save_plan}."] if options.save_plan else []
    if options.dry_run:
        return "\n".join([table(made), "", *said, "Nothing was changed (--dry-run)."])
    compensating = probe is not None and not options.no_compensate and bool(made.removed)
    small = made.apply(model, probe, compensating)
    small.save(options.output)
    measured = [_latency(model, small, probe), *([] if probe is None else _outputs(model, small, probe, compensating))]
    measured.append(_files(os.path.getsize(options.model), os.path.getsize(options.output)))
    return "\n".join([table(made, measured), "", *said, f"The smaller model is in {options.output}."])


def _check_paths(options: argparse.Namespace) -> None:
    if not os.path.exists(options.model):
        raise ValueError(f"there is no file {options.model!r}")
    read = {"the model itself": options.model, "the file of samples": options.probe}
    if options.save_plan:
        _check_written("--save-plan", options.save_plan, read)
    if options.dry_run:
        return
    if not options.output:
        raise ValueError("say where the smaller model goes: -o small.keras, or --dry-run to look at the plan only")
    if not options.output.endswith(SAVED_AS):
        raise ValueError(f"-o {options.output!r}: give a file that ends in .keras")
    _check_written("-o", options.output, {**read, "the file of --save-plan": options.save_plan})


def _check_written(option: str, path: str, others: Mapping[str, str | None]) -> None:
    """Refuse a place where nothing can be written, or where a file is that is read or written otherwise."""
    for what, other in others.items():
        if other and os.path.realpath(path) == os.path.realpath(other):
            raise ValueError(f"{option} {path!r} is {what}: give another file")
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise ValueError(f"{option} {path!r}: there is no folder {folder!r}")
    if os.path.isdir(path):
        raise ValueError(f"{option} {path!r} is a folder: give a file")


def _loaded(path: str) -> Any:
    """The saved model.  Raises ValueError, with the cure, where Keras cannot load it."""
    cure = "give what model.save('model.keras') writes"
    if path.endswith(".weights.h5"):
        raise ValueError(f"{path!r} holds weights and no model: {cure}")
    if not path.endswith(LOADED) or (path.endswith(".keras") and not (os.path.isdir(path) or zipfile.is_zipfile(path))):
        raise ValueError(f"{path!r} is no model that Keras can load: {cure}")
    try:
        with warnings.catch_warnings():
            # Of a model that was compiled and never trained: the smaller one has a fresh optimiser anyway.
            warnings.filterwarnings("ignore", "Skipping variable loading for optimizer", UserWarning)
            return keras.models.load_model(path)
    except Exception as error:
        # Keras says first that it could not, then all of the configuration, and why at the end.
        why = str(error).rsplit("Exception encountered: ", 1)[-1] or type(error).__name__
        raise ValueError(
            f"{path!r} cannot be loaded: {why.splitlines()[0].split('. ')[0][:200]}. Where it needs classes or functions of your "
            "own, or safe_mode=False, load it in Python and prune it there: featwatch.prune.plan(model, …).apply(model)"
        ) from error


def _plan(options: argparse.Namespace, model: Any, probe: Probe | None, alerts: Any) -> Plan:
    if options.plan:
        return Plan.load(options.plan).fitted(model)
    if alerts is not None:
        most = {} if options.ratio is None else {"max_ratio": options.ratio}
        return plan_from(alerts, model, ignore=options.ignore, round_to=options.round_to, **most)
    if options.criterion in NEED_PROBE and probe is None:
        raise ValueError(f"--criterion {options.criterion} needs samples: give --probe samples.npz")
    return plan(
        model, ratio=options.ratio, criterion=options.criterion, probe=probe, round_to=options.round_to, ignore=options.ignore,
        per_layer=options.per_layer,
    )  # fmt: skip


def _latency(model: Any, small: Any, probe: Probe | None) -> Figure:
    """Measured milliseconds for a sample."""
    batch = next(iter(probe.batches()))[0] if probe is not None else any_batch(model)
    if batch is None:
        return "latency", "", "", "not measured: the size of an input is open; give --probe"
    before, after = latencies([model, small], batch)
    return "latency", _milliseconds(before), _milliseconds(after), f"{_faster(before, after)}; a sample of {before.batch} at once"


def _faster(before: Latency, after: Latency) -> str:
    if before.low <= after.high and after.low <= before.high:
        spread = 100 * max((each.high - each.low) / each.milliseconds for each in (before, after))
        return f"no difference beyond the noise, quartiles {spread:.0f} % apart"
    if before.milliseconds < after.milliseconds:
        return "slower: try --round-to 8"
    return change(before.milliseconds, after.milliseconds).replace("fewer", "faster")


def _files(before: int, after: int) -> Figure:
    """A file that got larger holds what the first one did not: the slots of the optimiser of a model that was never trained."""
    said = change(before, after).replace("fewer", "smaller").replace("more", "larger")
    return "file", _bytes(before), _bytes(after), said + ("; with the slots of a fresh optimiser" if after > before else "")


def _milliseconds(latency: Latency) -> str:
    return f"{latency.milliseconds:.3g} ms"


def _outputs(model: Any, small: Any, probe: Probe, compensated: bool) -> list[Figure]:
    """How far the outputs on the probe are from what they were."""
    found = compared(model, small, probe)
    how = "what stays makes up for what went" if compensated else "nothing makes up for what went"
    lines = [("outputs", "", f"{100 * found.difference:.2g} %", f"off, of their deviation on the probe; {how}")]
    if found.accuracy_before is not None and found.accuracy_after is not None:
        before, after = (f"{100 * accuracy:.1f} %" for accuracy in (found.accuracy_before, found.accuracy_after))
        lines.append(("accuracy", before, after, f"of {len(probe)} samples of the probe, before any further training"))
    return lines


def _bytes(size: int) -> str:
    """
    >>> _bytes(345), _bytes(12_345_678)
    ('345 bytes', '12.3 MB')
    """
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size} bytes"
