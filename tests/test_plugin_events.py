"""The routes of events and trails: what they answer, what they refuse, what they cost, and what no log can make them do."""

from __future__ import annotations

import dataclasses
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorboard_plugin_featwatch import along, happened

import featwatch as fw
from featwatch import wire
from featwatch.happenings import TOLD_BY, WEIGHTS
from featwatch.records import Clustering, Embedding, LayerHealth, Record, SampleEvents, Session
from featwatch.writers import EventFileWriter
from tests.event_logs import HandMadeLog, header
from tests.memory_provider import MemoryProvider
from tests.plugin_client import Client, look_anew, plugin_app, python_loader, rust_loader
from tests.synthetic import Story

RUN = "run-1/featwatch"
MARKUP = "<img src=x onerror=alert(1)>"
STORY = Story(layers=3, epochs=3, samples=6, classes=2, filters=4)
NAMES = [info.name for info in STORY.layer_infos]
SAMPLES = 6


def flips(epoch: int, *samples: int, step: int = -1) -> SampleEvents:
    entries = tuple({"kind": "forgotten", "sample": s, "size": s / 10, "before": 0, "after": 1} for s in samples)
    return SampleEvents(epoch=epoch, step=step, entries=entries, counts={"forgotten": len(samples) + 70}, since=0)


def embedding(epoch: int, layer: str, *far: int, samples: int = SAMPLES, step: int = -1) -> Embedding:
    points = np.arange(2.0 * samples).reshape(samples, 2) + 100 * epoch + 1000 * len(layer)
    travelled = tuple({"sample": sample, "distance": 5.5 - sample} for sample in far)
    return Embedding(epoch=epoch, step=step, layer=layer, points=points, travelled=travelled)


def torn(epoch: int, layer: str, samples: int = 140) -> Clustering:
    change = {"kind": "split", "from": [2], "into": [2, 7], "samples": samples}
    return Clustering(epoch=epoch, layer=layer, labels=np.zeros(SAMPLES), count=1, last=epoch - 1, changes=(change,))


def died(epoch: int, layer: str, *filters: int) -> LayerHealth:
    made = STORY.health(NAMES.index(layer), epoch)
    return dataclasses.replace(made, epoch=epoch, died=np.array(filters), energy=np.arange(1.0, 1.0 + len(made.energy)))


@pytest.fixture
def provider() -> MemoryProvider:
    made = MemoryProvider()
    everything: list[Record] = [STORY.session(0, 1.0), STORY.probe(0)]
    everything += [embedding(epoch, layer, epoch) for epoch in range(3) for layer in reversed(NAMES)]
    everything += [flips(1, 4, 2), flips(2, 3), torn(1, NAMES[0]), torn(1, NAMES[1], 3)]
    everything += [Session(epoch=0, step=0, started=1.0), flips(1, 5, step=20), embedding(1, NAMES[0], 0, step=20)]
    for record in everything:
        made.write(RUN, record)
    return made


@pytest.fixture(autouse=True)
def _always_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    look_anew(monkeypatch)


@pytest.fixture
def client(provider: MemoryProvider) -> Client:
    return plugin_app(provider)


@pytest.fixture
def address(client: Client) -> dict[str, Any]:
    return {"run": RUN, "generation": client.index()[RUN]["generation"]}


# Events


