"""`explain.relevance`: what a pixel adds, against hand-worked cases; its numbers add up to the difference of the responses."""

from __future__ import annotations

import doctest
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import featwatch as fw
from featwatch.explain.attribution import relevance_maps
from tests.nets import functional, images, sequential

layers = keras.layers
RNG = np.random.default_rng(5)


def test_of_a_linear_filter_it_is_weight_times_difference() -> None:
    model = keras.Sequential([keras.Input((6, 6, 2)), layers.Conv2D(3, 3, name="conv")])
    x = RNG.normal(size=(2, 6, 6, 2)).astype(np.float32)
    found = fw.explain.relevance(model, "conv", None, x, steps=3, neutral=[0.5, -1.0])
    kernel = model.get_layer("conv").kernel.numpy()
    for f in range(3):
        for i in range(2):
            top, left = found.units[f, i]
            expected = np.zeros((6, 6))
            part = np.s_[top : top + 3, left : left + 3]
            expected[part] = (kernel[..., f] * (x[i][part] - [0.5, -1.0])).sum(axis=-1)
            np.testing.assert_allclose(found.maps[f, i], expected, rtol=1e-4, atol=1e-5)
    assert found.note == ""


def test_one_step_is_enough_where_the_gradient_grows_evenly() -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1, activation=keras.ops.square, name="dense")])
    x = RNG.normal(size=(2, 4)).astype(np.float32)
    found = fw.explain.relevance(model, "dense", None, x, steps=1, neutral=0)
    np.testing.assert_allclose(found.maps.sum(axis=(2, 3))[0], model(x)[:, 0], rtol=1e-4)
    assert found.note == ""


@pytest.mark.parametrize("aggregate", ["max", "sum"])
def test_it_adds_up_to_the_difference_of_the_responses(aggregate: str) -> None:
    model = functional()
    x, y = images(60)
    model.fit(x, y, verbose=0)
    x = x[:3]
    neutral = np.full((3, 8, 8, 1), 0.25, np.float32)
    for layer in ("last", "scores"):
        found = fw.explain.relevance(model, layer, None, x, aggregate, steps=200, neutral=0.25)
        there, here = (fw.explain.activations(model, layer, each)[layer] for each in (x, neutral))
        there, here = (each.reshape(3, -1, each.shape[-1]) for each in (there, here))
        if aggregate == "sum":
            difference = (there - here).sum(axis=1).T
        else:
            best = there.argmax(axis=1)[:, None]
            difference = (np.take_along_axis(there, best, 1) - np.take_along_axis(here, best, 1))[:, 0].T
        np.testing.assert_allclose(found.maps.sum(axis=(2, 3)), difference, rtol=0.02, atol=2e-3)


def test_with_few_steps_what_is_missed_is_said() -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1, activation="sigmoid", name="dense")])
    model.get_layer("dense").kernel.assign(np.full((4, 1), 3.0))
    x = np.ones((1, 4), np.float32)
    few, many = (fw.explain.relevance(model, "dense", None, x, steps=steps, neutral=-1) for steps in (1, 200))
    assert "miss the difference of the responses by up to" in few.note and many.note == ""
    assert many.maps.sum() == pytest.approx(float(tf.sigmoid(12.0) - tf.sigmoid(-12.0)), rel=0.01)


def test_a_twin_in_chunks_and_the_sum_over_a_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    model = sequential()
    x = images(2)[0]
    whole = fw.explain.relevance(model, "dense", None, x, "sum", steps=6)
    monkeypatch.setattr("featwatch.explain.attribution.layer_functions._PICTURES_AT_ONCE", 8)
    np.testing.assert_allclose(fw.explain.relevance(model, "dense", None, x, "sum", steps=6).maps, whole.maps, atol=1e-5)
    one_by_one = np.concatenate([fw.explain.relevance(model, "dense", [f], x, "sum", steps=6).maps for f in range(8)])
    np.testing.assert_allclose(one_by_one, whole.maps, atol=1e-5)
    assert not np.allclose(fw.explain.relevance(model, "dense", None, x, "sum", steps=6, twin=True).maps, whole.maps)


@pytest.mark.parametrize("options", [{"aggregate": "mean"}, {"steps": 0}, {"steps": 1.5}, {"neutral": "grey"}])
def test_what_is_wrong_is_said(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))}="):
        fw.explain.relevance(sequential(), "conv", None, images(2)[0], **options)


def test_example() -> None:
    globs = {"net": sequential(), "x": images(2)[0], "relevance": fw.explain.relevance}
    found = doctest.testmod(relevance_maps, extraglobs=globs)
    assert found.attempted and not found.failed
