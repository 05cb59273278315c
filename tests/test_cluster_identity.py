"""Clusters over the epochs: the laws of their identities, planted changes, and samples that stand for them."""

from __future__ import annotations

import dataclasses
import doctest
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.cluster import DBSCAN
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

import featwatch as fw
from featwatch.analysis import cluster_identity, clustering
from featwatch.analysis.cluster_identity import Matched, first, matched
from featwatch.analysis.clustering import representatives
from featwatch.earlier import earlier
from featwatch.recorders import LayerSnapshot
from featwatch.records import Clustering, Embedding, Session
from featwatch.writers import EventFileWriter
from tests.small_logs import info

NOISE = -1


def numbered(labels) -> np.ndarray:
    """The labels with their numbers closed up: 0, 1, … without gaps; noise stays."""
    labels = np.asarray(labels)
    found = np.unique(labels[labels >= 0])
    return np.where(labels >= 0, np.searchsorted(found, labels), NOISE).astype(np.int32)


def names_of(found: Matched, labels: np.ndarray) -> np.ndarray:
    """(samples,) the identity of each sample's cluster; noise is −1."""
    return np.append(found.identities, NOISE)[labels]


def clumps(*sizes: int) -> np.ndarray:
    """Clusters of these sizes one after the other; a negative size is noise."""
    parts = itertools.count()
    return np.concatenate([np.full(abs(size), next(parts) if size > 0 else NOISE) for size in sizes]).astype(np.int32)


def kinds(found: Matched) -> list[tuple[str, list[int], list[int], int]]:
    return [(one["kind"], one["from"], one["into"], one["samples"]) for one in found.changes]


def jaccard(before: np.ndarray, labels: np.ndarray, old: int, new: int) -> float:
    """Of two clusters that may be the same one; 0 of others."""
    one, other = before == old, labels == new
    inside = np.sum(one & other)
    return float(inside / np.sum(one | other)) if 2 * inside >= min(one.sum(), other.sum()) else 0.0


LABELS = st.integers(1, 40).flatmap(lambda n: st.lists(st.integers(-1, 5), min_size=n, max_size=n)).map(numbered)
def pairs(most: int) -> st.SearchStrategy[tuple[np.ndarray, np.ndarray]]:
    """Two clusterings of the same samples, into at most so many clusters."""
    return st.integers(1, 40).flatmap(
        lambda n: st.tuples(*[st.lists(st.integers(-1, most - 1), min_size=n, max_size=n).map(numbered)] * 2)
    )


PAIRS = pairs(6)


