"""Feature images as other libraries make them: tf-keras-vis at its defaults and at the best settings known, and xplique.

tf-keras-vis 0.8.7 assumes an input of 0 to 255; it is given the data's own range.  xplique 2.0 cannot be installed beside a
TensorFlow of today: it runs in an environment of its own, `python benchmarks/xplique_images.py`.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Made = tuple[np.ndarray, float]     # (filters, height, width, channels), and CPU seconds
XPLIQUE = Path(__file__).with_name("xplique_images.py")


def by_default(model: Any, layer: str, filters: Sequence[int], steps: int, limits: tuple[float, float]) -> Made:
    """tf-keras-vis, one filter at a time, its defaults: the mean of the filter's map over the whole input."""
    from tf_keras_vis.utils.scores import CategoricalScore

    return _one_by_one(model, layer, filters, steps, limits, lambda number, shape: CategoricalScore(number), {})


def batched(model: Any, layer: str, filters: Sequence[int], steps: int, limits: tuple[float, float]) -> Made:
    """tf-keras-vis, all filters in one batch of seeds, otherwise its defaults."""
    from tf_keras_vis.utils.scores import CategoricalScore

    return _together(model, layer, filters, steps, limits, lambda shape: CategoricalScore(list(filters)), {})


def at_its_best(model: Any, layer: str, filters: Sequence[int], steps: int, limits: tuple[float, float]) -> Made:
    """tf-keras-vis, all in one batch: the centre neuron, a little jitter and total variation, no norm, Adam."""
    import keras
    import tensorflow as tf
    from tf_keras_vis.activation_maximization.input_modifiers import Jitter
    from tf_keras_vis.activation_maximization.regularizers import TotalVariation2D

    def centre(shape: tuple[int, ...]) -> Callable[[Any], Any]:
        return lambda output: tf.stack([output[i, shape[1] // 2, shape[2] // 2, number] for i, number in enumerate(filters)])

    span = limits[1] - limits[0]
    settings = {
        "input_modifiers": [Jitter(jitter=2)],
        "regularizers": [TotalVariation2D(weight=0.01)],
        "optimizer": keras.optimizers.Adam(0.05 * span),
    }
    return _together(model, layer, filters, steps, limits, centre, settings)


def _maximisation(model: Any, layer: str) -> tuple[Any, tuple[int, ...]]:
    from tf_keras_vis.activation_maximization import ActivationMaximization
    from tf_keras_vis.utils.model_modifiers import ExtractIntermediateLayer, ReplaceToLinear

    made = ActivationMaximization(model, model_modifier=[ExtractIntermediateLayer(layer), ReplaceToLinear()], clone=True)
    return made, tuple(made.model.output_shape)


def _seed(model: Any, count: int, limits: tuple[float, float]) -> np.ndarray:
    middle, span = sum(limits) / 2, limits[1] - limits[0]
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, (count, *model.input_shape[1:]))
    return (middle + span * noise).astype(np.float32)


def _one_by_one(model: Any, layer: str, filters: Sequence[int], steps: int, limits: Any, score: Any, settings: Any) -> Made:
    began = time.process_time()
    maximisation, shape = _maximisation(model, layer)
    images = [
        maximisation(score(number, shape), seed_input=_seed(model, 1, limits), steps=steps, input_range=limits, **settings)[0]
        for number in filters
    ]
    return np.stack([np.asarray(image) for image in images]), time.process_time() - began


def _together(model: Any, layer: str, filters: Sequence[int], steps: int, limits: Any, score: Any, settings: Any) -> Made:
    began = time.process_time()
    maximisation, shape = _maximisation(model, layer)
    seed = _seed(model, len(filters), limits)
    images = maximisation(score(shape), seed_input=seed, steps=steps, input_range=limits, **settings)
    return np.asarray(images), time.process_time() - began


def xplique(python: str) -> Callable[..., Made]:
    """xplique's Fourier images of the mean of each map, at its defaults, by the interpreter of its environment."""

    def made(model: Any, layer: str, filters: Sequence[int], steps: int, limits: tuple[float, float]) -> Made:
        with tempfile.TemporaryDirectory() as folder:
            model.save(f"{folder}/model.keras")
            asked = {"layer": layer, "filters": list(map(int, filters)), "steps": steps, "limits": list(map(float, limits))}
            (Path(folder) / "asked.json").write_text(json.dumps(asked))
            done = subprocess.run([python, str(XPLIQUE), folder], capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(done.stderr.strip().splitlines()[-1])
            found = np.load(f"{folder}/images.npz")
            return found["images"], float(found["seconds"])

    return made
