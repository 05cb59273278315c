"""AutoPrune in a fit: what goes, what comes back, what is recorded of it, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import featwatch as fw
from featwatch.errors import FeatwatchWarning
from tests.fits import PROBE, X, Y, quick
from tests.test_watch_resized import net


def fit(model: Any, *callbacks: Any, epochs: int, **more: Any) -> Any:
    more.setdefault("validation_data", (X, Y))
    return model.fit(X, Y, epochs=epochs, batch_size=60, verbose=0, callbacks=list(callbacks), shuffle=False, **more)


def watched(log_dir: Path, **more: Any) -> fw.Watch:
    return quick(log_dir, recorders=[fw.FilterHealth()], alerts=(), strict=True, **more)


def important_first(layer: Any, weights: Any) -> Any:
    """A criterion as bad as can be: what has large weights goes first."""
    return None if weights is None else 1 / (1e-3 + np.abs(weights).sum(axis=1))


class State(keras.callbacks.Callback):
    """What model and optimiser are after each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.of: dict[int, list[np.ndarray]] = {}       # when other callbacks see it
        self.then: dict[int, list[np.ndarray]] = {}     # when the next one begins

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.of[epoch + 1] = self._now()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.then[epoch] = self._now()

    def _now(self) -> list[np.ndarray]:
        variables = [*self.model.variables, *self.model.optimizer.variables]
        return [variable.numpy().copy() for variable in variables]


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_steps_keep_every_limit_and_the_log_tells_each(tmp_path: Path) -> None:
    model = net()                                       # 8 + 6 units can go
    watch = watched(tmp_path)
    prune = fw.AutoPrune(
        watch, ratio_per_step=0.3, max_ratio=0.6, cooldown=1, guard=None, criterion="l2", max_ratio_per_layer=0.75, latency=False
    )
    fit(model, watch, prune, epochs=6)
    run = fw.load(tmp_path)
    assert [(step.epoch, step.action, step.units_before, step.units_after) for step in run.prunings] == [
        (1, "pruned", 14, 10), (2, "pruned", 10, 6)     # 0.3 · 14 are 4, 0.6 · 14 are 8
    ]  # fmt: skip
    assert prune.ratio == pytest.approx(8 / 14)
    gone = {name: sorted(unit for step in run.prunings for unit in step.origin.get(name, ())) for name in ("conv", "dense")}
    assert len(gone["conv"]) <= 6 and len(gone["dense"]) <= 4
    assert all(len(set(units)) == len(units) for units in gone.values()) and sum(map(len, gone.values())) == 8
    assert model.get_layer("conv").filters == 8 - len(gone["conv"]) == run.layer_infos["conv"].filters
    for step in run.prunings:
        before, after = run.size(step.epoch - 1), run.size(step.epoch)
        assert (before.parameters, after.parameters) == (step.parameters_before, step.parameters_after)
        assert (before.multiply_adds, after.multiply_adds) == (step.multiply_adds_before, step.multiply_adds_after)
        assert step.units_original == 14 and 0 <= step.error < 10 and step.seconds > 0
    assert run.size(6).parameters == model.count_params()
    assert run.epochs == [*range(7)] and run.problems == []
    assert run.numbers("size", "", "parameters")[0].tolist() == [*range(7)]

    again = fit(model, watch, prune, epochs=2)              # a second fit: the limit is that of the first
    assert len(again.history["loss"]) == 2 and len(fw.load(tmp_path).prunings) == 2


