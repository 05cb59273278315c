"""What the detection benchmark plants is what it says it planted: judged by the full activations, with NumPy."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

from benchmarks.acting_weights import Acting
from benchmarks.filter_nets import FilterNet, Stage, before_activation, by_filter, drawn, entering_and_leaving
from benchmarks.filter_truth import facts, unexplained
from benchmarks.planted_filters import ENDS, plant
from benchmarks.planted_stages import make_linear, make_noisy
from benchmarks.planting import RECTIFIERS, Planted

NETS = [
    ("dense", 0), ("dense", 3), ("conv", 0), ("conv", 5), ("conv, normalised", 2), ("depthwise", 0), ("depthwise", 1),
    ("residual", 0), ("1-D", 1),
]  # fmt: skip
CONTROLS = (
    "control: small weights that are scaled up again", "control: a mirror image",
    "control: always below 0 behind a leaky rectifier",
)  # fmt: skip


@functools.cache
def planted_in(kind: str, seed: int) -> tuple[FilterNet, list[Planted], list[np.ndarray]]:
    """An untrained network with faults in it, and what its stages give afterwards: (samples × positions, filters) each."""
    net = drawn(kind, seed)
    truth = plant(net, np.random.default_rng(seed), share=0.9)
    return net, truth, leaving(net)


def leaving(net: FilterNet) -> list[np.ndarray]:
    return [by_filter(np.asarray(each)) for each in entering_and_leaving(net)(net.probe[0], training=False)[len(net.stages) :]]


def cases(*faults: str) -> list[tuple[Stage, Planted, np.ndarray, Any]]:
    """Every plant of these faults: stage, plant, the stage's values (samples × positions, filters), the network."""
    found = []
    for kind, seed in NETS:
        net, truth, values = planted_in(kind, seed)
        for one in truth:
            place = next(place for place, stage in enumerate(net.stages) if stage.layer == one.layer)
            if one.fault in faults:
                found.append((net.stages[place], one, values[place], net))
    assert found, f"none of {faults} was planted"
    return found


@pytest.mark.parametrize(
    "fault",
    ["no energy", "negative weights", "negative weights, a bias that does not lift them", "negative bias",
     "negative bias, just enough for the probe", "dead inputs", "dead inputs, inherited", "zero scale", "saturated"],
)  # fmt: skip
def test_the_dead_are_dead(fault: str) -> None:
    for stage, one, values, _ in cases(fault):
        theirs = values[:, one.filters[0]]
        rectified = stage.activation in RECTIFIERS and theirs.max() == 0
        at_an_end = stage.activation == "sigmoid" and (theirs.max() < 1e-9 or theirs.min() == 1)
        assert rectified or at_an_end or np.ptp(theirs) < 1e-6, (stage, one)


def test_the_nearly_dead_fire_as_often_as_is_said() -> None:
    for _, one, values, _ in cases("nearly dead"):
        assert (values[:, one.filters[0]] > 0).mean() == pytest.approx(one.level, rel=1e-3)


def test_what_is_saturated_but_varies_is_between_the_ends_as_often_as_is_said() -> None:
    for stage, one, values, _ in cases("saturated, but varies"):
        low, high = {"tanh": (-0.99, 0.99), "sigmoid": (0.01, 0.99), "relu6": (0.0, 6.0)}[stage.activation]
        assert stage.activation in ENDS
        theirs = values[:, one.filters[0]]
        assert ((theirs > low) & (theirs < high)).mean() == pytest.approx(one.level, rel=1e-3)
        assert theirs.min() <= low and theirs.max() >= high


def test_doubles_are_multiples() -> None:
    for _, one, values, _ in cases("exact double", "scaled double", "permuted double"):
        source, twin = values[:, one.filters].T
        assert source.std() > 0
        assert abs(np.corrcoef(source, twin)[0, 1]) == pytest.approx(1, abs=1e-6), one


def test_permuted_doubles_have_other_weights() -> None:
    for stage, one, _, net in cases("permuted double"):
        source, twin = Acting(net, stage).weights[list(one.filters)]
        assert abs(np.corrcoef(source, twin)[0, 1]) < 0.999999
        np.testing.assert_allclose(np.sort(source), np.sort(twin), rtol=1e-4, atol=1e-6)


def test_sums_are_sums() -> None:
    for _, one, values, _ in cases("sum of two", "combination of two"):
        *terms, both = values[:, one.filters].T
        design = np.stack([*terms, np.ones(len(both))], axis=1)
        left = both - design @ np.linalg.lstsq(design, both, rcond=None)[0]
        assert left.std() < 1e-5 * both.std()


