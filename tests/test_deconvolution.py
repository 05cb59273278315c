"""`explain.deconvolution`: against backpropagation written out by hand, however a ReLU is written, and its units and boxes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import featwatch as fw
from featwatch.explain.attribution.rules import MODES
from tests.nets import functional, images

layers = keras.layers
RNG = np.random.default_rng(1)
SHAPE = (12, 11, 2)


def by_hand(weights: list[np.ndarray], x: np.ndarray, filter_: int, mode: str, share: float) -> tuple[np.ndarray, int]:
    """conv 3×3, ReLU, max-pooling 2×2, conv 3×3, ReLU in plain loops, forwards and back again; and how many units take part."""
    first, first_bias, second, second_bias = weights

    def convolved(maps: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
        rows, columns = maps.shape[0] - 2, maps.shape[1] - 2
        found = np.zeros((rows, columns, kernel.shape[-1])) + bias
        for r in range(rows):
            for c in range(columns):
                found[r, c] += np.einsum("abi,abif->f", maps[r : r + 3, c : c + 3], kernel)
        return found

    def sent_through(signal: np.ndarray, kernel: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        found = np.zeros(shape)
        for r in range(signal.shape[0]):
            for c in range(signal.shape[1]):
                found[r : r + 3, c : c + 3] += np.einsum("f,abif->abi", signal[r, c], kernel)
        return found

    def rectified(signal: np.ndarray, entered: np.ndarray) -> np.ndarray:
        if mode == "deconv":
            return np.maximum(signal, 0)
        return np.where(entered > 0, np.maximum(signal, 0) if mode == "guided" else signal, 0)

    before_first = convolved(x, first, first_bias)
    maps = np.maximum(before_first, 0)
    pooled = np.zeros((maps.shape[0] // 2, maps.shape[1] // 2, maps.shape[2]))
    switches: dict[tuple[int, int, int], tuple[int, int]] = {}
    for r, c, f in np.ndindex(*pooled.shape):
        window = maps[2 * r : 2 * r + 2, 2 * c : 2 * c + 2, f]
        row, column = np.unravel_index(window.argmax(), (2, 2))
        pooled[r, c, f], switches[r, c, f] = window.max(), (2 * r + int(row), 2 * c + int(column))
    before_second = convolved(pooled, second, second_bias)
    last = np.maximum(before_second[..., filter_], 0)
    acting = (last > 0) & (last >= share * last.max())
    signal = np.zeros_like(before_second)
    signal[..., filter_] = np.where(acting, last if mode == "deconv" else 1, 0)
    back = sent_through(rectified(signal, before_second), second, pooled.shape)
    unpooled = np.zeros_like(maps)
    for (r, c, f), place in switches.items():
        unpooled[(*place, f)] += back[r, c, f]
    return sent_through(rectified(unpooled, before_first), first, x.shape), int(acting.sum())


class Own(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.pool, self.second = layers.Conv2D(4, 3), layers.MaxPooling2D(), layers.Conv2D(3, 3, name="last")

    def call(self, x: Any) -> Any:
        return keras.ops.relu(self.second(self.pool(keras.ops.relu(self.first(x)))))


class RectifiesItself(layers.Layer):
    """An activation within a layer of the user's own, called as TensorFlow's function."""

    def __init__(self, inner: Any, **more: Any) -> None:
        super().__init__(**more)
        self.inner = inner

    def call(self, x: Any) -> Any:
        return tf.nn.relu(self.inner(x))

    def compute_output_shape(self, shape: Any) -> Any:
        return self.inner.compute_output_shape(shape)


def as_arguments() -> Any:
    return keras.Sequential([
        keras.Input(SHAPE), layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D(),
        layers.Conv2D(3, 3, activation="relu", name="last"),
    ])  # fmt: skip


def as_layers() -> Any:
    inputs = keras.Input(SHAPE)
    z = layers.MaxPooling2D()(layers.ReLU()(layers.Conv2D(4, 3)(inputs)))
    return keras.Model(inputs, layers.Activation("relu")(layers.Conv2D(3, 3, name="last")(z)))


def as_functions() -> Any:
    inputs = keras.Input(SHAPE)
    z = layers.MaxPooling2D()(keras.ops.relu(layers.Conv2D(4, 3)(inputs)))
    return keras.Model(inputs, keras.ops.relu(layers.Conv2D(3, 3, name="last")(z)))


def nested() -> Any:
    block = keras.Sequential([keras.Input(SHAPE), layers.Conv2D(4, 3), layers.ReLU(), layers.MaxPooling2D()], name="block")
    inputs = keras.Input(SHAPE)
    return keras.Model(inputs, layers.Conv2D(3, 3, activation="relu", name="last")(block(inputs)))


def subclassed() -> Any:
    model = Own()
    model(np.zeros((1, *SHAPE), np.float32))
    return model


def with_a_layer_of_ones_own() -> Any:
    inputs = keras.Input(SHAPE)
    z = layers.MaxPooling2D()(RectifiesItself(layers.Conv2D(4, 3))(inputs))
    return keras.Model(inputs, layers.Conv2D(3, 3, activation="relu", name="last")(z))


WEIGHTS = [
    RNG.normal(size=(3, 3, 2, 4)), RNG.normal(size=4), RNG.normal(size=(3, 3, 4, 3)), RNG.normal(size=3) + 8,
]  # fmt: skip
PICTURES = RNG.normal(size=(2, *SHAPE)).astype(np.float32)
MODELS: list[Callable[[], Any]] = [as_arguments, as_layers, as_functions, nested, subclassed, with_a_layer_of_ones_own]


@pytest.mark.parametrize("build", MODELS)
def test_it_is_what_is_written_out_by_hand_however_a_relu_is_written(build: Callable[[], Any]) -> None:
    model = build()
    model.set_weights([weights.astype(np.float32) for weights in WEIGHTS])
    # The value after a subclassed model's own function is not its layer's: the layer's own output is the response.
    behind_relu = build is not subclassed
    found = {mode: fw.explain.deconvolution(model, "last", None, PICTURES, mode, share=0.6) for mode in MODES}
    for mode in MODES:
        assert found[mode].maps.shape == (3, 2, *SHAPE) and found[mode].note == ""
        for f in range(3):
            for i in range(2):
                expected, units = by_hand(WEIGHTS, PICTURES[i], f, mode, 0.6)
                assert units <= 6 and expected.any() == (units > 0)
                np.testing.assert_allclose(found[mode].maps[f, i], expected, rtol=1e-3, atol=1e-4)
                if behind_relu:
                    assert (found[mode].boxes[f, i, :, 0] >= 0).sum() == min(units, 16)
    assert found["gradient"].maps.any(axis=(1, 2, 3, 4)).sum() >= 2
    assert not np.allclose(found["deconv"].maps, found["guided"].maps)
    assert not np.allclose(found["guided"].maps, found["gradient"].maps)


def test_gradient_is_that_of_the_sum_of_the_units() -> None:
    model = as_layers()
    relu = model.layers[-1].output
    with tf.GradientTape(persistent=True) as tape:
        picture = tf.constant(PICTURES)
        tape.watch(picture)
        maps = keras.Model(model.inputs[0], relu)(picture)
        acting = tf.cast((maps >= 0.98 * tf.reduce_max(maps, axis=(1, 2), keepdims=True)) & (maps > 0), tf.float32)
        sums = [tf.reduce_sum(acting[..., f] * maps[..., f]) for f in range(3)]
    found = fw.explain.deconvolution(model, "last", None, PICTURES, "gradient")
    for f, value in enumerate(sums):
        np.testing.assert_allclose(found.maps[f], tape.gradient(value, picture), rtol=1e-4, atol=1e-6)


SLOPES = {"relu": 1.0, "relu6": 1.0, "leaky_relu": 1.0, "elu": 1.0, "selu": 1.0507009873554805}


@pytest.mark.parametrize("activation", SLOPES)
def test_the_rules_of_all_rectifiers(activation: str) -> None:
    inputs = keras.Input((5, 5, 1))
    first = layers.Conv2D(4, 1, activation=activation, name="first")
    second = layers.Conv2D(2, 1, activation="relu", name="second")
    model = keras.Model(inputs, second(first(inputs)))
    first.kernel.assign(np.array([[[[1.0, -1.0, 8.0, 2.0]]]]))
    second.kernel.assign(np.array([[[[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [-0.1, 1.0]]]]))
    second.bias.assign(np.array([1.0, 1.0]))
    x = np.zeros((1, 5, 5, 1), np.float32)
    x[0, 2, 3] = 1                                  # only there are units above their bias; 8 is beyond what ReLU6 lets through
    slope, full = SLOPES[activation], activation == "relu6"
    guided = slope * (1 + (0 if full else 8))       # of those that are on, not full, and get a positive signal
    found = {mode: fw.explain.deconvolution(model, "second", [0], x, mode).maps[0, 0, :, :, 0] for mode in MODES}
    assert found["guided"][2, 3] == pytest.approx(guided, rel=1e-5) and np.count_nonzero(found["guided"]) == 1
    response = float(np.asarray(model(x))[0, 2, 3, 0])
    assert found["deconv"][2, 3] == pytest.approx(response * (1 - 1 + 8), rel=1e-5)
    outside = np.asarray(model(x))[0, 0, 0, 0]
    assert response > outside


def test_where_no_relu_is_on_the_way_that_is_said() -> None:
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(3, 3, activation="tanh", name="conv")])
    x = images(2)[0]
    found = {mode: fw.explain.deconvolution(model, "conv", None, x, mode) for mode in MODES}
    assert found["guided"].note == "guided: no ReLU stands between the image and the layer, so this is the gradient"
    assert found["gradient"].note == "" and np.array_equal(found["guided"].maps, found["gradient"].maps)


def test_relus_that_a_rule_cannot_reach_are_said() -> None:
    @tf.function
    def hidden(x: Any) -> Any:
        return tf.nn.relu(x)

    class Hides(layers.Layer):
        def call(self, x: Any) -> Any:
            return hidden(x)

        def compute_output_shape(self, shape: Any) -> Any:
            return shape

    inputs = keras.Input((8, 8, 1))
    model = keras.Model(inputs, layers.Conv2D(2, 3, name="last")(Hides()(layers.Conv2D(2, 3)(inputs))))
    found = fw.explain.deconvolution(model, "last", None, images(2)[0], "guided")
    assert "within a tf.function" in found.note


def test_a_filter_that_is_nowhere_above_zero_sends_nothing_and_has_no_boxes() -> None:
    keras.utils.set_random_seed(2)          # the other filters are above zero somewhere
    model = as_layers()
    model.get_layer("last").bias.assign(np.array([-1e3, 0.0, 0.0]))
    for mode in MODES:
        found = fw.explain.deconvolution(model, "last", None, PICTURES, mode)
        assert not found.maps[0].any() and found.maps[1:].any()
        assert (found.boxes[0] == -1).all() and found.activation[0].tolist() == [0, 0]
    linear = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(1, 3, name="conv")])
    linear.get_layer("conv").kernel.assign(np.full((3, 3, 1, 1), -1.0))
    x = np.zeros((1, 8, 8, 1), np.float32)
    x[0, 4, 4] = 1                                  # 0 at best
    for mode in MODES:
        found = fw.explain.deconvolution(linear, "conv", None, x, mode)
        assert not found.maps.any() and not found.boxes.size


def test_boxes_are_the_receptive_fields_of_the_acting_units() -> None:
    model = as_layers()
    found = fw.explain.deconvolution(model, "last", None, PICTURES, share=0.5)
    maps = np.asarray(model(PICTURES))
    for f in range(3):
        for i in range(2):
            acting = np.argwhere((maps[i, ..., f] >= 0.5 * maps[i, ..., f].max()) & (maps[i, ..., f] > 0))
            boxes = [fw.explain.receptive_field(model, "last", unit).inside for unit in acting]
            expected = {(box.lo[0], box.hi[0], box.lo[1], box.hi[1]) for box in boxes}
            given = {tuple(box) for box in found.boxes[f, i].tolist() if box[0] >= 0}
            assert given <= expected and len(given) == min(len(expected), 16)


def test_a_rule_stays_where_it_was_asked_for() -> None:
    model = functional()
    x = images(3)[0]
    before = fw.explain.saliency(model, "last", None, x, "sum").maps
    outputs = np.asarray(model(x))
    for mode in MODES:
        fw.explain.deconvolution(model, "last", None, x, mode)
    assert np.array_equal(fw.explain.saliency(model, "last", None, x, "sum").maps, before)
    assert np.array_equal(np.asarray(model(x)), outputs)


def test_what_is_wrong_is_said() -> None:
    model = as_layers()
    with pytest.raises(ValueError, match=r"mode='guidedly': expected 'deconv' or 'guided' or 'gradient'"):
        fw.explain.deconvolution(model, "last", None, PICTURES, "guidedly")
    for share in (0, 1.5, "0.5", True):
        with pytest.raises(ValueError, match="share="):
            fw.explain.deconvolution(model, "last", None, PICTURES, share=share)