def test_what_does_no_good_is_undone_exactly_and_tried_later_and_smaller(tmp_path: Path) -> None:
    model, state = net(), State()
    watch = watched(tmp_path)
    prune = fw.AutoPrune(
        watch, ratio_per_step=0.5, cooldown=1, guard=("val_loss", 0.0), criterion=important_first, compensate=False,
        max_ratio=0.9, latency=False, recalibrate=True,
    )  # fmt: skip
    model.optimizer.learning_rate.assign(0.01)
    fit(model, epochs=12)                                   # so that there is something to be lost
    slow = keras.callbacks.ReduceLROnPlateau("val_loss", factor=0.5, patience=0)
    stop = keras.callbacks.EarlyStopping("val_loss", patience=100, restore_best_weights=True)
    keep = keras.callbacks.ModelCheckpoint(str(tmp_path / "best.keras"), save_best_only=True)
    fit(model, watch, prune, state, slow, stop, keep, epochs=5)
    run = fw.load(tmp_path)
    step, undone = run.prunings[:2]
    assert (step.epoch, step.action, undone.epoch, undone.action) == (1, "pruned", 2, "undone")
    assert undone.origin == step.origin and undone.value_before == step.value_before < undone.value_after
    assert "what epoch 2 trained is lost" in undone.note and "at epoch 4 at the earliest" in undone.note
    assert same(state.of[1], state.then[2])                 # weights, statistics, optimiser
    widths = [each[0].shape[-1] for each in (state.of[1], state.then[1], state.of[2], state.then[2])]
    assert widths == [8, model_width(step), model_width(step), 8]       # what others see is what the epoch's metrics are of
    assert [run.size(epoch).units for epoch in (0, 1, 2)] == [14, 7, 14]
    assert [len(run.health("conv", epoch).dead) for epoch in (1, 2, 3)] == [8, model_width(step), 8]
    later = [each for each in run.prunings[2:] if each.action == "pruned"]
    assert all(each.epoch >= 4 and each.units_before - each.units_after == 3 for each in later)
    assert run.problems == []


def test_a_step_undone_at_the_very_last_epoch_stays_in_the_log_of_a_second_fit(tmp_path: Path) -> None:
    model, watch = net(), watched(tmp_path)
    model.run_eagerly = True
    model.optimizer.learning_rate.assign(0.01)
    fit(model, epochs=6)
    prune = fw.AutoPrune(
        watch, 0.5, cooldown=1, guard=("val_loss", 0.0), criterion=important_first, compensate=False, latency=False
    )
    fit(model, watch, prune, epochs=2)
    first = fw.load(tmp_path)
    assert [(each.epoch, each.action) for each in first.prunings] == [(1, "pruned"), (2, "undone")]
    assert "at epoch 4 at the earliest" in first.prunings[1].note
    told = [each["text"] for each in first.journal]
    assert any("came back" in each for each in told) and any("weights were changed after the last epoch" in each for each in told)
    fit(model, watch, prune, epochs=2)
    run = fw.load(tmp_path)
    assert [(each.epoch, each.action) for each in run.prunings] == [(1, "pruned"), (2, "undone")]
    assert [each["text"] for each in run.journal][: len(told)] == told
    assert [run.size(epoch).units for epoch in range(4)] == [14, 7, 14, 14]
    assert [len(run.health("conv", epoch).dead) for epoch in range(4)] == [8, 8, model_width(run.prunings[0]), 8]
    assert run.problems == []


def model_width(step: fw.records.Pruning) -> int:
    return 8 - len(step.removed["conv"])


def test_a_dry_run_and_a_guard_that_never_looks_leave_the_training_alone(tmp_path: Path) -> None:
    plain = net()
    fit(plain, epochs=4)
    model = net()
    watch = watched(tmp_path)
    prune = fw.AutoPrune(watch, dry_run=True, cooldown=1, criterion="l2", guard=("val_nothing_loss", 0.1), recalibrate=True)
    fit(model, watch, prune, epochs=4)
    assert same([each.numpy() for each in model.variables], [each.numpy() for each in plain.variables])
    assert same([each.numpy() for each in model.optimizer.variables], [each.numpy() for each in plain.optimizer.variables])
    run = fw.load(tmp_path)
    assert [(each.epoch, each.action, each.units_after) for each in run.prunings] == [
        (epoch, "proposed", 13) for epoch in (1, 2, 3)
    ]
    assert len(run.sessions) == 1 and prune.ratio == 0


