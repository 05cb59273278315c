"""What holds a model's weights beside the model itself: callbacks, other models, compiled functions."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from featwatch.prune.anatomy import Anatomy
from featwatch.prune.surgery import Unsupported, operate, resumed
from tests.surgery_cases import REMOVED, by_hand, furthest, net, samples

LOSS = "sparse_categorical_crossentropy"


def prune(model: Any, removed: Any = None, **given: Any) -> Any:
    anatomy = Anatomy(model)
    return operate(anatomy, anatomy.groups(removed or REMOVED), **given)


class At(keras.callbacks.Callback):
    """Does something at the end of an epoch."""

    def __init__(self, epoch: int, what: Any) -> None:
        super().__init__()
        self.epoch, self.what = epoch, what

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch == self.epoch:
            self.what(self.model)


def training(callbacks: list[Any], epochs: int = 4, **given: Any) -> Any:
    keras.utils.set_random_seed(2)
    model = net(dtype="float32")
    model.compile(keras.optimizers.SGD(0.5), LOSS, run_eagerly=True)
    x, y = samples(16, dtype="float32")
    model.fit(x, y, batch_size=8, epochs=epochs, callbacks=callbacks, verbose=0, **given)
    return model


def test_the_best_weights_are_those_of_before_with_fewer_units() -> None:
    best: list[Any] = []
    stopping = keras.callbacks.EarlyStopping("loss", mode="max", patience=9, restore_best_weights=True)     # the first epoch
    model = training([stopping, At(0, lambda model: best.extend(model.get_weights())), At(1, prune)])
    assert furthest(model.get_weights(), [by_hand(value) for value in best]) == 0.0


def test_undone_the_best_weights_are_what_they_were() -> None:
    surgeries: list[Any] = []
    best: list[Any] = []
    stopping = keras.callbacks.EarlyStopping("loss", patience=9, restore_best_weights=True)         # gets better after it
    model = training(
        [
            stopping, At(0, lambda model: best.extend(model.get_weights())), At(0, lambda model: surgeries.append(prune(model))),
            At(2, lambda model: surgeries[0].undo()), At(2, lambda model: setattr(model, "stop_training", True)),
        ]
    )  # fmt: skip
    assert furthest(model.get_weights(), best) == 0.0
    assert (stopping.best_epoch, stopping.best) == (0, model.history.history["loss"][0])


def test_best_weights_of_another_model_are_forgotten() -> None:
    notes: list[str] = []
    stopping = keras.callbacks.EarlyStopping("loss", patience=9, restore_best_weights=True)

    def spoil(model: Any) -> None:
        stopping.best_weights = stopping.best_weights[1:]
        notes.extend(prune(model).notes)

    training([stopping, At(1, spoil)])
    assert "EarlyStopping" in notes[0]


def test_checkpoints_logs_and_learning_rates(tmp_path: Any) -> None:
    callbacks = keras.callbacks
    model = training(
        [
            At(0, prune),
            callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras"),
            callbacks.ModelCheckpoint(tmp_path / "{epoch}.weights.h5", save_weights_only=True),
            callbacks.ModelCheckpoint(tmp_path / "best.keras", monitor="loss", save_best_only=True),
            callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5),
            callbacks.ReduceLROnPlateau("loss", patience=1),
            callbacks.CSVLogger(tmp_path / "log.csv"),
            callbacks.TensorBoard(tmp_path / "board", histogram_freq=1, write_graph=False),
        ],
        epochs=3, validation_data=samples(8, 1, "float32"),
    )  # fmt: skip
    x, _ = samples(4, dtype="float32")
    last = keras.models.load_model(tmp_path / "3.keras")
    np.testing.assert_allclose(np.asarray(last(x)), np.asarray(model(x)), atol=1e-6)
    model.load_weights(tmp_path / "2.weights.h5")
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 4
    assert keras.models.load_model(tmp_path / "best.keras").get_layer("first").filters == 3


def test_averaged_weights_are_swapped_as_before() -> None:
    keras.utils.set_random_seed(2)
    model = net(dtype="float32")
    model.compile(keras.optimizers.Adam(0.1, use_ema=True, ema_momentum=0.5), LOSS, run_eagerly=True)
    x, y = samples(16, dtype="float32")
    swapping = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    model.fit(x, y, batch_size=8, epochs=3, callbacks=[swapping, At(1, prune)], verbose=0)
    assert model.get_layer("first").filters == 3
    averages = [each.numpy() for each in model.optimizer._model_variables_moving_average]
    assert furthest([each.numpy() for each in model.trainable_variables], averages) == 0.0


def test_a_model_that_reads_the_middle_of_another_follows() -> None:
    keras.utils.set_random_seed(2)
    model = net(dtype="float32")
    features = keras.Model(model.inputs, model.get_layer("hidden").output, name="features")
    x, _ = samples(4, dtype="float32")
    before = features.predict(x, verbose=0)                     # compiled with the variables of before
    surgery = prune(model, {"hidden": [1, 2]})
    after = features.predict(x, verbose=0)
    np.testing.assert_allclose(after, before[:, [0, 3, 4, 5]], atol=1e-6)
    assert features.output_shape == (None, 4)
    model.get_layer("hidden").bias.assign([9, 9, 9, 9])
    assert (features.predict(x, verbose=0) > 0.99).all()
    surgery.undo()
    np.testing.assert_allclose(features.predict(x, verbose=0), before, atol=1e-6)


def test_an_encoder_called_anew_follows_and_a_head_of_its_own_is_refused_unless_named() -> None:
    keras.utils.set_random_seed(2)
    model = net(dtype="float32")
    again = keras.Input((5, 5, 3), name="again")
    value = again
    for name in ("first", "normalised", "relu", "second", "pooled", "hidden"):
        value = model.get_layer(name)(value)
    encoder = keras.Model(again, value, name="encoder")
    x, _ = samples(4, dtype="float32")
    before = np.asarray(encoder(x))
    surgery = prune(model, {"hidden": [1, 2]})
    np.testing.assert_allclose(np.asarray(encoder(x)), before[:, [0, 3, 4, 5]], atol=1e-6)
    assert encoder.output_shape == (None, 4)
    surgery.undo()
    other = keras.Model(again, keras.layers.Dense(2, name="own")(value), name="other")
    other.compile("sgd", "mse")
    other.optimizer.build(other.trainable_variables)
    with pytest.raises(Unsupported, match=r"'other'.*'own'.*models="):
        prune(model, {"hidden": [1, 2]})
    assert model.get_layer("hidden").units == 6 and encoder.output_shape == (None, 6)
    wanted = np.asarray(other(x))
    surgery = prune(model, {"hidden": [1, 2]}, models=[other])
    assert tuple(other.get_layer("own").kernel.shape) == (4, 2)
    other.run_eagerly = True
    other.fit(x, wanted, verbose=0)
    surgery.undo()
    np.testing.assert_allclose(np.asarray(other(x)), wanted, atol=1e-6)


def test_a_model_inside_another_takes_it_along() -> None:
    keras.utils.set_random_seed(2)
    inner = net(dtype="float32")
    inputs = keras.Input((5, 5, 3))
    outer = keras.Model(inputs, keras.layers.Dense(2, name="head")(inner(inputs)), name="outer")
    outer.compile("adam", "mse")
    x, _ = samples(4, dtype="float32")
    outer.fit(x, np.zeros((4, 2)), verbose=0)
    prune(inner)
    outer.fit(x, np.zeros((4, 2)), verbose=0)
    assert [tuple(each.shape) for each in outer.optimizer._momentums][0] == (2, 2, 3, 3)
    outer.run_eagerly = True
    prune(outer, {"net/first": [0]})
    assert inner.get_layer("first").filters == 2
    outer.fit(x, np.zeros((4, 2)), verbose=0)
    assert outer(x).shape == (4, 2)


def interrupted(backup: Any, prunings: tuple[int, ...], killed: int) -> Any:
    """A training that is killed in the middle of an epoch; pruned at the ends of some."""
    units = iter([{"first": [1, 3]}, {"second": [0]}])

    class Killed(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == killed:
                raise KeyboardInterrupt

    parts = [At(epoch, lambda model: prune(model, next(units))) for epoch in prunings]
    with pytest.raises(KeyboardInterrupt):
        training([backup, *parts, Killed()])


@pytest.mark.parametrize(("prunings", "killed", "repeated"), [((0, 1), 3, 2), ((0, 2), 3, 1), ((), 2, 0)])
def test_a_backup_of_a_pruned_model_is_resumed(
    tmp_path: Any, prunings: tuple[int, ...], killed: int, repeated: int
) -> None:  # the second case: pruned after the last backup
    interrupted(keras.callbacks.BackupAndRestore(tmp_path / "backup"), prunings, killed)
    keras.utils.set_random_seed(5)
    model = net(dtype="float32")
    model.compile(keras.optimizers.SGD(0.5), LOSS, run_eagerly=True)
    assert resumed(model, tmp_path / "backup") == repeated
    x, y = samples(16, dtype="float32")
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    history = model.fit(x, y, batch_size=8, epochs=4, callbacks=[backup], verbose=0)
    assert history.epoch == list(range(killed, 4))
    assert not (tmp_path / "backup").exists()


def test_a_backup_of_another_model_is_refused(tmp_path: Any) -> None:
    interrupted(keras.callbacks.BackupAndRestore(tmp_path / "backup"), (0,), 2)
    model = net(first=6, dtype="float32")
    with pytest.raises(ValueError, match="fits it after none of the 1 steps"):
        resumed(model, tmp_path / "backup")
    assert model.get_layer("first").filters == 6
