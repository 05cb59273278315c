"""Whether TensorFlow, Keras, jit and the analysis worker work on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, TimeoutError
from pathlib import Path
from typing import Any

from featwatch.doctor.checks import Check, broken, fine, notable
from featwatch.errors import in_words

PROGRAM = Path(__file__).with_name("framework.py")
PATIENCE_SECONDS = 180.0        # with TensorFlow's import, and with the worker's: cold file systems are slow

CURES = {
    "tensorflow": "pip install --force-reinstall tensorflow; on a CPU without AVX TensorFlow's wheels do not run at all.",
    "keras": "pip install --force-reinstall keras",
    "backend": "Set KERAS_BACKEND=tensorflow before Keras is imported.",
    "gpus": "The driver and TensorFlow's CUDA do not fit each other; CUDA_VISIBLE_DEVICES= trains without a GPU.",
    "jit": "Nothing needs to be done: layers are then read without it, more slowly.",
}


def framework(command: Sequence[str] | None = None, patience: float = PATIENCE_SECONDS) -> Iterator[Check]:
    """TensorFlow, Keras, its backend, GPUs and jit, tried in a process of their own."""
    # -P: what lies beside the program must not be taken for packages.
    command = command or [sys.executable, "-P", str(PROGRAM)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(place for place in sys.path if place)}
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=patience, env=environment)
    except subprocess.TimeoutExpired:
        yield broken(f"importing TensorFlow took longer than {patience:.0f} s", "Try by hand: python -c 'import tensorflow'")
        return
    except OSError as error:
        yield broken(f"Python could not be started ({error})", "Look at the installation of Python.")
        return
    finished, last = set(), ""
    for line in done.stdout.splitlines():
        step = _step(line)
        last = step.get("step", last)
        if "value" in step or "error" in step:
            finished.add(last)
            yield _verdict(last, step.get("value"), step.get("error"))
    if not last or last not in finished:
        said = done.stderr.strip().splitlines()
        reason = _death(done.returncode) + (f": {said[-1][:300]}" if said else "")
        what = f"{last or 'the trial of TensorFlow'} ended the process ({reason})"
        yield broken(what, CURES.get(last, CURES["tensorflow"]))


def worker(start: Callable[[], Executor] | None = None, patience: float = PATIENCE_SECONDS) -> Iterator[Check]:
    """Whether the analysis worker starts, and has what it needs."""
    from featwatch.worker import end_idle_worker, prepare_analysis, start_worker  # not needed to try TensorFlow

    started = time.perf_counter()
    try:
        (start or start_worker)().submit(prepare_analysis).result(timeout=patience)
        yield fine(f"the analysis worker starts, with UMAP, in {time.perf_counter() - started:.1f} s")
    except TimeoutError:
        yield broken(f"the analysis worker was not ready after {patience:.0f} s", "Watch(..., background=False) does without it.")
    except Exception as error:
        yield broken(
            f"the analysis worker does not work ({in_words(error)})",
            "pip install --force-reinstall umap-learn numba loky; Watch(..., background=False) does without the process.",
        )
    finally:
        end_idle_worker()


def _verdict(step: str, value: Any, error: str | None) -> Check:
    if error is not None:
        what = {"gpus": "the GPUs cannot be listed", "jit": "jit does not work"}.get(step, f"{step} cannot be used")
        return (notable if step in ("jit", "gpus") else broken)(f"{what} ({error})", CURES.get(step, ""))
    if step == "backend" and value != "tensorflow":
        return broken(f"Keras runs on {value}, which featwatch does not support yet", CURES["backend"])
    if step == "backend":
        return fine(f"Keras runs on {value}")
    if step == "gpus":
        return fine(f"TensorFlow sees {', '.join(value)}" if value else "TensorFlow sees no GPU: it trains on the CPU")
    if step == "jit":
        return fine("jit works: layers are read by one compiled pass")
    return fine(f"{step} {value} can be imported")


def _step(line: str) -> dict[str, Any]:
    try:
        step = json.loads(line)
    except ValueError:
        return {}
    return step if isinstance(step, dict) else {}


def _death(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
