"""What the plugin answers beside the spine: the axis of steps, the newer kinds, alerts, and what is known of the probe."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard_plugin_featwatch.queries import NotRecorded, StaleGeneration
from tensorboard_plugin_featwatch.session_facts import _TYPES, MAX_COLUMNS, MAX_NAME, MAX_NOTES, MAX_TEXT

from featwatch.records import (
    FeatureImages,
    FilterExemplars,
    Histograms,
    Journal,
    LayerInfo,
    LayerSeparation,
    ProbeRecord,
    Session,
)
from featwatch.writers import EventFileWriter
from tests.asked import RUN, STORY, Asked
from tests.memory_provider import MemoryProvider
from tests.plugin_client import Client, look_anew, plugin_app, python_loader, rust_loader
from tests.test_reader_axes import alert, entered

LAYER = STORY.layer_infos[0].name
STEPS = [0, 400, 800]


@pytest.fixture(autouse=True)
def _always_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    look_anew(monkeypatch)


@pytest.fixture
def provider() -> MemoryProvider:
    """Three epochs, and embeddings and separations every 400 steps."""
    made = MemoryProvider()
    for record in (STORY.session(0, 1.0), STORY.probe(0), *(r for k in range(3) for r in STORY.records(k))):
        made.write(RUN, record)
    made.write(RUN, dataclasses.replace(STORY.session(0, 1.0), step=0))
    for step in STEPS:
        for record in (STORY.embedding(0, step // 400, -1), STORY.separation_record(0, step // 400)):
            made.write(RUN, dataclasses.replace(record, step=step))
    return made


@pytest.fixture
def asked(provider: MemoryProvider) -> Asked:
    return Asked(provider)


@pytest.fixture
def client(provider: MemoryProvider) -> Client:
    return plugin_app(provider)


# The axis of steps


def test_the_steps_are_an_axis_of_the_run(asked: Asked) -> None:
    described = asked.described()
    steps = described["steps"]
    assert described["problems"] == [] and asked.epochs("embedding", LAYER) == [0, 1, 2]
    assert {kind: [steps["epochs"][place] for place in of.values()] for kind, of in steps["series"].items()} == {
        "embedding": [STEPS], "separation": [STEPS], "session": [[0]],
    }  # fmt: skip
    assert [run["run"] for run in asked.queries.index(asked.source)["runs"]] == [RUN]
    assert asked.run()["session"]["epoch"] == 0 and asked.run()["problems"] == []


def test_numbers_and_records_of_each_axis(client: Client) -> None:
    address = {"run": RUN, "generation": client.index()[RUN]["generation"]}
    by_step = client.get("numbers", **address, axis="steps").json()["series"]
    assert {(one["kind"], one["layer"]): one["epochs"] for one in by_step} == dict.fromkeys(
        [("embedding", LAYER), ("separation", LAYER)], STEPS
    )
    separation = next(one for one in by_step if one["kind"] == "separation")
    assert separation["values"]["knn_accuracy"] == [STORY.separation_record(0, step // 400).knn_accuracy for step in STEPS]
    by_epoch = client.get("numbers", **address).json()["series"]
    assert by_epoch == client.get("numbers", **address, axis="epochs").json()["series"]
    assert all(one["epochs"] == [0, 1, 2] for one in by_epoch)
    reply = client.get("records", **address, axis="steps", kind="embedding", epoch=400)
    ((found,), damaged) = (list(reply.frame()[0].values()), reply.frame()[1])
    assert found["epoch"] == 400 and found["fields"]["step"] == 400 and not damaged
    np.testing.assert_array_equal(found["arrays"]["points"]["values"], STORY.points(0, 1))
    assert "max-age=86400" in reply.headers["Cache-Control"]            # a later step is there
    last = client.get("records", **address, axis="steps", kind="embedding", epoch=800)
    assert last.status == 200 and "max-age" not in last.headers["Cache-Control"]


@pytest.mark.parametrize(
    ("route", "arguments", "status"),
    [
        ("numbers", {"axis": "days"}, 400),
        ("numbers", {"axis": ""}, 400),
        ("records", {"axis": "days", "kind": "embedding", "epoch": 0}, 400),
        ("records", {"axis": "steps", "kind": "embedding", "epoch": 1}, 404),
        ("records", {"axis": "epochs", "kind": "embedding", "epoch": 400}, 404),
        ("records", {"axis": "steps", "kind": "health", "epoch": 400}, 404),
        ("records", {"axis": "steps", "kind": "embedding", "epoch": 2**53}, 404),
        ("records", {"axis": "steps", "kind": "embedding", "epoch": "9" * 17}, 400),
        ("records", {"kind": "histograms", "epoch": 0}, 404),
    ],
)
def test_arguments(client: Client, route: str, arguments: dict[str, Any], status: int) -> None:
    address = {"run": RUN, "generation": client.index()[RUN]["generation"]}
    assert client.get(route, **address, **arguments).status == status


def test_a_session_on_either_axis_begins_a_generation(asked: Asked, provider: MemoryProvider) -> None:
    before = asked.described()["generation"]
    provider.write(RUN, Session(epoch=1, step=400, started=2.0))
    described = asked.described()
    assert described["generation"] != before and asked.epochs("embedding", LAYER) == [0, 1, 2]
    assert described["steps"]["epochs"][described["steps"]["series"]["embedding"][LAYER]] == [0]
    with pytest.raises(StaleGeneration):
        asked.queries.records(asked.source, RUN, before, "embedding", 0, [], "steps")
    with pytest.raises(NotRecorded, match="at step 400"):
        asked.queries.records(asked.source, RUN, described["generation"], "embedding", 400, [], "steps")


def test_a_step_more_is_followed(asked: Asked, provider: MemoryProvider) -> None:
    asked.described()
    until = asked.queries.numbers(asked.source, RUN, asked.described()["generation"], None, "steps")["until"]
    provider.write(RUN, dataclasses.replace(STORY.separation_record(0, 2), step=1200))
    answer = asked.queries.numbers(asked.source, RUN, asked.described()["generation"], until, "steps")
    assert [one["epochs"] for one in answer["series"]] == [[1200]]
    assert asked.described()["updated"] == provider.now


def test_a_record_under_another_step_or_axis_is_damaged(asked: Asked, provider: MemoryProvider) -> None:
    series = provider.series[f"{RUN}/steps"][f"embedding/{LAYER}"]
    epochs = provider.series[RUN][f"embedding/{LAYER}"]
    series[400], series[800] = (series[400][0], *series[800][1:]), (series[800][0], *epochs[1][1:])
    epochs[2] = (epochs[2][0], *series[0][1:])
    for axis, places in (("steps", [400, 800]), ("epochs", [2])):
        for place in places:
            frame = asked.queries.records(asked.source, RUN, asked.described()["generation"], "embedding", place, [LAYER], axis)
            assert b"the header belongs to another record" in frame.content and not frame.final


def _train(log_dir: Path, first: int, last: int, mark: float) -> None:
    """One session of epochs with 100 steps each, a separation at each epoch and every 20 steps."""
    for axis, places in (("epochs", range(first, last + 1)), ("steps", range(first * 100, last * 100 + 1, 20))):
        writer = EventFileWriter(log_dir, places.start, axis=axis)
        step = dict.fromkeys(["step"], places.start) if axis == "steps" else {}
        writer.write(Session(epoch=first, started=1.0, **step))
        for place in places:
            at = {"epoch": place // 100, "step": place} if axis == "steps" else {"epoch": place}
            writer.write(LayerSeparation(layer="c", knn_accuracy=mark, **at))
        writer.close()


@pytest.mark.parametrize("loader", [python_loader, rust_loader], ids=["python", "rust"])
def test_a_resumed_training_keeps_the_steps_before_it(tmp_path: Path, loader: Any) -> None:
    """START purges every tag of its run from its step on: epoch 4 must not take the steps from 4 to 399 along."""
    _train(tmp_path / "logs" / "run-1", 0, 6, 0.25)
    _train(tmp_path / "logs" / "run-1", 4, 5, 0.5)
    with loader(tmp_path / "logs") as provider:
        client = plugin_app(provider)
        ((run, described),) = client.index().items()
        assert run == RUN and described["name"] == "run-1" and described["problems"] == []
        series = client.get("numbers", run=run, generation=described["generation"], axis="steps").json()["series"]
        (separation,) = (one for one in series if one["kind"] == "separation")
        steps = list(range(0, 501, 20))
        assert separation["epochs"] == steps
        assert separation["values"]["knn_accuracy"] == [0.25 if step < 400 else 0.5 for step in steps]
        assert client.epochs(described, "separation", "c") == list(range(6))
        for step, mark in ((380, 0.25), (400, 0.5)):
            address = {"run": run, "generation": described["generation"], "axis": "steps"}
            records, _ = client.get("records", **address, kind="separation", epoch=step).frame()
            assert records["c"]["fields"]["knn_accuracy"] == mark


# The newer kinds


def test_the_newer_kinds_are_served_as_they_are_stored(asked: Asked, provider: MemoryProvider) -> None:
    pixels = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    images = FeatureImages(
        epoch=1, layer=LAYER, filters=np.array([4, 1]), pixels=pixels, low=np.zeros(3), high=np.ones(3), activation=np.ones(2),
        natural=np.array([np.nan, 1]), reached=np.array([True, False]), refreshed=np.array([1, 1]), unit=(3, 3), box=(0, 2, 0, 3),
    )  # fmt: skip
    histograms = Histograms(
        epoch=1, layer=LAYER, counts=np.arange(8).reshape(2, 4), edges=np.arange(5) / 8, minimum=np.zeros(2), maximum=np.ones(2),
        inputs=np.array([3]), maxima=np.ones((1, 2)),
    )  # fmt: skip
    exemplars = FilterExemplars(
        epoch=1, layer=LAYER, samples=np.array([[1, 0]]), activation=np.array([[2.0, 1.0]]), position=np.zeros((1, 2, 2)),
        boxes=np.array([[[-1, 1, -1, 1], [0, 2, 0, 2]]]), input_shape=(8, 8),
    )  # fmt: skip
    for record in (images, histograms, exemplars):
        provider.write(RUN, record)
        found, damaged, _ = asked.frame(record.kind, 1)
        arrays = found[LAYER]["arrays"]
        assert not damaged
        for field in dataclasses.fields(record):
            if field.name in arrays:
                np.testing.assert_array_equal(arrays[field.name]["values"], getattr(record, field.name))
            elif field.name not in ("epoch", "layer"):
                assert field.name in found[LAYER]["fields"] or field.metadata.get("optional"), field.name
    (stored,) = (asked.frame("feature_images", 1)[0][LAYER]["arrays"][name] for name in ["pixels"])
    assert (stored["dtype"], stored["shape"]) == ("|u1", [2, 3, 4, 3])
    assert asked.frame("exemplars", 1)[0][LAYER]["fields"]["input_shape"] == [8, 8]
    _, numbers = asked.numbers()
    assert numbers["histograms", LAYER]["values"]["enough_inputs"] == [1.0]


# Alerts


def test_alerts_are_in_their_newest_state_and_not_in_the_journal(asked: Asked, provider: MemoryProvider) -> None:
    note = {"kind": "note", "text": "a note"}
    provider.write(RUN, Journal(epoch=1, entries=(note, *entered(alert(0, 1), alert(1, 1, "critical")))))
    provider.write(RUN, Journal(epoch=2, entries=entered(alert(0, 2, text="x" * 5000, resolved=2))))
    answer = asked.run()
    assert answer["journal"] == [note] and answer["problems"] == []
    states = [(one["since"], one["severity"], one["resolved"]) for one in answer["alerts"]]
    assert states == [(1, "critical", -1), (0, "warning", 2)]
    assert answer["alerts"][0] == {**alert(1, 1, "critical").as_dict(), "filters": [1, 2]}
    assert len(answer["alerts"][1]["text"]) == MAX_TEXT and answer["alerts"][1]["text"].endswith("…")


def test_alerts_that_are_none_are_problems(asked: Asked, provider: MemoryProvider) -> None:
    odd: list[Any] = [None, [], {}, {**alert(0, 1).as_dict(), "severity": "dire"}, {**alert(0, 1).as_dict(), "since": "0"}]
    evidence = {"a": float("nan"), "b": [2**70], "deep": json.loads("[" * 50 + "]" * 50)}
    strange = {**alert(7, 7).as_dict(), "evidence": evidence, "filters": [2**70]}
    provider.write(RUN, Journal(epoch=1, entries=tuple({"kind": "alert", "text": "", "alert": one} for one in [*odd, strange])))
    answer = asked.run()
    json.dumps(answer, allow_nan=False)
    assert answer["journal"] == [] and sum("An alert in the journal" in problem for problem in answer["problems"]) >= 3
    assert all(isinstance(number, int) for one in answer["alerts"] for number in one["filters"])


# The probe and the session


def probe(**more: Any) -> ProbeRecord:
    return ProbeRecord(epoch=0, labels=np.array([0, -1, 1]), indices=np.arange(3), **more)


def test_targets_attributes_and_notes(asked: Asked, provider: MemoryProvider) -> None:
    assert (asked.run()["probe"]["targets"], asked.run()["probe"]["attributes"], asked.run()["probe"]["notes"]) == (None, {}, [])
    attributes = {"age": (31, None, 2.5), "site": ("a", "b", "a"), "odd": (True, False, None)}
    provider.write(RUN, probe(targets=np.array([[0.5], [np.nan], [np.inf]]), attributes=attributes, notes=("first", "second")))
    found = asked.run()["probe"]
    assert found["targets"] == [[0.5], [None], [None]] and found["notes"] == ["first", "second"]
    assert found["attributes"] == {"age": [31, None, 2.5], "site": ["a", "b", "a"], "odd": [True, False, None]}
    assert asked.run()["problems"] == []


def test_hostile_attributes_are_bounded(asked: Asked, provider: MemoryProvider) -> None:
    good = {f"column {number}": (1, 2, 3) for number in range(MAX_COLUMNS + 5)}
    bad = {"short": (1, 2), "long": (1,) * 4, "nested": ([], 1, 2), "mapping": ({}, 1, 2)}
    said = {"<b>" * 500: ("x" * 5000, float("nan"), 2**80)}
    provider.write(RUN, probe(attributes={**bad, **said, **good}, notes=("n" * 9000,) * 1000))
    answer = asked.run()
    json.dumps(answer, allow_nan=False)
    attributes = answer["probe"]["attributes"]
    assert len(attributes) == MAX_COLUMNS and not bad.keys() & attributes.keys()
    ((name, values),) = ((name, values) for name, values in attributes.items() if name.startswith("<b>"))
    assert len(name) == MAX_NAME and len(values[0]) == MAX_NAME and values[1:] == [None, None]
    assert len(answer["probe"]["notes"]) == MAX_NOTES and {len(note) for note in answer["probe"]["notes"]} == {MAX_TEXT}
    left_out = len(bad) + len(said) + len(good) - MAX_COLUMNS
    assert any(problem.startswith(f"{left_out} of the probe's attributes") for problem in answer["problems"])


def test_layers_of_older_logs_have_the_defaults(asked: Asked, provider: MemoryProvider) -> None:
    whole = dataclasses.replace(
        STORY.layer_infos[0], field_size=(5, 5), field_stride=(1, 1), field_offset=(-2, -2), field_kind="exact"
    ).as_dict()
    older = {name: value for name, value in whole.items() if not name.startswith("field_") and name not in ("path", "note")}
    wrong = [{**whole, "field_offset": ["a"]}, {**whole, "field_size": 3}, {**whole, "field_kind": 3}, {**whole, "filters": -1}]
    provider.write(RUN, Session(epoch=0, started=1.0, layers=(older, whole, *wrong), outputs=("a", "b"), output="a"))
    answer = asked.run()
    described = answer["session"]["layers"]
    assert len(described) == 2 and described[0].keys() == described[1].keys() == whole.keys()
    assert described[0]["field_offset"] == [] and described[0]["path"] == [] and described[1]["field_offset"] == [-2, -2]
    assert answer["session"]["outputs"] == ["a", "b"] and answer["session"]["output"] == "a"
    assert answer["problems"] == ["4 of the session's layers are not described properly."]
    assert {field.type for field in dataclasses.fields(LayerInfo)} <= _TYPES.keys()
