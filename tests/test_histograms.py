"""`ActivationHistograms`: against NumPy's counts of all activations, over epochs, and whether the inputs suffice."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

import featwatch as fw
from featwatch import reductions, wire
from featwatch.analysis.dyadic import Grid
from featwatch.analysis.histograms import stratified, sufficiency
from featwatch.folds import FOLDS
from featwatch.layers import choose
from featwatch.recorders import LayerSnapshot, NothingToSay
from featwatch.records import Histograms, LayerInfo
from featwatch.reductions import About
from featwatch.sketch import Sketch
from featwatch.taps import TapPass
from tests.fits import PROBE, fit, quick
from tests.nets import sequential


def snapshot(values: np.ndarray, *, batch: int = 64, labels: np.ndarray | None = None, **more) -> LayerSnapshot:
    """What the forward pass would hand on of activations, (samples, …, filters) float32."""
    samples, filters = len(values), values.shape[-1]
    about = About(Sketch.of_length(values[0].size), samples)
    fold = FOLDS["sampled_values"](about)
    for start in range(0, samples, batch):
        fold.add(reductions.sampled_values(tf.constant(values[start : start + batch]), about).numpy())
    by_position = values.reshape(samples, -1, filters)
    info = LayerInfo(
        name="conv", type="Conv2D", shape=values.shape[1:], filters=filters, tapped="conv", activation="relu", parameters=1,
        features=values[0].size, sketch=values[0].size,
    )  # fmt: skip
    reduced = {**fold.result(), "maximum": by_position.max(axis=1), "minimum": by_position.min(axis=1)}
    labels = np.full(samples, -1, np.int32) if labels is None else labels
    return LayerSnapshot(**{"epoch": 3, "info": info, "labels": labels, "reductions": reduced, **more})


def record_of(values: np.ndarray, bins: int = 64, **more) -> Histograms:
    return fw.ActivationHistograms(bins).analyse(snapshot(values, **more))


def by_numpy(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    columns = values.reshape(-1, values.shape[-1]).T
    return np.array([np.histogram(column[np.isfinite(column)], edges)[0] for column in columns])


def activations(samples: int = 40, shape: tuple[int, ...] = (5, 6), filters: int = 4, *, seed: int = 0, scale: float = 1.0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(samples, *shape, filters)) * scale * rng.uniform(0.5, 2, filters)).astype(np.float32)


@pytest.mark.parametrize("bins", [2, 7, 64, 100, 512])
@pytest.mark.parametrize("shape", [(), (11,), (5, 6), (2, 3, 4)])
def test_counts_are_those_of_numpy(bins: int, shape: tuple[int, ...]):
    for values in (activations(shape=shape), np.maximum(activations(shape=shape), 0), 5 + activations(shape=shape)):
        record = record_of(values, bins)
        assert record.counts.shape == (4, bins) and record.edges.shape == (bins + 1,)
        np.testing.assert_array_equal(record.counts, by_numpy(values, record.edges))
        np.testing.assert_array_equal(record.minimum, values.reshape(-1, 4).min(axis=0))
        np.testing.assert_array_equal(record.maximum, values.reshape(-1, 4).max(axis=0))
        assert record.exact and record.positions == record.positions_counted == math.prod(shape)
        assert record.values_per_filter == 40 * math.prod(shape) and record.non_finite == 0
        assert (record.epoch, record.layer, record.step) == (3, "conv", -1)
        width = record.edges[1] - record.edges[0]
        assert math.frexp(width)[0] == 0.5 and (record.edges / width == np.round(record.edges / width)).all()


def test_bins_do_not_reach_below_zero_where_the_values_do_not():
    values = np.maximum(activations(), 0)
    edges = record_of(values).edges
    assert edges[0] == 0 and edges[-1] <= 4 * values.max()
    assert record_of(-values - 0.01).edges[-1] == 0


def test_of_a_large_layer_a_sample_is_counted_and_the_extremes_are_exact():
    rng = np.random.default_rng(0)
    values = rng.gamma(2, size=(200, 50, 60, 3)).astype(np.float32)
    values[77, 13, 14, 1] = 99
    record = record_of(values)
    assert not record.exact and (record.positions, record.positions_counted) == (3000, 500)
    assert record.values_per_filter == 100_000 and (record.counts.sum(axis=1) == 100_000).all()
    np.testing.assert_array_equal(record.maximum, values.max(axis=(0, 1, 2)))
    np.testing.assert_array_equal(record.minimum, values.min(axis=(0, 1, 2)))
    assert record.edges[0] <= values.min() and record.edges[-1] > 99
    share = by_numpy(values, record.edges) / 600_000
    error = np.sqrt(share * (1 - share) / 100_000)
    assert (np.abs(record.counts / 100_000 - share) <= 5 * error + 1e-5).all()


def test_bins_compare_over_epochs():
    """Whatever the range does: the width never shrinks, edges nest, and merging the finer one's bins loses nothing."""
    epochs = [activations(seed=seed, scale=scale) for seed, scale in enumerate((0.1, 0.12, 0.8, 0.3, 20, 0.001, 25))]
    records: list[Histograms] = []
    for values in epochs:
        records.append(record_of(values, previous=records[-1] if records else None))
        np.testing.assert_array_equal(records[-1].counts, by_numpy(values, records[-1].edges))
    widths = [np.diff(record.edges)[0] for record in records]
    assert widths == sorted(widths) and widths[-1] > widths[0]
    for earlier, values in zip(records, epochs, strict=True):
        for later in records:
            if later.edges[1] - later.edges[0] >= earlier.edges[1] - earlier.edges[0]:
                reach = Grid.covering(-200, 200, 4096, Grid.of_edges(later.edges).exponent)
                merged = Grid.of_edges(earlier.edges).merged(earlier.counts, reach)
                np.testing.assert_array_equal(merged, by_numpy(values, reach.edges))
    np.testing.assert_array_equal(records[3].edges, records[2].edges)     # it still fits: the same bins
    np.testing.assert_array_equal(records[5].edges, records[4].edges)


