"""What is folded over batches: histograms on dyadic bins, and which values they take, against NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from featwatch import folds, reductions
from featwatch.analysis.dyadic import FINE_BINS, Grid, StreamingHistogram
from featwatch.folds import FOLDS
from featwatch.reductions import EXACT_VALUES, About
from featwatch.sketch import Sketch

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


def about(positions: int = 1, samples: int = 10, seed: int = 0) -> About:
    return About(Sketch.of_length(positions), samples, seed)


def folded(values: np.ndarray, batch: int = 16) -> dict[str, np.ndarray]:
    """What the fold makes of values, (samples, positions, filters)."""
    fold = FOLDS["sampled_values"](about())
    for start in range(0, len(values), batch):
        fold.add(values[start : start + batch])
    return dict(fold.result())


def by_numpy(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """(filters, bins): NumPy's counts of values (…, filters)."""
    columns = values.reshape(-1, values.shape[-1]).T
    return np.array([np.histogram(column[np.isfinite(column)], edges)[0] for column in columns])


def scaled(seed: int, samples: int = 50, positions: int = 7, filters: int = 5) -> np.ndarray:
    """Activations that grow over the batches by a factor of a million."""
    rng = np.random.default_rng(seed)
    growth = np.geomspace(1e-3, 1e3, samples)[:, None, None]
    return (rng.normal(size=(samples, positions, filters)) * growth).astype(np.float32)


@pytest.mark.parametrize("batch", [1, 7, 50])
@pytest.mark.parametrize("make", [scaled, lambda seed: np.maximum(scaled(seed), 0), lambda seed: -np.exp(scaled(seed) / 1e3)])
def test_a_fold_counts_what_numpy_counts(make, batch):
    values = make(1)
    result = folded(values, batch)
    counts, edges = result["histogram_counts"], result["histogram_edges"]
    assert counts.dtype == np.int32 and counts.shape == (5, len(edges) - 1) and counts.shape[1] <= FINE_BINS
    assert edges[0] <= values.min() < edges[1] and edges[-2] <= values.max() < edges[-1]
    np.testing.assert_array_equal(counts, by_numpy(values, edges))
    assert counts[:, 0].any() and counts[:, -1].any()


def test_batches_of_any_size_fold_to_the_same():
    values = scaled(2)
    whole = folded(values, 50)
    for batch in (1, 3, 16):
        for name, array in folded(values, batch).items():
            np.testing.assert_array_equal(array, whole[name], err_msg=name)


def test_bins_are_as_fine_as_the_range_allows():
    result = folded(scaled(3))
    width = result["histogram_edges"][1] - result["histogram_edges"][0]
    values = scaled(3)
    assert math.frexp(width)[0] == 0.5
    assert math.floor(values.max() / (width / 2)) - math.floor(values.min() / (width / 2)) >= FINE_BINS


def test_what_is_not_finite_is_left_out_and_counted_apart():
    values = scaled(4)
    values[0] = np.nan                              # the whole first batch
    values[5, 2, 1], values[30, 0, 3], values[30, 6, 3] = np.nan, np.inf, -np.inf
    result = folded(values, 1)
    np.testing.assert_array_equal(result["histogram_counts"], by_numpy(values, result["histogram_edges"]))
    np.testing.assert_array_equal(result["histogram_left_out"], [7, 8, 7, 9, 7])
    assert result["histogram_counts"].sum() + result["histogram_left_out"].sum() == values.size


def test_nothing_finite_gives_no_bins():
    result = folded(np.full((4, 3, 2), np.nan, np.float32))
    assert result["histogram_counts"].shape == (2, 0) and result["histogram_edges"].shape == (1,)
    assert result["histogram_left_out"].tolist() == [12, 12] and result["histogram_positions"] == 3


@pytest.mark.parametrize("value", [0.0, 0.3, -7.0, 3.4e38, -3.4e38, 1e-45])
def test_a_constant_has_one_bin(value):
    values = np.full((4, 3, 2), value, np.float32)
    result = folded(values)
    assert result["histogram_counts"].tolist() == [[12], [12]]
    low, high = result["histogram_edges"]
    assert low <= values[0, 0, 0] < high


@settings(max_examples=100, deadline=None)
@given(arrays.arrays(np.float32, st.tuples(st.integers(1, 30), st.integers(1, 3)), elements=FLOATS), st.integers(2, 70))
def test_any_floats_are_counted_where_numpy_counts_them(values, bins):
    histogram = StreamingHistogram(values.shape[1], bins)
    histogram.add(values)
    np.testing.assert_array_equal(histogram.counts, by_numpy(values, histogram.grid.edges))
    assert (histogram.counts.sum(axis=1) == len(values)).all()


