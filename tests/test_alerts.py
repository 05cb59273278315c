"""What each detector calls wrong, on records worked out by hand and in a training with faults planted."""

from __future__ import annotations

import json
import math
from pathlib import Path

import keras
import numpy as np
import pytest

import featwatch as fw
from featwatch.alerts import AlertDesk, Collapse, DeadFilters, NotFinite, OneClass
from featwatch.records import Alert, EpochLog, LayerHealth, LayerSeparation, Predictions, ProbeRecord

LAYERS = ("conv1", "conv2", "conv3", "dense", "scores")
NEVER_POSITIVE, NEVER_VARIES = "dead: never above 0 for any probe sample", "dead: the same value at every position"


def health(epoch: int, dead: str, layer: str = "conv1", *, cause: str = "negative bias", test: str = NEVER_POSITIVE, **more):
    """The health of a layer in which the filters marked x are dead."""
    is_dead = np.array([mark == "x" for mark in dead])
    numbers = dict.fromkeys(
        ("energy", "negative_fraction", "bias", "active_fraction", "max_activation", "min_activation", "mean_activation"),
        np.zeros(len(dead), np.float32),
    )
    causes = np.where(is_dead, cause, "")
    group = np.full(len(dead), -1, np.int32)
    return LayerHealth(epoch=epoch, layer=layer, dead=is_dead, cause=causes, group=group, test=test, **numbers, **more)


def probe(samples: int = 400, classes: int = 10) -> ProbeRecord:
    labels = np.arange(samples, dtype=np.int32) % classes
    return ProbeRecord(epoch=0, labels=labels, indices=np.arange(samples), class_names=tuple("abcdefghij"[:classes]))


def separation(epoch: int, knn: float, layer: str = "scores", *, samples: int = 400) -> LayerSeparation:
    return LayerSeparation(epoch=epoch, layer=layer, knn_accuracy=knn, silhouette=0.5, samples=samples)


def shown(desk: AlertDesk, records) -> list[Alert]:
    """What the desk says after all of them."""
    for record in records:
        desk.see(record)
    return desk.drain()


def each(desk: AlertDesk, records) -> list[list[str]]:
    """What it says after each: id and "!" while it holds, "." where it was resolved."""
    return [[f"{alert.id}{'!' if alert.open else '.'}" for alert in shown(desk, [record])] for record in records]


# Dead filters


def test_only_filters_that_were_dead_in_each_of_the_last_checks_count():
    desk = AlertDesk([DeadFilters(checks=3)], LAYERS)
    (alert,) = shown(desk, [health(2, "x..x...."), health(3, "x..x...."), health(4, "xx......"), health(5, "xx......")])
    assert (alert.id, alert.layer, alert.filters, alert.since, alert.raised) == ("dead filters/conv1/2", "conv1", (0,), 2, 4)
    assert alert.updated == 5 and shown(desk, []) == []


def test_evidence_and_severity_follow_the_set_of_dead_filters():
    desk = AlertDesk([DeadFilters()], LAYERS)
    (few,) = shown(desk, [health(0, "x..."), health(1, "x...")])
    assert (few.severity, few.view) == ("advice", "filters")
    assert few.text == "1 of 4 filters (0) rise above 0 for no sample of the probe"
    assert few.evidence == {
        "dead": 1, "filters": 4, "share": 0.25, "causes": {"negative bias": 1}, "test": NEVER_POSITIVE,
        "effect": "changes no output of the probe",
    }  # fmt: skip
    (half,) = shown(desk, [health(2, "xx.."), health(3, "xx..")])
    assert (half.id, half.severity, half.filters) == (few.id, "advice", (0, 1))
    (most,) = shown(desk, [health(4, "xxx."), health(5, "xxx.")])
    assert (most.severity, most.evidence["dead"], most.raised, most.updated) == ("warning", 3, 1, 5)
    (whole,) = shown(desk, [health(6, "xxxx"), health(7, "xxxx")])
    assert (whole.id, whole.severity, whole.text) == (few.id, "critical", "all 4 filters rise above 0 for no sample of the probe")
    assert "Nothing that enters this layer comes out" in whole.suggestion
    assert shown(desk, [health(8, "xxxx")]) == []


@pytest.mark.parametrize(
    ("cause", "cure"),
    [
        ("negative bias", "learning rate"), ("negative weights", "initialisation"),
        ("no energy", "weight decay"), ("unexplained", "Prune"),
    ],  # fmt: skip
)
def test_what_to_do_depends_on_the_cause(cause, cure):
    (alert,) = shown(AlertDesk([DeadFilters()], LAYERS), [health(0, "x...", cause=cause), health(1, "x...", cause=cause)])
    assert cure in alert.suggestion and alert.evidence["causes"] == {cause: 1}


