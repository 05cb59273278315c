"""A model run without some of its units, and two models compared: against the smaller model, the oracle and NumPy."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import featwatch as fw
from featwatch.prune.anatomy import Anatomy
from featwatch.prune.comparing import compared
from featwatch.prune.masking import Masks
from featwatch.prune.rebuild import rebuilt
from tests.prune_nets import shuffled
from tests.pruning_truth import apart, drawn, masked

L = keras.layers


@pytest.fixture(scope="module")
def model() -> Any:
    inputs = keras.Input((6, 6, 2))
    x = L.Conv2D(6, 3, use_bias=False, name="first")(inputs)
    x = L.ReLU()(L.BatchNormalization(name="norm")(x))
    x = L.Add()([x, L.Conv2D(6, 3, padding="same", name="inner")(x)])
    x = L.DepthwiseConv2D(3, depth_multiplier=2, name="spread")(x)
    outputs = [L.Dense(3, name="kind")(L.Flatten()(x)), L.Dense(1, name="size")(L.GRU(4, name="steps")(L.Reshape((4, 12))(x)))]
    made = shuffled(keras.Model(inputs, outputs))
    made.compile(loss=["sparse_categorical_crossentropy", "mse"])
    return made


def test_masked_is_pruned(model: Any) -> None:
    anatomy = Anatomy(model)
    x = np.random.default_rng(0).normal(size=(5, 6, 6, 2)).astype(np.float32)
    masks, before = Masks(anatomy), model.get_weights()
    assert apart(masks.outputs(x, anatomy, ()), model(x)) < 1e-6
    for seed in (0, 1):                     # the second time with what was traced the first time
        groups = drawn(anatomy, 0.5, seed) | anatomy.groups({"steps": [seed]})
        assert {"first", "inner", "norm", "spread"} <= set(anatomy.going(groups))
        found = masks.outputs(x, anatomy, groups)
        assert apart(found, masked(model, anatomy, groups, x)) < 1e-5
        assert apart(found, rebuilt(anatomy, groups)(x)) < 1e-5
        assert apart(found, model(x)) > 0.01
    assert all((one == other).all() for one, other in zip(before, model.get_weights(), strict=True))
    assert masks._function.experimental_get_tracing_count() == 1


def test_weights_that_are_not_finite_go_with_their_unit(model: Any) -> None:
    anatomy, norm = Anatomy(model), model.get_layer("norm")
    x, before = np.ones((2, 6, 6, 2), np.float32), norm.get_weights()
    norm.gamma.assign(np.where(np.arange(6) == 2, np.nan, before[0]))
    groups = anatomy.groups({"norm": [2]})
    assert np.isfinite(np.concatenate(Masks(anatomy).outputs(x, anatomy, groups), axis=1)).all()
    norm.set_weights(before)


def test_two_models_are_compared_as_numpy_does() -> None:
    rng = np.random.default_rng(1)
    models = [shuffled(keras.Sequential([keras.Input((4,)), L.Dense(3, activation="softmax")]), seed) for seed in (0, 1)]
    for each in models:
        each.compile(loss="sparse_categorical_crossentropy")
    x, y = rng.normal(size=(10, 4)).astype(np.float32), rng.integers(0, 3, 10)
    one, other = (np.asarray(each(x), np.float64) for each in models)
    found = compared(*models, fw.Probe(x, y, batch_size=4))        # the last batch is filled up
    assert found.difference == pytest.approx(np.sqrt(((one - other) ** 2).mean() / one.var(axis=0).mean()), rel=1e-5)
    assert found.accuracy_before == pytest.approx((one.argmax(1) == y).mean())
    assert found.accuracy_after == pytest.approx((other.argmax(1) == y).mean())
    unlabelled = compared(models[0], models[0], fw.Probe(x))
    assert (unlabelled.difference, unlabelled.accuracy_before) == (0.0, None)