def shuffled(identities: np.ndarray, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(np.arange(len(identities) + 3))[: len(identities)]


# Laws


@settings(deadline=None, max_examples=60)
@given(LABELS, st.integers(0, 99))
def test_the_same_clusters_keep_their_identities_and_nothing_happens(labels, seed):
    identities = shuffled(np.unique(labels[labels >= 0]), seed)
    again = matched(labels, labels, identities, 50)
    np.testing.assert_array_equal(again.identities, identities)
    assert (again.next_identity, again.changes) == (50, ())


@settings(deadline=None, max_examples=100)
@given(PAIRS, st.randoms())
def test_the_numbers_that_dbscan_gives_do_not_matter(pair, random):
    """Relabelled before and after: the same samples bear the same names, and the same things happened."""
    before, labels = pair
    identities = shuffled(np.unique(before[before >= 0]), 3)
    found = matched(labels, before, identities, 50)
    old, new = (list(range(one.max(initial=-1) + 1)) for one in pair)
    random.shuffle(old), random.shuffle(new)
    renumbered, relabelled = np.append(old, NOISE)[before].astype(int), np.append(new, NOISE)[labels].astype(int)
    other = matched(relabelled, renumbered, identities[np.argsort(old)].astype(int), 50)
    np.testing.assert_array_equal(names_of(other, relabelled), names_of(found, labels))
    assert kinds(other) == kinds(found)


OVERLAPS = st.lists(st.integers(0, 400), min_size=12, max_size=12, unique=True)


@settings(deadline=None, max_examples=40)
@given(OVERLAPS, st.integers(0, 99))
def test_permuting_the_samples_permutes(overlaps, seed):
    """Up to the numbers of clusters that are new, and where no way to pair them off is as good as another."""
    table = np.array(overlaps).reshape(3, 4)            # the last row and column are noise
    before, labels = (numbered(np.repeat(one.ravel(), table.ravel())) for one in np.indices(table.shape))
    before, labels = np.where(before == 2, NOISE, before), np.where(labels == 3, NOISE, labels)
    assume(len(np.unique(before)) == 3 and len(np.unique(labels)) == 4)
    ways = sorted(sum(jaccard(before, labels, *pair) for pair in enumerate(way)) for way in itertools.permutations(range(3), 2))
    assume(ways[-1] - ways[-2] > 1e-9)
    order = np.random.default_rng(seed).permutation(len(labels))
    found = matched(labels, before, np.arange(2), 50)
    other = matched(labels[order], before[order], np.arange(2), 50)
    kept, moved = names_of(found, labels)[order], names_of(other, labels[order])
    np.testing.assert_array_equal(np.where(kept < 50, kept, NOISE), np.where(moved < 50, moved, NOISE))
    assert sorted((kind, size) for kind, *_, size in kinds(found)) == sorted((kind, size) for kind, *_, size in kinds(other))


@settings(deadline=None, max_examples=100)
@given(PAIRS)
def test_what_is_true_of_every_matching(pair):
    before, labels = pair
    identities = np.arange(before.max(initial=-1) + 1)
    found = matched(labels, before, identities, len(identities))
    assert len(set(found.identities.tolist())) == len(found.identities)             # no two bear one name
    fresh = sorted(name for name in found.identities.tolist() if name >= len(identities))
    assert fresh == list(range(len(identities), found.next_identity))               # numbers are not skipped, nor used again
    for new, name in enumerate(found.identities.tolist()):
        if name < len(identities):
            inside = np.sum((before == name) & (labels == new))
            assert 2 * inside >= min(np.sum(before == name), np.sum(labels == new)) > 0
    for kind, old, new, samples in kinds(found):
        assert {"split": len(old) == 1 and len(new) > 1, "merge": len(old) > 1 and len(new) == 1,
                "born": (old, len(new)) == ([], 1), "gone": (len(old), new) == (1, [])}[kind]  # fmt: skip
        assert samples > 0
    told = [name for kind, *_, new, _ in kinds(found) for name in new if name in fresh]
    assert set(told) == set(fresh)                                                  # every new one is explained
    lost = set(identities.tolist()) - set(found.identities.tolist())
    assert lost <= {name for _, old, _, _ in kinds(found) for name in old}          # and every one that is lost


@settings(deadline=None, max_examples=60)
@given(pairs(4))
def test_the_pairs_are_the_best_ones(pair):
    """The sum of Jaccard indices over the kept identities, against all ways to pair the clusters off."""
    before, labels = pair
    count = int(before.max(initial=-1)) + 1
    found = matched(labels, before, np.arange(count), count)

    news = range(labels.max(initial=-1) + 1)
    padded = [*news, *[None] * count]
    best = max(
        sum(0.0 if new is None else jaccard(before, labels, old, new) for old, new in enumerate(way))
        for way in itertools.permutations(padded, count)
    )
    kept = [(name, new) for new, name in enumerate(found.identities.tolist()) if name < count]
    assert sum(jaccard(before, labels, *pair) for pair in kept) == pytest.approx(best)


# Planted


def test_a_split_in_two_and_in_three():
    found = matched(clumps(30, 70, 40), clumps(100, 40), np.array([5, 2]), 9)
    assert found.identities.tolist() == [9, 5, 2]
    assert kinds(found) == [("split", [5], [5, 9], 30)]
    found = matched(clumps(34, 33, 33), clumps(100), np.array([0]), 1)
    assert found.identities.tolist() == [0, 1, 2]
    assert kinds(found) == [("split", [0], [0, 1, 2], 66)]


def test_a_merge():
    found = matched(clumps(100, 40), clumps(60, 30, 10, 40), np.array([3, 1, 0, 2]), 4)
    assert found.identities.tolist() == [3, 2]
    assert kinds(found) == [("merge", [3, 1, 0], [3], 40)]


def test_born_and_gone():
    found = matched(clumps(50, -20, 20), clumps(50, 20, -20), np.array([0, 1]), 2)
    assert found.identities.tolist() == [0, 2]
    assert kinds(found) == [("born", [], [2], 20), ("gone", [1], [], 20)]


def test_noise_is_no_cluster():
    """A cluster that takes in much noise, or loses much to it, stays what it is; noise itself never splits."""
    assert kinds(matched(clumps(100), clumps(20, -80), np.array([7]), 8)) == []
    assert kinds(matched(clumps(20, -80), clumps(100), np.array([7]), 8)) == []
    found = matched(clumps(30, 30), clumps(-60), np.zeros(0, int), 3)
    assert kinds(found) == [("born", [], [3], 30), ("born", [], [4], 30)]
    assert kinds(matched(clumps(-60), clumps(30, 30), np.array([3, 4]), 5)) == [("gone", [3], [], 30), ("gone", [4], [], 30)]


def test_a_chip_off_a_cluster_is_a_split_of_a_few_samples():
    assert kinds(matched(clumps(95, 5), clumps(100), np.array([0]), 1)) == [("split", [0], [0, 1], 5)]


def test_parts_that_join_a_neighbour():
    """A third of 0 goes over to 1: nobody was split or merged."""
    found = matched(clumps(60, 130), clumps(90, 100), np.array([0, 1]), 2)
    assert found.identities.tolist() == [0, 1] and kinds(found) == []


def test_the_first_ones_are_numbered_by_their_first_samples():
    assert first(np.array([-1, 2, 0, 0, 1, 2])).identities.tolist() == [1, 2, 0]
    assert first(np.array([-1, 0, 1]), 4).identities.tolist() == [4, 5] and first(np.array([-1, -1]), 4).next_identity == 4
    with pytest.raises(ValueError, match="leave a number out"):
        first(np.array([0, 2]))


def test_the_example_in_the_docstring_runs():
    assert doctest.testmod(cluster_identity).failed == 0


# Samples that stand for a cluster


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 25))
def test_the_first_representative_is_the_medoid_and_the_others_add_most(seed, count):
    rng = np.random.default_rng(seed)
    points, labels = rng.normal(size=(count, 2)), numbered(rng.integers(-1, 2, count))
    found = representatives(points, labels)
    assert found.shape == (labels.max(initial=-1) + 1, 5)
    for cluster, row in enumerate(found.tolist()):
        members = np.flatnonzero(labels == cluster).tolist()
        taken: list[int] = []
        for sample in row[: len(members)]:
            def left(candidate: int, taken: list[int] = taken, members: list[int] = members) -> float:
                return sum(min(np.linalg.norm(points[m] - points[t]) for t in [*taken, candidate]) for m in members)

            assert sample in members and sample not in taken
            assert left(sample) == pytest.approx(min(left(other) for other in members if other not in taken))
            taken.append(sample)
        assert row[len(members):] == [-1] * (5 - len(members))


