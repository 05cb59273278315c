"""The choices of a recipe: they are checked, kept in the record, and do what they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import featwatch as fw
from featwatch.explain import LUCID, Recipe
from featwatch.explain.ascent.robustness import robustness
from tests import planted
from tests.test_ascent import padded


@pytest.fixture(scope="module")
def model() -> Any:
    return planted.net()


@pytest.fixture(scope="module")
def probe() -> fw.Probe:
    return fw.Probe(planted.pictures())


def test_robustness_moves_turns_and_enlarges() -> None:
    picture = np.zeros((1, 24, 24, 1), np.float32)
    picture[:, 6:10, 11:13] = 1.0
    for choices, moves in (({"jitter": 3}, True), ({"rotate": 20.0}, True), ({"scale": 0.2}, True), ({}, False)):
        change = robustness((24, 24), **{"jitter": 0, "rotate": 0.0, "scale": 0.0, **choices})
        shown = [change(tf.constant(picture), tf.constant(step), tf.constant(False)).numpy() for step in range(6)]
        assert (len({each.tobytes() for each in shown}) > 2) == moves
        np.testing.assert_allclose(change(tf.constant(picture), tf.constant(3), tf.constant(True)), picture, atol=1e-6)
        masses = [each.sum() for each in shown]
        assert np.allclose(masses, 8.0, rtol=0.45 if "scale" in choices else 0.06)
    assert robustness((1, 30), jitter=2, rotate=9.0, scale=0.1) == robustness((1, 30), jitter=2, rotate=0.0, scale=0.0)
    assert robustness((16, 80), jitter=8, rotate=0.0, scale=0.0).jitter == (2, 8)


def test_the_gradient_goes_through_what_turns_the_image() -> None:
    change = robustness((12, 12), jitter=1, rotate=30.0, scale=0.2)
    random = np.random.default_rng(0)
    picture, weight = (tf.constant(random.normal(size=(1, 12, 12, 1)), tf.float32) for _ in range(2))

    def value(given: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(change(given, tf.constant(4), tf.constant(False)) * weight)

    with tf.GradientTape() as tape:
        tape.watch(picture)
        result = value(picture)
    gradient = tape.gradient(result, picture).numpy()
    pixels = [(5, 6), (6, 6), (4, 7)]
    measured = []
    for row, column in pixels:
        by = np.zeros((1, 12, 12, 1), np.float32)
        by[0, row, column] = 1.0
        measured.append(float(value(picture + by) - value(picture - by)) / 2)
    # TensorFlow's own gradient of a rotation turns back with the same interpolation: close to the transpose, not equal to it.
    assert np.corrcoef(measured, [gradient[0, row, column, 0] for row, column in pixels])[0, 1] > 0.8


def test_lucids_constants_serve(model: Any, probe: fw.Probe) -> None:
    shown = fw.explain.feature_images(model, "shapes", probe=probe, **{**LUCID, "steps": 96, "init": "patches"})
    assert planted.identified(shown.images) >= 0.75 and shown.settings["rotate"] == 10.0


@pytest.mark.parametrize(
    ("choices", "error", "message"),
    [
        ({"steps": 0}, ValueError, "steps=0 is out of range; give a whole number of 1 or more"),
        ({"steps": 2.5}, TypeError, "is not a whole number"),
        ({"keep": "worst"}, ValueError, "'best' or 'mean' or 'all'"),
        ({"scale": 1.5}, ValueError, "less than 1"),
        ({"rotate": -3}, ValueError, "of 0 or more"),
        ({"guard": 0}, ValueError, "above 0"),
        ({"norm": float("nan")}, ValueError, "above 0"),
        ({"unit": (1, 2), "objective": "sum"}, ValueError, "over all units"),
        ({"unit": "12"}, TypeError, "whole numbers"),
        ({"snapshots": 8}, TypeError, "whole numbers"),
        ({"decorrelate": 1}, TypeError, "True or False"),
        ({"at_least": 0}, ValueError, "of 1 or more"),
    ],
)
def test_choices_are_checked(choices: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Recipe(**choices)


def test_a_recipe_in_a_record_makes_the_same_again(model: Any, probe: fw.Probe) -> None:
    shown = fw.explain.feature_images(model, "shapes", [3], probe=probe, steps=12, starts=2, jitter=1, seed=5, at_least=14)
    settings = {name: tuple(value) if isinstance(value, list) else value for name, value in shown.settings.items()}
    again = fw.explain.feature_images(model, "shapes", [3], probe=probe, steps=shown.steps, basis=shown.basis, init=shown.init,
                                      objective=shown.objective, **settings)  # fmt: skip
    np.testing.assert_array_equal(again.pixels, shown.pixels)


def test_deeper_layers_take_more_steps() -> None:
    net, x = padded(), np.random.default_rng(0).random((30, 16, 16, 1), np.float32)
    shown = [fw.explain.feature_images(net, layer, [0], probe=x, steps=10, deeper=0.5).steps for layer in ("first", "second")]
    assert shown == [10, 15]


def test_over_all_units_what_leaves_the_activation_grows(model: Any, probe: fw.Probe) -> None:
    made = fw.explain.feature_images(model, "edges", [0, 3], probe=probe, objective="channel", steps=16)
    shown = fw.explain.activations(model, "edges", made.images)["edges"][[0, 1], ..., [0, 3]]
    natural = fw.explain.activations(model, "edges", probe)["edges"][..., [0, 3]].mean(axis=(1, 2)).max(axis=0)
    np.testing.assert_allclose(made.activation, shown.mean(axis=(1, 2)), rtol=0.02)     # images are kept to 1 in 255
    np.testing.assert_allclose(made.natural, natural, rtol=1e-5)
    assert (made.activation > natural).all() and (shown >= 0).all()
