"""Feature images: planted detectors are recognised, values are the model's own, and nothing of the model moves."""

from __future__ import annotations

import gc
import random
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import featwatch as fw
from featwatch.explain.ascent import ascent, objective
from featwatch.explain.ascent.frame import frame_of
from featwatch.explain.ascent.images import painter_of
from featwatch.explain.fields.fields import site_of
from featwatch.explain.forms import Unsuitable, form_of
from featwatch.layers import choose
from featwatch.records import FeatureImages
from tests import planted
from tests.nets import functional, images
from tests.test_receptive_field import bilinear, build, inception, residual, separable_after_padding, transposed, u_net, vgg

L = keras.layers


@pytest.fixture(scope="module")
def probe() -> fw.Probe:
    return fw.Probe(planted.pictures())


@pytest.fixture(scope="module")
def shown(probe: fw.Probe) -> FeatureImages:
    return fw.explain.feature_images(planted.net(), "shapes", probe=probe)


def test_planted_shapes_are_recognised(probe: fw.Probe, shown: FeatureImages) -> None:
    """Chance is 1/12; what random weights give is the floor, the best patches of the probe are the ceiling."""
    ceiling = planted.identified(best_patches(probe))
    floor = planted.identified(fw.explain.feature_images(planted.net(planted=False), "shapes", probe=probe, steps=16).images)
    assert planted.identified(shown.images) >= 0.9
    assert ceiling >= 0.9 and floor <= 0.25


def best_patches(probe: fw.Probe) -> np.ndarray:
    """(12, field, field, 1): what each planted filter responds to most, found with Keras alone."""
    maps = planted.net().predict(probe.x, verbose=0)
    places = [np.unravel_index(maps[..., f].argmax(), maps.shape[:3]) for f in range(12)]
    return np.stack([probe.x[n, a : a + planted.FIELD, b : b + planted.FIELD] for n, a, b in places])


def test_a_record_says_what_was_made(probe: fw.Probe, shown: FeatureImages) -> None:
    assert shown.patch and shown.images.shape == (12, planted.FIELD, planted.FIELD, 1)
    assert (shown.unit, shown.box) == ((0, 0), (0, 10, 0, 10))
    assert (shown.steps, shown.basis, shown.init, shown.filters_in_all) == (64, "fourier", "patches", 12)
    assert shown.filters.tolist() == list(range(12)) and shown.reached.all() and shown.note == ""
    np.testing.assert_allclose([shown.low, shown.high], np.percentile(probe.x.reshape(-1, 1), (0.1, 99.9), axis=0), atol=0.01)
    maps = planted.net().predict(probe.x, verbose=0)
    np.testing.assert_allclose(shown.natural, maps.max(axis=(0, 1, 2)), rtol=1e-4)
    assert (shown.activation > 0.9 * shown.natural).all()


def test_activations_are_the_models_own(shown: FeatureImages) -> None:
    model = planted.net()
    canvas = np.full((12, planted.SIZE, planted.SIZE, 1), shown.low, np.float32)
    canvas[:, 8 : 8 + planted.FIELD, 8 : 8 + planted.FIELD] = shown.images
    values = model.predict(canvas, verbose=0)[np.arange(12), 8, 8, np.arange(12)]
    np.testing.assert_allclose(shown.activation, values, rtol=0.01)         # pixels are kept to 1/255


def test_more_steps_and_noise_and_pixels(probe: fw.Probe, shown: FeatureImages) -> None:
    model = planted.net()
    few = fw.explain.feature_images(model, "shapes", [3, 1], probe=probe, init="noise", basis="pixels", steps=4)
    many = fw.explain.feature_images(model, "shapes", [3, 1], probe=probe, init="noise", basis="pixels", steps=64)
    assert (many.activation > few.activation).all() and many.filters.tolist() == [3, 1]
    assert (many.init, many.basis) == ("noise", "pixels")
    np.testing.assert_array_equal(fw.explain.feature_images(model, "shapes", probe=probe).pixels, shown.pixels)


