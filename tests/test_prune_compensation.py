"""Compensation: exact where removed units are dead, constant or doubles; elsewhere it says how good it is."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

import featwatch as fw
from featwatch.prune.anatomy import Anatomy
from featwatch.prune.compensation import Compensation, compensated
from featwatch.prune.compensation.consumers import consumers
from featwatch.prune.compensation.regression import of_products, of_rows
from featwatch.prune.compensation.solving import combination
from featwatch.prune.compensation.statistics import Moments
from featwatch.prune.rebuild import rebuilt
from tests.pruning_truth import apart

L = keras.layers
DEAD, CONSTANT, DOUBLE = [1], [2, 3], [5]           # unit 5 is twice unit 0


def planted(following: Callable[[], list[Any]], shape: tuple[int, ...] = (9, 9, 2), seed: int = 0) -> Any:
    """A net whose first convolution, of 8 units, has dead, constant and doubled ones; `following`: the layers after it."""
    rank = len(shape) - 1
    first = {1: L.Conv1D, 2: L.Conv2D, 3: L.Conv3D}[rank](8, 3, activation="relu", name="made")
    model = keras.Sequential([keras.Input(shape), first, *following(), L.Flatten(), L.Dense(3, name="scores")])
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        if variable.name == "moving_variance":
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        elif variable.dtype.startswith("float"):
            variable.assign(rng.normal(0.1, 0.4, variable.shape))
    kernel, bias = first.kernel.numpy(), first.bias.numpy()
    kernel[..., [*DEAD, *CONSTANT]] = 0
    bias[[*DEAD, *CONSTANT]] = -1, 0.7, 1.5
    kernel[..., 5], bias[5] = 2 * kernel[..., 0], 2 * bias[0]
    first.kernel.assign(kernel)
    first.bias.assign(bias)
    for layer in model.layers:
        if isinstance(layer, L.SeparableConv2D):        # or its filters would make something else of the double
            kernel = layer.depthwise_kernel.numpy()
            kernel[..., 5, :] = kernel[..., 0, :]
            layer.depthwise_kernel.assign(kernel)
    return model


def pictures(model: Any, count: int = 40, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, *model.input_shape[1:])).astype(np.float32)


def without(model: Any, units: list[int], layer: str = "made", **options: Any) -> tuple[Any, Compensation]:
    """The pruned model, and its compensation."""
    anatomy = Anatomy(model)
    found = compensated(anatomy, anatomy.groups({layer: units}), fw.Probe(pictures(model)), **options)
    return rebuilt(anatomy, found.groups, values=found.values), found


def difference(model: Any, pruned: Any) -> float:
    x = pictures(model, seed=2)                     # others than those of the probe
    return apart([pruned(x)], [model(x)])


READERS: dict[str, Callable[[], list[Any]]] = {
    "valid": lambda: [L.Conv2D(5, 3, name="next")],
    "same": lambda: [L.Conv2D(5, 3, padding="same", name="next")],
    "strided same": lambda: [L.Conv2D(5, 3, strides=2, padding="same", name="next")],
    "dilated same": lambda: [L.Conv2D(5, 3, dilation_rate=2, padding="same", name="next")],
    "padded before": lambda: [L.ZeroPadding2D(1), L.Conv2D(5, 3, name="next")],
    "normalised": lambda: [L.BatchNormalization(name="n"), L.Conv2D(5, 3, padding="same", name="next")],
    "no bias, normalised": lambda: [L.Conv2D(5, 1, use_bias=False, name="next"), L.BatchNormalization(), L.ReLU()],
    "transposed": lambda: [L.Conv2DTranspose(5, 3, strides=2, padding="same", name="next")],
    "dense": lambda: [L.MaxPooling2D(), L.Flatten(), L.Dense(6, name="next")],
    "dense at positions": lambda: [L.Dense(6, activation="tanh", name="next")],
    "separable": lambda: [L.SeparableConv2D(5, 3, depth_multiplier=2, name="next")],
}


@pytest.mark.parametrize("units", [CONSTANT, [*DEAD, *DOUBLE], [*DEAD, *CONSTANT, *DOUBLE]], ids=["constant", "others", "all"])
@pytest.mark.parametrize("reader", READERS)
def test_exact(reader: str, units: list[int]) -> None:
    model = planted(READERS[reader])
    pruned, found = without(model, units)
    assert difference(model, pruned) < 1e-5
    assert max(found.error.values()) < 1e-5
    if found.values:
        plain = rebuilt(Anatomy(model), found.groups)
        assert difference(model, plain) > 1e-3
    going = {name: 8 - made.layer.filters for name, made in Anatomy(pruned).made.items() if name == "made"}
    borders = reader in ("same", "strided same", "dilated same", "padded before", "normalised", "transposed")
    # A constant unit has to stay where zeros are read around; normalised, the dead one is constant, too, and may stay anyway.
    carrying = borders and set(CONSTANT) <= set(units) and (reader != "normalised" or set(DEAD) <= set(units))
    assert going["made"] == len(units) - carrying


def test_exact_in_one_dimension_and_in_groups() -> None:
    causal = planted(lambda: [L.Conv1D(4, 3, padding="causal", dilation_rate=2, name="next")], (12, 2))
    assert difference(causal, without(causal, [*DEAD, *DOUBLE, *CONSTANT])[0]) < 1e-5
    # Units 1 and 5 are at one place of both groups: so are doubles of each other's neighbours.
    model = planted(lambda: [L.Conv2D(4, 3, groups=2, padding="same", name="next")])
    first = model.get_layer("made")
    kernel, bias = first.kernel.numpy(), first.bias.numpy()
    kernel[..., [1, 5]], bias[[1, 5]] = 3 * kernel[..., [0, 4]], 3 * bias[[0, 4]]
    first.kernel.assign(kernel)
    first.bias.assign(bias)
    anatomy = Anatomy(model)
    assert anatomy.groups({"made": [1]}) == anatomy.groups({"made": [5]})
    pruned, found = without(model, [1])
    assert pruned.get_layer("made").filters == 6 and difference(model, pruned) < 1e-5
    assert difference(model, rebuilt(anatomy, found.groups)) > 1e-2


def test_a_constant_stays_for_the_borders_or_they_are_off() -> None:
    model = planted(READERS["same"])
    pruned, found = without(model, CONSTANT)
    assert pruned.get_layer("made").filters == 7
    assert any("unit 2 of 'made' stays: it is constant" in note for note in found.notes)
    less, approximate = without(model, CONSTANT, merge_constants=False)
    assert less.get_layer("made").filters == 6
    assert 1e-2 < approximate.error["next"] < approximate.without["next"]
    # A kept one carries them as well.
    pruned, found = without(model, [3])
    assert pruned.get_layer("made").filters == 7 and difference(model, pruned) < 1e-5
    assert not any("stays" in note for note in found.notes)


@pytest.mark.parametrize("options", [
    {"padding": "valid"}, {"padding": "same"}, {"padding": "same", "strides": 2}, {"padding": "valid", "strides": 3},
    {"padding": "same", "dilation_rate": 2}, {"padding": "same", "kernel_size": (2, 4)},
])  # fmt: skip
def test_moments_are_those_of_windows(options: dict[str, Any]) -> None:
    """Against all windows written out, zeros around included: Σ over taps of Xᵀ X."""
    given = {"kernel_size": 3, **options}
    model = keras.Sequential([keras.Input((7, 6, 2)), L.Conv2D(4, 1, name="a"), L.Conv2D(3, name="b", **given)])
    anatomy = Anatomy(model)
    reader = consumers(anatomy, anatomy.groups({"a": [0]})).known[0]
    value = np.random.default_rng(0).normal(size=(3, 7, 6, 4)).astype(np.float32)
    moments = Moments(reader, 10**9)
    moments.add(value, np.random.default_rng(0))
    layer = model.get_layer("b")
    size, stride, dilation = layer.kernel_size, layer.strides, layer.dilation_rate
    whole = np.concatenate([value, np.ones((3, 7, 6, 1))], axis=-1)
    # Ones wherever a weight meets anything, values only where there are some: what a bias that takes over a constant does.
    out = model.output_shape[1:3]
    expected = np.zeros((5, 5))
    for row, column in np.ndindex(*out):
        for down, right in np.ndindex(*size):
            place = []
            for at, step, count, reach, tap, apart_ in (
                (row, stride[0], 7, size[0], down, dilation[0]), (column, stride[1], 6, size[1], right, dilation[1])
            ):  # fmt: skip
                total = max((out[len(place)] - 1) * step + (reach - 1) * apart_ + 1 - count, 0) if layer.padding == "same" else 0
                place.append(at * step + tap * apart_ - total // 2)
            if 0 <= place[0] < 7 and 0 <= place[1] < 6:
                met = whole[:, place[0], place[1]]
                expected += met.T @ met
            else:
                expected[-1, -1] += 3
    np.testing.assert_allclose(moments.products[0], expected, rtol=1e-6, atol=1e-6)


def test_combination_is_least_squares() -> None:
    """Against NumPy, with a constant and without; what weighs nothing is let alone."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 6)) @ rng.normal(size=(6, 6)) + rng.normal(size=6)
    whole = np.concatenate([x, np.ones((500, 1))], axis=1)
    gram, kept, removed = whole.T @ whole, np.array([0, 2, 3, 5]), np.array([1, 4])
    weights = rng.normal(size=(3, 6, 2))
    importance = np.einsum("tro,tso->rs", weights[:, removed], weights[:, removed])
    for constant in (True, False):
        found = combination(of_products(gram), whole.astype(np.float32), kept, removed, weights, constant)
        features = whole[:, [*kept, 6]] if constant else x[:, kept]
        least = x[:, removed] - features @ np.linalg.lstsq(features, x[:, removed], rcond=None)[0]
        left = x[:, removed] - x[:, kept] @ found.of_kept - found.constant
        energies = [np.sum((each.T @ each) * importance) for each in (left, least)]
        assert energies[1] * (1 - 1e-9) <= energies[0] < 1.03 * energies[1]     # a firmer ridge is taken if it does as well
        assert found.constant.any() == constant
    weights[:, removed] = 0
    assert not combination(of_products(gram), whole, kept, removed, weights, True).of_kept.any()


