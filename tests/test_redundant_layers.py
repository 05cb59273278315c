"""Layers that add nothing: by records worked out by hand, and in a training in which one was planted."""

from __future__ import annotations

import json
import math
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

import featwatch as fw
from featwatch.alerts import AlertDesk, RedundantLayers, in_a_line
from featwatch.records import Alert, LayerSeparation, ProbeRecord, Session

LAYERS = ("conv1", "conv2", "conv3", "dense", "scores")
PARAMETERS = (100, 500, 1_000, 2_400, 1_000)
PROBE = ProbeRecord(epoch=0, labels=np.arange(400, dtype=np.int32) % 10, indices=np.arange(400))
SESSION = Session(epoch=0, started=0.0, layers=tuple(
    {"name": name, "parameters": count} for name, count in zip(LAYERS, PARAMETERS, strict=True)
))  # fmt: skip
NAMES = ("knn", "silhouette", "probe", "cka")
Figures = tuple[float, float, float, float]     # kNN accuracy, silhouette, accuracy of the probe, CKA with the layer before

# conv3 adds nothing to conv2
MIDDLE: list[Figures] = [
    (0.90, 0.20, 0.92, math.nan), (0.96, 0.30, 0.96, 0.90), (0.962, 0.304, 0.96, 0.997), (0.97, 0.5, 0.97, 0.8),
    (0.97, 0.9, 0.97, 0.7),
]  # fmt: skip
# neither conv3 nor dense does
LATE: list[Figures] = [*MIDDLE[:3], (0.961, 0.31, 0.965, 0.996), (0.965, 0.9, 0.97, 0.7)]


def changed(layer: str, figures: list[Figures] = MIDDLE, **values: float) -> list[Figures]:
    """The figures with some of one layer's replaced."""
    place = LAYERS.index(layer)
    knn, silhouette, probe, cka = (values.get(name, old) for name, old in zip(NAMES, figures[place], strict=True))
    return [*figures[:place], (knn, silhouette, probe, cka), *figures[place + 1 :]]


def check(epoch: int, figures: list[Figures] = MIDDLE) -> list[LayerSeparation]:
    """The records of one epoch."""
    return [
        LayerSeparation(
            epoch=epoch, layer=layer, knn_accuracy=knn, silhouette=silhouette, probe_accuracy=probe, cka_to_previous=cka,
            previous=before, samples=400,
        )
        for layer, before, (knn, silhouette, probe, cka) in zip(LAYERS, ("", *LAYERS), figures, strict=False)
    ]  # fmt: skip


def told(desk: AlertDesk, records) -> list[Alert]:
    alerts = []
    for record in records:
        desk.see(record)
        alerts += desk.drain()
    return alerts


def watched(*checks: list[Figures], **options) -> AlertDesk:
    desk = AlertDesk([RedundantLayers(**options)], LAYERS)
    told(desk, [SESSION, PROBE, *(record for epoch, figures in enumerate(checks) for record in check(epoch, figures))])
    return desk


def test_a_layer_behind_which_nothing_is_better_is_named_once_the_model_has_learnt():
    desk = AlertDesk([RedundantLayers()], LAYERS)
    alerts = told(desk, [SESSION, PROBE, *(record for epoch in range(12) for record in check(epoch))])
    assert [(alert.id, alert.open) for alert in alerts] == [("redundant layer/conv3/3", True)]
    (alert,) = desk.open
    assert (alert.severity, alert.since, alert.raised, alert.view) == ("advice", 3, 6, "samples")
    assert alert.text == (
        "it separates the classes no better than conv2, watched before it: kNN accuracy 0.960 → 0.962, silhouette 0.300 → 0.304, "
        "linear probe 0.960 → 0.960, CKA of their features 0.997"
    )
    assert alert.evidence["before"] == "conv2" and alert.evidence["saturated_from"] == ""
    assert alert.evidence["knn_gain"] == pytest.approx(0.002) and alert.evidence["cka"] == pytest.approx(0.997)
    gone = [alert for epoch in range(12, 18) for alert in told(desk, check(epoch, changed("conv3", cka=0.9)))]
    assert [(alert.id, alert.resolved) for alert in gone] == [("redundant layer/conv3/3", 15)]


