"""The callback on real fits: what is recorded, when, and under which epoch."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from sklearn.metrics import silhouette_score
from sklearn.neighbors import KNeighborsClassifier
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

import featwatch as fw
from featwatch.errors import FeatwatchWarning
from tests.fits import PROBE, Breaking, Stop, X, Y, fit, ours, quick, there
from tests.nets import compiled, functional, layers, sequential


def test_the_whole_path_with_the_worker_on_every_default(tmp_path: Path) -> None:
    model = functional()
    fit(model, fw.Watch(tmp_path, PROBE), epochs=2)
    run = fw.load(tmp_path)
    assert run.problems == [] and run.epochs == [0, 1, 2] and run.layers == ["stem", "block/inner", "last", "scores"]
    assert run.probe.class_names == ("a", "b", "c") and list(run.probe.labels) == list(Y[:60])
    for layer in run.layers:
        for epoch in run.epochs:
            embedding = run.embedding(layer, epoch)
            assert embedding.points.shape == (60, 2) and np.isfinite(embedding.points).all()
            assert embedding.started_from == epoch - 1
            assert run.clusters(layer, epoch).labels.shape == (60,)
            assert 0 <= run.separation(layer, epoch).knn_accuracy <= 1

    # The numbers of the last epoch, from what Keras itself gives for the trained model.
    stem = keras.Model(model.inputs, model.get_layer("stem_relu").output).predict(PROBE.x, verbose=0)
    health = run.health("stem", 2)
    kernel = keras.ops.convert_to_numpy(model.get_layer("stem").kernel)
    kept = 2.0**-12             # a log keeps 13 significant bits of these; the rest is float32's
    np.testing.assert_allclose(health.energy, (kernel**2).sum((0, 1, 2)), rtol=kept)
    np.testing.assert_allclose(health.negative_fraction, (kernel < 0).mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(health.max_activation, stem.max((0, 1, 2)), rtol=kept)
    np.testing.assert_allclose(health.mean_activation, stem.mean((0, 1, 2)), rtol=kept, atol=1e-6)
    np.testing.assert_allclose(health.active_fraction, (stem > 0).mean((0, 1, 2)), atol=1e-4)
    np.testing.assert_array_equal(health.dead, stem.max((0, 1, 2)) <= 0)
    assert np.isnan(health.bias).all()

    flat = stem.reshape(60, -1)
    separation = run.separation("stem", 2)
    assert separation.silhouette == pytest.approx(silhouette_score(flat, Y[:60]), abs=1e-3)
    hits = [
        KNeighborsClassifier(15).fit(np.delete(flat, i, 0), np.delete(Y[:60], i)).predict(flat[i : i + 1])[0] == Y[i]
        for i in range(60)
    ]
    assert separation.knn_accuracy == pytest.approx(np.mean(hits), abs=1e-6)
    predictions = run.predictions(2)
    scores = model.predict(PROBE.x, verbose=0)
    np.testing.assert_allclose(predictions.scores, scores, atol=1e-5)
    assert predictions.accuracy == pytest.approx(np.mean(scores.argmax(1) == Y[:60]))


def test_a_schedule_is_0_n_2n_and_the_last_epoch(tmp_path: Path) -> None:
    fit(sequential(), quick(tmp_path, schedule=fw.every(epochs=3)), epochs=8)
    run = fw.load(tmp_path)
    assert run.epochs == [0, 3, 6, 8]
    assert [run.metrics(epoch)["loss"] > 0 for epoch in range(1, 9)] == [True] * 8      # Keras' own numbers, every epoch


def test_a_training_stopped_early_is_recorded_at_its_last_epoch(tmp_path: Path) -> None:
    for name, order in (("before", -1), ("after", 1)):
        watch = quick(tmp_path / name, schedule=fw.every(epochs=5))
        fit(sequential(), *[watch, Stop()][::order], epochs=10)
        assert fw.load(tmp_path / name).epochs == [0, 2], name


def test_weights_restored_at_the_end_are_noted_and_not_recorded(tmp_path: Path) -> None:
    stopping = keras.callbacks.EarlyStopping("loss", patience=0, min_delta=100.0, restore_best_weights=True)
    fit(sequential(), stopping, quick(tmp_path, schedule=fw.every(epochs=5)), epochs=10)
    run = fw.load(tmp_path)
    assert run.epochs == [0, 2]
    assert any(entry["kind"] == "weights" for entry in run.journal)


def test_what_is_noted_as_a_fit_ends_has_a_record_of_its_own(tmp_path: Path) -> None:
    """Of two records of one kind and epoch, TensorBoard's loaders would serve different ones."""
    stopping = keras.callbacks.EarlyStopping("loss", patience=0, min_delta=100.0, restore_best_weights=True)
    with pytest.warns(FeatwatchWarning, match="breaking"):
        fit(sequential(), stopping, quick(tmp_path, recorders=[fw.FilterHealth(), Breaking()]), epochs=10)
    directory = tmp_path / "featwatch"
    tags = [
        (event.step, value.tag)
        for path in directory.glob("*tfevents*")
        for event in EventFileLoader(str(path)).Load()
        for value in event.summary.value
    ]
    assert len(tags) == len(set(tags)) and (2, "closing") in tags
    assert [entry["kind"] for entry in fw.load(tmp_path).journal] == ["failed", "weights"]


