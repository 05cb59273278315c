"""What watching costs: `fit` with and without the watch, in turn, each in a process of its own (benchmark B1).

    python -m benchmarks.cost --job digits --repeats 5
    python -m benchmarks.cost --job wbc --repeats 1

Writes benchmarks/results/cost-JOB.json and prints a table.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write; returns the exit status."""
    parser = argparse.ArgumentParser(description="What watching a training costs.")
    parser.add_argument("--job", choices=("digits", "wbc"), default="digits")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--child", choices=("bare", "watched"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        print(json.dumps(_measure_one(options.job, options.epochs, options.child == "watched")))
        return 0
    runs: dict[str, list[dict[str, Any]]] = {"bare": [], "watched": []}
    for repeat in range(options.repeats):
        for way in ("bare", "watched"):
            runs[way].append(_in_a_process(options.job, options.epochs, way))
            print(f"{repeat + 1}/{options.repeats} {way}: {runs[way][-1]['fit_seconds']:.2f} s", file=sys.stderr, flush=True)
    result = {"job": options.job, **_machine(), "summary": _summary(runs), "runs": runs}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"cost-{options.job}.json").write_text(json.dumps(result, indent=1) + "\n")
    print(_table(result))
    return 0


def _measure_one(name: str, epochs: int | None, watched: bool) -> dict[str, Any]:
    import keras
    import tensorflow as tf

    import featwatch as fw
    from benchmarks.jobs import JOBS

    keras.utils.set_random_seed(0)
    job = JOBS[name](**({} if epochs is None else {"epochs": epochs}))
    measured: dict[str, Any] = {"epochs": job.epochs}
    with tempfile.TemporaryDirectory() as log_dir:
        callbacks = [fw.Watch(log_dir, fw.Probe(job.x_probe, job.y_probe))] if watched else []
        started = time.perf_counter()
        job.model.fit(job.x, job.y, epochs=job.epochs, batch_size=job.batch_size, verbose=0, callbacks=callbacks)
        measured["fit_seconds"] = time.perf_counter() - started
        if watched:
            run = fw.load(log_dir)
            blocked = [run.numbers("epoch", "", "blocked_seconds")[1][i] for i in range(len(run.epochs))]
            measured |= {
                "blocked_seconds": callbacks[0].blocked_seconds,
                "first_snapshot_seconds": float(blocked[0]),            # with tracing, compiling, and opening the log
                "snapshot_seconds": statistics.median(map(float, blocked[1:])),
                "snapshots": len(run.epochs),
                "analysed": len([epoch for epoch in run.epochs if _analysed(run, epoch)]),
                "log_bytes": sum(path.stat().st_size for path in Path(log_dir).rglob("*tfevents*")),
            }
    forward = tf.function(lambda batch: job.model(batch, training=False))
    batches = [tf.constant(job.x_probe[i : i + 64]) for i in range(0, len(job.x_probe) - 63, 64)]
    forward(batches[0])
    started = time.perf_counter()
    for batch in batches:
        forward(batch).numpy()
    measured["forward_seconds"] = (time.perf_counter() - started) * len(job.x_probe) / (64 * len(batches))
    return measured


def _analysed(run: Any, epoch: int) -> bool:
    try:
        run.embedding(run.layers[-1], epoch)
    except KeyError:
        return False
    return True


def _in_a_process(name: str, epochs: int | None, way: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.cost", "--job", name, "--child", way]
    command += [] if epochs is None else ["--epochs", str(epochs)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _summary(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    pairs = [watched["fit_seconds"] / bare["fit_seconds"] for bare, watched in zip(runs["bare"], runs["watched"], strict=True)]
    snapshots = [run["snapshot_seconds"] / run["forward_seconds"] for run in runs["watched"]]
    without_wait = [
        (bare["fit_seconds"] + watched["blocked_seconds"]) / bare["fit_seconds"]
        for bare, watched in zip(runs["bare"], runs["watched"], strict=True)
    ]
    median = {way: statistics.median(run["fit_seconds"] for run in runs[way]) for way in runs}
    watched = runs["watched"]
    return {
        "fit_seconds_bare": median["bare"],
        "fit_seconds_watched": median["watched"],
        "ratio": _spread(pairs),
        "ratio_of_blocked_time_alone": _spread(without_wait),
        "blocked_seconds": _spread([run["blocked_seconds"] for run in watched]),
        "first_snapshot_seconds": _spread([run["first_snapshot_seconds"] for run in watched]),
        "snapshot_over_forward_pass": _spread(snapshots),
        "analysed_of_snapshots": [f"{run['analysed']}/{run['snapshots']}" for run in watched],
        "log_bytes": statistics.median(run["log_bytes"] for run in watched),
    }


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def _machine() -> dict[str, Any]:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    packages = ("featwatch", "tensorflow", "keras", "numpy", "umap-learn", "scikit-learn")
    return {
        "commit": commit,
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }


def _table(result: dict[str, Any]) -> str:
    summary = result["summary"]
    rows = [("fit, bare", f"{summary['fit_seconds_bare']:.2f} s"), ("fit, watched", f"{summary['fit_seconds_watched']:.2f} s")]
    labels = {
        "ratio": "watched / bare, the end's analysis included",
        "ratio_of_blocked_time_alone": "(bare + blocked) / bare",
        "blocked_seconds": "training blocked, s",
        "first_snapshot_seconds": "… of it the first snapshot, s",
        "snapshot_over_forward_pass": "a snapshot / a bare forward pass",
    }
    for key, label in labels.items():
        rows.append((label, "{median:.2f} ({min:.2f}–{max:.2f})".format(**summary[key])))
    rows.append(("snapshots analysed", ", ".join(summary["analysed_of_snapshots"])))
    rows.append(("log", f"{summary['log_bytes'] / 1e6:.1f} MB"))
    return "\n".join([f"| {result['job']}, {len(result['runs']['bare'])} pairs | median (min–max) |", "| --- | --- |"]
                     + [f"| {label} | {value} |" for label, value in rows])  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
