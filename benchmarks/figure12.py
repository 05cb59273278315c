"""Class separation through the net (benchmark B2, FS figure 12): from the model to a layout of the cells by each layer.

    python -m benchmarks.figure12                # four layers, 1,500 cells
    python -m benchmarks.figure12 --full         # all layers, 5,664 cells

Ours is `featwatch.snapshot` with `Embeddings()`.  The peer does what the source did: `predict` up to the layer,
flatten, `umap.UMAP(random_state=0)`.  Each runs in a process of its own, the peer in one for each layer; a layer for
which the machine has not the memory is left out, and the result says so.  "Above the model's own" is what the largest
resident size grew by after the model had been run on eight batches.  Both are judged by the exact feature tensors: what a
random part of the samples keeps of its nearest neighbours among all.  Writes benchmarks/results/figure12[-full].json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cost import RESULTS, _machine

NEIGHBORS = 15
QUERIES = 1000              # samples that the layouts are judged by
BYTES_PER_BYTE = 7.0        # of memory that the peer takes for each byte of its features; measured on what it survives
SPARE = 0.7                 # share of the free memory that it may take
ROUTINE = (1, 4, 10, 12)    # a convolution of the first block and one of the third, a dense layer, the softmax


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write; returns the exit status."""
    parser = argparse.ArgumentParser(description="From the model to the layouts of all its layers.")
    parser.add_argument("--full", action="store_true", help="all layers, 5,664 images, four epochs of training")
    parser.add_argument("--images", type=int)
    parser.add_argument("--epochs", type=int, help="of training before, on 1,500 images")
    parser.add_argument("--work", type=Path, help="folder of what is made; what is there already is not made again")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.images = options.images or (5664 if options.full else 1500)
    options.epochs = (4 if options.full else 1) if options.epochs is None else options.epochs
    if options.child:
        kind, _, layer = options.child.partition(":")
        CHILDREN[kind](options, int(layer or 0))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        options.work = options.work or Path(folder)
        options.work.mkdir(exist_ok=True)
        result = _measure(options)
    name = "figure12-full" if options.full else "figure12"
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    print(_table(result))
    return 0


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    _made(options, "train")
    layers = list(range(13)) if options.full else list(ROUTINE)
    ours = _made(options, "ours")
    peers: dict[int, dict[str, Any]] = {}
    for layer in layers:
        features = int(ours["features"][layer])
        needs, free = BYTES_PER_BYTE * 4 * features * options.images, _free_bytes() * SPARE
        if needs > free and not (options.work / f"peer-{layer}.json").exists():
            peers[layer] = {"left_out": f"it would need about {needs / 1e9:.0f} GB; {free / 1e9:.0f} GB were to be had"}
        else:
            peers[layer] = _made(options, "peer", layer)
    judged = {int(layer): each for layer, each in _made(options, "judge").items()}
    rows = [
        {"layer": ours["names"][layer], "features": ours["features"][layer], "ours": ours["records"][layer],
         "peer": peers[layer], "judged": judged[layer]}
        for layer in layers
    ]  # fmt: skip
    survived = [peer for peer in peers.values() if "left_out" not in peer]
    summary = {
        "layers": len(rows),
        "layers_the_peer_survived": len(survived),
        "bare_forward_pass": ours["bare"],
        "ours_all_layers": {key: ours[key] for key in ("wall_seconds", "cpu_seconds", "megabytes_above_the_model")},
        "peer_over_ours": {
            clock: sum(peer[clock] for peer in survived) / ours[clock] for clock in ("wall_seconds", "cpu_seconds")
        },
        "least_of_the_peers": {
            measure: min(row["judged"]["ours"][measure] / row["judged"]["peer"][measure] for row in rows if row["judged"]["peer"])
            for measure in ("trustworthiness", "neighbors_kept")
        },
    }
    about = {"images": options.images, "epochs": options.epochs, "queries": min(QUERIES, options.images), "neighbors": NEIGHBORS}
    return {**about, **_machine(), "commit": ours["commit"], "summary": summary, "rows": rows}


def _made(options: argparse.Namespace, kind: str, layer: int | None = None) -> dict[str, Any]:
    """What a child process of this kind gives, or gave."""
    name = kind if layer is None else f"{kind}-{layer}"
    path = options.work / f"{name}.json"
    if not path.exists():
        command = [sys.executable, "-m", "benchmarks.figure12", "--work", str(options.work), "--images", str(options.images)]
        command += ["--epochs", str(options.epochs), "--child", name.replace("-", ":")] + ["--full"] * options.full
        began = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})
        if done.returncode < 0 and kind == "peer":
            return {"left_out": f"it was killed by signal {-done.returncode}"}
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
        print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    return dict(json.loads(path.read_text()))