def test_a_second_fit_continues_the_count(tmp_path: Path) -> None:
    model, watch = sequential(), quick(tmp_path)
    fit(model, watch, epochs=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error", FeatwatchWarning)
        fit(model, watch, epochs=3)                         # Keras counts from 0 again
        fit(model, watch, epochs=7, initial_epoch=5)        # … or goes on
    run = fw.load(tmp_path)
    assert run.epochs == list(range(8)) and len(run.sessions) == 3


def test_a_resumed_training_continues_and_one_that_starts_over_supersedes(tmp_path: Path) -> None:
    model = sequential()
    fit(model, quick(tmp_path), epochs=4)
    with warnings.catch_warnings():
        warnings.simplefilter("error", FeatwatchWarning)
        fit(model, quick(tmp_path), epochs=5, initial_epoch=2)
    run = fw.load(tmp_path)
    assert run.epochs == [0, 1, 2, 3, 4, 5] and [session.epoch for session in run.sessions] == [0, 2]

    with pytest.warns(FeatwatchWarning, match="starts over and supersedes") as caught:
        fit(sequential(), quick(tmp_path), epochs=1)
    assert ours(caught) == 1
    assert fw.load(tmp_path).epochs == [0, 1]


def test_beside_keras_own_callback_in_the_same_directory(tmp_path: Path) -> None:
    fit(sequential(), keras.callbacks.TensorBoard(tmp_path), quick(tmp_path), epochs=1)
    assert {path.name for path in tmp_path.iterdir()} == {"train", "featwatch"}
    assert fw.load(tmp_path).problems == []


def test_a_resumed_training_keeps_the_metrics_of_the_epoch_at_which_it_resumes(tmp_path: Path) -> None:
    model = sequential()
    fit(model, quick(tmp_path), epochs=3)
    before = fw.load(tmp_path).metrics(2)
    fit(model, quick(tmp_path), epochs=4, initial_epoch=2)
    assert fw.load(tmp_path).metrics(2) == before != {}


def test_another_model_starts_over(tmp_path: Path) -> None:
    watch = quick(tmp_path)
    fit(sequential(), watch, epochs=2)
    with pytest.warns(FeatwatchWarning, match="starts over"):
        fit(sequential(), watch, epochs=1)
    assert fw.load(tmp_path).epochs == [0, 1]


def test_going_back_to_a_checkpoint_supersedes_what_came_after(tmp_path: Path) -> None:
    model, watch = sequential(), quick(tmp_path)
    fit(model, watch, epochs=5)
    fit(model, watch, epochs=4, initial_epoch=2)
    run = fw.load(tmp_path)
    assert run.epochs == [0, 1, 2, 3, 4] and [session.epoch for session in run.sessions] == [0, 2]


def test_a_training_stopped_early_is_recorded_by_every_recorder(tmp_path: Path) -> None:
    recorders = [fw.FilterHealth(), fw.Separation(schedule=fw.every(epochs=5))]
    fit(sequential(), quick(tmp_path, recorders=recorders), Stop(), epochs=10)
    run = fw.load(tmp_path)
    assert [epoch for epoch in run.epochs if there(run.separation, "conv", epoch)] == [0, 2]


def test_the_same_passes_serve_every_fit_of_a_model(tmp_path: Path) -> None:
    model, watch = sequential(), quick(tmp_path)
    fit(model, watch, epochs=1)
    assert watch._prepared is not None
    passes = watch._prepared.passes
    fit(model, watch, epochs=1)
    assert watch._prepared.passes is passes
    model.get_layer("dense").activation = keras.activations.tanh
    model = compiled(keras.Model(model.inputs, layers.Dense(3, activation="softmax", name="other")(model.layers[-2].output)))
    with pytest.warns(FeatwatchWarning, match="starts over"):
        fit(model, watch, epochs=1)
    assert watch._prepared.passes is not passes and "other" in fw.load(tmp_path).layers


def test_layers_with_lora_and_odd_attributes_are_watched(tmp_path: Path) -> None:
    class Odd(layers.Layer):
        kernel, bias = 3, True

        def call(self, x: Any) -> Any:
            return x * 1.0

    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(8, name="tuned"), Odd(name="odd"),
                              layers.Dense(3, activation="softmax")])  # fmt: skip
    model.get_layer("tuned").enable_lora(2)
    fit(compiled(model), quick(tmp_path, layers=["tuned", "odd"]), epochs=1)
    run = fw.load(tmp_path)
    assert np.isfinite(run.health("tuned", 1).energy).all() and np.isnan(run.health("odd", 1).energy).all()


