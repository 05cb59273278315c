"""`explain.occlusion`: against covering every part of the picture in plain loops."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import featwatch as fw
from featwatch.explain.attribution import occlusion_maps
from featwatch.explain.attribution.occlusion_maps import _Squares, _steps
from tests.nets import images, sequential

layers = keras.layers
RNG = np.random.default_rng(2)


def net(size: tuple[int, int] = (22, 20), padding: str = "same") -> Any:
    inputs = keras.Input((*size, 2))
    z = layers.Conv2D(4, 3, padding=padding, activation="relu", name="first")(inputs)
    z = layers.MaxPooling2D()(z)
    return keras.Model(inputs, layers.Conv2D(5, 3, padding=padding, activation="relu", name="second")(z))


def by_brute_force(tensor: Any, model: Any, x: np.ndarray, size: int, stride: int, neutral: np.ndarray) -> np.ndarray:
    """(filters, images, height, width): every square on the whole picture, one after the other."""
    inner = keras.Model(model.inputs[0], tensor)
    filters = tensor.shape[-1]
    whole = np.asarray(inner(x)).reshape(len(x), -1, filters)
    units = whole.argmax(axis=1)[:, None]
    height, width = x.shape[1:3]
    total, count = np.zeros((filters, len(x), height, width)), np.zeros((height, width))
    tall, wide = min(size, height), min(size, width)
    for top in sorted({*range(0, height - tall + 1, stride), height - tall}):
        for left in sorted({*range(0, width - wide + 1, stride), width - wide}):
            covered = x.copy()
            covered[:, top : top + tall, left : left + wide] = neutral
            values = np.asarray(inner(covered)).reshape(len(x), -1, filters)
            drops = (np.take_along_axis(whole, units, 1) - np.take_along_axis(values, units, 1))[:, 0]
            total[:, :, top : top + tall, left : left + wide] += drops.T[:, :, None, None]
            count[top : top + tall, left : left + wide] += 1
    return np.divide(total, count, out=np.zeros_like(total), where=count > 0)


@pytest.mark.parametrize(("size", "stride"), [(5, 2), (3, 3), (11, 4), (40, 1), (2, 5)])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_restricted_it_is_what_covering_everything_gives(size: int, stride: int, padding: str) -> None:
    model = net(padding=padding)
    x = RNG.normal(size=(2, 22, 20, 2)).astype(np.float32)
    for name in ("first", "second"):
        expected = by_brute_force(model.get_layer(name).output, model, x, size, stride, x.mean(axis=(0, 1, 2)))
        found = fw.explain.occlusion(model, name, None, x, size, stride)
        full = fw.explain.occlusion(model, name, None, x, size, stride, restrict=False)
        np.testing.assert_allclose(found.maps, expected, rtol=1e-3, atol=2e-6)
        np.testing.assert_allclose(full.maps, expected, rtol=1e-3, atol=2e-6)
        assert found.work <= full.work and full.passes == 2 * len(_steps(22, min(size, 22), stride)) * len(
            _steps(20, min(size, 20), stride)
        )
        assert (found.maps > 0).any()


def test_what_holds_a_filter_down_makes_it_rise() -> None:
    model = keras.Sequential([keras.Input((7, 7, 1)), layers.Conv2D(1, 3, name="conv")])
    kernel = np.zeros((3, 3, 1, 1))
    kernel[1, 1], kernel[1, 2] = 2, -1
    model.get_layer("conv").kernel.assign(kernel)
    x = np.zeros((1, 7, 7, 1), np.float32)
    x[0, 3, 3], x[0, 3, 4] = 1, 0.25
    found = fw.explain.occlusion(model, "conv", None, x, 1, neutral=0).maps[0, 0]
    assert found[3, 3] == 2 and found[3, 4] == -0.25 and np.count_nonzero(found) == 2


def test_on_windows_or_on_whole_pictures_it_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model = net((48, 44))
    x = RNG.normal(size=(2, 48, 44, 2)).astype(np.float32)
    for name in ("first", "second"):
        found = fw.explain.occlusion(model, name, None, x, 5, 2)
        with monkeypatch.context() as patch:
            patch.setattr(occlusion_maps, "windows_of", lambda functions, units: None)
            whole = fw.explain.occlusion(model, name, None, x, 5, 2)
        np.testing.assert_allclose(found.maps, whole.maps, rtol=1e-3, atol=2e-6)
        assert found.work < whole.work


def test_a_window_that_does_not_agree_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    model = net((48, 44))
    x = RNG.normal(size=(1, 48, 44, 2)).astype(np.float32)
    expected = fw.explain.occlusion(model, "first", None, x, 5, 2)
    monkeypatch.setattr(occlusion_maps, "agrees", lambda here, there, precision: np.array([False]))
    found = fw.explain.occlusion(model, "first", None, x, 5, 2)
    np.testing.assert_allclose(found.maps, expected.maps, rtol=1e-3, atol=2e-6)
    assert found.passes > expected.passes or found.work > expected.work


def test_filters_whose_strongest_units_coincide_share_their_passes() -> None:
    model = keras.Sequential([keras.Input((16, 16, 1)), layers.Conv2D(8, 3, name="conv")])
    conv = model.get_layer("conv")
    kernel = np.abs(RNG.normal(size=(3, 3, 1, 1))) * np.linspace(1, 2, 8)
    conv.kernel.assign(kernel)                      # all alike: the strongest units are the same
    x = RNG.random((1, 16, 16, 1), np.float32)
    one = fw.explain.occlusion(model, "conv", [0], x, 3)
    all_of_them = fw.explain.occlusion(model, "conv", None, x, 3)
    assert all_of_them.passes == one.passes
    np.testing.assert_allclose(all_of_them.maps[7], 2 * one.maps[0], rtol=1e-3, atol=1e-5)


def test_the_neutral_value() -> None:
    model = net()
    x = RNG.normal(size=(2, 22, 20, 2)).astype(np.float32)
    tensor = model.get_layer("second").output
    for neutral in (0.5, [0.25, -1.0]):
        expected = by_brute_force(tensor, model, x, 5, 3, np.broadcast_to(neutral, (2,)))
        found = fw.explain.occlusion(model, "second", None, x, 5, 3, neutral=neutral)
        np.testing.assert_allclose(found.maps, expected, rtol=1e-3, atol=2e-6)
    constant = np.full((1, 22, 20, 2), 3.0, np.float32)
    assert not fw.explain.occlusion(model, "second", None, constant, 5).maps.any()     # its mean covers it with itself


def test_sequences_vectors_and_models_without_a_graph() -> None:
    sequence = keras.Sequential([keras.Input((20, 3)), layers.Conv1D(4, 3, activation="relu", name="conv")])
    x = RNG.normal(size=(2, 20, 3)).astype(np.float32)
    found = fw.explain.occlusion(sequence, "conv", None, x, 4)
    assert found.maps.shape == (4, 2, 1, 20) and found.boxes.shape[-1] == 4
    expected = by_brute_force_row(sequence, x, 4)
    np.testing.assert_allclose(found.maps[:, :, 0], expected, rtol=1e-3, atol=2e-6)

    vector = keras.Sequential([keras.Input((6,)), layers.Dense(2, name="dense")])
    x = RNG.normal(size=(3, 6)).astype(np.float32)
    found = fw.explain.occlusion(vector, "dense", None, x)
    kernel = vector.get_layer("dense").kernel.numpy()
    np.testing.assert_allclose(found.maps[:, :, 0], np.einsum("if,si->fsi", kernel, x - x.mean(axis=0)), rtol=1e-3, atol=1e-5)
    assert "one feature is covered at a time" in found.note

    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.conv = layers.Conv2D(2, 3, name="conv")

        def call(self, x: Any) -> Any:
            return keras.ops.relu(self.conv(x))

    own = Own()
    x = RNG.random((1, 9, 9, 1), np.float32)
    own(x)
    inputs = keras.Input((9, 9, 1))
    graph = keras.Model(inputs, own.conv(inputs))
    found = fw.explain.occlusion(own, "conv", None, x, 3)
    expected = by_brute_force(graph.outputs[0], graph, x, 3, 1, x.mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(found.maps, expected, rtol=1e-3, atol=2e-6)


def by_brute_force_row(model: Any, x: np.ndarray, size: int) -> np.ndarray:
    whole = np.asarray(model(x))
    units = whole.argmax(axis=1)[:, None]
    total, count = np.zeros((whole.shape[-1], *x.shape[:2])), np.zeros(x.shape[1])
    for first in range(x.shape[1] - size + 1):
        covered = x.copy()
        covered[:, first : first + size] = x.mean(axis=(0, 1))
        drop = np.take_along_axis(whole, units, 1) - np.take_along_axis(np.asarray(model(covered)), units, 1)
        total[:, :, first : first + size] += drop[:, 0].T[..., None]
        count[first : first + size] += 1
    return total / count


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 14), st.integers(1, 14), st.integers(0, 2**31))
def test_spread_is_the_mean_over_squares_that_cover_a_pixel(height: int, width: int, size: int, stride: int, seed: int) -> None:
    tall, wide = min(size, height), min(size, width)
    squares = _Squares((tall, wide), _steps(height, tall, stride), _steps(width, wide, stride), np.zeros((1, 1, 1)))
    drops = np.random.default_rng(seed).normal(size=(2, len(squares.rows), len(squares.columns)))
    found = squares.spread(drops, height, width)
    for r in range(height):
        for c in range(width):
            covering = [
                drops[:, i, j]
                for i, top in enumerate(squares.rows) for j, left in enumerate(squares.columns)
                if top <= r < top + tall and left <= c < left + wide
            ]  # fmt: skip
            np.testing.assert_allclose(found[:, r, c], np.mean(covering, axis=0) if covering else 0, rtol=1e-4, atol=1e-6)


def test_what_is_wrong_is_said() -> None:
    model = sequential()
    x = images(2)[0]
    for options, message in {
        (("size", 0),): "size=0: give a whole number of pixels, 1 or more",
        (("stride", 1.5),): "stride=1.5: give a whole number",
        (("neutral", (1, 2)),): r"neutral=\(1, 2\): give a number, or one for each of 1 channels",
        (("neutral", float("nan")),): "neutral=nan: give finite numbers",
    }.items():
        with pytest.raises(ValueError, match=message):
            fw.explain.occlusion(model, "conv", None, x, **dict(options))
