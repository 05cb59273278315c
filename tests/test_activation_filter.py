"""Activation filtering: what is behind it against NumPy and TensorFlow, planted objects, and any kind of model."""

from __future__ import annotations

import doctest
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import featwatch as fw
from featwatch.explain import filtering
from featwatch.explain.fields.fields import site_of
from featwatch.explain.filtering import blurring, enlarging, filtered_feature_images, modulator_of, preserved
from featwatch.explain.subject import subject_of
from tests import planted
from tests.nets import functional, images, sequential

L = keras.layers


# The parts


@pytest.mark.parametrize(("count", "size"), [(7, 28), (8, 8), (5, 17), (18, 28)])
def test_enlarging_is_tensorflows_lanczos_where_units_lie_evenly(count: int, size: int) -> None:
    maps = np.random.default_rng(0).random((1, count, count, 1)).astype(np.float32)
    theirs = tf.image.resize(maps, (size, size), "lanczos3").numpy()[0, ..., 0]
    matrix = enlarging(size, count, size / count / 2 - 0.5, size / count)
    np.testing.assert_allclose(matrix @ maps[0, ..., 0] @ matrix.T, theirs, atol=1e-4)


@given(st.integers(1, 20), st.integers(1, 12), st.floats(-3, 9), st.floats(0.5, 5))
def test_enlarging_keeps_a_constant_and_meets_the_values_at_their_places(
    size: int, count: int, first: float, pitch: float
) -> None:
    matrix = enlarging(size, count, first, pitch)
    np.testing.assert_allclose(matrix.sum(axis=1), 1)
    values = np.random.default_rng(0).random(count)
    for place in range(size):
        unit = (place - first) / pitch
        if abs(unit - round(unit)) < 1e-9 and 0 <= round(unit) < count:
            assert matrix[place] @ values == pytest.approx(values[round(unit)], abs=1e-6)


def test_blurring_is_a_gaussian() -> None:
    from scipy.ndimage import gaussian_filter1d

    spike = np.zeros(61)
    spike[30] = 1
    np.testing.assert_allclose(blurring(61, 3.0) @ spike, gaussian_filter1d(spike, 3.0, truncate=9), atol=1e-6)


MAPS = arrays.arrays(np.float64, (3, 4, 5), elements=st.floats(0, 9, width=32))


@settings(deadline=None)
@given(MAPS, MAPS, st.floats(0.05, 1))
def test_the_score_is_one_only_of_equal_maps(before: np.ndarray, after: np.ndarray, share: float) -> None:
    before += 0.1
    score = preserved(before, after)
    assert (score >= 0).all() and (score <= 1 + 1e-6).all()
    np.testing.assert_allclose(preserved(before, before), 1, rtol=1e-6)
    np.testing.assert_allclose(preserved(before, share * before), share, rtol=1e-5)
    np.testing.assert_allclose(preserved(after + 0.1, before), preserved(before, after + 0.1), rtol=1e-6)
    assert (score < 1)[np.abs(before - after).max(axis=(1, 2)) > 1e-2].all()


def test_the_score_of_maps_apart_is_nothing_and_of_no_map_unknown() -> None:
    apart = np.zeros((2, 3))
    apart[0, 0] = 1
    assert preserved(apart, apart[:, ::-1])[0] == 0 and np.isnan(preserved(apart, apart)[1])


# Planted objects


def sharp() -> Any:
    """The planted net, whose filters answer to their shape alone: with a threshold."""
    base = planted.net()
    edges = base.get_layer("edges")
    shapes = L.Conv2D(12, 9, activation="relu", name="shapes")
    model = keras.Model(base.inputs, shapes(edges.output))
    shapes.set_weights([base.get_layer("shapes").get_weights()[0], np.full(12, -2.5, np.float32)])
    return model


HERE, THERE = np.s_[2:13, 2:13], np.s_[15:26, 15:26]
PAIRS = [(0, 5), (2, 8), (3, 1), (6, 0), (11, 4), (9, 3)]


