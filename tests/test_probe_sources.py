"""What a probe can be made of beside one array: several inputs, data sets of TensorFlow, generators."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featwatch import Probe
from featwatch.structures import filled, leaves, mapped
from tests.samples import numbered


class Pair(NamedTuple):
    left: Any
    right: Any


# Several inputs


def nested() -> dict[str, Any]:
    return {
        "picture": numbered(30, 4, 4, 1),
        "more": (numbered(30, 3), {"age": np.arange(30), "word": np.array([f"w{i}" for i in range(30)])}),
        "pair": Pair(numbered(30, 2).astype(np.float16), np.arange(30) % 2 == 0),
    }


def test_the_structure_of_several_inputs_is_kept() -> None:
    kept = Probe(nested(), np.arange(30) % 3, size=9, batch_size=4)
    assert list(kept.x) == ["picture", "more", "pair"] and isinstance(kept.x["more"], tuple) and isinstance(kept.x["pair"], Pair)
    assert np.array_equal(kept.x["picture"][:, 0, 0, 0], kept.indices) and np.array_equal(kept.x["more"][1]["age"], kept.indices)
    assert kept.x["more"][1]["word"].tolist() == [f"w{i}" for i in kept.indices]
    assert str(kept.spec["picture"]) == "(4, 4, 1) float32" and kept.spec["pair"].right.dtype == "bool"
    assert kept.spec["more"][1]["word"].dtype == "string" and kept.spec["more"][1]["word"].shape == ()
    assert "'picture': (4, 4, 1) float32" in repr(kept)


def test_batches_of_several_inputs_are_filled_up_together() -> None:
    kept = Probe(nested(), size=9, batch_size=4)
    batches = list(kept.batches())
    assert [count for _, count in batches] == [4, 4, 1]
    for batch, _ in batches:
        assert all(len(array) == 4 for _, array in leaves(batch))
    assert batches[2][0]["more"][1]["age"].tolist() == [kept.indices[-1]] * 4


def test_keras_sees_the_same_structure() -> None:
    structure = {"b": (1, {"d": 2, "c": 3}), "a": Pair(4, 5)}
    assert mapped(str, structure) == keras.tree.map_structure(str, structure)
    assert sorted(leaf for _, leaf in leaves(structure)) == sorted(keras.tree.flatten(structure))
    assert filled(structure, [leaf for _, leaf in leaves(structure)]) == structure
    paths = ["x['b'][0]", "x['b'][1]['d']", "x['b'][1]['c']", "x['a'][0]", "x['a'][1]"]
    assert [path for path, _ in leaves(structure, "x")] == paths


def test_inputs_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ValueError, match=r"x\['b'\] holds 5 samples and x\['a'\] 6"):
        Probe({"a": np.zeros((6, 2)), "b": np.zeros((5, 2))})
    with pytest.raises(ValueError, match=r"x\['b'\]\[0\] holds 1 value that is NaN.*first at \[1\]"):
        Probe({"a": np.zeros((2, 2)), "b": (np.array([0, np.nan]),)})
    with pytest.raises(TypeError, match=r"x\[1\] is a int"):
        Probe((np.zeros((2, 2)), 3))
    with pytest.raises(ValueError, match="x={} is empty"):
        Probe({})


def test_a_list_of_arrays_is_what_it_can_only_be() -> None:
    wide, narrow = numbered(6, 3), numbered(6, 2)
    assert [array.shape for array in Probe([wide, narrow]).x] == [(6, 3), (6, 2)]
    assert Probe(list(wide), np.zeros(6, int)).x.shape == (6, 3)                   # six labels: six samples
    assert [array.shape for array in Probe([wide, wide], np.zeros(6, int)).x] == [(6, 3), (6, 3)]
    assert [array.shape for array in Probe({"a": [wide, narrow]}).x["a"]] == [(6, 3), (6, 2)]
    with pytest.raises(ValueError, match=r"samples, or the inputs.*np.stack\(x\) for samples, tuple\(x\) for inputs"):
        Probe([wide, wide])
    with pytest.raises(ValueError, match="must have one shape"):
        Probe([wide, numbered(5, 3)])


def test_text_is_kept_as_it_is() -> None:
    kept = Probe(np.array(["a", "bb", "ccc"]), [0, 1, 0])
    assert kept.x.tolist() == ["a", "bb", "ccc"] and kept.spec.dtype == "string"
    assert kept.record(0).thumbnail_note == "the samples are text" and not kept.record(0).thumbnails
    bytes_kept = Probe(np.array([b"\xff\x00", b"x"], object)).x
    assert bytes_kept.tolist() == [b"\xff\x00", b"x"]


# Batches in sequence: the draw


def in_batches(x: np.ndarray, y: Any, size: int) -> Iterator[Any]:
    for start in range(0, len(x), size):
        yield x[start : start + size], y[start : start + size]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(-1, 4), min_size=1, max_size=200), st.integers(5, 60), st.integers(1, 70), st.integers(0, 3))
def test_a_generator_is_drawn_from_as_an_array_is(labels: list[int], size: int, batch: int, seed: int) -> None:
    """As long as no class turns up late: see the next test."""
    x, y = numbered(len(labels), 2), np.array(labels)
    array, generator = Probe(x, y, size=size, seed=seed), Probe(in_batches(x, y, batch), size=size, seed=seed)
    assert len(array) == len(generator) and set(array.y.tolist()) == set(generator.y.tolist())
    if len(labels) <= 2 * size:
        assert np.array_equal(array.indices, generator.indices)
    assert np.array_equal(generator.x[:, 0], generator.indices) and np.array_equal(generator.y, y[generator.indices])
    assert generator.source_size == len(labels)


def test_of_a_mixed_source_the_draw_is_that_of_an_array() -> None:
    x, y = numbered(5000, 1), np.random.default_rng(0).choice(["a", "b", "c", "d"], 5000, p=[0.7, 0.2, 0.09, 0.01])
    array, generator = Probe(x, y, size=500), Probe(in_batches(x, y, 32), size=500)
    assert np.array_equal(array.indices, generator.indices) and np.array_equal(array.y, generator.y)


def test_with_more_classes_than_samples_late_ones_are_drawn_too() -> None:
    kept = Probe(in_batches(numbered(4000, 1), np.arange(4000) // 2, 50), size=400)
    assert len(np.unique(kept.y)) == 400
    counts, _ = np.histogram(kept.y, bins=4, range=(0, 2000))
    assert counts.min() > 60                                        # of 100


def test_a_sorted_source_is_drawn_from_in_proportion_too() -> None:
    x, y = numbered(900, 1), np.repeat(np.arange(9), 100)
    kept = Probe(in_batches(x, y, 50), size=90)
    counts = np.bincount(kept.y)
    assert len(kept) == 90 and counts.tolist() == [10] * 9


def test_only_about_twice_the_size_is_held() -> None:
    from featwatch.drawing import Reservoir

    reservoir = Reservoir(20, 0)
    for number in range(500):
        reservoir.add([number % 3] * 10, [np.zeros((10, 4))])
        assert len(reservoir._held) <= 40
    assert len(reservoir.result()[0]) == 20 and reservoir.seen == 5000


def test_a_generator_is_read_as_far_as_needed() -> None:
    given_out = []

    def endless() -> Iterator[Any]:
        for number in range(10**9):
            given_out.append(number)
            yield np.full((20, 2), number, np.float32), np.full(20, number % 3)

    generator = endless()
    kept = Probe(generator, size=200)
    assert len(kept) == 200 and kept.source_size == 2000 and given_out == list(range(100))
    assert "its first 2,000 samples were looked at, there may be more" in kept.notes[0]
    assert next(generator)[0][0, 0] == 100                          # the rest is the user's


def test_a_generator_that_ends_early_gives_what_it_has() -> None:
    kept = Probe(in_batches(numbered(7, 2), np.arange(7), 3), size=100)
    assert np.array_equal(kept.x, numbered(7, 2)) and kept.y.tolist() == list(range(7)) and kept.notes == ()


@pytest.mark.parametrize(
    ("element", "labelled"),
    [
        (lambda x, y: x, False),
        (lambda x, y: (x,), False),
        (lambda x, y: (x, y), True),
        (lambda x, y: (x, y, y), True),
        (lambda x, y: [x, y], True),                                # as Keras takes it
        (lambda x, y: ({"a": x, "b": (x, x)}, y), True),
        (lambda x, y: ([x, x], {"kind": y, "size": x}), True),
        (lambda x, y: (tf.constant(x), tf.one_hot(y, 3)), True),
    ],
)
def test_what_a_batch_may_be(element: Callable[[Any, Any], Any], labelled: bool) -> None:
    x, y = numbered(12, 2) + 0.5, np.arange(12) % 3
    kept = Probe((element(*batch) for batch in in_batches(x, y, 5)), size=6)
    assert all(np.array_equal(array[:, 0], kept.indices + 0.5) for _, array in leaves(kept.x))
    assert np.array_equal(kept.labels, y[kept.indices] if labelled else [-1] * 6)


def test_labels_may_be_given_beside_a_stream() -> None:
    x, y = numbered(30, 2), np.array(["a", "b", "c"])[np.arange(30) % 3]
    kept = Probe((batch for batch, _ in in_batches(x, y, 8)), y, size=10)
    assert np.array_equal(kept.labels, kept.indices % 3) and kept.class_names == ("a", "b", "c")
    for wrong, says in [(y[:20], "y holds 20 labels and x at least 24"), (np.r_[y, y], "y holds 60 labels and x 30")]:
        with pytest.raises(ValueError, match=says):
            Probe((batch for batch, _ in in_batches(x, y, 8)), wrong)
    with pytest.raises(ValueError, match="x gives labels and y is given too"):
        Probe(in_batches(x, y, 8), y)


def test_pictures_as_labels_are_kept_for_the_drawn_samples_only() -> None:
    x = numbered(50, 40, 40)
    kept = Probe(in_batches(x, x, 8), size=5)
    assert np.array_equal(kept.y, kept.x) and kept.labels.tolist() == [-1] * 5 and "not recorded" in kept.notes[0]


def batches() -> Iterator[Any]:
    yield numbered(3, 2)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: iter(()), ValueError, "gives no samples"),
        (lambda: iter([np.zeros((0, 2))]), ValueError, "gives no samples"),
        (lambda: batches, TypeError, r"x is the function 'batches'; call it.*batches\(\)"),
        (lambda: iter([np.zeros((2, 3)), np.zeros((2, 4))]),
         ValueError, r"batch 1: x has samples of the shape \(4,\) and in the"),
        (lambda: iter([(np.zeros((2, 3)), [0, 1]), np.zeros((2, 3))]),
         ValueError, "batch 1 of x gives x and the first batch x, y"),
        (lambda: iter([{"a": np.zeros((2, 3))}, {"b": np.zeros((2, 3))}]),
         ValueError, r"gives x\['b'\] and the first batch x\['a'\]"),
        (lambda: iter([(np.zeros((2, 3)), [0, 1, 2])]), ValueError, "batch 0: y holds 3 samples and x 2"),
        (lambda: iter([(np.zeros((2, 3)), 5)]), ValueError, "batch 0: y is 5, without an axis of samples"),
        (lambda: iter([(1, 2, 3, 4)]), ValueError, "batch 0 of x is a tuple of 4"),
        (lambda: iter([np.zeros((2, 3)), np.full((2, 3), np.nan)]), ValueError, "batch 1 of x: x holds 6 values that are NaN"),
        (lambda: iter([np.zeros((2, 3), complex)]), TypeError, "batch 0 of x: x has the dtype complex"),
    ],
)  # fmt: skip
def test_streams_that_give_something_else_are_refused(make: Callable[[], Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        Probe(make())


def test_an_exhausted_generator_says_so() -> None:
    generator = batches()
    Probe(generator)
    with pytest.raises(ValueError, match="a generator can be read only once"):
        Probe(generator)


# Batches by number


class Numbered(keras.utils.PyDataset):
    """Batches of 10 that notes what it is asked for, and that draws from NumPy's generator."""

    def __init__(self, batches: int) -> None:
        super().__init__()
        self.batches, self.asked, self.epochs_ended = batches, [], 0

    def __len__(self) -> int:
        return self.batches

    def __getitem__(self, number: int) -> Any:
        self.asked.append(number)
        np.random.rand(), random.random(), tf.random.uniform([])
        rows = np.arange(10 * number, 10 * number + 10)
        return numbered(10 * self.batches, 2)[rows], rows % 4

    def on_epoch_end(self) -> None:
        self.epochs_ended += 1


