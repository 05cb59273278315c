"""`ClassSpecificity`: against a plain loop, a network whose units are planted, and chance."""

from __future__ import annotations

import math
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import featwatch as fw
from featwatch import reductions
from featwatch.activations import Passing
from featwatch.analysis.specificity import only_largest, specific_units
from featwatch.recorders import LayerSnapshot
from featwatch.records import LayerInfo, Specificity
from featwatch.reductions import About
from featwatch.sketch import Sketch


def by_a_loop(activations: np.ndarray, labels: np.ndarray, below: np.ndarray, margin: float) -> list[dict[str, object]]:
    """What is said of each filter, written down as one says it."""
    classes = [c for c in range(labels.max() + 1) if (labels == c).any()]
    said = []
    for f in range(activations.shape[1]):
        means = {c: float(np.mean(activations[labels == c, f].astype(float))) for c in classes}
        overall = sum(means.values()) / len(classes)
        under = sum(float(np.mean(below[labels == c, f].astype(float))) for c in classes) / len(classes)
        answers = []
        for c in classes:
            mine = activations[labels == c, f].astype(float)
            if len(mine) < 2:
                continue
            chance = stats.t.ppf(0.975, len(mine) - 1) * stats.sem(mine)
            if means[c] > (1 + margin) * overall and means[c] - overall > chance:
                answers.append(c)
        answers.sort(key=lambda c: -means[c])
        defined = overall > 0 and under <= margin * overall
        said.append({
            "means": means, "overall": overall,
            "modality": (len(answers) if len(answers) <= 2 else 0) if defined else -1,
            "first": answers[0] if defined and answers else -1,
            "second": answers[1] if defined and len(answers) > 1 else -1,
        })  # fmt: skip
    return said


