"""Criteria by which units go: against NumPy, finite differences and planted units."""

from __future__ import annotations

import random
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import featwatch as fw
from featwatch.prune.anatomy import Anatomy
from featwatch.prune.candidates import Candidates, candidates
from featwatch.prune.criteria.l2 import l2
from featwatch.prune.criteria.redundancy import left_of
from featwatch.prune.planning import scored
from tests import nets

layers = keras.layers
PROBED = ["activity", "redundancy", "taylor"]


@pytest.fixture(scope="module")
def probe() -> fw.Probe:
    return fw.Probe(*nets.images(38), batch_size=8)             # the last batch is filled up


@pytest.fixture(scope="module")
def residual() -> Any:
    model = drawn(nets.functional())
    rng = np.random.default_rng(0)
    model.get_layer("norm").set_weights([rng.uniform(0.5, 2, 4) for _ in range(4)])
    return model


def drawn(model: Any) -> Any:
    """The model with weights that are the same every time."""
    rng = np.random.default_rng(7)
    model.set_weights([rng.normal(0, 0.4, value.shape) for value in model.get_weights()])
    return model


def scores_of(model: Any, criterion: Any, probe: Any = None, layer: str = "") -> np.ndarray:
    """By candidate, or of the units of one layer."""
    anatomy = Anatomy(model)
    possible = candidates(anatomy)
    found, notes = scored(anatomy, possible, criterion, probe)
    assert not notes
    return found[possible.members[layer].places] if layer else found


def of_layer(possible: Candidates, scores: np.ndarray, layer: str) -> np.ndarray:
    return scores[possible.members[layer].places]


def test_l2_is_the_norm_of_all_that_makes_scales_and_reads_a_unit() -> None:
    model = keras.Sequential(
        [keras.Input((6, 6, 2)), layers.Conv2D(3, 3, name="conv"), layers.BatchNormalization(name="norm"),
         layers.Flatten(), layers.Dense(2, name="scores")]
    )  # fmt: skip
    rng = np.random.default_rng(1)
    model.set_weights([rng.uniform(0.1, 1, value.shape) for value in model.get_weights()])
    kernel, gamma = model.get_layer("conv").get_weights()[0], model.get_layer("norm").get_weights()[0]
    reading = model.get_layer("scores").get_weights()[0].reshape(4, 4, 3, 2)
    parts = [np.square(kernel).sum((0, 1, 2)), np.square(gamma), np.square(reading).sum((0, 1, 3))]
    expected = np.sqrt(np.mean([part / part.mean() for part in parts], axis=0))
    anatomy = Anatomy(model)
    np.testing.assert_allclose(l2(anatomy, candidates(anatomy)), expected, rtol=1e-5)


def test_l2_of_units_that_are_read_several_times() -> None:
    """What reads a unit counts as a whole, however many rows it has."""
    inputs = keras.Input((3,))
    x = layers.Dense(4, name="hidden")(inputs)
    model = keras.Model(inputs, layers.Dense(2, name="scores")(layers.Concatenate()([x, x[:, :2]])))
    making, reading = (np.square(model.get_layer(name).get_weights()[0]) for name in ("hidden", "scores"))
    rows = reading.sum(1)
    read = rows[:4] + [rows[4], rows[5], 0, 0]
    expected = np.sqrt((making.sum(0) / making.sum(0).mean() + read / read.mean()) / 2)
    np.testing.assert_allclose(scores_of(model, "l2"), expected, rtol=1e-5)


def test_few_samples_for_so_many_units_are_said() -> None:
    plan = fw.prune.plan(nets.sequential(), ratio=0.3, criterion="redundancy", probe=fw.Probe(*nets.images(6)))
    assert any("of dense there are few samples for so many units" in note for note in plan.notes)


def test_activity_is_the_mean_over_samples_and_positions(residual: Any, probe: fw.Probe) -> None:
    maps = fw.explain.activations(residual, ["stem", "block/inner", "last"], probe)
    sizes = {name: np.abs(values).mean((0, 1, 2)) for name, values in maps.items()}
    relative = {name: size / size.mean() for name, size in sizes.items()}
    np.testing.assert_allclose(scores_of(residual, "activity", probe, "last"), relative["last"], rtol=1e-5)
    # What is added up is one group: the mean of both.
    together = (relative["stem"] + relative["block/inner"]) / 2
    np.testing.assert_allclose(scores_of(residual, "activity", probe, "stem"), together, rtol=1e-5)