def two_objects(shape: int, other: int, seed: int = 0) -> np.ndarray:
    x = 0.15 * np.random.default_rng(seed).random((28, 28, 1)).astype(np.float32)
    x[(*HERE, 0)] = np.maximum(x[(*HERE, 0)], planted.shapes()[shape])
    x[(*THERE, 0)] = np.maximum(x[(*THERE, 0)], planted.shapes()[other])
    return x


@pytest.mark.parametrize(("shape", "other"), PAIRS)
def test_the_object_that_the_filter_does_not_answer_to_is_removed(shape: int, other: int) -> None:
    x = two_objects(shape, other)
    model = sharp()
    found = fw.explain.activation_filter(model, "shapes", x[None], [shape, other])
    assert found.preserved.shape == (2, 1) and (found.preserved >= 0.8).all()
    before = np.abs(x - found.neutral)
    for number, (mine, foreign) in enumerate([(HERE, THERE), (THERE, HERE)]):
        after = np.abs(found.filtered[number, 0] - found.neutral)
        assert after[mine].sum() > 0.75 * before[mine].sum()
        assert after[foreign].sum() < 0.1 * before[foreign].sum()
    # The score is what the model itself says of the image.
    maps = model.predict(np.concatenate([x[None], found.filtered[0]]), verbose=0)[..., shape]
    expected = (maps[0] * maps[1]).sum() / np.square(maps).sum(axis=(1, 2)).max()
    assert found.preserved[0, 0] == pytest.approx(expected, rel=1e-3)
    np.testing.assert_allclose(found.maps_after[0, 0], maps[1], rtol=1e-3, atol=1e-4)


def test_the_formula_by_hand() -> None:
    """Mask, neutral value, search over the grid: once more with SciPy and the model's own predictions."""
    from scipy.ndimage import gaussian_filter

    x, model = two_objects(6, 0), sharp()
    found = fw.explain.activation_filter(model, "shapes", x[None], 6, threshold=0.9)
    a = model.predict(x[None], verbose=0)[0, ..., 6]
    large = np.zeros((28, 28))
    large[5:23, 5:23] = a / a.max()                 # units see 11 pixels from their own place on; outermost values go on
    large = np.pad(large[5:23, 5:23], 5, mode="constant")
    best: tuple[float, Any] = (0.0, None)
    for smoothing in filtering.SMOOTHINGS:
        m = gaussian_filter(large, smoothing * 11, mode="constant", truncate=9) if smoothing else large
        m = np.clip(2 * m / m.max(), 0, 1)
        for strength in filtering.STRENGTHS:
            y = x.mean() + (1 - strength * (1 - m))[..., None] * (x - x.mean())
            b = model.predict(y[None], verbose=0)[0, ..., 6]
            score = (a * b).sum() / max((a * a).sum(), (b * b).sum())
            removed = strength * (1 - m).mean()
            if score >= 0.9 and removed > best[0]:
                best = removed, y
    assert found.removed[0, 0] == pytest.approx(best[0], abs=0.02)
    assert np.abs(found.filtered[0, 0] - best[1]).mean() < 0.02


def everywhere() -> Any:
    inputs = keras.Input((12, 12, 2))
    conv = L.Conv2D(3, 3, padding="same", activation="relu", name="conv")
    model = keras.Model(inputs, conv(inputs))
    kernel = np.zeros((3, 3, 2, 3), np.float32)
    conv.set_weights([kernel, np.array([1.0, 0.0, -1.0], np.float32)])      # always on, at zero, always off
    return model


def test_a_filter_that_answers_everywhere_changes_nothing_and_one_that_never_does_is_said() -> None:
    x = np.random.default_rng(0).random((4, 12, 12, 2)).astype(np.float32)
    found = fw.explain.activation_filter(everywhere(), "conv", x, None)
    np.testing.assert_allclose(found.filtered, np.stack([x] * 3), atol=1e-6)
    assert (found.preserved[0] == 1).all() and np.isnan(found.preserved[1:]).all()
    assert (found.strength == 0).all() and (found.removed == 0).all()