@pytest.mark.parametrize("value", [0.0, 0.25, -3.0, 1e-20])
def test_a_layer_that_says_one_thing_alone(value: float):
    values = np.full((30, 4, 3), value, np.float32)
    record = record_of(values)
    np.testing.assert_array_equal(record.counts, by_numpy(values, record.edges))
    assert record.counts.max() == 120 and np.isfinite(record.edges).all()
    assert record.edges[0] <= min(value, 0) and record.edges[-1] >= max(value, 0)
    assert record.edges[-1] - record.edges[0] >= abs(value) > 0 or record.edges[-1] == 1


def test_a_dead_epoch_neither_coarsens_nor_moves_the_bins():
    alive, dead = np.maximum(activations(scale=0.01), 0), np.zeros((40, 5, 6, 4), np.float32)
    first = record_of(alive)
    died = record_of(dead, previous=first)
    np.testing.assert_array_equal(died.edges, first.edges)
    assert (died.counts[:, 0] == 40 * 30).all()
    born = record_of(alive, previous=record_of(dead))
    np.testing.assert_array_equal(born.edges, first.edges)


def test_a_record_with_other_bins_before_it():
    values = activations()
    wide = record_of(values * 8, 32)
    record = record_of(values, 100, previous=wide)
    assert record.counts.shape == (4, 100) and np.diff(record.edges)[0] == np.diff(wide.edges)[0]


def test_what_is_not_finite_is_left_out():
    values = activations()
    values[3, 2, 2, 1], values[4, 1, 1, 1], values[5, 0, 0, 3], values[:, :, :, 2] = np.nan, np.inf, -np.inf, np.nan
    record = record_of(values)
    np.testing.assert_array_equal(record.counts, by_numpy(values, record.edges))
    assert record.non_finite == 3 + 1200 and record.values_per_filter == 1200
    assert np.isnan(record.minimum[2]) and np.isnan(record.maximum[2])
    assert np.isfinite(record.minimum[[0, 1, 3]]).all() and np.isfinite(record.maximum[[0, 1, 3]]).all()
    assert record.edges[0] <= np.nanmin(values[np.isfinite(values)]) and np.nanmax(values[np.isfinite(values)]) < record.edges[-1]
    decoded = wire.decode(wire.encode(record))
    np.testing.assert_array_equal(decoded.counts, record.counts)