def convolutions(*dtype: str) -> Any:
    with_policy = {"dtype": dtype[0]} if dtype else {}
    inputs = keras.Input((20, 18, 3))
    x = L.Conv2D(6, 3, strides=2, padding="same", name="first", **with_policy)(inputs)
    x = L.ReLU(name="open", **with_policy)(L.BatchNormalization(name="norm", **with_policy)(x))
    x = keras.ops.relu(L.Conv2D(5, 3, padding="same", name="second", **with_policy)(x))
    x = L.Conv2D(4, 2, activation="relu", name="third", **with_policy)(x)
    model = keras.Model(inputs, L.Dense(3, name="scores", **with_policy)(L.Flatten()(x)))
    rng = np.random.default_rng(3)
    model.set_weights([rng.normal(0, 0.3, w.shape) if "var" not in v.name else 1 + rng.random(w.shape)
                       for v, w in zip(model.weights, model.get_weights(), strict=True)])  # fmt: skip
    return model


@pytest.mark.parametrize(
    ("layer", "given_by"), [("first", "norm"), ("second", "second"), ("third", "third"), ("scores", "scores")]
)
def test_it_is_what_enters_the_activation_that_grows(layer: str, given_by: str) -> None:
    model = convolutions()
    x = images(40, (20, 18, 3))[0]
    record = fw.explain.feature_images(model, layer, probe=fw.Probe(x), steps=48)
    assert record.patch == (layer != "scores") and record.reached.all() and record.note == ""
    map_size = model.get_layer(layer).output.shape[1:-1]
    frame = frame_of(model, choose(model, layer)[0], form_of(model), map_size)
    assert frame.patch == record.patch and frame.unit == record.unit
    canvas = x[:1].repeat(len(record.filters), axis=0)
    (top, left), (height, width) = frame.origin, frame.size
    canvas[:, top : top + height, left : left + width] = record.images
    if layer == "third":
        model.get_layer("third").activation = keras.activations.linear
    values = keras.Model(model.inputs, model.get_layer(given_by).output).predict(canvas, verbose=0)
    mine = values[(np.arange(len(canvas)), *frame.full_unit, np.arange(len(canvas)))]
    np.testing.assert_allclose(record.activation, mine, rtol=0.03, atol=0.03)
    assert (record.activation > record.natural).mean() >= 0.75


@pytest.mark.parametrize(
    "net", [vgg, residual, inception, separable_after_padding, transposed, u_net, bilinear], ids=lambda net: net.__name__
)
def test_the_unit_has_the_same_value_in_its_window(net: Any) -> None:
    """The same net, built once more for inputs of the window's size."""
    model = build(net, (83, 78, 2))
    frame = frame_of(model, choose(model, "here")[0], form_of(model), model.output_shape[1:-1])
    assert frame.patch and max(frame.size) < 60
    (top, left), (height, width) = frame.origin, frame.size
    small = build(net, (height, width, 2))
    small.set_weights(model.get_weights())
    x = np.random.default_rng(0).normal(size=(4, 83, 78, 2)).astype(np.float32)
    there = model(x).numpy()[(slice(None), *frame.full_unit)]
    here = small(x[:, top : top + height, left : left + width]).numpy()[(slice(None), *frame.unit)]
    np.testing.assert_allclose(here, there, rtol=1e-4, atol=1e-5)


def test_half_precision() -> None:
    x = fw.Probe(images(40, (20, 18, 3))[0])
    full = fw.explain.feature_images(convolutions(), "second", probe=x, steps=32)
    for policy in ("mixed_float16", "bfloat16"):
        half = fw.explain.feature_images(convolutions(policy), "second", probe=x, steps=32)
        assert half.patch and half.reached.all()
        np.testing.assert_allclose(half.activation, full.activation, rtol=0.1, atol=0.1)


