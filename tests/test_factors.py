"""Groups of filters (row F8): planted ones are found, another algorithm explains no more, groups keep their places."""

from __future__ import annotations

import doctest
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import featwatch as fw
from featwatch.analysis import factors as analysis
from featwatch.analysis.factors import factors
from featwatch.explain import groups as module
from featwatch.explain.groups import factorise
from tests import planted
from tests.fits import X
from tests.nets import images, sequential
from tests.planted_groups import alike, cosines, detectors, with_shape

L = keras.layers


def grouped_values(positions: int = 300, filters: int = 24, groups: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Values made of groups of filters, each of which acts alone at some positions: (positions, filters), (groups, filters)."""
    rng = np.random.default_rng(seed)
    weights = np.where(np.arange(filters) % groups == np.arange(groups)[:, None], rng.uniform(0.5, 1, (groups, filters)), 0)
    weights += 0.2 * rng.random((groups, filters))
    amounts = np.where(rng.random((positions, groups)) < 0.4, rng.gamma(2.0, 1.0, (positions, groups)), 0)
    return amounts @ weights, weights / np.linalg.norm(weights, axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(4))
def test_planted_groups_are_found(seed: int) -> None:
    values, weights = grouped_values(seed=seed)
    values = values + 0.02 * np.random.default_rng(9).random(values.shape)
    found = factors(values, 4)
    alike = cosines(found.weights, weights)
    assert sorted(alike.argmax(axis=1)) == [0, 1, 2, 3] and alike.max(axis=1).min() > 0.98
    assert found.unexplained < 0.01 and found.settled and found.clipped == 0
    np.testing.assert_allclose(found.amounts @ found.weights, values, atol=0.15 * values.max())


def test_another_algorithm_explains_no_more() -> None:
    """Lee and Seung's multiplicative updates, in NumPy, the best of five starts."""
    values = np.random.default_rng(1).gamma(0.5, 1.0, (120, 18))
    best = np.inf
    for seed in range(5):
        rng = np.random.default_rng(seed)
        w, h = rng.random((120, 5)) + 0.1, rng.random((5, 18)) + 0.1
        for _ in range(500):
            h *= (w.T @ values) / (w.T @ w @ h + 1e-12)
            w *= (values @ h.T) / (w @ h @ h.T + 1e-12)
        best = min(best, np.square(values - w @ h).sum() / np.square(values).sum())
    assert factors(values, 5).unexplained < 1.03 * best


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 30), st.integers(1, 12), st.integers(1, 8), st.integers(0, 10**6))
def test_shares_add_up_and_nothing_is_negative(positions: int, filters: int, groups: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.maximum(rng.normal(size=(positions, filters)), 0) * (rng.random((positions, 1)) < 0.8)
    found = factors(values, groups)
    if not values.any():
        assert found is None
        return
    assert 1 <= len(found.share) <= min(groups, positions, filters)
    assert (found.weights >= 0).all() and (found.amounts >= 0).all() and (found.share >= 0).all()
    np.testing.assert_allclose(np.linalg.norm(found.weights, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(found.share.sum() + found.unexplained, 1, atol=1e-5)
    left = np.square(values - found.amounts.astype(float) @ found.weights).sum() / np.square(values).sum()
    np.testing.assert_allclose(found.unexplained, left, atol=1e-5)
    assert (np.diff(found.share) <= 1e-6).all() and np.isnan(found.likeness).all()
    larger = factors(1000 * values, groups)
    np.testing.assert_allclose(larger.weights, found.weights, atol=1e-4)
    np.testing.assert_allclose(larger.amounts, 1000 * found.amounts, atol=0.1 * max(1.0, values.max()))


def test_shares_of_groups_that_share_no_filter_are_their_energies() -> None:
    values = np.zeros((40, 6))
    values[:10, :2], values[10:30, 2:4], values[30:, 4:] = 3, 1, 1
    found = factors(values, 3)
    np.testing.assert_allclose(found.share, np.array([180, 40, 20]) / 240, atol=1e-3)
    assert found.unexplained < 1e-6
    assert [np.flatnonzero(row > 0.1).tolist() for row in found.weights] == [[0, 1], [2, 3], [4, 5]]


def test_there_are_no_more_groups_than_something_explains() -> None:
    alone = np.outer(np.arange(5.0), [1.0, 2.0, 0.0])
    found = factors(alone, 6)
    assert len(found.share) <= 2 and found.share.sum() > 0.999
    np.testing.assert_allclose(found.weights, np.tile([1, 2, 0], (len(found.share), 1)) / np.sqrt(5), atol=0.05)
    single = factors(np.array([[2.0], [3.0]]), 4)
    assert single.weights.tolist() == [[1.0]] and len(single.share) == 1
    assert factors(np.zeros((4, 3)), 2) is None and factors(-np.ones((4, 3)), 2) is None


def test_values_below_zero_count_as_zero_and_that_is_said() -> None:
    values, _ = grouped_values()
    mixed = values.copy()
    mixed[:, 0] = -2.0
    found, without = factors(mixed, 4), factors(np.maximum(mixed, 0), 4)
    np.testing.assert_array_equal(found.weights, without.weights)
    np.testing.assert_allclose(found.clipped, 4 * len(values) / np.square(mixed).sum(), rtol=1e-6)
    assert without.clipped == 0


def test_groups_keep_the_places_of_those_most_like_them() -> None:
    values, _ = grouped_values()
    first = factors(values, 4)
    order = [2, 0, 3, 1]
    again = factors(values, 4, earlier=first.weights[order])
    np.testing.assert_allclose(again.weights, first.weights[order], atol=1e-6)
    np.testing.assert_allclose(again.share, first.share[order], atol=1e-6)
    np.testing.assert_allclose(again.amounts, first.amounts[:, order], atol=1e-4)
    np.testing.assert_allclose(again.likeness, 1, atol=1e-5)
    more = factors(values, 4, earlier=first.weights[[3, 1]])        # two places are new
    np.testing.assert_allclose(more.weights[:2], first.weights[[3, 1]], atol=1e-6)
    assert np.isnan(more.likeness[2:]).all() and more.share[2] >= more.share[3]
    fewer = factors(values[:, :6], 2, earlier=np.eye(4, 6))
    assert len(fewer.share) == 2 and np.isfinite(fewer.likeness).all()
    other = factors(values, 4, earlier=np.ones((4, 3)))             # of a layer with other filters
    np.testing.assert_array_equal(other.weights, first.weights)


def test_too_few_steps_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    values, _ = grouped_values()
    monkeypatch.setattr(analysis, "STEPS", 1)
    assert not factors(values, 4).settled


# On a model


def relus(kernel: np.ndarray, size: int = 8) -> Any:
    """A layer whose values are known: a 1 × 1 convolution."""
    inputs = keras.Input((size, size, kernel.shape[0]))
    model = keras.Model(inputs, L.Conv2D(kernel.shape[1], 1, activation="relu", use_bias=False, name="conv")(inputs))
    model.get_layer("conv").set_weights([kernel[None, None]])
    return model


def test_groups_of_a_layer_are_found_where_they_act() -> None:
    kernel = np.array([[1, 2, 0, 0, 0], [0, 0, 1, 0, 3]], np.float32)           # channel 0: filters 0 and 1; channel 1: 2 and 4
    x = np.zeros((2, 8, 8, 2), np.float32)
    x[0, :4, :, 0], x[0, 5:, :3, 1], x[1, 2:5, 2:5, 1] = 1, 2, 1
    found = factorise(relus(kernel), "conv", x, groups=2)
    of_second, of_first = found.maps[:, 0], found.maps[:, 1]        # the second channel has more energy
    np.testing.assert_allclose(found.weights, [np.array([0, 0, 1, 0, 3]) / np.sqrt(10), np.array([1, 2, 0, 0, 0]) / np.sqrt(5)],
                               atol=1e-3)  # fmt: skip
    np.testing.assert_allclose(of_second / 255 * found.largest[0], x[..., 1] * np.sqrt(10), atol=0.02)
    np.testing.assert_allclose(of_first / 255 * found.largest[1], x[..., 0] * np.sqrt(5), atol=0.02)
    energy = np.array([(9 * 4 + 9) * 10, 32 * 5])
    np.testing.assert_allclose(found.share, energy / energy.sum(), atol=1e-3)
    assert found.unexplained < 1e-4 and found.full_size == (8, 8) and found.note == "" and found.reached.all()
    # The image of a group, a single pixel as the units' fields are, has more of its own channel, as shares of the range.
    assert found.images.shape == (2, 1, 1, 2)
    shares = found.images[:, 0, 0] / [1, 2]
    assert shares[0, 1] > 0.2 + shares[0, 0] and shares[1, 0] > 0.2 + shares[1, 1]


def test_the_image_of_a_group_is_the_shape_that_its_filters_look_for() -> None:
    rng = np.random.default_rng(0)
    shown = np.concatenate([with_shape(0, 3, rng), with_shape(2, 3, rng)])       # rings and pluses
    found = factorise(detectors(), "shapes", shown, groups=2, probe=np.concatenate([shown, planted.pictures(60)]))
    assert sorted(found.weights.argmax(axis=1)) == [0, 2]
    for weights, image, maps in zip(found.weights, found.images, np.moveaxis(found.maps, 1, 0), strict=True):
        which = int(weights.argmax())
        assert alike(image[..., 0]) == which
        of_shape = maps.reshape(2, 3, -1).max(axis=2)
        assert of_shape[0 if which == 0 else 1].min() > 2 * of_shape[1 if which == 0 else 0].max()


def test_one_image_a_dense_layer_and_what_there_is_to_say() -> None:
    keras.utils.set_random_seed(1)
    net, (x, _) = sequential(), images(20)
    active = np.count_nonzero(fw.explain.activations(net, "conv", x[:1])["conv"].any(axis=(0, 1, 2)))
    one, several = factorise(net, "conv", x[0], groups=9), factorise(net, "conv", x[:1], groups=9)
    np.testing.assert_array_equal(one.maps, several.maps)
    assert one.samples.tolist() == [0] and one.note == f"{active} of 9 groups: more would explain nothing"
    dense = factorise(net, "dense", x, groups=2, images=False)
    assert dense.maps.shape == (20, 2, 1, 1) and "the layer has no positions: samples take their place" in dense.note
    assert not dense.pixels.size
    values = fw.explain.activations(net, "dense", x)["dense"]
    left = np.square((dense.maps[:, :, 0, 0] / 255 * dense.largest) @ dense.weights - values).sum() / np.square(values).sum()
    assert abs(left - dense.unexplained) < 0.005


def test_large_maps_are_pooled_and_1d_ones_are_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST", 4)
    kernel = np.array([[1, 2, 0], [0, 0, 1]], np.float32)
    x = np.zeros((1, 8, 8, 2), np.float32)
    x[0, :4, :, 0], x[0, 5, 5, 1] = 1, 1
    found = factorise(relus(kernel), "conv", x, groups=2, images=False)
    assert found.maps.shape == (1, 2, 4, 4) and found.full_size == (8, 8) and found.note == "of means over 2 positions × 2"
    np.testing.assert_allclose(found.maps[0, 1] / 255 * found.largest[1], np.pad([[0.25]], ((2, 1), (2, 1))), atol=0.01)
    keras.utils.set_random_seed(2)          # two filters at least are not dead
    inputs = keras.Input((12, 2))
    line = keras.Model(inputs, L.Conv1D(3, 3, activation="relu", name="conv")(inputs))
    assert factorise(line, "conv", np.random.default_rng(0).random((2, 12, 2)), groups=2).maps.shape == (2, 2, 1, 4)


def test_several_inputs_have_groups_without_images() -> None:
    inputs = {"picture": keras.Input((8, 8, 1), name="picture"), "more": keras.Input((2,), name="more")}
    x = L.Conv2D(3, 3, activation="sigmoid", name="conv")(inputs["picture"])
    model = keras.Model(inputs, L.Dense(1)(L.Concatenate()([L.Flatten()(x), inputs["more"]])))
    rng = np.random.default_rng(0)
    found = factorise(model, "conv", {"picture": rng.random((2, 8, 8, 1)), "more": rng.random((2, 2))}, groups=2)
    assert found.maps.shape == (2, 2, 6, 6) and not found.pixels.size
    assert "no feature images: models of several inputs" in found.note


def test_what_has_no_groups_is_refused() -> None:
    model, x = relus(np.array([[-1.0, -2.0]], np.float32)), np.ones((1, 8, 8, 1), np.float32)
    with pytest.raises(ValueError, match="layer 'conv': no filter rises above 0"):
        factorise(model, "conv", x)
    for groups in (0, 1.5, True):
        with pytest.raises(ValueError, match="groups="):
            factorise(model, "conv", -x, groups)
    with pytest.raises(ValueError, match="there is none"):
        factorise(model, "conv", x[:0])


def test_the_examples_run() -> None:
    net = sequential()
    found = doctest.testmod(module, extraglobs={"net": net, "x": X, "factorise": factorise})
    assert found.attempted >= 2 and not found.failed
