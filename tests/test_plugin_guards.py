"""The guards in the plugin's answers, one by one: what may be cached, what is fetched how often, what is another record."""

from __future__ import annotations

import dataclasses
import json
import zlib
from typing import Any

import numpy as np
import pytest
from tensorboard.errors import NotFoundError, PermissionDeniedError
from tensorboard_plugin_featwatch import catalogue, queries
from tensorboard_plugin_featwatch.blobs import SizedCache
from tensorboard_plugin_featwatch.queries import NotRecorded, StaleGeneration

from featwatch import wire
from featwatch.records import Journal, ProbeRecord
from tests.asked import RUN, STORY, Asked
from tests.memory_provider import MemoryProvider
from tests.plugin_client import look_anew

FIRST, SECOND = (info.name for info in STORY.layer_infos)


@pytest.fixture(autouse=True)
def _always_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    look_anew(monkeypatch)


@pytest.fixture
def provider() -> MemoryProvider:
    made = MemoryProvider()
    for record in (STORY.session(0, 1.0), STORY.probe(0), *(r for k in range(4) for r in STORY.records(k)), STORY.journal(1)):
        made.write(RUN, record)
    return made


@pytest.fixture
def asked(provider: MemoryProvider) -> Asked:
    return Asked(provider)


def sprite(asked: Asked) -> bytes:
    return asked.queries.sprite(asked.source, RUN, asked.described()["generation"])


# What is in a frame, and whether it may be cached


def test_a_layer_that_is_named_twice_is_answered_once(asked: Asked) -> None:
    frame = asked.queries.records(asked.source, RUN, asked.described()["generation"], "embedding", 1, [FIRST, FIRST])
    assert frame.content.count(b'"kind":"embedding"') == 1


def test_a_layer_that_may_still_come_keeps_a_frame_from_being_cached(asked: Asked, provider: MemoryProvider) -> None:
    records, _, final = asked.frame("embedding", 1, FIRST, "to come")
    assert set(records) == {FIRST} and not final
    del provider.series[RUN][f"embedding/{SECOND}"][1]
    asked = Asked(provider)
    records, _, final = asked.frame("embedding", 1, FIRST, SECOND)
    assert set(records) == {FIRST} and final        # the second layer went on without it


def test_what_a_later_version_stored_beside_is_left_out(asked: Asked, provider: MemoryProvider) -> None:
    tag = f"embedding/{FIRST}"
    _, blobs, text = provider.series[RUN][tag][1]
    stated = json.loads(blobs[0])
    stated["fields"]["colour"] = "red"
    stated["blobs"].append({"name": "later", "dtype": "|u1", "shape": [1], "crc32": zlib.crc32(b"x")})
    stated["#crc32"] = None
    provider.put(RUN, tag, 1, [json.dumps(stated).encode(), *blobs[1:], b"x"], text)
    records, damaged, _ = asked.frame("embedding", 1, FIRST)
    assert not damaged and "colour" not in records[FIRST]["fields"] and list(records[FIRST]["arrays"]) == ["points"]


def test_pictures_are_not_among_a_frames_arrays(asked: Asked) -> None:
    assert sprite(asked).startswith(b"\x89PNG")
    assert list(asked.frame("probe", 0)[0][""]["arrays"]) == ["labels", "indices"]


def test_a_record_that_is_another_one_is_damaged(asked: Asked, provider: MemoryProvider) -> None:
    series = provider.series[RUN]
    other_layer = series[f"embedding/{SECOND}"][1]
    other_kind = wire.encode(dataclasses.replace(STORY.clusters(1, 1), epoch=1))
    series[f"embedding/{FIRST}"][1] = (series[f"embedding/{FIRST}"][1][0], *other_layer[1:])
    series[f"embedding/{SECOND}"][1] = (other_layer[0], other_kind, b"{}")
    records, damaged, _ = asked.frame("embedding", 1)
    assert not records and {one["layer"] for one in damaged} == {FIRST, SECOND}
    assert all("another record" in one["reason"] for one in damaged)


# What is known of a run


def test_no_sprite_without_a_probe_without_thumbnails_or_with_too_few(asked: Asked, provider: MemoryProvider) -> None:
    cut_off = dataclasses.replace(STORY.probe(0), thumbnail_columns=1)      # more rows than the picture has
    for probe in (cut_off, dataclasses.replace(STORY.probe(0), thumbnails=b"")):
        provider.write(RUN, probe)
        with pytest.raises(NotRecorded, match="no thumbnails"):
            sprite(asked)
    del provider.series[RUN]["probe"]
    with pytest.raises(NotRecorded, match="no thumbnails"):
        sprite(asked)