def _train(options: argparse.Namespace, _: int) -> None:
    import keras

    from benchmarks.jobs import wbc

    keras.utils.set_random_seed(0)
    job = wbc(images=1500)
    history = job.model.fit(job.x, job.y, epochs=options.epochs, batch_size=job.batch_size, verbose=0) if options.epochs else None
    job.model.compile()                                         # without an optimiser: the weights alone are kept
    job.model.save_weights(options.work / "wbc.weights.h5")
    _write(options, "train", {"accuracy": history.history["accuracy"][-1] if history is not None else None})


def _ours(options: argparse.Namespace, _: int) -> None:
    import featwatch as fw

    model, x, y, bare = _model_and_cells(options)
    peak, wall, cpu = _peak_bytes(), time.perf_counter(), time.process_time()
    probe = fw.Probe(x, y, size=len(x))
    layers = None if options.full else [_layers(model)[index].name for index in ROUTINE]
    with tempfile.TemporaryDirectory() as log_dir:
        run = fw.snapshot(model, probe, log_dir, layers=layers, recorders=[fw.Embeddings()])
        seconds = {"wall_seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
        grown = (_peak_bytes() - peak) / 1e6
        names = [layer.name for layer in _layers(model)]
        found = {index: run.embedding(name, 0) for index, name in enumerate(names) if name in run.layers}
    np.savez(options.work / "ours.npz", **{str(index): record.points for index, record in found.items()})
    numbers = ("trustworthiness", "neighbors_kept", "distance_error", "sketch", "elapsed_seconds")
    records = [{name: getattr(found[index], name) for name in numbers} if index in found else {} for index in range(len(names))]
    features = [int(np.prod(layer.output.shape[1:])) for layer in _layers(model)]
    result = {**seconds, "megabytes_above_the_model": grown, "bare": bare, "names": names, "features": features}
    result["commit"] = _machine()["commit"]                     # of the layouts: what is judged may have been made before
    _write(options, "ours", {**result, "records": records})


def _peer(options: argparse.Namespace, layer: int) -> None:
    import keras
    import umap

    model, x, _, _ = _model_and_cells(options)
    peak, wall, cpu = _peak_bytes(), time.perf_counter(), time.process_time()
    upto = keras.Model(model.inputs, _layers(model)[layer].output)
    features = upto.predict(x, batch_size=64, verbose=0).reshape(len(x), -1)
    points = umap.UMAP(random_state=0).fit_transform(features)
    seconds = {"wall_seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    np.save(options.work / f"peer-{layer}.npy", points)
    _write(options, f"peer-{layer}", {**seconds, "megabytes_above_the_model": (_peak_bytes() - peak) / 1e6})


def _judge(options: argparse.Namespace, _: int) -> None:
    model, x, _, _ = _model_and_cells(options)
    queries = np.sort(np.random.default_rng(0).choice(len(x), min(QUERIES, len(x)), replace=False))
    ours = np.load(options.work / "ours.npz")
    judged: dict[str, Any] = {}
    for layer in ours.files:
        squared = _squared_distances(model, _layers(model)[int(layer)].output, x, queries)
        squared[np.arange(len(queries)), queries] = -1.0        # each before all others
        ranks = np.argsort(np.argsort(squared, axis=1, kind="stable"), axis=1, kind="stable")
        peers = options.work / f"peer-{layer}.npy"
        judged[layer] = {
            "ours": _quality(ours[layer], queries, ranks),
            "peer": _quality(np.load(peers), queries, ranks) if peers.exists() else None,
        }
    _write(options, "judge", judged)


def _squared_distances(model: Any, output: Any, x: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """(queries, samples) of the exact feature tensors: the queries' are held, the others pass by in batches."""
    import keras

    upto = keras.Model(model.inputs, output)

    def features(images: np.ndarray) -> Iterator[np.ndarray]:
        for start in range(0, len(images), 64):
            yield np.asarray(upto(images[start : start + 64], training=False)).reshape(len(images[start : start + 64]), -1)

    held = np.concatenate(list(features(x[queries])))
    if held.shape[1] < 20_000:
        held = held.astype(np.float64)
    centre = held.mean(axis=0)                                  # so that little cancels in the product
    held -= centre
    norms = np.einsum("ij,ij->i", held, held, dtype=np.float64)
    blocks = []
    for batch in features(x):
        batch = batch - centre
        blocks.append(norms[:, None] - 2.0 * (held @ batch.T) + np.einsum("ij,ij->i", batch, batch, dtype=np.float64))
    return np.concatenate(blocks, axis=1)


def _quality(points: np.ndarray, queries: np.ndarray, ranks: np.ndarray) -> dict[str, float]:
    """Trustworthiness (Venna & Kaski 2001) and share of the nearest neighbours kept, over the queries."""
    from sklearn.neighbors import NearestNeighbors

    k, count = NEIGHBORS, len(points)
    among = NearestNeighbors(n_neighbors=k + 1).fit(points).kneighbors(points[queries], return_distance=False)
    near = np.array([row[row != query][:k] for row, query in zip(among, queries, strict=True)])
    found = np.take_along_axis(ranks, near, axis=1)
    penalty = np.maximum(found - k, 0).sum()
    trustworthiness = 1 - 2 * penalty / (len(queries) * k * (2 * count - 3 * k - 1))
    return {"trustworthiness": float(trustworthiness), "neighbors_kept": float(np.mean(found <= k))}


CHILDREN = {"train": _train, "ours": _ours, "peer": _peer, "judge": _judge}


def _model_and_cells(options: argparse.Namespace) -> tuple[Any, np.ndarray, np.ndarray, dict[str, float]]:
    """The net, the cells, their classes, and what a bare forward pass of all of them takes: eight batches of it are made."""
    import tensorflow as tf

    from benchmarks.jobs import cells, wbc

    model = wbc(images=1).model
    model.compile()
    model.load_weights(options.work / "wbc.weights.h5")
    x, y = cells(options.images, seed=1)
    forward = tf.function(lambda batch: model(batch, training=False))
    batches = [tf.constant(x[start : start + 64]) for start in range(0, min(len(x), 512), 64)]
    forward(batches[0])
    wall, cpu = time.perf_counter(), time.process_time()
    for batch in batches:
        forward(batch).numpy()
    share = len(x) / sum(len(batch) for batch in batches)
    return model, x, y, {
        "wall_seconds": (time.perf_counter() - wall) * share, "cpu_seconds": (time.process_time() - cpu) * share
    }  # fmt: skip


def _layers(model: Any) -> list[Any]:
    """The convolutions and dense layers, first to last."""
    return [layer for layer in model.layers if type(layer).__name__ in ("Conv2D", "Dense")]


def _write(options: argparse.Namespace, name: str, result: dict[str, Any]) -> None:
    (options.work / f"{name}.json").write_text(json.dumps(result))


def _peak_bytes() -> int:
    """The largest resident size of this process so far."""
    return _kilobytes("/proc/self/status", "VmHWM") * 1024


def _free_bytes() -> int:
    return _kilobytes("/proc/meminfo", "MemAvailable") * 1024


def _kilobytes(path: str, name: str) -> int:
    lines = dict(line.split(":", 1) for line in Path(path).read_text().splitlines() if ":" in line)
    return int(lines[name].split()[0])


def _table(result: dict[str, Any]) -> str:
    head = ["layer", "features", "peer: wall, CPU s", "peer: GB", "trustworthiness, ours / peer", "kept, ours / peer", "ratio"]
    lines = [f"{result['images']} cells, commit {result['commit']}", "", f"| {' | '.join(head)} |", "| --- " * len(head) + "|"]
    for row in result["rows"]:
        peer, ours, theirs = row["peer"], row["judged"]["ours"], row["judged"]["peer"]
        cells = [row["layer"], f"{row['features']:,}"]
        if theirs is None:
            cells += [peer["left_out"], "–", f"{ours['trustworthiness']:.4f} / –", f"{ours['neighbors_kept']:.3f} / –", "–"]
        else:
            cells += [f"{peer['wall_seconds']:.0f}, {peer['cpu_seconds']:.0f}", f"{peer['megabytes_above_the_model'] / 1e3:.1f}"]
            pairs = [(ours[name], theirs[name]) for name in ("trustworthiness", "neighbors_kept")]
            cells += [f"{pairs[0][0]:.4f} / {pairs[0][1]:.4f}", f"{pairs[1][0]:.3f} / {pairs[1][1]:.3f}"]
            cells.append(f"{pairs[1][0] / pairs[1][1]:.3f}")
        lines.append(f"| {' | '.join(cells)} |")
    summary = result["summary"]
    ours, bare, ratio = summary["ours_all_layers"], summary["bare_forward_pass"], summary["peer_over_ours"]
    lines += [
        "",
        f"Ours, all {summary['layers']} layers: {ours['wall_seconds']:.0f} s, {ours['cpu_seconds']:.0f} s of CPU, "
        f"{ours['megabytes_above_the_model']:.0f} MB above the model's own (a bare pass: {bare['cpu_seconds']:.0f} s of CPU). "
        f"The peer on the {summary['layers_the_peer_survived']} layers it survives: {ratio['wall_seconds']:.1f} × the wall time, "
        f"{ratio['cpu_seconds']:.1f} × the CPU time.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
