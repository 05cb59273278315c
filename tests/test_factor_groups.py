"""`FactorGroups` in a fit: places kept, turns within seconds, and a training that is the same to the last bit."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest

import featwatch as fw
from featwatch import wire
from featwatch.explain import groups as module
from featwatch.recorders import factor_groups as module_of_recorder
from featwatch.recorders.layer_turns import LayerTurns
from featwatch.records import FactorGroups
from tests.fits import PROBE, fit, ours, quick
from tests.nets import compiled, functional
from tests.planted_groups import cosines

L = keras.layers


def recorder(**options: Any) -> fw.FactorGroups:
    return fw.FactorGroups(**{"seconds": None, "groups": 3, "schedule": fw.every(epochs=1), **options})


def test_in_a_fit_groups_keep_their_places(tmp_path: Path) -> None:
    model = functional()
    model.optimizer.learning_rate = 1e-3
    fit(model, quick(tmp_path, recorders=[recorder(groups=2)], strict=True), epochs=4)
    run = fw.load(tmp_path)
    for layer in run.layers:
        records = [run.factors(layer, epoch) for epoch in run.epochs]
        assert len(records) == 5 and not records[0].likeness.size
        for before, after in zip(records, records[1:], strict=False):
            if after.weights.shape == before.weights.shape:
                alike = cosines(before.weights, after.weights)
                np.testing.assert_allclose(after.likeness, np.diag(alike), atol=1e-5)
                assert np.trace(alike) >= np.trace(alike[::-1]) - 1e-6
        assert records[-1].pixels.shape[0] == len(records[-1].weights) == len(records[-1].reached)
        again = wire.decode(wire.encode(records[-1]))
        np.testing.assert_array_equal(again.maps, records[-1].maps)
    record = run.factors("last", 4)
    values = fw.explain.activations(model, "last", PROBE.x[record.samples])["last"]
    made = np.einsum("sgrc,gf->srcf", record.maps / 255 * record.largest[:, None, None], record.weights)
    left = np.square(values - made).sum() / np.square(values).sum()
    assert abs(left - record.unexplained) < 0.01 and record.samples.tolist() == [0, 1, 2, 3, 4, 5]
    dense = run.factors("scores", 4)
    assert dense.maps.shape[0] == 24 and dense.note.endswith("of all 60 samples of the probe")


def test_groups_keep_their_places_in_a_training_that_is_resumed(tmp_path: Path) -> None:
    keras.utils.set_random_seed(3)
    model = functional()
    fit(model, quick(tmp_path, recorders=[recorder(schedule=fw.at(2))], strict=True), epochs=2)
    before = {layer: fw.load(tmp_path).factors(layer, 2) for layer in ("stem", "last")}
    again = recorder(schedule=fw.at(3))
    fit(model, quick(tmp_path, recorders=[again], strict=True), epochs=4, initial_epoch=2)      # a watch that knows nothing
    run = fw.load(tmp_path)
    for layer, earlier in before.items():
        record = run.factors(layer, 3)
        assert run.recorded("factors", layer) == [2, 3] and not earlier.likeness.size
        assert record.likeness.size == len(earlier.weights)
        np.testing.assert_allclose(record.likeness, np.diag(cosines(earlier.weights, record.weights)), atol=1e-5)


def test_weights_of_another_number_of_filters_are_no_earlier_groups() -> None:
    before = FactorGroups(
        epoch=1, layer="a", samples=np.zeros(1, np.int32), maps=np.zeros((1, 2, 1, 1), np.uint8), largest=np.ones(2, np.float32),
        weights=np.eye(2, 5, dtype=np.float32), share=np.ones(2, np.float32),
    )  # fmt: skip
    look: Any = SimpleNamespace(state={"weights": {}}, latest={"a": {"factors": before}})
    assert module_of_recorder._earlier(look, "a", 5) is before.weights
    assert module_of_recorder._earlier(look, "a", 4) is None and module_of_recorder._earlier(look, "b", 5) is None
    look.state["weights"]["a"] = np.ones((1, 5), np.float32)        # of this training
    assert module_of_recorder._earlier(look, "a", 5) is look.state["weights"]["a"]


def weights_after(*callbacks: Any) -> list[np.ndarray]:
    keras.utils.set_random_seed(5)
    model = functional()
    fit(model, *callbacks, epochs=2)
    drawn = keras.ops.convert_to_numpy(keras.random.uniform((3,)))
    return [*model.get_weights(), *(v.numpy() for v in model.optimizer.variables), drawn, np.random.random(3)]


def test_training_is_the_same_to_the_last_bit(tmp_path: Path) -> None:
    all_three = [
        recorder(), fw.ClassActivation(schedule=fw.every(epochs=1)), fw.ClusterImages(seconds=None, schedule=fw.every(epochs=1)),
        fw.Embeddings(layout="pca"), fw.Clusters(),
    ]  # fmt: skip
    bare, watched = weights_after(), weights_after(quick(tmp_path, recorders=all_three, strict=True))
    assert all(np.array_equal(one, other) for one, other in zip(bare, watched, strict=True))
    assert fw.load(tmp_path).recorded("cluster_images", "last")


class Clock:
    """Goes on where it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_layers_have_their_turns_within_the_seconds() -> None:
    clock = Clock()
    turns, names = LayerTurns(2.0, 10.0, clock), ["a", "b", "c", "d"]

    def snapshot(seconds: float) -> list[str]:
        served = []
        for name in turns.of(names):
            served.append(name)
            clock.now += seconds
        clock.now += 10
        return served

    assert snapshot(1.0) == ["a", "b"]
    assert turns.left_out == ["c", "d"] and "no time for c, d" in turns.said
    assert snapshot(1.0) == ["c", "d"]
    assert sorted(snapshot(0.1)) == names       # what it took at first was tracing
    counts = dict.fromkeys(names, 0)
    for _ in range(40):
        for name in snapshot(1.5):
            counts[name] += 1
    assert min(counts.values()) >= 8            # nobody waits for ever
    first = LayerTurns(2.0, 10.0, clock)
    assert next(first.of(names)) == "a"


