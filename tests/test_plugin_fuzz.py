"""Garbled records: the plugin's answers stay proper, and whole records stay whole."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorboard_plugin_featwatch.queries import NotRecorded

from featwatch import wire
from featwatch.development import fields_of, kinds
from featwatch.records import (
    KINDS,
    SEVERITIES,
    Alert,
    FeatureImages,
    FilterExemplars,
    Histograms,
    Journal,
    Kernels,
    Maps,
    ModelSize,
    Pruning,
    Record,
    SampleEvents,
    Similarity,
    Specificity,
)
from tests.asked import RUN, STORY, Asked
from tests.event_logs import entry, header
from tests.memory_provider import MemoryProvider
from tests.plugin_client import decode_frame, look_anew


@pytest.fixture(autouse=True, scope="module")
def _always_fresh() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        look_anew(patch)
        yield


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
LAYER = STORY.layer_infos[0].name
ONE = np.ones(1)
ALERT = Alert(id="a", kind="dead filters", severity="warning", layer=LAYER, filters=(1,), text="<b>", evidence={"n": 1})
AFTER_TRAINING: list[Record] = [
    FeatureImages(
        epoch=0, layer=LAYER, filters=ONE.astype(int), pixels=np.zeros((1, 2, 2, 3)), low=np.zeros(3), high=np.ones(3),
        activation=ONE, natural=ONE, reached=ONE > 0, refreshed=ONE.astype(int), unit=(1,), box=(0, 1), elapsed_seconds=0.5,
    ),
    Histograms(
        epoch=0, layer=LAYER, counts=np.ones((1, 2)), edges=np.arange(3.0), minimum=ONE, maximum=ONE, inputs=np.zeros(1),
        maxima=np.ones((1, 1)),
    ),
    FilterExemplars(
        epoch=0, layer=LAYER, samples=np.zeros((1, 1)), activation=np.ones((1, 1)), position=np.zeros((1, 1, 2)), input_shape=(4,)
    ),
    Similarity(
        epoch=0, layer=LAYER, **dict.fromkeys(("factor", "offset", "residual", "correlation", "unexplained"), np.ones(30)),
        **dict.fromkeys(("group", "keep", "nearest"), np.zeros(30)), by=np.full(30, "both"), removable=np.ones(30) > 0,
        terms=np.zeros((30, 3)), coefficients=np.zeros((30, 3)), weight_map=np.zeros((30, 2)), explained=(0.5, 0.1),
    ),
    Specificity(
        epoch=0, layer=LAYER, means=np.ones((2, 30)), samples=np.ones(2), overall=np.ones(30),
        **dict.fromkeys(("modality", "first", "second"), np.zeros(30)),
    ),
    Kernels(
        epoch=0, layer=LAYER, pixels=np.zeros((2, 1, 6, 6)), inputs=np.zeros((2, 1)), largest=np.ones(2), covered=np.ones(2)
    ),
    Maps(epoch=0, layer=LAYER, samples=ONE, pixels=np.zeros((1, 6, 6, 2)), low=np.ones(2), high=np.ones(2), full_size=(9, 9)),
    SampleEvents(
        epoch=0, entries=({"kind": "flip", "sample": 1, "size": 0.5, "before": 0, "after": 1},), counts={"flip": 1}, since=0
    ),
    Journal(epoch=0, entries=({"kind": "alert", "text": "<b>", "alert": ALERT.as_dict()}, {"kind": "note", "text": "x"})),
]  # fmt: skip


def plain(kind: str) -> Record:
    """A record of a kind with two of everything that it declares."""
    values = {}
    for field in dataclasses.fields(KINDS[kind]):
        if "dtype" in field.metadata:
            dtype = field.metadata["dtype"]
            values[field.name] = np.full((2,) * len(field.metadata["axes"]), 0).astype("U1" if dtype == "str" else dtype)
    return KINDS[kind](epoch=0, layer=LAYER if KINDS[kind].per_layer else "", **values)


EXPLAINED = ("arrangement", "exemplar_maps", "maximising", "factors", "cluster_images", "attributions", "class_activation")
AFTER_TRAINING += [*map(plain, EXPLAINED), plain("outlook"), Pruning(epoch=0, action="pruned"), ModelSize(epoch=0, parameters=1)]
PROBE = dataclasses.replace(STORY.probe(0), targets=np.ones((5, 1)), attributes={"age": (1, 2, 3, 4, 5)}, notes=("a note",))
RECORDS: list[Record] = [STORY.session(0, 1.0), PROBE, *STORY.records(0), *AFTER_TRAINING]
BY_STEP = [dataclasses.replace(record, step=300) for record in (STORY.session(0, 1.0), *STORY.records(0), *AFTER_TRAINING)]
STORED = [
    (*wire.place_of(record), wire.tag_of(record.kind, record.layer), wire.encode(record), wire.encode_numbers(record))
    for record in [*RECORDS, *BY_STEP]
]
RUNS = {"epochs": RUN, "steps": f"{RUN}/steps"}


def test_every_kind_is_garbled_below() -> None:
    assert KINDS.keys() - {record.kind for record in RECORDS} <= {"closing", "grid", "cka"}     # of the same parts as others


@settings(max_examples=100, deadline=None)
@given(fuzz=st.data())
def test_fuzzed_records_are_answered(fuzz: st.DataObject) -> None:
    """Some blobs of an honest run are garbled: every answer is still proper JSON or a proper frame."""
    provider = MemoryProvider()
    victim = fuzz.draw(st.integers(0, len(STORED) - 1))
    for number, (axis, place, tag, blobs, text) in enumerate(STORED):
        if number == victim:
            blobs = fuzz.draw(_flipped_bits(blobs) | _other_header(blobs) | st.lists(st.binary(max_size=30), max_size=3))
            text = fuzz.draw(st.just(text) | st.binary(max_size=20) | JSON.map(lambda value: json.dumps(value).encode()))
        provider.put(RUNS[axis], tag, place, blobs, text)
    asked = Asked(provider)
    described = asked.described()
    _check_answers(asked, described, {STORED[victim][0]: STORED[victim][2]})
    assert described["series"].keys() == {record.kind for record in RECORDS}


def _check_answers(asked: Asked, described: dict[str, Any], victims: dict[str, str] | None = None) -> None:
    """Everything is answered; only the victim, axis -> tag, may be damaged."""
    json.dumps([described, asked.run()], allow_nan=False)
    for axis, of_axis in (("epochs", described), ("steps", described["steps"] or {"series": {}})):
        json.dumps(asked.queries.numbers(asked.source, RUN, described["generation"], None, axis), allow_nan=False)
        json.dumps(asked.queries.events(asked.source, RUN, described["generation"], axis), allow_nan=False)
        for layer in of_axis["series"].get("embedding", {}):
            with contextlib.suppress(NotRecorded):
                decode_frame(asked.queries.trails(asked.source, RUN, described["generation"], layer, [0], axis).content)
        layers = ((kind, layer) for kind in kinds() for layer in of_axis["series"].get(kind, {}))
        for kind, layer in [one for one in layers if victims is None or wire.tag_of(*one) in victims.values()]:
            with contextlib.suppress(NotRecorded):
                asked_for = RUN, described["generation"], kind, layer, fields_of(kind), None, axis
                records, damaged = decode_frame(asked.queries.development(asked.source, *asked_for).content)
                assert len(records) == 1 and (victims is None or not damaged or axis in victims)
        for kind, layers in of_axis["series"].items():
            for place in {place for layer in layers.values() for place in of_axis["epochs"][layer]}:
                frame = asked.queries.records(asked.source, RUN, described["generation"], kind, place, (), axis)
                records, damaged = decode_frame(frame.content)
                if victims is not None:
                    assert len(records) + len(damaged) == len(layers)
                    assert {wire.tag_of(kind, one["layer"]) for one in damaged} <= {victims.get(axis)}


ODD_STEPS = st.sampled_from([-(2**63), -5, 0, 1, 300, 2**31, 2**53, 2**62, 2**63 - 1])
ODD_TAGS = st.sampled_from([*(stored[2] for stored in STORED), "steps/health/c", "session/x", "health", "<b>", "steps"])


@settings(max_examples=40, deadline=None)
@given(events=st.lists(st.tuples(st.sampled_from(wire.AXES), ODD_TAGS, ODD_STEPS, st.sampled_from(STORED)), max_size=12))
def test_records_at_impossible_places_are_answered(events: list[tuple[str, str, int, tuple[Any, ...]]]) -> None:
    """Any record under any tag at any step, on either axis: what cannot be is left out or damaged, and said."""
    provider = MemoryProvider()
    provider.write(RUN, RECORDS[0])
    for axis, tag, step, (*_, blobs, text) in events:
        provider.put(RUNS[axis], tag, step, blobs, text)
    asked = Asked(provider)
    described = asked.described()
    _check_answers(asked, described)
    shown = [*described["epochs"], *(described["steps"] or {"epochs": []})["epochs"]]
    assert all(0 <= place < 2**53 for places in shown for place in places)
    impossible = {(axis, tag) for axis, tag, step, _ in events if not 0 <= step < 2**53 and tag in {one[2] for one in STORED}}
    assert not impossible or any("impossible" in problem for problem in described["problems"])


ODD_ALERT = st.fixed_dictionaries(
    {}, optional={name: st.just(value) | JSON for name, value in ALERT.as_dict().items()} | {"unknown": JSON}
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(alerts=st.lists(ODD_ALERT | JSON, max_size=4), attributes=st.dictionaries(st.text(max_size=4), JSON, max_size=4))
def test_fuzzed_alerts_and_attributes_are_answered(alerts: list[Any], attributes: dict[str, Any]) -> None:
    provider = MemoryProvider()
    provider.write(RUN, RECORDS[0])
    fields = {"entries": [{"kind": "alert", "text": "", "alert": one} for one in alerts]}
    provider.put(RUN, "journal", 0, [header("journal", fields=fields)])
    labels = np.zeros(2, "<i4").tobytes()
    blobs = [entry("labels", "<i4", [2], labels), entry("indices", "<i8", [2], labels * 2)]
    provider.put(RUN, "probe", 0, [header("probe", fields={"attributes": attributes}, blobs=blobs), labels, labels * 2])
    answer = Asked(provider).run()
    json.dumps(answer, allow_nan=False)
    types = {field.name: str(field.type).partition("[")[0] for field in dataclasses.fields(Alert)}
    for one in answer["alerts"]:
        assert one.keys() == types.keys() and one["severity"] in SEVERITIES and isinstance(one["evidence"], dict)
        assert all(type(one[name]).__name__ == kind for name, kind in types.items() if kind in ("int", "str"))
    ids = {one.get("id") for one in alerts if isinstance(one, dict) and isinstance(one.get("id"), str)}
    assert {one["id"] for one in answer["alerts"]} <= ids
    columns = (answer["probe"] or {"attributes": {}})["attributes"]
    assert all(len(column) == 2 and not any(isinstance(one, (list, dict)) for one in column) for column in columns.values())


def _flipped_bits(blobs: list[bytes]) -> st.SearchStrategy[list[bytes]]:
    def flip(place: tuple[int, int, int]) -> list[bytes]:
        which, at, bit = place[0] % len(blobs), place[1], place[2]
        blob = bytearray(blobs[which])
        if blob:
            blob[at % len(blob)] ^= 1 << bit
        return [*blobs[:which], bytes(blob), *blobs[which + 1 :]]

    return st.tuples(st.integers(0, 20), st.integers(0, 10**5), st.integers(0, 7)).map(flip)


def _other_header(blobs: list[bytes]) -> st.SearchStrategy[list[bytes]]:
    stated = json.loads(blobs[0])
    stated.pop("#crc32", None)

    def replace(change: tuple[str, str, Any]) -> list[bytes]:
        where, name, value = change
        inner = stated if where == "top" else stated["fields"]
        changed = {**inner, name: value}
        return [json.dumps(changed if where == "top" else {**stated, "fields": changed}).encode(), *blobs[1:]]

    places = [*(("top", name) for name in stated), *(("fields", name) for name in stated["fields"])]
    return st.tuples(st.sampled_from(places), JSON).map(lambda drawn: replace((*drawn[0], drawn[1])))
