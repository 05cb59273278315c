"""Steps of `AutoPrune` that take the same share of each layer."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

import featwatch as fw


@pytest.mark.parametrize(("round_to", "wanted"), [(1, [8, 4, 12]), (4, [8, 4, 12])])
def test_each_layer_loses_the_same_share(tmp_path: Path, round_to: int, wanted: list[int]) -> None:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential([
        keras.Input((6, 6, 1)), layers.Conv2D(16, 3, activation="relu"), layers.Conv2D(8, 3, activation="relu"),
        layers.Flatten(), layers.Dense(24, activation="relu"), layers.Dense(3, activation="softmax"),
    ])  # fmt: skip
    for layer, scale in zip(model.layers, (1.0, 100.0, 1.0, 0.01, 1.0), strict=True):     # globally, only the dense one would go
        layer.set_weights([scale * value for value in layer.get_weights()])
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    x, y = np.random.default_rng(0).normal(size=(12, 6, 6, 1)).astype("float32"), np.arange(12) % 3
    watch = fw.Watch(tmp_path, fw.Probe(x, y), recorders=[fw.FilterHealth()])
    pruner = fw.AutoPrune(
        watch, 0.25, 0.5, 1, None, criterion="l2", per_layer=True, round_to=round_to, compensate=False, latency=False
    )
    model.fit(x, y, epochs=4, verbose=0, callbacks=[watch, pruner])
    assert [layer.kernel.shape[-1] for layer in model.layers[:-1] if hasattr(layer, "kernel")] == wanted
    assert pruner.ratio == 0.5