def test_an_answer_holds_no_more_than_it_may(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packed arrays are small in a log, whatever they hold."""
    size = STORY.points(0, 1).astype("f4").nbytes
    monkeypatch.setattr(queries, "MAX_FRAME", size)
    records, damaged, final = asked.frame("embedding", 1, FIRST, SECOND)
    assert set(records) == {FIRST} and [one["layer"] for one in damaged] == [SECOND] and not final
    assert "ask for fewer layers" in damaged[0]["reason"]
    assert set(asked.frame("embedding", 1, SECOND)[0]) == {SECOND}


def test_the_newest_probe_is_the_one_that_was_written_last(asked: Asked, provider: MemoryProvider) -> None:
    for epoch, size in ((5, 2), (3, 3), (4, 4), (3, 1)):
        provider.write(RUN, ProbeRecord(epoch=epoch, labels=np.zeros(size), indices=np.arange(size)))
    assert asked.run()["probe"]["count"] == 1


def test_entries_need_a_kind_and_a_text_and_are_finite(asked: Asked, provider: MemoryProvider) -> None:
    entries = ({"kind": "note"}, {"text": "x"}, {"kind": 1, "text": "x"}, {"kind": "note", "text": None})
    good = {"kind": "note", "text": "n", "epoch": float("nan")}
    provider.put(RUN, "journal", 1, [_with_nan(Journal(epoch=1, entries=(*entries, good)))])
    assert asked.run()["journal"] == [{**good, "epoch": None}]


def _with_nan(journal: Journal) -> bytes:
    stated = json.loads(wire.encode(journal)[0])
    stated["fields"]["entries"][-1]["epoch"] = float("nan")
    return json.dumps({**stated, "#crc32": None}).encode()


# What is fetched, and how often


def test_the_keys_of_a_series_are_read_once(asked: Asked, provider: MemoryProvider) -> None:
    asked.described()
    for epoch, reads in ((1, 1), (0, 1), (2, 1), (3, 1)):
        asked.frame("embedding", epoch, FIRST)
        # One for the look and its keys; an older epoch then costs every key once, and no epoch after it any.
        assert provider.calls["read"] == 1 + reads


def test_whoever_follows_reads_the_newest_keys_alone(
    asked: Asked, provider: MemoryProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked.described()
    honest, downsamples = provider.read_blob_sequences, []

    def read(*context: Any, downsample: int, **more: Any) -> Any:
        downsamples.append(downsample)
        return honest(*context, downsample=downsample, **more)

    monkeypatch.setattr(provider, "read_blob_sequences", read)
    asked.frame("embedding", 3, FIRST)
    assert downsamples == [1]


def test_the_newest_in_force_may_not_be_the_newest_there_is(asked: Asked, provider: MemoryProvider) -> None:
    provider.write(RUN, STORY.session(2, 9.0))      # epochs 2 and 3 are superseded, and still there
    records, damaged, _ = asked.frame("embedding", 1, FIRST)
    assert not damaged
    np.testing.assert_array_equal(records[FIRST]["arrays"]["points"]["values"], STORY.points(0, 1))


def test_a_series_that_changed_has_its_keys_read_again(asked: Asked, provider: MemoryProvider) -> None:
    asked.frame("embedding", 0, FIRST)              # reads every key
    provider.write(RUN, dataclasses.replace(STORY.embedding(0, 0, -1), epoch=1))
    records, _, _ = asked.frame("embedding", 1, FIRST)
    np.testing.assert_array_equal(records[FIRST]["arrays"]["points"]["values"], STORY.points(0, 0))


@pytest.mark.parametrize(
    ("trouble", "says"),
    [
        (NotFoundError("gone"), "missing"),
        (PermissionDeniedError("no"), "refuses to deliver"),
        (ValueError("reshape"), "ValueError"),
        (IndexError("index"), "IndexError"),
        ("text", "not bytes"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_blob_that_cannot_be_had_is_damage(
    asked: Asked, provider: MemoryProvider, monkeypatch: pytest.MonkeyPatch, trouble: Any, says: str
) -> None:
    honest, asks = provider.read_blob, []

    def read_blob(*context: Any, blob_key: str) -> Any:
        if FIRST not in blob_key:
            return honest(*context, blob_key=blob_key)
        asks.append(blob_key)
        if isinstance(trouble, Exception):
            raise trouble
        return trouble

    monkeypatch.setattr(provider, "read_blob", read_blob)
    for number in (1, 2):                           # it is not remembered as such
        records, damaged, final = asked.frame("embedding", 1)
        assert set(records) == {SECOND} and says in damaged[0]["reason"] and not final
        assert len(asks) == 2 * number


def test_what_a_resume_purges_while_it_is_read_is_stale_and_not_damaged(
    provider: MemoryProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "LIFETIME_SECONDS", 60.0)
    asked = Asked(provider)
    generation = asked.described()["generation"]

    def read_blob(*context: Any, blob_key: str) -> Any:
        provider.write(RUN, STORY.session(0, 9.0))
        raise NotFoundError(blob_key)

    monkeypatch.setattr(provider, "read_blob", read_blob)
    with pytest.raises(StaleGeneration, match="now in generation"):
        asked.queries.records(asked.source, RUN, generation, "embedding", 1, [FIRST])


def test_the_cache_lets_go_of_what_was_not_used_for_longest() -> None:
    cache: SizedCache[bytes] = SizedCache(8, len)
    cache.put("a", b"1234")
    cache.put("b", b"1234")
    cache.get("a")
    cache.put("c", b"1234")
    assert cache.get("b") is None and cache.get("a") and cache.get("c")
