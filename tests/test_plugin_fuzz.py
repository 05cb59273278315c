"""Garbled records: the plugin's answers stay proper, and whole records stay whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorboard_plugin_featwatch import catalogue

from featwatch import wire
from featwatch.records import Record
from tests.asked import RUN, STORY, Asked
from tests.memory_provider import MemoryProvider


@pytest.fixture(autouse=True, scope="module")
def _always_fresh() -> Iterator[None]:
    """Every question looks anew."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue, "LIFETIME_SECONDS", 0.0)
        patch.setattr(catalogue, "LIFETIME_FACTOR", 0)
        yield


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
RECORDS: list[Record] = [STORY.session(0, 1.0), STORY.probe(0), STORY.journal(0), *STORY.records(0)]
STORED = [(wire.tag_of(record.kind, record.layer), wire.encode(record), wire.encode_numbers(record)) for record in RECORDS]


@settings(max_examples=150, deadline=None)
@given(fuzz=st.data())
def test_fuzzed_records_are_answered(fuzz: st.DataObject) -> None:
    """Some blobs of an honest run are garbled: every answer is still proper JSON or a proper frame."""
    provider = MemoryProvider()
    victim = fuzz.draw(st.integers(0, len(STORED) - 1))
    for place, (tag, blobs, text) in enumerate(STORED):
        if place == victim:
            blobs = fuzz.draw(_flipped_bits(blobs) | _other_header(blobs) | st.lists(st.binary(max_size=30), max_size=3))
            text = fuzz.draw(st.just(text) | st.binary(max_size=20) | JSON.map(lambda value: json.dumps(value).encode()))
        provider.put(RUN, tag, 0, blobs, text)
    asked = Asked(provider)
    described = asked.described()
    generation = described["generation"]
    json.dumps([described, asked.run(), asked.queries.numbers(asked.source, RUN, generation)], allow_nan=False)
    for kind, layers in described["series"].items():
        frame, damaged, _ = asked.frame(kind, 0)
        assert len(frame) + len(damaged) == len(layers)
        # Whoever is not the victim is whole.
        assert {wire.tag_of(kind, one["layer"]) for one in damaged} <= {STORED[victim][0]}


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
