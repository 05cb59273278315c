"""`KernelPictures`: weights come back from the pictures, of every kind of convolution."""

from __future__ import annotations

import math
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import featwatch as fw
from featwatch.analysis.kernels import fitted, pictures, planes, signed, unsigned
from featwatch.recorders import LayerSnapshot, NothingToSay
from featwatch.recorders.kernel_pictures import MOST_PIXELS
from featwatch.records import Kernels, LayerInfo
from tests.nets import images

layers = keras.layers


def weights_of(record: Kernels) -> np.ndarray:
    """(filters, shown, rows, columns): as the record's comment says how."""
    return (record.pixels.astype(np.float64) - 128) / 127 * record.largest.astype(np.float64)[:, None, None, None]


def recorded(kernel: np.ndarray | None, inputs: int = 8, **info) -> Kernels | None:
    filters = 1 if kernel is None else kernel.shape[-1]
    given = {
        "name": "conv", "type": "Conv2D", "shape": (9, 9, filters), "filters": filters, "tapped": "conv", "activation": "relu",
        "parameters": 1, "features": 81 * filters, "sketch": 81 * filters, **info,
    }  # fmt: skip
    snapshot = LayerSnapshot(epoch=3, info=LayerInfo(**given), labels=np.zeros(4, np.int32), reductions={}, kernel=kernel)
    return fw.KernelPictures(inputs).analyse(snapshot)


def some_kernel(*shape: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) * rng.exponential(size=shape[-2:])).astype(np.float32)


@pytest.mark.parametrize("shape", [(3, 3, 3, 5), (5, 7, 12, 4), (1, 7, 9, 3), (11, 1, 2)])
def test_weights_come_back_and_the_strongest_inputs_are_shown(shape: tuple[int, ...]):
    kernel = some_kernel(*shape)
    record = recorded(kernel)
    assert record is not None and record.channels == shape[-2] and record.note == "" and record.epoch == 3
    weights = weights_of(record)
    np.testing.assert_allclose(record.weights, weights, rtol=1e-5)
    plane = kernel if kernel.ndim == 4 else kernel[None]
    for f in range(shape[-1]):
        energy = [float(np.sum(np.square(plane[..., c, f].astype(float)))) for c in range(shape[-2])]
        order = sorted(range(shape[-2]), key=lambda c: -energy[c])[:8]
        assert record.inputs[f].tolist() == order
        assert record.largest[f] == np.abs(kernel[..., f]).max()
        assert math.isclose(record.covered[f], sum(energy[c] for c in order) / sum(energy), rel_tol=1e-6)
        for place, c in enumerate(order):
            error = np.abs(weights[f, place] - plane[:, :, c, f])
            assert error.max() <= record.largest[f] / 254 * (1 + 1e-6)


def test_of_a_kernel_in_three_dimensions_the_middle_slice_is_shown():
    kernel = some_kernel(3, 5, 4, 2, 6)
    record = recorded(kernel)
    assert record is not None and record.pixels.shape == (6, 2, 5, 4) and record.note == "the middle one of 3 slices is shown"
    share = np.square(kernel[1].astype(float)).sum(axis=(0, 1, 2)) / np.square(kernel.astype(float)).sum(axis=(0, 1, 2, 3))
    np.testing.assert_allclose(record.covered, share, rtol=1e-6)
    for f in range(6):
        np.testing.assert_allclose(
            weights_of(record)[f, 0], kernel[1, :, :, record.inputs[f, 0], f], atol=record.largest[f] / 254 * (1 + 1e-6)
        )
    flat = recorded(kernel[:, :1])
    assert flat is not None and flat.note == "" and flat.pixels.shape == (6, 2, 3, 4)       # nothing of it is left out
    np.testing.assert_allclose(flat.covered, 1, rtol=1e-6)


@pytest.mark.parametrize("kernel", [None, some_kernel(8, 5), some_kernel(1, 1, 8, 5), some_kernel(1, 8, 5)])
def test_what_has_no_extent_in_space_has_no_picture(kernel: np.ndarray | None):
    assert recorded(kernel) is None


def test_wide_layers_show_fewer_inputs():
    record = recorded(some_kernel(5, 5, 4, 2048))
    assert record is not None and record.pixels.shape[1] == 4
    record = recorded(some_kernel(7, 7, 8, 2048))
    assert record is not None and record.pixels.shape[1] == 2 and record.pixels.size <= MOST_PIXELS
    assert record.note == "of so wide a layer 2 inputs of each filter are shown"
    record = recorded(some_kernel(11, 11, 2, 4096))
    assert record is not None and record.pixels.shape[1] == 1


def test_a_filter_of_zeros_and_one_that_is_not_finite():
    kernel = some_kernel(3, 3, 4, 3)
    kernel[..., 0] = 0
    kernel[1, 1, 2, 1] = np.nan
    record = recorded(kernel)
    assert record is not None and record.note == "filters with a weight that is not finite: 1"
    assert record.largest[0] == 0 and record.covered[0] == 1 and np.isnan(record.largest[1]) and np.isnan(record.covered[1])
    assert (record.pixels[:2] == 128).all() and record.covered[2] == 1
    tiny = recorded(np.full((3, 3, 1, 1), 1e-42, np.float32))
    assert tiny is not None and (tiny.pixels == 255).all()


