"""Trainings of unusual shape: what is recorded, and that they go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import pytest

import featwatch as fw
from tests.fits import X, Y, fit, quick, there
from tests.nets import sequential

L = keras.layers


def test_what_builds_on_a_recorder_makes_it_compute_only_where_it_looks_itself(tmp_path: Path) -> None:
    recorders = [
        fw.Embeddings(layout="pca", layers="conv", schedule=fw.every(epochs=2)),
        fw.Clusters(layers="scores", schedule=fw.every(epochs=1)),
    ]
    fit(sequential(), quick(tmp_path, recorders=recorders), epochs=4)
    run = fw.load(tmp_path)
    assert [epoch for epoch in range(5) if there(run.embedding, "conv", epoch)] == [0, 2, 4]
    assert [epoch for epoch in range(5) if there(run.embedding, "scores", epoch)] == [0, 1, 2, 3, 4]
    assert [epoch for epoch in range(5) if there(run.clusters, "scores", epoch)] == [0, 1, 2, 3, 4]
    assert not there(run.clusters, "conv", 0)


def test_accumulated_gradients_under_a_scaled_loss_count_as_one_update(tmp_path: Path) -> None:
    model = sequential()
    inner = keras.optimizers.SGD(gradient_accumulation_steps=2)
    model.compile(keras.optimizers.LossScaleOptimizer(inner), "sparse_categorical_crossentropy")
    fit(model, quick(tmp_path, schedule=fw.every(steps=1)), epochs=2)
    assert int(model.optimizer.iterations) == 4
    assert fw.load(tmp_path).steps == [0, 1, 2, 3, 4]


class Stateful(keras.Model):
    """Can only be built by a batch, and then takes batches of that size only."""

    def __init__(self) -> None:
        super().__init__(name="stateful")
        self.cells, self.scores = L.LSTM(4, stateful=True, name="cells"), L.Dense(3, activation="softmax", name="scores")

    def call(self, x: Any) -> Any:
        return self.scores(self.cells(x))


def stateful() -> Any:
    model = Stateful()
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def test_what_is_found_to_be_wrong_after_the_first_epoch_does_not_end_the_training(tmp_path: Path) -> None:
    probe = fw.Probe(X[:60, ..., 0], Y[:60], batch_size=16)
    with pytest.warns(UserWarning, match="could not be started.*batch size"):
        history = stateful().fit(
            X[:96, ..., 0], Y[:96], epochs=3, batch_size=32, verbose=0, callbacks=[quick(tmp_path, probe=probe)]
        )
    assert len(history.history["loss"]) == 3
    with pytest.raises(RuntimeError, match="batch size"):
        stateful().fit(
            X[:96, ..., 0], Y[:96], batch_size=32, verbose=0, callbacks=[quick(tmp_path, probe=probe, strict=True)]
        )


def test_one_list_of_recorders_serves_two_watches(tmp_path: Path) -> None:
    recorders = [fw.FilterHealth(), fw.Separation()]
    watches = [
        quick(tmp_path / "every", recorders=recorders),
        quick(tmp_path / "second", recorders=recorders, schedule=fw.every(epochs=2)),
    ]
    fit(sequential(), *watches, epochs=3)
    assert fw.load(tmp_path / "every").epochs == [0, 1, 2, 3] and fw.load(tmp_path / "second").epochs == [0, 2, 3]


class Killed(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if (self.epoch, batch) == (3, 1):
            raise RuntimeError("killed")


def test_a_training_by_step_goes_on_from_its_backup_with_its_alerts(tmp_path: Path) -> None:
    def train(*more: Any) -> None:
        model = sequential()
        model.get_layer("conv").bias.assign([-100.0] * 4)
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup", delete_checkpoint=False)
        fit(model, backup, quick(tmp_path, schedule=fw.every(steps=3), on_alert=heard.append), *more, epochs=6)

    heard: list[Any] = []
    with pytest.raises(RuntimeError, match="killed"):
        train(Killed())
    assert fw.load(tmp_path).steps == [0, 3, 6, 9, 12]
    before = [(alert.layer, alert.since) for alert in heard if alert.kind == "dead filters" and alert.layer == "conv"]
    train()
    run = fw.load(tmp_path)
    assert run.steps == [0, 3, 6, 9, 12, 15, 18, 21, 24]
    assert before == [("conv", 0)]
    assert [(a.since, a.open) for a in run.alerts if a.kind == "dead filters" and a.layer == "conv"] == [(0, True)]


def test_a_second_fit_keeps_what_the_first_recorded_at_its_last_step(tmp_path: Path) -> None:
    model, watch = sequential(), quick(tmp_path, schedule=fw.every(steps=3))
    fit(model, watch, epochs=1)
    assert fw.load(tmp_path).steps == [0, 3, 4]
    fit(model, watch, epochs=1)
    assert fw.load(tmp_path).steps == [0, 3, 4, 6, 8]


def test_a_training_by_step_that_goes_on_continues_its_layouts_and_clusters(tmp_path: Path) -> None:
    """It used to begin with a fresh layout, and to give clusters identities that others had had."""
    model = sequential()
    for first in (0, 2):
        recorders = [fw.Embeddings("pca", layers="dense"), fw.Clusters(layers="dense")]
        fit(model, quick(tmp_path, recorders=recorders, schedule=fw.every(steps=4)), initial_epoch=first, epochs=first + 2)
    run = fw.load(tmp_path)
    assert run.steps == [0, 4, 8, 12, 16]
    layouts, clusters = ([look("dense", step=step) for step in run.steps] for look in (run.embedding, run.clusters))
    assert [layout.started_from for layout in layouts] == [-1, 0, 8, 8, 12]     # 8: of the same model, recorded once more
    assert [found.last for found in clusters] == [-1, 0, 8, 8, 12]
    numbers = [found.next_identity for found in clusters]
    assert numbers == sorted(numbers)
