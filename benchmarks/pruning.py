"""Pruning in the middle of fit (B6): what goes, what it saves, and what it does to accuracy, beside random, none and a peer.

    python -m benchmarks.pruning --full --torch PYTHON

On three tasks (`benchmarks.pruning_tasks`), three seeds each: one `fit`, in which `AutoPrune` takes 20 % of the original
units, the same share of each layer, after epochs 4, 7, 10 and 13, by the criterion named, and trains on; never pruned; and
Torch-Pruning at the same epochs, the same share of each layer.  The learning rate falls along half a cosine in all of them.
Accuracy is that of images which neither training nor pruning has seen.  Multiply-adds are counted from the final model,
latency is measured on it.  PYTHON is an interpreter with torch and torch-pruning.  Without `--full`: one task, one seed.
Writes benchmarks/results/pruning.json, or …-short.json.
"""

from __future__ import annotations

import argparse
import json
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
from benchmarks.pruning_tasks import TASKS, Task, net

EPOCHS, AT, SHARE = 30, (4, 7, 10, 13), 0.2
CRITERIA = ("redundancy", "l2", "random")
LEARNING_RATE, BATCH = 1e-3, 64


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write; returns the exit status."""
    parser = argparse.ArgumentParser(description="Pruning in the middle of fit.")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--torch", default="", help="an interpreter in whose environment torch and torch-pruning are installed")
    parser.add_argument("--child", nargs=3, metavar=("TASK", "SEED", "WAY"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        print(json.dumps(_trained(TASKS[options.child[0]], int(options.child[1]), options.child[2])))
        return 0
    ways = ["none", *CRITERIA] if options.full else ["none", "l2", "random"]
    found: list[dict[str, Any]] = []
    for task in TASKS.values() if options.full else [TASKS["digits"]]:
        for seed in range(3 if options.full else 1):
            found += [_in_a_process(task.name, seed, way) for way in ways]
            for way, share in (("torch", 0.0), ("torch-pruning", SHARE * len(AT))) if options.torch else ():
                found.append(_by_peer(options.torch, task, seed, way, share))
            print(_table([one for one in found if one["task"] == task.name and one["seed"] == seed]), file=sys.stderr, flush=True)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"pruning{'' if options.full else '-short'}.json"
    path.write_text(json.dumps({**_machine(), "epochs": EPOCHS, "at": AT, "share": SHARE, "runs": found}, indent=1) + "\n")
    print(_table(found))
    return 0


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
    before, filters = _size(model), _filters(model)
    with tempfile.TemporaryDirectory() as folder:
        watch = fw.Watch(folder, fw.Probe(*watched), recorders=[fw.FilterHealth()], schedule=fw.every(epochs=3))
        callbacks = [watch]
        if way != "none":
            callbacks.append(fw.AutoPrune(
                watch, ratio_per_step=SHARE, max_ratio=SHARE * len(AT), cooldown=2, guard=("val_accuracy", 0.05),
                criterion=way, schedule=fw.at(*AT), per_layer=True,
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
        "parameters": [before[0], after[0]], "filters": [filters, _filters(model)], "steps": steps,
        "latency": _latency(model, judged[0]), "fit_seconds": seconds,
    }  # fmt: skip


def _size(model: Any) -> tuple[int, int]:
    """Parameters, and multiply-adds for an image."""
    from featwatch.economy import economies

    return model.count_params(), sum(one.multiply_adds for one in economies(model).values())


def _filters(model: Any) -> int:
    """Of all convolutions and dense layers but the last."""
    return sum(layer.kernel.shape[-1] for layer in model.layers[:-1] if hasattr(layer, "kernel"))


def _latency(model: Any, images: np.ndarray, repeats: int = 30) -> float:
    """Milliseconds for an image in a batch, the median."""
    import tensorflow as tf

    run = tf.function(lambda batch: model(batch, training=False))
    batch, taken = tf.constant(images[:BATCH]), []
    for _ in range(repeats + 5):
        began = time.perf_counter()
        run(batch).numpy()
        taken.append(1000 * (time.perf_counter() - began) / BATCH)
    return statistics.median(taken[5:])


def _by_peer(python: str, task: Task, seed: int, way: str, share: float) -> dict[str, Any]:
    """The same by Torch-Pruning, in an environment of its own."""
    parts = task.parts(seed)
    asked = {
        "seed": seed, "classes": task.classes, "epochs": EPOCHS, "batch_size": task.batch_size, "learning_rate": LEARNING_RATE,
        "ratio": share, "global": False, "at": AT, "convolutions": task.stack.convolutions, "pooled": task.stack.pooled,
        "dense": task.stack.dense,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        arrays = {f"{name}{at}": value for at, part in enumerate(parts) for name, value in zip("xy", part, strict=True)}
        np.savez(Path(folder) / "parts.npz", **arrays)
        (Path(folder) / "asked.json").write_text(json.dumps(asked))
        subprocess.run([python, str(Path(__file__).with_name("pruning_peer.py")), folder], check=True)
        found = json.loads((Path(folder) / "found.json").read_text())
    of = sum(task.stack.convolutions) + sum(task.stack.dense)
    return {"task": task.name, "seed": seed, "way": way, **found, "filters": [of, sum(found["filters"])], "steps": []}


def _table(found: Sequence[dict[str, Any]]) -> str:
    """Means over the seeds, with the spread of the accuracy."""
    rows = ["| task | way | accuracy % | filters gone | multiply-adds gone | latency |", "| --- | --- | --- | --- | --- | --- |"]
    for task, way in dict.fromkeys((one["task"], one["way"]) for one in found):
        runs = [one for one in found if (one["task"], one["way"]) == (task, way)]
        accuracies = [100 * run["accuracy"] for run in runs]
        spread = f" ± {statistics.stdev(accuracies):.2f}" if len(runs) > 1 else ""
        gone = [statistics.mean(1 - run[name][1] / run[name][0] for run in runs) for name in ("filters", "multiply_adds")]
        latency = statistics.mean(run["latency"] for run in runs)
        shares = " | ".join(f"{share:.1%}" for share in gone)
        rows.append(f"| {task} | {way} | {statistics.mean(accuracies):.2f}{spread} | {shares} | {latency:.3f} ms |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
