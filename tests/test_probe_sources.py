"""What a probe can be made of beside one array: several inputs, data sets of TensorFlow, generators."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featwatch import Probe, datachain, tfdata
from featwatch.structures import filled, leaves, mapped


def numbered(samples: int, *shape: int) -> np.ndarray:
    """(samples, …): every value is its sample's number."""
    return np.broadcast_to(np.arange(samples, dtype=np.float32).reshape(-1, *[1] * len(shape)), (samples, *shape)).copy()


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


# tf.data


def slices(samples: int = 30) -> Any:
    return tf.data.Dataset.from_tensor_slices((numbered(samples, 2), np.arange(samples) % 3))


SHUFFLED: dict[str, Callable[[], Any]] = {
    "seeded": lambda: slices().shuffle(30, seed=3).batch(4),
    "seeded by the global seed": lambda: slices().shuffle(30).batch(4),
    "once": lambda: slices().shuffle(30, reshuffle_each_iteration=False).batch(4),
    "then mapped": lambda: slices().shuffle(10).map(lambda x, y: (x + 1, y), num_parallel_calls=2).batch(4).prefetch(2),
    "batches": lambda: slices().batch(4).shuffle(5).unbatch(),
    "repeated": lambda: slices().shuffle(30).repeat().batch(4).take(16),
    "cached": lambda: slices().map(lambda x, y: (x + tf.random.uniform([]), y)).cache().shuffle(30).batch(4),
    "augmented": lambda: slices().shuffle(9).map(lambda x, y: (x + tf.random.uniform([]), y)).batch(4),
    "generated": lambda: tf.data.Dataset.from_generator(
        lambda: iter(zip(numbered(30, 2), range(30), strict=True)), output_types=(tf.float32, tf.int32), output_shapes=((2,), ())
    ).shuffle(7).batch(4),
    "numpy's randomness": lambda: tf.data.Dataset.from_generator(
        lambda: ((row + np.random.rand(), random.randrange(3)) for row in numbered(200, 2)),
        output_signature=(tf.TensorSpec((2,)), tf.TensorSpec((), tf.int32)),
    ).batch(4).prefetch(8),
    "sampled": lambda: tf.data.Dataset.sample_from_datasets([slices(), slices()]).batch(4),
    "interleaved": lambda: tf.data.Dataset.range(4).interleave(lambda i: slices().shuffle(6).take(i + 3)).batch(4),
}  # fmt: skip


def order_of_training(make: Callable[[], Any], probed: bool) -> tuple[Any, Any]:
    """Two epochs of the data set after a probe was made of it, and what the global generators give then."""
    keras.utils.set_random_seed(11)
    dataset = make()
    kept = [Probe(dataset, size=12) for _ in range(2)] if probed else []
    epochs = [[(x.tolist(), y.tolist()) for x, y in dataset.as_numpy_iterator()] for _ in range(2)]
    return (epochs, float(tf.random.uniform([])), np.random.rand(), random.random()), kept


@pytest.mark.parametrize("large", [False, True], ids=["", "large"])
@pytest.mark.parametrize("kind", SHUFFLED)
def test_training_sees_the_same_order_with_and_without_a_probe(
    kind: str, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datachain, "LARGE", -1 if large else 1 << 40)
    without, _ = order_of_training(SHUFFLED[kind], probed=False)
    with_probe, kept = order_of_training(SHUFFLED[kind], probed=True)
    assert with_probe == without
    if kind == "numpy's randomness":
        return
    if kind not in ("augmented", "cached"):
        assert np.array_equal(kept[0].x, kept[1].x)
    assert np.array_equal(kept[0].y, kept[1].y) and np.array_equal(kept[0].indices, kept[1].indices)


def test_naive_reading_would_change_the_order() -> None:
    """What the test above is worth."""
    keras.utils.set_random_seed(11)
    dataset = SHUFFLED["seeded by the global seed"]()
    list(dataset.take(1))
    (epochs, *_), _ = order_of_training(SHUFFLED["seeded by the global seed"], probed=False)
    assert [y.tolist() for _, y in dataset.as_numpy_iterator()] != [y for _, y in epochs[0]]


def test_a_shuffled_data_set_is_read_in_its_own_order() -> None:
    kept = Probe(slices().shuffle(30).repeat().batch(4), size=30)
    assert np.array_equal(kept.x, numbered(30, 2)) and kept.source_size == 30
    assert kept.notes == ("x is a shuffled data set; it was read without its shuffles, in its own order",)