def some_activations(samples: int = 150, filters: int = 40, classes: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rectified and not, with classes of 1 to many samples, one that is missing, and unlabelled samples."""
    rng = np.random.default_rng(seed)
    labels = rng.choice([-1, 0, 1, 2, 4, 5], samples, p=[0.1, 0.4, 0.2, 0.2, 0.07, 0.03])
    labels[labels == 5] = 0
    labels[3] = 5
    levels = rng.exponential(size=(classes + 1, filters)) * (rng.random((classes + 1, filters)) < 0.4)
    values = levels[labels] + rng.normal(0, 0.4, (samples, filters)) + rng.normal(0, 0.1, filters)
    values[:, : filters // 2] = np.maximum(values[:, : filters // 2], 0)
    return values.astype(np.float32), labels.astype(np.int32)


@pytest.mark.parametrize("margin", [0.4, 0.1, 1.5])
@pytest.mark.parametrize("seed", range(4))
def test_it_is_what_a_plain_loop_says(seed: int, margin: float):
    values, labels = some_activations(seed=seed)
    below = np.maximum(-values, 0)
    found = specific_units(values, labels, below, margin=margin)
    said = by_a_loop(values, labels, below, margin)
    for name in ("modality", "first", "second"):
        np.testing.assert_array_equal(getattr(found, name), [each[name] for each in said], err_msg=name)
    np.testing.assert_allclose(found.overall, [each["overall"] for each in said], rtol=1e-12)
    for c in range(6):
        mine = [each["means"].get(c, math.nan) for each in said]
        np.testing.assert_allclose(found.means[c], mine, rtol=1e-12, equal_nan=True)
    assert np.isnan(found.means[3]).all() and found.samples.tolist() == [int((labels == c).sum()) for c in range(6)]
    if margin == 0.4:
        assert set(found.modality) == {-1, 0, 1, 2}         # nothing of it was trivial


@pytest.mark.parametrize("each", [2, 3, 4])
def test_with_few_samples_of_a_class_it_is_what_a_plain_loop_says(each: int):
    rng = np.random.default_rng(each)
    labels = np.repeat(np.arange(5), each).astype(np.int32)
    values = np.maximum(rng.exponential(size=(5, 120))[labels] + rng.normal(0, 1 / each, (len(labels), 120)), 0)
    found = specific_units(values, labels)
    said = by_a_loop(values, labels, np.zeros_like(values), 0.4)
    np.testing.assert_array_equal(found.modality, [one["modality"] for one in said])
    assert {0, 1} <= set(found.modality)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.25, 3.0, 1000.0]))
def test_neither_the_scale_nor_the_order_of_the_samples_matters(seed: int, scale: float):
    values, labels = some_activations(40, 8, seed=seed)
    found = specific_units(values, labels)
    order = np.random.default_rng(seed).permutation(len(labels))
    other = specific_units(scale * values[order], labels[order])
    np.testing.assert_array_equal(other.modality, found.modality)
    np.testing.assert_array_equal(other.first, found.first)
    np.testing.assert_allclose(other.overall, scale * found.overall, rtol=1e-6, atol=scale * 1e-6)


def test_a_probe_with_many_samples_of_one_class_does_not_decide_it():
    """With the mean over samples, 95 of class 0 would pull it so far up that class 0 could exceed it by 5 % at most."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [95, 5]).astype(np.int32)
    values = np.where(labels == 0, 1.0, 0.2)[:, None] + 0.01 * rng.random((100, 1))
    assert values[labels == 0].mean() < 1.05 * values.mean()
    assert specific_units(values, labels).modality.tolist() == [1]
    even = np.concatenate([np.arange(5), np.arange(95, 100)])
    assert specific_units(values[even], labels[even]).modality.tolist() == [1]


@pytest.mark.parametrize("each", [2, 3, 5, 20])
def test_chance_makes_few_filters_specific(each: int):
    """Labels at random: sparse activations with long tails, as behind a rectifier.  Without the test a third would be."""
    rng = np.random.default_rng(each)
    labels = np.repeat(np.arange(10), each).astype(np.int32)
    values = np.maximum(rng.normal(-0.5, 1, (len(labels), 2000)), 0) ** 2
    found = specific_units(values, labels)
    counted = np.mean((found.modality > 0) | (found.first >= 0))
    exceeds = (found.means > 1.4 * found.overall).any(axis=0).mean()
    assert counted < 0.15 and exceeds > 0.3 and counted < exceeds / 3


def test_a_single_sample_is_no_evidence():
    labels = np.array([0, 0, 0, 1, 2, 2], np.int32)
    values = np.where(labels == 1, 100.0, 1.0)[:, None] + np.linspace(0, 0.1, 6)[:, None]
    assert specific_units(values, labels).modality.tolist() == [0]


def test_what_lies_below_zero_makes_it_undefined_only_where_it_weighs():
    """A hyperbolic tangent around zero has no ratio; a GELU that is mostly above has one."""
    rng = np.random.default_rng(1)
    labels = np.arange(300, dtype=np.int32) % 3
    driven = np.where(labels == 0, 2.0, -0.5)[:, None] + 0.1 * rng.normal(size=(300, 1))
    shapes = [np.tanh(driven), driven * stats.norm.cdf(driven), np.where(driven > 0, driven, 0.1 * driven), driven - 1]
    values = np.concatenate(shapes, axis=1)
    below = np.maximum(-values, 0)
    assert specific_units(values, labels, below).modality.tolist() == [-1, 1, 1, -1]
    assert specific_units(values, labels).modality.tolist() == [1, 1, 1, -1]        # the mean alone would not tell


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6))
def test_a_class_that_counts_gets_more_above_zero_than_the_others(seed: int):
    """The rule for what lies below zero, as its docstring derives it."""
    rng = np.random.default_rng(seed)
    labels = np.arange(60, dtype=np.int32) % 4
    values = rng.normal(rng.normal(0.3, 0.5, (4, 30))[labels], 0.3)
    above, below = np.maximum(values, 0), np.maximum(-values, 0)
    found = specific_units(values, labels, below)
    for f in np.flatnonzero(found.first >= 0):
        by_class = [above[labels == c, f].mean() for c in range(4)]
        assert by_class[found.first[f]] > np.mean(by_class)


def test_the_reduction_is_the_mean_below_zero():
    values = np.random.default_rng(0).normal(size=(7, 4, 5, 3)).astype(np.float32)
    expected = np.maximum(-values, 0).mean(axis=(1, 2))
    for bounds in (Passing(), Passing(-0.99, 0.99), Passing(gap=0.01)):
        about = About(Sketch.of_length(1), 7, passing=bounds)
        np.testing.assert_allclose(reductions.below_zero(tf.constant(values), about).numpy(), expected, rtol=1e-6)
    rectified = np.maximum(values, 0)
    for given_to in (about, About(Sketch.of_length(1), 7, passing=Passing(low=0.0))):
        np.testing.assert_array_equal(reductions.below_zero(tf.constant(rectified), given_to).numpy(), np.zeros((7, 3)))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_of_a_filter_that_is_not_finite_nothing_is_said(value: float):
    values, labels = some_activations()
    sound = specific_units(values, labels)
    values[5, 2] = value
    found = specific_units(values, labels)
    assert found.modality[2] == found.first[2] == -1 and math.isnan(found.overall[2]) and np.isnan(found.means[:, 2]).all()
    rest = np.arange(40) != 2
    np.testing.assert_array_equal(found.modality[rest], sound.modality[rest])
    assert (found.non_finite, sound.non_finite) == (1, 0)


