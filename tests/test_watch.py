"""The callback on real fits: what is recorded when, and that nothing of it ends a training."""

from __future__ import annotations

import os
import signal
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
from featwatch.recorders.base import LayerSnapshot, Recorder
from featwatch.records import LayerSeparation, Record
from tests.nets import compiled, functional, images, layers, sequential

X, Y = images(120)
PROBE = fw.Probe(X[:60], Y[:60], class_names=["a", "b", "c"])


def fit(model: Any, *callbacks: Any, epochs: int = 3, **more: Any) -> Any:
    return model.fit(X, Y, epochs=epochs, batch_size=32, verbose=0, callbacks=list(callbacks), **more)


def quick(log_dir: Path, **more: Any) -> fw.Watch:
    """A watch without a worker process and without layouts."""
    more.setdefault("recorders", [fw.FilterHealth(), fw.Separation()])
    return fw.Watch(log_dir, more.pop("probe", PROBE), background=False, **more)


class Breaking(Recorder):
    name = "breaking"
    produces = LayerSeparation
    reductions = ("features",)
    in_worker = False

    def analyse(self, snapshot: LayerSnapshot) -> Record:
        raise RuntimeError("out of luck")


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
    np.testing.assert_allclose(health.energy, (kernel**2).sum((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(health.negative_fraction, (kernel < 0).mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(health.max_activation, stem.max((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(health.mean_activation, stem.mean((0, 1, 2)), rtol=1e-4, atol=1e-6)
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
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.stop_training = epoch == 1

    for name, order in (("before", -1), ("after", 1)):
        watch = quick(tmp_path / name, schedule=fw.every(epochs=5))
        fit(sequential(), *[watch, Stop()][::order], epochs=10)
        assert fw.load(tmp_path / name).epochs == [0, 2], name


def test_weights_restored_at_the_end_are_noted_and_not_recorded(tmp_path: Path) -> None:
    stopping = keras.callbacks.EarlyStopping("loss", patience=0, min_delta=100.0, restore_best_weights=True)
    fit(sequential(), stopping, quick(tmp_path), epochs=10)
    run = fw.load(tmp_path)
    assert run.epochs == [0, 1, 2]
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
    assert _ours(caught) == 1
    assert fw.load(tmp_path).epochs == [0, 1]


def test_beside_keras_own_callback_in_the_same_directory(tmp_path: Path) -> None:
    fit(sequential(), keras.callbacks.TensorBoard(tmp_path), quick(tmp_path), epochs=1)
    assert {path.name for path in tmp_path.iterdir()} == {"train", "featwatch"}
    assert fw.load(tmp_path).problems == []


def test_two_watches_do_not_write_into_one_directory(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="another training is writing into"):
        fit(sequential(), quick(tmp_path), quick(tmp_path))


def test_after_an_interrupted_fit_a_new_watch_takes_over(tmp_path: Path) -> None:
    class Interrupt(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 1:
                raise KeyboardInterrupt

    model, first = sequential(), quick(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        fit(model, first, Interrupt())
    fit(model, quick(tmp_path), epochs=3, initial_epoch=1)
    run = fw.load(tmp_path)
    assert run.epochs == [0, 1, 2, 3] and [session.epoch for session in run.sessions] == [0, 1]


def test_a_failing_recorder_costs_one_warning_and_the_others_go_on(tmp_path: Path) -> None:
    watch = quick(tmp_path, recorders=[fw.FilterHealth(), Breaking()])
    said = r"breaking failed at layer 'conv', epoch 0 \(RuntimeError: out of luck\)"
    with pytest.warns(FeatwatchWarning, match=said) as caught:
        fit(sequential(), watch)
    assert _ours(caught) == 1
    run = fw.load(tmp_path)
    assert run.health("dense", 3).dead.shape == (8,)
    assert [entry["recorder"] for entry in run.journal if entry["kind"] == "failed"] == ["breaking"]


def test_strict_raises_instead(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="breaking failed at layer 'conv'"):
        fit(sequential(), quick(tmp_path, recorders=[Breaking()], strict=True))


def test_no_exception_gets_out_even_where_warnings_are_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: Any, **__: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("featwatch.taps.TapPass.read", explode)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = fit(sequential(), quick(tmp_path), epochs=2)
    assert len(history.history["loss"]) == 2


def test_a_full_disk_costs_one_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("featwatch.writers.EventFileWriter._put_record", full)
    with pytest.warns(FeatwatchWarning, match="can no longer be written.*No space left") as caught:
        fit(sequential(), quick(tmp_path), epochs=3)
    assert _ours(caught) == 1


def test_a_worker_killed_in_the_middle_costs_one_warning(tmp_path: Path) -> None:
    watch = fw.Watch(tmp_path, PROBE, recorders=[fw.Separation()])

    class Kill(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if epoch == 1:
                analyst = watch._recording._analyst  # type: ignore[union-attr]
                while analyst._worker._executor is None or not analyst._worker._executor._processes:  # type: ignore[attr-defined]
                    pass
                for pid in list(analyst._worker._executor._processes):  # type: ignore[attr-defined]
                    os.kill(pid, signal.SIGKILL)

    with pytest.warns(FeatwatchWarning, match="the analysis worker died and was started again") as caught:
        fit(sequential(), watch, Kill(), epochs=4)
    assert _ours(caught) == 1
    run = fw.load(tmp_path)
    assert [epoch for epoch in run.epochs if run.separation("conv", epoch)] == [0, 1, 2, 3, 4]
    assert any(entry["kind"] == "worker" for entry in run.journal)


def test_a_diverged_training_goes_on_and_says_so(tmp_path: Path) -> None:
    class Diverge(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 1:
                kernel = self.model.get_layer("dense").kernel
                kernel.assign(np.full(kernel.shape, np.nan))

    fit(sequential(), quick(tmp_path), Diverge(), epochs=3)
    run = fw.load(tmp_path)
    assert run.separation("conv", 1) and any("not finite" in entry["text"] for entry in run.journal)
    assert np.isnan(run.predictions(3).certainty).all()


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
        model.fit(X, [Y % 2, Y], epochs=1, verbose=0, callbacks=[quick(tmp_path / name, output=output)])
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
    assert [epoch for epoch in range(4) if _there(run.separation, "dense", epoch)] == [0, 2, 3]
    assert [epoch for epoch in range(4) if _there(run.health, "conv", epoch)] == [0, 1, 2, 3]
    assert not _there(run.health, "dense", 0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"probe": X}, TypeError, r"probe is a ndarray; make one with featwatch.Probe"),
        ({"layers": 3}, TypeError, "layers=3"),
        ({"layers": []}, ValueError, "watches nothing"),
        ({"recorders": []}, ValueError, "records nothing"),
        ({"recorders": [fw.Separation]}, TypeError, r"featwatch.Separation\(\)"),
        ({"recorders": ["separation"]}, TypeError, "is none"),
        ({"recorders": [fw.Clusters()]}, ValueError, r"Clusters builds on Embeddings; add featwatch.Embeddings\(\)"),
        ({"recorders": [fw.Separation(), fw.Separation()]}, ValueError, "stands there twice"),
        ({"schedule": 5}, TypeError, r"every\(epochs=5\)"),
        ({"budget": 0.05}, ValueError, "budget=0.05: not supported yet"),
        ({"on_alert": print}, ValueError, "on_alert.*not supported yet"),
        ({"background": "yes"}, TypeError, "expected True or False"),
        ({"output": 1.5}, TypeError, "output=1.5"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused_by_the_constructor(
    tmp_path: Path, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        fw.Watch(tmp_path, **{"probe": PROBE, **arguments})


def test_a_directory_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be written.*choose a directory that can"):
        fw.Watch(tmp_path / "file" / "run", PROBE)
    with pytest.raises(TypeError, match="expected a path"):
        fw.Watch(3, PROBE)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "probe", "arguments", "error", "message"),
    [
        (sequential, fw.Probe(X[..., 0]), {}, ValueError, r"the probe's samples have the shape \(8, 8\).*pass x\[..., None\]"),
        (sequential, fw.Probe(X[:, :4]), {}, ValueError, "pass samples of the same shape"),
        (sequential, PROBE, {"layers": "cnv"}, ValueError, "did you mean 'conv'"),
        (sequential, PROBE, {"recorders": [fw.Separation(layers="cnv")]}, ValueError, "did you mean 'conv'"),
        (sequential, PROBE, {"output": 3}, ValueError, "has 1 output"),
    ],
)
def test_what_does_not_fit_the_model_is_refused_as_fit_starts(
    tmp_path: Path, model: Any, probe: fw.Probe, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        fit(model(), quick(tmp_path, probe=probe, **arguments))


def test_a_model_that_is_still_unbuilt_is_refused_with_the_cure(tmp_path: Path) -> None:
    model = compiled(keras.Sequential([layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(3, activation="softmax")]))
    with pytest.raises(ValueError, match="is not built: begin it with keras.Input"):
        fit(model, quick(tmp_path), epochs=1)


def test_a_subclassed_model_is_refused_as_fit_starts(tmp_path: Path) -> None:
    class Mine(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.flatten, self.dense = layers.Flatten(), layers.Dense(3, activation="softmax")

        def call(self, x: Any) -> Any:
            return self.dense(self.flatten(x))

    with pytest.raises(TypeError, match="Mine is a subclassed model"):
        fit(compiled(Mine()), quick(tmp_path))


def _ours(caught: Any) -> int:
    return sum(issubclass(warning.category, FeatwatchWarning) for warning in caught)


def _there(accessor: Any, layer: str, epoch: int) -> bool:
    try:
        accessor(layer, epoch)
    except KeyError:
        return False
    return True