def test_a_keras_data_set_is_read_by_number_once_and_in_order() -> None:
    source = Numbered(5)
    keras.utils.set_random_seed(3)
    expected = np.random.rand(), random.random(), float(tf.random.uniform([]))
    keras.utils.set_random_seed(3)
    kept = Probe(source, size=20)
    assert (np.random.rand(), random.random(), float(tf.random.uniform([]))) == expected
    assert source.asked == [0, 1, 2, 3, 4] and source.epochs_ended == 0
    assert np.array_equal(kept.x[:, 0], kept.indices) and np.array_equal(kept.y, kept.indices % 4) and kept.source_size == 50


def test_a_large_keras_data_set_is_looked_at_here_and_there() -> None:
    source = Numbered(1000)
    kept = Probe(source, size=20)
    assert len(source.asked) == 100 and source.asked == sorted(set(source.asked)) and source.asked[-1] == 999
    assert np.array_equal(kept.x[:, 0], kept.indices) and np.array_equal(kept.y, kept.indices % 4)
    assert "of 1,000 batches, of which 100, evenly spread, were looked at" in " ".join(kept.notes)


def test_an_infinite_keras_data_set_is_read_from_its_start() -> None:
    class Infinite(Numbered):
        def __len__(self) -> Any:
            raise NotImplementedError

    source = Infinite(200)
    assert len(Probe(source, size=7)) == 7 and source.asked == list(range(100))
