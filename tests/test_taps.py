from __future__ import annotations

import random

import keras
import numpy as np
import pytest
from keras.src.backend.common import global_state

from featwatch.layers import choose
from featwatch.probe import Probe
from featwatch.sketch import SKETCH_SIZE, distance_error
from featwatch.taps import Reading, TapPass
from featwatch.weights import filter_bias, filter_weights, inputs_per_filter
from tests.nets import EVERYTHING, INPUTS, functional, images, sequential

layers = keras.layers


def read(model: keras.Model, probe: Probe, names: tuple[str, ...] = EVERYTHING) -> tuple[Reading, TapPass]:
    taps = TapPass(model, {site: names for site in choose(model, None)}, len(probe))
    taps.prepare(next(iter(probe.batches()))[0])
    return taps.read(probe.batches()), taps


@pytest.mark.parametrize("count", [1, 63, 64, 65, 150])
def test_reductions_equal_numpy_on_what_predict_gives(count: int) -> None:
    model = functional()
    model.get_layer("norm").moving_mean.assign([0.1, -0.2, 0.3, 0.0])
    x, _ = images(count)
    reading, taps = read(model, Probe(x))
    assert taps.how == "graph, jit"

    outputs = keras.Model(model.inputs, [model.get_layer("stem_relu").output, model.outputs[0]])
    stem, scores = outputs.predict(x, verbose=0)
    got = reading.layers["stem"]
    np.testing.assert_allclose(reading.outputs[0], scores, atol=1e-5)
    np.testing.assert_allclose(got["features"], stem.reshape(count, -1), atol=1e-5)
    np.testing.assert_allclose(got["maximum"], stem.max((1, 2)), atol=1e-5)
    np.testing.assert_allclose(got["minimum"], stem.min((1, 2)), atol=1e-5)
    np.testing.assert_allclose(got["mean"], stem.mean((1, 2)), atol=1e-5)
    np.testing.assert_allclose(got["active"], (stem > 0).mean((1, 2)), atol=1e-6)
    np.testing.assert_array_equal(got["input_channel_minimum"], x.min((0, 1, 2)))
    np.testing.assert_array_equal(got["input_channel_maximum"], x.max((0, 1, 2)))
    np.testing.assert_allclose(got["input_channel_mean"], x.mean((0, 1, 2)), atol=1e-6)
    np.testing.assert_allclose(reading.layers["scores"]["features"], scores, atol=1e-5)


def test_a_nested_layer_equals_the_same_layer_called_by_hand() -> None:
    model = functional()
    x, _ = images(20)
    reading, _ = read(model, Probe(x))
    stem = keras.Model(model.inputs, model.get_layer("stem_relu").output).predict(x, verbose=0)
    inner = model.get_layer("block").predict(stem, verbose=0)
    np.testing.assert_allclose(reading.layers["block/inner"]["maximum"], inner.max((1, 2)), atol=1e-5)


def test_the_pass_follows_the_weights() -> None:
    model = sequential()
    probe = Probe(images(10)[0])
    _, taps = read(model, probe)
    model.get_layer("scores").bias.assign([5.0, 0.0, 0.0])
    reading = taps.read(probe.batches())
    np.testing.assert_allclose(reading.outputs[0], model.predict(probe.x, verbose=0), atol=1e-5)


def test_a_wide_layer_is_sketched_and_its_distances_hold() -> None:
    model = keras.Sequential([keras.Input((20, 20, 1)), layers.Conv2D(16, 3, activation="relu", name="wide")])
    x, _ = images(200, (20, 20, 1))
    reading, taps = read(model, Probe(x))
    (site,) = choose(model, None)
    features = reading.layers["wide"]["features"]
    assert features.shape == (200, SKETCH_SIZE)
    assert (taps.info(site).features, taps.info(site).sketch) == (18 * 18 * 16, SKETCH_SIZE)

    exact = model.predict(x, verbose=0).reshape(200, -1)
    pairs = np.random.default_rng(0).integers(0, 200, (2, 2000))
    pairs = pairs[:, pairs[0] != pairs[1]]
    sketched, true = (np.linalg.norm(rows[pairs[0]] - rows[pairs[1]], axis=1) for rows in (features, exact))
    ratio = sketched / true
    true_error = np.sqrt(np.mean((ratio - 1) ** 2))
    assert true_error < 0.05
    assert distance_error(reading.layers["wide"]) == pytest.approx(true_error, rel=0.5)
    assert distance_error(reading.layers["wide"]) > 0


def test_nothing_moves() -> None:
    """No variable, no loss, no global generator, and no counter from which Keras names the user's next layer."""
    model = functional()
    model.get_layer("block").get_layer("inner").activity_regularizer = keras.regularizers.L2(1e-3)
    probe = Probe(images(30)[0])
    before = [keras.ops.convert_to_numpy(variable).copy() for variable in model.variables]
    python, numpy = random.getstate(), np.random.get_state()[1].copy()
    names = dict(global_state.get_global_attribute("object_name_uids"))
    read(model, probe)
    assert random.getstate() == python and np.array_equal(np.random.get_state()[1], numpy)
    assert dict(global_state.get_global_attribute("object_name_uids")) == names
    assert all(np.array_equal(a, keras.ops.convert_to_numpy(b)) for a, b in zip(before, model.variables, strict=True))
    assert model.losses == []


def test_mixed_precision_is_read_as_float32() -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = sequential()
    finally:
        keras.config.set_dtype_policy("float32")
    reading, _ = read(model, Probe(images(10)[0]))
    assert all(array.dtype == np.float32 for array in reading.layers["conv"].values())


