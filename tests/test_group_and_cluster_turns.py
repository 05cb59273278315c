"""What `FactorGroups` and `ClusterImages` remember from snapshot to snapshot, and what they hand on: no model, no training."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import featwatch as fw
from featwatch.explain import clusters, groups
from featwatch.recorders import NothingToSay, factor_groups
from featwatch.recorders.base import Look
from featwatch.records import Clustering, FactorGroups

SAMPLES, FILTERS = 40, 5
RNG = np.random.default_rng(0)


def look_at(shapes: dict[str, tuple[int, ...]], epoch: int, state: dict[str, Any], **more: Any) -> Look:
    means = {name: RNG.random((SAMPLES, shape[-1])).astype(np.float32) for name, shape in shapes.items()}
    snapshots: Any = {
        name: SimpleNamespace(layer=name, epoch=epoch, reductions={"mean": means[name]}, info=SimpleNamespace(shape=shape))
        for name, shape in shapes.items()
    }
    probe = type("Samples", (), {"labels": np.arange(SAMPLES) % 3, "__len__": lambda self: SAMPLES})()
    sites = dict.fromkeys(shapes)
    return Look(model=None, probe=probe, epoch=epoch, sites=sites, snapshots=snapshots, state=state, **{"step": -1, **more})


class Grouping:
    """Looks of a recorder of groups, with the maps that it reads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, shapes: dict[str, tuple[int, ...]], **options: Any) -> None:
        self.recorder = fw.FactorGroups(**{"groups": 2, "samples": 6, "seconds": None, **options})
        self.shapes, self.state, self.epoch = shapes, {}, 0
        self.read = self.painted = 0
        self.unread: set[str] = set()
        monkeypatch.setattr(self.recorder, "_maps", self._maps)
        monkeypatch.setattr(groups, "with_images", self._with_images)

    def _maps(self, look: Look) -> Any:
        self.read += 1
        values = {name: RNG.random((6, *shape)).astype(np.float32) for name, shape in self.shapes.items() if len(shape) > 1}
        return {name: SimpleNamespace(values=each) for name, each in values.items() if name not in self.unread}

    def _with_images(self, record: FactorGroups, model: Any, site: Any, probe: Any) -> FactorGroups:
        self.painted += 1
        raise LookupError("no gradient defined\nfor operation 'Strange'")

    def __call__(self) -> tuple[dict[str, FactorGroups], list[str]]:
        found = list(self.recorder.explain(look_at(self.shapes, self.epoch, self.state)))
        self.epoch += 1
        records = {one.layer: one for one in found if isinstance(one, FactorGroups)}
        return records, [str(one) for one in found if isinstance(one, NothingToSay)]


def test_maps_of_all_layers_are_read_at_once_and_who_cannot_be_read_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    grouping = Grouping(monkeypatch, {"a": (4, 4, FILTERS), "b": (4, 4, FILTERS), "c": (2, 2, FILTERS)}, images=False)
    grouping.unread = {"b"}
    records, said = grouping()
    assert list(records) == ["a", "c"] and said == ["layer 'b' has no groups: it cannot be read for 6 samples"]
    grouping.unread = set()
    records, said = grouping()
    assert list(records) == ["a", "c"] and said == [] and grouping.read == 2
    assert all(record.likeness.size == 2 and record.note == "" and not record.pixels.size for record in records.values())


def test_who_has_no_images_is_asked_once_and_every_record_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    grouping = Grouping(monkeypatch, {"a": (4, 4, FILTERS)})
    for _ in range(3):
        records, said = grouping()
        assert records["a"].note == "no feature images: no gradient defined" and said == []
    assert grouping.painted == 1


def test_as_many_samples_as_fit_are_factorised_and_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(factor_groups, "MOST_VALUES", 16 * FILTERS * 4)
    grouping = Grouping(monkeypatch, {"a": (4, 4, FILTERS)}, images=False)
    record = grouping()[0]["a"]
    assert record.samples.tolist() == grouping.state["samples"][:4].tolist() and record.maps.shape == (4, 2, 4, 4)
    assert record.note == "4 of 6 samples, so that it takes no longer"


def test_of_a_layer_without_positions_the_whole_probe_is_factorised_and_some_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    record = Grouping(monkeypatch, {"dense": (FILTERS,)}, images=False)()[0]["dense"]
    assert record.maps.shape == (24, 2, 1, 1) and len(set(record.samples.tolist())) == 24
    assert record.note.endswith("of all 40 samples of the probe")


def clustering(step: int = -1, **more: Any) -> Clustering:
    labels = np.repeat([0, 1], SAMPLES // 2).astype(np.int32)
    return Clustering(**{"epoch": 3, "layer": "a", "step": step, "labels": labels, "count": 2, **more})


def looks(made: fw.ClusterImages, state: dict[str, Any], found: Clustering, **more: Any) -> list[Any]:
    look = look_at({"a": (4, 4, FILTERS)}, 4, state, latest={"a": {"clusters": found}}, **more)
    return list(made.explain(look))


def test_images_are_of_the_clustering_its_identities_and_so_many_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    handed: list[dict[str, Any]] = []
    monkeypatch.setattr(clusters, "clustered", lambda *given, **options: handed.append(options) or options["epoch"])
    made = fw.ClusterImages(clusters=7, seconds=None)
    named = clustering(identities=np.array([8, 9], np.int32))
    assert looks(made, {}, named) == [4] and looks(made, {}, clustering(step=31), step=44) == [4]
    assert looks(made, {}, clustering(identities=np.array([8], np.int32))) == [4]
    assert [each["of"] for each in handed] == [3, 31, 3] and {each["most"] for each in handed} == {7}
    assert handed[0]["identities"] is named.identities and handed[1]["identities"] is handed[2]["identities"] is None


def test_a_layer_that_fails_is_asked_no_more_and_clusters_that_do_not_fit_are_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def failing(*given: Any, **options: Any) -> Any:
        asked.append(1)
        raise LookupError("no gradient")

    monkeypatch.setattr(clusters, "clustered", failing)
    made, state = fw.ClusterImages(seconds=None), dict[str, Any]()
    other = clustering(labels=np.zeros(SAMPLES - 1, np.int32), count=1)
    said = [[str(each) for each in looks(made, state, found)] for found in (other, other, clustering(), clustering())]
    others, none = "the clusters of layer 'a' are of 39 other samples", "layer 'a' has no images of clusters: no gradient"
    assert said == [[others], [], [none], []]
    assert len(asked) == 1


def test_nothing_apart_now_may_be_apart_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def alike(*given: Any, **options: Any) -> Any:
        raise clusters.NothingApart("all are alike")

    monkeypatch.setattr(clusters, "clustered", alike)
    made, state = fw.ClusterImages(seconds=None), dict[str, Any]()
    for _ in range(2):
        assert [str(each) for each in looks(made, state, clustering())] == [
            "layer 'a' at epoch 4 has no images of clusters: all are alike"
        ]  # fmt: skip


def test_at_the_end_there_are_seconds_whatever_was_owed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def slow(*given: Any, **options: Any) -> Any:
        clock[0] += 50.0
        return options["epoch"]

    monkeypatch.setattr(clusters, "clustered", slow)
    made, state = fw.ClusterImages(seconds=2.0), dict[str, Any]()
    made._clock = lambda: clock[0]
    assert looks(made, state, clustering()) == [4]
    left_out = looks(made, state, clustering())
    assert [str(each).partition(":")[0] for each in left_out] == ["no time for a"] and looks(made, state, clustering()) == []
    assert looks(made, state, clustering(), last=True) == [4] and looks(made, state, clustering(), last=True) == []
