"""Maximising images led from samples, beside the same from an empty image at full size (B4, row F9).

    python -m benchmarks.maximising --full

On 78×78×2 cells, for convolutions whose units see 5, 14 and 32 pixels.  Both maximise the same units by the same step, none
changing a value by more than 1 % of its range: featwatch from the sample that activates the unit most, as many steps as
leave it without noise; the other from an empty image, every value the lowest, in one traced function for all filters,
until what enters the unit's activation is as large, and until it converges, growing by less than 1 % in 20 steps.
tf-keras-vis, with its defaults, makes one of each layer's, from an empty image, in 200 steps.

CPU seconds per filter, tracing and calibration not included: they are given beside.  A unit that an empty image never
switches on, or that has not converged by then, counts with the 400 steps that are tried.  Without `--full`: fewer filters.
Writes benchmarks/results/maximising.json, or …-short.json.
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

LAYERS = (1, 3, 5)                  # convolutions of the net, by number: units see 5, 14, 32 pixels
MOST_STEPS = 400                    # from an empty image
_OVER, _GROWTH = 20, 0.01           # converged: so little growth over so many steps
_REPEATS = 3
_BY_PEER = 1                        # filters of each layer that tf-keras-vis makes


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write; returns the exit status."""
    parser = argparse.ArgumentParser(description="What maximising images take.")
    parser.add_argument("--full", action="store_true")
    options = parser.parse_args(arguments)
    import keras

    import featwatch as fw
    from benchmarks.jobs import wbc

    keras.utils.set_random_seed(0)
    job = wbc(images=300)
    job.model.optimizer.learning_rate = 1e-3
    job.model.fit(job.x, job.y, epochs=2, batch_size=32, verbose=0)
    probe = fw.Probe(job.x_probe[:400], job.y_probe[:400])
    convolutions = [layer for layer in job.model.layers if isinstance(layer, keras.layers.Conv2D)]
    measured = []
    for number in LAYERS:
        measured.append(_measured(job.model, convolutions[number], probe, 8 if options.full else 2))
        print(_row(measured[-1]), file=sys.stderr, flush=True)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"maximising{'' if options.full else '-short'}.json"
    path.write_text(json.dumps({**_machine(), "layers": measured}, indent=1) + "\n")
    header = [
        "| units see | steps | ms a filter | from empty: as large | times | converged | times | tf-keras-vis | times |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    print("\n".join([*header, *map(_row, measured)]))
    return 0


def _measured(model: Any, layer: Any, probe: Any, count: int) -> dict[str, Any]:
    import featwatch as fw
    from featwatch.explain.leading.maximising import Gallery
    from featwatch.explain.strongest import strength
    from featwatch.explain.subject import subject_of

    filters = np.arange(count)
    found, first = _timed(lambda: fw.explain.maximising_images(model, layer.name, filters, probe))
    subject = subject_of(model, layer.name, probe)
    reductions = strength(model, subject.site, probe)
    gallery = Gallery(model, subject, probe)
    own = [_timed(lambda: gallery.lead(filters, reductions, found.steps))[1] for _ in range(_REPEATS)]
    _, calibrating = _timed(lambda: gallery.calibrate(reductions))
    seconds = statistics.median(own) / len(filters)
    units = gallery.leader.starts(filters, found.samples, reductions["peak"][found.samples, filters]).units

    values, each_step = from_empty(model, layer, filters, units, found.low, found.high)
    as_large = _first(values >= found.activation[:, None])
    later = values[:, _OVER:]
    # What never moved has not converged.
    still = (later - values[:, :-_OVER] < _GROWTH * np.abs(later)) & (later > values[:, :1])
    converged = np.minimum(_OVER + _first(still), MOST_STEPS)
    return {
        "layer": layer.name,
        "sees": int((found.boxes[:, 1] - found.boxes[:, 0]).max() + 1),
        "filters": len(filters),
        "steps": found.steps,
        "calibrated_on": found.calibrated_on,
        "note": found.note,
        "seconds": seconds,
        "with_tracing_and_calibration_seconds": first,
        "calibration_seconds": calibrating,
        "grown": float(np.median(found.activation / found.started)),
        "empty_seconds_per_step": each_step,
        "as_large_steps": float(np.minimum(as_large, MOST_STEPS).mean()),
        "as_large_share": float((as_large < MOST_STEPS).mean()),
        "as_large_seconds": float(np.minimum(as_large, MOST_STEPS).mean() * each_step),
        "converged_steps": float(np.minimum(converged, MOST_STEPS).mean()),
        "converged_share": float((converged < MOST_STEPS).mean()),
        "converged_seconds": float(np.minimum(converged, MOST_STEPS).mean() * each_step),
        "peer_seconds": _peer(model, layer, filters[:_BY_PEER], units, found),
    }


def from_empty(
    model: Any, layer: Any, filters: np.ndarray, units: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, float]:
    """(filters, MOST_STEPS + 1) what enters each unit's activation after each step, and CPU seconds per filter and step."""
    import keras
    import tensorflow as tf

    # The layer without its activation, sharing its weights: `model` stays what it is.
    def before(x: Any) -> Any:
        return tf.nn.convolution(x, layer.kernel.value, layer.strides[0], layer.padding.upper()) + layer.bias.value

    part = keras.Model(model.inputs, layer.input)
    places = np.concatenate([np.arange(len(filters))[:, None], units, filters[:, None]], axis=1)
    reach = high - low

    @tf.function(autograph=False)
    def step(x: Any) -> Any:
        value = tf.gather_nd(before(part(x, training=False)), places)
        gradient = tf.gradients(tf.reduce_sum(value), x)[0] * reach
        largest = tf.reduce_max(tf.abs(gradient), axis=(1, 2, 3), keepdims=True)
        moved = x + 0.01 * reach * tf.math.divide_no_nan(gradient, largest)
        return tf.clip_by_value(moved, low, high), value

    x = tf.constant(np.tile(low, (len(filters), *model.input_shape[1:3], 1)), tf.float32)
    step(x)                                             # traced
    values, started = [], time.process_time()
    for _ in range(MOST_STEPS + 1):
        x, value = step(x)
        values.append(value.numpy())
    seconds = (time.process_time() - started) / (MOST_STEPS + 1) / len(filters)
    return np.stack(values, axis=1), seconds


def _peer(model: Any, layer: Any, filters: np.ndarray, units: np.ndarray, found: Any) -> float:
    """CPU seconds per filter of tf-keras-vis, its defaults but for the unit, the range and the empty image."""
    import keras
    from tf_keras_vis.activation_maximization import ActivationMaximization
    from tf_keras_vis.utils.model_modifiers import ExtractIntermediateLayer, ReplaceToLinear

    maximisation = ActivationMaximization(
        keras.models.clone_model(model), model_modifier=[ExtractIntermediateLayer(layer.name), ReplaceToLinear()], clone=False
    )
    maximisation.model.set_weights(keras.Model(model.inputs, layer.output).get_weights())
    empty = np.tile(found.low, (1, *model.input_shape[1:3], 1)).astype(np.float32)
    limits = (float(found.low.min()), float(found.high.max()))

    def all_of_them() -> None:
        for number, unit in zip(filters, units, strict=False):
            place = (0, *map(int, unit), int(number))
            maximisation(lambda output, place=place: output[place], seed_input=empty, steps=200, input_range=limits)

    return _timed(all_of_them)[1] / len(filters)


def _first(these: np.ndarray) -> np.ndarray:
    """(rows,) the first column that holds, `MOST_STEPS` where none does."""
    return np.where(these.any(axis=1), these.argmax(axis=1), MOST_STEPS)


def _timed(function: Callable[[], Any]) -> tuple[Any, float]:
    started = time.process_time()
    result = function()
    return result, time.process_time() - started


def _row(one: dict[str, Any]) -> str:
    own = one["seconds"]

    def other(name: str) -> str:
        share = one.get(f"{name}_share", 1.0)
        reached = "" if share == 1 else f", {share:.0%} of the units"
        steps = f" ({one[f'{name}_steps']:.0f} steps{reached})" if f"{name}_steps" in one else ""
        return f"{1000 * one[f'{name}_seconds']:.0f} ms{steps} | {one[f'{name}_seconds'] / own:.0f} ×"

    others = " | ".join(map(other, ("as_large", "converged", "peer")))
    return f"| {one['sees']} px | {one['steps']} | {1000 * own:.1f} | {others} |"


if __name__ == "__main__":
    sys.exit(main())
