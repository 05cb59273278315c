"""The outlook: what would go at each share, what that saves, and what masking does to the outputs."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import featwatch as fw
from featwatch import wire
from featwatch.prune.anatomy import Anatomy
from featwatch.prune.candidates import candidates
from featwatch.prune.masking import Masks
from featwatch.prune.outlook import change, measured, spread, together
from featwatch.recorders.base import Look
from featwatch.records import PruningOutlook
from tests.fits import PROBE, X, fit, quick


def residual() -> Any:
    keras.utils.set_random_seed(0)
    x = keras.Input((8, 8, 1))
    first = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="conv")(x)
    second = keras.layers.Conv2D(8, 3, padding="same", use_bias=False, name="second")(first)
    second = keras.layers.BatchNormalization(name="norm")(second)
    both = keras.layers.Add()([first, keras.layers.Activation("sigmoid")(second)])
    pooled = keras.layers.GlobalAveragePooling2D()(both)
    hidden = keras.layers.Dense(10, activation="relu", name="hidden")(pooled)
    model = keras.Model(x, keras.layers.Dense(3, activation="softmax", name="out")(hidden))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def test_it_says_what_pruning_then_does(tmp_path: Path) -> None:
    model = residual()
    recorder = fw.PruningOutlook(ratios=(0.2, 0.5, 0.8), ignore="hidden", seconds=None)
    watch = quick(tmp_path, recorders=[recorder], strict=True, alerts=())
    fit(model, watch, epochs=2)
    before = [each.numpy() for each in model.variables]
    run = fw.load(tmp_path)
    outlook = run.outlook(2)
    assert outlook.layers.tolist() == ["conv", "second", "norm", "hidden", "out"]
    assert outlook.mixes.tolist() == [True, True, False, True, True] and outlook.fixed.tolist() == [0, 0, 0, 10, 3]
    assert outlook.frozen.tolist()[:3] == ["", "", ""] and "ignored" in outlook.frozen[3] and outlook.frozen[4]
    whole, turn = model.predict(PROBE.x, verbose=0), np.split(outlook.turn, np.cumsum(outlook.units)[:-1])
    for at, ratio in enumerate(outlook.ratios):
        plan = fw.prune.plan(model, ratio=round(float(ratio), 6), ignore="hidden")
        going = {name: count for name, count in zip(outlook.layers, outlook.going[at], strict=True) if count}
        assert {name: len(units) for name, units in plan.removed.items()} == going
        own = {name: np.flatnonzero(each <= ratio).tolist() for name, each in zip(outlook.layers, turn, strict=True)}
        assert ratio == 0 or {name: units for name, units in own.items() if units} == plan.removed
        small = plan.apply(model)
        given = small.predict(PROBE.x, verbose=0)
        assert outlook.parameters[at] == small.count_params()
        assert outlook.multiply_adds[at] == plan.savings.multiply_adds_after
        assert outlook.accuracy[at] == pytest.approx(np.mean(given.argmax(1) == PROBE.y))
        expected = np.sqrt(np.mean((given - whole) ** 2) / np.mean((whole - whole.mean(axis=0)) ** 2))
        assert outlook.change[at] == pytest.approx(expected, rel=1e-3, abs=1e-5)
    assert outlook.together.tolist() == [0, 0, 0, -1, -1]       # the sum's convolutions; what is ignored or gives the outputs
    for at, ratio in enumerate(outlook.ratios):
        plan = fw.prune.plan(model, ratio=round(float(ratio), 6), ignore="hidden", criterion="random")
        assert ratio == 0 or len(plan.removed["conv"]) == outlook.going[at, 0]
        given = plan.apply(model)(PROBE.x).numpy()
        assert outlook.random_accuracy[at] == pytest.approx(np.mean(given.argmax(1) == PROBE.y))
        expected = np.sqrt(np.mean((given - whole) ** 2) / np.mean((whole - whole.mean(axis=0)) ** 2))
        assert outlook.random_change[at] == pytest.approx(expected, rel=1e-3, abs=1e-5)
    assert (outlook.random_change[1:3] != outlook.change[1:3]).all()
    assert "60 samples, units masked" in outlook.note and "drawn once" in outlook.note and "no time" not in outlook.note
    assert all(np.array_equal(one, each.numpy()) for one, each in zip(before, model.variables, strict=True))
    read = wire.decode(wire.encode(outlook))
    assert read.going.tolist() == outlook.going.tolist()


def test_shares_without_time_are_left_out_evenly_and_that_is_said(tmp_path: Path) -> None:
    recorder = fw.PruningOutlook(seconds=1e-9)
    assert recorder.ratios == [index / 10 for index in range(10)]
    watch = quick(tmp_path, recorders=[recorder], strict=True, alerts=())
    fit(residual(), watch, epochs=1)
    outlook = fw.load(tmp_path).outlook(1)
    assert np.isfinite(outlook.parameters).all()
    assert np.isnan(outlook.accuracy).all() and "tracing" in outlook.note        # so little that it is not even traced
    asked: list[int] = []

    class Each:
        def at(self, index: int) -> Any:
            asked.append(index)

    assert list(measured(Each().at, 10, lambda: len(asked) < 4)) == [0, 9, 4, 2]
    assert sorted(spread(10)) == [*range(10)] and spread(1) == [0] and spread(2) == [0, 1]


def test_what_is_drawn_at_random_is_measured_last_and_what_is_missing_is_said() -> None:
    """By a clock that goes on a second with each look, of which there are two before each share."""
    model = residual()
    ticks, masks, seen = count(), Masks(Anatomy(model)), set()
    look = Look(model=model, probe=PROBE, epoch=0, step=-1, sites={}, snapshots={}, state={}, output=0)
    for seconds in (5.0, 12.0, 15.0, 30.0):
        recorder = fw.PruningOutlook(ratios=(0.2, 0.4, 0.6), seconds=seconds, samples=20)
        recorder._clock = lambda: float(next(ticks))
        look.state.clear()
        look.state["masks"] = masks
        (outlook,) = recorder.explain(look)
        assert isinstance(outlook, PruningOutlook)
        known = int(np.isfinite(outlook.change).sum()), int(np.isfinite(outlook.random_change).sum())
        missing = [f"at {4 - known[0]} of 4 shares"] * (known[0] < 4) + [f"at random at {4 - known[1]} of 4"] * (known[1] < 4)
        assert [part.split("measure ")[1] for part in outlook.note.split("; ") if "no time" in part] == missing
        assert len(outlook.random_change) == (4 if known[1] else 0) and ("drawn once" in outlook.note) == (known[1] > 0)
        assert known[1] == 0 or known[0] == 4
        seen.add((known[0] < 4, known[1]))
    assert {(True, 0), (False, 0), (False, 4)} < seen, seen
    look.state.pop("allowance")
    (outlook,) = fw.PruningOutlook("random", ratios=(0.5,), seconds=None, samples=20).explain(look)
    assert isinstance(outlook, PruningOutlook) and np.isfinite(outlook.change).all()
    assert not len(outlook.random_change) and "at random" not in outlook.note       # it is its own baseline


def test_layers_that_lose_units_together_are_told() -> None:
    """Two branches of which one part is summed and another concatenated; a normalisation behind both passes both's units on."""
    x = keras.Input((8, 8, 2))
    a, b = (keras.layers.Conv2D(4, 3, padding="same", name=name)(x) for name in "ab")
    c = keras.layers.Conv2D(4, 3, padding="same", name="c")(keras.layers.ReLU()(a))
    both = keras.layers.BatchNormalization(name="both")(keras.layers.Concatenate()([keras.layers.Add()([a, c]), b]))
    own = keras.layers.BatchNormalization(name="own")(b)
    pooled = [keras.layers.GlobalAveragePooling2D()(each) for each in (both, own)]
    anatomy = Anatomy(keras.Model(x, [keras.layers.Dense(2, name=name)(each) for name, each in zip("de", pooled, strict=True)]))
    names = list(anatomy.made)
    found = dict(zip(names, together(candidates(anatomy)).tolist(), strict=True))
    assert found["a"] == found["c"] == min(names.index("a"), names.index("c")) and found["b"] == found["own"] == names.index("b")
    assert found["both"] == found["d"] == found["e"] == -1