def test_within_the_range_of_each_channel_however_scaled() -> None:
    rng = np.random.default_rng(0)
    grey = rng.normal(size=(60, 12, 12, 1))
    x = (grey + 0.2 * rng.normal(size=(60, 12, 12, 5))) * [1, 10, 100, 0.01, 1] + [0, 50, -1000, 0, 0]
    x[..., 4] = 7.0                                                         # a channel that never changes
    model = keras.Sequential([keras.Input((12, 12, 5)), L.Normalization(mean=x.mean((0, 1, 2)), variance=x.var((0, 1, 2)) + 1e-3),
                              L.Conv2D(3, 5, name="conv")])  # fmt: skip
    for basis in ("fourier", "pixels"):
        record = fw.explain.feature_images(model, "conv", probe=fw.Probe(x.astype(np.float32)), basis=basis)
        low, high = np.percentile(x.reshape(-1, 5), (0.1, 99.9), axis=0)
        margin = 1e-3 * (high - low) + 1e-4
        assert (record.images >= low - margin).all() and (record.images <= high + margin).all()
        assert (record.images[..., 4] == 7).all() and record.reached.all() and (record.activation > record.natural).all()


def blocked(bias: float) -> Any:
    inputs = keras.Input((9, 9, 1))
    hidden = L.Conv2D(4, 3, activation="relu", name="hidden", bias_initializer=keras.initializers.Constant(bias))
    kernel = keras.initializers.Constant(1.0)
    hidden.kernel_initializer = kernel
    return keras.Model(inputs, L.Conv2D(2, 3, name="out", kernel_initializer=kernel)(hidden(inputs)))