@pytest.mark.parametrize("ridge", [1e-1, 1e-4])
@pytest.mark.parametrize("constant", [True, False])
def test_rows_that_are_fewer_than_channels(ridge: float, constant: bool) -> None:
    """Ridge regression is least squares with a further row for each feature; against NumPy, and against sums of products."""
    rng = np.random.default_rng(0)
    often = np.sqrt(rng.integers(1, 9, 20))[:, None]
    rows = np.concatenate([(rng.normal(size=(20, 35)) + rng.normal(size=35)) * often, often], axis=1)
    features, targets = np.append(np.arange(30), 35) if constant else np.arange(30), np.arange(30, 35)
    one = features == 35
    scaled = rows[:, features] / np.linalg.norm(rows[:, features], axis=0)
    further = np.sqrt(ridge) * np.diag(~one).astype(float)
    wanted = np.concatenate([rows[:, targets], np.zeros((len(features), 5))])
    expected = np.linalg.lstsq(np.concatenate([scaled, further]), wanted, rcond=None)[0]
    for known in (of_rows(rows), of_products(rows.T @ rows)):
        found = known.solving(features, targets, one)(ridge)
        assert found is not None
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_channels_that_are_constant_are_found_as_they_come() -> None:
    """A channel that is 0 in the first samples, and one that differs in the last one alone; whichever of both ways is taken."""
    model = keras.Sequential([keras.Input((2, 2, 1)), L.Conv2D(6, 1, name="a"), L.Conv2D(3, 1, name="b")])
    anatomy = Anatomy(model)
    reader = consumers(anatomy, anatomy.groups({"a": [0]})).known[0]
    value = np.random.default_rng(0).normal(size=(4, 2, 2, 6)).astype(np.float32)
    value[..., 0], value[..., 1], value[..., 2] = 3, 0, 0
    value[:, 0, 0, 3], value[:, 0, 1, 3], value[:, 1, :, 3] = 0, 5, 5       # zeros at the same place: as padding makes them
    value[3, 1, 1, 2], value[:, :, :, 4] = 7, 2
    value[3, 1, 1, 4] = 2.1
    for fewer in (False, True):
        moments = Moments(reader, 10**9, fewer)
        for part in (value[:2], value[2:]):
            moments.add(part, np.random.default_rng(0))
        assert moments.constant(0).tolist() == [True, False, False, True, False, False]
        assert moments.zeros[0, [0, 3]].tolist() == [False, True]
        assert moments.alike(0, np.array([0, 3, 5]), 0).tolist() == [True, False, False]