def test_the_events_are_what_the_documentation_says(client: Client, address: dict[str, Any]) -> None:
    reply = client.get("events", **address)
    assert "max-age" not in reply.headers["Cache-Control"]
    answer = reply.json()
    assert answer["problems"] == []
    assert answer["counts"] == {"forgotten": [[1, 72], [2, 71]], "split": [[1, 2]]}
    found = {(one["kind"], one["epoch"], one["layer"], one.get("sample")): one for one in answer["events"]}
    assert found["forgotten", 1, "", 4] == {
        "kind": "forgotten", "epoch": 1, "layer": "", "sample": 4, "size": 0.4, "rank": 1.0, "before": 0, "after": 1
    }  # fmt: skip
    assert found["split", 1, NAMES[0], None] == {
        "kind": "split", "epoch": 1, "layer": NAMES[0], "size": 140.0, "rank": WEIGHTS["split"], "from": [2], "into": [2, 7]
    }  # fmt: skip
    assert found["travelled", 2, NAMES[1], 2].keys() == {"kind", "epoch", "layer", "sample", "size", "rank"}
    assert len(answer["events"]) == 3 + 2 + 9
    ranks = [one["rank"] for one in answer["events"]]
    assert ranks == sorted(ranks, reverse=True)
    by_step = client.get("events", **address, axis="steps").json()
    found = {(one["kind"], one["epoch"], one["sample"]): one for one in by_step["events"]}
    assert found.keys() == {("forgotten", 20, 5), ("travelled", 20, 0)}


def test_the_events_of_filters(client: Client, provider: MemoryProvider) -> None:
    provider.write(RUN, died(2, NAMES[1], 3, 0))
    answer = client.get("events", run=RUN, generation=client.index()[RUN]["generation"]).json()
    found = [one for one in answer["events"] if one["kind"] == "died"]
    event = {"kind": "died", "epoch": 2, "layer": NAMES[1], "filter": 3, "size": 0.111111, "rank": WEIGHTS["died"]}
    assert found[0] == event and found[1]["filter"] == 0 and found[1]["size"] == 0.0277778
    assert answer["counts"]["died"] == [[2, 2]] and answer["problems"] == []


def test_a_run_without_events(client: Client, provider: MemoryProvider) -> None:
    provider.write("bare/featwatch", STORY.session(0, 1.0))
    generation = client.index()["bare/featwatch"]["generation"]
    answer = client.get("events", run="bare/featwatch", generation=generation).json()
    assert answer == {"events": [], "counts": {}, "problems": []}


def test_the_reader_ranks_them_alike(tmp_path: Path) -> None:
    log_dir = tmp_path / "logs" / "run-1"
    writer = EventFileWriter(log_dir, 0)
    told = [flips(1, 4, 2), flips(2, 3), torn(2, NAMES[0]), embedding(1, NAMES[2], 1, 0), died(2, NAMES[1], 3)]
    for record in (STORY.session(0, 1.0), STORY.probe(0), *told):
        writer.write(record)
    writer.close()
    expected = [(e.kind, e.epoch, e.layer, e.sample, e.filter) for e in fw.load(log_dir).events(top=None)]
    for loader in (python_loader, rust_loader):
        with loader(tmp_path / "logs") as provider:
            client = plugin_app(provider)
            ((name, run),) = client.index().items()
            address = {"run": name, "generation": run["generation"]}
            events = client.get("events", **address).json()["events"]
            assert [(e["kind"], e["epoch"], e["layer"], e.get("sample", -1), e.get("filter", -1)) for e in events] == expected
            assert client.get("events", **address).json()["counts"]["split"] == [[2, 1]]
            trail, _ = client.get("trails", **address, layer=NAMES[2], sample=[1, 4]).frame()
            np.testing.assert_array_equal(
                trail[NAMES[2]]["arrays"]["points"]["values"], fw.load(log_dir).trail(NAMES[2], [1, 4])[1]
            )


def test_superseded_ones_are_not_served(client: Client, provider: MemoryProvider) -> None:
    provider.write(RUN, STORY.session(2, 2.0))
    provider.write(RUN, embedding(2, NAMES[0], 5))
    address = {"run": RUN, "generation": client.index()[RUN]["generation"]}
    answer = client.get("events", **address).json()
    assert answer["counts"] == {"forgotten": [[1, 72]], "split": [[1, 2]]}
    late = [(one["kind"], one["layer"], one["sample"]) for one in answer["events"] if one["epoch"] == 2]
    assert late == [("travelled", NAMES[0], 5)]
    trail, _ = client.get("trails", **address, layer=NAMES[1], sample=0).frame()
    assert trail[NAMES[1]]["arrays"]["epochs"]["values"].tolist() == [0, 1]


