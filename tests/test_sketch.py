"""What is kept of feature tensors: the sketch's laws, sorted maps, the largest dimension, against NumPy on the full tensors."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import featwatch as fw
from featwatch import reductions
from featwatch.layers import choose
from featwatch.probe import Probe
from featwatch.reductions import About
from featwatch.sketch import SKETCH_SIZE, Sketch, distance_error
from featwatch.taps import Reading, TapPass
from tests.nets import images

layers = keras.layers

# How a function of TensorFlow's is run on the ladder's rungs.
WAYS = {
    "jit": lambda function: tf.function(function, jit_compile=True, autograph=False),
    "graph": lambda function: tf.function(function, autograph=False),
    "eager": lambda function: function,
}
every_way = pytest.mark.parametrize("way", WAYS)


def about(features: int, seed: int = 0) -> About:
    return About(Sketch.of_length(features, seed), 10, seed)


def sketched(values: np.ndarray, seed: int = 0) -> np.ndarray:
    given = about(int(np.prod(values.shape[1:])), seed)
    return np.asarray(reductions.features(tf.constant(values, tf.float32), given))


def maps(shape: tuple[int, ...], samples: int = 6, seed: int = 0) -> np.ndarray:
    """Activations, rounded so that there are ties."""
    return np.round(np.random.default_rng(seed).normal(size=(samples, *shape)) * 3).astype(np.float32)


def distances(rows: np.ndarray) -> np.ndarray:
    from scipy.spatial.distance import pdist

    return pdist(rows.reshape(len(rows), -1))


# The sketch


def test_it_is_the_signed_sum_of_what_meets_in_a_bucket():
    values = np.random.default_rng(0).normal(size=(3, 50, 60)).astype(np.float32)
    sketch = Sketch.of_length(3000)
    expected = np.zeros((3, SKETCH_SIZE))
    for row, flat in enumerate(values.reshape(3, -1)):
        np.add.at(expected[row], np.arange(3000) % SKETCH_SIZE, flat * sketch.signs[:3000])
    np.testing.assert_allclose(sketched(values), expected, atol=1e-4)


def test_it_spreads_every_filter_over_all_buckets():
    sketch = Sketch.of_length(26 * 26 * 32)
    positions = np.arange(0, sketch.features, 32) % sketch.size
    assert len(np.unique(positions)) > 0.6 * 26 * 26        # with 1,024 buckets it would be 32
    assert Sketch.of_length(1021).exact and not Sketch.of_length(1022).exact


def test_short_tensors_are_kept_as_they_are():
    values = maps((5, 5, 4))
    np.testing.assert_array_equal(sketched(values), values.reshape(6, -1))


@settings(max_examples=30, deadline=None)
@given(st.integers(1022, 4000), st.integers(0, 100), st.data())
def test_it_is_linear(features: int, seed: int, data: st.DataObject):
    """So that how far a sample moved between two epochs can be read off the difference of its sketches."""
    elements = st.floats(-100, 100, width=32)
    one, other = (data.draw(arrays.arrays(np.float32, (1, features), elements=elements, fill=elements)) for _ in range(2))
    np.testing.assert_allclose(sketched(one, seed) - sketched(other, seed), sketched(one - other, seed), atol=0.1)


def test_it_is_the_same_for_its_seed_and_another_for_another():
    values = maps((40, 40))
    np.testing.assert_array_equal(sketched(values, 3), sketched(values, 3))
    assert (sketched(values, 3) != sketched(values, 4)).any()


def test_squared_distances_are_kept_in_expectation_with_the_stated_error():
    """Over seeds; Weinberger et al. 2009, lemma 2: the variance of ‖x‖² is at most 2 ‖x‖⁴ / size."""
    values = np.random.default_rng(0).normal(size=(2, 3000)).astype(np.float32)
    exact = np.square(values[0] - values[1]).sum()
    ratios = np.array([np.square(np.subtract(*sketched(values, seed))).sum() / exact for seed in range(200)])
    expected = np.sqrt(2 / SKETCH_SIZE)
    assert abs(ratios.mean() - 1) < 4 * expected / np.sqrt(200)
    assert 0.7 * expected < ratios.std() < 1.2 * expected


def test_neighbours_are_found_as_well_as_the_measured_error_says():
    """Near pairs are no worse off than the pairs on which the error is measured."""
    rng = np.random.default_rng(1)
    hidden = rng.normal(size=(300, 6))
    values = np.maximum(np.tanh(hidden @ rng.normal(size=(6, 300)) / 3) @ rng.normal(size=(300, 20_000)), 0).astype(np.float32)
    rows = sketched(values)
    squared = np.r_[np.nan, np.square(np.diff(values.astype(np.float64), axis=0)).sum(axis=1)]
    error = distance_error({"features": rows, "neighbour_distance": squared})
    from sklearn.neighbors import NearestNeighbors

    far, near = NearestNeighbors(n_neighbors=15).fit(values).kneighbors()
    ratio = np.linalg.norm(rows[:, None] - rows[near], axis=2) / far
    assert np.sqrt(np.mean((ratio - 1) ** 2)) < 1.3 * error
    assert 0.015 < error < 0.03
    found = NearestNeighbors(n_neighbors=15).fit(rows).kneighbors(return_distance=False)
    assert np.mean([np.isin(a, b).mean() for a, b in zip(found, near, strict=True)]) > 0.85


def test_the_measured_error_equals_the_definition():
    rng = np.random.default_rng(0)
    exact, rows = rng.normal(size=(10, 50)), rng.normal(size=(10, 5))
    squared = np.full(10, np.nan)
    ratios = []
    for index in (1, 5, 9):
        squared[index] = ((exact[index] - exact[index - 1]) ** 2).sum()
        ratios.append(np.linalg.norm(rows[index] - rows[index - 1]) / np.linalg.norm(exact[index] - exact[index - 1]))
    expected = np.sqrt(np.mean((np.array(ratios) - 1) ** 2))
    reduced = {"features": rows, "neighbour_distance": squared}
    assert distance_error(reduced) == pytest.approx(expected)
    assert distance_error({"features": rows}) == distance_error({}) == 0.0
    squared[5] = 0.0                                        # equal samples tell nothing
    expected = np.sqrt(np.mean((np.array([ratios[0], ratios[2]]) - 1) ** 2))
    assert distance_error(reduced) == pytest.approx(expected)
    assert distance_error(reduced | {"neighbour_distance": np.full(10, np.nan)}) == 0.0


# Sorted maps


@every_way
@pytest.mark.parametrize("shape", [(5,), (7, 3), (6, 5, 3), (3, 4, 2, 3)])
def test_each_filters_map_is_sorted_ascending(way: str, shape: tuple[int, ...]):
    values = maps(shape)
    expected = np.sort(values.reshape(6, -1, shape[-1]), axis=1)
    np.testing.assert_array_equal(WAYS[way](reductions.sorted_maps)(tf.constant(values)), expected)


def wide(padding: str = "valid") -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((20, 20, 1)),
            layers.Conv2D(8, 3, activation="relu", padding=padding, name="wide"),
            layers.GlobalMaxPooling2D(),
            layers.Dense(3, name="scores"),
        ]
    )


def read(model: keras.Model, x: np.ndarray, names: tuple[str, ...], rung: str = "graph, jit") -> Reading:
    taps = TapPass(model, {site: names for site in choose(model, None)}, len(x))
    taps._rungs = tuple(each for each in taps._rungs if str(each) == rung)
    taps.prepare(next(iter(Probe(x).batches()))[0])
    assert taps.how == rung
    return taps.read(Probe(x).batches())


@pytest.mark.parametrize("rung", ["graph, jit", "calls, jit", "graph", "calls", "calls, eager"])
def test_on_every_rung_they_equal_numpy_on_what_predict_gives(rung: str):
    model, (x, _) = wide(), images(100, (20, 20, 1))
    got = read(model, x, ("sorted_features", "largest"), rung).layers["wide"]
    exact = keras.Model(model.inputs, model.get_layer("wide").output).predict(x, verbose=0)
    assert set(got) == {"sorted_features", "sorted_neighbour_distance", "largest"}
    np.testing.assert_array_equal(got["largest"], exact.reshape(100, -1).argmax(axis=1))
    ascending = np.sort(exact.reshape(100, -1, 8), axis=1)
    np.testing.assert_allclose(got["sorted_features"], sketched(ascending), atol=1e-3)
    squared = np.square(np.diff(ascending.reshape(100, -1), axis=0)).sum(axis=1)
    measured = np.flatnonzero(np.isfinite(got["sorted_neighbour_distance"]))
    assert measured.tolist() == [*range(1, 64, 4), *range(65, 100, 4)]
    np.testing.assert_allclose(got["sorted_neighbour_distance"][measured], squared[measured - 1], rtol=1e-3)
    pairs = np.linalg.norm(np.diff(got["sorted_features"], axis=0), axis=1)[measured - 1] / np.sqrt(squared[measured - 1])
    expected = np.sqrt(np.mean((pairs - 1) ** 2))
    assert distance_error(got, "sorted_") == pytest.approx(expected, rel=1e-2)


def test_a_dense_layer_is_not_changed():
    got = read(wide(), images(10, (20, 20, 1))[0], ("features", "sorted_features")).layers["scores"]
    np.testing.assert_array_equal(got["sorted_features"], got["features"])


def test_where_an_object_stands_does_not_matter():
    """Moved within an empty surround, it gives other features, and the same sorted ones."""
    rng = np.random.default_rng(0)
    objects = rng.random((6, 5, 5, 1)).astype(np.float32)
    x = np.zeros((12, 20, 20, 1), np.float32)
    for index, thing in enumerate(objects):
        x[2 * index, 3:8, 4:9] = thing
        x[2 * index + 1, 9:14, 12:17] = thing
    got = read(wide(), x, ("features", "sorted_features")).layers["wide"]
    moved = {name: np.linalg.norm(got[name][0::2] - got[name][1::2], axis=1) for name in ("features", "sorted_features")}
    others = distances(got["sorted_features"][0::2])
    assert moved["sorted_features"].max() < 1e-4 < 0.05 < others.min()
    assert moved["features"].min() > others.min()


# The largest dimension


@every_way
@pytest.mark.parametrize("shape", [(1,), (9,), (7, 3), (6, 5, 3), (1, 5, 2), (3, 4, 2, 3), (30, 30, 4)])
def test_the_largest_dimension_is_numpys_and_of_ties_the_first(way: str, shape: tuple[int, ...]):
    values = maps(shape, 40)
    values[3] = 7.0
    given = about(int(np.prod(shape)))
    found = WAYS[way](lambda v: reductions.largest(v, given))(tf.constant(values)).numpy()
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, values.reshape(40, -1).argmax(axis=1))


@every_way
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_has_no_largest_dimension(way: str, value: float):
    values = maps((6, 5, 3))
    values[1, 2, 3, 1] = value
    values[4] = value
    expected = values.reshape(6, -1).argmax(axis=1)
    expected[[1, 4]] = -1
    given = about(90)
    np.testing.assert_array_equal(WAYS[way](lambda v: reductions.largest(v, given))(tf.constant(values)), expected)


@settings(max_examples=50, deadline=None)
@given(arrays.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5), st.integers(1, 3)),
                     elements=st.floats(-4, 4, width=16)))  # fmt: skip
def test_any_tensors_largest_dimension_is_numpys(values: np.ndarray):
    found = reductions.largest(tf.constant(values), about(values[0].size))
    np.testing.assert_array_equal(found, values.reshape(len(values), -1).argmax(axis=1))


# In the record


@pytest.mark.parametrize("sort_maps", [False, True])
def test_an_embedding_says_what_it_was_made_of(tmp_path, sort_maps: bool):
    keras.utils.set_random_seed(0)
    model, (x, y) = wide(), images(60, (20, 20, 1))
    fw.snapshot(model, fw.Probe(x, y), tmp_path, recorders=[fw.Embeddings(layout="pca", sort_maps=sort_maps)])
    run = fw.load(tmp_path)
    record = run.embedding("wide", 0)
    exact = keras.Model(model.inputs, model.get_layer("wide").output).predict(x, verbose=0).reshape(60, -1)
    np.testing.assert_array_equal(record.largest, exact.argmax(axis=1))
    assert (record.sorted_maps, record.sketch_seed, record.features, record.sketch) == (sort_maps, 0, 18 * 18 * 8, SKETCH_SIZE)
    assert 0.005 < record.distance_error < 0.06
    assert run.embedding("scores", 0).distance_error == 0.0
    kept = np.sort(exact.reshape(60, -1, 8), axis=1).reshape(60, -1) if sort_maps else exact
    plane = distances(kept)
    assert np.corrcoef(distances(record.points), plane)[0, 1] > 0.8


def test_sort_maps_is_a_switch():
    with pytest.raises(TypeError, match="sort_maps='yes' is neither True nor False"):
        fw.Embeddings(sort_maps="yes")
    assert fw.Embeddings(sort_maps=True).options()["sort_maps"] is True
    assert set(fw.Embeddings().options()) == set(fw.Embeddings(sort_maps=True).options())