def test_kernels_that_are_not_the_filters_are_not_shown_as_theirs():
    with pytest.raises(NothingToSay, match="layer 'conv' has kernels for 5 filters and gives 10"):
        recorded(some_kernel(3, 3, 1, 5), filters=10)


CONVOLUTIONS = [
    lambda: layers.Conv2D(5, 3, name="conv"),
    lambda: layers.Conv2D(5, (2, 4), strides=2, use_bias=False, name="conv"),
    lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, name="conv"),
    lambda: layers.SeparableConv2D(5, 3, name="conv"),
    lambda: layers.SeparableConv2D(5, 3, depth_multiplier=2, name="conv"),
]


@pytest.mark.parametrize("make", CONVOLUTIONS)
def test_what_is_shown_is_what_the_layer_does(make, tmp_path: Path):
    """The maps that the pictures give, summed over the input channels, are the layer's."""
    x, _ = images(3, (8, 8, 4))
    conv = make()
    model = keras.Sequential([keras.Input((8, 8, 4)), conv])
    run = fw.snapshot(model, fw.Probe(x), str(tmp_path), recorders=[fw.KernelPictures(inputs=100)])
    record = run.kernels("conv", 0)
    weights, multiplier = weights_of(record), getattr(conv, "depth_multiplier", 1)
    depthwise = isinstance(conv, layers.DepthwiseConv2D)
    outputs = np.asarray(model(x))
    for f in range(outputs.shape[-1]):
        expected = np.zeros(outputs.shape[:3])
        for place, channel in enumerate(record.inputs[f]):
            source = f // multiplier if depthwise else channel // multiplier
            expected += correlated(x[..., source], weights[f, place], conv.strides)
        np.testing.assert_allclose(expected, outputs[..., f], atol=record.largest[f] / 254 * weights[f].size)


def correlated(pictures: np.ndarray, kernel: np.ndarray, strides: tuple[int, int]) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(pictures, kernel.shape, axis=(1, 2))[:, :: strides[0], :: strides[1]]
    return np.einsum("nrcij,ij->nrc", windows, kernel)


def test_a_transposed_convolution_shows_what_each_input_stamps(tmp_path: Path):
    conv = layers.Conv2DTranspose(3, 4, name="conv")
    model = keras.Sequential([keras.Input((1, 1, 2)), conv])
    run = fw.snapshot(model, fw.Probe(np.ones((2, 1, 1, 2), np.float32)), str(tmp_path), recorders=[fw.KernelPictures()])
    record = run.kernels("conv", 0)
    for f in range(3):
        for place, channel in enumerate(record.inputs[f]):
            stamped = np.asarray(model(np.eye(2, dtype=np.float32)[[channel]][:, None, None]))[0, ..., f]
            np.testing.assert_allclose(weights_of(record)[f, place], stamped, atol=record.largest[f] / 254 * (1 + 1e-6))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.floats(1e-30, 1e30))
def test_bytes_are_the_nearest(seed: int, scale: float):
    values = (np.random.default_rng(seed).normal(size=(5, 7, 3)) * scale).astype(np.float32)
    reach = np.abs(values).max(axis=(0, 1))
    decoded = (signed(values, reach) - 128.0) / 127 * reach
    assert (np.abs(decoded - values) <= reach / 254 * (1 + 1e-6)).all()
    low, high = values.min(axis=(0, 1)), values.max(axis=(0, 1))
    decoded = low + unsigned(values, low, high) / 255.0 * (high.astype(float) - low)
    assert (np.abs(decoded - values) <= (high.astype(float) - low) / 510 * (1 + 1e-5)).all()


def test_a_channel_that_is_the_same_everywhere_is_said_by_its_bounds():
    values = np.full((4, 1), 7.5, np.float32)
    assert (unsigned(values, values[0], values[0]) == 0).all() and (signed(0 * values, np.zeros(1, np.float32)) == 128).all()


@settings(max_examples=300, deadline=None)
@given(
    st.tuples(st.integers(1, 300), st.integers(1, 300)), st.integers(1, 4096), st.integers(1, 40), st.integers(1, 64),
    st.integers(100, 10**6),
)  # fmt: skip
def test_what_fits_fits(size: tuple[int, int], filters: int, samples: int, longest: int, values: int):
    fit = fitted(size, filters, samples, longest=longest, values=values)
    rows, columns = (-(-n // fit.cell) for n in size)
    assert 1 <= fit.samples <= samples and max(rows, columns) <= longest
    assert fit.samples * rows * columns * filters <= values or (fit.samples == rows == columns == 1)
    if fit.cell > -(-max(size) // longest):             # coarser than asked for, and needed
        rows, columns = (-(-n // (fit.cell - 1)) for n in size)
        assert fit.samples * rows * columns * filters > values or (samples * rows * columns * filters > values)


def test_planes_and_pictures_agree_on_the_axes():
    kernel = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    shown, left_out = planes(kernel)
    assert left_out == "" and shown is kernel
    found = pictures(kernel, shown, 4)
    assert found.pixels.shape == (5, 4, 2, 3) and found.inputs.tolist() == [[3, 2, 1, 0]] * 5