def test_redundancy_is_what_the_others_leave(probe: fw.Probe) -> None:
    model = drawn(nets.sequential())
    conv = model.get_layer("conv")
    kernel, bias = conv.get_weights()
    kernel = np.abs(kernel)
    kernel[..., 1] = 2 * kernel[..., 0]         # a multiple,
    bias[:] = 0.1, 0.2, 0.1, -100
    kernel[..., 3] *= 0.1                       # and a dead one
    conv.set_weights([kernel, bias])
    found = scores_of(model, "redundancy", probe, "conv")
    assert found[3] == 0 and found[0] < 1e-3 and (found[1:3] > 0.05).all()      # of the multiples the larger one stays


def test_redundancy_is_the_residual_of_a_regression() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=(500, 6)) @ rng.normal(size=(6, 6)) + 3
    moments = np.vstack([np.full((1, 6), 500.0), values.sum(0, keepdims=True), values.T @ values])
    found = left_of(moments, 500)
    order = np.argsort(-found)
    for at, unit in enumerate(order):
        before = np.column_stack([values[:, order[:at]], np.ones(500)])
        left = values[:, unit] - before @ np.linalg.lstsq(before, values[:, unit], rcond=None)[0]
        assert found[unit] == pytest.approx(left.std(), rel=1e-6)
    assert not left_of(np.zeros((8, 6)), 1).any()


def test_taylor_is_the_derivative_of_the_loss(residual: Any, probe: fw.Probe) -> None:
    def loss(scale: np.ndarray, layer: str) -> np.ndarray:
        """(samples,) with what the units of a layer, and of those tied to it, give times `scale`."""
        x = residual.get_layer("stem")(probe.x)
        x = residual.get_layer("stem_relu")(residual.get_layer("norm")(x, training=False))
        x = x * scale if layer == "stem" else x
        inner = residual.get_layer("block")(x)
        x = x + (inner * scale if layer == "stem" else inner)
        x = tf.nn.relu(residual.get_layer("last")(x))
        x = tf.reduce_mean(x * scale if layer == "last" else x, (1, 2))
        return keras.losses.sparse_categorical_crossentropy(probe.y, residual.get_layer("scores")(x)).numpy()

    for layer, units in (("stem", 4), ("last", 6)):
        derivatives = []
        for unit in range(units):
            step = np.zeros(units, np.float32)
            step[unit] = 0.003
            derivatives.append(np.abs(loss(1 + step, layer) - loss(1 - step, layer)).mean() / 0.006)
        found = scores_of(residual, "taylor", probe, layer) * probe.batch_size      # the loss is a batch's mean
        np.testing.assert_allclose(found, derivatives, rtol=0.03, atol=1e-4)


def test_units_without_a_say_go_first(probe: fw.Probe) -> None:
    model = drawn(nets.sequential())
    dense, scores = model.get_layer("dense"), model.get_layer("scores")
    kernel, bias = dense.get_weights()
    kernel[:], bias[:] = np.random.default_rng(4).normal(size=kernel.shape) ** 2, 0.1
    kernel[:, 3], bias[3] = -1, -1              # dead: every input is 0 or more
    dense.set_weights([kernel, bias])
    reading = scores.get_weights()
    reading[0][5] = 0                           # nobody reads it
    scores.set_weights(reading)
    for criterion, expected in (("activity", [3]), ("redundancy", [3]), ("taylor", [3, 5])):
        found = scores_of(model, criterion, probe, "dense")
        assert np.flatnonzero(found == 0).tolist() == expected, criterion