def test_of_many_classes_the_largest_means_are_kept():
    means = np.array([[1.0, 5.0], [np.nan, np.nan], [3.0, 4.0], [2.0, 6.0]])
    kept = only_largest(means, 2)
    np.testing.assert_array_equal(kept, [[np.nan, 5], [np.nan, np.nan], [3, np.nan], [2, 6]])
    np.testing.assert_array_equal(only_largest(means, 4), means)


def snapshot(values: np.ndarray, labels: np.ndarray, **more) -> LayerSnapshot:
    info = LayerInfo(
        name="d", type="Dense", shape=values.shape[1:], filters=values.shape[1], tapped="d", activation="relu", parameters=1,
        features=values.shape[1], sketch=values.shape[1],
    )  # fmt: skip
    reduced = {"mean": values, "below_zero": np.maximum(-values, 0)}
    return LayerSnapshot(epoch=2, info=info, labels=labels, reductions=reduced, **more)


def test_a_layer_of_many_classes_stays_small():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(1000), 2).astype(np.int32)
    record = fw.ClassSpecificity().analyse(snapshot(rng.random((2000, 512), np.float32), labels))
    assert isinstance(record, Specificity) and (np.isfinite(record.means).sum(axis=0) == 512).all()
    assert "512 largest means" in record.note


@pytest.mark.parametrize(
    ("labels", "why"), [([-1] * 6, "the probe has no class labels"), ([-1, 3, 3, 3, -1, 3], "are of one class")]
)
def test_without_classes_it_is_said_once(labels: list[int], why: str):
    given = snapshot(np.ones((6, 4), np.float32), np.array(labels, np.int32))
    record = fw.ClassSpecificity().analyse(given)
    assert isinstance(record, Specificity) and why in record.note
    assert record.modality.tolist() == [-1] * 4 and record.means.shape == (0, 4)
    assert fw.ClassSpecificity().analyse(snapshot(given.reductions["mean"], given.labels, previous=record)) is None


@pytest.mark.parametrize("margin", [0, -1, math.nan, "40 %"])
def test_a_margin_that_is_none_is_refused(margin):
    with pytest.raises((TypeError, ValueError), match=f"margin={margin!r} is .*; give a number above 0"):
        fw.ClassSpecificity(margin=margin)


PLANTED = {"one": [0], "two": [1, 3], "three": [0, 1, 2], "all": [0, 1, 2, 3]}


def test_a_network_with_planted_units(tmp_path: Path):
    """Units of a Dense layer that answer to one, two, three and all of four classes, and one that is dead."""
    rng = np.random.default_rng(0)
    y = np.arange(200) % 4
    x = (np.eye(4)[y] + 0.1 * rng.random((200, 4))).astype(np.float32)
    weights = np.zeros((4, 5), np.float32)
    for unit, classes in enumerate(PLANTED.values()):
        weights[classes, unit] = 1
    layer = keras.layers.Dense(5, activation="relu", name="planted")
    model = keras.Sequential([keras.Input((4,)), layer])
    layer.set_weights([weights, np.array([-0.2, -0.2, -0.3, -0.3, 0], np.float32)])
    run = fw.snapshot(model, fw.Probe(x, y), str(tmp_path), recorders=[fw.ClassSpecificity()])
    found = run.specificity("planted", 0)
    assert found.modality.tolist() == [1, 2, 0, 0, -1]
    # To three of four classes that answer alike: each exceeds the mean by a third.
    assert found.first[0] == 0 and {found.first[1], found.second[1]} == {1, 3} and found.first[3] == -1
    outputs = np.asarray(model(x))
    np.testing.assert_allclose(found.means, [outputs[y == c].mean(axis=0) for c in range(4)], rtol=1e-5, atol=1e-7)
    assert (found.share(1), found.share(2), found.share(0)) == (0.25, 0.25, 0.5)
    assert found.note == "filters that are undefined, as they do not lie above zero on the whole: 1"
