"""Events ranked over kinds, and what a log gives back of them: laws, hostile entries, and runs written by hand."""

from __future__ import annotations

import doctest
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import featwatch as fw
from featwatch import happenings, wire
from featwatch.happenings import FLATNESS, MOST, TOLD_BY, WEIGHTS, Event, Told, counted, ranked, told
from featwatch.records import KINDS, Clustering, Embedding, LayerHealth, ProbeRecord, Record, SampleEvents, Session
from featwatch.sealed import jsonable
from featwatch.writers import EventFileWriter
from tests.event_logs import HandMadeLog
from tests.small_logs import SAMPLES, session, train
from tests.test_wire import records

SIZES = st.floats(0, 100, width=32) | st.none()
SAMPLE_KINDS = st.sampled_from(TOLD_BY["events"])


@st.composite
def series(draw: st.DrawFn) -> Told:
    """Some epochs of one series."""
    kind = draw(st.sampled_from(sorted(TOLD_BY)))
    found = Told(draw(st.sampled_from(["", "a", "b"])))
    for place in range(draw(st.integers(0, 3))):
        entries = [
            {"kind": event, "sample": who, "filter": who, "size": draw(SIZES), "from": [1], "into": [2]}
            for event in draw(st.lists(st.sampled_from(TOLD_BY[kind]), max_size=5))
            for who in [draw(st.integers(0, 9))]
        ]
        found = found.then([told(kind, found.layer, place, {"entries": entries})])
    return found


# Ranking


@settings(deadline=None, max_examples=80)
@given(st.lists(series(), max_size=4), st.integers(0, 12))
def test_what_is_true_of_every_ranking(all_: list[Told], top: int) -> None:
    events = ranked(all_)
    assert len(events) == sum(len(one.rows) for one in all_)
    ranks = [event.rank for event in events]
    assert ranks == sorted(ranks, reverse=True) and all(0 <= rank <= 1 for rank in ranks)
    for kind, weight in WEIGHTS.items():
        mine = [event for event in events if event.kind == kind]
        sizes = [-1.0 if math.isnan(event.size) else event.size for event in mine]
        assert sizes == sorted(sizes, reverse=True)
        alike = not mine or sizes[0] <= 0
        assert [event.rank for event in mine] == pytest.approx([
            weight * (1.0 if alike else math.sqrt(max(size, 0.0) / sizes[0])) * (FLATNESS + 1) / (FLATNESS + k)
            for k, size in enumerate(sizes, 1)
        ])  # fmt: skip
        assert repr(ranked(all_, [kind])) == repr(mine)         # whatever else there is
    assert repr(ranked(all_, top=top)) == repr(events[:top])
    assert repr(ranked(all_)) == repr(events)


def test_equal_ones_in_a_fixed_order() -> None:
    """The later first, then the earlier series, then the smaller sample."""
    def flip(sample: int) -> dict[str, Any]:
        return {"kind": "flip", "sample": sample, "size": 0.5, "before": 0, "after": 1}

    one = Told("").then(told("events", "", place, {"entries": [flip(4), flip(2)]}) for place in (1, 3))
    assert [(event.epoch, event.sample) for event in ranked([one])] == [(3, 2), (3, 4), (1, 2), (1, 4)]
    far = [told("embedding", layer, 1, {"entries": [{"kind": "travelled", "sample": 0, "size": 2.0}]}) for layer in ("b", "a")]
    assert [event.layer for event in ranked(far)] == ["b", "a"]


def test_every_kind_has_its_place_among_the_first() -> None:
    """Ten thousand samples that forget do not hide the one split."""
    many = [Told("").then(
        told("events", "", place, {"entries": [{"kind": "forgotten", "sample": i, "size": 1 - i / 99} for i in range(60)]})
        for place in range(160)
    )]  # fmt: skip
    split = told("clusters", "conv", 4, {"entries": [{"kind": "split", "from": [0], "into": [0, 1], "size": 7}]})
    first = ranked([*many, split], top=10)
    assert [event.kind for event in first].count("split") == 1
    assert next(event for event in first if event.kind == "split") == Event(
        "split", 4, "conv", 7.0, WEIGHTS["split"], out_of=(0,), into=(0, 1)
    )


def test_counts_are_summed_over_the_layers() -> None:
    one = Told("a").then(told("clusters", "a", place, {"counts": {"split": place, "born": 1}}) for place in (1, 2))
    other = told("clusters", "b", 2, {"counts": {"split": 5, "forgotten": 9, "gone": True}})
    assert list(counted([one, other])) == [("split", 1, 1), ("split", 2, 7), ("born", 1, 1), ("born", 2, 1)]