def test_asking_again_reads_what_is_new_alone(client: Client, provider: MemoryProvider, address: dict[str, Any]) -> None:
    """No header, no array: only the texts of the numbers; and of a series that grew its newest."""
    client.get("events", **address)
    assert provider.calls["blob"] == 0 and provider.calls["tensors"] == 1
    first = client.get("events", **address).json()
    assert provider.calls["tensors"] == 1
    provider.write(RUN, flips(3, 1))
    again = client.get("events", **address).json()
    assert (provider.calls["tensors"], provider.calls["blob"]) == (2, 0)
    assert len(again["events"]) == len(first["events"]) + 1 and again["counts"]["forgotten"][-1] == [3, 71]


def test_of_very_many_the_first_thousand(client: Client, provider: MemoryProvider, address: dict[str, Any]) -> None:
    for epoch in range(3, 30):
        provider.write(RUN, flips(epoch, *range(64)))
    events = client.get("events", **address).json()["events"]
    assert len(events) == happened.MAX_EVENTS
    assert {one["kind"] for one in events} == {"forgotten", "split", "travelled"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
ODD_NAMES = ("sample", "size", "before", "after", "filter", "from", "into")
ODD = st.fixed_dictionaries(
    {"kind": st.sampled_from(sorted(WEIGHTS)) | JSON},
    optional={name: JSON | st.integers(-(2**40), 2**40) for name in ODD_NAMES},
)


TOLD = st.dictionaries(st.sampled_from(["entries", "counts", MARKUP]), st.lists(ODD | JSON, max_size=4) | JSON)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(TOLD_BY)), st.lists(TOLD | JSON, max_size=4))
def test_whatever_a_log_tells_the_answer_is_proper(kind: str, told: list[Any]) -> None:
    provider = MemoryProvider()
    provider.write(RUN, STORY.session(0, 1.0))
    layer = "" if kind == "events" else MARKUP
    for epoch, values in enumerate(told):
        text = json.dumps({"since": 0, "#told": values}).encode()
        provider.put(RUN, wire.tag_of(kind, layer), epoch, [header(kind, layer, epoch)], text)
    client = plugin_app(provider)
    address = {"run": RUN, "generation": client.index()[RUN]["generation"]}
    answer = client.get("events", **address).json()
    for one in answer["events"]:
        assert one["kind"] in TOLD_BY[kind] and 0 <= one["rank"] <= 1 and one["layer"] == layer
        assert one["size"] is None or one["size"] >= 0
        whole = [one["epoch"], *(one[name] for name in ("sample", "before", "after", "filter") if name in one)]
        assert all(type(value) is int and -1 <= value < 2**31 for value in [*whole, *one.get("from", []), *one.get("into", [])])
    for counted, pairs in answer["counts"].items():
        assert counted in TOLD_BY[kind] and all(type(value) is int for pair in pairs for value in pair)


def test_hostile_events_cost_nothing_and_are_said(tmp_path: Path) -> None:
    """Thousands of events in one text, one that nests without end, and a checksum that does not fit, through both loaders."""
    many = {"entries": [{"kind": "travelled", "sample": i, "size": 1e9, "x": MARKUP} for i in range(20_000)]}
    with HandMadeLog(tmp_path / "logs" / "featwatch") as log:
        log.blobs("session", 0, wire.encode(STORY.session(0, 1.0)))
        for layer, text in {
            "many": json.dumps({"#told": many}).encode(),
            "deep": b'{"#told": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
            "sealed": wire.encode_numbers(embedding(0, "sealed", 1)).replace(b"5.5", b"9.5").replace(b"4.5", b"8.5"),
        }.items():
            log.blobs(f"embedding/{layer}", 0, [header("embedding", layer)])
            log.numbers(f"embedding/{layer}", 0, text)
    for loader in (python_loader, rust_loader):
        with loader(tmp_path / "logs") as provider:
            client = plugin_app(provider)
            ((name, run),) = client.index().items()
            reply = client.get("events", run=name, generation=run["generation"])
            answer = reply.json()
            assert {one["layer"] for one in answer["events"]} == {"many"} and len(answer["events"]) <= 64
            assert len(reply.body) < 20_000
            said = "\n".join(answer["problems"])
            assert "19936 of the events" in said and "checksum" in said and "not JSON" in said