def test_a_sample_with_a_nan_counts_with_its_other_values_however_large():
    """Its extremes are not known, but its values need bins."""
    values = activations()
    values[3, 0, 0, 1], values[3, 0, 1, 1], values[3, 0, 2, 1] = np.nan, 70, -90
    record = record_of(values)
    np.testing.assert_array_equal(record.counts, by_numpy(values, record.edges))
    assert record.edges[0] <= -90 and record.edges[-1] > 70
    np.testing.assert_array_equal(record.maximum[1], np.delete(values, 3, axis=0)[..., 1].max())


def test_nothing_finite_is_said_not_analysed():
    with pytest.raises(NothingToSay, match="no activation of layer 'conv' at epoch 3 is finite"):
        record_of(np.full((5, 2, 2), np.nan, np.float32))


@pytest.mark.parametrize(("samples", "filters"), [(1, 1), (1, 5), (2, 1), (30, 1), (30, 2048)])
def test_few_and_many(samples: int, filters: int):
    values = np.maximum(activations(samples, (3,), filters), 0)
    record = record_of(values)
    np.testing.assert_array_equal(record.counts, by_numpy(values, record.edges))
    assert record.inputs.tolist() == list(range(min(samples, 32)))
    np.testing.assert_array_equal(record.maxima, values.max(axis=1)[:32])
    wire.encode(record)


def test_the_step_is_kept():
    assert record_of(activations(), step=250).step == 250


# Row H2: some inputs' maxima, and whether there are enough inputs


def test_inputs_are_stratified_and_always_the_same():
    labels = np.array([0] * 70 + [1] * 5 + [2] * 20 + [-1] * 5, np.int32)
    order = np.random.default_rng(0).permutation(100)
    chosen = stratified(labels[order], 32)
    assert len(chosen) == len(set(chosen)) == 32 and (np.diff(chosen) > 0).all()
    np.testing.assert_array_equal(np.bincount(labels[order][chosen] + 1), [5, 11, 5, 11])
    for label in (0, 2):        # the first ones of each class
        np.testing.assert_array_equal(chosen[labels[order][chosen] == label], np.flatnonzero(labels[order] == label)[:11])
    assert stratified(np.array([2, 1, 0, 2, 1, 0]), 4).tolist() == [0, 1, 2, 5]     # what is left over goes to the first classes
    record = record_of(activations(100), labels=labels[order])
    np.testing.assert_array_equal(record.inputs, chosen)
    assert record.maxima.shape == (32, 4) and record.inputs.dtype == np.int32


