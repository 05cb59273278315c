"""`Exemplars`: against NumPy's orders of all activations, and the boxes that the winning units see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import featwatch as fw
from featwatch import reductions, wire
from featwatch.analysis.exemplars import boxes, strongest, unravelled
from featwatch.layers import choose
from featwatch.recorders import LayerSnapshot, NothingToSay
from featwatch.records import FilterExemplars, LayerInfo
from featwatch.reductions import About
from featwatch.sketch import Sketch
from featwatch.taps import TapPass
from tests.fits import PROBE, fit, quick
from tests.nets import sequential

ABOUT = About(Sketch.of_length(1), 1)


def record_of(values: np.ndarray, top: int = 9, **field) -> FilterExemplars:
    """The record of activations, (samples, …, filters) float32; `field`: of the layer's info."""
    by_position = values.reshape(len(values), -1, values.shape[-1])
    info = LayerInfo(
        name="conv", type="Conv2D", shape=values.shape[1:], filters=values.shape[-1], tapped="conv", activation="relu",
        parameters=1, features=values[0].size, sketch=values[0].size, **field,
    )  # fmt: skip
    reduced = {"maximum": by_position.max(axis=1), "peak": reductions.peak(tf.constant(values), ABOUT).numpy()}
    given = LayerSnapshot(epoch=2, step=70, info=info, labels=np.full(len(values), -1, np.int32), reductions=reduced)
    return fw.Exemplars(top).analyse(given)


def activations(samples: int = 30, shape: tuple[int, ...] = (5, 7), filters: int = 6, seed: int = 0) -> np.ndarray:
    """With many ties: rounded, and cut off at zero; one filter is dead."""
    values = np.random.default_rng(seed).normal(size=(samples, *shape, filters)).round(1)
    values[..., 2] = 0
    return np.maximum(values, 0).astype(np.float32)


@pytest.mark.parametrize("shape", [(), (11,), (5, 7), (7, 1), (1, 5), (3, 4, 5)])
@pytest.mark.parametrize(("samples", "top"), [(30, 9), (30, 1), (4, 9), (1, 3)])
def test_samples_and_positions_are_those_of_numpy(shape: tuple[int, ...], samples: int, top: int):
    values = activations(samples, shape)
    record = record_of(values, top)
    kept = min(top, samples)
    assert record.samples.shape == record.activation.shape == (6, kept) and record.position.shape == (6, kept, len(shape))
    for filter_index in range(6):
        mine = values[..., filter_index].reshape(samples, -1)
        order = np.lexsort((np.arange(samples), -mine.max(axis=1)))[:kept]      # of equal ones the earlier first
        np.testing.assert_array_equal(record.samples[filter_index], order)
        np.testing.assert_array_equal(record.activation[filter_index], mine.max(axis=1)[order])
        for sample, position in zip(order, record.position[filter_index], strict=True):
            assert tuple(position) == np.unravel_index(mine[sample].argmax(), shape) if shape else len(position) == 0
    assert (record.epoch, record.step, record.layer) == (2, 70, "conv")
    decoded = wire.decode(wire.encode(record))
    np.testing.assert_array_equal(decoded.position, record.position)


SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6), st.integers(1, 3))


@settings(max_examples=60, deadline=None)
@given(arrays.arrays(np.float32, SHAPES, elements=st.integers(-2, 2).map(float)))
def test_the_peak_is_the_first_of_the_largest(values: np.ndarray):
    peak = reductions.peak(tf.constant(values), ABOUT).numpy()
    assert peak.dtype == np.int32
    np.testing.assert_array_equal(peak, values.reshape(len(values), -1, values.shape[-1]).argmax(axis=1))


def test_the_peak_is_compiled_too():
    values = activations(8, (9, 9))
    function = tf.function(lambda v: reductions.peak(v, ABOUT), jit_compile=True)
    np.testing.assert_array_equal(function(values), values.reshape(8, 81, 6).argmax(axis=1))


def test_what_is_not_finite_comes_last_and_has_a_position_all_the_same():
    values = activations()
    values[:28, 1, 1, 0] = np.nan
    values[3, 2, 2, 1] = np.inf
    values[..., 4] = -np.inf
    record = record_of(values, 9)
    assert set(record.samples[0, :2]) == {28, 29} and np.isnan(record.activation[0, 2:]).all()
    assert 3 not in record.samples[1]
    assert (record.position >= 0).all() and (record.position < (5, 7)).all()
    with pytest.raises(NothingToSay, match="no activation of layer 'conv' at epoch 2 is finite"):
        record_of(np.full((4, 3, 3, 2), np.nan, np.float32))


