"""What holds for every recorder, and what each makes of a layer."""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
import os
import random
import subprocess
import sys

import numpy as np
import pytest

import featwatch as fw
from featwatch import wire
from featwatch.analysis.dyadic import StreamingHistogram
from featwatch.packing import rounded
from featwatch.recorders import LayerSnapshot, NothingToSay, Recorder, default_recorders
from featwatch.records import Clustering, Embedding, LayerInfo, LayerSeparation

SAMPLES, FILTERS = 60, 8


def snapshot(samples: int = SAMPLES, *, seed: int = 0, activation: str = "relu", **more) -> LayerSnapshot:
    """A layer of 8 filters and 2 positions; filter 3 is dead; a third of the samples has no label."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, 2, samples).astype(np.int32)
    values = np.maximum(rng.normal(size=(samples, 2, FILTERS)) + labels[:, None, None], 0).astype(np.float32)
    values[:, :, 3] = 0
    reductions = {
        "features": values.reshape(samples, -1),
        "largest": values.reshape(samples, -1).argmax(axis=1).astype(np.int32),
        "maximum": values.max(axis=1),
        "minimum": values.min(axis=1),
        "mean": values.mean(axis=1),
        "below_zero": np.zeros((samples, FILTERS), np.float32),
        "active": (values > 0).mean(axis=1, dtype=np.float32),
        "responsive": (values > 0).mean(axis=1, dtype=np.float32),
        "peak": values.argmax(axis=1).astype(np.int32),
    }
    histogram = StreamingHistogram(FILTERS, 512)
    histogram.add(values.reshape(-1, FILTERS))
    assert histogram.grid is not None
    reductions |= {
        "histogram_counts": histogram.counts,
        "histogram_edges": histogram.grid.edges,
        "histogram_left_out": histogram.left_out,
        "histogram_positions": np.array(2),
    }
    flat = values.reshape(-1, FILTERS).astype(np.float64)
    reductions |= {
        "moment_mean": flat.mean(axis=0),
        "moment_covariance": np.cov(flat.T, bias=True),
        "moment_rows": np.array(len(flat)),
        "moment_positions": np.array(2),
    }
    info = LayerInfo(
        name="block/conv", type="Conv1D", shape=(2, FILTERS), filters=FILTERS, tapped="block/conv", activation=activation,
        parameters=32, features=16, sketch=16,
    )  # fmt: skip
    given = {
        "epoch": 4, "info": info, "labels": labels, "reductions": reductions, "distance_error": 0.02,
        "weights": (weights := rng.normal(size=(FILTERS, 3)).astype(np.float32)), "kernel": weights.T[:, None],
        "bias": rng.normal(size=FILTERS).astype(np.float32),
        "results": {"embedding": Embedding(epoch=4, layer="block/conv", points=values[:, 0, :2])},
    }  # fmt: skip
    return LayerSnapshot(**{**given, **more})


def everything(record) -> dict[str, object]:
    """The record's fields, without the time that it took."""
    return {f.name: getattr(record, f.name) for f in dataclasses.fields(record) if f.name != "elapsed_seconds"}


def as_stored(record):
    """With what a log keeps to fewer bits rounded."""
    fields = {f.name: f.metadata["bits"] for f in dataclasses.fields(record) if f.metadata.get("bits")}
    return dataclasses.replace(record, **{name: rounded(getattr(record, name), bits) for name, bits in fields.items()})


def assert_same(one, other) -> None:
    assert type(one) is type(other)
    for name, value in everything(one).items():
        np.testing.assert_array_equal(np.asarray(getattr(other, name)), np.asarray(value), err_msg=name)


# Those that look at one layer's arrays; what explains the model itself, builds on that, or compares layers is in the conformance
# suite.
ANALYSTS = [
    recorder
    for recorder in default_recorders()
    if not recorder.across and not any(each.explains for each in (recorder, *recorder.builds_on))
]
every_recorder = pytest.mark.parametrize("recorder", ANALYSTS, ids=lambda recorder: recorder.name)


def test_the_default_recorders_are_fresh_ones_in_an_order_that_works():
    first, second = default_recorders(), default_recorders()
    assert [recorder.name for recorder in first] == [
        "filter_health", "filter_similarity",
        "separation", "layer_similarity", "embeddings", "clusters", "grid_mapping",
        "activation_histograms", "class_specificity", "kernel_pictures", "activation_maps", "exemplars", "exemplar_maps",
        "feature_images", "feature_arrangement", "class_activation",
    ]  # fmt: skip
    assert all(one is not other for one, other in zip(first, second, strict=True))
    for index, recorder in enumerate(first):
        assert all(any(isinstance(earlier, base) for earlier in first[:index]) for base in recorder.builds_on)


@every_recorder
def test_the_record_survives_the_wire(recorder: Recorder):
    record = recorder.analyse(snapshot())
    assert type(record) is recorder.produces
    assert (record.epoch, record.layer) == (4, "block/conv")
    assert_same(wire.decode(wire.encode(record)), as_stored(record))