def halves_by_hand(maxima: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every other sample of each class in turn, the count going on from one class to the next."""
    halves: tuple[list[np.ndarray], list[np.ndarray]] = [], []
    turn = 0
    for label in sorted(set(labels.tolist())):
        for row in maxima[labels == label]:
            halves[turn % 2].append(row)
            turn += 1
    return np.array(halves[0]), np.array(halves[1])


@pytest.mark.parametrize("samples", [2, 3, 19, 20, 60, 61])
def test_agreement_of_the_halves_is_scipys(samples: int):
    rng = np.random.default_rng(samples)
    labels = rng.integers(0, 3, samples)
    maxima = np.maximum(rng.normal(rng.normal(0, 1, 30), 1, (samples, 30)), 0).astype(np.float32)
    maxima[:, :3] = 0
    found = sufficiency(maxima, labels)
    one, other = halves_by_hand(maxima, labels)
    assert found.order_agreement == pytest.approx(scipy.stats.spearmanr(one.mean(0), other.mean(0)).statistic)
    assert found.silent_agreement == pytest.approx(np.mean((one.max(0) > 0) == (other.max(0) > 0)))
    heard = maxima.max(0) > 0
    assert found.evenness == pytest.approx(np.median((maxima.mean(0) / np.where(heard, maxima.max(0), 1))[heard]), rel=1e-5)


def strengths(samples: int, noise: float, filters: int = 40) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.abs(np.linspace(1, 3, filters) + noise * rng.normal(size=(samples, filters))).astype(np.float32)


def test_enough_inputs_agree_and_are_twenty_at_least():
    labels = np.zeros(200, np.int32)
    assert sufficiency(strengths(20, 0.01), labels[:20]).enough
    assert not sufficiency(strengths(19, 0.01), labels[:19]).enough
    noisy = sufficiency(strengths(20, 5), labels[:20])
    assert noisy.order_agreement < 0.9 and noisy.silent_agreement == 1 and not noisy.enough
    loud_once = strengths(40, 0.01)
    loud_once[:, :4] = 0
    loud_once[0, :4] = 1        # four of forty filters speak in one half alone
    found = sufficiency(loud_once, labels[:40])
    assert found.order_agreement > 0.9 and found.silent_agreement == 0.9 and not found.enough
    record = record_of(strengths(40, 0.01)[:, None], labels=labels[:40])
    assert record.enough_inputs and record.order_agreement > 0.99


def test_evenness_is_one_where_all_inputs_are_alike_and_small_where_one_stands_out():
    even = np.full((50, 6), 2, np.float32)
    assert sufficiency(even, np.zeros(50)).evenness == 1
    even[:, :] = 0.0
    even[0] = 1
    assert sufficiency(even, np.zeros(50)).evenness == pytest.approx(1 / 50)


def test_one_filter_has_no_order_and_silent_ones_no_evenness():
    one = sufficiency(strengths(30, 0.1, 1), np.zeros(30))
    assert math.isnan(one.order_agreement) and one.enough
    silent = sufficiency(np.zeros((30, 4), np.float32), np.zeros(30))
    assert math.isnan(silent.order_agreement) and math.isnan(silent.evenness) and silent.silent_agreement == 1 and silent.enough


def test_samples_that_are_not_finite_do_not_count_as_inputs():
    maxima = strengths(25, 0.01)
    maxima[3, 1], maxima[9, 0] = np.nan, np.inf
    found, without = sufficiency(maxima, np.zeros(25)), sufficiency(np.delete(maxima, [3, 9], axis=0), np.zeros(23))
    assert dataclasses.astuple(found) == dataclasses.astuple(without)
    assert not sufficiency(np.full((30, 2), np.nan, np.float32), np.zeros(30)).enough


@pytest.mark.parametrize(
    ("bins", "error", "message"),
    [
        (1, ValueError, r"bins=1 is out of range; give a whole number of 2 or more, 512 at most"),
        (513, ValueError, r"bins=513 is out of range"),
        (64.0, TypeError, r"bins=64.0 is not a whole number"),
    ],
)
def test_wrong_options_are_refused(bins, error, message):
    with pytest.raises(error, match=message):
        fw.ActivationHistograms(bins)


# From model to log


def test_a_fit_records_what_numpy_counts_on_the_same_activations(tmp_path: Path):
    model = sequential()
    recorders = [fw.ActivationHistograms(20)]
    seen: dict[int, dict[str, np.ndarray]] = {}

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            taps = TapPass(model, {site: ("features",) for site in choose(model, None)}, len(PROBE))
            taps.prepare(next(iter(PROBE.batches()))[0])
            seen[epoch + 1] = {name: layer["features"] for name, layer in taps.read(PROBE.batches()).layers.items()}

    fit(model, quick(tmp_path, recorders=recorders), Look(), epochs=2)
    run = fw.load(tmp_path)
    assert not run.journal
    for epoch, layers in seen.items():
        for layer, features in layers.items():
            record = run.histograms(layer, epoch)
            values = features.reshape(60, -1, record.counts.shape[0])
            np.testing.assert_array_equal(record.counts, by_numpy(values, record.edges))
            np.testing.assert_array_equal(record.maximum, values.max(axis=(0, 1)))
            np.testing.assert_array_equal(record.maxima, values.max(axis=1)[record.inputs])
    assert run.histograms("conv", 0).counts.shape == (4, 20)
    assert run.histograms("conv", 1).positions == 36
