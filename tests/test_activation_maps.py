"""`ActivationMaps` and `explain.activations`: against what plain Keras models give, pooled and turned into numbers by hand."""

from __future__ import annotations

import doctest
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import featwatch as fw
from featwatch.explain import responses
from featwatch.recorders.activation_maps import MOST_PIXELS
from featwatch.recorders.base import Look
from featwatch.records import Maps
from tests.nets import compiled, functional, images, sequential

layers = keras.layers


def recorded(model: Any, probe: fw.Probe, log_dir: Path, **options: Any) -> Any:
    return fw.snapshot(model, probe, str(log_dir), recorders=[fw.ActivationMaps(**options)])


def values_of(record: Maps) -> np.ndarray:
    return record.low + record.pixels / 255.0 * (record.high - record.low)


def bare_of(record: Maps) -> np.ndarray:
    return (record.convolved - 128.0) / 127 * record.reach


def averaged(maps: np.ndarray, cell: int) -> np.ndarray:
    """Means over squares of positions, in plain loops."""
    _, rows, columns, _ = maps.shape
    squares = [
        [maps[:, r : r + cell, c : c + cell].mean(axis=(1, 2)) for c in range(0, columns, cell)] for r in range(0, rows, cell)
    ]
    return np.stack([np.stack(row, axis=1) for row in squares], axis=1)