@pytest.mark.parametrize(
    "make",
    [
        lambda: tf.data.Dataset.counter(),
        lambda: tf.data.Dataset.from_tensors(0).repeat().map(lambda _: tf.random.uniform([], maxval=9, dtype=tf.int64)),
        lambda: tf.data.Dataset.random(seed=3),
    ],
)
def test_what_is_made_up_as_it_is_read_has_no_end(make: Callable[[], Any]) -> None:
    kept = Probe(make().map(lambda n: (tf.fill([3], n), n % 3)), size=10)
    assert len(kept) == 10 and kept.source_size >= 1000 and "first 1,024 samples were looked at" in kept.notes[0]
    assert np.array_equal(kept.x[:, 0] % 3, kept.labels)


def test_of_a_large_shuffled_data_set_the_shuffles_stay_with_a_seed_of_ours() -> None:
    dataset = tf.data.Dataset.from_tensor_slices((numbered(5000, 1), np.arange(5000) // 500)).shuffle(5000).batch(50)
    first, second, other = (Probe(dataset, size=20, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first.x, second.x) and not np.array_equal(first.x, other.x)
    assert len(np.unique(first.y)) == 10 and first.source_size == 1000          # sorted by class, and yet all are there
    assert "read through its shuffles with seed 0" in first.notes[0] and "first 1,000 samples" in first.notes[1]
    beside = Probe(dataset.map(lambda x, y: x), np.arange(5000) // 500, size=20)
    assert np.array_equal(beside.x[:, 0], beside.indices) and set(beside.y.tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: slices(), (2,)),
        (lambda: slices().batch(4), (2,)),
        (lambda: slices(32).batch(4, drop_remainder=True), (2,)),
        (lambda: slices(32).batch(2, drop_remainder=True).map(lambda x, y: x), (2,)),
        (lambda: tf.data.Dataset.from_tensor_slices(numbered(30, 3, 4)), (3, 4)),
        (lambda: tf.data.Dataset.from_tensor_slices((numbered(30, 3, 4), np.eye(3)[np.arange(30) % 3])), (3, 4)),
        (lambda: tf.data.Dataset.from_tensor_slices((numbered(30, 4), np.eye(3)[np.arange(30) % 3])).batch(3, True), (4,)),
        (lambda: slices().batch(4).unbatch().map(lambda x, y: x), (2,)),
        (lambda: tf.data.Dataset.from_generator(lambda: iter(numbered(30, 1, 5, 2)), tf.float32), (5, 2)),
        (lambda: tf.data.Dataset.range(30).map(lambda i: tf.reshape(tf.cast(i, tf.float32), [1])), (1,)),
        (lambda: slices().batch(4).map(lambda x, y: ({"a": x, "b": x}, y)), None),
        (lambda: slices().map(lambda x, y: ({"a": x, "b": x}, y, 1.0)), None),
    ],
)
def test_batched_or_not_is_told_from_the_data_set(make: Callable[[], Any], shape: tuple[int, ...] | None) -> None:
    kept = Probe(make())
    assert len(kept) in (30, 32)
    assert all(np.array_equal(array.ravel()[:: array[0].size], kept.indices) for _, array in leaves(kept.x))
    assert shape is None and set(kept.x) == {"a", "b"} or kept.spec.shape == shape


def test_large_arrays_are_not_copied_and_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = (
        tf.data.Dataset.zip((tf.data.Dataset.from_tensor_slices(numbered(3000, 1)), tf.data.Dataset.range(3000)))
        .filter(lambda x, n: n % 2 == 0).shuffle(100).map(lambda x, n: (x, n // 2 % 10)).skip(5).take(1400)
        .concatenate(slices().map(lambda x, y: (x[:1], tf.cast(y, tf.int64)))).cache().repeat().batch(16).prefetch(1)
    )  # fmt: skip
    small = Probe(dataset, size=20)
    monkeypatch.setattr(datachain, "LARGE", 1000)
    monkeypatch.setattr(tfdata, "_graph_of", None)                  # not called
    large = Probe(dataset, size=20)
    assert np.array_equal(small.x, large.x) and np.array_equal(small.y, large.y) and small.notes == large.notes
    assert "seed 0" in large.notes[0]


def test_the_global_seed_does_not_choose_the_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = slices(3000).shuffle(500).batch(8)
    for threshold in (0, 1 << 40):
        monkeypatch.setattr(datachain, "LARGE", threshold)
        kept = []
        for seed in (1, 2):
            tf.random.set_seed(seed)
            kept.append(Probe(dataset, size=20).x)
        assert np.array_equal(*kept)


@pytest.mark.parametrize("threshold", [-1, 1 << 40])
def test_captured_variables_and_tables_are_the_copys_own(threshold: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datachain, "LARGE", threshold)
    generator, counter = tf.random.Generator.from_seed(1), tf.Variable(0)
    table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["a", "b"], [5, 7]), 0)

    def prepared(x: Any, word: Any) -> Any:
        counter.assign_add(1)
        return x + generator.uniform([]), table.lookup(word)

    dataset = tf.data.Dataset.from_tensor_slices((numbered(4, 2), ["a", "b", "a", "b"])).map(prepared)
    before = generator.state.numpy().tolist()
    assert Probe(dataset).y.tolist() == [5, 7, 5, 7]
    assert generator.state.numpy().tolist() == before and counter.numpy() == 0


def test_a_directory_of_pictures_is_read_with_its_names(tmp_path: Path) -> None:
    for number in range(12):
        folder = tmp_path / ("cat", "dog", "emu")[number % 3]
        folder.mkdir(exist_ok=True)
        keras.utils.save_img(folder / f"{number}.png", np.full((6, 6, 3), 20 * number), scale=False)
    keras.utils.set_random_seed(1)
    dataset = keras.utils.image_dataset_from_directory(tmp_path, batch_size=5, image_size=(4, 4), seed=2, verbose=False)
    kept = Probe(dataset, size=6)
    assert kept.class_names == ("cat", "dog", "emu") and np.bincount(kept.labels).tolist() == [2, 2, 2]
    assert np.array_equal(kept.x[:, 0, 0, 0] / 20 % 3, kept.labels) and kept.source_size == 12
    assert np.array_equal(kept.x, Probe(dataset, size=6).x)


def test_what_is_not_dense_is_refused() -> None:
    from scipy.sparse import csr_matrix

    for x in (csr_matrix(np.eye(3)), tf.ragged.constant([[1], [2, 3]]), tf.sparse.from_dense(np.eye(3))):
        with pytest.raises(TypeError, match="x is a .*; make it dense first"):
            Probe(x)


def test_texts_of_a_data_set_are_bytes() -> None:
    dataset = tf.data.Dataset.from_tensor_slices(({"word": ["a", "b"], "n": [[1], [2]]}, ["yes", "no"])).batch(2)
    kept = Probe(dataset)
    assert kept.x["word"].tolist() == [b"a", b"b"] and kept.class_names == ("no", "yes") and kept.y.tolist() == [1, 0]


def test_data_sets_that_cannot_be_read_are_refused() -> None:
    with pytest.raises(ValueError, match="labels and y is given too; leave y out, or take them out of x: dataset.map"):
        Probe(slices(), np.arange(30))
    ragged = tf.data.Dataset.from_tensor_slices(tf.ragged.constant([[1.0], [2.0, 3.0]]))
    with pytest.raises(TypeError, match=r"x gives RaggedTensors; make them dense with to_tensor\(\) first"):
        Probe(ragged)
    with pytest.raises(TypeError, match=r"x gives NoneTensors at \[1\]; leave them out"):
        Probe(tf.data.Dataset.from_tensor_slices((np.zeros((5, 2)), None)))
    with pytest.raises(TypeError, match="x gives Datasets; map them to dense tensors first"):
        Probe(tf.data.Dataset.range(6).window(2))
    with pytest.raises(ValueError, match="samples of different shapes.*resize or pad"):
        Probe(tf.data.Dataset.range(3).map(lambda length: (tf.zeros([length + 1, 2]), length)))
    with pytest.raises(ValueError, match="gives no samples"):
        Probe(slices().take(0))
    with pytest.raises(ValueError, match=r"batch 0 of x: x has the shape \(30,\).*pass x.reshape\(-1, 1\)"):
        Probe(tf.data.Dataset.range(30).batch(64))


def test_a_data_set_that_cannot_be_copied_is_read_as_it_is_with_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(dataset: Any) -> Any:
        raise RuntimeError("too large")

    monkeypatch.setattr(tfdata, "_graph_of", refused)
    shuffled, plain = Probe(slices().shuffle(5).batch(4)), Probe(slices().batch(4))
    assert len(shuffled) == 30 and "a training on the same data set object sees another order" in shuffled.notes[0]
    assert np.array_equal(plain.x, numbered(30, 2)) and plain.notes == ()