def test_a_filter_that_never_varies_is_said_to_be_that():
    (alert,) = shown(AlertDesk([DeadFilters(checks=1)], LAYERS), [health(0, "x...", test=NEVER_VARIES)])
    assert alert.text == "1 of 4 filters (0) are the same for every sample of the probe"


def test_many_dead_filters_are_listed_in_part():
    (alert,) = shown(AlertDesk([DeadFilters(checks=1)], LAYERS), [health(0, "x" * 20 + "." * 20)])
    assert "20 of 40 filters (0, 1, 2, 3, 4, 5, 6, 7 and 12 more)" in alert.text and len(alert.filters) == 20


def test_an_alert_neither_flaps_nor_outlives_its_filters():
    desk = AlertDesk([DeadFilters()], LAYERS)
    marks = ["x...", "x...", "....", "x...", "....", "x...", "x...", "....", "...x", "...."]
    told = each(desk, [health(epoch, dead) for epoch, dead in enumerate(marks)])
    # Filter 0 comes and goes: neither gone nor there for long.  Filter 3 at epoch 8 is another one.
    assert told == [[], ["dead filters/conv1/0!"], [], [], [], [], [], [], ["dead filters/conv1/0."], []]


def test_filters_that_are_not_finite_give_no_verdict():
    desk = AlertDesk([DeadFilters()], LAYERS)
    lost = [health(epoch, "....", non_finite_activations=4) for epoch in (2, 3, 4)]
    assert each(desk, [health(0, "x..."), health(1, "x..."), *lost]) == [[], ["dead filters/conv1/0!"], [], [], []]
    assert len(desk.open) == 1


def test_one_sample_cannot_show_that_a_filter_never_varies():
    desk = AlertDesk([DeadFilters(checks=1)], LAYERS)
    assert shown(desk, [probe(1, 1), health(0, "xx..", test=NEVER_VARIES)]) == []


def test_a_pruned_layer_starts_afresh():
    desk = AlertDesk([DeadFilters()], LAYERS)
    assert each(desk, [health(0, "x..."), health(1, "x.."), health(2, "x..")]) == [[], [], ["dead filters/conv1/1!"]]


def test_dead_filters_of_an_earlier_fit_go_on_at_once():
    first = AlertDesk([DeadFilters(checks=3)], LAYERS)
    shown(first, [health(epoch, "x..x") for epoch in range(3)])
    opened = [Alert.from_dict(json.loads(json.dumps(alert.as_dict()))) for alert in first.open]
    second = AlertDesk([DeadFilters(checks=3)], LAYERS, opened=opened)
    assert shown(second, [health(3, "x..x")])[0].id == "dead filters/conv1/0"
    (alert,) = second.open
    assert (alert.since, alert.filters) == (0, (0, 3))
    third = AlertDesk([DeadFilters(checks=3)], LAYERS, opened=opened)
    assert each(third, [health(epoch, "....") for epoch in (3, 4, 5)]) == [[], [], ["dead filters/conv1/0."]]


# Not finite


def test_what_is_not_finite_is_told_at_once_with_the_first_layer_in_graph_order():
    desk = AlertDesk([NotFinite()], LAYERS)
    assert shown(desk, [health(0, "....", layer) for layer in LAYERS]) == []
    (alert,) = shown(desk, [
        health(1, "....", "dense", non_finite_activations=4),
        health(1, "....", "conv2", non_finite_weights=2, non_finite_activations=3),
        health(1, "....", "conv1"),
        health(1, "....", "scores", non_finite_activations=4),
    ])  # fmt: skip
    assert (alert.id, alert.severity, alert.layer, alert.view) == ("not finite/conv2/1", "critical", "conv2", "filters")
    assert alert.text == "weights and activations of conv2 are NaN or infinite, and so in 2 other layers"
    assert alert.evidence["layers"] == ["conv2", "dense", "scores"]
    assert alert.evidence["filters with such weights"] == 2 and alert.evidence["filters with such activations"] == 11
    assert shown(desk, [health(2, "....", layer, non_finite_weights=4, non_finite_activations=4) for layer in LAYERS]) == []
    (gone,) = shown(desk, [health(3, "....", layer) for layer in LAYERS])
    assert (gone.id, gone.resolved) == ("not finite/conv2/1", 3)


def test_the_order_of_the_layers_is_the_graphs():
    desk = AlertDesk([NotFinite()], ("stem", "block", "head"))
    (alert,) = shown(desk, [health(0, "....", layer, non_finite_weights=1) for layer in ("head", "block", "stem")])
    assert alert.id == "not finite/stem/0"


