"""From what an ascent starts: each start is what it says, several are compared, and a unit that none reaches is reported."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import featwatch as fw
from featwatch.explain.ascent.bounds import bounds_of
from featwatch.explain.ascent.frame import Frame
from featwatch.explain.ascent.images import painter_of
from featwatch.explain.ascent.starts import Starts
from featwatch.layers import choose
from tests import planted

L = keras.layers


@pytest.fixture(scope="module")
def model() -> Any:
    return planted.net()


@pytest.fixture(scope="module")
def probe() -> fw.Probe:
    return fw.Probe(planted.pictures())


def starts(pictures: np.ndarray, size: tuple[int, int] = (4, 5)) -> Starts:
    (height, width), (rows, columns) = pictures.shape[1:3], size
    frame = Frame(size, (2, 3), (0, 0), (0, rows - 1, 0, columns - 1), (1, 1), True)  # type: ignore[arg-type]
    return Starts(frame, (height - rows + 1, width - columns + 1), bounds_of(pictures), pictures)


def test_each_start_by_hand() -> None:
    random = np.random.default_rng(0)
    pictures = random.normal(5, 2, (30, 9, 10, 3)).astype(np.float32)
    some = starts(pictures)
    np.testing.assert_allclose(some.mean(2), pictures[:, 2:6, 3:8].mean(axis=0)[None].repeat(2, axis=0), rtol=1e-5)
    low, high = np.percentile(pictures.reshape(-1, 3), (0.1, 99.9), axis=0)
    np.testing.assert_allclose(some.empty(1)[0, 0, 0], np.clip(0, low, high), rtol=1e-4)
    # Units of a 6 × 6 map: number 8 is the one in row 1, column 2.
    cuts = some.cuts(np.array([[4, 7], [0, 0]]), np.array([[0, 8], [35, 8]]))
    expected = [[pictures[4, :4, :5], pictures[7, 1:5, 2:7]], [pictures[0, 5:9, 5:10], pictures[0, 1:5, 2:7]]]
    np.testing.assert_array_equal(cuts, np.array(expected))
    np.testing.assert_allclose(some.patches(cuts, 0, 0), cuts.mean(axis=1))
    np.testing.assert_array_equal([some.patch(cuts, i)[0] for i in range(3)], cuts[0, [0, 1, 0]])
    drawn = some.patches(cuts, 3, 0)
    assert (drawn >= cuts.min(axis=1) - 1e-6).all() and (drawn <= cuts.max(axis=1) + 1e-6).all()
    crops = some.crops(400, 0, 0)
    assert crops.shape == (400, 4, 5, 3)                                            # means of four: half as spread
    assert crops.std() == pytest.approx(pictures.std() / 2, rel=0.1) and crops.mean() == pytest.approx(5, rel=0.02)
    assert not np.array_equal(crops[0], crops[1]) and np.array_equal(crops, some.crops(400, 0, 0))


def test_what_is_beyond_the_picture_is_as_padding_is_seen() -> None:
    pictures = np.random.default_rng(0).uniform(1, 2, (5, 9, 10, 1)).astype(np.float32)
    frame = Frame((4, 4), (2, 2), (1, 1), (0, 3, 0, 3), (1, 1), True)  # type: ignore[arg-type]
    cut = Starts(frame, (9, 10), bounds_of(pictures), pictures).cuts(np.array([[0]]), np.array([[0]]))[0, 0, ..., 0]
    np.testing.assert_array_equal(cut[1:, 1:], pictures[0, :3, :3, 0])              # it would begin a pixel before the picture
    lowest = np.percentile(pictures, 0.1)                                           # zero is no value of this data
    np.testing.assert_allclose(np.concatenate([cut[0], cut[:, 0]]), lowest, rtol=1e-5)


@pytest.mark.parametrize("init", ["patches", "patch", "crops", "noise", "mean", "empty"])
def test_every_start_shows_most_planted_shapes(model: Any, probe: fw.Probe, init: str) -> None:
    shown = fw.explain.feature_images(model, "shapes", probe=probe, init=init)
    assert shown.init == init and shown.reached.all()
    assert planted.identified(shown.images) >= (0.5 if init == "empty" else 0.9)
    np.testing.assert_array_equal(fw.explain.feature_images(model, "shapes", probe=probe, init=init).pixels, shown.pixels)


def test_without_samples_it_is_noise_and_the_record_says_so(model: Any) -> None:
    for init in ("patches", "patch", "crops", "mean"):
        assert fw.explain.feature_images(model, "shapes", [0], init=init, steps=1).init == "noise"
    assert fw.explain.feature_images(model, "shapes", [0], init="empty", steps=1).init == "empty"


@pytest.mark.parametrize("init", ["patches", "patch", "noise", "mean", "crops"])
def test_of_several_starts_the_best_the_mean_or_all(model: Any, probe: fw.Probe, init: str) -> None:
    choices: dict[str, Any] = {"probe": probe, "init": init, "steps": 12, "starts": 3, "snapshots": [4]}
    every = fw.explain.feature_images(model, "shapes", [2, 6], keep="all", **choices)
    assert every.filters.tolist() == [2, 2, 2, 6, 6, 6] and every.snapshot_pixels.shape[:2] == (6, 1)
    of_each = every.activation.reshape(2, 3)
    assert len(np.unique(of_each)) == 6                                             # they are not the same start
    best = fw.explain.feature_images(model, "shapes", [2, 6], keep="best", **choices)
    chosen = [0, 3] + of_each.argmax(axis=1)
    np.testing.assert_array_equal(best.pixels, every.pixels[chosen])
    np.testing.assert_array_equal(best.snapshot_pixels, every.snapshot_pixels[chosen])
    np.testing.assert_array_equal(best.activation, of_each.max(axis=1))
    np.testing.assert_array_equal(best.features, every.features[chosen])
    mean = fw.explain.feature_images(model, "shapes", [2, 6], keep="mean", **choices)
    expected = every.images.reshape(2, 3, *every.images.shape[1:]).mean(axis=1)
    margin = 0.02 * (every.high - every.low) + 1 / 255                              # of starts, from the ends of the range
    assert np.abs(mean.images - expected).max() <= margin
    single = fw.explain.feature_images(model, "shapes", [2, 6], **{**choices, "starts": 1})
    np.testing.assert_array_equal(single.pixels, every.pixels[[0, 3]])


def shut(bias: float) -> Any:
    """Units that are off unless nine pixels sum to more than −bias; the data's brightest pictures do, the others do not."""
    inputs = keras.Input((9, 9, 1))
    hidden = L.Conv2D(4, 3, activation="relu", bias_initializer=keras.initializers.Constant(bias), kernel_initializer="ones")
    return keras.Model(inputs, L.Conv2D(2, 3, name="out", kernel_initializer="ones")(hidden(inputs)))