def test_what_its_removal_saves_is_said():
    (alert,) = watched(*[MIDDLE] * 9).open
    assert alert.suggestion == "Try the model without this layer: 1,000 parameters (20% of the watched layers') less."
    assert (alert.evidence["parameters"], alert.evidence["watched_parameters"]) == (1_000, 5_000)


def test_parameters_that_nobody_told_are_not_spoken_of():
    desk = AlertDesk([RedundantLayers()], LAYERS)
    told(desk, [PROBE, *(record for epoch in range(9) for record in check(epoch))])
    assert [alert.suggestion for alert in desk.open] == ["Try the model without this layer."]
    assert "parameters" not in desk.open[0].evidence


def test_where_all_layers_to_the_last_but_one_add_nothing_separation_is_saturated_from_there_on():
    alerts = {alert.layer: alert for alert in watched(*[LATE] * 9).open}
    assert set(alerts) == {"conv3", "dense"}
    for alert in alerts.values():
        assert alert.text.endswith("; separation is saturated from conv2 on, which has 0.960 of 0.965")
        assert alert.evidence["saturated_from"] == "conv2" and alert.evidence["saturated"] == ["conv3", "dense"]
        assert alert.suggestion.endswith("; or without all of conv3, dense, 3,400 parameters (68% of the watched layers').")
    assert "no better than conv3, watched before it" in alerts["dense"].text
    assert in_a_line(alerts["dense"]).startswith("featwatch: ⚠ redundant layer in dense since epoch 3: ")


def test_it_is_told_when_saturation_begins_earlier_or_ends():
    desk = AlertDesk([RedundantLayers()], LAYERS)
    told(desk, [PROBE, *(record for epoch in range(8) for record in check(epoch, changed("conv3", LATE, cka=0.9)))])
    assert [(alert.layer, alert.evidence["saturated_from"]) for alert in desk.open] == [("dense", "conv3")]
    news = told(desk, [record for epoch in range(8, 12) for record in check(epoch, LATE)])
    assert {(alert.layer, alert.evidence["saturated_from"]) for alert in news} == {("dense", "conv2"), ("conv3", "conv2")}
    news = told(desk, [record for epoch in range(12, 17) for record in check(epoch, changed("dense", LATE, silhouette=0.5))])
    assert [(alert.layer, alert.open) for alert in news if not alert.open] == [("dense", False)]
    assert [(alert.layer, alert.evidence["saturated_from"]) for alert in desk.open] == [("conv3", "")]


@pytest.mark.parametrize(
    ("why", "figures"),
    [
        ("its kNN accuracy is better", changed("conv3", knn=0.975)),
        ("its silhouette is", changed("conv3", silhouette=0.35)),
        ("a linear probe finds more in it", changed("conv3", probe=0.99)),
        ("its features are others", changed("conv3", cka=0.98)),
        ("how alike they are is not known", changed("conv3", cka=math.nan)),
        ("later ones separate what it prepares", changed("conv3", changed("conv2", knn=0.85, probe=0.85), knn=0.852, probe=0.86)),
        ("the last gives the answer", changed("scores", changed("conv3", silhouette=0.4), silhouette=0.5, cka=1.0)),
        ("the model has hardly learnt", [(0.30, 0.2, 0.3, 0.997)] * 5),
        ("the model has not learnt at all", [(0.15, 0.0, 0.15, 1.0)] * 5),
        ("its silhouette is not known", changed("conv3", silhouette=math.nan)),
        ("nothing is known of it", changed("conv3", knn=math.nan, silhouette=math.nan, probe=math.nan, cka=math.nan)),
    ],
)  # fmt: skip
def test_no_layer_is_redundant_where(why, figures):
    assert watched(*[figures] * 15).open == []