@every_recorder
def test_arrays_have_the_declared_type_and_one_entry_per_sample_or_filter(recorder: Recorder):
    sizes = {"samples": SAMPLES, "filters": FILTERS, "plane": 2, "bins": 64, "edges": 65, "inputs": 32, "top": 9, "axes": 1}
    record = recorder.analyse(snapshot())
    sizes |= {"few": 3, "clusters": getattr(record, "count", 0), "shown": 5, "classes": 2}
    sizes |= {"shown": 1, "rows": 1, "columns": 3} if recorder.name == "kernel_pictures" else {}
    for field in dataclasses.fields(record):
        if (axes := field.metadata.get("axes")) and getattr(record, field.name).size:
            array, declared = getattr(record, field.name), field.metadata["dtype"]
            assert array.shape == tuple(sizes[axis] for axis in axes), field.name
            assert array.dtype == declared or (declared == "str" and array.dtype.kind == "U"), field.name


@every_recorder
def test_it_is_pure(recorder: Recorder):
    """The same twice; the snapshot, the recorder and the global random numbers stay as they were."""
    given = snapshot()
    given = dataclasses.replace(given, previous=recorder.analyse(given), previous_reductions=given.reductions)
    arrays = [*given.reductions.values(), given.labels, given.weights, given.bias, given.results["embedding"].points]
    copies, options = [array.copy() for array in arrays], dict(vars(recorder))
    _, keys, position, *_ = np.random.get_state()
    python_state = random.getstate()
    first = recorder.analyse(given)
    assert random.getstate() == python_state
    assert np.random.get_state()[2] == position
    np.testing.assert_array_equal(np.random.get_state()[1], keys)
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)
    assert vars(recorder) == options
    np.random.random(3)
    assert_same(recorder.analyse(given), first)


@every_recorder
def test_read_only_arrays_will_do(recorder: Recorder):
    """A worker process may get its arrays in memory that it cannot write."""
    given = snapshot()
    for array in [*given.reductions.values(), given.labels, given.weights, given.bias, given.results["embedding"].points]:
        array.flags.writeable = False
    recorder.analyse(dataclasses.replace(given, previous=given.results["embedding"]))


@every_recorder
@pytest.mark.parametrize("samples", [1, 2, 3, 5, 16])
def test_a_few_samples_will_do(recorder: Recorder, samples: int):
    wire.encode(recorder.analyse(snapshot(samples)))


@every_recorder
def test_samples_without_labels_will_do(recorder: Recorder):
    record = recorder.analyse(snapshot(labels=np.full(SAMPLES, -1, np.int32)))
    assert_same(wire.decode(wire.encode(record)), as_stored(record))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "recorder", [r for r in ANALYSTS if "features" in r.reductions], ids=lambda r: r.name
)
def test_a_training_that_diverged_is_said_not_analysed(recorder: Recorder, value: float):
    given = snapshot()
    given.reductions["features"][2, 5] = value
    with pytest.raises(NothingToSay, match=r"layer 'block/conv' at epoch 4 are not finite"):
        recorder.analyse(given)


@every_recorder
def test_options_can_be_logged_and_layers_and_schedule_are_kept(recorder: Recorder):
    cls = type(recorder)
    assert json.loads(json.dumps(recorder.options())) == recorder.options()
    schedule = object()
    chosen = cls(layers=["conv*"], schedule=schedule)
    assert chosen.layers == ["conv*"] and chosen.schedule is schedule
    assert recorder.layers is None and (recorder.schedule is None) == (recorder.name != "kernel_pictures")
    for name in ("layers", "schedule"):
        assert inspect.signature(cls).parameters[name].kind is inspect.Parameter.KEYWORD_ONLY