@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.9, 1.0])
def test_as_much_as_asked_for_survives_and_less_is_taken_out_for_it(threshold: float) -> None:
    keras.utils.set_random_seed(0)
    x = images(8)[0]
    model = functional()
    found = fw.explain.activation_filter(model, "last", x, None, threshold=threshold, probe=images(60)[0])
    known = np.isfinite(found.preserved)
    assert known.any() and (found.preserved[known] >= threshold - 1e-6).all()
    all_out = fw.explain.activation_filter(model, "last", x, None, threshold=0.0).removed
    assert (found.removed <= all_out + 1e-6).all()
    np.testing.assert_allclose(found.neutral, images(60)[0].mean(), rtol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.25])
def test_the_mask_is_tensorflows_resized_map_without_what_it_undershoots(smoothing: float) -> None:
    inputs = keras.Input((24, 24, 1))
    pooled = L.MaxPooling2D(4, name="pool")(L.Conv2D(1, 3, padding="same", name="conv")(inputs))
    model = keras.Model(inputs, pooled)
    maps = np.zeros((1, 6, 6), np.float32)
    maps[0, 2, 3], maps[0, 4, 1] = 2, 1
    large = tf.image.resize(maps[..., None], (24, 24), "lanczos3").numpy()[0, ..., 0] / 2
    assert large.min() < -0.01
    blur = blurring(24, smoothing * 6)              # units see 6 pixels
    smooth = blur @ np.clip(large, 0, 1) @ blur.T
    mask = modulator_of(model, subject_of(model, "pool")).masks(maps, smoothing)[0]
    np.testing.assert_allclose(mask, np.clip(2 * smooth / smooth.max(), 0, 1), atol=1e-4)


def test_the_mask_lies_where_the_units_see() -> None:
    """Valid padding and a stride: a lone unit's mask is centred on its receptive field, at the borders too."""
    inputs = keras.Input((40, 30, 1))
    model = keras.Model(inputs, L.Conv2D(1, 7, strides=4, activation="relu", name="conv")(inputs))
    modulator = modulator_of(model, subject_of(model, "conv"))
    rows, columns = modulator._map_size
    for unit in [(0, 0), (rows - 1, columns - 1), (3, 2), (0, columns - 1)]:
        maps = np.zeros((1, rows, columns), np.float32)
        maps[(0, *unit)] = 1
        mask = modulator.masks(maps, 0.25)[0]
        box = fw.explain.receptive_field(model, "conv", unit)
        middle = [(low + high) / 2 for low, high in zip(box.lo, box.hi, strict=True)]
        # What lies outside the outermost units' centres is theirs, too.
        off = 1 if unit == (3, 2) else 3
        assert all(abs(top - m) <= off for top, m in zip(np.argwhere(mask == 1).mean(axis=0), middle, strict=True))
        inside = mask[box.lo[0] : box.hi[0] + 1, box.lo[1] : box.hi[1] + 1]
        assert inside.mean() > 0.6 > mask.mean() and mask.sum() < 4 * inside.size


# Models


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.conv = L.Conv2D(4, 3, activation="relu", name="conv")

    def call(self, x: Any) -> Any:
        return self.conv(x)