def test_of_points_that_coincide_the_first_ones_stand_for_them():
    assert representatives(np.ones((7, 2), np.float32), clumps(-1, 6)).tolist() == [[1, 2, 3, 4, 5]]
    assert representatives(np.ones((3, 2), np.float32), clumps(-3)).shape == (0, 5)


def test_a_large_cluster_is_stood_for_by_some_of_it(monkeypatch):
    """Where not all members are considered those found are nearly as central, and permuted samples give the same."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(2000, 2))
    whole = np.linalg.norm(points[:, None] - points[None], axis=2).mean(axis=1)
    (found,) = representatives(points, np.zeros(2000, int))
    assert whole[found[0]] < np.quantile(whole, 0.01)
    order = rng.permutation(2000)
    (permuted,) = representatives(points[order], np.zeros(2000, int))
    np.testing.assert_array_equal(order[permuted], found)
    monkeypatch.setattr(clustering, "CONSIDERED", 2000)
    (best,) = representatives(points, np.zeros(2000, int))
    assert whole[best[0]] == whole.min()


# The recorder


def snapshot(points: np.ndarray, epoch: int, previous: Clustering | None = None) -> LayerSnapshot:
    embedding = Embedding(epoch=epoch, layer="conv1", points=points)
    labels = np.zeros(len(points), np.int32)
    return LayerSnapshot(
        epoch=epoch, info=info("conv1"), labels=labels, reductions={}, results={"embedding": embedding}, previous=previous
    )


def blobs(*places: tuple[float, int]) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(size=(size, 2)) * 0.3 + [at, 0] for at, size in places]).astype(np.float32)


def test_the_recorder_follows_clusters_over_epochs():
    recorder = fw.Clusters(eps=1.0)
    one = recorder.analyse(snapshot(blobs((0, 40), (9, 40)), 3))
    assert one is not None
    assert (one.identities.tolist(), one.next_identity, one.last, one.changes) == ([0, 1], 2, -1, ())
    two = recorder.analyse(snapshot(blobs((0, 30), (5, 10), (9, 40)), 4, one))
    assert two is not None
    assert (two.identities.tolist(), two.next_identity, two.last) == ([0, 2, 1], 3, 3)
    assert two.changes == ({"kind": "split", "from": [0], "into": [0, 2], "samples": 10},)
    three = recorder.analyse(snapshot(blobs((0, 80)), 6, two))
    assert three is not None
    assert (three.identities.tolist(), three.next_identity, three.last) == ([1], 3, 4)
    assert [change["kind"] for change in three.changes] == ["merge"]
    np.testing.assert_array_equal(three.representatives, representatives(blobs((0, 80)), three.labels))


@pytest.mark.parametrize("scene", ["clusters", "duplicates", "one", "noise", "two samples"])
def test_the_recorder_s_numbers_are_scikit_learn_s(scene):
    rng = np.random.default_rng(4)
    points = {
        "clusters": blobs((0, 40), (3, 30), (9, 40)), "duplicates": np.repeat(blobs((0, 9), (9, 9)), 5, axis=0),
        "one": blobs((0, 50)), "noise": rng.uniform(-1, 1, (30, 2)) ** 3 * 1e6, "two samples": np.array([[0.0, 1.0], [5.0, 1.0]]),
    }[scene].astype(np.float32)  # fmt: skip
    classes = rng.integers(-1, 3, len(points)).astype(np.int32)
    record = fw.Clusters().analyse(dataclasses.replace(snapshot(points, 3), labels=classes))
    assert record is not None
    expected = DBSCAN(eps=max(record.eps, 1e-300), min_samples=5).fit(points).labels_
    np.testing.assert_array_equal(record.labels, expected)
    assert (record.count, record.noise_fraction) == (len(set(expected.tolist()) - {-1}), np.mean(expected == -1))
    known = classes >= 0
    if known.any():
        assert record.adjusted_rand == pytest.approx(adjusted_rand_score(classes[known], expected[known]))
        assert record.normalized_mutual_info == pytest.approx(normalized_mutual_info_score(classes[known], expected[known]))
    assert record.identities.tolist() == list(range(record.count)) and len(record.representatives) == record.count


def test_another_probe_begins_anew_and_uses_no_number_again():
    recorder = fw.Clusters(eps=1.0)
    one = recorder.analyse(snapshot(blobs((0, 40), (9, 40)), 3))
    other = recorder.analyse(snapshot(blobs((0, 40), (9, 30)), 4, one))
    assert other is not None
    assert (other.identities.tolist(), other.next_identity, other.last, other.changes) == ([2, 3], 4, -1, ())


def test_a_record_without_identities_is_continued():
    points = blobs((0, 40), (9, 40))
    recorder = fw.Clusters(eps=1.0)
    one = recorder.analyse(snapshot(points, 3))
    assert one is not None
    old = dataclasses.replace(one, identities=np.zeros(0, np.int32), next_identity=0)
    again = recorder.analyse(snapshot(points, 4, old))
    assert again is not None
    assert (again.identities.tolist(), again.next_identity, again.last, again.changes) == ([0, 1], 2, 3, ())
    odd = dataclasses.replace(one, count=1, identities=np.array([0], np.int32))     # it does not fit itself
    anew = recorder.analyse(snapshot(points, 4, odd))
    assert anew is not None and anew.last == -1


def test_a_resumed_training_goes_on_with_the_log_s_clusters(tmp_path: Path):
    probe = fw.Probe(np.zeros((80, 3), np.float32), np.zeros(80, int))
    recorder = fw.Clusters(eps=1.0)
    one = recorder.analyse(snapshot(blobs((0, 40), (9, 40)), 3))
    two = recorder.analyse(snapshot(blobs((0, 30), (5, 10), (9, 40)), 4, one))
    assert one is not None and two is not None
    writer = EventFileWriter(tmp_path, 0)
    for record in (
        Session(epoch=0, started=1.0, layers=(info("conv1").as_dict(),)), probe.record(0), one, two,
        Embedding(epoch=3, layer="conv1", points=np.zeros((80, 2))),
    ):  # fmt: skip
        writer.write(record)
    writer.close()
    found = earlier(str(tmp_path), 5, probe).memory["conv1"]
    assert set(found) == {"clusters", "embedding"}
    record = found["clusters"].record
    assert isinstance(record, Clustering) and (record.epoch, record.next_identity) == (4, 3)
    np.testing.assert_array_equal(record.identities, [0, 2, 1])
    assert earlier(str(tmp_path), 4, probe).memory["conv1"]["clusters"].record.epoch == 3
    assert not earlier(str(tmp_path), 5, fw.Probe(np.zeros((80, 3), np.float32), np.ones(80, int))).memory