def first_two(features, *, start, seed):
    return features[:, :2]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fw.Embeddings(layout="umpa"), ValueError, r"layout='umpa' is not known; choose 'umap', 'tsne', 'pca' or pass"),
        (lambda: fw.Embeddings(layout=3), TypeError, r"layout=3 is neither a name nor a function; choose"),
        (lambda: fw.Embeddings(n_neighbors=1), ValueError, r"n_neighbors=1 is out of range; give a whole number of 2 or more"),
        (lambda: fw.Embeddings(n_neighbors=7.5), TypeError, r"n_neighbors=7.5 is not a whole number"),
        (lambda: fw.Embeddings(n_neighbors=True), TypeError, r"n_neighbors=True is not a whole number"),
        (lambda: fw.Embeddings(min_dist=1.5), ValueError, r"min_dist=1.5 is out of range; give a number of 0 or more, 1 at most"),
        (lambda: fw.Embeddings(min_dist=math.nan), ValueError, r"min_dist=nan is out of range"),
        (lambda: fw.Embeddings(min_dist="0.1"), TypeError, r"min_dist='0.1' is not a number"),
        (lambda: fw.Embeddings(sort_maps="yes"), TypeError, r"sort_maps='yes' is neither True nor False"),
        (lambda: fw.Embeddings(seed=-1), ValueError, r"seed=-1 is out of range; .* 0 or more, 4294967295 at most"),
        (lambda: fw.Clusters(eps=0), ValueError, r"eps=0 is out of range; give a number above 0"),
        (lambda: fw.Clusters(eps="big"), ValueError, r"eps='big' is not a radius; give a number above 0 or 'auto'"),
        (lambda: fw.Clusters(eps=None), TypeError, r"eps=None is not a number"),
        (lambda: fw.Clusters(min_samples=0), ValueError, r"min_samples=0 is out of range"),
        (lambda: fw.Separation(neighbors=0), ValueError, r"neighbors=0 is out of range"),
    ],
)
def test_wrong_options_are_refused_where_they_are_given(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_numpy_numbers_are_options_too():
    assert fw.Embeddings(n_neighbors=np.int64(9), min_dist=np.float32(0.5)).options() == {
        "layout": "umap", "n_neighbors": 9, "min_dist": 0.5, "sort_maps": False, "seed": 0, "stages": 0, "start": "epoch",
            "layers": None, "schedule": None,
    }  # fmt: skip


def test_embeddings_start_from_the_epoch_before():
    recorder, given = fw.Embeddings(), snapshot()
    first = recorder.analyse(given)
    assert (first.started_from, first.method, first.neighbors) == (-1, "umap", 15)
    assert (first.features, first.sketch, first.distance_error) == (16, 16, 0.02)
    assert first.elapsed_seconds > 0
    second = recorder.analyse(dataclasses.replace(given, epoch=5, previous=first, previous_reductions=given.reductions))
    assert second.started_from == 4
    assert np.linalg.norm(second.points - first.points, axis=1).max() < 0.3


@pytest.mark.parametrize("previous", [None, Embedding(epoch=3, points=np.zeros((9, 2))), Clustering(epoch=3, labels=np.zeros(9))])
def test_embeddings_start_afresh_where_nothing_fits(previous):
    record = fw.Embeddings().analyse(snapshot(previous=previous))
    assert record.started_from == -1
    np.testing.assert_array_equal(record.points, fw.Embeddings().analyse(snapshot()).points)


@pytest.mark.parametrize(("layout", "method"), [("pca", "pca"), ("tsne", "tsne"), (first_two, "first_two")])
def test_embeddings_by_another_layout(layout, method):
    recorder = fw.Embeddings(layout)
    record = recorder.analyse(snapshot())
    assert record.method == recorder.options()["layout"] == method
    assert 0 < record.trustworthiness <= 1 and 0 < record.neighbors_kept <= 1


def test_clusters_are_those_of_the_embedding():
    given = snapshot()
    found = fw.Clusters(eps=0.3, min_samples=3).analyse(given)
    assert (found.eps, found.min_samples) == (0.3, 3)
    assert found.count == found.labels.max() + 1
    assert fw.Clusters().analyse(dataclasses.replace(given, results={})) is None


def test_separation_leaves_unlabelled_samples_out():
    given = snapshot()
    record = fw.Separation().analyse(given)
    assert isinstance(record, LayerSeparation)
    assert record.samples == np.sum(given.labels >= 0) < SAMPLES
    assert (record.neighbors, record.features, record.sketch, record.distance_error) == (15, 16, 16, 0.02)
    assert 0.75 < record.knn_accuracy < 1.0


def test_recorders_load_nothing_that_is_heavy():
    """The training process imports them; seconds of imports belong to the worker."""
    script = (
        "import sys, featwatch.recorders, featwatch.analysis.layout, featwatch.analysis.clustering\n"
        "print(sorted({'umap', 'sklearn', 'numba', 'scipy', 'keras', 'tensorflow'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_warming_up_leaves_no_compiling_to_the_first_snapshot():
    """Compiled anew, as in a process that finds no code that was kept: see `tests/compiled_once`."""
    script = (
        "import sys, time; sys.modules['tensorflow'] = sys.modules['keras'] = None\n"
        "from featwatch.analysis.warm_up import warm_up\n"
        "from tests.test_recorders import snapshot, ANALYSTS\n"
        "given = snapshot(); warm_up(); before = set(sys.modules); started = time.process_time()\n"
        "[recorder.analyse(given) for recorder in ANALYSTS]\n"
        "print(round(time.process_time() - started, 2), sorted(m for m in set(sys.modules) - before if m.count('.') == 0))"
    )
    environment = {**os.environ, "FEATWATCH_COMPILE_ANEW": "1"}
    command = [sys.executable, "-c", script]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    seconds, loaded = answer.split(" ", 1)
    assert float(seconds) < 1.0
    assert loaded == "[]\n"