def assert_shows(record: Maps, maps: np.ndarray) -> None:
    """The record's numbers are these maps of its samples, (shown, rows, columns, filters), within half a step."""
    assert record.pixels.shape == maps.shape
    np.testing.assert_allclose(record.values, values_of(record), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(record.low, maps.min(axis=(0, 1, 2)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(record.high, maps.max(axis=(0, 1, 2)), rtol=1e-5, atol=1e-6)
    assert (np.abs(values_of(record) - maps) <= (record.high - record.low) / 509 + 1e-5).all()


def test_maps_are_those_of_the_model_after_the_activation_that_applies(tmp_path: Path):
    x, y = images(30)
    model = functional()
    shaken(model)
    run = recorded(model, fw.Probe(x, y), tmp_path)
    relu = next(operation for operation in model.operations if type(operation).__name__ == "Relu")
    block = model.get_layer("block")
    places = {
        "stem": model.get_layer("stem_relu").output,        # behind its batch-norm
        "block/inner": block(model.get_layer("stem_relu").output),
        "last": relu.output,                                # an operation, not a layer
    }
    for name, tensor in places.items():
        record = run.maps(name, 0)
        assert record.samples.tolist() == [0, 1, 2, 3, 4, 5] and record.full_size == record.pixels.shape[1:3]
        assert_shows(record, np.asarray(keras.Model(model.inputs[0], tensor)(x[:6])))
        assert record.note == ""
    with pytest.raises(KeyError):
        run.maps("scores", 0)                               # it has no positions


def test_the_bare_response_is_that_of_the_first_convolution_alone(tmp_path: Path):
    x, y = images(30)
    inputs = keras.Input((8, 8, 1))
    z = layers.Normalization(mean=0.5, variance=4.0)(layers.Rescaling(2.0, 1.0)(inputs))
    z = layers.ZeroPadding2D(1)(z)
    first = layers.Conv2D(4, 3, strides=2, activation="tanh", bias_initializer="ones", name="first")
    z = layers.Conv2D(5, 3, activation="relu", name="second")(first(z))
    model = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(z)))
    run = recorded(model, fw.Probe(x, y), tmp_path, samples=4)
    entered = np.pad((2 * x[:4] + 1 - 0.5) / 2, ((0, 0), (1, 1), (1, 1), (0, 0)))
    plain = layers.Conv2D(4, 3, strides=2, use_bias=False)
    plain.build(entered.shape)
    plain.kernel.assign(first.kernel)
    expected = np.asarray(plain(entered))
    record = run.maps("first", 0)
    assert record.convolved.shape == expected.shape == record.pixels.shape
    np.testing.assert_allclose(record.reach, np.abs(expected).max(axis=(0, 1, 2)), rtol=1e-5)
    assert (np.abs(bare_of(record) - expected) <= record.reach / 253).all()
    assert_shows(record, np.tanh(expected + 1))
    assert not run.maps("second", 0).convolved.size and not run.maps("second", 0).reach.size


def shaken(model: Any) -> None:
    """So that batch-norms do something."""
    rng = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign(rng.uniform(0.5, 1.5, variable.shape) * rng.choice([1, 1 if "moving_variance" in variable.path else -1]))


@pytest.mark.parametrize(("size", "cell"), [(24, 1), (5, 2), (4, 3), (3, 4), (1, 10)])
def test_larger_maps_are_averaged(tmp_path: Path, size: int, cell: int):
    x, y = images(10, (12, 9, 1))
    conv = layers.Conv2D(3, 3, activation="relu", name="conv")
    model = keras.Sequential([keras.Input((12, 9, 1)), conv])
    record = recorded(model, fw.Probe(x, y), tmp_path, size=size).maps("conv", 0)
    assert record.full_size == (10, 7) and record.samples.tolist() == [0, 1, 2, 3, 4, 5]
    outputs = np.asarray(model(x[:6]))
    assert_shows(record, averaged(outputs, cell))
    plain = np.asarray(keras.ops.conv(x[:6], conv.kernel))
    assert (np.abs(bare_of(record) - averaged(plain, cell)) <= record.reach / 253).all()
    assert (f"each pixel is the mean over {cell} positions × {cell}" in record.note) == (cell > 1)


def test_in_one_dimension_a_map_is_a_row_and_in_three_the_middle_slice(tmp_path: Path):
    rng = np.random.default_rng(0)
    x = rng.random((7, 20, 2), np.float32)
    model = keras.Sequential([keras.Input((20, 2)), layers.Conv1D(3, 3, padding="causal", name="conv"), layers.ReLU()])
    record = recorded(model, fw.Probe(x), tmp_path / "1", size=10).maps("conv", 0)
    assert record.full_size == (1, 20) and record.note == "each pixel is the mean over 2 positions"
    assert_shows(record, np.asarray(model(x[:6])).reshape(6, 10, 2, 3).mean(axis=2)[:, None])
    plain = np.asarray(keras.ops.conv(np.pad(x[:6], ((0, 0), (2, 0), (0, 0))), model.layers[0].kernel))
    assert (np.abs(bare_of(record) - plain.reshape(6, 10, 2, 3).mean(axis=2)[:, None]) <= record.reach / 253).all()

    x = rng.random((7, 5, 6, 8, 1), np.float32)
    model = keras.Sequential([keras.Input((5, 6, 8, 1)), layers.Conv3D(2, (1, 3, 3), name="conv")])
    record = recorded(model, fw.Probe(x), tmp_path / "3").maps("conv", 0)
    assert record.full_size == (4, 6) and record.note == "the middle one of 5 slices"
    assert_shows(record, np.asarray(model(x[:6]))[:, 2])


def test_channels_first_is_turned(tmp_path: Path):
    x = np.random.default_rng(0).random((4, 3, 9, 8)).astype(np.float32)
    conv = layers.Conv2D(5, 3, activation="relu", data_format="channels_first", name="conv")
    model = keras.Sequential([keras.Input((3, 9, 8)), conv])
    expected = np.moveaxis(np.asarray(tf.function(model, jit_compile=True)(x)), 1, -1)
    record = recorded(model, fw.Probe(x), tmp_path).maps("conv", 0)
    assert_shows(record, expected)
    np.testing.assert_allclose(fw.explain.activations(model, "conv", x)["conv"], expected, rtol=1e-5, atol=1e-6)


def test_a_model_of_several_inputs_has_several_first_convolutions(tmp_path: Path):
    rng = np.random.default_rng(1)
    x = {"left": rng.random((9, 6, 6, 1), np.float32), "right": rng.random((9, 8, 8, 2), np.float32)}
    inputs = {name: keras.Input(array.shape[1:], name=name) for name, array in x.items()}
    maps = {name: layers.Conv2D(3, 3, name=f"of_{name}")(tensor) for name, tensor in inputs.items()}
    joined = layers.Concatenate()([layers.GlobalMaxPooling2D()(each) for each in maps.values()])
    model = keras.Model(inputs, layers.Dense(2)(joined))
    run = recorded(model, fw.Probe(x), tmp_path)
    for name, tensor in maps.items():
        expected = np.asarray(keras.Model(inputs[name], tensor)(x[name][:6]))
        assert_shows(run.maps(f"of_{name}", 0), expected)
        assert run.maps(f"of_{name}", 0).convolved.shape == expected.shape
    given = fw.explain.activations(model, "of_*", x)
    np.testing.assert_allclose(given["of_left"], np.asarray(keras.Model(inputs["left"], maps["left"])(x["left"])), atol=1e-6)
    assert given["of_right"].shape == (9, 6, 6, 3)


class Own(keras.Model):
    """Code of a user's own: no graph tells what it does."""

    def __init__(self) -> None:
        super().__init__()
        self.first = layers.Conv2D(4, 3, activation="relu", name="first")
        self.second = layers.Conv2D(3, 3, activation="relu", name="second")
        self.never = layers.Conv2D(3, 3, name="never")
        self.never.build((None, 6, 6, 4))
        self.scores = layers.Dense(3, activation="softmax", name="scores")

    def call(self, x: Any) -> Any:
        return self.scores(keras.ops.mean(self.second(self.first(x)), axis=(1, 2)))


class ByHand(Own):
    """Cannot be traced."""

    def call(self, x: Any) -> Any:
        assert float(keras.ops.sum(x)) >= 0
        return super().call(x)


@pytest.mark.parametrize("kind", [Own, ByHand])
def test_a_model_without_a_graph(tmp_path: Path, kind: type[Own]):
    x, y = images(30)
    model = compiled(kind())
    model.run_eagerly = kind is ByHand
    model(x[:2])
    first = np.asarray(model.first(x[:6]))
    run = recorded(model, fw.Probe(x, y), tmp_path)
    assert_shows(run.maps("first", 0), first)
    assert_shows(run.maps("second", 0), np.asarray(model.second(first)))
    assert run.maps("first", 0).convolved.size and not run.maps("second", 0).convolved.size
    given = fw.explain.activations(model, None, x)
    assert set(given) == {"first", "second", "scores"}      # the one that is never called is left out
    np.testing.assert_allclose(given["scores"], np.asarray(model(x)), rtol=1e-5)
    with pytest.raises(ValueError, match=r"layers='never': layer 'never' cannot be read: the model does not call it"):
        fw.explain.activations(model, "never", x)


@pytest.mark.parametrize("size", [16, None])
def test_a_model_that_wants_batches_of_one_size(tmp_path: Path, size: int | None):
    inputs = keras.Input(batch_shape=(size, 8, 8, 1))
    z = layers.Conv2D(4, 3, activation="relu", name="conv")(inputs)
    z = keras.ops.reshape(z, (16, 144))                     # fails, or makes nonsense, of other numbers of rows
    model = keras.Model(inputs, layers.Dense(3, name="scores")(z))
    x, y = images(30)
    run = recorded(model, fw.Probe(x, y, batch_size=16), tmp_path)
    expected = np.asarray(keras.Model(inputs, model.get_layer("conv").output)(x[:16]))[:6]
    assert_shows(run.maps("conv", 0), expected)


def test_it_follows_the_training_and_shows_the_same_samples(tmp_path: Path):
    x, y = images(60)
    labels = np.array([-1] * 5 + list(y[5:]), np.int32)
    model = sequential()
    seen = []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            seen.append(np.asarray(model.get_layer("conv")(x[[5, 6, 7, 9]])))

    watch = fw.Watch(
        tmp_path, fw.Probe(x, labels), recorders=[fw.ActivationMaps(samples=4, schedule=fw.every(epochs=1))], background=False,
        strict=True,
    )  # fmt: skip
    model.fit(x, y, epochs=3, verbose=0, callbacks=[Look(), watch])
    run = fw.load(tmp_path)
    for epoch in (1, 2, 3):
        assert run.maps("conv", epoch).samples.tolist() == [5, 6, 7, 9]     # one of each class, and no unlabelled one
        assert_shows(run.maps("conv", epoch), seen[epoch - 1])


def test_the_default_is_every_fifth_epoch():
    assert str(fw.ActivationMaps().schedule) == str(fw.KernelPictures().schedule) == str(fw.every(epochs=5))


def test_wide_and_large_layers_stay_small(tmp_path: Path):
    x = np.random.default_rng(0).random((8, 40, 40, 1), np.float32)
    wide = layers.Conv2D(700, 1, name="wide")
    model = keras.Sequential([keras.Input((40, 40, 1)), layers.Conv2D(64, 3, padding="same", name="first"), wide])
    run = recorded(model, fw.Probe(x), tmp_path, samples=8)
    record = run.maps("wide", 0)
    assert record.pixels.shape == (8, 8, 8, 700) and record.pixels.size <= MOST_PIXELS
    assert record.note == "each pixel is the mean over 5 positions × 5; coarser than 24, so that the log stays small"
    record = run.maps("first", 0)                           # two maps of each filter
    assert record.pixels.size + record.convolved.size <= MOST_PIXELS and record.pixels.shape == (8, 20, 20, 64)


def test_of_a_layer_too_wide_fewer_samples_are_kept(tmp_path: Path):
    x = np.random.default_rng(0).random((40, 16, 16, 1), np.float32)
    model = keras.Sequential([keras.Input((16, 16, 1)), layers.Conv2D(900, 1, name="conv")])
    record = recorded(model, fw.Probe(x), tmp_path, samples=30).maps("conv", 0)
    assert record.pixels.shape[1:3] == (6, 6) and record.samples.tolist() == list(range(7))
    assert "7 of 30 samples, so that the log stays small" in record.note
    assert_shows(record, averaged(np.asarray(model(x[:7])), 3))


def test_values_that_are_not_finite_are_said(tmp_path: Path):
    x, y = images(20)
    conv = layers.Conv2D(4, 3, name="conv")
    model = keras.Sequential([keras.Input((8, 8, 1)), conv])
    kernel, bias = conv.get_weights()
    conv.set_weights([kernel, np.where(np.arange(4) == 1, np.nan, bias)])
    record = recorded(model, fw.Probe(x, y), tmp_path / "one").maps("conv", 0)
    assert np.isnan(record.low).tolist() == np.isnan(record.high).tolist() == [False, True, False, False]
    assert not record.pixels[..., 1].any() and not np.isnan(record.reach).any()
    assert record.note == "filters with a value that is not finite: 1"
    conv.set_weights([kernel * np.nan, bias])
    run = recorded(model, fw.Probe(x, y), tmp_path / "all")
    with pytest.raises(KeyError):
        run.maps("conv", 0)
    assert any("no map of layer 'conv' at epoch 0 is finite" in entry["text"] for entry in run.journal)


def test_where_a_pooling_comes_before_the_activation_the_bare_response_is_left_out(tmp_path: Path):
    x, y = images(20)
    inputs = keras.Input((8, 8, 1))
    z = layers.ReLU()(layers.MaxPooling2D(2)(layers.Conv2D(4, 3, name="conv")(inputs)))
    record = recorded(keras.Model(inputs, z), fw.Probe(x, y), tmp_path).maps("conv", 0)
    assert record.pixels.shape == (6, 3, 3, 4) and not record.convolved.size and "of another size" in record.note


def test_a_layer_that_cannot_be_read_is_said_once():
    recorder, snapshot = fw.ActivationMaps(), SimpleNamespace(info=SimpleNamespace(shape=(6, 6, 4)))
    state: dict[str, Any] = {"read": dict, "samples": np.arange(6), "refused": set()}
    look = Look(model=None, probe=None, epoch=1, step=-1, sites={"conv": None}, snapshots={"conv": snapshot}, state=state)
    said = list(recorder.explain(look))
    assert [(each.layer, str(each)) for each in said] == [
        ("conv", "layer 'conv' has no maps: it cannot be read for 6 samples")
    ]
    assert not list(recorder.explain(look))


def test_nothing_of_the_model_is_changed(tmp_path: Path):
    x, y = images(20)
    model = functional()
    before = [np.asarray(variable.value.numpy()) for variable in model.variables]
    names, trainable = [layer.name for layer in model.layers], [layer.trainable for layer in model.layers]
    attributes = {layer.name: set(vars(layer)) for layer in model.layers}
    counted = layers.Dense(1).name
    recorded(model, fw.Probe(x, y), tmp_path)
    fw.explain.activations(model, None, x)
    after = int(layers.Dense(1).name.rpartition("_")[2])
    assert after == int(counted.rpartition("_")[2] or 0) + 1 if counted != "dense" else after == 1
    for variable, values in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable.value.numpy(), values)
    assert names == [layer.name for layer in model.layers] and trainable == [layer.trainable for layer in model.layers]
    assert attributes == {layer.name: set(vars(layer)) for layer in model.layers}


def test_activations_of_a_probe_are_those_of_all_its_samples():
    x, y = images(1100)
    model = sequential()
    expected = np.asarray(model.get_layer("conv")(x))
    given = fw.explain.activations(model, ["conv", "dense"], x)
    assert list(given) == ["conv", "dense"]
    np.testing.assert_allclose(given["conv"], expected, rtol=1e-5, atol=1e-6)       # more than a probe would take
    probe = fw.Probe(x, y, size=70)
    given = fw.explain.activations(model, "conv", probe)
    np.testing.assert_allclose(given["conv"], expected[probe.indices], rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="no layer is called 'cnov'; did you mean 'conv'"):
        fw.explain.activations(model, "cnov", x)


@pytest.mark.parametrize(("argument", "value"), [("samples", 0), ("samples", 2.5), ("size", 0), ("size", True)])
def test_wrong_options_are_refused(argument: str, value: Any):
    with pytest.raises((TypeError, ValueError), match=f"{argument}={value!r} is .*; give a whole number of 1 or more"):
        fw.ActivationMaps(**{argument: value})


def test_the_example_in_the_docstring_runs():
    x, _ = images(10)
    assert doctest.testmod(responses, extraglobs={"net": sequential(), "x": x}).failed == 0
