"""`exemplars` and `ExemplarMaps`: against NumPy on all activations, in any kind of model."""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import featwatch as fw
from featwatch.analysis import exemplars as analysis
from featwatch.analysis.exemplars import patches
from featwatch.explain import strongest
from featwatch.recorders import exemplar_maps
from tests.fits import PROBE, fit, ours, quick
from tests.nets import functional, images, sequential

L = keras.layers


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.conv = L.Conv2D(4, 3, activation="relu", name="conv")
        self.flat, self.scores = L.Flatten(), L.Dense(3, name="scores")

    def call(self, x: Any) -> Any:
        return self.scores(self.flat(self.conv(x)))


def two_inputs() -> Any:
    first, second = keras.Input((8, 8, 1), name="picture"), keras.Input((5,), name="age")
    x = L.Conv2D(4, 3, activation="relu", name="conv")(first)
    x = L.Concatenate()([L.Flatten()(x), second])
    return keras.Model([first, second], L.Dense(3, name="scores")(x))


def numpy_order(maps: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
    """(filters, top) samples and largest values of maps (samples, …, filters); of equal ones the earlier first."""
    largest = maps.reshape(len(maps), -1, maps.shape[-1]).max(axis=1)
    order = np.array([sorted(range(len(maps)), key=lambda n: (-column[n], n))[:top] for column in largest.T])
    return order, np.take_along_axis(largest, order.T, axis=0).T


@pytest.mark.parametrize("net", ["sequential", "functional", "subclassed", "two inputs", "half"])
def test_exemplars_are_those_of_all_activations(net: str) -> None:
    keras.utils.set_random_seed(1)
    x, _ = images(50)
    model: Any = {"functional": functional, "subclassed": Subclassed, "two inputs": two_inputs}.get(net, sequential)()
    if net == "half":
        model = keras.Sequential([keras.Input((8, 8, 1)), L.Conv2D(4, 3, activation="relu", name="conv", dtype="mixed_float16")])
    given: Any = {"picture": x, "age": np.random.default_rng(0).random((50, 5), np.float32)} if net == "two inputs" else x
    model(given)
    layer = "block/inner" if net == "functional" else "conv"
    probe = fw.Probe(given, batch_size=16)
    found = fw.explain.exemplars(model, layer, [2, 0], probe, top=5)
    maps = fw.explain.activations(model, layer, probe)[layer][..., [2, 0]]
    order, largest = numpy_order(maps, 5)
    np.testing.assert_array_equal(found.samples, order)
    np.testing.assert_allclose(found.activation, largest, rtol=1e-6)
    np.testing.assert_allclose(found.maps, np.stack([maps[order[i], ..., i] for i in range(2)]), rtol=1e-6)
    at = np.take_along_axis(found.maps.reshape(2, 5, -1), np.ravel_multi_index(
        tuple(np.moveaxis(found.position, -1, 0)), maps.shape[1:3])[..., None], axis=2)[..., 0]
    np.testing.assert_allclose(at, found.activation, rtol=1e-6)
    assert found.filters.tolist() == [2, 0]
    if net in ("sequential", "half", "subclassed"):
        assert found.boxes is not None and found.patches is not None
        assert found.receptive_field == ("measured" if net == "subclassed" else "exact")
        for i, k in np.ndindex(2, 5):
            top, bottom, left, right = found.boxes[i, k]
            np.testing.assert_array_equal(found.patches[i, k], x[order[i, k], top : bottom + 1, left : right + 1])
    if net == "two inputs":
        assert found.patches is None


def test_of_a_dense_layer_the_whole_input_is_seen() -> None:
    x, _ = images(20)
    found = fw.explain.exemplars(sequential(), "dense", None, x, top=30)
    assert found.samples.shape == (8, 20) == found.maps.shape and found.position.shape == (8, 20, 0)
    np.testing.assert_array_equal(found.patches, x[found.samples])
    np.testing.assert_array_equal(found.maps, found.activation)


def test_what_the_training_changes_is_seen_without_tracing_anew() -> None:
    model, x = sequential(), images(20)[0]
    before = fw.explain.exemplars(model, "conv", 1, x)
    model.get_layer("conv").set_weights([2 * w for w in model.get_layer("conv").get_weights()])
    after = fw.explain.exemplars(model, "conv", 1, x)
    np.testing.assert_allclose(after.maps, 2 * before.maps, rtol=1e-5)


@pytest.mark.parametrize(
    ("layer", "filters", "top", "message"),
    [
        ("conv", [4], 3, "filters 0 to 3"), ("conv", [], 3, "numbers of some"), ("conf", 0, 3, "did you mean"),
        ("conv", 0, 0, "top=0"),
    ],
)
def test_arguments_are_checked(layer: str, filters: Any, top: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fw.explain.exemplars(sequential(), layer, filters, images(5)[0], top)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(-7, 7), st.integers(-7, 7))
def test_patches_are_cut_out_of_a_padded_picture(height: int, width: int, row: int, column: int) -> None:
    pictures = np.random.default_rng(0).random((3, 5, 4, 2))
    found = patches(pictures, np.array([2]), np.array([[row, row + height - 1, column, column + width - 1]]), -1.0)
    padded = np.pad(pictures[2], ((20, 20), (20, 20), (0, 0)), constant_values=-1.0)
    np.testing.assert_array_equal(found[0], padded[20 + row : 20 + row + height, 20 + column : 20 + column + width])


def units(record: Any) -> np.ndarray:
    """(shown, top, rows, columns) of a record's bytes."""
    span = (record.high - record.low)[:, None, None, None]
    return record.low[:, None, None, None] + record.pixels / 255 * span


def mean_over_squares(maps: np.ndarray, cell: int) -> np.ndarray:
    rows, columns = maps.shape[-2:]
    starts = range(0, rows, cell), range(0, columns, cell)
    cut = [[maps[..., a : a + cell, b : b + cell].mean(axis=(-2, -1)) for b in starts[1]] for a in starts[0]]
    return np.moveaxis(np.array(cut), (0, 1), (-2, -1))


@pytest.mark.parametrize(("size", "cell"), [(24, 1), (4, 2), (1, 6)])
def test_the_record_is_numpys(tmp_path: Path, size: int, cell: int, recwarn: pytest.WarningsRecorder) -> None:
    model = functional()
    kept: list[Any] = []
    keep = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: kept.append(model.get_weights()))
    watch = quick(tmp_path, recorders=[fw.ExemplarMaps(4, size=size, seconds=None, schedule=fw.at(0, 2))], strict=True)
    fit(model, watch, keep, epochs=2)
    assert not ours(recwarn)
    run = fw.load(tmp_path)
    assert run.recorded("exemplar_maps", "stem") == [0, 2] and run.recorded("exemplar_maps", "scores") == []
    model.set_weights(kept[-1])
    for layer, maps in fw.explain.activations(model, None, PROBE).items():
        if maps.ndim < 4:
            continue
        record = run.exemplar_maps(layer, 2)
        filters = maps.shape[-1]
        assert record.filters.tolist() == list(range(filters)) and record.filters_in_all == filters
        order, _ = numpy_order(maps, 4)
        np.testing.assert_array_equal(record.samples, order)
        shown = np.stack([maps[order[f], ..., f] for f in range(filters)])
        here = min(cell, -(-max(maps.shape[1:3]) // size))
        expected = mean_over_squares(shown, here)
        np.testing.assert_allclose(units(record), expected, atol=1 / 255 * (np.ptp(expected) + 1e-6))
        np.testing.assert_allclose(record.high, expected.max(axis=(1, 2, 3)), rtol=1e-5)
        assert record.full_size == maps.shape[1:3] and (f"over {here} positions × {here}" in record.note) == (here > 1)


def test_of_a_wide_layer_the_filters_come_by_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exemplar_maps, "MOST_PIXELS", 2 * 3 * 36)
    recorder = fw.ExemplarMaps(layers=["conv"], seconds=None, schedule=fw.every(epochs=1))
    fit(sequential(), quick(tmp_path, recorders=[recorder], strict=True), epochs=2)
    run = fw.load(tmp_path)
    records = [run.exemplar_maps("conv", epoch) for epoch in range(3)]
    assert [len(record.filters) for record in records] == [2, 2, 2] and all(record.pixels.size <= 216 for record in records)
    assert set(np.concatenate([record.filters for record in records])) == {0, 1, 2, 3}
    assert "2 of 4 filters, by turns" in records[0].note and {record.filters_in_all for record in records} == {4}


def test_seconds_hold_it_back_and_all_have_their_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder, passed, read_all = fw.ExemplarMaps(1, seconds=2.0, schedule=fw.every(epochs=1)), [0.0], strongest.PairMaps.read

    def slow(self: Any, *given: Any) -> Any:                # a second for each batch
        found = read_all(self, *given)
        passed[0] += self.batches
        return found

    monkeypatch.setattr(strongest.PairMaps, "read", slow)
    recorder._clock = lambda: passed[0]
    x, y = images(120)
    probe = fw.Probe(x, y, batch_size=9)
    model = keras.Sequential([
        keras.Input((8, 8, 1)), L.Conv2D(40, 3, activation="relu", name="one"), L.Conv2D(30, 3, activation="relu", name="two"),
        L.Flatten(), L.Dense(3, activation="softmax"),
    ])  # fmt: skip
    model.compile("adam", "sparse_categorical_crossentropy")
    watch = quick(tmp_path, probe=probe, recorders=[recorder], layers=["one", "two"], strict=True)
    model.fit(x, y, epochs=24, verbose=0, callbacks=[watch])
    run, seen = fw.load(tmp_path), {"one": set[int](), "two": set[int]()}
    for epoch in range(25):
        made = [run.exemplar_maps(layer, epoch) for layer in seen if epoch in run.recorded("exemplar_maps", layer)]
        read = np.unique(np.concatenate([record.samples.ravel() for record in made]))
        assert len(read) <= 9 * (4 if epoch == 0 else 2)
        for record in made:
            seen[record.layer] |= set(record.filters.tolist())
    assert seen == {"one": set(range(40)), "two": set(range(30))}


def test_a_sequence_has_a_row_of_values_and_two_inputs_are_no_hindrance(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((40, 30, 2)).astype(np.float32)
    convolution = L.Conv1D(4, 3, activation="relu", name="conv")
    model = keras.Sequential([keras.Input((30, 2)), convolution, L.GlobalMaxPooling1D(), L.Dense(3)])
    fw.snapshot(model, fw.Probe(x), tmp_path / "row", recorders=[fw.ExemplarMaps(2, seconds=None)])
    record = fw.load(tmp_path / "row").exemplar_maps("conv", 0)
    maps = fw.explain.activations(model, "conv", x)["conv"]
    assert record.pixels.shape == (4, 2, 1, 14) and record.full_size == (1, 28) and record.note.endswith("over 2 positions")
    expected = maps[record.samples[3], :, 3].reshape(2, 1, 14, 2).mean(axis=-1)
    np.testing.assert_allclose(units(record)[3], expected, atol=0.01)
    given = {"picture": images(40)[0], "age": np.zeros((40, 5), np.float32)}
    fw.snapshot(two_inputs(), fw.Probe(given), tmp_path / "two", recorders=[fw.ExemplarMaps(2, seconds=None)])
    assert fw.load(tmp_path / "two").exemplar_maps("conv", 0).pixels.shape == (4, 2, 6, 6)


def test_what_is_not_finite_is_said(tmp_path: Path) -> None:
    x = images(20)[0]
    model = keras.Sequential([keras.Input((8, 8, 1)), L.Conv2D(4, 3, name="conv"), L.GlobalMaxPooling2D()])
    kernel, bias = model.get_layer("conv").get_weights()
    model.get_layer("conv").set_weights([kernel, np.array([np.nan, 0, 0, 0], np.float32)])
    fw.snapshot(model, fw.Probe(x), tmp_path / "one", layers="conv", recorders=[fw.ExemplarMaps()])
    record = fw.load(tmp_path / "one").exemplar_maps("conv", 0)
    assert np.isnan(record.high).tolist() == np.isnan(record.low).tolist() == [True, False, False, False]
    assert "not finite: 1" in record.note
    model.get_layer("conv").set_weights([kernel, bias + np.nan])
    fw.snapshot(model, fw.Probe(x), tmp_path / "all", layers="conv", recorders=[fw.ExemplarMaps()])
    run = fw.load(tmp_path / "all")
    assert "no activation of layer 'conv'" in run.journal[0]["text"]


def test_options_are_checked() -> None:
    with pytest.raises(ValueError, match="top=0"):
        fw.ExemplarMaps(0)
    with pytest.raises(TypeError, match="size='24'"):
        fw.ExemplarMaps(size="24")
    with pytest.raises(ValueError, match="seconds=0"):
        fw.ExemplarMaps(seconds=0)


def test_the_examples_are_true() -> None:
    for module in (analysis, strongest):
        found = doctest.testmod(module, extraglobs={"net": sequential(), "x": images(20)[0], "np": np, "fw": fw})
        assert found.attempted and not found.failed


def test_the_function_has_its_name_whoever_is_imported_first() -> None:
    """A file of the name of a function would hide it as soon as it is imported by itself."""
    assert callable(fw.explain.exemplars) and callable(fw.explain.maximising_images) and callable(fw.explain.activation_filter)