def test_what_open_alerts_name_goes_and_they_are_resolved(tmp_path: Path) -> None:
    model = net()
    model.get_layer("conv").kernel.assign(np.where(np.arange(8) < 2, 0.0, model.get_layer("conv").kernel.numpy()))
    model.get_layer("conv").bias.assign(np.where(np.arange(8) < 2, -1.0, 0.0))      # filters 0 and 1 are dead
    watch = quick(tmp_path, recorders=[fw.FilterHealth()], alerts=[fw.alerts.DeadFilters()], layers="conv", strict=True)
    prune = fw.AutoPrune(watch, ratio_per_step=0.5, cooldown=2, guard=None, criterion="alerts", latency=False)
    fit(model, watch, prune, epochs=5)
    run = fw.load(tmp_path)
    step = run.prunings[0]
    assert step.origin["conv"] == [0, 1] and step.criterion == "alerts" and "open alerts name" in step.reason
    assert step.error < 1e-3                                # dead ones are missed by nobody
    dead = [alert for alert in run.alerts if alert.filters == (0, 1)]
    assert [alert.resolved for alert in dead] == [step.epoch] and "the layer was pruned" in dead[0].text


def test_a_process_that_resumes_knows_what_went_before(tmp_path: Path) -> None:
    model = net()
    watch = watched(tmp_path)
    fit(model, watch, fw.AutoPrune(watch, 0.3, cooldown=1, guard=None, criterion="l2", latency=False), epochs=2)
    model.save(tmp_path / "model.keras")
    resumed = keras.models.load_model(tmp_path / "model.keras")
    again = watched(tmp_path)
    prune = fw.AutoPrune(again, 0.3, 0.6, cooldown=1, guard=None, criterion="l2", latency=False)
    fit(resumed, again, prune, epochs=6, initial_epoch=2)
    steps = fw.load(tmp_path).prunings
    assert [(step.units_before, step.units_after, step.units_original) for step in steps] == [(14, 10, 14), (10, 6, 14)]
    first, second = (set(step.origin.get("conv", ())) for step in steps)
    assert not first & second


def test_mistakes_are_told_at_once(tmp_path: Path) -> None:
    watch, model = watched(tmp_path), net()
    wrong = [
        ({"criterion": "l3"}, "criterion='l3'"), ({"cooldown": 0}, "cooldown=0"), ({"ratio_per_step": 0}, "ratio_per_step=0"),
        ({"max_ratio": 1.5}, "max_ratio=1.5"), ({"guard": ("speed", 0.1)}, "say so"), ({"grace": 2}, "grace=2"),
        ({"schedule": fw.every(steps=3)}, "at the end of epochs"), ({"dry_run": 1}, "dry_run=1"), ({"ignore": [3]}, "ignore"),
        ({"round_to": 0}, "round_to=0"), ({"tries": 0}, "tries=0"),
    ]  # fmt: skip
    for options, said in wrong:
        with pytest.raises((ValueError, TypeError), match=said):
            fw.AutoPrune(watch, **options)
    with pytest.raises(TypeError, match="watch is a str"):
        fw.AutoPrune("logs")                                # type: ignore[arg-type]
    with pytest.raises(ValueError, match="stands before its watch"):      # a list that tells nobody of its parameters
        model.fit(X, Y, callbacks=keras.callbacks.CallbackList([fw.AutoPrune(watch), watch], model=model), verbose=0)
    with pytest.raises(ValueError, match=r"put that into callbacks, \[watch, autoprune\]"):
        fit(net(), fw.AutoPrune(watch), epochs=1)
    with pytest.raises(ValueError, match="no layer with units is called 'conv9'"):
        fit(model, watch, fw.AutoPrune(watch, ignore="conv9"), epochs=1)

    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.flat, self.last = keras.layers.Flatten(), keras.layers.Dense(3, activation="softmax")

        def call(self, x: Any) -> Any:
            return self.last(self.flat(x))

    own = Own()
    own(X[:2])
    own.compile("adam", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="subclassed"):
        fit(own, watch, fw.AutoPrune(watch), epochs=1)


def test_without_what_the_guard_monitors_nothing_is_pruned_and_it_is_said_once(tmp_path: Path) -> None:
    model, watch = net(), watched(tmp_path)
    with pytest.warns(FeatwatchWarning, match="'val_loss' is not among what Keras reports"):
        fit(model, watch, fw.AutoPrune(watch, cooldown=1, criterion="l2", latency=False), epochs=4, validation_data=None)
    run = fw.load(tmp_path)
    assert [(each.epoch, each.action) for each in run.prunings] == [(1, "refused")]
    assert "validation_data" in run.prunings[0].reason
    assert model.get_layer("conv").filters == 8


