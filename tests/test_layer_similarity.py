"""`LayerSimilarity` and `Separation`'s CKA: which layers and epochs are compared, and what is said where they cannot be."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

import featwatch as fw
from featwatch import wire
from featwatch.analysis.cka import cka, gram_vector
from featwatch.recorders import LayerSnapshot, NothingToSay
from featwatch.recorders.base import Before
from featwatch.records import LayerAlignment, LayerInfo
from tests.fits import X, fit
from tests.nets import sequential

SAMPLES = 50


def snapshot(name: str, seed: int, epoch: int = 3, **more) -> LayerSnapshot:
    info = LayerInfo(
        name=name, type="Dense", shape=(6,), filters=6, tapped=name, activation="relu", parameters=1, features=6, sketch=6
    )
    features = np.random.default_rng(seed).normal(size=(SAMPLES, 6)).astype(np.float32)
    given = {"epoch": epoch, "info": info, "labels": np.full(SAMPLES, -1, np.int32), "reductions": {"features": features}}
    return LayerSnapshot(**{**given, **more})


def features(given: LayerSnapshot) -> np.ndarray:
    return given.reductions["features"]


def after(given: LayerSnapshot, epoch: int = 2, **more) -> LayerSnapshot:
    """The same layer with a record of an earlier epoch, made of features that were a little different."""
    rng = np.random.default_rng(9)
    earlier = features(given) + 0.5 * rng.normal(size=features(given).shape).astype(np.float32)
    one = np.ones(1, np.float32)
    previous = LayerAlignment(epoch=epoch, layers=np.array(["a"]), matrix=one[None], to_last=one)
    return dataclasses.replace(given, previous=previous, previous_reductions={"features": earlier}, **more)


def between(one: np.ndarray, other: np.ndarray) -> float:
    return pytest.approx(cka(gram_vector(one), gram_vector(other)), abs=1e-6)


def test_every_pair_and_every_layer_with_itself():
    given = [after(snapshot("a", 0)), after(snapshot("b", 1)), snapshot("c", 2)]
    record = fw.LayerSimilarity().analyse_layers(given)
    assert record.layers.tolist() == ["a", "b", "c"] and (record.epoch, record.layer, record.last) == (3, "", 2)
    assert record.samples == SAMPLES
    for i, one in enumerate(given):
        for j, other in enumerate(given):
            assert record.matrix[i, j] == between(features(one), features(other))
    assert record.to_last[0] == between(features(given[0]), given[0].previous_reductions["features"]) != 1.0
    assert np.isnan(record.to_last).tolist() == [False, False, True]
    again = wire.decode(wire.encode(record))
    np.testing.assert_array_equal(again.matrix, record.matrix)
    np.testing.assert_array_equal(again.to_last, record.to_last)


def test_a_layer_of_an_older_record_is_not_mixed_with_the_others():
    record = fw.LayerSimilarity().analyse_layers([after(snapshot("a", 0), 1), after(snapshot("b", 1), 2)])
    assert record.last == 2 and np.isnan(record.to_last).tolist() == [True, False]


def test_on_a_schedule_of_steps_the_last_is_a_step():
    given = after(snapshot("a", 0, step=40))
    given = dataclasses.replace(given, previous=dataclasses.replace(given.previous, step=20))
    assert fw.LayerSimilarity().analyse_layers([given]).last == 20


def test_features_of_another_probe_are_not_compared():
    given = dataclasses.replace(after(snapshot("a", 0)), previous_reductions={"features": np.zeros((SAMPLES - 1, 6), np.float32)})
    record = fw.LayerSimilarity().analyse_layers([given])
    assert record.last == -1 and np.isnan(record.to_last).all()
    assert record.matrix.tolist() == [[1.0]]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_layer_that_diverged_costs_the_others_nothing(value):
    given = [snapshot("a", 0), snapshot("b", 1), snapshot("c", 2)]
    features(given[1])[4, 4] = value
    record = fw.LayerSimilarity().analyse_layers(given)
    assert np.isnan(record.matrix[1]).all() and record.matrix[0, 2] == between(features(given[0]), features(given[2]))
    with pytest.raises(NothingToSay, match="all layers at epoch 3 are not finite"):
        fw.LayerSimilarity().analyse_layers([given[1]])


def test_constant_layers_are_like_none():
    given = [snapshot("a", 0), snapshot("b", 1, reductions={"features": np.ones((SAMPLES, 6), np.float32)})]
    assert np.isnan(fw.LayerSimilarity().analyse_layers(given).matrix).tolist() == [[False, True], [True, True]]


def test_it_says_nothing_of_one_layer_alone():
    assert fw.LayerSimilarity().analyse(snapshot("a", 0)) is None


def test_arrays_that_cannot_be_written_will_do_and_stay_as_they_are():
    given = [after(snapshot("a", 0)), snapshot("b", 1)]
    copies = [features(one).copy() for one in given]
    for one in given:
        features(one).flags.writeable = False
    fw.LayerSimilarity().analyse_layers(given)
    for one, copy in zip(given, copies, strict=True):
        np.testing.assert_array_equal(features(one), copy)


def test_separation_looks_at_the_layer_before_and_at_itself_at_the_last_epoch():
    given, before = after(snapshot("b", 1)), snapshot("a", 0)
    given = dataclasses.replace(given, before=Before("a", {"features": features(before)}))
    record = fw.Separation().analyse(given)
    assert (record.previous, record.last, record.compared) == ("a", 2, 0)
    assert record.cka_to_previous == between(features(given), features(before))
    assert record.cka_to_last == between(features(given), given.previous_reductions["features"])
    assert math.isnan(record.knn_accuracy) and math.isnan(record.probe_accuracy) and record.samples == 0     # it has no labels


def test_separation_of_the_first_layer_at_the_first_epoch():
    record = fw.Separation().analyse(snapshot("a", 0, labels=np.arange(SAMPLES, dtype=np.int32) % 2))
    assert (record.previous, record.last) == ("", -1)
    assert math.isnan(record.cka_to_previous) and math.isnan(record.cka_to_last)
    assert 0 <= record.probe_accuracy <= 1 and record.probe_deviation >= 0 and record.samples == SAMPLES


def test_a_layer_that_does_not_move_is_like_itself():
    given = snapshot("a", 0)
    given = dataclasses.replace(after(given), previous_reductions={"features": features(given).copy()})
    assert fw.Separation().analyse(given).cka_to_last == 1.0
    assert fw.LayerSimilarity().analyse_layers([given]).to_last.tolist() == [1.0]


def test_separation_says_what_was_only_a_part(monkeypatch):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 120).astype(np.int32)
    given = snapshot("a", 0, labels=labels, reductions={"features": rng.normal(size=(120, 20)).astype(np.float32)})
    whole = fw.Separation().analyse(given)
    assert (whole.judged, whole.probed, whole.compared, whole.exact_neighbors) == (0, 0, 0, True)
    monkeypatch.setattr("featwatch.analysis.neighbours.WHOLE", 50)
    monkeypatch.setattr("featwatch.analysis.separation.PROBED", 60)
    monkeypatch.setattr("featwatch.recorders.separation.MOST_SAMPLES", 70)
    part = fw.Separation().analyse(dataclasses.replace(given, shared={}))
    assert (part.judged, part.probed, part.compared, part.samples) == (50, 60, 70, 120)


def test_in_a_training_without_labels_all_that_needs_none_is_recorded(tmp_path):
    recorders = [fw.Separation(), fw.LayerSimilarity()]
    watch = fw.Watch(tmp_path, fw.Probe(X[:60]), recorders=recorders, background=False, strict=True)
    fit(sequential(), watch, epochs=2)
    run = fw.load(tmp_path)
    assert run.layers == ["conv", "dense", "scores"]
    for epoch in (0, 1, 2):
        between_layers = run.cka(epoch)
        assert between_layers.layers.tolist() == run.layers and between_layers.last == epoch - 1
        for index, layer in enumerate(run.layers):
            record = run.separation(layer, epoch)
            assert record.previous == ("", "conv", "dense")[index] and record.last == epoch - 1
            assert math.isnan(record.probe_accuracy) and record.samples == 0
            expected = between_layers.matrix[index, index - 1] if index else math.nan
            assert record.cka_to_previous == pytest.approx(expected, abs=1e-6, nan_ok=True)
            assert record.cka_to_last == pytest.approx(between_layers.to_last[index], abs=1e-6, nan_ok=True)
            assert math.isnan(record.cka_to_last) == (epoch == 0)
    frame = run.to_frame("cka")
    assert len(frame) == 27 and list(frame.columns) == ["epoch", "layer", "other", "cka"]
    assert frame.query("epoch == 1 and layer == 'dense' and other == 'conv'").cka.item() == run.cka(1).matrix[1, 0]