# Trails


def test_the_trails_are_what_the_documentation_says(client: Client, address: dict[str, Any]) -> None:
    reply = client.get("trails", **address, layer=NAMES[1], sample=[5, 0, 5])
    assert "max-age" not in reply.headers["Cache-Control"]
    records, damaged = reply.frame()
    record = records[NAMES[1]]
    assert not damaged and (record["kind"], record["fields"]) == ("trails", {"over": "epochs"})
    arrays = record["arrays"]
    assert {name: (array["dtype"], array["shape"]) for name, array in arrays.items()} == {
        "samples": ("<i4", [2]), "epochs": ("<i4", [3]), "points": ("<f4", [3, 2, 2])
    }  # fmt: skip
    assert arrays["samples"]["values"].tolist() == [5, 0] and arrays["epochs"]["values"].tolist() == [0, 1, 2]
    for epoch in range(3):
        expected = embedding(epoch, NAMES[1]).points[[5, 0]]
        np.testing.assert_array_equal(arrays["points"]["values"][epoch], expected.astype(np.float32))
    by_step, _ = client.get("trails", **address, layer=NAMES[0], sample=1, axis="steps").frame()
    assert by_step[NAMES[0]]["arrays"]["epochs"]["values"].tolist() == [20]


def test_trails_over_layers_are_in_graph_order(client: Client, address: dict[str, Any]) -> None:
    records, damaged = client.get("trails", **address, over="layers", epoch=1, sample=2).frame()
    record = records[""]
    assert not damaged and (record["epoch"], record["fields"]) == (1, {"over": "layers"})
    assert record["arrays"]["layers"]["values"].tolist() == NAMES and "epochs" not in record["arrays"]
    expected = np.stack([embedding(1, name).points[[2]] for name in NAMES])
    np.testing.assert_array_equal(record["arrays"]["points"]["values"], expected.astype(np.float32))


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ({"layer": None}, 400),
        ({"layer": ""}, 400),
        ({"sample": None}, 400),
        ({"sample": [0] * 201}, 400),
        ({"sample": list(range(6)) * 33}, 200),
        ({"sample": "-1"}, 400),
        ({"sample": "1.5"}, 400),
        ({"sample": "٣"}, 400),
        ({"sample": "9" * 500}, 400),
        ({"sample": 2**52}, 400),
        ({"sample": ["0", MARKUP]}, 400),
        ({"sample": 6}, 404),
        ({"sample": [0, 99_999]}, 404),
        ({"over": "time"}, 400),
        ({"over": "layers"}, 400),
        ({"over": "layers", "epoch": "x"}, 400),
        ({"over": "layers", "epoch": 9}, 404),
        ({"over": "layers", "epoch": 2**53}, 404),
        ({"over": "layers", "epoch": 2}, 200),
        ({"axis": "days"}, 400),
        ({"layer": MARKUP}, 404),
        ({"layer": NAMES[1], "axis": "steps"}, 404),
        ({"generation": "1.0"}, 409),
        ({"run": "nowhere"}, 404),
    ],
)  # fmt: skip
def test_questions_about_trails(client: Client, address: dict[str, Any], arguments: dict[str, Any], status: int) -> None:
    given = {**address, "layer": NAMES[0], "sample": 0, **arguments}
    reply = client.get("trails", **{name: value for name, value in given.items() if value is not None})
    assert reply.status == status, reply.body


