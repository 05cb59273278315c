"""Pruning in the middle of fit (B6): what goes, what it saves, and what it does to accuracy, beside random, none and a peer.

    python -m benchmarks.pruning --full --torch PYTHON
    python -m benchmarks.pruning --way redundancy-overall           # on all tasks, put into the result of the last full run
    python -m benchmarks.pruning --latency [--torch PYTHON]         # measured anew for the nets in it

On three tasks (`benchmarks.pruning_tasks`), three seeds each: one `fit`, in which `AutoPrune` takes 20 % of the original
units after epochs 3, 6, 9 and 12 of 24 and trains on, the same share of each layer, by the criterion named, or, "-overall", what
the criterion says is needed least in the whole net; never pruned; and Torch-Pruning at the same epochs, the same share of each
layer.  The learning rate falls along half a cosine in all of them.  Accuracy is that of images which neither training nor
pruning has seen.  Multiply-adds are counted from the final model.  Latency is measured in the end, on nets of the final widths,
one after the other.  PYTHON is an interpreter with torch and torch-pruning.  Without `--full`: one task, one seed.  Writes
benchmarks/results/pruning.json, or …-short.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cost import RESULTS, _machine
from benchmarks.pruning_tasks import TASKS, Task, narrowed, net, widths

EPOCHS, AT, SHARE = 24, (3, 6, 9, 12), 0.2
CRITERIA = ("redundancy", "l2", "random")
OVERALL = "-overall"
SEEDS = 3
LEARNING_RATE, BATCH = 1e-3, 64


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write; returns the exit status."""
    parser = argparse.ArgumentParser(description="Pruning in the middle of fit.")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--torch", default="", help="an interpreter in whose environment torch and torch-pruning are installed")
    parser.add_argument("--way", choices=("none", *CRITERIA, *(each + OVERALL for each in CRITERIA)))
    parser.add_argument("--latency", action="store_true", help="measure only that, of the nets in the result of --full")
    parser.add_argument("--child", nargs=3, metavar=("TASK", "SEED", "WAY"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        print(json.dumps(_trained(TASKS[options.child[0]], int(options.child[1]), options.child[2])))
        return 0
    path = RESULTS / f"pruning{'' if options.full or options.latency or options.way else '-short'}.json"
    if options.latency or options.way:
        result = json.loads(path.read_text())
        if options.way:
            result["runs"] = [run for run in result["runs"] if run["way"] != options.way]
            result["runs"] += [_in_a_process(task, seed, options.way) for task in TASKS for seed in range(SEEDS)]
        _time([run for run in result["runs"] if options.latency or run["way"] == options.way], options.torch)
        path.write_text(json.dumps(result, indent=1) + "\n")
        print(_table(result["runs"]))
        return 0
    ways = ["none", *CRITERIA] if options.full else ["none", "l2", "random"]
    found: list[dict[str, Any]] = []
    for task in TASKS.values() if options.full else [TASKS["digits"]]:
        for seed in range(SEEDS if options.full else 1):
            found += [_in_a_process(task.name, seed, way) for way in ways]
            for way, share in (("torch", 0.0), ("torch-pruning", SHARE * len(AT))) if options.torch else ():
                found.append(_by_peer(options.torch, task, seed, way, share))
            _write(path, found)                 # so that a run that is broken off leaves what it has
            print(_table([one for one in found if one["task"] == task.name]), file=sys.stderr, flush=True)
    _time(found, options.torch)
    _write(path, found)
    print(_table(found))
    return 0


def _write(path: Path, found: Sequence[dict[str, Any]]) -> None:
    RESULTS.mkdir(exist_ok=True)
    path.write_text(json.dumps({**_machine(), "epochs": EPOCHS, "at": AT, "share": SHARE, "runs": found}, indent=1) + "\n")


def _in_a_process(task: str, seed: int, way: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.pruning", "--child", task, str(seed), way]
    return dict(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]))


def _trained(task: Task, seed: int, way: str) -> dict[str, Any]:
    """One fit, pruned in `way`, and what came of it."""
    import keras

    import featwatch as fw

    keras.utils.set_random_seed(seed)
    (x, y), watched, judged = task.parts(seed)
    model = net(task, x.shape[1], LEARNING_RATE, EPOCHS * -(-len(x) // task.batch_size))
    before = _size(model)
    with tempfile.TemporaryDirectory() as folder:
        watch = fw.Watch(folder, fw.Probe(*watched), recorders=[fw.FilterHealth()], schedule=fw.every(epochs=3))
        callbacks = [watch]
        if way != "none":
            callbacks.append(fw.AutoPrune(
                watch, ratio_per_step=SHARE, max_ratio=SHARE * len(AT), cooldown=2, guard=("val_accuracy", 0.05), grace=1,
                criterion=way.removesuffix(OVERALL), schedule=fw.at(*AT), per_layer=not way.endswith(OVERALL),
            ))  # fmt: skip
        began = time.perf_counter()
        model.fit(
            x, y, epochs=EPOCHS, batch_size=task.batch_size, validation_data=watched, callbacks=callbacks, verbose=0
        )
        seconds = time.perf_counter() - began
        steps = [(one.epoch, one.action, one.note) for one in fw.load(folder).prunings] if way != "none" else []
    after = _size(model)
    accuracy = float(np.mean(model.predict(judged[0], verbose=0).argmax(1) == judged[1]))
    return {
        "task": task.name, "seed": seed, "way": way, "accuracy": accuracy, "multiply_adds": [before[1], after[1]],
        "parameters": [before[0], after[0]], "widths": _widths(model), "steps": steps, "fit_seconds": seconds,
    }  # fmt: skip


def _size(model: Any) -> tuple[int, int]:
    """Parameters, and multiply-adds for an image."""
    from featwatch.economy import economies

    return model.count_params(), sum(one.multiply_adds for one in economies(model).values())


def _widths(model: Any) -> list[int]:
    """Filters or units of each layer but the last."""
    return [layer.kernel.shape[-1] for layer in model.layers[:-1] if hasattr(layer, "kernel")]


def _time(found: Sequence[dict[str, Any]], torch: str) -> None:
    """Put the latency of each run's final net into it: milliseconds for an image in a batch, the median."""
    for run in found:
        task = narrowed(TASKS[run["task"]], run["widths"])
        images = task.parts(0)[2][0][:BATCH]
        if not run["way"].startswith("torch"):
            run["latency"] = _latency(net(task, images.shape[1], LEARNING_RATE, 1), images)
        elif torch:
            run["latency"] = _asked_of_peer(torch, task, {"latency": True}, {"x2": images})["latency"]


def _latency(model: Any, images: np.ndarray, repeats: int = 60) -> float:
    import tensorflow as tf

    run = tf.function(lambda batch: model(batch, training=False))
    batch, taken = tf.constant(images), []
    for _ in range(repeats + 5):
        began = time.perf_counter()
        run(batch).numpy()
        taken.append(1000 * (time.perf_counter() - began) / len(images))
    return statistics.median(taken[5:])


def _by_peer(python: str, task: Task, seed: int, way: str, share: float) -> dict[str, Any]:
    """The same by Torch-Pruning, in an environment of its own."""
    asked = {
        "seed": seed, "epochs": EPOCHS, "batch_size": task.batch_size, "learning_rate": LEARNING_RATE, "ratio": share, "at": AT,
    }  # fmt: skip
    arrays = {f"{name}{at}": value for at, part in enumerate(task.parts(seed)) for name, value in zip("xy", part, strict=True)}
    return {"task": task.name, "seed": seed, "way": way, **_asked_of_peer(python, task, asked, arrays), "steps": []}


def _asked_of_peer(python: str, task: Task, asked: dict[str, Any], arrays: dict[str, Any]) -> dict[str, Any]:
    stack = {"classes": task.classes, **dataclasses.asdict(task.stack)}
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "parts.npz", **arrays)
        (Path(folder) / "asked.json").write_text(json.dumps({**stack, **asked}))
        subprocess.run([python, str(Path(__file__).with_name("pruning_peer.py")), folder], check=True)
        return dict(json.loads((Path(folder) / "found.json").read_text()))


def _table(found: Sequence[dict[str, Any]]) -> str:
    """Means over the seeds, with the spread of the accuracy."""
    rows = ["| task | way | accuracy % | filters gone | multiply-adds gone | latency |", "| --- | --- | --- | --- | --- | --- |"]
    known = dict.fromkeys((one["task"], one["way"]) for one in found)
    for task, way in sorted(known, key=lambda each: list(TASKS).index(each[0])):
        runs = [one for one in found if (one["task"], one["way"]) == (task, way)]
        accuracies = [100 * run["accuracy"] for run in runs]
        spread = f" ± {statistics.stdev(accuracies):.2f}" if len(runs) > 1 else ""
        filters = sum(widths(TASKS[task]))
        gone = [
            statistics.mean(1 - sum(run["widths"]) / filters for run in runs),
            statistics.mean(1 - run["multiply_adds"][1] / run["multiply_adds"][0] for run in runs),
        ]
        latency = statistics.mean(run.get("latency", math.nan) for run in runs)
        shares = " | ".join(f"{share:.1%}" for share in gone)
        rows.append(f"| {task} | {way} | {statistics.mean(accuracies):.2f}{spread} | {shares} | {latency:.3f} ms |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