def test_two_thousand_filters():
    maxima = np.random.default_rng(0).normal(size=(200, 2048)).astype(np.float32)
    np.testing.assert_array_equal(strongest(maxima, 9), np.argsort(-maxima, axis=0)[:9].T)


# Boxes


def test_boxes_are_what_the_units_see():
    """By hand: along the first axis units see −1 … 1, 1 … 3, …, 7 … 9; along the second 0 … 4, …, 6 … 10."""
    field = {"field_size": (3, 5), "field_stride": (2, 1), "field_offset": (-1, 0), "field_input": (9, 11), "field_kind": "exact"}
    values = np.zeros((1, 5, 7, 2), np.float32)
    values[0, 0, 0, 0], values[0, 4, 6, 1] = 1, 1
    record = record_of(values, **field)
    np.testing.assert_array_equal(record.boxes, [[[-1, 1, 0, 4]], [[7, 9, 6, 10]]])
    assert record.boxes.dtype == np.int32 and record.input_shape == (9, 11) and record.receptive_field == "exact"


def test_dense_units_see_all_of_what_unit_0_sees():
    record = record_of(
        activations(shape=()), field_size=(8, 9), field_stride=(1, 1), field_offset=(0, 0), field_input=(8, 9), field_kind="exact"
    )
    assert record.boxes.shape == (6, 9, 4) and (record.boxes == [0, 7, 0, 8]).all()


@pytest.mark.parametrize("field", [{}, {"field_size": (3,), "field_stride": (1,), "field_offset": (0,), "field_kind": "exact"}])
def test_there_are_no_boxes_where_the_field_is_not_known_or_has_other_axes(field):
    record = record_of(activations(), **field)
    assert record.boxes.size == 0
    assert wire.decode(wire.encode(record)).boxes.size == 0


def test_unravelled_and_boxes_take_any_leading_axes():
    places = np.array([[0, 5], [6, 11]])
    position = unravelled(places, (3, 4))
    np.testing.assert_array_equal(position, [[[0, 0], [1, 1]], [[1, 2], [2, 3]]])
    assert unravelled(places, ()).shape == (2, 2, 0)
    np.testing.assert_array_equal(boxes(position[1], (2, 2), (3, 1), (0, -1)), [[3, 4, 1, 2], [6, 7, 2, 3]])


@pytest.mark.parametrize(("top", "error"), [(0, ValueError), (2.5, TypeError)])
def test_wrong_options_are_refused(top, error):
    with pytest.raises(error, match=rf"top={top} is .*; give a whole number of 1 or more"):
        fw.Exemplars(top)


# From model to log


def test_a_fit_records_numpys_order_of_the_same_activations(tmp_path: Path):
    model = sequential()
    fit(model, quick(tmp_path, recorders=[fw.Exemplars(5)]), epochs=1)
    taps = TapPass(model, {site: ("features",) for site in choose(model, None)}, len(PROBE))
    taps.prepare(next(iter(PROBE.batches()))[0])
    features = taps.read(PROBE.batches()).layers
    run = fw.load(tmp_path)
    assert not run.journal
    for layer, filters in (("conv", 4), ("dense", 8), ("scores", 3)):
        record = run.exemplars(layer, 1)
        values = features[layer]["features"].reshape(60, -1, filters)
        order = np.argsort(-values.max(axis=1), axis=0, kind="stable")[:5].T
        np.testing.assert_array_equal(record.samples, order)
        places = np.take_along_axis(values.argmax(axis=1), order.T, axis=0).T
        positions = np.stack(np.unravel_index(places, (6, 6)), axis=-1) if layer == "conv" else np.zeros((filters, 5, 0))
        np.testing.assert_array_equal(record.position, positions)
        for box, position in zip(record.boxes.reshape(-1, 4), record.position.reshape(filters * 5, -1), strict=True):
            seen = fw.explain.receptive_field(model, layer, tuple(position))
            assert tuple(box[::2]) == seen.lo and tuple(box[1::2]) == seen.hi
        assert (record.input_shape, record.receptive_field) == ((8, 8), "exact")
