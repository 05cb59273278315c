"""`FilterHealth` on arrays: what it makes of a layer's reductions, weights and last record."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

import featwatch as fw
from featwatch import wire
from featwatch.activations import passing
from featwatch.folding import Normalisation
from featwatch.records import CAUSES, LayerHealth
from tests.test_recorders import FILTERS, snapshot


def test_health_is_that_of_the_full_activations():
    given = snapshot()
    record = fw.FilterHealth().analyse(given)
    assert isinstance(record, LayerHealth)
    values = given.reductions["features"].reshape(-1, FILTERS).astype(np.float64)
    np.testing.assert_allclose(record.max_activation, values.max(axis=0))
    np.testing.assert_allclose(record.min_activation, values.min(axis=0))
    np.testing.assert_allclose(record.mean_activation, values.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(record.active_fraction, (values > 0).mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(record.energy, np.square(given.weights).sum(axis=1), rtol=1e-6)
    np.testing.assert_allclose(record.negative_fraction, (given.weights < 0).mean(axis=1))
    np.testing.assert_array_equal(record.bias, given.bias)
    np.testing.assert_array_equal(record.responsive_fraction, 1)       # of what `Passing()` says
    assert np.flatnonzero(record.dead).tolist() == [3] and record.cause[3] == "unexplained"
    assert set(record.cause) <= set(CAUSES) and set(record.group) == {-1} and not record.proven.any()
    assert record.dead_count == 1
    assert record.scale.size == record.shift.size == 0


def entered(low, high, mean=None, channels=3):
    """Reductions of what entered the layer, the same in every channel."""
    values = (low, high, (low + high) / 2 if mean is None else mean)
    return {f"input_channel_{name}": np.full(channels, v) for name, v in zip(("minimum", "maximum", "mean"), values, strict=True)}


def rectified(**more):
    given = snapshot(passing=passing("relu"), **more)
    given.reductions.update(entered(0.0, 1.0))
    return given


def test_health_explains_what_the_inputs_prove():
    weights = np.full((FILTERS, 3), -1, np.float32)
    bias = np.zeros(FILTERS, np.float32)
    given = rectified(weights=weights, bias=bias, inputs_per_filter=3)
    record = fw.FilterHealth().analyse(given)
    assert (record.cause[3], record.proven[3], record.proven.sum()) == ("negative weights", True, 1)
    separable = dataclasses.replace(given, info=dataclasses.replace(given.info, type="SeparableConv1D"), inputs_per_filter=0)
    indirect = dataclasses.replace(given, direct=False)
    for unproven in (separable, indirect):      # not a sum of what enters; another normalisation in between
        found = fw.FilterHealth().analyse(unproven)
        assert (found.cause[3], found.proven[3]) == ("unexplained", False)
    given.reductions.update(entered(-1.0, 1.0, 0.5))
    found = fw.FilterHealth().analyse(given)
    assert (found.cause[3], found.proven[3]) == ("negative weights", False)
    for name in ("input_channel_minimum", "input_channel_maximum", "input_channel_mean"):       # a layer of several inputs
        del given.reductions[name]
    assert fw.FilterHealth().analyse(given).cause[3] == "unexplained"


def test_health_sees_weights_through_the_normalisation():
    scale = np.linspace(-1, 1, FILTERS).astype(np.float32)
    normalisation = Normalisation(scale.astype(np.float64), np.zeros(FILTERS), scale, scale + 1)
    given = rectified(normalisation=normalisation, weights=np.ones((FILTERS, 3), np.float32), bias=np.zeros(FILTERS, np.float32))
    record = fw.FilterHealth().analyse(given)
    np.testing.assert_array_equal(record.scale, scale)
    np.testing.assert_array_equal(record.shift, scale + 1)
    assert (record.cause[3], record.proven[3]) == ("negative weights", True)        # its scale turns them around


def test_a_layer_that_calls_itself_a_rectifier_and_is_none_is_not_judged_as_one():
    given = rectified()
    given.reductions["minimum"][0, 1] = -0.2
    record = fw.FilterHealth().analyse(given)
    assert "never varies" not in record.test and "above" not in record.test
    assert record.activation == "relu" and (record.responsive_fraction == 1).all()
    sound = fw.FilterHealth().analyse(rectified())
    assert "never above 0" in sound.test
    np.testing.assert_allclose(sound.responsive_fraction, sound.active_fraction)


def test_of_one_sample_a_dense_layer_has_one_value_that_may_be_anything():
    given = snapshot(1)
    flat = dataclasses.replace(given, info=dataclasses.replace(given.info, shape=(FILTERS,)))
    for name in ("maximum", "minimum", "mean"):
        flat.reductions[name][:] = given.reductions["maximum"]
    assert not fw.FilterHealth().analyse(flat).dead.any()
    assert fw.FilterHealth().analyse(dataclasses.replace(flat, passing=passing("relu"))).dead[3]


def test_roughness_is_that_of_the_kernel_where_its_filters_are_the_layers():
    kernel = np.random.default_rng(0).normal(size=(3, 3, 2, FILTERS)).astype(np.float32)
    kernel[..., 1] = 1.0
    record = fw.FilterHealth().analyse(snapshot(kernel=kernel))
    assert np.flatnonzero(np.isnan(record.roughness)).tolist() == [1]
    assert record.numbers()["roughness"] == pytest.approx(np.nanmedian(record.roughness))
    given = snapshot(kernel=kernel)
    separable = dataclasses.replace(given, info=dataclasses.replace(given.info, type="SeparableConv2D"))
    for unknown in (separable, snapshot(kernel=None), snapshot(kernel=kernel[..., :3])):
        assert np.isnan(fw.FilterHealth().analyse(unknown).roughness).all()


def assert_kept(record):
    """A log rounds what is shown only; what was decided it keeps."""
    kept = wire.decode(wire.encode(record))
    for name in ("dead", "cause", "proven", "ever_alive", "died", "revived", "awoke", "active_fraction"):
        np.testing.assert_array_equal(getattr(kept, name), getattr(record, name), err_msg=name)
    np.testing.assert_allclose(kept.energy, record.energy, rtol=1e-3)
    assert (kept.since, kept.test) == (record.since, record.test)


def died_of(record):
    return {name: getattr(record, name).tolist() for name in ("died", "revived", "awoke")}


def test_what_became_of_filters_since_the_record_before():
    """Filter 3 is dead; by and by 5 dies, is lost for an epoch, and comes back, and 3 awakes."""
    recorder, records = fw.FilterHealth(), []

    def follow(epoch, dead=(), alive=(), lost=(), **more):
        given = dataclasses.replace(snapshot(**more), epoch=epoch, previous=records[-1] if records else None)
        for name in ("maximum", "minimum", "mean"):
            given.reductions[name][:, list(dead)] = 0
            given.reductions[name][0, list(alive)] = 1
            given.reductions[name][:, list(lost)] = math.nan
        records.append(recorder.analyse(given))
        return died_of(records[-1])

    nothing = {"died": [], "revived": [], "awoke": []}
    assert follow(0) == nothing and records[-1].since == -1
    assert np.flatnonzero(~records[-1].ever_alive).tolist() == [3]
    assert follow(2, dead=[5]) == {**nothing, "died": [5]} and records[-1].since == 0
    assert follow(3, lost=[5]) == nothing and records[-1].ever_alive[5]
    assert follow(4, dead=[5]) == nothing           # whether it died or was dead nobody knows
    assert follow(5, alive=[3]) == {**nothing, "revived": [5], "awoke": [3]} and records[-1].since == 4
    assert records[-1].ever_alive.all()
    assert follow(6) == {**nothing, "died": [3]}
    for record in records:
        assert_kept(record)


def test_what_came_before_is_a_record_of_the_same_filters_on_the_same_axis():
    given = snapshot()
    recorder, other = fw.FilterHealth(), fw.Separation().analyse(given)
    nobody = np.zeros(FILTERS, bool)
    all_dead = dataclasses.replace(recorder.analyse(given), epoch=3, dead=~nobody, ever_alive=nobody)
    found = recorder.analyse(dataclasses.replace(given, previous=all_dead))
    assert found.awoke.tolist() == [0, 1, 2, 4, 5, 6, 7] and found.since == 3
    by_step = dataclasses.replace(all_dead, step=40)
    assert recorder.analyse(dataclasses.replace(given, previous=by_step, step=50)).since == 40
    older = dataclasses.replace(all_dead, ever_alive=np.zeros(0, bool))     # written by an earlier version
    assert recorder.analyse(dataclasses.replace(given, previous=older)).awoke.tolist() == [0, 1, 2, 4, 5, 6, 7]
    pruned = recorder.analyse(snapshot(weights=None, bias=None))
    pruned = dataclasses.replace(pruned, dead=pruned.dead[:3], ever_alive=pruned.ever_alive[:3])
    for nothing in (other, pruned, by_step):
        found = recorder.analyse(dataclasses.replace(given, previous=nothing))
        assert (found.since, died_of(found)) == (-1, {"died": [], "revived": [], "awoke": []})


def test_health_of_huge_weights_fits_the_record():
    record = fw.FilterHealth().analyse(snapshot(weights=np.full((FILTERS, 3), 1e30, np.float32)))
    assert np.isfinite(record.energy).all() and record.energy.dtype == np.float32


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["maximum", "minimum", "mean", "weights", "bias"])
def test_health_of_a_training_that_diverged_says_which_filters_are_not_finite(where: str, value: float):
    given, sound = rectified(), fw.FilterHealth().analyse(rectified())
    if where in given.reductions:
        given.reductions[where][7, 5] = value
    else:
        getattr(given, where)[5, ...] = value
    record = fw.FilterHealth().analyse(given)
    assert record.dead.tolist() == sound.dead.tolist() and record.cause.tolist() == sound.cause.tolist()
    of_activations = {"active_fraction", "responsive_fraction", "max_activation", "min_activation", "mean_activation"}
    lost = {
        "weights": {"energy", "negative_fraction"}, "bias": {"energy", "negative_fraction", "bias"},
        # A mean over many positions may overflow where no value was infinite.
        "mean": of_activations if math.isnan(value) else {"mean_activation"},
    }.get(where, of_activations)  # fmt: skip
    for name in (*of_activations, "energy", "negative_fraction", "bias"):
        expected = getattr(sound, name).copy()
        expected[5] = math.nan if name in lost else expected[5]
        np.testing.assert_array_equal(getattr(record, name), expected, err_msg=name)
    assert record.non_finite_weights == (where in ("weights", "bias"))
    assert record.non_finite_activations == (len(lost) == 5)
    assert math.isfinite(record.numbers()["active_fraction"])
    assert_kept(record)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_health_of_a_layer_that_is_lost_altogether(value: float):
    given = snapshot(weights=np.full((FILTERS, 3), value, np.float32), bias=None, passing=passing("relu"))
    given.reductions.update(entered(value, value, value))
    for name in ("maximum", "minimum", "mean"):
        given.reductions[name][:] = value
    record = fw.FilterHealth().analyse(given)
    assert (record.non_finite_activations, record.non_finite_weights, record.dead_count) == (FILTERS, FILTERS, 0)
    assert math.isnan(record.numbers()["active_fraction"])
    assert set(record.cause) == {""} and np.isnan(record.energy).all()


def test_health_of_a_layer_without_weights():
    record = fw.FilterHealth().analyse(snapshot(weights=None, bias=None))
    assert np.isnan(record.energy).all() and np.isnan(record.negative_fraction).all() and np.isnan(record.bias).all()
    assert record.cause[3] == "unexplained"