def test_every_kind_has_a_weight_and_a_teller() -> None:
    assert sorted(kind for kinds in TOLD_BY.values() for kind in kinds) == sorted(WEIGHTS)
    assert all(cls.told is not Record.told for cls in (Embedding, Clustering, LayerHealth, SampleEvents))
    assert {kind for kind, cls in KINDS.items() if cls.told is not Record.told} == TOLD_BY.keys()


def test_the_example_in_the_docstring_runs() -> None:
    assert doctest.testmod(happenings).failed == 0


# Records and hostile logs


@settings(deadline=None)
@given(records())
def test_what_a_record_tells_survives_beside_its_numbers(record: Any) -> None:
    _, back = wire.decode_numbers_and_told(wire.encode_numbers(record))
    plain = wire.decode(wire.encode(record)).told()
    assert back == json.loads(json.dumps(jsonable(plain)))
    told(record.kind, record.layer, 0, back)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = ("sample", "size", "before", "after", "filter", "from", "into")
ODD_ENTRY = st.fixed_dictionaries(
    {"kind": st.sampled_from(sorted(WEIGHTS)) | JSON},
    optional={name: JSON | st.integers(-(2**40), 2**40) for name in NAMES},
)


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(sorted(KINDS)),
    st.dictionaries(st.sampled_from(["entries", "counts"]), st.lists(ODD_ENTRY | JSON, max_size=5) | JSON),
)
def test_odd_entries_are_left_out(kind: str, values: dict[str, Any]) -> None:
    found = told(kind, "<b>", 3, values)
    entries = values.get("entries")
    assert len(found.rows) + found.left_out == (len(entries) if isinstance(entries, list) else 0)
    for event in ranked([found]):
        assert event.kind in TOLD_BY[kind] and event.epoch == 3 and event.layer == "<b>"
        assert math.isnan(event.size) or event.size >= 0
        assert (event.sample >= 0 or kind in ("clusters", "health")) and (event.filter >= 0 or kind != "health")
        whole = event.sample, event.before, event.after, event.filter
        assert all(type(one) is int for one in (*whole, *event.out_of, *event.into))
    assert all(type(count) is int and 0 <= count < 2**31 for _, _, count in found.counts)


@pytest.mark.parametrize(
    "change",
    [
        {"sample": None}, {"sample": -1}, {"sample": True}, {"sample": 1.0}, {"sample": 2**31}, {"size": "much"}, {"size": True},
        {"size": -0.5}, {"size": 1e39}, {"size": math.inf}, {"before": "0"}, {"after": -2}, {"kind": "split"}, {"kind": ["flip"]},
    ],
)  # fmt: skip
def test_what_is_no_event_of_a_sample(change: dict[str, Any]) -> None:
    honest = {"kind": "flip", "sample": 3, "size": 0.5, "before": 0, "after": 1}
    assert told("events", "", 1, {"entries": [honest, {**honest, "size": None}]}).left_out == 0
    found = told("events", "", 1, {"entries": [{**honest, **change}]})
    assert (len(found.rows), found.left_out) == (0, 1)
    if change == {"sample": None}:
        assert told("events", "", 1, {"entries": [{"kind": "flip", "size": 0.5}]}).left_out == 1


@pytest.mark.parametrize(
    "change", [{"from": None}, {"from": [-1]}, {"into": ["2"]}, {"into": [True]}, {"from": 3}, {"kind": "flip"}]
)
def test_what_is_no_event_of_clusters(change: dict[str, Any]) -> None:
    honest = {"kind": "merge", "from": [1, 2], "into": [2], "size": 5}
    assert told("clusters", "a", 1, {"entries": [honest]}).left_out == 0
    found = told("clusters", "a", 1, {"entries": [{**honest, **change}]})
    assert (len(found.rows), found.clusters, found.left_out) == (0, (), 1)


@pytest.mark.parametrize("change", [{"filter": None}, {"filter": -1}, {"filter": 2.0}, {"kind": "flip"}, {"size": -1}])
def test_what_is_no_event_of_a_filter(change: dict[str, Any]) -> None:
    honest = {"kind": "died", "filter": 3, "size": 0.5}
    assert told("health", "a", 1, {"entries": [honest, {**honest, "size": None}]}).left_out == 0
    found = told("health", "a", 1, {"entries": [{**honest, **change}]})
    assert (len(found.rows), found.left_out) == (0, 1)


