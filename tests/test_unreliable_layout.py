"""Layouts that are not to be believed: by their numbers, and in trainings with a layout that shows nothing."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.manifold import trustworthiness

import featwatch as fw
from featwatch.alerts import AlertDesk, UnreliableLayout, default_detectors
from featwatch.alerts.thresholds import DEFAULTS
from featwatch.records import Alert, Embedding

ROOT = Path(__file__).resolve().parent.parent
SPREAD = np.random.default_rng(0).normal(size=(100, 2)).astype(np.float32)


def embedding(epoch: int, trust: float = 0.95, kept: float = 0.6, *, points: np.ndarray = SPREAD, **more) -> Embedding:
    return Embedding(epoch=epoch, layer="dense", points=points, trustworthiness=trust, neighbors_kept=kept, neighbors=15, **more)


def told(records, **options) -> list[Alert]:
    desk = AlertDesk([UnreliableLayout(**options)], ("dense",))
    alerts = []
    for record in records:
        desk.see(record)
        alerts += desk.drain()
    return alerts


@given(st.lists(st.floats(0, 1), max_size=12))
def test_it_is_told_where_the_trustworthiness_is_low_twice_in_a_row(levels):
    alerts = told([embedding(epoch, level) for epoch, level in enumerate(levels)])
    low = [level < 0.75 for level in levels]
    twice = [epoch for epoch in range(1, len(low)) if low[epoch] and low[epoch - 1]]
    assert [alert.raised for alert in alerts if alert.open][:1] == twice[:1]


def test_what_the_alert_says():
    (alert,) = told([embedding(3, 0.52, 0.16, method="mine"), embedding(4, 0.5, 0.16, method="mine")])
    assert (alert.id, alert.severity, alert.layer, alert.since, alert.view) == ("layout/dense/3", "advice", "dense", 3, "samples")
    assert alert.text == (
        "its picture is not to be believed: its trustworthiness is 0.50, where points at random have 0.50; "
        "it keeps 16% of each sample's 15 nearest neighbours, where points at random would keep 15%"
    )
    assert "feature space" in alert.suggestion and "pca" in alert.suggestion and "larger probe" in alert.suggestion
    assert alert.evidence["by_chance"] == pytest.approx(15 / 99) and alert.evidence["method"] == "mine"


def test_it_goes_when_the_layout_is_better_for_two_checks():
    alerts = told([embedding(epoch, trust) for epoch, trust in enumerate([0.6, 0.6, 0.9, 0.6, 0.9, 0.9])])
    assert [(alert.id, alert.resolved) for alert in alerts] == [("layout/dense/0", -1), ("layout/dense/0", 5)]


def test_neighbours_that_are_kept_count_above_chance():
    """Of 31 samples 15 neighbours are kept by half at random; of 1,001 only 1.5 %."""
    few, many = SPREAD[:31], np.random.default_rng(1).normal(size=(1001, 2))
    assert told([embedding(epoch, kept=0.51, points=few) for epoch in range(2)])[0].evidence["by_chance"] == 0.5
    assert told([embedding(epoch, kept=0.51, points=many) for epoch in range(2)]) == []
    assert len(told([embedding(epoch, kept=0.06, points=many) for epoch in range(2)])) == 1


def jumping(epoch: int, *, rank: float = 0.0, movement: float = 0.1, far: float = 2.0) -> Embedding:
    """A layout in which everything goes `far` from one epoch to the next."""
    points = SPREAD + np.float32(far * (epoch % 2))
    moved = np.full(len(points), movement, np.float32)
    return embedding(epoch, points=points, started_from=epoch - 1, stability_rank=rank, movement=moved)


def test_a_picture_that_jumps_while_the_features_stay():
    (alert,) = told(jumping(epoch) for epoch in range(4))
    assert (alert.since, alert.raised) == (1, 2)        # of the first there is nothing to compare it with
    assert "hardly at all, and other samples than those whose features did (ρ 0.00)" in alert.text
    assert "`start`" in alert.suggestion and alert.evidence["features_moved"] == pytest.approx(0.1)
    radius = math.sqrt(np.mean(np.sum((SPREAD - SPREAD.mean(0)) ** 2, axis=1)))
    assert alert.evidence["moved"] == pytest.approx(2 * math.sqrt(2) / radius, rel=1e-4)


@pytest.mark.parametrize(
    ("why", "how"),
    [
        ("it moves with the features", {"rank": 0.5}), ("how it moves is not known", {"rank": math.nan}),
        ("the features move as well", {"movement": 2.0}), ("it hardly moves", {"far": 0.05}),
    ],
)  # fmt: skip
def test_no_picture_jumps_where(why, how):
    assert told(jumping(epoch, **how) for epoch in range(6)) == []


def test_a_picture_that_jumps_from_step_to_step():
    steps = [dataclasses.replace(jumping(k), epoch=1, step=40 * k, started_from=40 * (k - 1)) for k in range(4)]
    (alert,) = told(steps)
    assert "of its radius since step 40, the features hardly at all" in alert.text


def test_a_layout_that_started_elsewhere_or_of_other_samples_does_not_jump():
    records = [jumping(epoch) for epoch in range(5)]
    assert told(embedding(r.epoch, points=r.points, stability_rank=0.0, movement=r.movement) for r in records) == []
    fewer = [embedding(epoch, points=SPREAD[:90] + 2, started_from=epoch - 1, stability_rank=0.0) for epoch in (1, 2)]
    assert told([jumping(0), *fewer]) == []


def test_numbers_that_are_not_known_and_probes_that_are_tiny_give_no_verdict():
    assert told(embedding(epoch, math.nan, math.nan) for epoch in range(4)) == []
    assert told(embedding(epoch, 0.4, 0.5, points=SPREAD[:29]) for epoch in range(4)) == []
    assert len(told(embedding(epoch, 0.4, 0.5, points=SPREAD[:30]) for epoch in range(4))) == 1
    assert told(embedding(epoch, points=SPREAD * 0, started_from=epoch - 1, stability_rank=0.0) for epoch in range(4)) == []


def test_the_limit_lies_between_points_at_random_and_those_of_pca():
    """By scikit-learn's measure, for the smallest probe that is judged, and for digits as they are."""
    rng = np.random.default_rng(0)
    at_random = [trustworthiness(rng.normal(size=(30, 64)), rng.normal(size=(30, 2)), n_neighbors=10) for _ in range(50)]
    assert max(at_random) < DEFAULTS.layout_trustworthiness
    images = load_digits().data[:300]
    plane = np.linalg.svd(images - images.mean(0), full_matrices=False)
    assert trustworthiness(images, (plane[0] * plane[1])[:, :2], n_neighbors=15) > DEFAULTS.layout_trustworthiness


