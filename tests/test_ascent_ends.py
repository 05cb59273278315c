"""Where ascents end: images that are done are no longer computed, and give what they would have given."""

from __future__ import annotations

import time
from typing import Any

import keras
import numpy as np
import pytest

import featwatch as fw
from featwatch.explain.ascent import ascent, objective
from featwatch.explain.ascent.ascent import Ascent
from tests import planted
from tests.test_ascent import padded

GUARD, SNAPSHOTS = 0.05, (2, 7, 20, 50)


@pytest.fixture(scope="module")
def model() -> Any:
    return planted.net()


@pytest.fixture(scope="module")
def probe() -> fw.Probe:
    return fw.Probe(planted.pictures())


@pytest.mark.parametrize("init", ["patches", "patch"])
def test_an_image_is_the_same_whether_others_are_done_or_not(
    model: Any, probe: fw.Probe, monkeypatch: pytest.MonkeyPatch, init: str
) -> None:
    given = {"probe": probe, "init": init, "guard": GUARD, "snapshots": SNAPSHOTS}
    thinned = fw.explain.feature_images(model, "shapes", **given)
    assert len(set(thinned.stopped.tolist())) > 3 and 0 < thinned.stopped.min() < 50
    monkeypatch.setattr(ascent, "_THINNED", ())
    whole = fw.explain.feature_images(model, "shapes", **{**given, "snapshots": ()})
    np.testing.assert_array_equal(thinned.stopped, whole.stopped)
    np.testing.assert_array_equal(thinned.reached, whole.reached)
    # The order of sums depends on how many images are computed side by side.
    assert np.abs(thinned.pixels.astype(int) - whole.pixels).max() <= 1
    for after, pictures in zip(SNAPSHOTS, np.moveaxis(thinned.snapshot_pixels, 1, 0), strict=True):
        done = thinned.stopped <= after
        np.testing.assert_array_equal(pictures[done], thinned.pixels[done])
    np.testing.assert_allclose(thinned.activation, whole.activation, rtol=1e-3)
    np.testing.assert_allclose(thinned.features, whole.features, rtol=1e-2, atol=1e-2)


def test_only_images_that_are_moving_are_computed(model: Any, probe: fw.Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    stretches: list[tuple[int, int, int]] = []
    run = Ascent._run

    def counted(self: Any, numbers: Any, directions: Any, span: tuple[int, int, int], *more: Any, **named: Any) -> Any:
        stretches.append((len(numbers), *span[:2]))
        return run(self, numbers, directions, span, *more, **named)

    monkeypatch.setattr(Ascent, "_run", counted)
    shown = fw.explain.feature_images(model, "shapes", probe=probe, guard=GUARD)
    climbed = [(count, begin, end) for count, begin, end in stretches if end]
    assert [begin for _, begin, _ in climbed][:3] == [0, 4, 12]
    for count, begin, _ in climbed:
        # Whether it ends at the first step of a stretch is only known there.
        assert count == (shown.stopped >= begin).sum() if begin else count == 12
    assert climbed[-1][0] < 12


def test_no_step_is_taken_after_the_last_image_is_done(model: Any, probe: fw.Probe) -> None:
    began = time.process_time()
    shown = fw.explain.feature_images(model, "shapes", [1, 2], probe=probe, guard=1e-3, steps=1_000_000)
    assert time.process_time() - began < 20             # all of them would take many minutes
    assert (shown.stopped > 0).all() and (shown.stopped < 256).all() and shown.steps == 1_000_000


def test_an_image_beyond_its_limit_is_reached_where_no_gradient_is_left() -> None:
    """By hand: −relu(x₀ + 1) − relu(x₁ + 1) is about −2 for the data, and 0, without a gradient, wherever an image may be.

    One step is taken in any case.
    """
    hidden = keras.layers.Dense(2, activation="relu", kernel_initializer="identity", bias_initializer="ones")
    down = keras.layers.Dense(1, name="down", kernel_initializer=keras.initializers.Constant(-1.0))
    model = keras.Sequential([keras.Input((2,)), hidden, down])
    x = np.random.default_rng(0).normal(0, 0.01, (20, 2)).astype(np.float32)
    shown = fw.explain.feature_images(
        model, "down", probe=fw.Probe(x), bounds=(-8, -3), basis="pixels", init="patch", guard=0.5
    )
    assert shown.activation == 0 and shown.stopped == 1 and shown.reached.all()


def test_the_place_of_a_unit_is_an_argument_of_what_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows are alike; the whole input, for units that see its padding, is traced once for all of them."""
    traces: list[int] = []
    reach = objective.reach
    monkeypatch.setattr(objective, "reach", lambda *args, **more: traces.append(1) or reach(*args, **more))
    net, x = padded(), fw.Probe(np.random.default_rng(0).random((30, 16, 16, 1), np.float32))
    units = {None: 2, (5, 9): 2, (9, 5): 2, (0, 15): 3, (15, 3): 3, (1, 2): 3, (6, 6): 3}
    found = {}
    for unit, expected in units.items():
        found[unit] = fw.explain.feature_images(net, "second", probe=x, unit=unit, steps=4)
        assert len(traces) == expected, unit
    net.get_layer("second").activation = keras.activations.linear
    for unit in ((0, 15), (15, 3), (1, 2)):
        values = net.predict(found[unit].images, verbose=0)[(np.arange(3), *unit, np.arange(3))]
        np.testing.assert_allclose(found[unit].activation, values, rtol=0.02, atol=0.02)
        assert found[unit].unit == unit and not found[unit].patch