@pytest.mark.parametrize("strict", [False, True])
def test_no_failure_of_it_ends_a_fit_unless_the_watch_is_strict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strict: bool
) -> None:
    import featwatch.prune.auto.course as course

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(course, "operate", broken)
    model = net()
    watch = quick(tmp_path, recorders=[fw.FilterHealth()], alerts=(), strict=strict)
    prune = fw.AutoPrune(watch, cooldown=1, criterion="l2", guard=None, latency=False)
    if strict:
        with pytest.raises(RuntimeError, match="out of luck"):
            fit(model, watch, prune, epochs=3)
        return
    with pytest.warns(FeatwatchWarning, match="out of luck"):
        fit(model, watch, prune, epochs=3)
    assert [each.action for each in fw.load(tmp_path).prunings] == ["refused"]


def test_statistics_are_those_of_the_probe_and_nothing_else_moves(tmp_path: Path) -> None:
    from featwatch.prune.auto.recalibration import recalibrate

    keras.utils.set_random_seed(1)
    model = keras.Sequential([
        keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 3, name="conv"), keras.layers.BatchNormalization(name="norm"),
        keras.layers.Dropout(0.5), keras.layers.Flatten(), keras.layers.Dense(3),
    ])  # fmt: skip
    seeds = [each.numpy() for each in model.non_trainable_variables if "seed" in each.path]
    weights = [each.numpy() for each in model.trainable_variables]
    state = np.random.get_state()[1].copy()
    probe = fw.Probe(X[:60], Y[:60], batch_size=60)
    assert "1 batch normalisation estimated" in recalibrate(model, probe)
    given = model.get_layer("conv")(X[:60]).numpy()
    norm = model.get_layer("norm")
    np.testing.assert_allclose(norm.moving_mean.numpy(), given.mean(axis=(0, 1, 2)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(norm.moving_variance.numpy(), given.var(axis=(0, 1, 2)), rtol=1e-4, atol=1e-6)
    assert same(weights, [each.numpy() for each in model.trainable_variables])
    assert same(seeds, [each.numpy() for each in model.non_trainable_variables if "seed" in each.path])
    assert np.array_equal(state, np.random.get_state()[1])
    assert len(PROBE) == 60


def test_with_round_to_each_step_leaves_multiples_within_the_limits() -> None:
    from featwatch.prune.auto.ledger import Ledger
    from featwatch.prune.auto.steps import Wish, next_step, units_of
    from featwatch.prune.candidates import candidates
    from featwatch.prune.planning import anatomy_of

    layers = keras.layers
    keras.utils.set_random_seed(0)
    x = keras.Input((8, 8, 1))
    first = layers.Conv2D(18, 3, padding="same", activation="relu", name="first")(x)
    second = layers.Conv2D(16, 3, padding="same", name="second")(first)
    both = layers.Add()([second, layers.Conv2D(16, 3, padding="same", name="third")(second)])
    hidden = layers.Dense(24, activation="relu", name="hidden")(layers.Flatten()(both))
    model = keras.Model(x, layers.Dense(3, name="out")(hidden))
    anatomy = anatomy_of(model)
    ledger = Ledger.of(units_of(anatomy), candidates(anatomy).prunable)
    wish = Wish(criterion="l2", ratio_per_step=0.2, max_ratio=0.6, max_ratio_per_layer=0.9, round_to=8)
    gone = []
    while (step := next_step(model, wish, ledger, None)) is not None:
        model = step.plan.apply(model)
        ledger.remove(step.plan.removed)
        gone.append(len(step.groups))
        odd = {name for name, count in units_of(anatomy_of(model)).items() if count % 8 and name != "out"}
        assert odd <= ({"first"} if model.get_layer("first").filters == 18 else set())
    assert ledger.prunable == 58 and len(gone) > 1 and all(count <= 11 for count in gone) and 26 <= sum(gone) <= 34