def test_a_loss_that_is_not_finite_is_an_alert_and_another_metric_is_not():
    desk = AlertDesk([NotFinite()], LAYERS)
    assert shown(desk, [EpochLog(epoch=1, metrics={"loss": 0.5, "my_ratio": math.nan})]) == []
    (alert,) = shown(desk, [EpochLog(epoch=2, metrics={"loss": math.nan, "val_loss": math.inf})])
    assert (alert.id, alert.layer, alert.view) == ("not finite//2", "", "overview")
    assert alert.text == "loss, val_loss of the epoch is NaN or infinite" and alert.evidence["losses"] == ["loss", "val_loss"]


# Collapse


def test_the_deepest_layer_has_collapsed_when_most_above_chance_is_lost_for_two_checks():
    desk = AlertDesk([Collapse()], LAYERS)
    desk.see(probe())
    levels = [0.3, 0.9, 0.6, 0.9, 0.5, 0.5, 0.7, 0.7, 0.88, 0.9]
    told = each(desk, [separation(epoch, level) for epoch, level in enumerate(levels)])
    # 0.6 lasts for one check; 0.7 is a loss of a quarter: neither a collapse nor a recovery.
    assert told == [[], [], [], [], [], ["collapse/scores/4!"], [], [], [], ["collapse/scores/4."]]


def test_a_collapse_names_its_best_epoch_and_the_layers_that_fell_along():
    desk = AlertDesk([Collapse()], LAYERS)
    desk.see(probe())
    shown(desk, [separation(3, 0.9, layer) for layer in LAYERS])
    fallen = dict(zip(LAYERS, (0.85, 0.8, 0.4, 0.2, 0.12), strict=True))
    (alert,) = shown(desk, [separation(epoch, knn, layer) for epoch in (4, 5) for layer, knn in fallen.items()])
    assert (alert.severity, alert.layer, alert.view) == ("critical", "scores", "samples")
    assert alert.text == (
        "its kNN accuracy has fallen from 0.90 (epoch 3) to 0.12, where chance is 0.10, "
        "and so has that of 2 layers before it, from conv3 on"
    )
    assert "epoch 3" in alert.suggestion and list(alert.evidence["fell"]) == ["conv3", "dense", "scores"]


@pytest.mark.parametrize(
    ("why", "samples", "levels"),
    [
        ("it had not learnt anything", 100_000, [0.15, 0.1, 0.1, 0.1]),
        ("so few samples say little", 12, [0.5, 0.3, 0.3, 0.3]),
        ("a layer in front of the deepest may lose", 400, [0.9, 0.3, 0.3, 0.3]),
        ("nothing is known", 400, [0.9, math.nan, math.nan, math.nan]),
    ],
)
def test_no_collapse_where(why, samples, levels):
    desk = AlertDesk([Collapse()], LAYERS)
    layer = "dense" if "in front" in why else "scores"
    records = [separation(epoch, level, layer, samples=samples) for epoch, level in enumerate(levels)]
    assert shown(desk, [probe(), *([separation(0, 0.9)] if layer == "dense" else []), *records]) == []


def test_an_accuracy_that_was_not_known_is_not_the_best():
    desk = AlertDesk([Collapse()], LAYERS)
    (alert,) = shown(desk, [probe(), *(separation(epoch, level) for epoch, level in enumerate([math.nan, 0.9, 0.2, 0.2]))])
    assert alert.id == "collapse/scores/2"


def test_a_collapse_of_an_earlier_fit_is_not_taken_for_the_best_so_far():
    first = AlertDesk([Collapse()], LAYERS)
    shown(first, [probe(), *(separation(epoch, level) for epoch, level in enumerate([0.9, 0.2, 0.2]))])
    second = AlertDesk([Collapse()], LAYERS, opened=first.open)
    told = each(second, [probe(), separation(3, 0.2), separation(4, 0.9), separation(5, 0.9)])
    assert told == [[], ["collapse/scores/1!"], [], ["collapse/scores/1."]]


# One class


def predictions(epoch: int, classes: np.ndarray) -> Predictions:
    labels = probe().labels
    known = np.full(len(labels), 0.9, np.float32)
    return Predictions(
        epoch=epoch, classes=classes.astype(np.int32), certainty=known, scores=np.zeros((len(labels), 10), np.float32),
        accuracy=float(np.mean(classes == labels)),
    )  # fmt: skip