def test_of_a_model_that_cannot_be_followed_it_says_why_once(tmp_path: Path) -> None:
    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.flat = keras.layers.Conv2D(4, 3), keras.layers.Flatten()
            self.last = keras.layers.Dense(3, activation="softmax")

        def call(self, x: Any) -> Any:
            return self.last(self.flat(self.conv(x)))

    model = Own()
    model(X[:2])
    model.compile("adam", "sparse_categorical_crossentropy")
    watch = quick(tmp_path, recorders=[fw.FilterHealth(), fw.PruningOutlook(schedule=fw.every(epochs=1))], strict=True, alerts=())
    fit(model, watch, epochs=2)
    run = fw.load(tmp_path)
    assert [entry["text"][:52] for entry in run.journal] == ["pruning_outlook: there is no outlook on pruning: the"]
    with pytest.raises(KeyError, match="outlook"):
        run.outlook(1)


def test_change_is_relative_to_what_deviates() -> None:
    one = np.array([[0.0, 1.0], [2.0, 1.0]])
    assert change([one], [one]) == 0
    assert change([one], [one + 1]) == pytest.approx(np.sqrt(2))
    assert np.isnan(change([np.ones((4, 2))], [np.zeros((4, 2))]))
    assert np.isnan(change([one], [one * np.nan]))


def test_options_are_checked() -> None:
    for options, said in [
        ({"criterion": "l3"}, "criterion='l3'"), ({"ratios": 0.5}, "ratios=0.5"), ({"ratios": (0.5, 1.5)}, "ratios=1.5"),
        ({"samples": 0}, "samples=0"), ({"seconds": 0}, "seconds=0"), ({"ignore": [1]}, "ignore"),
    ]:  # fmt: skip
        with pytest.raises((ValueError, TypeError), match=said):
            fw.PruningOutlook(**options)            # type: ignore[arg-type]