def test_layers_that_nothing_tells_apart_are_named_wherever_they_stand():
    early = changed("conv2", changed("conv1", knn=0.80, probe=0.85), knn=0.80, silhouette=0.20, probe=0.85, cka=0.9999)
    (alert,) = watched(*[changed("conv3", early, cka=0.8)] * 9).open
    assert alert.layer == "conv2" and alert.evidence["saturation"] < 0.9


def test_nothing_is_saturated_where_the_last_layer_still_adds():
    figures = changed("dense", changed("conv3", knn=0.8, probe=0.8, cka=0.8), knn=0.8, silhouette=0.304, probe=0.8, cka=1.0)
    (alert,) = watched(*[changed("conv2", figures, knn=0.7)] * 9).open
    assert alert.layer == "dense" and alert.evidence["saturated_from"] == "" and "saturated" not in alert.text


@pytest.mark.parametrize(("kind", "parameters"), [("Flatten", 0), ("Dropout", 0), ("BatchNormalization", 64)])
def test_layers_that_are_not_there_to_change_features_are_not_named(kind, parameters):
    desk = AlertDesk([RedundantLayers()], LAYERS)
    infos = [{"name": name, "type": kind if name == "conv3" else "Dense", "parameters": parameters} for name in LAYERS]
    desk.see(Session(epoch=0, started=0.0, layers=tuple(infos)))
    told(desk, [PROBE, *(record for epoch in range(12) for record in check(epoch))])
    assert desk.open == []


def test_a_layer_without_an_activation_may_end_a_branch_and_is_named_only_where_nothing_tells_it_apart():
    infos = [{"name": name, "activation": "linear" if name == "conv3" else "relu", "parameters": 9} for name in LAYERS]
    for figures, named in ((MIDDLE, []), (changed("conv3", knn=0.96, silhouette=0.3, cka=1.0), ["conv3"])):
        desk = AlertDesk([RedundantLayers()], LAYERS)
        desk.see(Session(epoch=0, started=0.0, layers=tuple(infos)))
        told(desk, [PROBE, *(record for epoch in range(12) for record in check(epoch, figures))])
        assert [alert.layer for alert in desk.open] == named


def test_a_probe_that_nobody_fitted_does_not_count():
    figures = [(knn, silhouette, math.nan, cka) for knn, silhouette, _, cka in MIDDLE]
    (alert,) = watched(*[figures] * 9).open
    assert alert.layer == "conv3" and "linear probe" not in alert.text and alert.evidence["probe_accuracy"] is None


def test_a_layer_that_gives_back_what_went_into_a_closed_branch():
    """conv3 gives the same for every sample, and what comes behind it, a sum, is conv2's output."""
    closed = (0.1, 0.0, 0.1, math.nan)
    (alert,) = watched(*[[*MIDDLE[:2], closed, (0.96, 0.30, 0.96, math.nan), MIDDLE[4]]] * 9).open
    assert (alert.layer, alert.evidence["before"]) == ("dense", "conv2") and "CKA" not in alert.text
    assert watched(*[[*MIDDLE[:2], closed, (0.965, 0.32, 0.96, math.nan), MIDDLE[4]]] * 9).open == []


def test_nothing_is_redundant_while_the_model_still_learns():
    learning = [[(knn * (0.6 + 0.02 * epoch), *rest) for knn, *rest in MIDDLE] for epoch in range(20)]
    assert watched(*learning).open == []


def test_a_layer_near_the_margins_neither_comes_nor_goes():
    near = changed("conv3", silhouette=0.335)                   # beyond the margin, within what ends an alert
    assert watched(*[near] * 12).open == []
    assert [alert.layer for alert in watched(*[MIDDLE] * 8, *[near] * 12).open] == ["conv3"]


