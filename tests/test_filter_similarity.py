"""`FilterSimilarity` on real networks with planted doubles and sums, against NumPy on the full activations."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

import featwatch as fw
from featwatch import wire
from featwatch.analysis.similarity import rows_needed
from featwatch.recorders.base import LayerSnapshot, NothingToSay
from featwatch.recorders.filter_similarity import FilterSimilarity
from featwatch.records import LayerInfo, Similarity
from tests import planted_doubles

layers = keras.layers
X = load_digits().images[:240, :, :, None].astype(np.float32) / 16
THREE = np.concatenate([X, X[:, ::-1], X.transpose(0, 2, 1, 3)], axis=-1)      # three channels that differ


@pytest.fixture(scope="module")
def model() -> Any:
    return planted_doubles.net()


@pytest.fixture(scope="module")
def run(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return fw.snapshot(model, fw.Probe(THREE), tmp_path_factory.mktemp("similar"), recorders=[FilterSimilarity()])


def activations(model: Any, name: str) -> np.ndarray:
    """(rows, filters) float64 after the activation that applies, computed by Keras alone."""
    known = {layer.name for layer in model.layers}
    layer = model.get_layer(f"{name}_relu" if f"{name}_relu" in known else name)
    values = keras.ops.convert_to_numpy(keras.Model(model.input, layer.output)(THREE))
    return values.reshape(-1, values.shape[-1]).astype(np.float64)


def groups(record: Similarity) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(record.group == group).tolist()) for group in set(record.group[record.group >= 0])}


DOUBLES = {
    "conv": [{0, 3, 7}, {2, 5}], "normed": [{1, 4, 9}], "pooled": [{0, 5}], "depthwise": [{2, 3}], "grouped": [{3, 4}],
    "transposed": [{1, 2}], "conv1d": [{0, 4}], "separable": [{1, 6}], "tanh": [{0, 1, 2}], "gelu": [{0, 1}],
    "linear": [{0, 1}], "sums": [], "softmax": [{0, 3}],
}  # fmt: skip


@pytest.mark.parametrize("name", DOUBLES)
def test_doubles_are_found_and_nothing_else(run: Any, model: Any, name: str) -> None:
    record = run.similarity(name, 0)
    assert groups(record) == {frozenset(group) for group in DOUBLES[name]}
    values = activations(model, name)
    doubles = record.keep != np.arange(len(record.keep))
    for each in np.flatnonzero(doubles):
        assert not doubles[record.keep[each]]
        design = np.stack([values[:, record.keep[each]], np.ones(len(values))], axis=1)
        factor, offset = np.linalg.lstsq(design, values[:, each])[0]
        assert record.factor[each] == pytest.approx(factor, rel=1e-4)
        assert record.offset[each] == pytest.approx(offset, abs=1e-4 * np.abs(values[:, each]).max())
        assert record.residual[each] < 2e-3
        if name != "tanh":          # of which only one of the two others has equal weights
            assert record.by[each] == ("weights" if name == "softmax" else "both")
        assert record.removable[each] == (name != "softmax")
    alone = record.group < 0
    assert np.isnan(record.residual[alone]).all() and (record.by[alone] == "").all()
    np.testing.assert_array_equal(record.keep[alone], np.flatnonzero(alone))
    assert record.removable_count <= doubles.sum() + (name in ("linear", "sums")) * 2


def test_of_an_odd_function_a_negative_multiple_is_one_by_activations_alone(run: Any) -> None:
    record = run.similarity("tanh", 0)
    assert sorted(record.by[:3]) in (["activations", "both", "both"], ["activations", "activations", "activations"])
    assert sorted(np.round(record.factor[[0, 1, 2]], 3)) in ([-1, 1, 1], [-1, -1, 1])


def test_what_stays_has_the_largest_variance(run: Any, model: Any) -> None:
    assert run.similarity("conv", 0).keep[[0, 3, 7]].tolist() == [3, 3, 3]
    assert run.similarity("conv", 0).factor[[0, 3, 7]] == pytest.approx([0.25, 1, 0.25], rel=1e-4)


@pytest.mark.parametrize("name", DOUBLES)
def test_numbers_are_those_of_all_activations(run: Any, model: Any, name: str) -> None:
    record, values = run.similarity(name, 0), activations(model, name)
    assert record.exact == (len(values) <= 16_384)
    if not record.exact:
        assert 16_384 <= record.values < len(values) == 24_000
        return
    assert record.values == len(values)
    varies = np.ptp(values, axis=0) > 0
    correlation = np.corrcoef(values[:, varies].T)
    np.fill_diagonal(correlation, 0)
    largest = np.abs(correlation).max(axis=1)
    np.testing.assert_allclose(np.abs(record.correlation[varies]), largest, rtol=1e-5)
    for each in np.flatnonzero(varies):
        there = np.corrcoef(values[:, each], values[:, record.nearest[each]])[0, 1]
        assert record.correlation[each] == pytest.approx(there, rel=1e-5)
    assert (record.nearest[~varies] == -1).all() and np.isnan(record.correlation[~varies]).all()


@pytest.mark.parametrize("name", [name for name in DOUBLES if name not in ("softmax", "transposed")])
def test_what_sums_leave_is_what_least_squares_on_all_activations_leaves(run: Any, model: Any, name: str) -> None:
    record, values = run.similarity(name, 0), activations(model, name)
    values = values - values.mean(axis=0)
    deviation = values.std(axis=0)
    stays = (record.keep == np.arange(len(record.keep))) & (deviation > 0)
    needed = rows_needed(np.count_nonzero(deviation), 3, 0.02)
    told = stays & (np.square(values).sum(axis=0) >= needed * np.square(values).max(axis=0))
    assert told.sum() >= len(stays) // 2
    assert np.isnan(record.unexplained[stays & ~told]).all() and (record.terms[~told] == -1).all()
    for each in np.flatnonzero(told):
        terms = record.terms[each][record.terms[each] >= 0]
        weights = np.linalg.lstsq(values[:, terms], values[:, each])[0]
        left = np.var(values[:, each] - values[:, terms] @ weights) / np.var(values[:, each])
        rounding = 1e-6 * (1 + np.abs(weights * deviation[terms] / deviation[each]).sum()) ** 2
        assert record.unexplained[each] ** 2 == pytest.approx(left, rel=1e-5, abs=rounding)
        mine = values[:, each] - values[:, terms] @ record.coefficients[each, : len(terms)]
        assert np.var(mine) / np.var(values[:, each]) == pytest.approx(left, rel=1e-5, abs=rounding)
        assert stays[terms].all() and each not in terms


def test_sums_are_found_and_what_can_go_is_reproduced_by_what_stays(run: Any, model: Any) -> None:
    linear, sums = run.similarity("linear", 0), run.similarity("sums", 0)
    assert linear.unexplained[4] < 2e-3 and sums.unexplained[[11, 7]].max() < 2e-3
    terms = dict(zip(sums.terms[7].tolist(), sums.coefficients[7].tolist(), strict=True))
    assert terms == {2: pytest.approx(0.5, rel=1e-2), 3: pytest.approx(1, rel=1e-2), 0: pytest.approx(2, rel=1e-2)}
    assert linear.removable.sum() == 2 and np.count_nonzero(linear.removable[[2, 3, 4]]) == 1
    assert sums.removable.sum() == 2
    for name in (name for name in DOUBLES if name != "softmax"):
        record, values = run.similarity(name, 0), activations(model, name)
        design = np.column_stack([values[:, ~record.removable], np.ones(len(values))])
        for each in np.flatnonzero(record.removable):
            left = values[:, each] - design @ np.linalg.lstsq(design, values[:, each])[0]
            assert np.std(left) <= 0.02 * np.std(values[:, each])


def test_dead_and_constant_filters_are_compared_with_none_and_the_note_says_so(run: Any) -> None:
    for name, each in (("linear", 6), ("sums", 5)):
        record = run.similarity(name, 0)
        assert record.group[each] == record.nearest[each] == -1 and not record.removable[each]
        assert "1 filter is the same of every row" in record.note


def test_of_a_softmax_only_equal_weights_count_and_none_can_go(run: Any) -> None:
    record = run.similarity("softmax", 0)
    assert record.removable_count == 0 and (record.terms == -1).all()
    assert record.note.startswith("softmax makes every filter depend on all others")


@pytest.mark.parametrize("name", ["conv", "normed", "linear"])
def test_the_map_is_the_pca_of_the_directions_of_the_weights_that_act(run: Any, model: Any, name: str) -> None:
    record, layer = run.similarity(name, 0), model.get_layer(name)
    kernel = layer.kernel.numpy().reshape(-1, layer.kernel.shape[-1]).T.astype(np.float64)
    if name == "normed":
        norm = model.get_layer("normed_bn")
        kernel *= (norm.gamma.numpy() / np.sqrt(norm.moving_variance.numpy() + norm.epsilon))[:, None]
    kernel /= np.maximum(np.linalg.norm(kernel, axis=1, keepdims=True), 1e-30)
    pca = PCA(2).fit(kernel)
    expected = pca.transform(kernel)
    signs = np.sign((expected * record.weight_map).sum(axis=0))
    np.testing.assert_allclose(record.weight_map, expected * signs, atol=2e-4)
    np.testing.assert_allclose(record.explained, pca.explained_variance_ratio_, rtol=1e-4)
    assert record.weight_layout.shape == ((10, 2) if len(kernel) >= 10 else (0, 0))


def snapshot(values: np.ndarray, *, activation: str = "relu", weights: np.ndarray | None = None, **more: Any) -> LayerSnapshot:
    """A layer of one position whose activations are these, (samples, filters)."""
    samples, filters = values.shape
    reductions = {
        "moment_mean": values.mean(axis=0, dtype=np.float64), "moment_covariance": np.cov(values.T.astype(np.float64), bias=True),
        "moment_rows": np.array(samples), "moment_positions": np.array(1), "minimum": values, "maximum": values,
    }  # fmt: skip
    info = LayerInfo(
        name="dense", type="Dense", shape=(filters,), filters=filters, tapped="dense", activation=activation,
        parameters=1, features=filters, sketch=filters,
    )  # fmt: skip
    if weights is None:
        weights = np.random.default_rng(filters).normal(size=(filters, 30)).astype(np.float32)
    given = {"epoch": 3, "info": info, "labels": np.zeros(samples, np.int32), "reductions": reductions, "weights": weights}
    return LayerSnapshot(**{**given, **more})


def noise(samples: int = 200, filters: int = 12, seed: int = 0) -> np.ndarray:
    return np.maximum(np.random.default_rng(seed).normal(size=(samples, filters)), 0).astype(np.float32)


def test_doubles_by_weights_are_found_where_rows_are_too_few_for_activations() -> None:
    weights = np.random.default_rng(0).normal(size=(6, 20)).astype(np.float32)
    weights[4] = 2 * weights[1]
    x = np.random.default_rng(1).normal(size=(12, 20)).astype(np.float32)
    record = FilterSimilarity().analyse(snapshot(np.maximum(x @ weights.T, 0), weights=weights))
    assert groups(record) == {frozenset({1, 4})} and record.by[4] == record.by[1] == "weights"
    assert np.isnan(record.unexplained[record.group < 0]).all() and record.removable.tolist() == [False, True] + 4 * [False]
    assert "12 rows are too few to tell sums of 3 others from luck" in record.note


def test_weights_do_not_count_where_something_stands_before_the_activation() -> None:
    weights = np.random.default_rng(0).normal(size=(6, 20)).astype(np.float32)
    weights[4] = weights[1]
    values = np.maximum(np.random.default_rng(1).normal(size=(12, 20)) @ weights.T, 0).astype(np.float32)
    record = FilterSimilarity().analyse(snapshot(values, weights=weights, direct=False))
    assert (record.group == -1).all() and "weights are not compared" in record.note
    without = dataclasses.replace(snapshot(values), weights=None)
    record = FilterSimilarity().analyse(without)
    assert "no weights to compare" in record.note and not record.weight_map.size and record.explained == ()


def test_what_is_not_finite_is_said() -> None:
    given = snapshot(noise())
    given.reductions["moment_rows"] = np.array(0)
    with pytest.raises(NothingToSay, match=r"no row of activations of layer 'dense' at epoch 3 is finite"):
        FilterSimilarity().analyse(given)
    given = snapshot(noise())
    given.reductions["moment_rows"] = np.array(190)
    record = FilterSimilarity().analyse(given)
    assert not record.exact and record.values == 190 and "10 rows with a value that is not finite left out" in record.note
    weights = np.random.default_rng(0).normal(size=(12, 30)).astype(np.float32)
    weights[3, 2] = np.nan
    record = FilterSimilarity().analyse(snapshot(noise(), weights=weights))
    assert np.isnan(record.weight_map).any(axis=1).tolist() == np.isnan(record.weight_layout).any(axis=1).tolist()
    assert np.flatnonzero(np.isnan(record.weight_map).any(axis=1)).tolist() == [3]
    weights[3, 2] = 1
    later = FilterSimilarity().analyse(snapshot(noise(), weights=weights, previous=record))
    assert np.isfinite(later.weight_map).all() and np.isfinite(later.weight_layout).all()
    others = np.arange(12) != 3
    assert np.abs(later.weight_map - record.weight_map)[others].max() < 0.3


def test_a_layout_of_many_filters_is_made_anew_at_some_records_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featwatch.analysis.weight_map.LAID_OUT_ALWAYS", 5)
    recorder, last, ages, made = FilterSimilarity(), None, [], []
    for epoch in range(5):
        weights = np.random.default_rng(epoch).normal(size=(12, 30)).astype(np.float32)
        record = recorder.analyse(snapshot(noise(), weights=weights, epoch=epoch, previous=last))
        ages.append(record.layout_age)
        made.append(last is None or not np.array_equal(record.weight_layout, last.weight_layout))
        last = record
    assert ages == [0, 1, 2, 0, 1] and made == [True, False, False, True, False]
    other = recorder.analyse(snapshot(noise(filters=11), previous=last))
    assert other.layout_age == 0 and other.weight_layout.shape == (11, 2)
    assert FilterSimilarity(weight_layout=False).analyse(snapshot(noise())).weight_layout.shape == (0, 0)


def test_what_can_go_does_not_change_from_record_to_record() -> None:
    """Two equal filters and a circle of sums: rounding and noise would choose others each time."""
    rng = np.random.default_rng(0)
    recorder, last, seen = FilterSimilarity(weight_layout=False), None, set()
    for epoch in range(8):
        values = np.abs(rng.normal(size=(400, 8))).astype(np.float32)
        values[:, 1] = values[:, 0] * (1 + 0.02 * rng.normal())
        values[:, 4] = values[:, 2] + values[:, 3] + 1e-3 * rng.normal(size=400)
        last = recorder.analyse(snapshot(values, epoch=epoch, previous=last))
        seen.add(tuple(np.flatnonzero(last.removable)))
    assert len(seen) == 1 and len(seen.pop()) == 2


def test_the_record_survives_the_wire(run: Any) -> None:
    record = FilterSimilarity().analyse(snapshot(noise()))
    again = wire.decode(wire.encode(record))
    for field in dataclasses.fields(record):
        one, other = getattr(record, field.name), getattr(again, field.name)
        if isinstance(one, np.ndarray) and one.dtype.kind == "f":
            np.testing.assert_allclose(other, one, rtol=2e-4)
        else:
            np.testing.assert_array_equal(other, one)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"correlation": 1.5}, ValueError, r"correlation=1.5 is out of range; give a number of 0 or more, 1 at most"),
        ({"residual": 0}, ValueError, r"residual=0 is out of range; give a number above 0, 0.9 at most"),
        ({"residual": "2 %"}, TypeError, r"residual='2 %' is not a number"),
        ({"terms": 0}, ValueError, r"terms=0 is out of range; give a whole number of 1 or more, 8 at most"),
        ({"weight_layout": "umap"}, TypeError, r"weight_layout='umap' is neither True nor False"),
        ({"seed": -1}, ValueError, r"seed=-1 is out of range"),
    ],
)
def test_wrong_options_are_refused_where_they_are_given(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        FilterSimilarity(**options)


def test_the_thresholds_can_be_loosened() -> None:
    values = noise(1000, 6)
    values[:, 3] = values[:, 1] + 0.1 * np.random.default_rng(1).normal(size=1000) * values[:, 1].std()
    for options, found in (({}, False), ({"residual": 0.15}, True), ({"residual": 0.15, "correlation": 0.999}, False)):
        record = FilterSimilarity(**options).analyse(snapshot(values))
        assert (groups(record) == {frozenset({1, 3})}) == found, options
        assert record.residual[record.removable] == pytest.approx([0.1] * found, abs=0.01)


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
def test_of_healthy_networks_nothing_can_go_that_least_squares_does_not_confirm(tmp_path: Any, activation: str) -> None:
    keras.utils.set_random_seed(7)
    model = keras.Sequential([
        keras.Input((8, 8, 1)), layers.Conv2D(16, 3, padding="same", name="a"), layers.BatchNormalization(),
        layers.Activation(activation), layers.Conv2D(24, 3, activation=activation, name="b"), layers.MaxPooling2D(),
        layers.Flatten(), layers.Dense(48, activation=activation, name="c"), layers.Dense(10, activation="softmax", name="d"),
    ])  # fmt: skip
    model.compile("adam", "sparse_categorical_crossentropy")
    y = load_digits().target[: len(X)]
    looks = []
    for epoch, epochs in enumerate([0, 4]):
        model.fit(X, y, epochs=epochs, verbose=0)
        looks.append(fw.snapshot(model, fw.Probe(X), tmp_path / str(epoch), recorders=[FilterSimilarity(weight_layout=False)]))
        read = {"a": model.layers[2], "b": model.get_layer("b"), "c": model.get_layer("c")}
        for name, layer in read.items():
            record = looks[-1].similarity(name, 0)
            values = keras.ops.convert_to_numpy(keras.Model(model.inputs[0], layer.output)(X)).astype(np.float64)
            values = values.reshape(-1, values.shape[-1])
            design = np.column_stack([values[:, ~record.removable], np.ones(len(values))])
            for each in np.flatnonzero(record.removable):
                left = values[:, each] - design @ np.linalg.lstsq(design, values[:, each])[0]
                assert np.std(left) <= 0.02 * np.std(values[:, each])
        assert sum(looks[-1].similarity(name, 0).removable_count for name in "bcd") == 0


def test_a_layer_of_too_many_filters_is_not_compared_and_says_so() -> None:
    wide = snapshot(np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32))
    reduced = {**wide.reductions, "moment_mean": np.zeros(0), "moment_covariance": np.zeros((0, 0))}
    found = FilterSimilarity().analyse(dataclasses.replace(wide, reductions=reduced))
    assert found.note == "6 filters are too many to be compared with each other"
    assert not found.removable.any() and (found.group == -1).all() and not found.exact
    assert wire.decode(wire.encode(found)).note == found.note
