"""What attributions take: nine saliency maps for every filter of five pooling layers, and occlusion (rows S1, S2).

    python -m benchmarks.attributions --repeats 3

The net is that of the watched trainings, with VGG's blocks on 78×78×2 cell images.  Saliency is compared with one gradient for
each filter and image, the forward pass in a traced function, and with tf-keras-vis where that works; occlusion on receptive
fields with occlusion all over.  All take turns in one process; CPU seconds are given, with the median of the ratios of each turn.
Results have to be equal.  What the naive ways take for all filters is reckoned from `--naive` filters of each layer.  Writes
benchmarks/results/attributions.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.cost import RESULTS, _machine

IMAGES = 9


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write; returns the exit status."""
    parser = argparse.ArgumentParser(description="What attributions take.")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--naive", type=int, default=2, help="filters of each layer that go the naive way (default: %(default)s)")
    parser.add_argument("--peer", type=int, default=2, help="filters of each layer for tf-keras-vis (default: %(default)s)")
    options = parser.parse_args(arguments)
    model, pooled, x = workload(options.images)
    saliency = [_saliency(model, name, x, options) for name in pooled]
    occlusion = [_occlusion(model, name, x[:2], options) for name in pooled]
    result = {**_machine(), "images": options.images, "saliency": saliency, "occlusion": occlusion}
    total = {key: sum(one[key]["cpu_seconds"] * one.get("scale_" + key, 1) for one in saliency) for key in ("ours", "naive")}
    result["saliency_in_all"] = {**total, "times": total["naive"] / total["ours"]}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "attributions.json").write_text(json.dumps(result, indent=1) + "\n")
    print(_table(result))
    return 0


def workload(images: int) -> tuple[Any, list[str], np.ndarray]:
    """A net with five pooling layers, their names, and images."""
    import keras

    from benchmarks.jobs import cells

    layers = keras.layers
    keras.utils.set_random_seed(0)
    stack: list[Any] = [keras.Input((78, 78, 2))]
    names = []
    for block, (count, filters) in enumerate(((2, 16), (2, 32), (3, 64), (3, 128), (3, 128))):
        options = {"padding": "same", "activation": "relu", "kernel_initializer": "he_normal"}
        stack += [layers.Conv2D(filters, 3, **options) for _ in range(count)]
        stack.append(layers.MaxPooling2D(name=f"pool_{block + 1}"))
        names.append(f"pool_{block + 1}")
    return keras.Sequential(stack, name="blocks"), names, cells(images)[0]


def _saliency(model: Any, name: str, x: np.ndarray, options: Any) -> dict[str, Any]:
    import featwatch as fw

    filters = model.get_layer(name).output.shape[-1]
    naive = _naive(model, name)
    some = np.linspace(0, filters - 1, options.naive).astype(int)
    found = fw.explain.saliency(model, name, None, x)       # traces
    expected = np.stack([[naive(f, picture) for picture in x[:1]] for f in some])
    error = _error(found.maps[some, :1], expected)
    ours, theirs = [], []
    for _ in range(options.repeats):
        ours.append(_timed(lambda: fw.explain.saliency(model, name, None, x))[1])
        theirs.append(_timed(lambda: [naive(f, picture) for f in some for picture in x])[1])
    scale = filters / len(some)
    result = {
        "layer": name, "filters": int(filters), "maps": int(filters) * len(x), "window": list(_window(model, name)),
        "work": round(found.work, 1), "error": error,
        "ours": _spread(ours), "naive": _spread(theirs), "scale_naive": scale,
        "times": statistics.median(b * scale / a for a, b in zip(ours, theirs, strict=True)),
    }  # fmt: skip
    result |= _peer(model, name, x, np.linspace(0, filters - 1, options.peer).astype(int), result, options.repeats)
    print(json.dumps(result), file=sys.stderr, flush=True)
    return result