def test_a_layer_without_time_waits_and_that_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, original = recorder(seconds=0.5, share=1.0), module.grouped
    clock = made._clock = Clock()

    def grouped(*args: Any, **options: Any) -> Any:
        clock.now += 0.3
        return original(*args, **options)

    monkeypatch.setattr(module, "grouped", grouped)
    monkeypatch.setattr(module, "with_images", lambda record, *_: record)
    wait = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: setattr(clock, "now", clock.now + 1))
    fit(functional(), quick(tmp_path, recorders=[made], strict=True), wait, epochs=6)
    run = fw.load(tmp_path)
    recorded = [epoch for layer in run.layers for epoch in run.recorded("factors", layer)]
    assert 7 <= len(recorded) <= 14 and {layer for layer in run.layers if run.recorded("factors", layer)} == set(run.layers)
    notes = [entry["text"] for entry in run.journal if entry.get("recorder") == "factor_groups"]
    assert len(notes) == 1 and notes[0].startswith("factor_groups: no time for ")


def test_what_fails_in_one_layer_leaves_the_others_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: Any) -> None:
    original = module.painted

    def unwilling(model: Any, site: Any, *args: Any, **options: Any) -> Any:
        if site.name == "stem":
            raise LookupError("no gradient defined for operation 'Strange'")
        return original(model, site, *args, **options)

    monkeypatch.setattr(module, "painted", unwilling)
    fit(functional(), quick(tmp_path, recorders=[recorder()], strict=True), epochs=1)
    run = fw.load(tmp_path)
    assert run.factors("stem", 1).note.endswith("no feature images: no gradient defined for operation 'Strange'")
    assert not run.factors("stem", 1).pixels.size and run.factors("last", 1).pixels.size and not ours(recwarn)


def test_a_silent_or_diverged_layer_is_noted(tmp_path: Path) -> None:
    inputs = keras.Input((8, 8, 1))
    x = L.Conv2D(3, 3, activation="relu", bias_initializer=keras.initializers.Constant(-100), name="silent")(inputs)
    x = L.Conv2D(3, 3, name="lost")(L.Concatenate()([x, x]))
    model = compiled(keras.Model(inputs, L.Dense(3, activation="softmax", name="scores")(L.Flatten()(x))))
    kernel, bias = model.get_layer("lost").get_weights()
    model.get_layer("lost").set_weights([kernel, bias * np.nan])
    run = fw.snapshot(model, PROBE, str(tmp_path), recorders=[recorder()], layers=["silent", "lost"])
    texts = [entry["text"] for entry in run.journal if entry.get("recorder") == "factor_groups"]
    assert texts == [
        "factor_groups: layer 'silent' at epoch 0 has no groups: no filter rises above 0 in these samples",
        "factor_groups: layer 'lost' at epoch 0 has no groups: activations are not finite (did the training diverge?)",
    ]


def test_options_are_checked() -> None:
    for options in ({"groups": 0}, {"samples": 0}, {"size": 0}, {"seconds": 0.0}, {"share": 0.0}):
        with pytest.raises(ValueError, match=f"{next(iter(options))}="):
            fw.FactorGroups(**options)
    with pytest.raises(TypeError, match="images=1"):
        fw.FactorGroups(images=1)