def test_the_size_of_a_filter_s_event_is_its_share_of_the_layer_s_energy() -> None:
    record = health(2, "conv1", died=[3, 1], revived=[0], energy=[1.0, 0.5, np.nan, 2.5])
    events = ranked([told("health", "conv1", 2, record.told())])
    assert [(event.kind, event.filter, event.size) for event in events] == [
        ("died", 3, 0.625), ("revived", 0, 0.25), ("died", 1, 0.125),
    ]  # fmt: skip
    assert record.told()["counts"] == {"died": 2, "revived": 1} and health(2, "conv1").told() == {}
    for energy in ([0, 0, 0, 0], [np.nan] * 4, [np.inf, 1, 1, 1]):
        (event,) = ranked([told("health", "conv1", 2, health(2, "conv1", died=[0], energy=energy).told())])
        assert math.isnan(event.size)
    thirds = health(2, "conv1", died=[0, 1, 2, 3], energy=np.random.default_rng(0).random(4) / 3)
    assert wire.decode(wire.encode(thirds)).told() == thirds.told()         # although a log keeps 13 bits of the energy
    odd = health(2, "conv1", died=[4, -1])              # as a log may have it
    assert [event.filter for event in ranked([told("health", "conv1", 2, odd.told())])] == [4]


def test_of_many_filters_each_kind_has_its_largest() -> None:
    energy = np.random.default_rng(0).permutation(200) + 1.0
    record = health(1, "wide", died=range(100), revived=range(100, 110), awoke=range(110, 200), energy=energy)
    entries = record.told()["entries"]
    assert len(entries) == MOST and record.told()["counts"] == {"died": 100, "revived": 10, "awoke": 90}
    told_of = {kind: {one["filter"] for one in entries if one["kind"] == kind} for kind in TOLD_BY["health"]}
    assert told_of["revived"] == set(range(100, 110)) and min(len(told_of["died"]), len(told_of["awoke"])) >= 16
    rest = [*range(100), *range(110, 200)]
    left_out = set(rest) - told_of["died"] - told_of["awoke"]
    for kind, of in (("died", range(100)), ("awoke", range(110, 200))):
        assert max(energy[f] for f in left_out & set(of)) < min(energy[f] for f in told_of[kind])


def test_a_record_tells_of_no_more_than_it_may() -> None:
    entries = [{"kind": "travelled", "sample": sample, "size": 1.0} for sample in range(1000)]
    found = told("embedding", "a", 0, {"entries": entries})
    assert (len(found.rows), found.left_out) == (MOST, 1000 - MOST)
    long = told("clusters", "a", 0, {"entries": [{"kind": "merge", "from": list(range(9999)), "into": [0], "size": 3}]})
    assert len(ranked([long])[0].out_of) == happenings.MAX_IDENTITIES


def test_of_many_changes_all_are_counted() -> None:
    changes = tuple({"kind": "born", "from": [], "into": [i], "samples": 5} for i in range(200))
    record = Clustering(epoch=2, layer="a", labels=np.zeros(5), changes=changes)
    found = told("clusters", "a", 2, record.told())
    assert (len(found.rows), found.left_out, found.counts) == (MOST, 0, (("born", 2, 200),))


# A run


def flips(epoch: int, *samples: int, step: int = -1) -> SampleEvents:
    entries = tuple({"kind": "flip", "sample": s, "size": s / 10, "before": 0, "after": 1} for s in samples)
    return SampleEvents(epoch=epoch, step=step, entries=entries, counts={"flip": len(samples) + 70, "learnt": 0}, since=epoch - 1)


def moved(epoch: int, layer: str, *samples: int, points: float = 0.0) -> Embedding:
    travelled = tuple({"sample": s, "distance": 3.0 - s} for s in samples)
    at = np.arange(2.0 * SAMPLES).reshape(SAMPLES, 2) + points
    return Embedding(epoch=epoch, layer=layer, points=at, travelled=travelled)


def torn(epoch: int, layer: str) -> Clustering:
    change = {"kind": "split", "from": [0], "into": [0, 4], "samples": 2}
    return Clustering(epoch=epoch, layer=layer, labels=np.zeros(SAMPLES), count=1, last=epoch - 1, changes=(change,))


