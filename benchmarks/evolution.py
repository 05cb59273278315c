"""How steady and how faithful embeddings are over the epochs of a training, beside umap-learn's ways and PCA (B3).

    python -m benchmarks.evolution                       # the short run: digits, 600 samples, 16 epochs
    python -m benchmarks.evolution --full --job wbc      # 1,000 samples, 30 epochs, every peer

The held-out samples' features at every epoch are recorded first, in a process of its own.  Stability is the correlation of
how far samples moved in the features and in the plane, over all samples and epochs (Vernier et al. 2020): `raw` by the
plain distances; `relative` with the features of each epoch centred and brought to one size, because a shift or a growth of
a whole layer shows in no distance between samples, and so in no layout made of these.  Seconds are CPU seconds of one thread,
start-up and compilation left out.  Writes benchmarks/results/evolution-JOB.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cost import RESULTS, _machine

Layouts = list[np.ndarray]
TAPS = {"digits": ("conv2", "dense", "scores"), "wbc": ("conv2d_2", "dense", "dense_2"), "resnet": ("add_2", "pooled", "scores")}
NEVER = "only with --full"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write; returns the exit status."""
    parser = argparse.ArgumentParser(description="Embeddings over the epochs of a training.")
    parser.add_argument("--job", choices=TAPS, default="digits")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--samples", type=int)
    parser.add_argument("--features", type=Path, help="an .npz to keep the recorded features in, or to take them from")
    parser.add_argument("--record", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    epochs = options.epochs or (30 if options.full else 15)
    samples = options.samples or (1000 if options.full else 600)
    if options.record:
        _record(options.job, epochs, samples, options.record)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        kept = options.features or Path(folder) / "features.npz"
        if not kept.exists():
            command = [sys.executable, "-m", "benchmarks.evolution", "--job", options.job, "--record", str(kept)]
            subprocess.run([*command, "--epochs", str(epochs), "--samples", str(samples)], check=True)
        with np.load(kept) as archive:
            recorded = {name: archive[name] for name in archive.files}
    result: dict[str, Any] = {"job": options.job, **_machine(), "layers": {}}
    sys.modules["tensorflow"] = sys.modules["keras"] = None  # type: ignore[assignment]      # umap would import them
    for layer, history in recorded.items():
        result["layers"][layer] = {"shape": list(history.shape), "ways": _compare(history, options.full)}
        print(_table(options.job, layer, result["layers"][layer]), flush=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"evolution-{options.job}.json").write_text(json.dumps(result, indent=1) + "\n")
    return 0


def _record(name: str, epochs: int, samples: int, out: Path) -> None:
    """Train a job and keep what its layers make of the held-out samples, as the watch would sketch it."""
    import keras

    from benchmarks.jobs import JOBS
    from featwatch import Probe
    from featwatch.preparation import prepare
    from featwatch.recorders import Embeddings

    keras.utils.set_random_seed(0)
    job = JOBS[name](**({"held_out": 1000} if name == "digits" else {}))
    probe = Probe(job.x_probe, job.y_probe, size=samples)
    recorder = Embeddings(layers=list(TAPS[name]))
    taps = prepare(job.model, probe, [recorder], None, None).passes.of([recorder])
    history: dict[str, list[np.ndarray]] = {layer: [] for layer in TAPS[name]}

    def look(*_: Any) -> None:
        reading = taps.read(probe.batches())
        for layer in history:
            history[layer].append(reading.layers[layer]["features"])

    looking = keras.callbacks.LambdaCallback(on_train_begin=look, on_epoch_end=look)
    job.model.fit(job.x, job.y, epochs=epochs, batch_size=job.batch_size, verbose=0, callbacks=[looking])
    arrays: dict[str, Any] = {layer: np.stack(each) for layer, each in history.items()}
    np.savez(out, **arrays)


def _compare(history: np.ndarray, full: bool) -> dict[str, Any]:
    from featwatch.analysis.neighbours import Distances

    distances = [Distances(features) for features in history]
    for each in distances:
        each.nearest(50)
    ways: dict[str, tuple[Callable[[np.ndarray], Layouts], bool]] = {
        "featwatch": (_ours, True),
        "umap-learn, each epoch": (_per_epoch, True),
        "umap-learn, from the epoch before": (_warm, full),
        "umap-learn, all epochs at once": (_at_once, full),
        "AlignedUMAP": (_aligned, full),
        "PCA, all epochs at once": (_pca, True),
    }
    found: dict[str, Any] = {}
    for name, (way, wanted) in ways.items():
        if not wanted:
            found[name] = NEVER
            continue
        with _one_thread():
            way(history[:2, :64])               # imports and compiles
            began = time.process_time()
            layouts = way(history)
            seconds = time.process_time() - began
            found[name] = {**_judged(history, distances, layouts), "seconds": seconds}
        print(f"  {name}: {seconds:.1f} s", file=sys.stderr, flush=True)
    return found


def _ours(history: np.ndarray) -> Layouts:
    from featwatch.recorders import Embeddings
    from featwatch.recorders.base import LayerSnapshot
    from featwatch.records import LayerInfo

    recorder, layouts, last = Embeddings(), [], None
    info = LayerInfo(name="", type="", shape=(), filters=1, tapped="", activation="", parameters=0, features=1, sketch=1)
    for epoch, features in enumerate(history):
        snapshot = LayerSnapshot(
            epoch=epoch, info=info, labels=np.zeros(len(features), np.int32), previous=last,
            reductions={"features": features, "largest": np.zeros(len(features), np.int32)},
            previous_reductions={"features": history[epoch - 1]} if epoch else {},
        )  # fmt: skip
        last = recorder.analyse(snapshot)
        layouts.append(last.points)
    return layouts


def _per_epoch(history: np.ndarray) -> Layouts:
    from umap import UMAP

    return [UMAP(random_state=0, n_jobs=1).fit_transform(features) for features in history]


def _warm(history: np.ndarray) -> Layouts:
    from umap import UMAP

    layouts: Layouts = []
    for features in history:
        more: dict[str, Any] = {"init": layouts[-1], "n_epochs": 50} if layouts else {}
        layouts.append(UMAP(random_state=0, n_jobs=1, **more).fit_transform(features))
    return layouts


def _at_once(history: np.ndarray) -> Layouts:
    from umap import UMAP

    points = UMAP(random_state=0, n_jobs=1).fit_transform(np.concatenate(list(history)))
    return list(points.reshape(len(history), -1, 2))


def _aligned(history: np.ndarray) -> Layouts:
    from umap import AlignedUMAP

    same = {index: index for index in range(history.shape[1])}
    return list(AlignedUMAP(random_state=0).fit(list(history), relations=[same] * (len(history) - 1)).embeddings_)


def _pca(history: np.ndarray) -> Layouts:
    from sklearn.decomposition import PCA

    model = PCA(2, random_state=0).fit(history.reshape(-1, history.shape[-1]))
    return [model.transform(features) for features in history]


def _judged(history: np.ndarray, distances: Sequence[Any], layouts: Layouts) -> dict[str, float]:
    from scipy.stats import spearmanr

    from featwatch.analysis.neighbours import nearest
    from featwatch.analysis.quality import neighbours_kept, trustworthiness

    count = history.shape[1]
    wide = max(1, count // 20)
    near = [nearest(points, max(wide, 15))[0] for points in layouts]
    pairs = list(zip(distances, near, strict=True))
    judged = {
        "kept_15": np.mean([neighbours_kept(d.nearest(15)[0], n[:, :15]) for d, n in pairs]),
        "kept_5_percent": np.mean([neighbours_kept(d.nearest(wide)[0], n[:, :wide]) for d, n in pairs]),
        "trustworthiness": np.mean([trustworthiness(d, n[:, :15]) for d, n in pairs]),
    }
    centred = [points - points.mean(axis=0) for points in layouts]
    same_size = [values / np.linalg.norm(values) * np.sqrt(count) for values in (f - f.mean(axis=0) for f in history)]
    for name, far, way in (("raw", list(history), layouts), ("relative", same_size, centred)):
        moved, travelled = _ways(far), _ways(way)
        judged[f"r_{name}"] = np.corrcoef(moved, travelled)[0, 1]
        judged[f"rho_{name}"] = spearmanr(moved, travelled).statistic
        stress = moved / moved.max() - travelled / travelled.max()
        judged[f"stress_{name}"] = np.square(stress).sum() / np.square(moved / moved.max()).sum()
    return {name: float(value) for name, value in judged.items()}


def _ways(states: Sequence[np.ndarray]) -> np.ndarray:
    """(epochs − 1) · samples: how far every sample moved from each epoch to the next."""
    return np.concatenate([np.linalg.norm(after - before, axis=1) for before, after in zip(states, states[1:], strict=False)])


@contextmanager
def _one_thread() -> Iterator[None]:
    import numba
    from threadpoolctl import threadpool_limits

    before = numba.get_num_threads()
    numba.set_num_threads(1)
    with threadpool_limits(1):
        yield
    numba.set_num_threads(before)


def _table(job: str, layer: str, measured: dict[str, Any]) -> str:
    columns = {
        "r_relative": "r", "rho_relative": "ρ", "r_raw": "r, raw", "rho_raw": "ρ, raw", "stress_relative": "stress",
        "kept_5_percent": "kept 5 %", "kept_15": "kept 15", "trustworthiness": "trust", "seconds": "CPU s",
    }  # fmt: skip
    epochs, samples, width = measured["shape"]
    lines = [f"| {job}, {layer}: {samples} × {width}, {epochs} epochs | " + " | ".join(columns.values()) + " |"]
    lines.append("| --- " * (len(columns) + 1) + "|")
    for name, found in measured["ways"].items():
        if found != NEVER:
            figures = [f"{found[key]:.1f}" if key == "seconds" else f"{found[key]:.3f}" for key in columns]
            lines.append(f"| {name} | " + " | ".join(figures) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.exit(main())
