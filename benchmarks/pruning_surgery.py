"""How long it takes to make a whole net smaller in place, its optimiser included, and how much memory (B6).

    python -m benchmarks.pruning_surgery                            # ResNet50
    python -m benchmarks.pruning_surgery --full                     # MobileNetV2, EfficientNetB0 and VGG16, too
    python -m benchmarks.pruning_surgery --json path/to/result.json

Nets of `keras.applications` as they are, for pictures of 224 × 224 and 1,000 classes, with random weights and Adam, whose slots
are there.  30 % of the units go, by l2, over all layers.  In a process of its own, three times each, in this order: the plan, the
surgery, what undoes it, the surgery once more (which finds TensorFlow's kernels for these shapes made), and one step of training
on one picture, which traces the training function.  Seconds are those of the clock and those of the processor, all threads
together: where other work runs beside, the second ones are nearer to what a quiet machine would take.

Memory: the most that the process had while the plan was made and the surgery ran, above what it had before; beside it what
weights and slots are.  What undoes the surgery keeps them as they were, so as much as is left of them is new.

Writes benchmarks/results/pruning-surgery.json, or what --json says, and prints a table.  The short run takes about a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.cost import RESULTS, _machine

SHORT = ("ResNet50",)
FULL = (*SHORT, "MobileNetV2", "EfficientNetB0", "VGG16")
RATIO = 0.3
TARGET = 2.0                        # seconds for the plan and the surgery of ResNet50
PARTS = ("plan", "surgery", "undo", "again", "step")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write; returns 1 where the target is missed."""
    parser = argparse.ArgumentParser(description="How long it takes to make a net smaller in place.")
    parser.add_argument("--full", action="store_true", help="four nets rather than one")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, default=RESULTS / "pruning-surgery.json")
    parser.add_argument("--child", choices=FULL, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        print(json.dumps(_measured(options.child)))
        return 0
    print("| net | gone | plan, s | surgery, s | undo, s | again, s | first step, s | weights and slots | memory above |")
    print("| --- | " + "--- | " * 8, flush=True)
    nets = []
    for name in FULL if options.full else SHORT:
        nets.append(_summary([_in_a_process(name) for _ in range(options.repeats)]))
        print(_row(nets[-1]), flush=True)
        options.json.parent.mkdir(exist_ok=True)
        result = {**_machine(), "ratio": RATIO, "repeats": options.repeats, "target_seconds": TARGET, "nets": nets}
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    taken = nets[0]["seconds"]["plan"] + nets[0]["seconds"]["surgery"]
    print(f"\nplan and surgery of {nets[0]['net']}: {taken:.2f} s, at most {TARGET:g} s wanted", file=sys.stderr)
    return int(taken > TARGET)


def _measured(name: str) -> dict[str, Any]:
    """One net, in this process."""
    import keras
    import numpy as np

    import featwatch as fw
    from featwatch.prune.anatomy import Anatomy
    from featwatch.prune.surgery import operate

    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(weights=None)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.optimizer.build(model.trainable_variables)
    held = [*model.variables, *model.optimizer.variables]
    bytes_held = sum(variable.value.dtype.size * int(np.prod(variable.shape)) for variable in held)
    parameters = model.count_params()
    found: dict[str, Any] = {"net": name, "parameters_before": parameters, "bytes": bytes_held, "seconds": {}, "cpu_seconds": {}}

    def timed(part: str, work: Callable[[], Any]) -> Any:
        clock, processor = time.perf_counter(), time.process_time()
        given = work()
        found["seconds"][part] = time.perf_counter() - clock
        found["cpu_seconds"][part] = time.process_time() - processor
        return given

    before = _memory_begun()
    plan = timed("plan", lambda: fw.prune.plan(model, ratio=RATIO))

    def surgery() -> Any:
        anatomy = Anatomy(model)
        return operate(anatomy, plan.groups(anatomy))

    done = timed("surgery", surgery)
    found["bytes_above"] = _memory("VmHWM") - before
    timed("undo", done.undo)
    timed("again", surgery)
    picture = np.zeros((1, *model.input_shape[1:]), np.float32)
    timed("step", lambda: model.train_on_batch(picture, np.zeros(1, np.int64)))
    return {**found, "parameters_after": model.count_params(), "notes": list(done.notes)}


def _memory_begun() -> int:
    """What the process has, in bytes; from here on the most that it has is counted anew, where Linux can do that."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return 0
    return _memory("VmRSS")


def _memory(name: str) -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(name)), 0)


def _in_a_process(name: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.pruning_surgery", "--child", name]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _summary(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The medians of several runs of one net, and the runs."""

    def median(kind: str) -> dict[str, float]:
        return {part: statistics.median(run[kind][part] for run in runs) for part in PARTS}

    above = statistics.median(run["bytes_above"] for run in runs)
    timings = [{kind: run[kind] for kind in ("seconds", "cpu_seconds", "bytes_above")} for run in runs]
    same = {name: runs[0][name] for name in ("net", "parameters_before", "parameters_after", "bytes", "notes")}
    return {**same, "seconds": median("seconds"), "cpu_seconds": median("cpu_seconds"), "bytes_above": above, "runs": timings}


def _row(each: dict[str, Any]) -> str:
    gone = 1 - each["parameters_after"] / each["parameters_before"]
    timings = " | ".join(f"{each['seconds'][part]:.2f} (CPU {each['cpu_seconds'][part]:.2f})" for part in PARTS)
    return f"| {each['net']} | {gone:.0%} | {timings} | {each['bytes'] / 1e6:.0f} MB | {each['bytes_above'] / 1e6:.0f} MB |"


if __name__ == "__main__":
    sys.exit(main())