def health(epoch: int, layer: str, energy: Any = (1.0, 2.0, 3.0, 4.0), **events: Any) -> LayerHealth:
    """Filters of these energies, of which those in `died`, `revived` and `awoke` did."""
    per_filter = np.asarray(energy, np.float32)
    names = ("negative_fraction", "bias", "active_fraction", "max_activation", "min_activation", "mean_activation")
    count = len(per_filter)
    return LayerHealth(
        epoch=epoch, layer=layer, energy=per_filter, **dict.fromkeys(names, np.zeros(count)), dead=np.zeros(count, bool),
        cause=np.full(count, ""), group=np.full(count, -1), **{kind: np.array(who, np.int32) for kind, who in events.items()},
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> fw.Run:
    """Two trainings in one log: the second, from epoch 2 on, supersedes what the first says of it."""
    log_dir = tmp_path_factory.mktemp("logs") / "run-1"
    train(log_dir, range(3))
    writer = EventFileWriter(log_dir, 0)
    for record in (flips(1, 4), flips(2, 3, 2), moved(1, "dense", 0, 2), moved(2, "dense", 1), torn(1, "conv1")):
        writer.write(record)
    writer.close()
    later = EventFileWriter(log_dir, 2)
    moves = moved(2, "dense", 0, points=50.0), moved(3, "conv1", 0)
    for record in (session(2), flips(2, 1), *moves, health(3, "conv1", died=[2])):
        later.write(record)
    later.close()
    by_step = EventFileWriter(log_dir, 0, axis="steps")
    for record in (Session(epoch=0, step=0, started=1.0), flips(1, 2, step=20)):
        by_step.write(record)
    by_step.close()
    return fw.load(log_dir)


def test_the_run_s_events(run: fw.Run) -> None:
    events = run.events()
    assert [(event.kind, event.epoch, event.layer, event.sample) for event in events] == [
        ("split", 1, "conv1", -1), ("died", 3, "conv1", -1), ("flip", 1, "", 4), ("travelled", 3, "conv1", 0),
        ("travelled", 2, "dense", 0), ("travelled", 1, "dense", 0), ("travelled", 1, "dense", 2), ("flip", 2, "", 1),
    ]  # fmt: skip
    assert events[0] == Event("split", 1, "conv1", 2.0, WEIGHTS["split"], out_of=(0,), into=(0, 4))
    assert events[1] == Event("died", 3, "conv1", np.float32(0.3), WEIGHTS["died"], filter=2)
    assert run.events(top=2) == events[:2]
    assert run.events("flip") == run.events(["flip"]) == [event for event in events if event.kind == "flip"]
    assert [(event.epoch, event.sample) for event in run.events(axis="steps")] == [(20, 2)]
    assert run.events("gone") == []


def test_the_run_s_trails(run: fw.Run) -> None:
    epochs, points = run.trail("dense", [1, 3])
    assert epochs.tolist() == [0, 1, 2]
    for number, epoch in enumerate(epochs.tolist()):
        np.testing.assert_array_equal(points[number], run.embedding("dense", epoch).points[[1, 3]])
    assert points[2, 0].tolist() == [52.0, 53.0] and points.dtype == np.float32
    assert run.trail("dense", 1)[1].tolist() == points[:, :1].tolist()
    assert run.trail("dense", [])[1].shape == (3, 0, 2)


def test_what_was_recorded(run: fw.Run) -> None:
    assert run.recorded("embedding", "dense") == [0, 1, 2] and run.recorded("events") == [1, 2]
    assert run.recorded("events", axis="steps") == [20] and run.recorded("health", "nowhere") == []
    assert run.sample_events(2).since == 1


def test_the_frame_of_events(run: fw.Run) -> None:
    frame = run.to_frame("events")
    assert len(frame) == len(run.events(top=None)) and list(frame.columns[:5]) == ["kind", "epoch", "layer", "size", "rank"]
    assert frame["kind"].tolist() == [event.kind for event in run.events(top=None)]
    assert run.to_frame("events", "steps")["step"].tolist() == [20]


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda run: run.events("forgot"), "expected some of forgotten"),
        (lambda run: run.events(top=-1), "top=-1"),
        (lambda run: run.events(axis="days"), "axis='days'"),
        (lambda run: run.trail("dense", [5]), "0 to 4"),
        (lambda run: run.trail("dense", [-1]), "0 to 4"),
        (lambda run: run.trail("dense", [0.5]), "expected numbers of samples"),
        (lambda run: run.trail("dense", 0, axis="days"), "axis='days'"),
        (lambda run: run.recorded("embedding", "dense", axis="days"), "axis='days'"),
    ],
)
def test_questions_that_make_no_sense(run: fw.Run, ask: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ask(run)
    with pytest.raises(KeyError, match="no layer is called 'dens'"):
        run.trail("dens", 0)


def test_a_damaged_embedding_leaves_a_gap(tmp_path: Path) -> None:
    with HandMadeLog(tmp_path / "featwatch") as log:
        log.blobs("session", 0, wire.encode(session(0)))
        log.blobs("probe", 0, wire.encode(ProbeRecord(epoch=0, labels=np.arange(SAMPLES), indices=np.arange(SAMPLES))))
        for epoch in range(3):
            header, points = wire.encode(moved(epoch, "dense", 1))
            log.blobs("embedding/dense", epoch, [header, points[::-1] if epoch == 1 else points])
    run = fw.load(tmp_path)
    epochs, points = run.trail("dense", [0])
    assert epochs.tolist() == [0, 1, 2]
    assert np.isnan(points[1]).all() and np.isfinite(points[[0, 2]]).all()
    assert [event.epoch for event in run.events()] == [2, 0]
    assert len(run.problems) == 1
