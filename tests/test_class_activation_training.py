"""`ClassActivation` in a fit, and what its ranking of filters is worth on a trained net."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import featwatch as fw
from featwatch.explain.decision import masked
from featwatch.explain.decision.class_maps import class_activation
from tests.fits import PROBE, fit, quick
from tests.nets import compiled, functional, images, sequential
from tests.test_class_activation import STEP, near

L = keras.layers
SEEN = 100      # a seed of nets in which every layer speaks for the class: of others all maps may be cut off at zero


def trained() -> tuple[Any, np.ndarray, np.ndarray]:
    """Three kinds of stripes, learnt."""
    rng = np.random.default_rng(0)
    y = np.arange(240) % 3
    grid = np.arange(12)
    waves = [np.tile(np.sin(grid * 2)[:, None], (1, 12)), np.tile(np.sin(grid * 2)[None], (12, 1)), np.sin(grid[:, None] + grid)]
    x = (np.stack(waves)[y] * rng.uniform(0.5, 1, (240, 1, 1)) + rng.normal(0, 0.5, (240, 12, 12)))[..., None].astype(np.float32)
    keras.utils.set_random_seed(0)
    model = compiled(keras.Sequential([
        keras.Input((12, 12, 1)), L.Conv2D(16, 5, activation="relu", name="conv"), L.GlobalAveragePooling2D(),
        L.Dense(3, activation="softmax"),
    ]))  # fmt: skip
    model.fit(x, y, epochs=15, batch_size=16, verbose=0)
    return model, x, y


def test_filters_of_influence_are_those_whose_silence_costs_the_class_most() -> None:
    model, x, y = trained()
    assert model.evaluate(x, y, verbose=0)[1] > 0.9
    logits = keras.Model(model.inputs[0], model.layers[-1].output)
    model.layers[-1].activation = keras.activations.linear
    found = class_activation(model, "conv", x, y)
    np.testing.assert_allclose(found.influence.sum(), 1, rtol=1e-5)
    kernel, bias = model.get_layer("conv").get_weights()

    def score(silent: np.ndarray) -> float:
        kept = np.isin(np.arange(16), silent, invert=True)
        model.get_layer("conv").set_weights([kernel * kept, bias * kept])
        scores = np.asarray(logits(x))
        return float(scores[np.arange(len(y)), y].mean())

    whole = score(np.zeros(0, int))
    order = np.argsort(-found.influence)
    rng = np.random.default_rng(1)
    lost = whole - score(order[:4])
    by_lot = [whole - score(rng.choice(16, 4, replace=False)) for _ in range(20)]
    least = whole - score(order[-4:])
    assert lost > np.mean(by_lot) + np.std(by_lot) and lost > 3 * abs(least)


def test_in_a_fit_it_follows_the_same_samples(tmp_path: Path) -> None:
    keras.utils.set_random_seed(SEEN)
    model = functional()
    fit(model, quick(tmp_path, recorders=[fw.ClassActivation(samples=4, ranked=20, schedule=fw.every(epochs=1))], strict=True))
    run = fw.load(tmp_path)
    for layer in ("stem", "block/inner", "last"):
        records = [run.class_activation(layer, epoch) for epoch in run.epochs]
        assert [record.epoch for record in records] == [0, 1, 2, 3]
        assert all(record.samples.tolist() == [0, 1, 2, 3] and record.note == "influence: over 20 samples" for record in records)
        expected = class_activation(model, layer, PROBE.x[:4])
        np.testing.assert_array_equal(records[-1].classes, expected.classes)
        near(records[-1].maps, expected.maps, STEP)
        np.testing.assert_allclose(records[-1].weights, expected.weights, rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(records[-1].influence, class_activation(model, layer, PROBE.x[:20]).influence, rtol=1e-4)
    with pytest.raises(KeyError):
        run.class_activation("scores", 0)


def test_it_shows_the_samples_own_class_on_request_and_large_maps_pooled(tmp_path: Path) -> None:
    keras.utils.set_random_seed(SEEN)
    model = sequential()
    recorder = fw.ClassActivation(samples=5, classes="label", size=3)
    run = fw.snapshot(model, PROBE, str(tmp_path), recorders=[recorder], layers=["conv", "dense"])
    record = run.class_activation("conv", 0)
    assert record.classes.tolist() == PROBE.labels[record.samples].tolist() and record.full_size == (6, 6)
    whole = class_activation(model, "conv", PROBE.x[record.samples], record.classes).maps
    near(record.maps, whole.reshape(5, 3, 2, 3, 2).mean(axis=(2, 4)), 2 * STEP)
    assert record.note == "each pixel is the mean over 2 positions × 2; influence: over 60 samples"


def test_score_cam_has_layers_in_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = fw.ClassActivation(2, method="scorecam", seconds=1.0, share=9.0, schedule=fw.every(epochs=1))
    original = masked.Masked.cams
    clock = [0.0]
    made._clock = lambda: clock[0]

    def cams(self: Any, *args: Any) -> Any:
        clock[0] += 0.8
        return original(self, *args)

    monkeypatch.setattr(masked.Masked, "cams", cams)
    wait = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: clock.append(clock.pop() + 1))
    keras.utils.set_random_seed(SEEN)
    model = functional()
    fit(model, quick(tmp_path, recorders=[made], strict=True), wait, epochs=5)
    run = fw.load(tmp_path)
    epochs = {layer: run.recorded("class_activation", layer) for layer in ("stem", "block/inner", "last")}
    recorded = [epoch for each in epochs.values() for epoch in each]
    assert set(recorded) == {0, 1, 2, 3, 4, 5} and len(recorded) < 10 and all(epochs.values())
    texts = [entry["text"] for entry in run.journal if entry.get("recorder") == "class_activation"]
    assert len(texts) == 1 and texts[0].startswith("class_activation: no time for block/inner, last")
    layer = next(layer for layer, each in epochs.items() if each[-1] == 5)
    near(run.class_activation(layer, 5).maps, class_activation(model, layer, PROBE.x[:2], method="scorecam").maps, STEP)


def test_where_no_class_is_predicted_that_is_said_once(tmp_path: Path) -> None:
    inputs = keras.Input((8, 8, 1))
    model = keras.Model(inputs, L.Dense(1, name="value")(L.Flatten()(L.Conv2D(3, 3, name="conv")(inputs))))
    model.compile("sgd", "mse")
    x, y = images(30)
    watch = quick(tmp_path, probe=fw.Probe(x), recorders=[fw.ClassActivation(schedule=fw.every(epochs=1))], strict=True)
    model.fit(x, y.astype(np.float32), epochs=3, verbose=0, callbacks=[watch])
    notes = [entry["text"] for entry in fw.load(tmp_path).journal if entry.get("recorder") == "class_activation"]
    assert notes == ["class_activation: no layer has class activations: the output 'value' holds no class scores"]


def test_a_layer_from_which_nothing_leads_to_the_classes_is_named_once(tmp_path: Path) -> None:
    inputs = keras.Input((8, 8, 1))
    x = L.Conv2D(3, 3, activation="relu", name="before")(inputs)
    x = L.Conv2D(3, 3, activation="relu", name="conv")(keras.ops.stop_gradient(x))
    model = compiled(keras.Model(inputs, L.Dense(3, activation="softmax", name="scores")(L.Flatten()(x))))
    model.get_layer("before").trainable = False
    fit(model, quick(tmp_path, recorders=[fw.ClassActivation(schedule=fw.every(epochs=1))], strict=True))
    run = fw.load(tmp_path)
    notes = [entry["text"] for entry in run.journal if entry.get("recorder") == "class_activation"]
    assert len(notes) == 1 and "layer 'before' has no class activations: the output 'scores' does not depend on it" in notes[0]
    assert run.recorded("class_activation", "conv") == [0, 1, 2, 3]


def test_options_are_checked() -> None:
    for options in ({"samples": 0}, {"classes": "all"}, {"method": "cam"}, {"ranked": 0}, {"size": 0}, {"output": -1}):
        with pytest.raises(ValueError, match=f"{next(iter(options))}="):
            fw.ClassActivation(**options)
    with pytest.raises(TypeError, match=r"output=1\.5"):
        fw.ClassActivation(output=1.5)


@pytest.mark.parametrize("chosen", ["first", "second"])
def test_the_output_is_the_one_that_the_watch_was_told(tmp_path: Path, chosen: str) -> None:
    x, y = images()
    inputs = keras.Input((8, 8, 1))
    features = L.Flatten()(L.Conv2D(4, 3, activation="relu", name="conv")(inputs))
    outputs = [L.Dense(3, activation="softmax", name=name)(features) for name in ("first", "second")]
    model = keras.Model(inputs, outputs)
    model.compile("adam", ["sparse_categorical_crossentropy"] * 2)
    recorders = [fw.ClassActivation(samples=3)]
    watch = fw.Watch(tmp_path, fw.Probe(x, y), recorders=recorders, layers="conv", output=chosen, background=False, strict=True)
    model.fit(x, [y, y], epochs=1, verbose=0, callbacks=[watch])
    record = fw.load(tmp_path).class_activation("conv", 1)
    expected = class_activation(model, "conv", x[record.samples], output=chosen)
    assert record.classes.tolist() == expected.classes.tolist()
    np.testing.assert_allclose(record.weights, expected.weights, rtol=1e-4, atol=1e-6)
