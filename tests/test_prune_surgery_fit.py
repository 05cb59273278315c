"""In the middle of `fit` a model goes on, smaller, as one built small would; its functions are traced once more, no oftener."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from featwatch.prune.anatomy import Anatomy
from featwatch.prune.surgery import operate
from tests.surgery_cases import REMOVED, carried_by_hand, furthest, net, samples

LOSS = "sparse_categorical_crossentropy"


class Pruning(keras.callbacks.Callback):
    """Operates once, at the end of an epoch or of a batch, and keeps a net built small of that moment, which runs eagerly."""

    def __init__(self, epoch: int, batch: int | None = None) -> None:
        super().__init__()
        self.when = (epoch, batch)
        self.epoch = 0
        self.small: Any = None
        self.surgery: Any = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.when == (epoch, None):
            self.operate()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.when == (self.epoch, batch):
            self.operate()

    def operate(self) -> None:
        anatomy = Anatomy(self.model)
        self.small = carried_by_hand(self.model, type(self.model), run_eagerly=True)
        self.surgery = operate(anatomy, anatomy.groups(REMOVED))


def test_at_the_end_of_an_epoch_with_validation_weights_and_metrics() -> None:
    keras.utils.set_random_seed(1)
    model = net()
    model.get_layer("first").trainable = False
    model.compile(keras.optimizers.Adam(0.01), LOSS, metrics=["accuracy"])
    x, y = samples(24)
    weights = np.linspace(0.5, 1.5, 24)
    pruning = Pruning(0)
    given: dict[str, Any] = {"batch_size": 8, "shuffle": False, "validation_data": samples(12, 1), "verbose": 0}
    history = model.fit(x, y, sample_weight=weights, epochs=2, callbacks=[pruning], **given)
    assert len(history.history["val_accuracy"]) == 2 and history.epoch == [0, 1]
    small = pruning.small
    small.fit(x, y, sample_weight=weights, **given)
    assert furthest(model.get_weights(), small.get_weights()) <= 1e-12
    assert np.isclose(small.history.history["val_loss"][-1], history.history["val_loss"][-1])


@pytest.mark.parametrize(
    ("compiling", "optimizer"),
    [
        ({}, lambda: keras.optimizers.Adam(0.01)),
        ({"jit_compile": True}, lambda: keras.optimizers.SGD(0.1, momentum=0.9)),
        ({"steps_per_execution": 2}, lambda: keras.optimizers.Adam(0.01, gradient_accumulation_steps=3)),
    ],
    ids=["plain", "jit", "several_steps"],
)
def test_in_the_middle_of_an_epoch(compiling: dict[str, Any], optimizer: Callable[[], Any]) -> None:
    keras.utils.set_random_seed(1)
    model = net()
    model.compile(optimizer(), LOSS, **compiling)
    x, y = samples(32)
    pruning = Pruning(0, 1)
    model.fit(x, y, batch_size=8, shuffle=False, callbacks=[pruning], verbose=0)
    pruning.small.fit(x[16:], y[16:], batch_size=8, shuffle=False, verbose=0)       # the two batches of the epoch that were left
    bound = 1e-7 if compiling.get("jit_compile") else 1e-12         # XLA rounds tanh in a way of its own: 3e-9
    assert furthest(model.get_weights(), pruning.small.get_weights()) <= bound
    assert int(model.optimizer._iterations) == 4


class Counting(keras.Model):
    """A functional model with a training step of its own, which counts how often it is traced."""

    traced = 0

    def train_step(self, data: Any) -> Any:
        self.traced += 1
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
        return {"loss": loss}


def test_a_training_step_of_its_own_is_traced_once_more() -> None:
    keras.utils.set_random_seed(1)
    model = net(kind=Counting)
    model.compile(keras.optimizers.RMSprop(0.01), LOSS)
    x, y = samples(24)
    pruning = Pruning(1)
    model.fit(x, y, batch_size=8, epochs=1, verbose=0)
    once = model.traced
    model.fit(x, y, batch_size=8, epochs=3, shuffle=False, callbacks=[pruning], verbose=0)
    assert model.traced == once + 1
    pruning.small.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    assert furthest(model.get_weights(), pruning.small.get_weights()) <= 1e-12


def test_half_precision_with_a_scaled_loss() -> None:
    keras.utils.set_random_seed(1)
    model = net(dtype="mixed_float16")
    model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01), initial_scale=16.0), LOSS)
    x, y = samples(24, dtype="float32")
    pruning = Pruning(0)
    model.fit(x, y, batch_size=8, shuffle=False, epochs=2, callbacks=[pruning], verbose=0)
    assert model.get_layer("first").kernel.dtype == "float32" and model.get_layer("first").compute_dtype == "float16"
    pruning.small.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    assert furthest(model.get_weights(), pruning.small.get_weights()) <= 1e-3
    assert not pruning.surgery.notes


def test_after_it_everything_works(tmp_path: Any) -> None:
    keras.utils.set_random_seed(1)
    model = net(dtype="float32")
    model.compile(keras.optimizers.Adam(0.01), LOSS, metrics=["accuracy"])
    x, y = samples(24, dtype="float32")
    pruning = Pruning(0)
    model.fit(x, y, batch_size=8, epochs=2, callbacks=[pruning], verbose=0)
    wanted = model.predict(x, verbose=0)
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    assert "(None, 4, 4, 3)" in "".join(lines) and "(None, 4, 4, 5)" not in "".join(lines)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(np.asarray(loaded(x)), wanted, atol=1e-6)
    states = [[each.numpy() for each in one.optimizer.variables] for one in (loaded, model)]
    assert furthest(*states) == 0
    loaded.run_eagerly = True
    loaded.fit(x, y, epochs=1, verbose=0)
    again = keras.Model.from_config(model.get_config())
    again.set_weights(model.get_weights())
    np.testing.assert_allclose(np.asarray(again(x)), wanted, atol=1e-6)
    model.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(str(tmp_path / "exported"))
    np.testing.assert_allclose(np.asarray(exported.serve(tf.constant(x))), wanted, atol=1e-6)
    assert np.isfinite(model.evaluate(x, y, verbose=0)).all()
    anatomy = Anatomy(model)
    operate(anatomy, anatomy.groups({"first": [0]}))
    model.fit(x, y, epochs=1, verbose=0)
    assert tuple(model.get_layer("first").kernel.shape) == (2, 2, 3, 2)
    assert model.get_layer("second").get_build_config()["input_shape"] == (None, 4, 4, 2)


def test_old_variables_are_freed() -> None:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((6,))
    hidden = keras.layers.Dense(12, activation="relu", name="hidden")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2)(hidden))
    model.compile(keras.optimizers.Adam(), "mse", run_eagerly=True)
    x, y = np.zeros((4, 6), "float32"), np.zeros((4, 2), "float32")
    old = []
    for _ in range(4):
        model.train_on_batch(x, y)
        model.predict_on_batch(x)
        old += [weakref.ref(each.value) for each in (*model.variables, *model.optimizer._momentums) if 12 >= each.shape[0] > 2]
        anatomy = Anatomy(model)
        operate(anatomy, anatomy.groups({"hidden": [0]}))
    del anatomy
    gc.collect()
    held = {id(each.value) for each in (*model.variables, *model.optimizer._momentums)}
    assert all(each() is None or id(each()) in held for each in old)