@pytest.mark.parametrize("criterion", PROBED)
def test_it_does_not_matter_how_samples_come(residual: Any, probe: fw.Probe, criterion: str) -> None:
    found = scores_of(residual, criterion, probe)
    at_once = scores_of(residual, criterion, fw.Probe(probe.x, probe.y, batch_size=len(probe)))
    np.testing.assert_allclose(found / found.mean(), at_once / at_once.mean(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("criterion", PROBED)
def test_channels_first_is_channels_last(criterion: str) -> None:
    x, y = nets.images(12, (8, 8, 2))

    def net(order: str, shape: tuple[int, ...]) -> Any:
        conv = layers.Conv2D(6, 3, activation="relu", data_format=order, use_bias=False, name="conv")
        pool = layers.GlobalAveragePooling2D(data_format=order)
        return nets.compiled(drawn(keras.Sequential([keras.Input(shape), conv, pool, layers.Dense(3, activation="softmax")])))

    last = scores_of(net("channels_last", (8, 8, 2)), criterion, fw.Probe(x, y))
    first = scores_of(net("channels_first", (2, 8, 8)), criterion, fw.Probe(np.moveaxis(x, -1, 1), y))
    np.testing.assert_allclose(first, last, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("criterion", PROBED)
def test_looking_changes_nothing(residual: Any, probe: fw.Probe, criterion: str) -> None:
    model = nets.functional()
    built, slots = model._compile_loss.built, len(model.optimizer.variables)
    before = model.get_weights(), random.getstate(), np.random.get_state()[1].tolist()
    fw.prune.plan(model, ratio=0.5, criterion=criterion, probe=probe)
    after = model.get_weights(), random.getstate(), np.random.get_state()[1].tolist()
    assert all(np.array_equal(one, other) for one, other in zip(before[0], after[0], strict=True))
    assert before[1:] == after[1:]
    assert model._compile_loss.built == built and len(model.optimizer.variables) == slots


@pytest.mark.parametrize("criterion", PROBED)
def test_other_models(criterion: str) -> None:
    """Several inputs and outputs with a dict of losses, units in time, mixed precision."""
    rng = np.random.default_rng(3)
    picture, series = keras.Input((8, 8, 2), name="picture"), keras.Input((5, 3), name="series")
    policy = keras.DTypePolicy("mixed_float16")
    x = layers.Conv2D(4, 3, activation="relu", dtype=policy, name="conv")(picture)
    x = layers.GlobalAveragePooling2D()(x)
    y = layers.Dense(3, name="steps")(layers.TimeDistributed(layers.Dense(4, activation="relu"), name="each")(series))
    y = layers.GlobalAveragePooling1D()(y)
    both = layers.Dense(6, activation="relu", name="hidden")(layers.Concatenate()([x, y]))
    outputs = {"kind": layers.Dense(3, activation="softmax", name="kind")(both), "size": layers.Dense(1, name="size")(both)}
    model = keras.Model({"picture": picture, "series": series}, outputs)
    model.compile("adam", {"kind": "sparse_categorical_crossentropy", "size": "mse"})
    x = {"picture": rng.random((12, 8, 8, 2)).astype("float32"), "series": rng.random((12, 5, 3)).astype("float32")}
    labels = {"kind": rng.integers(0, 3, 12), "size": rng.random((12, 1)).astype("float32")}
    plan = fw.prune.plan(model, ratio=0.4, criterion=criterion, probe=fw.Probe(x, labels))
    assert sum(map(len, plan.chosen.values())) == int(0.4 * candidates(Anatomy(model)).prunable) >= 3
    assert not any("cannot be read" in note for note in plan.notes)


@pytest.mark.parametrize(
    ("compiled", "labels", "said"),
    [
        (False, True, "compile the model first"),
        (True, False, r"give probe=featwatch.Probe\(x, y\)"),
        (True, "several", "give the probe what fit is given"),
    ],
)
def test_taylor_needs_the_loss_and_the_labels(compiled: bool, labels: Any, said: str) -> None:
    model = nets.sequential()
    x, y = nets.images(6)
    model = model if compiled else keras.Model(model.inputs, model.outputs)
    y = {"a": y, "b": y} if labels == "several" else y
    with pytest.raises(ValueError, match=said):
        fw.prune.plan(model, ratio=0.5, criterion="taylor", probe=fw.Probe(x, y if labels else None))


def test_one_hot_labels_are_what_class_numbers_are(residual: Any) -> None:
    x, y = nets.images(8)
    expected = scores_of(residual, "taylor", fw.Probe(x, y))
    other = keras.Model(residual.inputs, residual.outputs)
    other.compile(loss="categorical_crossentropy")
    np.testing.assert_allclose(scores_of(other, "taylor", fw.Probe(x, np.eye(3, dtype=np.float32)[y])), expected, rtol=1e-5)


def test_a_probe_is_asked_for_by_name() -> None:
    with pytest.raises(TypeError, match="probe is a ndarray; make one with"):
        fw.prune.plan(nets.sequential(), ratio=0.5, criterion="activity", probe=nets.images(6)[0])