def test_it_takes_no_more_than_it_may() -> None:
    model = planted(READERS["dense"])
    anatomy = Anatomy(model)
    groups, probe = anatomy.groups({"made": [0, 6]}), fw.Probe(pictures(model))
    found = compensated(anatomy, groups, probe, multiply_adds=3e5)
    said = " ".join(found.notes)
    assert "40 samples would take more than 300,000 multiply-adds" in said and "of 40, judged on" in said
    assert "fitted to 30" not in said and found.values and found.output_error < found.output_without
    found = compensated(anatomy, groups, probe, multiply_adds=10)
    said = " ".join(found.notes)
    assert "'next' not compensated: all together would take more than 10 multiply-adds" in said and not found.values
    assert "fitted to 6 samples of 40, judged on 2 others" in said and found.output_error == found.output_without > 0


def test_the_error_that_is_said_is_the_error_that_comes() -> None:
    """Of a layer: against the model built without the units, on other samples; of the outputs likewise."""
    model = planted(READERS["same"])
    pruned, found = without(model, [0, 6])
    x = pictures(model, 200, seed=3)
    for values, said, of_outputs in (
        (found.values, found.error["next"], found.output_error), ((), found.without["next"], found.output_without)
    ):  # fmt: skip
        small = rebuilt(Anatomy(model), found.groups, values=values)
        inner = [keras.Model(each.inputs[0], each.get_layer("next").output)(x).numpy() for each in (small, model)]
        assert said == pytest.approx(_relative(*inner), rel=0.15)
        assert of_outputs == pytest.approx(_relative(small(x).numpy(), model(x).numpy()), rel=0.3)
    assert 0 < found.error["next"] < found.without["next"] and 0 < found.output_error < found.output_without


