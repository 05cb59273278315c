"""The ascent: objectives, bases, the norm, robustness, the guard, precision, snapshots and what is traced."""

from __future__ import annotations

import gc
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import featwatch as fw
from featwatch.explain.ascent import objective
from featwatch.explain.ascent.bases import Fourier
from featwatch.explain.ascent.bounds import bounds_of, given_bounds
from featwatch.explain.ascent.images import painter_of
from featwatch.layers import choose
from tests import planted, planted_colours

L = keras.layers


@pytest.fixture(scope="module")
def model() -> Any:
    return planted.net()


@pytest.fixture(scope="module")
def probe() -> fw.Probe:
    return fw.Probe(planted.pictures())


@pytest.mark.parametrize("given", [(1, 11, 1), (4, 11, 3), (2, 9, 5)], ids=["grey", "colour", "five channels"])
def test_planted_shapes_of_other_nets_are_recognised(given: tuple[int, int, int]) -> None:
    net = planted_colours.strokes(*given)
    found = fw.explain.feature_images(net.net(), "shapes", probe=fw.Probe(net.pictures()))
    assert net.identified(found.images) >= 0.92 and found.reached.all()
    assert net.identified(np.roll(found.images, 1, axis=0)) <= 0.17


def test_the_fourier_basis_is_the_inverse_fourier_transform() -> None:
    for size in ((6, 8, 2), (5, 7, 1), (1, 9, 3), (8, 1, 1), (1, 1, 2)):
        random = np.random.default_rng(0)
        basis = Fourier(size, given_bounds(0, 1, size[2]))
        images = random.normal(size=(3, *size))
        numbers = basis.numbers_of(images).astype(np.float32)
        np.testing.assert_allclose(basis.free(tf.constant(numbers)), images, atol=1e-5)
        # ⟨free(a), b⟩ = ⟨a, transposed(b)⟩
        one = random.normal(size=(3, *basis.shape)).astype(np.float32)
        other = random.normal(size=(3, *size)).astype(np.float32)
        left = (basis.free(tf.constant(one)).numpy() * other).sum()
        assert left == pytest.approx((one * basis.transposed(tf.constant(other)).numpy()).sum(), rel=1e-4, abs=1e-4)
        # Each number by itself is a wave of NumPy's, as long as the lowest frequency of the picture allows.
        scale = np.sqrt(size[0] * size[1]) / 4
        at = (0, 2 if size[0] > 1 else 0, 1 if size[1] > 1 else 0)
        unit = np.zeros((1, *basis.shape), np.float32)
        unit[(0, *at)] = 1.0
        coefficients = np.zeros((size[0], size[1] // 2 + 1))
        coefficients[at[1] // 2, at[2]] = 1.0
        frequency = np.hypot(np.fft.fftfreq(size[0])[at[1] // 2], np.fft.rfftfreq(size[1])[at[2]])
        wave = np.fft.irfft2(coefficients, size[:2]) * scale / max(frequency, 1 / max(size[:2]))
        np.testing.assert_allclose(basis.free(tf.constant(unit))[0, ..., 0], wave, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("norm", [None, 1.5])
def test_gradients_in_the_basis_are_those_of_tensorflow(channels: int, norm: float | None) -> None:
    pictures = np.random.default_rng(1).random((40, 6, 7, channels)) ** 2
    basis = Fourier((6, 7, channels), bounds_of(pictures.astype(np.float32)), norm)
    uphill = tf.constant(np.random.default_rng(2).normal(size=(2, 6, 7, channels)), tf.float32)

    @tf.function
    def both(numbers: tf.Tensor) -> Any:
        shares = basis.shares(numbers)
        return basis.pulled(numbers, shares, uphill), tf.gradients(tf.reduce_sum(shares * uphill), numbers)[0]

    mine, theirs = both(tf.constant(basis.noise(2, 0)))
    np.testing.assert_allclose(mine, theirs, atol=1e-5)


def test_sum_mean_and_single_units(model: Any, probe: fw.Probe) -> None:
    total = fw.explain.feature_images(model, "shapes", [2, 7], probe=probe, objective="sum", steps=8)
    mean = fw.explain.feature_images(model, "shapes", [2, 7], probe=probe, objective="channel", steps=8)
    np.testing.assert_array_equal(total.pixels, mean.pixels)                    # the same up to a factor: the same images
    np.testing.assert_allclose(total.activation, 18 * 18 * mean.activation, rtol=1e-4)
    np.testing.assert_allclose(mean.natural, model.predict(probe.x, verbose=0).mean(axis=(1, 2)).max(axis=0)[[2, 7]], rtol=1e-4)
    for unit, patch in (((3, 4), True), ((0, 17), True)):
        shown = fw.explain.feature_images(model, "shapes", [5], probe=probe, unit=unit, steps=8)
        assert shown.patch == patch and shown.settings["unit"] == list(unit)
        canvas = np.zeros((1, 28, 28, 1), np.float32)
        canvas[:, unit[0] : unit[0] + 11, unit[1] : unit[1] + 11] = shown.images
        assert model.predict(canvas, verbose=0)[(0, *unit, 5)] == pytest.approx(shown.activation[0], rel=0.02)


def padded(strides: int = 1) -> Any:
    keras.utils.set_random_seed(4)
    inputs = keras.Input((16, 16, 1))
    x = L.Conv2D(4, 5, padding="same", strides=strides, activation="relu", name="first")(inputs)
    return keras.Model(inputs, L.Conv2D(3, 3, padding="same", activation="relu", name="second")(x))


def test_a_unit_at_the_border_sees_the_padding() -> None:
    net, x = padded(), np.random.default_rng(0).random((30, 16, 16, 1), np.float32)
    shown = fw.explain.feature_images(net, "second", probe=x, unit=(0, 15), steps=16)
    assert not shown.patch and shown.unit == (0, 15) and shown.box == (0, 3, 12, 15)
    before = keras.Model(net.inputs, net.get_layer("second").output)
    before.get_layer("second").activation = keras.activations.linear
    given = before.predict(shown.images, verbose=0)[np.arange(3), 0, 15, np.arange(3)]
    np.testing.assert_allclose(shown.activation, given, rtol=0.02, atol=0.02)
    outside = np.std(shown.images[:, 5:, :10], axis=(1, 2, 3))
    assert (outside < np.std(shown.images[:, :4, 12:], axis=(1, 2, 3))).all()      # where the unit does not look little happens
    with pytest.raises(ValueError, match=r"unit=\(16, 0\): the map of layer 'second' has the size \(16, 16\)"):
        fw.explain.feature_images(net, "second", probe=x, unit=(16, 0))


@pytest.mark.parametrize(("strides", "at_least", "size"), [(1, 12, 12), (2, 11, 12), (1, 35, 16), (1, 3, 7), (2, 35, 16)])
def test_windows_larger_than_the_field(strides: int, at_least: int, size: int) -> None:
    net, x = padded(strides), np.random.default_rng(0).random((30, 16, 16, 1), np.float32)
    shown = fw.explain.feature_images(net, "second", probe=x, at_least=at_least, steps=4)
    field = 7 if strides == 1 else 9
    assert shown.images.shape[1:3] == (size, size) and shown.patch == (size < 16)
    assert (shown.box[1] - shown.box[0] + 1, shown.box[3] - shown.box[2] + 1) == (field, field)
    # Only what lies in the frame matters to the unit: another frame around it changes nothing.
    painter = painter_of(net, choose(net, "second")[0], fw.Probe(x), at_least=at_least)
    random = np.random.default_rng(1).random((2, *painter.frame.size, 1)).astype(np.float32)
    inside = np.zeros((1, *painter.frame.size, 1), bool)
    inside[:, shown.box[0] : shown.box[1] + 1, shown.box[2] : shown.box[3] + 1] = True
    directions = painter.directions(np.array([1, 1]))
    one, other = painter._traces.ascent.values(np.where(inside, random[:1], random), directions)
    assert one == pytest.approx(other, rel=1e-5)
    moved, _ = painter._traces.ascent.values(np.where(inside, random[1:], random), directions)
    assert moved != pytest.approx(one, rel=1e-3)


def test_class_outputs_grow_before_the_softmax() -> None:
    keras.utils.set_random_seed(1)
    x = np.random.default_rng(0).random((60, 8, 8, 2), np.float32)
    net = keras.Sequential([keras.Input((8, 8, 2)), L.Conv2D(4, 3, activation="relu"), L.Flatten(),
                            L.Dense(3, activation="softmax", name="classes")])  # fmt: skip
    shown = fw.explain.feature_images(net, "classes", probe=x, steps=48)
    kernel, bias = net.get_layer("classes").get_weights()
    flat = keras.Model(net.inputs, net.layers[1].output).predict(shown.images, verbose=0)
    np.testing.assert_allclose(shown.activation, np.diag(flat @ kernel + bias), rtol=0.02, atol=0.02)
    assert (net.predict(shown.images, verbose=0).argmax(axis=1) == np.arange(3)).all()


@pytest.mark.parametrize(("norm", "basis"), [(0.5, "fourier"), (2.0, "pixels"), (4.0, "fourier")])
def test_images_of_a_given_norm(model: Any, probe: fw.Probe, norm: float, basis: str) -> None:
    shown = fw.explain.feature_images(model, "shapes", probe=probe, norm=norm, basis=basis)
    low, high = np.percentile(probe.x, (0.1, 99.9))
    away = shown.images - np.clip(probe.x, low, high).mean()
    np.testing.assert_allclose(np.sqrt(np.square(away).sum(axis=(1, 2, 3))), norm, rtol=0.03)
    assert (shown.images >= low - 1e-3).all() and (shown.images <= high + 1e-3).all()
    assert planted.identified(shown.images) >= 0.9 and shown.settings["norm"] == norm
    with pytest.raises(ValueError, match="no picture within the range of the data is farther"):
        fw.explain.feature_images(model, "shapes", probe=probe, norm=100.0)


class Decoder(keras.Model):
    """Pictures of bars: where, and how bright."""

    def call(self, latent: Any) -> Any:
        row = keras.ops.arange(6, dtype="float32")[None, :, None, None]
        bar = keras.ops.exp(-keras.ops.square(row - 2.5 - latent[:, None, None, :1]))
        return keras.ops.sigmoid(latent[:, None, None, 1:]) * bar * keras.ops.ones((1, 1, 5, 1))


def test_images_of_a_decoder() -> None:
    """By hand: a unit that sums the last row of a picture is largest where the bar lies there."""
    latent = keras.Input((2,))
    decoder = keras.Model(latent, Decoder()(latent), name="bars")
    net = keras.Sequential([keras.Input((6, 5, 1)), L.Flatten(), L.Dense(1, use_bias=False, name="last")])
    kernel = np.zeros((6, 5, 1), np.float32)
    kernel[5] = 1.0
    net.get_layer("last").set_weights([kernel.reshape(30, 1)])
    shown = fw.explain.feature_images(net, "last", basis=decoder, steps=120, starts=3)
    assert shown.basis == "decoder bars" and shown.init == "noise" and shown.reached.all()
    assert shown.activation[0] > 4.5
    picture = shown.images[0, ..., 0]
    assert (picture.argmax(axis=0) == 5).all() and np.ptp(picture, axis=1).max() < 0.01            # on the decoder's own manifold
    wrong = keras.Sequential([keras.Input((2,)), L.Dense(7)])
    for basis, message in ((wrong, "gives pictures of the shape"), ("wavelets", "'pixels' or a Keras model")):
        with pytest.raises(ValueError, match=message):
            fw.explain.feature_images(net, "last", basis=basis)


def test_the_guard_ends_an_ascent_that_has_left_the_natural_range(probe: fw.Probe) -> None:
    """A unit that is 100 times larger for colours that the data never have, in the range that the user gives."""
    net = planted.net()
    free = fw.explain.feature_images(net, "shapes", [0, 4], probe=probe, bounds=(-40, 40), guard=None, init="noise")
    shown = fw.explain.feature_images(net, "shapes", [0, 4], probe=probe, bounds=(-40, 40), guard=5.0, init="noise")
    assert free.stopped.size == 0 and (free.activation > 20 * free.natural).all()
    assert (shown.stopped > 0).all() and (shown.stopped < 64).all()
    assert (shown.activation > 5 * shown.natural).all() and (shown.activation < 0.5 * free.activation).all()
    # It is the same ascent, ended where it says.
    for i, taken in enumerate(shown.stopped):
        same = fw.explain.feature_images(net, "shapes", [0, 4], probe=probe, bounds=(-40, 40), guard=None, init="noise",
                                         steps=64, snapshots=[int(taken)])  # fmt: skip
        np.testing.assert_array_equal(same.snapshot_pixels[i, 0], shown.pixels[i])
    within = fw.explain.feature_images(net, "shapes", probe=probe)
    assert within.stopped.size == 0                                 # within the range of the data it does nothing


def test_snapshots_are_the_images_of_that_moment(model: Any, probe: fw.Probe) -> None:
    """Adam's state goes on from one stretch to the next: as if there were none."""
    plain = fw.explain.feature_images(model, "shapes", [1, 9], probe=probe)
    shown = fw.explain.feature_images(model, "shapes", [1, 9], probe=probe, snapshots=(1, 8, 40, 64, 99))
    np.testing.assert_array_equal(plain.pixels, shown.pixels)
    assert shown.snapshot_steps.tolist() == [1, 8, 40] and shown.snapshot_pixels.shape == (2, 3, 11, 11, 1)
    eight = fw.explain.feature_images(model, "shapes", [1, 9], probe=probe, snapshots=[8])
    np.testing.assert_array_equal(eight.snapshot_pixels[:, 0], shown.snapshot_pixels[:, 1])
    ahead = [np.abs(shown.snapshot_pixels[:, i].astype(int) - shown.pixels).mean() for i in range(3)]
    assert ahead[0] > ahead[1] > ahead[2] > 0


def test_adam_is_keras_own() -> None:
    """A linear unit without total variation: the first steps, done by hand with Keras' optimiser."""
    net = keras.Sequential([keras.Input((4,)), L.Dense(1, use_bias=False, name="unit")])
    kernel = np.array([[1.0], [-2.0], [0.5], [3.0]], np.float32)
    net.get_layer("unit").set_weights([kernel])
    shown = fw.explain.feature_images(net, "unit", bounds=(0, 1), init="empty", steps=5, learning_rate=0.1, guard=None)
    start = np.log(0.02 / 0.98)
    number = keras.Variable(np.full((1, 4), start, np.float32))
    adam = keras.optimizers.Adam(0.1, epsilon=1e-8)
    for _ in range(5):
        share = 1 / (1 + np.exp(-number.numpy()))
        uphill = kernel.T / np.linalg.norm(kernel) * share * (1 - share)
        adam.apply([tf.constant(-uphill / np.linalg.norm(uphill), tf.float32)], [number])
    np.testing.assert_allclose(shown.images.ravel(), 1 / (1 + np.exp(-number.numpy().ravel())), atol=1 / 255)


def test_images_in_half_precision_are_those_of_the_same_net_in_float32() -> None:
    def net(*policy: str) -> Any:
        keras.utils.set_random_seed(3)
        how = {"dtype": policy[0]} if policy else {}
        inputs = keras.Input((14, 14, 3))
        x = L.Conv2D(6, 3, activation="relu", **how)(inputs)
        return keras.Model(inputs, L.Conv2D(4, 3, activation="relu", name="here", **how)(x))

    x = np.random.default_rng(0).random((50, 14, 14, 3), np.float32)
    full = fw.explain.feature_images(net(), "here", probe=x, steps=32)
    for policy, share in (("mixed_float16", 0.02), ("mixed_bfloat16", 0.06)):
        half = fw.explain.feature_images(net(policy), "here", probe=x, steps=32)
        assert np.abs(half.images - full.images).mean() < share, policy
        np.testing.assert_allclose(half.activation, full.activation, rtol=0.05)
        assert half.features.dtype == half.activation.dtype == np.float32


def test_two_hundred_calls_trace_once_and_follow_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    traces: list[int] = []
    reach = objective.reach
    monkeypatch.setattr(objective, "reach", lambda *args, **more: traces.append(1) or reach(*args, **more))
    keras.utils.set_random_seed(0)
    net = keras.Sequential([keras.Input((8, 8, 1)), L.Conv2D(3, 3, name="conv")])
    x = np.random.default_rng(0).random((20, 8, 8, 1), np.float32)
    for call in range(200):
        if call == 20:
            gc.collect()
            objects, traced = len(gc.get_objects()), len(traces)
        bias = np.full(3, float(call), np.float32)
        net.get_layer("conv").bias.assign(bias)
        record = fw.explain.feature_images(net, "conv", [call % 3], probe=x, steps=2, seed=call, starts=1 + call % 2)
        assert record.activation[0] > call - 3
    gc.collect()
    assert len(traces) == traced == 2 and len(gc.get_objects()) - objects < 300


def test_traces_go_with_the_model() -> None:
    import weakref

    net = keras.Sequential([keras.Input((8, 8, 1)), L.Conv2D(3, 3, name="conv")])
    fw.explain.feature_images(net, "conv", probe=np.random.default_rng(0).random((20, 8, 8, 1), np.float32), steps=2)
    gone = weakref.ref(net)
    del net
    gc.collect()
    assert gone() is None


def test_features_tell_images_apart(model: Any, probe: fw.Probe) -> None:
    """What the layer makes of each final image; long tensors are folded so that their distances are kept."""
    shown = fw.explain.feature_images(model, "shapes", probe=probe)
    again = keras.Model(model.inputs, model.outputs).predict(pasted(shown.images), verbose=0)[:, 8, 8]
    np.testing.assert_allclose(shown.features, again, rtol=0.02, atol=0.03)
    maps = np.random.default_rng(0).random((30, 4, 5, 40)).astype(np.float32)
    short = objective.sketch(tf.constant(maps)).numpy()
    assert short.shape == (30, objective.SKETCHED)
    true, kept = (np.linalg.norm(each[:, None] - each[None], axis=-1)[np.triu_indices(30, 1)] for each in
                  (maps.reshape(30, -1), short))  # fmt: skip
    assert np.abs(kept / true - 1).mean() < 0.15


def pasted(images: np.ndarray) -> np.ndarray:
    canvas = np.zeros((len(images), planted.SIZE, planted.SIZE, 1), np.float32)
    canvas[:, 8 : 8 + planted.FIELD, 8 : 8 + planted.FIELD] = images
    return canvas


@pytest.mark.filterwarnings("ignore:.*structure of `inputs`")
def test_tf_keras_vis_agrees(model: Any, probe: fw.Probe) -> None:
    """What it says of our images is what we say; and what our net says of its images is no more than of ours."""
    vis = pytest.importorskip("tf_keras_vis.activation_maximization")
    from tf_keras_vis.activation_maximization.callbacks import Callback
    from tf_keras_vis.activation_maximization.regularizers import TotalVariation2D

    patch = keras.Sequential([keras.Input((11, 11, 1)), L.Conv2D(8, 3, activation="relu"), L.Conv2D(12, 9)])
    patch.set_weights(model.get_weights())
    shown = fw.explain.feature_images(model, "shapes", probe=probe)
    said: list[float] = []

    class Scores(Callback):  # type: ignore[misc]
        def __call__(self, i: int, values: Any, grads: Any, scores: Any, *rest: Any, **named: Any) -> None:
            said.append(float(np.ravel(scores[0])[0]))

    for unit in (0, 4):
        def made(seed: np.ndarray, steps: int, unit: int = unit) -> np.ndarray:
            optimiser = tf.optimizers.RMSprop(0.02, 0.999)
            found = vis.ActivationMaximization(patch, clone=True)(
                lambda output: output[:, 0, 0, unit], seed_input=seed, steps=steps, optimizer=optimiser, input_modifiers=None,
                input_range=(float(shown.low[0]), float(shown.high[0])), regularizers=[TotalVariation2D(weight=0.0)],
                callbacks=Scores(),
            )  # fmt: skip
            return np.asarray(found)

        said.clear()
        made(shown.images[unit : unit + 1], 1)
        assert said[0] == pytest.approx(shown.activation[unit], rel=0.01)
        theirs = made(np.random.default_rng(0).uniform(0, 1, (1, 11, 11, 1)).astype(np.float32), 64)
        assert 0.3 < patch.predict(theirs, verbose=0)[0, 0, 0, unit] / shown.activation[unit] < 1.05