def test_unlabelled_probes_and_regression(tmp_path: Path) -> None:
    hidden = layers.Dense(3, activation="relu", name="hidden")
    model = keras.Sequential([keras.Input((4,)), hidden, layers.Dense(1, name="value")])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).random((40, 4)).astype(np.float32)
    model.fit(x, x.sum(1), epochs=1, verbose=0, callbacks=[quick(tmp_path, probe=fw.Probe(x))])
    run = fw.load(tmp_path)
    assert np.isnan(run.separation("hidden", 1).knn_accuracy)
    with pytest.raises(KeyError, match="predictions"):
        run.predictions(1)


def test_several_outputs_need_a_name_and_take_one(tmp_path: Path) -> None:
    def two_headed() -> Any:
        inputs = keras.Input((8, 8, 1))
        x = layers.Flatten()(inputs)
        heads = [layers.Dense(2, activation="softmax", name="first")(x), layers.Dense(3, activation="softmax", name="second")(x)]
        model = keras.Model(inputs, heads)
        model.compile("adam", ["sparse_categorical_crossentropy"] * 2)
        return model

    def train(name: str, output: Any) -> Any:
        model = two_headed()
        probe = fw.Probe(X[:60], Y[:60] % 2)
        model.fit(X, [Y % 2, Y], epochs=1, verbose=0, callbacks=[quick(tmp_path / name, output=output, probe=probe)])
        return fw.load(tmp_path / name)

    assert train("second", "second").predictions(1).scores.shape == (60, 3)
    assert train("index", 0).predictions(1).scores.shape == (60, 2)
    with pytest.raises(KeyError):
        train("none", None).predictions(1)
    with pytest.raises(ValueError, match="output='third'.*first, second"):
        train("third", "third")


def test_recorders_have_their_own_layers_and_schedules(tmp_path: Path) -> None:
    recorders = [fw.FilterHealth(layers="conv"), fw.Separation(layers=["dense"], schedule=fw.every(epochs=2))]
    fit(sequential(), quick(tmp_path, recorders=recorders), epochs=3)
    run = fw.load(tmp_path)
    assert run.layers == ["conv", "dense"]
    assert [epoch for epoch in range(4) if there(run.separation, "dense", epoch)] == [0, 2, 3]
    assert [epoch for epoch in range(4) if there(run.health, "conv", epoch)] == [0, 1, 2, 3]
    assert not there(run.health, "dense", 0)
