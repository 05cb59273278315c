"""Images of clusters (row D3): the weights against NumPy, planted detectors found again, and during a fit."""

from __future__ import annotations

import dataclasses
import doctest
import random
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import featwatch as fw
from featwatch import wire
from featwatch.analysis.cluster_weights import cluster_weights
from featwatch.background import BackgroundAnalyst
from featwatch.explain import clusters as module
from featwatch.explain.clusters import cluster_images
from featwatch.explain.fields.fields import site_of
from featwatch.recorders.base import Look
from featwatch.recording import Recording
from featwatch.records import Clustering
from tests import planted
from tests.fits import PROBE, X, fit, ours, quick
from tests.nets import functional, images, sequential
from tests.planted_groups import alike, detectors, with_shape

L = keras.layers


def by_hand(activation: np.ndarray, labels: np.ndarray, cluster: int) -> np.ndarray:
    """The weights of one cluster, filter by filter, from the source's formula."""
    weights = []
    for values in activation.T.tolist():
        inside = sorted(value for value, label in zip(values, labels, strict=True) if label == cluster)
        everyone = sorted(values)

        def median(ordered: list[float]) -> float:
            middle = len(ordered) // 2
            return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2

        mean = sum(values) / len(values)
        deviation = (sum((value - mean) ** 2 for value in values) / len(values)) ** 0.5
        weights.append(max(0.0, (median(inside) - median(everyone)) / deviation) if deviation > 0 else 0.0)
    length = sum(weight**2 for weight in weights) ** 0.5
    return np.array(weights) / (length or 1)


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 40), st.integers(1, 6), st.integers(1, 5), st.integers(0, 10**6))
def test_weights_are_those_of_the_formula(samples: int, filters: int, clusters: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    activation = np.round(rng.gamma(1.0, 1.0, (samples, filters)), 2)
    labels = rng.integers(-1, clusters, samples)
    numbers, weights = cluster_weights(activation.astype(np.float32), labels)
    assert numbers.tolist() == sorted({label for label in labels.tolist() if label >= 0})
    for row, number in zip(weights, numbers, strict=True):
        np.testing.assert_allclose(row, by_hand(activation, labels, number), atol=1e-4)
        assert np.isclose(np.linalg.norm(row), 1, atol=1e-5) or not row.any()
    scaled, shifted = cluster_weights(5 * activation, labels)[1], cluster_weights(activation + 3, labels)[1]
    np.testing.assert_allclose(scaled, weights, atol=1e-5)          # neither the scale nor the place of a filter matters
    np.testing.assert_allclose(shifted, weights, atol=1e-4)


def test_a_constant_filter_counts_for_nothing() -> None:
    activation = np.array([[1e6, 0.0], [1e6 + 1e-3, 1.0], [1e6, 5.0], [1e6, 6.0]])
    _, weights = cluster_weights(activation, np.array([0, 0, 1, 1]))
    assert weights.tolist() == [[0, 0], [0, 1]]


def test_clusters_that_differ_by_a_planted_detector_have_its_shape() -> None:
    rng = np.random.default_rng(0)
    shown = [0, 1, 2, 3, 7, 8]
    x = np.concatenate([*(with_shape(number, 12, rng) for number in shown), planted.pictures(24, seed=3)])
    labels = np.repeat([*range(len(shown)), -1], [12] * len(shown) + [24])
    found = cluster_images(detectors(), "shapes", fw.Probe(x), labels)
    assert found.clusters.tolist() == list(range(len(shown))) and found.samples.tolist() == [12] * len(shown)
    assert found.weights.argmax(axis=1).tolist() == shown and found.reached.all()
    assert found.images.shape[1:] == (planted.FIELD, planted.FIELD, 1)
    assert [alike(image[..., 0]) for image in found.images] == shown
    by_chance = [alike(image) for image in rng.random((200, planted.FIELD, planted.FIELD))]
    assert np.mean(np.array(by_chance) == rng.choice(shown, 200)) < 0.4


def test_its_record_says_which_clusters_have_no_image() -> None:
    net, (x, y) = functional(), images(30)
    found = cluster_images(net, "last", x, np.where(y == 2, -1, y))
    maps = fw.explain.activations(net, "last", x)["last"]
    numbers, weights = cluster_weights(maps.mean(axis=(1, 2)), np.where(y == 2, -1, y))
    np.testing.assert_allclose(found.weights, weights[np.isin(numbers, found.clusters)], atol=1e-4)
    assert found.epoch == 0 and found.of == -1 and not found.identities.size and np.isfinite(found.activation).all()
    with pytest.raises(ValueError, match="no filter is more active in a cluster than in all samples"):
        cluster_images(net, "last", x, np.zeros(30, int))       # a single cluster of all is as all are
    inputs = keras.Input((1,))
    plain = keras.Model(inputs, L.Dense(1, kernel_initializer="ones", name="dense")(inputs))
    low = cluster_images(plain, "dense", np.arange(9.0)[:, None], np.repeat([0, 1, 2], 3))
    assert low.clusters.tolist() == [2] and low.note == "no filter is more active in clusters 0, 1 than in all samples"


def test_of_many_clusters_the_largest_have_images() -> None:
    inputs = keras.Input((5,))
    plain = keras.Model(inputs, L.Dense(5, kernel_initializer="identity", name="dense")(inputs))
    labels = np.repeat([0, 1, 2, 3, 4], [2, 5, 3, 6, 4])
    x = np.eye(5, dtype=np.float32)[labels] + 0.01 * np.random.default_rng(0).random((20, 5), np.float32)
    probe = fw.Probe(x)
    found = module.clustered(
        plain, site_of(plain, "dense"), probe, x, labels, epoch=7, of=5, identities=np.array([9, 3, 4, 6, 8]), most=3, steps=4
    )
    assert found.clusters.tolist() == [1, 3, 4] and found.identities.tolist() == [3, 6, 8] and found.samples.tolist() == [5, 6, 4]
    assert found.note == "the largest 3 of 5 clusters" and (found.epoch, found.of) == (7, 5)
    assert found.weights.argmax(axis=1).tolist() == [1, 3, 4] and found.images[:, 0, :, 0].argmax(axis=1).tolist() == [1, 3, 4]


def test_labels_are_checked() -> None:
    net, (x, _) = sequential(), images(10)
    for labels in (np.zeros(9, int), np.zeros(10), np.zeros((10, 1), int)):
        with pytest.raises(ValueError, match=r"labels of the shape .*give 10 whole numbers"):
            cluster_images(net, "conv", x, labels)
    with pytest.raises(ValueError, match="no sample is in a cluster"):
        cluster_images(net, "conv", x, np.full(10, -1))
    with pytest.raises(ValueError, match="no layer is called"):
        cluster_images(net, "cone", x, np.zeros(10, int))


# The recorder


def recorders(**options: Any) -> list[Any]:
    every = fw.every(epochs=1)
    return [
        fw.Embeddings(layout="pca", schedule=every), fw.Clusters(eps=0.35, min_samples=3, schedule=every),
        fw.ClusterImages(**{"seconds": None, "schedule": every, **options}),
    ]  # fmt: skip


def test_in_a_fit_the_clusters_are_those_analysed_last(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    model = functional()
    fit(model, quick(tmp_path, recorders=recorders(clusters=3), layers=["stem", "last"], strict=True))
    run = fw.load(tmp_path)
    some = [(layer, epoch) for layer in ("stem", "last") for epoch in run.recorded("cluster_images", layer)]
    assert some
    for layer, epoch in some:
        record, clustering = run.cluster_images(layer, epoch), run.clusters(layer, epoch)
        assert record.of == epoch                       # analysed here and now: no worker
        counts = np.bincount(clustering.labels[clustering.labels >= 0])
        assert record.samples.tolist() == counts[record.clusters].tolist() and len(record.clusters) <= 3
        assert record.identities.tolist() == clustering.identities[record.clusters].tolist()
        if clustering.count > 3:
            assert record.note.startswith(f"the largest 3 of {clustering.count} clusters")
            assert counts[record.clusters].min() >= np.sort(counts)[-3]
        again = wire.decode(wire.encode(record))
        np.testing.assert_array_equal(again.weights, record.weights)
    layer, epoch = some[-1]
    if epoch == 3:
        activation = fw.explain.activations(model, layer, PROBE)[layer].mean(axis=(1, 2))
        numbers, weights = cluster_weights(activation, run.clusters(layer, epoch).labels)
        record = run.cluster_images(layer, epoch)
        np.testing.assert_allclose(record.weights, weights[np.isin(numbers, record.clusters)], atol=1e-3)


def test_with_a_worker_they_are_of_an_earlier_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Explained while the worker has the same epoch's layouts still to make."""
    keras.utils.set_random_seed(0)
    snapshot, analyst = Recording.snapshot, BackgroundAnalyst._one
    passes = threading.Event()

    def held(self: Any, task: Any) -> None:
        passes.wait(300)
        analyst(self, task)

    def shown(self: Any, *args: Any, **options: Any) -> None:
        passes.clear()
        snapshot(self, *args, **options)
        passes.set()
        assert self._analyst.finish()

    monkeypatch.setattr(BackgroundAnalyst, "_one", held)
    monkeypatch.setattr(Recording, "snapshot", shown)
    watch = fw.Watch(tmp_path, PROBE, recorders=recorders(), layers="last", strict=True)
    fit(functional(), watch, epochs=3)
    run = fw.load(tmp_path)
    assert run.recorded("cluster_images", "last")
    for epoch in run.recorded("cluster_images", "last"):
        record = run.cluster_images("last", epoch)
        assert record.of == epoch - 1
        counts = np.bincount(run.clusters("last", record.of).labels + 1)
        assert record.samples.tolist() == counts[record.clusters + 1].tolist()


class Spoil(keras.callbacks.Callback):
    """Leaves other weights than the last epoch's, as EarlyStopping(restore_best_weights=True) does."""

    def on_train_end(self, logs: Any = None) -> None:
        self.model.set_weights([1.01 * weight for weight in self.model.get_weights()])


def state_of(model: Any) -> list[Any]:
    """Weights, the optimiser's variables, and what every global source of randomness gives next."""
    drawn = [random.random(), np.random.random(), float(keras.random.uniform(())), float(tf.random.uniform(()))]
    return [*map(np.array, model.get_weights()), *(np.array(v) for v in model.optimizer.variables), *drawn]


@pytest.mark.parametrize("spoilt", [False, True])
def test_where_the_worker_is_done_only_at_the_end_they_are_made_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoilt: bool
) -> None:
    keras.utils.set_random_seed(0)
    untouched = functional()
    fit(untouched, *([Spoil()] if spoilt else []), epochs=2)
    expected = state_of(untouched)
    keras.utils.set_random_seed(0)
    wait, analyst = Recording.wait, BackgroundAnalyst._one
    passes = threading.Event()

    def held(self: Any, task: Any) -> None:
        passes.wait(300)
        analyst(self, task)

    def at_last(self: Any, *args: Any, **options: Any) -> None:
        passes.set()
        wait(self, *args, **options)

    monkeypatch.setattr(BackgroundAnalyst, "_one", held)
    monkeypatch.setattr(Recording, "wait", at_last)
    made = recorders(schedule=fw.every(epochs=2))
    model = functional()
    watch = fw.Watch(tmp_path, PROBE, recorders=made, layers=["stem", "last"], strict=True)
    fit(model, *([Spoil()] if spoilt else []), watch, epochs=2)
    for found, meant in zip(state_of(model), expected, strict=True):
        np.testing.assert_array_equal(found, meant)
    run = fw.load(tmp_path)
    clustered = [layer for layer in ("stem", "last") if run.clusters(layer, 2).count]
    assert clustered
    if spoilt:
        assert not any(run.recorded("cluster_images", layer) for layer in clustered)
        return
    for layer in clustered:
        assert run.recorded("cluster_images", layer) == [2] and run.cluster_images(layer, 2).of == 2
        activation = fw.explain.activations(model, layer, PROBE)[layer].mean(axis=(1, 2))
        numbers, weights = cluster_weights(activation, run.clusters(layer, 2).labels)
        record = run.cluster_images(layer, 2)
        np.testing.assert_allclose(record.weights, weights[np.isin(numbers, record.clusters)], atol=1e-3)


@pytest.mark.parametrize(
    ("of", "unchanged", "analysed", "off", "again"),
    [(7, True, True, "", True), (5, True, True, "", False), (7, False, True, "", False), (7, True, False, "", False),
     (7, True, True, "cluster_images", False)],
)  # fmt: skip
def test_there_is_one_look_more_at_the_model_as_it_was_at_the_last_epoch(
    of: int, unchanged: bool, analysed: bool, off: str, again: bool, recwarn: Any
) -> None:
    recording, made, looks = object.__new__(Recording), fw.ClusterImages(), list[Any]()
    recording._waiting, recording._off = {made: (of, {}, ())}, {off}
    recording._analyst = SimpleNamespace(finish=lambda progress: analysed)  # type: ignore[assignment]
    recording.note = recording._explain = lambda *given, **options: looks.append((*given[:3], options.get("last")))  # type: ignore
    recording.wait(7, None, unchanged=unchanged)
    assert ((made, 7, -1, True) in looks) == again and len([one for one in looks if one[0] is made]) == again


def test_who_had_images_at_the_last_snapshot_has_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    clustering = Clustering(epoch=3, layer="conv", labels=np.zeros(60, np.int32), count=1)
    look = dataclasses.replace(look_at(sequential(), clustering), sites={"conv": None})
    made = fw.ClusterImages()
    monkeypatch.setattr(made, "_record", lambda look, name, clustering: (name, look.last))
    again = dataclasses.replace(look, last=True)
    assert list(made.explain(again)) == [("conv", True)]
    assert list(made.explain(look)) == [("conv", False)] and list(made.explain(again)) == []


def test_without_clusters_that_is_said_once(tmp_path: Path) -> None:
    made = fw.ClusterImages(schedule=fw.every(epochs=1))
    fit(functional(), quick(tmp_path, recorders=[made], layers=["stem", "last"], strict=True))
    texts = [entry["text"] for entry in fw.load(tmp_path).journal if entry.get("recorder") == "cluster_images"]
    assert [text.partition(" have")[0] for text in texts] == [
        "cluster_images: no clusters of layer 'stem'", "cluster_images: no clusters of layer 'last'"
    ]  # fmt: skip
    assert all(text.endswith("been analysed yet; fw.Clusters() finds them") for text in texts)


def look_at(model: Any, clustering: Clustering | None, step: int = -1) -> Look:
    return Look(
        model=model, probe=PROBE, epoch=4, step=step, sites={"conv": None}, snapshots={}, state={},
        latest={"conv": {"clusters": clustering}} if clustering else {},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("labels", "step", "reason"),
    [
        (np.zeros(9, np.int32), -1, "are of 9 other samples"),
        (np.full(60, -1, np.int32), -1, "has no clusters: all samples are noise"),
        (np.zeros(60, np.int32), 8, "are kept by step, these images not"),
    ],
)
def test_clusterings_that_do_not_fit_are_left_alone(labels: np.ndarray, step: int, reason: str) -> None:
    clustering = Clustering(epoch=3, layer="conv", step=step, labels=labels, count=int(labels.max()) + 1)
    look = look_at(sequential(), clustering)
    made = fw.ClusterImages()
    said = list(made.explain(look))
    assert len(said) == 1 and reason in str(said[0]) and said[0].layer == "conv"
    assert not list(made.explain(look))


def test_a_layer_without_images_is_named_once_and_the_others_go_on(tmp_path: Path, monkeypatch: Any, recwarn: Any) -> None:
    original = module.painted

    def unwilling(model: Any, site: Any, *args: Any, **options: Any) -> Any:
        if site.name == "stem":
            raise LookupError("no gradient defined for operation 'Strange'")
        return original(model, site, *args, **options)

    monkeypatch.setattr(module, "painted", unwilling)
    clustering = Clustering(epoch=0, layer="", labels=PROBE.labels, count=3)
    monkeypatch.setattr("featwatch.recorders.cluster_images._clustering", lambda look, name: clustering)
    fit(functional(), quick(tmp_path, recorders=recorders(), layers=["stem", "last"], strict=True), epochs=2)
    run = fw.load(tmp_path)
    texts = [entry["text"] for entry in run.journal if entry.get("recorder") == "cluster_images" and "Strange" in entry["text"]]
    assert texts == ["cluster_images: layer 'stem' has no images of clusters: no gradient defined for operation 'Strange'"]
    assert run.recorded("cluster_images", "last") and not run.recorded("cluster_images", "stem") and not ours(recwarn)


def test_options_are_checked() -> None:
    for options in ({"clusters": 0}, {"seconds": -1.0}, {"share": 0.0}):
        with pytest.raises(ValueError, match=f"{next(iter(options))}="):
            fw.ClusterImages(**options)


def test_the_example_runs() -> None:
    keras.utils.set_random_seed(2)
    _, y = images(120)
    found = doctest.testmod(module, extraglobs={"net": sequential(), "x": X, "y": y, "cluster_images": cluster_images})
    assert found.attempted >= 2 and not found.failed


def test_nothing_is_traced_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    original = tf.Graph.__init__
    monkeypatch.setattr(tf.Graph, "__init__", lambda self, *args: (made.append(1), original(self, *args))[1])
    net, (x, y) = functional(), images(40)
    for number in range(4):
        cluster_images(net, "last", x, y, steps=2)
        fw.explain.factorise(net, "last", x[:3], groups=2, steps=2)
        if not number:
            first = len(made)
    assert first > 0 and len(made) == first