def test_what_enters_is_read_by_channel_whatever_the_data_format() -> None:
    model = keras.Sequential([keras.Input((3, 7, 5)), layers.Conv2D(4, 3, data_format="channels_first", name="conv")])
    x, _ = images(20, (3, 7, 5))
    x *= np.array([1, 2, -3], np.float32)[:, None, None]
    got = read(model, Probe(x))[0].layers["conv"]
    np.testing.assert_array_equal(got["input_channel_minimum"], x.min((0, 2, 3)))
    np.testing.assert_array_equal(got["input_channel_maximum"], x.max((0, 2, 3)))
    np.testing.assert_allclose(got["input_channel_mean"], x.mean((0, 2, 3)), rtol=1e-5)


def test_what_enters_is_left_out_where_it_is_no_row_of_numbers_for_each_sample() -> None:
    """Whole numbers; several tensors; other rows than leave the layer."""
    inputs = keras.Input((6,), dtype="int32")
    words = layers.Embedding(10, 4, name="words")(inputs)
    apart = layers.Lambda(lambda x: keras.ops.reshape(x, (-1, 4)), output_shape=(4,), name="apart")(words)
    joined = layers.Lambda(lambda x: keras.ops.reshape(x, (-1, 6, 4)), output_shape=(6, 4), name="joined")(apart)
    outputs = layers.Dense(2, name="scores")(layers.Flatten()(layers.Add(name="sum")([joined, words])))
    model = keras.Model(inputs, outputs)
    probe = Probe(np.random.default_rng(0).integers(0, 10, (10, 6)).astype(np.int32))
    names = ("words", "joined", "sum", "scores")
    taps = TapPass(model, {site: ("mean", *INPUTS) for site in choose(model, names)}, len(probe))
    taps.prepare(next(iter(probe.batches()))[0])
    found = taps.read(probe.batches()).layers
    assert {name: sorted(found[name]) for name in names} == {
        **dict.fromkeys(("words", "joined", "sum"), ["mean"]), "scores": sorted(("mean", *INPUTS)),
    }  # fmt: skip


def test_a_model_that_cannot_be_compiled_is_read_without_jit() -> None:
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Resizing(5, 5, interpolation="bicubic")(inputs)        # has no XLA kernel
    model = keras.Model(inputs, layers.Dense(2, name="dense")(layers.Flatten()(x)))
    probe = Probe(images(10)[0])
    reading, taps = read(model, probe)
    assert taps.how == "graph"
    np.testing.assert_allclose(reading.outputs[0], model.predict(probe.x, verbose=0), atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "shape", "filters"),
    [
        (layers.Dense(3), (5,), 3),
        (layers.Conv1D(3, 2), (6, 4), 3),
        (layers.Conv2D(6, 3, groups=2), (6, 6, 4), 6),
        (layers.Conv3D(3, 2), (4, 4, 4, 2), 3),
        (layers.Conv2DTranspose(3, 2), (4, 4, 5), 3),
        (layers.DepthwiseConv2D(2, depth_multiplier=2), (4, 4, 3), 6),
        (layers.SeparableConv2D(3, 2), (4, 4, 5), 3),
    ],
)
def test_weights_have_one_row_per_filter(layer: keras.Layer, shape: tuple[int, ...], filters: int) -> None:
    """A filter's own row, and no other, decides what the filter gives."""
    keras.Sequential([keras.Input(shape), layer])
    rows, bias = filter_weights(layer), filter_bias(layer)
    assert rows is not None and rows.shape[0] == filters and bias is not None and bias.shape == (filters,)
    x = np.random.default_rng(0).random((2, *shape)).astype(np.float32)
    before = keras.ops.convert_to_numpy(layer(x))
    kernel = layer.pointwise_kernel if isinstance(layer, layers.SeparableConv2D) else layer.kernel
    values = keras.ops.convert_to_numpy(kernel).copy()
    index = np.unravel_index(np.argmax(values == rows[1, 0]), values.shape)     # one weight of filter 1
    values[index] += 1.0
    kernel.assign(values)
    changed = np.abs(keras.ops.convert_to_numpy(layer(x)) - before).reshape(-1, filters).max(axis=0)
    assert changed[1] > 1e-3 and np.delete(changed, 1).max() < 1e-6


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (layers.Dense(3), (5,), 5), (layers.Conv1D(3, 2), (6, 4), 4), (layers.Conv2D(6, 3, groups=2), (6, 6, 4), 2),
        (layers.Conv2DTranspose(3, 2), (4, 4, 5), 5), (layers.DepthwiseConv2D(2, depth_multiplier=2), (4, 4, 3), 1),
        (layers.TimeDistributed(layers.Dense(3)), (4, 5), 5), (layers.SeparableConv2D(3, 2), (4, 4, 5), 0),
        (layers.EinsumDense("abc,cde->abde", (None, 3, 2)), (4, 5), 0), (layers.ReLU(), (5,), 0),
    ],
)  # fmt: skip
def test_how_many_channels_a_filter_looks_at(layer: keras.Layer, shape: tuple[int, ...], expected: int) -> None:
    keras.Sequential([keras.Input(shape), layer])
    assert inputs_per_filter(layer) == expected


def test_a_layer_without_a_kernel_has_no_rows() -> None:
    assert filter_weights(layers.ReLU()) is None and filter_bias(layers.ReLU()) is None