@pytest.mark.parametrize("net", ["sequential", "nested", "subclassed", "half", "sequence", "channels first"])
def test_any_model(net: str) -> None:
    keras.utils.set_random_seed(2)
    x = images(5)[0] if net != "sequence" else np.random.default_rng(0).random((5, 30, 2)).astype(np.float32)
    model: Any = sequential() if net == "sequential" else functional() if net == "nested" else Subclassed()
    if net == "half":
        model = keras.Sequential([keras.Input((8, 8, 1)), L.Conv2D(4, 3, activation="relu", name="conv", dtype="mixed_float16")])
    if net == "sequence":
        model = keras.Sequential([keras.Input((30, 2)), L.Conv1D(4, 5, activation="relu", name="conv")])
    if net == "channels first":
        x = np.moveaxis(images(5, (8, 7, 3))[0], -1, 1)
        model = keras.Sequential([
            keras.Input((3, 8, 7)), L.Conv2D(4, 3, activation="relu", name="conv", data_format="channels_first"),
        ])  # fmt: skip
    model(x)
    weights = [w.copy() for w in model.get_weights()]
    found = fw.explain.activation_filter(model, "block/inner" if net == "nested" else "conv", x, [1, 3])
    assert found.filtered.shape == (2, *x.shape) and found.maps.shape[:2] == (2, 5)
    unchanged = found.strength == 0
    np.testing.assert_allclose(found.filtered[unchanged], np.stack([x, x])[unchanged], atol=1e-6)
    known = np.isfinite(found.preserved)
    assert known.any() and (found.preserved[known] >= 0.8).all() and np.isfinite(found.filtered).all()
    assert all((one == other).all() for one, other in zip(weights, model.get_weights(), strict=True))


@pytest.mark.parametrize(
    ("layer", "options", "message"),
    [
        ("dense", {}, "no map that lies over the input"),
        ("conv", {"threshold": 1.5}, "threshold=1.5"),
        ("conv", {"filters": [7]}, "filters 0 to 3"),
        ("conv", {"probe": np.zeros((3, 5, 5, 1))}, "expected"),
    ],
)
def test_what_cannot_be_is_refused(layer: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fw.explain.activation_filter(sequential(), layer, images(3)[0], **{"filters": None, **options})


# Feature images


def test_feature_images_of_the_whole_input_show_less_after_filtering() -> None:
    x = np.stack([two_objects(f, g, seed) for seed, (f, g) in enumerate(PAIRS * 4)])
    model, probe = sharp(), fw.Probe(x)
    filters = np.array([0, 2, 3])
    maxima = model.predict(x, verbose=0).max(axis=(1, 2))
    strongest = maxima[:, filters].argmax(axis=0)
    found = filtered_feature_images(model, site_of(model, "shapes"), probe, filters, strongest, steps=8)
    assert found["filtered_filters"].tolist() == filters.tolist()
    assert found["whole_pixels"].shape == found["filtered_pixels"].shape == (3, 28, 28, 1)
    assert (found["preserved"] >= 0.8).all() and found["filtered_pixels"].dtype == np.uint8
    spread = [pixels.astype(float).std(axis=(1, 2, 3)) for pixels in (found["whole_pixels"], found["filtered_pixels"])]
    assert (spread[1] <= spread[0] + 1).all()
    again = filtered_feature_images(model, site_of(model, "shapes"), probe, filters, strongest, steps=8)
    assert all((found[name] == again[name]).all() for name in found)
    record = fw.explain.feature_images(model, "shapes", filters, probe=probe, steps=2)
    assert set(found) <= {name for name in vars(record)}


def test_the_score_of_a_feature_image_is_the_models_own() -> None:
    keras.utils.set_random_seed(4)
    model, x = functional(), images(40)[0]
    found = filtered_feature_images(model, site_of(model, "stem"), fw.Probe(x), np.array([1, 2]), np.array([5, 6]), steps=4)
    record = fw.explain.feature_images(model, "stem", [1, 2], probe=fw.Probe(x), steps=2)
    span = record.high - record.low
    before, after = (record.low + found[name] / 255 * span for name in ("whole_pixels", "filtered_pixels"))
    a, b = (fw.explain.activations(model, "stem", one.astype(np.float32))["stem"] for one in (before, after))
    for i, number in enumerate((1, 2)):
        one, other = a[i, ..., number], b[i, ..., number]
        expected = (one * other).sum() / max(np.square(one).sum(), np.square(other).sum())
        if np.isfinite(found["preserved"][i]):
            assert found["preserved"][i] == pytest.approx(expected, abs=0.02)       # bytes are rounded


def test_the_examples_are_true() -> None:
    names = {"net": sequential(), "x": images(20)[0], "np": np, "fw": fw, "site_of": site_of}
    found = doctest.testmod(filtering, extraglobs=names)
    assert found.attempted and not found.failed
