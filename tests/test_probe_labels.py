"""What labels a probe understands, and what it takes for the targets of a regression."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris

from featwatch import Probe, wire
from featwatch.records import ProbeRecord


@pytest.mark.parametrize(
    "y",
    [
        [0, 2, 1, -1],
        np.array([0, 2, 1, -1], np.int8),
        np.array([[0], [2], [1], [-1]]),
        np.array([0.0, 2.0, 1.0, -1.0]),
        np.array([0, 2, 1, -1], object),
    ],
    ids=["list", "int8", "column", "integral floats", "objects"],
)
def test_class_numbers_in_every_form(y: Any) -> None:
    kept = Probe(np.zeros((4, 2)), y)
    assert kept.y.tolist() == [0, 2, 1, -1] and kept.y.dtype == np.int32 and kept.class_names == ()
    assert kept.labels is kept.y


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool"])
def test_one_hot_rows(dtype: str) -> None:
    assert Probe(np.zeros((3, 2)), np.eye(3, dtype=dtype)[[2, 0, 1]]).y.tolist() == [2, 0, 1]


def test_two_classes_as_booleans() -> None:
    assert Probe(np.zeros((2, 2)), np.array([True, False])).y.tolist() == [1, 0]


@pytest.mark.parametrize("dtype", [object, str, bytes])
def test_strings_are_numbered_in_sorted_order_or_by_the_names(dtype: type) -> None:
    y = np.array(["dog", "cat", "dog", "ape"], dtype)
    unnamed = Probe(np.zeros((4, 2)), y)
    assert unnamed.y.tolist() == [2, 1, 2, 0] and unnamed.class_names == ("ape", "cat", "dog")
    named = Probe(np.zeros((4, 2)), y[:, None], class_names=["cat", "dog", "ape", "bee"])
    assert named.y.tolist() == [1, 0, 1, 2] and named.class_names == ("cat", "dog", "ape", "bee")


def test_names_of_data_sets_come_as_they_are() -> None:
    for data in (load_digits(), load_iris()):
        kept = Probe(data.data, data.target, class_names=data.target_names)
        assert kept.class_names == tuple(str(name) for name in data.target_names)
        assert all(type(name) is str for name in kept.class_names)


def test_names_without_labels_name_the_predicted_classes() -> None:
    assert Probe(np.zeros((2, 2)), class_names=["a", "b"]).class_names == ("a", "b")


@pytest.mark.parametrize(
    ("y", "names", "error", "says"),
    [
        ([0, 1], None, ValueError, "y holds 2 labels and x 3 samples"),
        (np.array(3), None, ValueError, "y holds a single value"),
        ([0, 1, -2], None, ValueError, r"y\[2\] is -2; class numbers count from 0, and -1 means no label"),
        ([0, 1, 2**31], None, ValueError, r"y\[2\] is 2147483648"),
        ([0, 1, 2**70], None, ValueError, r"y\[2\] is 1180591620717411303424"),
        ([0, np.nan, 1], None, ValueError, r"y\[1\] is nan"),
        ([0, np.inf, 1], None, ValueError, r"y\[1\] is inf"),
        ([0.5, np.nan, 1], None, ValueError, r"y\[1\] is nan; leave such samples out"),
        (np.array([[0.5, 1], [np.inf, 1], [0, 0]]), None, ValueError, r"y\[1, 0\] is inf; leave such samples out"),
        ([[0], [1], [1, 2]], None, ValueError, "one label per sample"),
        (np.array([["a", "b"]] * 3), None, ValueError, "one string per sample"),
        (np.array(["a", None, "b"], object), None, TypeError, r"y\[1\] is None"),
        (np.array(["a", 3, "b"], object), None, TypeError, r"y\[1\] is 3"),
        (np.array([1j, 1, 1]), None, TypeError, "dtype complex"),
        ([0, 1, 2], ["a", "b"], ValueError, "class_names holds 2 names, but y goes up to 2"),
        (["a", "b", "c"], ["a", "b"], ValueError, r"y\[2\] is 'c', which is not among class_names"),
        (["a", "b", "a"], ["a", "b", "a"], ValueError, "a name twice"),
        ([0, 1, 2], "abc", TypeError, "class_names is a str"),
        ([0, 1, 2], {"a", "b", "c"}, TypeError, "class_names is a set"),
        ([0, 1, 2], {0: "a"}, TypeError, "class_names is a dict"),
        ([0, 1, 2], 3, TypeError, "class_names=3"),
    ],
)
def test_labels_that_do_not_fit_are_refused(y: Any, names: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        Probe(np.zeros((3, 2)), y, class_names=names)


@pytest.mark.parametrize(
    ("y", "columns", "says"),
    [
        ([0.25, -3, 7, 8], 1, "y is taken as targets of a regression"),
        ([[0.25], [1], [2], [3]], 1, "regression"),
        ([-5.0, 3.0, 1.0, 0.0], 1, "regression"),                   # whole, but no class numbers
        ([250_000.0, 310_000.0, 120_000.0, 90_000.0], 1, "regression"),
        ([[0.5, 2], [3, 4], [5, 6], [7, 8]], 2, "regression"),
        (np.full((4, 4), 0.25), 4, r"probabilities.*y.argmax\(axis=1\)"),
        ([[0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 1]], 3, "several classes per sample"),
        (np.zeros((4, 2, 2)), 0, "kept in probe.y and not recorded"),
        (np.full((4, 65), 0.5), 0, "kept in probe.y and not recorded"),
    ],
)
def test_measurements_are_targets_and_no_labels(y: Any, columns: int, says: str) -> None:
    kept = Probe(np.zeros((4, 2)), y, size=3)
    assert np.array_equal(kept.y, np.asarray(y)[kept.indices])
    assert kept.labels.tolist() == [-1, -1, -1] and kept.classes_seen == 0 and re.search(says, " ".join(kept.notes))
    record = wire.decode(wire.encode(kept.record(0)))
    assert isinstance(record, ProbeRecord) and record.notes == kept.notes
    assert record.targets.shape == ((3, columns) if columns else (0, 0))
    if columns:
        np.testing.assert_array_equal(record.targets, np.asarray(y, np.float32).reshape(4, columns)[kept.indices])


def test_of_several_outputs_the_one_with_classes_has_the_labels() -> None:
    x, age, kind = np.zeros((4, 2)), np.array([0.5, 1, 2, 3]), np.array(["a", "b", "a", "b"])
    kept = Probe(x, {"age": age, "kind": kind}, size=3)
    assert kept.class_names == ("a", "b") and kept.labels.tolist() == (kept.indices % 2).tolist()
    assert np.array_equal(kept.y["age"], age[kept.indices]) and kept.notes == ("the labels are y['kind']",)
    assert kept.record(0).targets.tolist() == age[kept.indices, None].tolist()
    for y in ((kind, [0, 1, 2, 0]), {"a": kind, "b": [0, 1, 2, 0]}):
        several = Probe(x, y)
        assert several.labels.tolist() == [-1] * 4 and "several of which could be class labels" in several.notes[0]
    none = Probe(x, [age, age])
    assert none.labels.tolist() == [-1] * 4 and "none of which are class labels" in none.notes[0] and isinstance(none.y, tuple)
    with pytest.raises(ValueError, match=r"y\['kind'\] holds 4 labels and x 5"):
        Probe(np.zeros((5, 2)), {"kind": kind})


def test_the_classes_that_were_seen_are_counted() -> None:
    assert Probe(np.zeros((4, 2)), [0, 7, -1, 2]).classes_seen == 8
    assert Probe(np.zeros((4, 2))).classes_seen == 0