def test_where_nothing_is_gained_nothing_is_changed() -> None:
    """Units of their own, at random, and fewer samples than units: what is fitted does not hold for others."""
    model = keras.Sequential([keras.Input((60,)), L.Dense(60, name="made", use_bias=False), L.Dense(3, name="scores")])
    model.get_layer("made").kernel.assign(np.eye(60))
    anatomy = Anatomy(model)
    found = compensated(anatomy, anatomy.groups({"made": range(20)}), fw.Probe(pictures(model, 24)))
    assert not found.values and found.error == found.without and found.output_error == found.output_without > 0.1
    assert any("nothing was gained on samples held out" in note for note in found.notes)


def test_what_it_cannot_do_it_says() -> None:
    model = keras.Sequential([
        keras.Input((6, 4)), L.Conv1D(6, 1, name="made"), L.LSTM(3, name="memory"), L.Dense(2, use_bias=False, name="plain"),
        L.Dense(2, name="scores"),
    ])  # fmt: skip
    anatomy = Anatomy(model)
    found = compensated(anatomy, anatomy.groups({"made": [0], "memory": [1]}), fw.Probe(pictures(model, 16)))
    said = " ".join(found.notes)
    assert "'memory' not compensated" in said and "'plain': no bias" in said and "fitted to 12 samples of 16" in said
    with pytest.raises(ValueError, match="7 samples"):
        compensated(anatomy, [], fw.Probe(pictures(model, 7)))
    with pytest.raises(TypeError, match="probe is a ndarray; make one with"):
        compensated(anatomy, [], pictures(model, 16))


def test_layers_that_wrap_or_attend_are_named() -> None:
    inputs = keras.Input((6, 4))
    x = L.Conv1D(8, 1, name="made")(inputs)
    several = [
        L.Flatten()(L.TimeDistributed(L.Dense(3), name="times")(x)), L.Bidirectional(L.GRU(3), name="both")(x),
        L.Flatten()(L.MultiHeadAttention(2, 4, name="attending")(x, x)),
    ]  # fmt: skip
    anatomy = Anatomy(keras.Model(inputs, L.Dense(2, name="scores")(L.Concatenate()(several))))
    found = consumers(anatomy, anatomy.groups({"made": [0]}))
    assert [each.name for each in found.known] == ["scores"] and set(found.unknown) == {"times", "both", "attending"}


def test_a_model_is_left_as_it_is() -> None:
    model = planted(READERS["normalised"])
    model.compile("adam", "mse")
    model.fit(pictures(model), np.zeros((40, 3)), verbose=0)
    function, before = model.train_function, [variable.numpy() for variable in model.variables]
    states = random.getstate(), np.random.get_state()[1].tolist()
    without(model, [0, 1, 2])
    assert states == (random.getstate(), np.random.get_state()[1].tolist()) and model.train_function is function
    assert all((one == variable.numpy()).all() for one, variable in zip(before, model.variables, strict=True))


def _relative(found: np.ndarray, whole: np.ndarray) -> float:
    channels = tuple(range(whole.ndim - 1))
    return float(np.sqrt(np.sum((found - whole) ** 2) / np.sum((whole - whole.mean(axis=channels)) ** 2)))