@settings(max_examples=100, deadline=None)
@given(FLOATS, FLOATS, st.integers(2, 100))
def test_a_grid_covers_its_range_with_the_finest_bins_that_do(one, other, bins):
    low, high = sorted((one, other))
    grid = Grid.covering(low, high, bins)
    assert grid.edges[0] <= low and high < grid.edges[-1] and len(grid.edges) == bins + 1
    assert grid.holds(low, high) and Grid.of_edges(grid.edges) == grid
    half = (grid.edges[1] - grid.edges[0]) / 2
    spacing = math.ldexp(1, max(math.frexp(max(abs(low), abs(high)))[1] - 24, -149))    # of float32s as large as the largest
    assert math.floor(high / half) - math.floor(low / half) >= bins or half < spacing
    assert (grid.edges[0] >= 0 or low < 0) and (grid.edges[-1] <= 0 or high >= 0)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_merging_finer_bins_gives_what_coarser_ones_count(data):
    shape, elements = st.tuples(st.integers(1, 40), st.just(2)), st.floats(-100, 100, width=32)
    values = data.draw(arrays.arrays(np.float32, shape, elements=elements))
    fine = Grid.covering(float(values.min()), float(values.max()), data.draw(st.integers(2, 64)), -40)
    exponent = fine.exponent + data.draw(st.integers(0, 4))
    coarse = Grid.covering(float(values.min()), float(values.max()), data.draw(st.integers(64, 80)), exponent)
    if coarse.exponent >= fine.exponent:
        merged = fine.merged(by_numpy(values, fine.edges), coarse)
        np.testing.assert_array_equal(merged, by_numpy(values, coarse.edges))
        assert set(coarse.edges[(coarse.edges >= fine.edges[0]) & (coarse.edges <= fine.edges[-1])]) <= set(fine.edges)


def test_bins_are_not_split_and_nothing_is_lost():
    grid = Grid(0, 0, 4)
    counts = np.array([[1, 0, 0, 2]])
    assert grid.merged(counts, Grid(1, -1, 3)).tolist() == [[0, 1, 2]]
    with pytest.raises(ValueError, match=r"bins 2\^0 wide cannot be split into bins 2\^-1 wide"):
        grid.merged(counts, Grid(-1, 0, 8))
    with pytest.raises(ValueError, match="does not cover all values"):
        grid.merged(counts, Grid(0, 1, 8))
    with pytest.raises(ValueError, match="does not cover all values"):
        grid.merged(counts, Grid(1, 0, 1))


# Which values are taken


