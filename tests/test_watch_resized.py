"""The watch of a model that filters go from, and come back to, in the middle of a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import featwatch as fw
from featwatch.alerts.desk import AlertDesk
from featwatch.alerts.filterwise import FilterDetector, Said
from featwatch.explain.kept import kept
from featwatch.prune.surgery import Surgery
from featwatch.recorders.base import LayerSnapshot, Recorder
from featwatch.recorders.pipeline import Memory, still_held
from featwatch.records import Alert, Maps, Record, Session
from tests.fits import PROBE, fit, quick


def net(seed: int = 0) -> Any:
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(8, 3, activation="relu", name="conv"),
        keras.layers.Flatten(),
        keras.layers.Dense(6, activation="relu", name="dense"),
        keras.layers.Dense(3, activation="softmax", name="out"),
    ])  # fmt: skip
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


class Prunes(keras.callbacks.Callback):
    """Prunes at the ends of epochs, and takes it back: epoch -> units, or None for undoing."""

    def __init__(self, what: dict[int, Any], watch: fw.Watch | None = None) -> None:
        super().__init__()
        self.what, self.watch = what, watch
        self.done: list[Surgery] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch + 1 not in self.what:
            return
        units = self.what[epoch + 1]
        if units is None:
            self.done.pop().undo()
        else:
            self.done.append(fw.prune.plan(self.model, units=units).apply_inplace(self.model))
        if self.watch is not None:
            self.watch.resized("by hand")


def filters(run: fw.reader.Run, epoch: int) -> int:
    return len(run.health("conv", epoch).dead)


def truth(model: Any) -> np.ndarray:
    """The largest activation of each filter of the first layer over the probe."""
    layer = model.get_layer("conv")
    kernel, bias = (np.asarray(each.numpy(), np.float64) for each in (layer.kernel, layer.bias))
    windows = np.lib.stride_tricks.sliding_window_view(PROBE.x[..., 0], (3, 3), axis=(1, 2))
    return np.maximum(np.einsum("nyxij,ijf->nyxf", windows, kernel[:, :, 0]) + bias, 0).max(axis=(0, 1, 2))


class Follows(Recorder):
    """Notes which generation of filters it is shown."""

    name = "follows"
    produces = Maps
    in_worker = False

    def __init__(self) -> None:
        self._seen: dict[str, list[int]] = {}

    def analyse(self, snapshot: LayerSnapshot) -> None:
        self._seen.setdefault(snapshot.layer, []).append(snapshot.generation)


def test_what_stands_by_filter_is_not_continued_with_other_filters() -> None:
    memory = Memory(health(3, [True, False]), {"features": np.ones(2)}, generation=1)
    assert memory.held(1, fw.FilterHealth()) is memory and memory.held(2, fw.FilterHealth()) is None
    assert memory.held(2, fw.Separation()) is memory            # of samples
    held = memory.held(2, fw.Embeddings())
    assert held is not None and held.record is memory.record and not held.reductions
    known = {"conv": {"health": memory}, "dense": {"health": memory}}
    kept_on = still_held(known, [fw.FilterHealth()], {"conv": 1, "dense": 2})
    assert kept_on["conv"]["health"].generation == 0 and not kept_on["dense"]


@pytest.mark.parametrize("told", [True, False])
def test_it_goes_on_with_what_is_left_whether_it_is_told_or_not(tmp_path: Path, told: bool) -> None:
    model = net()
    recorders = [fw.FilterHealth(), fw.Separation(), fw.Embeddings(layout="pca"), follows := Follows()]
    watch = quick(tmp_path, recorders=recorders, strict=True)
    seen = {}

    class Sees(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            seen[epoch + 1] = truth(self.model)

    # Taken back at 3 and other ones removed: at 4 there are as many as at 3, of other numbers.
    prunes = Prunes({2: {"conv": [0, 1]}, 3: None, 4: {"conv": [5, 6]}}, watch if told else None)
    fit(model, Sees(), watch, prunes, epochs=6)
    run = fw.load(tmp_path)
    assert run.problems == []
    assert [filters(run, epoch) for epoch in run.epochs] == [8, 8, 8, 6, 8, 6, 6]
    for epoch in run.epochs[1:]:            # not what was traced of other weights: training moves them by more
        np.testing.assert_allclose(run.health("conv", epoch).max_activation, seen[epoch], rtol=1e-3)
    assert follows._seen == {"conv": [0, 0, 0, 1, 2, 3, 3], "dense": [0] * 7, "out": [0] * 7}
    assert [session.epoch for session in run.sessions] == [0, 3, 4, 5]
    assert [session.layers[0]["filters"] for session in run.sessions] == [8, 6, 8, 6]
    assert run.layer_infos["conv"].filters == 6
    epochs, largest = run.development("conv", "max_activation")
    assert largest.shape == (7, 6) and np.isnan(largest[:5]).all() and np.isfinite(largest[5:]).all()   # at 3: other ones
    # Layouts of samples go on, though features cannot be compared.
    after = run.embedding("conv", 3)
    assert after.started_from == 2 and not len(after.movement) and len(run.embedding("dense", 3).movement)
    assert np.isfinite(run.separation("conv", 3).cka_to_last)
    said = "by hand" if told else "its filters were changed"
    assert [entry["text"] for entry in run.journal] == [
        f"from epoch {epoch} on some layers have other filters: {said}" for epoch in (3, 4, 5)
    ]


def test_a_second_fit_and_records_by_step_go_on(tmp_path: Path) -> None:
    model = net()
    watch = quick(tmp_path, recorders=[fw.FilterHealth(schedule=fw.every(steps=2)), fw.Separation()], strict=True)
    fit(model, watch, Prunes({1: {"conv": [7]}}, watch), epochs=2)          # 4 updates an epoch
    fw.prune.plan(model, units={"conv": [0]}).apply_inplace(model)          # between two fits, untold
    fit(model, watch, epochs=1)
    run = fw.load(tmp_path)
    counts = [len(run.health("conv", step=step).dead) for step in run.steps]
    assert run.steps == [0, 2, 4, 6, 8, 10, 12] and counts == [8, 8, 8, 7, 7, 6, 6]
    assert run.problems == [] and run.epochs == [0, 1, 2, 3]


class Named(FilterDetector):
    """Names the filters that it is told are dead."""

    kind = "named"

    def judge(self, record: Record) -> Any:
        dead = getattr(record, "dead", None)
        return None if dead is None else (dead, np.ones(len(dead), bool))

    def say(self, record: Any, filters: np.ndarray) -> Said:
        return Said(text="some are dead", suggestion="", evidence={})


def health(epoch: int, dead: list[bool]) -> Any:
    from featwatch.records import LayerHealth

    known = np.zeros(len(dead), np.float32)
    return LayerHealth(
        epoch=epoch, layer="conv", energy=known, negative_fraction=known, bias=known, active_fraction=known,
        max_activation=known, min_activation=known, mean_activation=known, dead=np.array(dead), cause=np.array([""] * len(dead)),
        group=np.full(len(dead), -1, np.int32),
    )  # fmt: skip


def test_alerts_that_number_filters_are_resolved_and_late_records_do_not_raise_them_again() -> None:
    desk = AlertDesk([Named(checks=2)], ["conv"])
    for epoch in (1, 2):
        desk.see(health(epoch, [True, False]))
    assert [alert.filters for alert in desk.drain()] == [(0,)]
    desk.resize({"conv"}, 3, "the layer was pruned")
    gone = desk.drain()
    assert [(alert.resolved, alert.text) for alert in gone] == [(3, "some are dead; at epoch 3 the layer was pruned")]
    assert desk.open == []
    desk.see(health(3, [True, False]))                # analysed late, of the layer as it was
    for epoch in (4, 5):
        assert not desk.drain()
        desk.see(health(epoch, [True, False]))       # as many, but others
    assert [(alert.filters, alert.since) for alert in desk.drain()] == [((0,), 4)]


def test_alerts_of_other_layers_and_of_no_filters_stay() -> None:
    class Whole(fw.alerts.Detector):
        kind = "whole"

        def update(self, record: Record) -> Any:
            if record.kind == "health":
                yield fw.alerts.Finding(epoch=record.epoch, layer=record.layer, wrong=True, text="so it is")

    opened = [Alert(id="named/dense/0", kind="named", severity="advice", layer="dense", filters=(1,), text="x")]
    desk = AlertDesk([Named(checks=2), Whole()], ["conv", "dense"], opened=opened)
    desk.see(Session(epoch=0, started=0.0))
    desk.see(health(1, [True, False]))
    desk.drain()
    desk.resize({"conv"}, 1, "the layer was pruned")
    assert {(alert.kind, alert.layer) for alert in desk.open} == {("named", "dense"), ("whole", "conv")}


def test_what_was_kept_of_a_model_never_reads_weights_that_it_has_no_more() -> None:
    model = net()
    made = []

    def total() -> Any:
        """A traced function of the model's first weights, kept as others of featwatch are."""
        made.append(len(made))
        kernel = model.get_layer("conv").kernel
        return tf.function(lambda: tf.reduce_sum(kernel.value))

    def read() -> float:
        return float(kept(model, ("total",), total)())

    whole = read()
    surgery = fw.prune.plan(model, units={"conv": [0]}).apply_inplace(model)
    assert read() == pytest.approx(model.get_layer("conv").kernel.numpy().sum(), abs=1e-5) and made == [0, 1]
    surgery.undo()
    assert read() == pytest.approx(whole, abs=1e-6)
    kernel = model.get_layer("conv").kernel
    kernel.assign(kernel.numpy() + 1)
    assert read() == pytest.approx(whole + 72, abs=1e-4)        # of what it has now