def _peer(model: Any, name: str, x: np.ndarray, some: np.ndarray, ours: dict[str, Any], repeats: int) -> dict[str, Any]:
    """tf-keras-vis, filter by filter, of the mean over positions: the sum divided by their number."""
    import warnings

    import keras
    import tensorflow as tf
    from tf_keras_vis.saliency import Saliency

    import featwatch as fw

    if not len(some):
        return {}
    warnings.filterwarnings("ignore")
    inner = keras.Model(model.inputs[0], model.get_layer(name).output)
    units = int(np.prod(inner.output.shape[1:-1]))
    saliency = Saliency(inner, clone=True)

    def theirs(f: int) -> np.ndarray:
        return saliency(lambda output: tf.reduce_mean(output[..., f], axis=(1, 2)), x, smooth_samples=0, normalize_map=False)

    mine = fw.explain.saliency(model, name, None, x, "sum")
    error = _error(mine.maps[some], units * np.stack([theirs(f) for f in some]))
    seconds, own = [], []
    for _ in range(repeats):
        seconds.append(_timed(lambda: [theirs(f) for f in some])[1] * ours["filters"] / len(some))
        own.append(_timed(lambda: fw.explain.saliency(model, name, None, x, "sum"))[1])
    return {
        "of_sum": _spread(own), "tf_keras_vis": _spread(seconds), "tf_keras_vis_error": error,
        "tf_keras_vis_times": statistics.median(b / a for a, b in zip(own, seconds, strict=True)),
    }  # fmt: skip


def _occlusion(model: Any, name: str, x: np.ndarray, options: Any) -> dict[str, Any]:
    import featwatch as fw

    # Few filters: the more there are, the more of the picture their strongest units cover together.
    filters = np.arange(4)
    arguments = model, name, filters, x, 11, 4
    found, full = fw.explain.occlusion(*arguments), fw.explain.occlusion(*arguments, restrict=False)
    ours, theirs = [], []
    for _ in range(options.repeats):
        ours.append(_timed(lambda: fw.explain.occlusion(*arguments))[1])
        theirs.append(_timed(lambda: fw.explain.occlusion(*arguments, restrict=False))[1])
    result = {
        "layer": name, "filters": len(filters), "images": len(x), "passes": found.passes, "work": round(found.work, 1),
        "passes_all_over": full.passes, "error": _error(found.maps, full.maps),
        "ours": _spread(ours), "all_over": _spread(theirs),
        "times": statistics.median(b / a for a, b in zip(ours, theirs, strict=True)),
    }  # fmt: skip
    print(json.dumps(result), file=sys.stderr, flush=True)
    return result


def _naive(model: Any, name: str) -> Callable[[int, np.ndarray], np.ndarray]:
    """The gradient of the maximum of one filter's map of one image, by a tape, in a function that is traced once."""
    import keras
    import tensorflow as tf

    inner = keras.Model(model.inputs[0], model.get_layer(name).output)

    @tf.function(input_signature=[tf.TensorSpec((), tf.int32), tf.TensorSpec((1, 78, 78, 2), tf.float32)])
    def gradient(f: tf.Tensor, picture: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(picture)
            value = tf.reduce_max(tf.gather(inner(picture, training=False), f, axis=-1))
        return tf.reduce_max(tf.abs(tape.gradient(value, picture)[0]), axis=-1)

    return lambda f, picture: gradient(tf.constant(f, tf.int32), tf.constant(picture[None])).numpy()


def _window(model: Any, name: str) -> tuple[int, int]:
    """Height and width of what is differentiated, for a unit."""
    from featwatch.explain.attribution.layer_functions import functions_of
    from featwatch.explain.subject import subject_of

    return functions_of(model, subject_of(model, name)).frame.size


def _error(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def _timed(function: Callable[[], Any]) -> tuple[Any, float]:
    started = time.process_time()
    result = function()
    return result, time.process_time() - started


def _spread(seconds: list[float]) -> dict[str, float]:
    return {"cpu_seconds": statistics.median(seconds), "min": min(seconds), "max": max(seconds)}


def _table(result: dict[str, Any]) -> str:
    lines = ["| layer | maps | window | CPU seconds | naive | times | tf-keras-vis (sum) | times |", "| --- " * 8 + "|"]
    for one in result["saliency"]:
        peer = f"{one['tf_keras_vis']['cpu_seconds']:.2f} | {one['tf_keras_vis_times']:.1f}" if "tf_keras_vis" in one else "– | –"
        naive = one["naive"]["cpu_seconds"] * one["scale_naive"]
        lines.append(
            f"| {one['layer']} | {one['maps']:,} | {' × '.join(map(str, one['window']))} | {one['ours']['cpu_seconds']:.2f} "
            f"| {naive:.1f} | {one['times']:.1f} | {peer} |"
        )
    lines += ["", "| layer | passes | whole pictures | all over | CPU seconds | all over | times |", "| --- " * 7 + "|"]
    lines += [
        f"| {one['layer']} | {one['passes']:,} | {one['work']:,} | {one['passes_all_over']:,} | {one['ours']['cpu_seconds']:.2f} "
        f"| {one['all_over']['cpu_seconds']:.2f} | {one['times']:.1f} |"
        for one in result["occlusion"]
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