def test_closed_relus_are_opened_where_that_is_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hidden units need a sum of nine pixels above 6; noise has one of about 4.5."""
    assert fw.explain.feature_images(blocked(-6.0), "out", steps=32).reached.all()
    monkeypatch.setattr(ascent, "REDIRECTED_STEPS", 0)
    record = fw.explain.feature_images(blocked(-6.0), "out", steps=32)
    assert not record.reached.any() and (record.activation == 0).all()


def test_a_unit_that_no_gradient_reaches_is_reported() -> None:
    record = fw.explain.feature_images(blocked(-1000.0), "out", steps=48)
    assert not record.reached.any() and (record.activation == 0).all()


def test_a_unit_that_is_largest_where_every_relu_is_off_is_reached() -> None:
    """By hand: −relu(x₀ + 1) − relu(x₁ + 1) is −2 at 0 and at most 0, from (−1, −1) on, where it has no gradient."""
    hidden = L.Dense(2, activation="relu", kernel_initializer="identity", bias_initializer="ones")
    down = L.Dense(1, name="down", kernel_initializer=keras.initializers.Constant(-1.0))
    model = keras.Sequential([keras.Input((2,)), hidden, down])
    x = np.random.default_rng(0).normal(0, 0.01, (20, 2)).astype(np.float32)
    record = fw.explain.feature_images(model, "down", probe=fw.Probe(x), bounds=(-8, 8), basis="pixels", init="noise",
                                          guard=None)  # fmt: skip
    assert record.activation == 0 and (record.images < -1).all() and record.reached.all()


def state_of(model: Any) -> list[Any]:
    layers = list(model._flatten_layers())
    return [
        [w.tobytes() for w in model.get_weights()],
        [sorted(vars(layer)) for layer in layers],
        [id(vars(layer).get("activation")) for layer in layers],
        [layer.trainable for layer in layers],
        [len(layer._inbound_nodes) for layer in layers],
        [len(layer.losses) for layer in layers],
        random.getstate(),
        np.random.get_state()[1].tolist(),
    ]


def test_nothing_of_the_model_or_of_any_random_state_moves() -> None:
    def ahead() -> list[Any]:
        return [tf.random.uniform(()).numpy(), L.Dense(1).name, L.Dropout(0.1).seed_generator.state.numpy().tolist()]

    x = fw.Probe(images(40, (8, 8, 1))[0])
    keras.utils.set_random_seed(5)
    keras.backend.clear_session()
    model = functional()
    before, expected = state_of(model), ahead()
    keras.utils.set_random_seed(5)
    keras.backend.clear_session()
    model = functional()
    assert len(before) == len(state_of(model))
    before = state_of(model)
    for layer in ("block/inner", "scores"):
        fw.explain.feature_images(model, layer, probe=x, steps=4)
    assert state_of(model) == before
    assert ahead() == expected


def test_fifty_calls_trace_once_and_leave_nothing(monkeypatch: pytest.MonkeyPatch, probe: fw.Probe) -> None:
    traces = []
    reach = objective.reach
    monkeypatch.setattr(objective, "reach", lambda *args, **more: traces.append(1) or reach(*args, **more))
    model = planted.net()
    painter = painter_of(model, choose(model, "shapes")[0], probe, basis="fourier")
    samples = np.arange(9)[None].repeat(3, axis=0)
    traced = len(traces)
    for round_ in range(50):
        model.get_layer("shapes").bias.assign(np.full(12, float(round_), np.float32))
        count = 1 + round_ % 3
        painted = painter.from_patches(painter.directions(np.arange(count)), 2, samples[:count], samples[:count])
        if round_ == 9:
            gc.collect()
            objects = len(gc.get_objects())
    gc.collect()
    assert len(traces) == traced and len(gc.get_objects()) - objects < 200
    assert (painted.activation > 40).all()                                  # always with the weights of the moment


@pytest.mark.parametrize(
    ("shape", "layers", "size"),
    [
        ((30, 4), lambda: [L.Conv1D(3, 5, activation="relu"), L.Conv1D(3, 3, name="here")], (1, 7, 4)),
        ((30,), lambda: [L.Dense(4, activation="relu"), L.Dense(3, name="here")], (1, 30, 1)),
        ((12, 10), lambda: [L.Flatten(), L.Dense(3, name="here")], (12, 10, 1)),
        ((12, 10, 2), lambda: [L.GlobalAveragePooling2D(), L.Dense(3, name="here")], (12, 10, 2)),
        ((12, 10, 2), lambda: [L.Lambda(lambda x: x[:, :, ::-1]), L.Conv2D(3, 3, name="here")], (12, 10, 2)),
    ],
    ids=["sequence", "vector", "sheet", "dense", "unknown operation"],
)
def test_other_inputs_than_pictures(shape: tuple[int, ...], layers: Any, size: tuple[int, ...]) -> None:
    keras.utils.set_random_seed(2)          # before the layers are made: their initialisers draw seeds as they are
    model = keras.Sequential([keras.Input(shape), *layers()])
    x = np.random.default_rng(0).normal(size=(50, *shape)).astype(np.float32)
    record = fw.explain.feature_images(model, "here", probe=fw.Probe(x), steps=64)
    assert record.images.shape == (3, *size) and record.reached.all()
    known = not isinstance(model.layers[0], L.Lambda)
    assert record.patch == (size == (1, 7, 4)) and record.basis == ("pixels" if len(shape) == 1 else "fourier")
    best = model.predict(x, verbose=0).reshape(50, -1, 3).max(axis=(0, 1))
    assert (record.activation > (0.95 if known else 0.6) * best).all()     # otherwise the start is not where the unit looks


def test_features_of_a_table_keep_to_their_own_ranges() -> None:
    x = np.random.default_rng(0).random((80, 4)).astype(np.float32) * [1, 10, 100, 1000]
    model = keras.Sequential([keras.Input((4,)), L.Dense(2, name="here")])
    shown = fw.explain.feature_images(model, "here", probe=fw.Probe(x.astype(np.float32)), steps=64).images[:, 0, :, 0]
    assert (shown <= x.max(axis=0) + 4).all() and (shown >= -4).all()       # kept to 1/255 of the largest range


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.conv = L.Conv2D(3, 3, activation="relu", name="conv")
        self.head = L.Dense(2, name="head")

    def call(self, x: Any) -> Any:
        return self.head(keras.ops.mean(self.conv(x), axis=(1, 2)))


def test_a_subclassed_model_on_the_window_that_was_measured() -> None:
    model, x = Subclassed(), images(30)[0]
    model(x[:1])
    for layer, size in (("conv", 3), ("head", 8)):
        record = fw.explain.feature_images(model, layer, probe=x, steps=24)
        assert record.patch == (layer == "conv") and record.reached.all() and record.images.shape[1:] == (size, size, 1)


def test_channels_directions_and_bounds() -> None:
    model, x = planted.net(), planted.pictures(40)
    channel = fw.explain.feature_images(model, "shapes", [0, 5], probe=x, objective="channel", steps=24)
    assert not channel.patch and channel.images.shape[1:] == (28, 28, 1) and channel.unit == ()
    means = model.predict(channel.images, verbose=0).mean(axis=(1, 2))
    np.testing.assert_allclose(channel.activation, means[[0, 1], [0, 5]], rtol=0.02, atol=1e-4)
    both = np.zeros((1, 12), np.float32)
    both[0, [5, 6]] = 0.5, -0.5                                             # a bar that lies, not one that stands
    record = fw.explain.feature_images(model, "shapes", weights=both, probe=x, steps=32)
    assert record.filters.tolist() == [0] and planted.identified(record.images.repeat(12, axis=0)) == pytest.approx(1 / 12)
    alone = fw.explain.feature_images(model, "shapes", [5, 6], bounds=(-2, 3), steps=8)
    assert (alone.low.tolist(), alone.high.tolist()) == ([-2], [3]) and alone.init == "noise"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filters": [12]}, "has the filters 0 to 11"),
        ({"filters": []}, "give the numbers of some filters"),
        ({"basis": "wavelets"}, "expected 'fourier' or 'pixels'"),
        ({"objective": "layer"}, "expected 'neuron' or 'channel'"),
        ({"init": "zeros"}, "expected 'patches' or 'patch' or"),
        ({"bounds": (1, 0)}, "below the higher"),
        ({"bounds": ([0, 0], 1)}, "two lists of 1 numbers"),
        ({"weights": np.ones((2, 11))}, "rows of 12 numbers"),
        ({"weights": np.ones((1, 12)), "filters": [1]}, "not both"),
    ],
)
def test_what_is_wrong_is_said(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fw.explain.feature_images(planted.net(), "shapes", **arguments)


def test_what_has_no_feature_images_says_why() -> None:
    one, other = keras.Input((8, 8, 1)), keras.Input((8, 8, 1))
    two = keras.Model([one, other], L.Conv2D(2, 3, name="here")(L.Add()([one, other])))
    volume = keras.Sequential([keras.Input((5, 5, 5, 1)), L.Conv3D(2, 3, name="here")])
    words = keras.Sequential([keras.Input((6,), dtype="int32"), L.Embedding(9, 4), L.Conv1D(2, 3, name="here")])
    step = keras.Sequential([keras.Input((4,)), L.Lambda(lambda x: keras.ops.cast(x > 0, "float32")), L.Dense(2, name="here")])
    cases = [(two, "several inputs"), (volume, "no picture"), (words, "int32 values"), (step, "no gradient")]
    for model, message in cases:
        with pytest.raises(Unsuitable, match=message):
            fw.explain.feature_images(model, "here")


def test_one_probe_serves_models_that_take_it_as_other_pictures() -> None:
    """The range of an input is kept by probe, and by how its samples are laid out."""
    x = np.random.default_rng(0).random((40, 6, 8)).astype(np.float32)
    x[:, 3] += 5.0
    probe = fw.Probe(x)
    conv = keras.Sequential([keras.Input((6, 8)), keras.layers.Conv1D(3, 3, name="layer")])
    flat = keras.Sequential([keras.Input((6, 8)), keras.layers.Flatten(), keras.layers.Dense(3, name="layer")])
    for model, channels in ((conv, 8), (flat, 1)):
        painter = painter_of(model, site_of(model, "layer"), probe)
        assert len(painter.bounds.limits[0]) == channels