def test_near_doubles_are_as_far_apart_as_is_said() -> None:
    for stage, one, _, net in cases("near double"):
        source, twin = Acting(net, stage).weights[list(one.filters)]
        assert np.linalg.norm(twin - source) == pytest.approx(one.level * np.linalg.norm(source), rel=0.01)


def test_controls_are_in_order() -> None:
    for _, one, values, _ in cases(*CONTROLS):
        assert np.ptp(values[:, one.filters[0]]) > 1e-4, one
        if one.fault == "control: a mirror image":
            source, twin = values[:, one.filters].T
            assert not ((source > 0) & (twin > 0)).any()


def test_small_weights_that_are_scaled_up_again_act_as_before() -> None:
    net = drawn("conv, normalised", 0)
    before = leaving(net)
    stage = next(stage for stage in net.stages if stage.normalisation)
    acting = Acting(net, stage)
    energy = acting.raw_energy.copy()
    acting.shrink(2, 0.01)
    acting.disguise(1, np.random.default_rng(0))
    acting.write()
    assert Acting(net, stage).raw_energy[2] == pytest.approx(1e-4 * energy[2], rel=1e-3)
    for one, other in zip(before, leaving(net), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


def test_the_acting_weights_are_what_acts() -> None:
    """A dense stage's values before its activation, from what entered, by one product."""
    net, _, _ = planted_in("dense", 0)
    entered = entering_and_leaving(net)(net.probe[0], training=False)
    for stage, values in zip(net.stages, entered[: len(net.stages)], strict=True):
        acting = Acting(net, stage)
        by_hand = by_filter(np.asarray(values)) @ acting.weights.T + acting.bias
        np.testing.assert_allclose(by_filter(before_activation(net, stage, np.asarray(values))), by_hand, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("kind", "seed"), [("dense", 0), ("conv", 1), ("1-D", 1), ("conv, normalised", 1)])
def test_a_linear_activation_is_a_straight_line(kind: str, seed: int) -> None:
    net = drawn(kind, seed)
    for number in range(30):
        rng = np.random.default_rng(number)
        one = make_linear(net, rng)
        assert one is not None
        if one.exact:
            break
    assert one is not None and one.exact
    place = next(place for place, stage in enumerate(net.stages) if stage.layer == one.layer)
    entered = np.asarray(entering_and_leaving(net)(net.probe[0], training=False)[place])
    before, after = by_filter(before_activation(net, net.stages[place], entered)), leaving(net)[place]
    for x, y in zip(before.T, after.T, strict=True):
        if np.ptp(x) > 1e-4:
            slope, constant = np.polyfit(x, y, 1)
            assert (y - slope * x - constant).std() < 0.02 * y.std()


def test_noise_is_as_much_of_the_kernels_as_is_said() -> None:
    net = next(net for seed in range(9) if min((net := drawn("conv", seed)).model.get_layer("stage0").kernel_size) == 5)
    norms = {}
    for noise in (0.0, 1.0):
        one = make_noisy(net, np.random.default_rng(0), noise)
        assert one is not None and one.exact and bool(one.alert) == bool(noise)
        kernel = net.model.get_layer(one.layer).kernel.numpy()
        norms[noise] = np.linalg.norm(kernel)
        steps = np.diff(kernel, axis=0)
        rough = np.square(steps).mean() / kernel.var()
        assert rough < 0.8 if noise == 0 else rough > 1.2      # of noise 2, of half a wave little
    assert norms[0.0] == pytest.approx(norms[1.0], rel=1e-5)


def test_what_is_true_is_told_by_least_squares() -> None:
    """The benchmark's own yardstick, from covariances, against NumPy's on the values themselves."""
    net, _, _ = planted_in("conv", 0)
    true = facts(net)["stage1"]
    varying = np.flatnonzero(true.values.std(axis=0) > 0)
    for filter in varying[:4]:
        by = varying[varying != filter][:6]
        centred = true.values - true.values.mean(axis=0)
        design, target = centred[:, by], centred[:, filter]
        left = target - design @ np.linalg.lstsq(design, target, rcond=None)[0]
        assert unexplained(true.covariance, int(filter), by) == pytest.approx(left.std() / target.std(), rel=1e-4, abs=1e-6)


def test_the_same_seed_plants_the_same() -> None:
    one, other = (plant(drawn("1-D", 4), np.random.default_rng(7)) for _ in range(2))
    assert [str(each) for each in one] == [str(each) for each in other]