def test_crops_are_drawn_anew_until_a_gradient_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one picture in three is bright: of four crops drawn three have to be, which takes several draws."""
    x = np.full((60, 9, 9, 1), 0.05, np.float32)
    x[::3] = 0.95
    net = shut(-6.2)
    draws: list[int] = []
    crops = Starts.crops
    monkeypatch.setattr(Starts, "crops", lambda self, *args: draws.append(1) or crops(self, *args))
    monkeypatch.setattr("featwatch.explain.ascent.ascent.REDIRECTED_STEPS", 0)
    shown = fw.explain.feature_images(net, "out", probe=x, init="crops", bounds=(0, 1), guard=None)
    assert len(draws) > 3 and shown.reached.all() and (shown.activation > 0).all()
    draws.clear()
    monkeypatch.setattr("featwatch.explain.ascent.painter.TRIES", 1)
    assert not fw.explain.feature_images(net, "out", probe=x[1:3], init="crops", bounds=(0, 1), guard=None).reached.any()
    monkeypatch.setattr("featwatch.explain.ascent.painter.TRIES", 100)
    draws.clear()
    dead = fw.explain.feature_images(shut(-1000.0), "out", [0], probe=x, init="crops", bounds=(0, 1))
    assert len(draws) == 100 and not dead.reached.any()                             # no more than a hundred times


def test_the_start_is_subtracted_before_the_second_ascent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit that looks at the middle pixel only: what the crops showed elsewhere is gone from the image."""
    net = keras.Sequential([keras.Input((7, 7, 1)), L.Conv2D(1, 5, name="here", use_bias=False)])
    kernel = np.zeros((5, 5, 1, 1), np.float32)
    kernel[2, 2] = 1.0
    net.get_layer("here").set_weights([kernel])
    x = np.random.default_rng(0).random((40, 7, 7, 1), np.float32)
    shown = fw.explain.feature_images(net, "here", probe=x, init="crops", total_variation=0.0, basis="pixels")
    image = shown.images[0, ..., 0]
    assert image[2, 2] > 0.9
    around = np.delete(image.ravel(), 12)
    assert np.abs(around - x.mean()).max() < 0.02


def test_a_gradient_is_told_from_none() -> None:
    net = shut(-6.0)
    x = np.random.default_rng(0).random((20, 9, 9, 1), np.float32)
    painter = painter_of(net, choose(net, "out")[0], fw.Probe(x))
    ascent, basis = painter._traces.ascent, painter._traces.basis
    bright, dark = (basis.start(np.full((1, 5, 5, 1), value)) for value in (0.9, 0.1))
    directions = painter.directions(np.array([0, 1]))
    assert ascent.arrives(np.concatenate([bright, dark]), directions).tolist() == [True, False]
    values = ascent.values(np.concatenate([np.full((1, 5, 5, 1), v, np.float32) for v in (0.9, 0.1)]), directions)
    np.testing.assert_allclose(values, [4 * 9 * (9 * 0.9 - 6), 0], rtol=1e-4)
    assert tf.executing_eagerly()