@pytest.mark.parametrize(
    ("arguments", "status"), [({"run": None}, 400), ({"generation": None}, 400), ({"generation": "1"}, 409), ({"axis": "x"}, 400)]
)
def test_questions_about_events(client: Client, address: dict[str, Any], arguments: dict[str, Any], status: int) -> None:
    given = {name: value for name, value in {**address, **arguments}.items() if value is not None}
    assert client.get("events", **given).status == status


def test_damaged_embeddings_leave_gaps_and_are_named(client: Client, provider: MemoryProvider, address: dict[str, Any]) -> None:
    stated, points = wire.encode(embedding(3, NAMES[0]))
    three = np.zeros((SAMPLES, 3), "<f4").tobytes()
    provider.put(RUN, f"embedding/{NAMES[0]}", 3, [stated, points[::-1]])
    provider.put(RUN, f"embedding/{NAMES[0]}", 4, [stated])
    provider.put(RUN, f"embedding/{NAMES[0]}", 5, wire.encode(embedding(6, NAMES[0])))
    provider.put(RUN, f"embedding/{NAMES[0]}", 6, [header("embedding", NAMES[0], 6, blobs=[
        {"name": "points", "dtype": "<f4", "shape": [SAMPLES, 3], "crc32": zlib.crc32(three)}
    ]), three])  # fmt: skip
    provider.write(RUN, embedding(7, NAMES[0], samples=2))
    records, damaged = client.get("trails", **address, layer=NAMES[0], sample=[1, 5]).frame()
    points = records[NAMES[0]]["arrays"]["points"]["values"]
    assert records[NAMES[0]]["arrays"]["epochs"]["values"].tolist() == list(range(8))
    assert np.isfinite(points[:3]).all() and np.isnan(points[3:7]).all()
    assert np.isfinite(points[7, 0]).all() and np.isnan(points[7, 1]).all()         # of a probe that was smaller
    assert [one["reason"].partition(":")[0] for one in damaged] == ["epoch 3", "epoch 4", "epoch 5", "epoch 6"]
    assert all(one["layer"] == NAMES[0] for one in damaged)


def test_where_nothing_can_be_read_the_frame_says_so(client: Client, provider: MemoryProvider, address: dict[str, Any]) -> None:
    for epoch in range(40):
        provider.put(RUN, f"embedding/{MARKUP}", epoch, [b"x"])
    records, damaged = client.get("trails", **address, layer=MARKUP, sample=3).frame()
    assert np.isnan(records[MARKUP]["arrays"]["points"]["values"]).all()
    assert len(damaged) == 21 and damaged[-1]["reason"] == "… and 20 more."


def test_impossible_places_do_not_reach_the_frame(client: Client, provider: MemoryProvider, address: dict[str, Any]) -> None:
    for step in (2**31, 2**52):
        provider.put(RUN, f"embedding/{NAMES[0]}", step, wire.encode(embedding(0, NAMES[0])))
    records, _ = client.get("trails", **address, layer=NAMES[0], sample=0).frame()
    assert records[NAMES[0]]["arrays"]["epochs"]["values"].tolist() == [0, 1, 2]
    provider.put(RUN, "embedding/far", 2**40, wire.encode(embedding(0, "far")))
    assert client.get("trails", **address, layer="far", sample=0).status == 404


def test_of_very_many_epochs_some(
    client: Client, provider: MemoryProvider, address: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(along, "MAX_PLACES", 10)
    for epoch in range(3, 100):
        provider.write(RUN, embedding(epoch, NAMES[0]))
    records, _ = client.get("trails", **address, layer=NAMES[0], sample=0).frame()
    epochs = records[NAMES[0]]["arrays"]["epochs"]["values"]
    assert epochs.tolist() == [0, 11, 22, 33, 44, 55, 66, 77, 88, 99]
    points = records[NAMES[0]]["arrays"]["points"]["values"]
    np.testing.assert_array_equal(points[:, 0, 0], 100 * epochs + 1000 * len(NAMES[0]))
    assert along.some_of(list(range(10))) == list(range(10))
