"""Probes of `tf.data`: the same samples every time, and a training that does not notice."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from featwatch import Probe, datachain, tfdata
from featwatch.structures import leaves
from tests.samples import numbered


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
        (lambda: slices(32).batch(4).map(lambda x, y: (tf.ensure_shape(x, (4, 2)), y)), (2,)),
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
