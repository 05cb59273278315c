"""What reading the layers costs, as a multiple of a bare forward pass over the probe, for each recorder and for all.

    python -m benchmarks.tap --job wbc --repeats 5

"Tapped" runs the model as the watch does, under jit where it can be: nothing is read of a layer, or each filter's maximum
alone.  "Filters" are the recorders of what single filters do.  One process; the bare pass and the others take turns.
Wall time and CPU time are given: on a machine that does something else besides, the latter is what to look at.  Writes
benchmarks/results/tap-JOB.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.cost import RESULTS, _machine

OF_FILTERS = ("filter_health", "activation_histograms", "filter_similarity", "class_specificity")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write; returns the exit status."""
    parser = argparse.ArgumentParser(description="What reading the layers costs.")
    parser.add_argument("--job", choices=("digits", "wbc"), default="wbc")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--images", type=int, default=1000, help="in the probe (default: %(default)s)")
    options = parser.parse_args(arguments)
    ways, how = _ways(options.job, options.images)
    seconds: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    for repeat in range(options.repeats):
        for name, way in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            way()
            seconds[name].append({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu})
        print(f"{repeat + 1}/{options.repeats}", file=sys.stderr, flush=True)
    measured = {"ratios": _ratios(seconds), "runs": seconds}
    result = {"job": options.job, "images": options.images, "read_by": how, **_machine(), **measured}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"tap-{options.job}.json").write_text(json.dumps(result, indent=1) + "\n")
    print(_table(result))
    return 0


def _ways(job_name: str, images: int) -> tuple[dict[str, Callable[[], Any]], str]:
    """The passes by name, each traced and compiled, and how the layers are read."""
    import tensorflow as tf

    import featwatch as fw
    from benchmarks.jobs import JOBS
    from featwatch.preparation import prepare
    from featwatch.recorders import default_recorders
    from featwatch.taps import TapPass

    job = JOBS[job_name]()
    probe = fw.Probe(job.x_probe, job.y_probe, size=min(images, len(job.x_probe)))
    recorders = default_recorders()
    passes = prepare(job.model, probe, recorders, None, None).passes
    forward = tf.function(lambda batch: job.model(batch, training=False))
    batches = [tf.constant(batch) for batch, _ in probe.batches()]
    forward(batches[0])

    def bare() -> None:
        for batch in batches:
            forward(batch).numpy()

    ways: dict[str, Callable[[], Any]] = {"bare forward pass": bare}
    for name, read in (("tapped, nothing read", ()), ("tapped, maxima", ("maximum",))):
        tapped = TapPass(job.model, dict.fromkeys(passes.plan.sites, read), len(probe))
        tapped.prepare(next(iter(probe.batches()))[0])
        ways[name] = lambda tapped=tapped: tapped.read(probe.batches())     # type: ignore[misc]
    filters = [recorder for recorder in recorders if recorder.name in OF_FILTERS]
    single = {recorder.name: [recorder] for recorder in recorders if recorder.reductions}
    chosen = {"all recorders": recorders, "filters": filters, **single}
    for name, some in chosen.items():
        taps = passes.of(some)
        taps.read(probe.batches())
        ways[name] = lambda taps=taps: taps.read(probe.batches())       # type: ignore[misc]
    return ways, passes.of(recorders).how


def _ratios(seconds: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, dict[str, float]]]:
    bare = seconds["bare forward pass"]
    ratios: dict[str, dict[str, dict[str, float]]] = {}
    for name, runs in seconds.items():
        ratios[name] = {}
        for clock in ("wall", "cpu"):
            each = [run[clock] / plain[clock] for run, plain in zip(runs, bare, strict=True)]
            ratios[name][clock] = {"median": statistics.median(each), "min": min(each), "max": max(each)}
    return ratios


def _table(result: dict[str, Any]) -> str:
    what = f"{result['job']}, {result['images']} images, read by {result['read_by']}"
    lines = [f"| {what} | wall, × the bare pass | CPU, × the bare pass |", "| --- | --- | --- |"]
    for name, ratio in result["ratios"].items():
        wall, cpu = ("{median:.2f} ({min:.2f}–{max:.2f})".format(**ratio[clock]) for clock in ("wall", "cpu"))
        lines.append(f"| {name} | {wall} | {cpu} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