def test_a_model_that_names_one_class_after_it_had_learnt_more():
    desk = AlertDesk([OneClass()], LAYERS)
    labels = probe().labels
    same = np.full(len(labels), 3)
    same[:2] = 4
    told = each(desk, [probe(), *(predictions(k, same) for k in (0, 1, 2)), predictions(3, labels), predictions(4, same)])
    assert told == [[]] * 6                                 # before it learnt, it is none
    (alert,) = shown(desk, [predictions(5, same)])
    assert (alert.id, alert.severity, alert.evidence["class"]) == ("one class//4", "critical", 3)
    assert alert.text == "100% of the probe's samples are called d, but no class has more than 10% of them"
    assert "epoch 3" in alert.suggestion
    assert shown(desk, [predictions(6, np.full(len(labels), -1))]) == []       # NaN: nothing is predicted
    assert each(desk, [predictions(k, labels) for k in (7, 8)]) == [[], ["one class//4."]]


def test_one_class_is_no_fault_where_nearly_all_are_of_it_or_labels_are_not_known():
    labels = np.zeros(400, np.int32)
    unlabelled = ProbeRecord(epoch=0, labels=np.full(400, -1, np.int32), indices=np.arange(400))
    for known in (ProbeRecord(epoch=0, labels=labels, indices=np.arange(400)), unlabelled):
        desk = AlertDesk([OneClass()], LAYERS)
        assert shown(desk, [known, *(predictions(epoch, labels) for epoch in range(5))]) == []


def test_a_class_that_has_most_of_the_samples_may_be_given_to_most():
    labels = np.where(np.arange(400) < 240, 0, probe().labels).astype(np.int32)
    known = ProbeRecord(epoch=0, labels=labels, indices=np.arange(400))
    right = [
        Predictions(epoch=epoch, classes=labels, certainty=labels * 0.1, scores=np.zeros((400, 10)), accuracy=1.0)
        for epoch in range(4)
    ]
    assert shown(AlertDesk([OneClass(share=0.5)], LAYERS), [known, *right]) == []


# All of them in a training


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return (images[:900] / 16).astype(np.float32), labels[:900]


def net(*middle: keras.layers.Layer) -> keras.Model:
    keras.utils.set_random_seed(0)
    # No rectifier where none is under test: on digits healthy trainings leave a few that never fire.
    first = keras.layers.Dense(64, activation="tanh", name="first")
    model = keras.Sequential([keras.Input((64,)), first, *middle, keras.layers.Dense(10, activation="softmax", name="scores")])
    model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy")
    return model


def watched(model: keras.Model, digits, log_dir: Path, *callbacks: keras.callbacks.Callback) -> fw.reader.Run:
    x, y = digits
    recorders = [fw.FilterHealth(), fw.Separation()]
    watch = fw.Watch(log_dir, fw.Probe(x[:300], y[:300]), recorders=recorders, background=False)
    model.fit(x, y, epochs=12, batch_size=64, verbose=0, callbacks=[*callbacks, watch])
    return fw.load(log_dir)


def test_faults_that_were_planted_are_found_and_nothing_else(digits, tmp_path: Path):
    same = keras.layers.Dense(64, activation="relu", kernel_initializer="identity", trainable=False, name="same")
    second = keras.layers.Dense(64, activation="relu", name="second")
    model = net(second, same)
    kernel, bias = second.get_weights()
    bias[[3, 7]] = -100.0
    second.set_weights([kernel, bias])
    run = watched(model, digits, tmp_path)
    found = {(alert.kind, alert.layer): alert for alert in run.alerts}
    others = {key: alert for key, alert in found.items() if key[0] != "nearly dead filters"}    # some are on their way
    assert set(others) == {("dead filters", "second"), ("dead filters", "same"), ("redundant layer", "same")}
    dead = found["dead filters", "second"]
    assert {3, 7} <= set(dead.filters) and dead.evidence["causes"]["negative bias"] == 2
    assert (dead.severity, dead.since, dead.open) == ("advice", 0, True)


def test_a_healthy_training_raises_nothing(digits, tmp_path: Path):
    run = watched(net(keras.layers.Dense(64, activation="tanh", name="second")), digits, tmp_path)
    assert run.alerts == []


def test_a_training_that_is_ruined_half_way_is_called_that(digits, tmp_path: Path):
    class Ruin(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 6:
                self.model.optimizer.learning_rate = 10.0
            if epoch == 10:
                self.model.get_layer("scores").bias.assign(np.full(10, np.nan))

    run = watched(net(), digits, tmp_path, Ruin())
    kinds = {alert.kind: alert for alert in run.alerts}
    assert kinds.keys() >= {"collapse", "not finite"}
    assert kinds["collapse"].since >= 7 and kinds["not finite"].since == 11