def test_the_page_veils_what_the_alert_calls_unreliable():
    frontend = ROOT / "tensorboard_plugin" / "frontend" / "src"
    sources = [path for path in frontend.rglob("*") if path.suffix in (".svelte", ".ts")]
    limits = {match[1] for source in sources for match in re.finditer(r"DOUBTFUL = ([\d.]+)", source.read_text("utf-8"))}
    assert {float(limit) for limit in limits} == {DEFAULTS.layout_trustworthiness}


def test_it_is_among_the_default_alerts_and_checks_what_it_is_given():
    assert [type(each) for each in default_detectors()].count(UnreliableLayout) == 1
    for wrong, message in (({"checks": 0}, "checks=0 is out"), ({"trustworthiness": 1.5}, "trustworthiness=1.5 is out")):
        with pytest.raises(ValueError, match=message):
            UnreliableLayout(**wrong)


def trained(log_dir: Path, layout) -> fw.reader.Run:
    """Six epochs on digits, 150 of them looked at."""
    images, labels = load_digits(return_X_y=True)
    x, y = (images[:600] / 16).astype(np.float32), labels[:600]
    keras.utils.set_random_seed(0)
    hidden = keras.layers.Dense(32, activation="tanh", name="hidden")
    model = keras.Sequential([keras.Input((64,)), hidden, keras.layers.Dense(10, activation="softmax", name="scores")])
    model.compile(keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy")
    watch = fw.Watch(log_dir, fw.Probe(x[:150], y[:150]), recorders=[fw.Embeddings(layout)], background=False, strict=True)
    model.fit(x, y, epochs=6, batch_size=64, verbose=0, callbacks=[watch])
    return fw.load(log_dir)


def at_random(features: np.ndarray, *, start: np.ndarray | None, seed: int) -> np.ndarray:
    return np.random.default_rng(int(features.sum() * 1e6) % 2**32).normal(size=(len(features), 2))


def test_a_layout_at_random_is_called_that_in_the_log_and_in_its_frame(tmp_path: Path, capsys):
    run = trained(tmp_path, at_random)
    assert {(alert.kind, alert.layer, alert.view) for alert in run.alerts} == {
        ("layout", "hidden", "samples"), ("layout", "scores", "samples"),
    }  # fmt: skip
    assert all(alert.open and alert.since == 0 and alert.raised == 1 for alert in run.alerts)
    assert all(0.4 < alert.evidence["trustworthiness"] < 0.6 for alert in run.alerts)
    assert capsys.readouterr().err.count("⚠ layout in ") == 2
    frame = run.to_frame("alerts")
    assert frame["kind"].tolist() == ["layout"] * 2 and frame["view"].tolist() == ["samples"] * 2


@pytest.mark.parametrize("layout", ["pca", "umap"])
def test_a_healthy_training_is_believed(layout, tmp_path: Path):
    run = trained(tmp_path, layout)
    assert run.alerts == []
    assert all(run.embedding(layer, run.epochs[-1]).trustworthiness > 0.85 for layer in run.layers)