@settings(max_examples=40)
@given(st.permutations(range(5)), st.integers(0, 8))
def test_layers_may_come_in_any_order_and_an_epoch_without_one_is_no_check(order, lacking):
    desk = AlertDesk([RedundantLayers()], LAYERS)
    desk.see(PROBE)
    for epoch in range(9):
        records = [check(epoch)[place] for place in order]
        # Without conv2 an epoch's conv3 would be compared with conv1.
        told(desk, [record for record in records if epoch != lacking or epoch == 0 or record.layer != "conv2"])
    (alert,) = desk.open
    assert (alert.layer, alert.since) == ("conv3", 4 if 0 < lacking <= 3 else 3)


@settings(max_examples=60)
@given(st.lists(st.booleans(), max_size=20))
def test_an_alert_has_held_for_four_checks(same):
    """With a model that has learnt: three checks say so."""
    checks = [MIDDLE] * 3 + [MIDDLE if each else changed("conv3", cka=0.5) for each in same]
    runs = "".join("x" if each else "." for each in same)
    named = bool(watched(*checks).open)
    assert named == ("xxxx" in runs and "...." not in runs[runs.rfind("xxxx") :])


def test_a_second_fit_goes_on_where_the_first_ended():
    first = watched(*[LATE] * 9)
    opened = [Alert.from_dict(json.loads(json.dumps(alert.as_dict()))) for alert in first.open]
    second = AlertDesk([RedundantLayers()], LAYERS, opened=opened)
    told(second, [SESSION, PROBE, *(record for epoch in range(9, 13) for record in check(epoch, LATE))])
    assert {(alert.id, alert.evidence["saturated_from"]) for alert in second.open} == {
        ("redundant layer/conv3/3", "conv2"), ("redundant layer/dense/3", "conv2"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("option", "error", "message"),
    [
        ({"cka": 1.1}, ValueError, "cka=1.1 is out of range; give a number of 0 or more, 1 at most"),
        ({"probe_gain": "no"}, TypeError, "probe_gain='no' is not a number"),
        ({"checks": 0}, ValueError, "checks=0 is out of range"),
    ],
)
def test_wrong_options_are_refused(option, error, message):
    with pytest.raises(error, match=message):
        RedundantLayers(**option)


def trained(log_dir: Path, *middle: keras.layers.Layer) -> fw.reader.Run:
    """Twelve epochs on digits of a net with these layers in the middle."""
    images, labels = load_digits(return_X_y=True)
    x, y = (images[:900] / 16).astype(np.float32), labels[:900]
    keras.utils.set_random_seed(0)
    first = keras.layers.Dense(64, activation="tanh", name="first")
    model = keras.Sequential([keras.Input((64,)), first, *middle, keras.layers.Dense(10, activation="softmax", name="scores")])
    model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy")
    watch = fw.Watch(log_dir, fw.Probe(x[:300], y[:300]), recorders=[fw.Separation()], background=False, strict=True)
    model.fit(x, y, epochs=12, batch_size=64, verbose=0, callbacks=[watch])
    return fw.load(log_dir)


def test_a_planted_layer_is_named_in_the_log_and_its_neighbours_are_not(tmp_path: Path):
    second = keras.layers.Dense(64, activation="tanh", name="second")
    same = keras.layers.Dense(64, kernel_initializer="identity", trainable=False, name="same")
    run = trained(tmp_path, second, same)
    (alert,) = run.alerts
    assert (alert.kind, alert.layer, alert.severity, alert.view) == ("redundant layer", "same", "advice", "samples")
    assert alert.open
    assert alert.evidence["before"] == alert.evidence["saturated_from"] == "second"
    assert alert.evidence["cka"] == pytest.approx(1.0) and alert.evidence["parameters"] == 64 * 64 + 64
    assert alert.evidence["multiply_adds"] == 64 * 64 and 0 < alert.evidence["share_of_multiply_adds"] < 1
    assert run.to_frame("alerts")["layer"].tolist() == ["same"]