def test_all_values_are_taken_of_a_small_map():
    values = np.random.default_rng(0).normal(size=(4, 5, 5, 3)).astype(np.float32)
    taken = reductions.sampled_values(tf.constant(values), about(25, samples=EXACT_VALUES // 25))
    np.testing.assert_array_equal(taken, values.reshape(4, 25, 3))


def test_of_a_large_map_fixed_positions_are_taken_spread_over_all_of_it():
    places = np.broadcast_to(np.arange(40 * 50, dtype=np.float32).reshape(40, 50, 1), (32, 40, 50, 2))
    taken = reductions.sampled_values(tf.constant(places), about(2000, samples=1000)).numpy()
    assert taken.shape == (32, 100, 2)                  # at least 100,000 values over 1,000 samples
    assert all(len(np.unique(row)) == 100 for row in taken[..., 0])
    used, times = np.unique(taken[..., 0], return_counts=True)
    assert len(used) == 2000 and set(times) == {1, 2}   # 3,200 of 2,000 positions, as evenly as can be
    np.testing.assert_array_equal(taken[..., 0], taken[..., 1])
    again = reductions.sampled_values(tf.constant(places), about(2000, samples=1000))
    np.testing.assert_array_equal(again, taken)
    other = reductions.sampled_values(tf.constant(places), about(2000, samples=1000, seed=1))
    assert (other.numpy() != taken).any()


@pytest.mark.parametrize("samples", [101, 1000, 99_999, 100_001])
def test_a_sample_has_at_least_a_hundred_thousand_values(samples):
    values = tf.zeros((1, 1000, 1))
    kept = reductions.sampled_values(values, about(1000, samples=samples)).shape[1]
    assert kept * samples >= EXACT_VALUES > (kept - 1) * samples


def test_the_batch_size_need_not_be_known_while_tracing():
    values = np.random.default_rng(0).normal(size=(4, 2000, 2)).astype(np.float32)
    function = tf.function(
        lambda v: reductions.sampled_values(v, about(2000, samples=1000)),
        input_signature=[tf.TensorSpec((None, 2000, 2), tf.float32)],
    )
    taken = function(values).numpy()
    assert taken.shape == (4, 100, 2)
    assert all(np.isin(taken[row, :, 0], values[row, :, 0]).all() for row in range(4))


@pytest.mark.parametrize("batch", [1, 2, 5, 6, 8, 9])
def test_every_fourth_distance_is_measured(batch):
    values = np.random.default_rng(0).normal(size=(batch, 3, 2)).astype(np.float32)
    flat = values.reshape(batch, -1)
    expected = np.full(batch, np.nan)
    for index in range(1, batch, 4):
        expected[index] = ((flat[index] - flat[index - 1]) ** 2).sum()
    np.testing.assert_allclose(reductions.neighbour_distance(tf.constant(values), about(6)), expected, rtol=1e-5)


# How values vary together, and what enters by channel


def together(values: np.ndarray, batch: int, name: str = "moment_values") -> dict[str, np.ndarray]:
    """What a fold makes of values, (samples, positions, filters), or (samples, channels)."""
    fold = FOLDS[name](about())
    for start in range(0, len(values), batch):
        fold.add(values[start : start + batch])
    return dict(fold.result())


@pytest.mark.parametrize("batch", [1, 7, 50])
@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_moments_are_those_of_all_rows(batch, offset):
    values = np.random.default_rng(0).normal(size=(50, 7, 5)).astype(np.float32) * 3 + np.float32(offset)
    result, rows = together(values, batch), values.reshape(-1, 5).astype(np.float64)
    np.testing.assert_allclose(result["moment_mean"], rows.mean(axis=0), rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(result["moment_covariance"], np.cov(rows.T, bias=True), rtol=1e-4, atol=1e-4)
    assert (result["moment_rows"], result["moment_positions"]) == (350, 7)


def test_two_proportional_filters_stay_so_in_large_means():
    """The residual of one on the other is 0, and what is left of it by rounding is small beside either."""
    one = np.random.default_rng(0).normal(1e3, 1, (60, 20, 1)).astype(np.float32)
    covariance = together(np.concatenate([one, 3 * one], axis=2), 16)["moment_covariance"]
    residual = covariance[1, 1] - covariance[0, 1] ** 2 / covariance[0, 0]
    assert abs(residual) < 1e-5 * covariance[1, 1]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 30))
def test_batches_of_any_size_join_to_the_same_moments(seed, samples, batch):
    values = np.random.default_rng(seed).normal(size=(samples, 3, 4)).astype(np.float32)
    one, other = together(values, batch), together(values, samples)
    np.testing.assert_allclose(one["moment_covariance"], other["moment_covariance"], rtol=1e-4, atol=1e-5)
    assert np.linalg.eigvalsh(one["moment_covariance"]).min() > -1e-6


@pytest.mark.filterwarnings("error")
def test_rows_that_are_not_finite_are_left_out_of_the_moments():
    values = np.random.default_rng(0).normal(size=(20, 3, 2)).astype(np.float32)
    values[:4], values[7, 1, 0], values[9, 2, 1] = np.nan, np.inf, -np.inf      # the first batch altogether
    rows = values.reshape(-1, 2)
    rows = rows[np.isfinite(rows).all(axis=1)]
    result = together(values, 4)
    assert result["moment_rows"] == len(rows) == 46
    np.testing.assert_allclose(result["moment_covariance"], np.cov(rows.T, bias=True), rtol=1e-4)
    nothing = together(np.full((4, 3, 2), np.nan, np.float32), 2)
    assert np.isnan(nothing["moment_mean"]).all() and np.isnan(nothing["moment_covariance"]).all() and nothing["moment_rows"] == 0


@settings(max_examples=50, deadline=None)
@given(arrays.arrays(np.float32, st.tuples(st.integers(1, 20), st.integers(1, 4)), elements=FLOATS), st.integers(1, 20))
def test_what_enters_is_folded_by_channel(values, batch):
    expected = {"minimum": values.min(axis=0), "maximum": values.max(axis=0), "mean": values.mean(axis=0, dtype=np.float64)}
    for name, of_all in expected.items():
        (found,) = together(values, batch, f"input_channel_{name}").values()
        assert found.shape == (values.shape[1],) and found.dtype == np.float32
        np.testing.assert_allclose(found, of_all, rtol=1e-6, atol=1e-6 * np.abs(values).max())


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["minimum", "maximum", "mean"])
def test_a_channel_that_is_not_finite_spoils_no_other(name):
    values = np.array([[np.inf, np.nan, 1.0], [-np.inf, 2.0, 2.0], [0.0, 3.0, 3.0]], np.float32)
    (found,) = together(values, 1, f"input_channel_{name}").values()
    assert not np.isfinite(found[:2]).any() and found[2] == {"minimum": 1, "maximum": 3, "mean": 2}[name]


def test_batches_are_joined_together_and_the_rest_at_the_end(monkeypatch):
    """Held back or not, the moments are those of all rows."""
    values = np.random.default_rng(0).normal(size=(70, 3, 4)).astype(np.float32)
    found = []
    for rows in (1, 100, 10_000):
        monkeypatch.setattr(folds, "ROWS_AT_ONCE", rows)
        fold = folds.MomentFold()
        for start in range(0, 70, 10):
            fold.add(values[start : start + 10])
        found.append(fold.result())
        assert found[-1]["moment_rows"] == 210
    expected = np.cov(values.reshape(-1, 4).astype(np.float64), rowvar=False, bias=True)
    for each in found:
        np.testing.assert_allclose(each["moment_covariance"], expected, rtol=1e-5, atol=1e-6)


def test_of_too_many_filters_none_are_compared():
    values = tf.zeros((2, 3, reductions.MOST_COMPARED + 1))
    kept = reductions.moment_values(values, About(Sketch.of_length(3), 2))
    assert kept.shape == (2, 1, 0)
    fold = folds.MomentFold()
    fold.add(kept.numpy())
    assert fold.result()["moment_covariance"].shape == (0, 0)
