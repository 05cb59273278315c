"""Only what a unit sees is computed: the same values and gradients as when everything is."""

from __future__ import annotations

import weakref
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from featwatch.explain.ascent.frame import frame_of
from featwatch.explain.ascent.objective import Objective
from featwatch.explain.ascent.trimming import trimming_of
from featwatch.explain.forms import form_of
from featwatch.layers import choose
from tests.nets import functional
from tests.test_receptive_field import NETS, build

L = keras.layers


def both(model: Any, site: Any, seed: int = 0) -> dict[bool, tuple[np.ndarray, np.ndarray, np.ndarray, int]] | None:
    """Trimmed or not -> the central unit's values in its window, their gradients, and the sizes of what was computed."""
    form = form_of(model)
    shape = site.tapped.output.shape
    frame = frame_of(model, site, form, tuple(shape[1:-1]))
    trimming = trimming_of(model, site, frame.unit)
    if trimming is None:
        return None
    rng = np.random.default_rng(seed)
    x = tf.constant(rng.normal(size=(3, *frame.size, form.size[2])), tf.float32)
    directions = tf.constant(rng.normal(size=(3, int(shape[-1]))), tf.float32)

    def run(trimming: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
        objective = Objective(weakref.ref(model), site, form, frame.unit, alone=True, trimming=trimming)

        def values(x: tf.Tensor) -> Any:
            read = objective.read(x)
            slope = tf.gradients(read.maps, x, objective.seed(read, directions))[0]
            return objective.of(read), slope, read.after, tf.constant(np.prod(read.maps.shape[1:-1]))

        value, slope, after, size = tf.function(values, autograph=False)(x)
        return value.numpy(), slope.numpy(), after.numpy(), int(size)

    try:
        whole = run(None)
    except ValueError:                  # a layer that does not take so small a window
        return None
    return {True: run(trimming), False: whole}


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.__name__)
def test_values_and_gradients_are_those_of_the_whole_window(net: Any) -> None:
    model = build(net)
    site = choose(model, [model.layers[-1].name])[0]
    if len(site.tapped.output.shape) != 4:
        return
    found = both(model, site)
    if found is None:                   # several calls of one layer, a model within, other axes, a window too small
        assert net.__name__ in ("shared", "nested", "through_dense", "depthwise_cropped", "u_net")
        return
    (value, gradient, after, size), (expected, slope, whole, all_of_it) = found[True], found[False]
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradient, slope, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(after, whole, rtol=1e-5, atol=1e-6)
    assert size <= all_of_it


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [37, 40])
def test_strides_and_padding_fall_as_they_did(padding: str, stride: int, size: int) -> None:
    keras.utils.set_random_seed(stride)
    inputs = keras.Input((size, size, 2))
    x = L.Conv2D(4, 3, strides=stride, padding=padding, activation="relu")(inputs)
    x = L.MaxPooling2D(2, padding=padding)(x)
    y = L.Conv2D(4, 3, padding="same", activation="relu")(x)
    x = L.Add()([x, y])
    x = L.ReLU(name="out")(L.BatchNormalization()(L.Conv2D(5, 3, padding=padding, name="last")(x)))
    model = keras.Model(inputs, x)
    found = both(model, choose(model, "last")[0])
    assert found is not None
    for trimmed, whole in zip(found[True][:3], found[False][:3], strict=True):
        np.testing.assert_allclose(trimmed, whole, rtol=1e-4, atol=1e-5)
    # What enters the ReLU: a single position, and what the last convolution gives around it.
    assert found[True][3] <= 9 and (padding == "valid" or found[True][3] < found[False][3])


def test_a_nested_model_on_the_way_is_left_as_it_is() -> None:
    model = functional()
    assert trimming_of(model, choose(model, "last")[0], (1, 1)) is None
    stem = choose(model, "stem")[0]
    assert trimming_of(model, stem, (2, 2)) is not None
