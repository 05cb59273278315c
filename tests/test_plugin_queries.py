"""The plugin's answers over a provider in memory: generations, caches, and many tabs."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tensorboard import errors
from tensorboard_plugin_featwatch import catalogue
from tensorboard_plugin_featwatch.blobs import SizedCache
from tensorboard_plugin_featwatch.queries import NotRecorded, Queries, StaleGeneration
from tensorboard_plugin_featwatch.source import Source

from featwatch import wire
from featwatch.records import Closing, Embedding, FeatureArrangement, Journal
from tests.asked import RUN, STORY, Asked
from tests.memory_provider import MemoryProvider
from tests.plugin_client import look_anew
from tests.synthetic import Story


@pytest.fixture(autouse=True)
def _always_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    look_anew(monkeypatch)


@pytest.fixture
def provider() -> MemoryProvider:
    made = MemoryProvider()
    for record in (STORY.session(0, 1.0), STORY.probe(0), *(r for k in range(3) for r in STORY.records(k)), STORY.journal(1)):
        made.write(RUN, record)
    return made


@pytest.fixture
def asked(provider: MemoryProvider) -> Asked:
    return Asked(provider)


def test_the_etag_says_whether_anything_is_new(asked: Asked, provider: MemoryProvider) -> None:
    first = asked.queries.index(asked.source)
    assert asked.queries.index(asked.source, first["etag"]) == {"etag": first["etag"], "runs": None}
    provider.write(RUN, STORY.predictions(3))
    second = asked.queries.index(asked.source, first["etag"])
    assert second["etag"] != first["etag"] and asked.epochs("predictions") == [0, 1, 2, 3]


def test_only_what_changed_is_read_again(asked: Asked, provider: MemoryProvider) -> None:
    asked.described()
    provider.calls.clear()
    asked.described()
    assert provider.calls == {"list": 1}


def test_an_epoch_more_is_one_record_more(asked: Asked, provider: MemoryProvider) -> None:
    asked.numbers()
    for record in STORY.records(3):
        provider.write(RUN, record)
    provider.calls.clear()
    assert asked.epochs("embedding", STORY.layer_infos[0].name) == [0, 1, 2, 3] and provider.calls["read"] == 0
    assert asked.numbers()[1]["epoch", ""]["epochs"] == [0, 1, 2, 3] and provider.calls["tensors"] == 1
    assert len(asked.frame("embedding", 3)[0]) == 2 and provider.calls["read"] == 1


EVENT = st.sampled_from(["next", "skip", "again", "resume", "restart", "journal"])
EVENTS = st.lists(st.tuples(EVENT, st.booleans()), max_size=8)


@settings(max_examples=40, deadline=None)
@given(events=EVENTS)
@example(events=[("next", False), ("resume", True), ("next", False), ("next", False)])      # a superseded epoch is written again
@example(events=[("next", True), ("next", True), ("resume", True), ("next", True), ("skip", True)])
def test_following_a_log_ends_where_a_fresh_look_starts(events: list[tuple[str, bool]]) -> None:
    provider, epoch = MemoryProvider(), 0
    provider.write(RUN, STORY.session(0, 1.0))
    following = Asked(provider)
    for event, looked_at in events:
        epoch = {"next": epoch + 1, "skip": epoch + 3, "resume": max(0, epoch - 1), "restart": 0}.get(event, epoch)
        if event in ("resume", "restart"):
            provider.write(RUN, STORY.session(epoch, 1.0))
        provider.write(RUN, STORY.journal(epoch) if event == "journal" else STORY.epoch_log(epoch))
        if event != "journal":
            provider.write(RUN, STORY.embedding(0, epoch, -1))
        if looked_at:
            following.described(), following.numbers(), following.run()
    fresh = Asked(provider)
    # A replaced record is found out when it is asked for: a first answer may be that the page is stale.
    with contextlib.suppress(StaleGeneration):
        following.run()
    assert following.run() == fresh.run()
    for kind, layer in FOLLOWED:
        epochs = fresh.epochs(kind, layer)
        assert following.epochs(kind, layer) == epochs
        for epoch in epochs[-2:]:
            expected = fresh.frame(kind, epoch)[:2]
            with contextlib.suppress(StaleGeneration):
                following.frame(kind, epoch)
            np.testing.assert_equal(following.frame(kind, epoch)[:2], expected)
    assert following.described()["generation"] == fresh.described()["generation"]
    assert following.numbers()[1] == fresh.numbers()[1]


FOLLOWED = [("session", ""), ("epoch", ""), ("journal", ""), ("embedding", STORY.layer_infos[0].name)]


def test_many_tabs_cost_one_look(provider: MemoryProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "LIFETIME_SECONDS", 60.0)
    asked = Asked(provider)
    barrier = threading.Barrier(8)

    def look() -> str:
        barrier.wait()
        return asked.queries.index(asked.source)["etag"]

    with ThreadPoolExecutor(8) as pool:
        etags = {future.result() for future in [pool.submit(look) for _ in range(8)]}
    assert len(etags) == 1 and provider.calls == {"list": 1, "read": 1}


def test_experiments_are_kept_apart_and_few(provider: MemoryProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "LIFETIME_SECONDS", 60.0)
    asked = Queries()
    for name in range(50):
        asked.index(Source(provider, None, str(name)))
    assert provider.calls["list"] == 50
    assert len(asked._catalogue._experiments) == catalogue.MAX_EXPERIMENTS


def test_large_catalogues_are_read_in_portions(asked: Asked, provider: MemoryProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Asked(provider).described()
    monkeypatch.setattr(catalogue, "REFERENCES_PER_READ", 40)
    provider.write("other/featwatch", STORY.session(0, 1.0))
    provider.calls.clear()
    assert asked.described() == whole
    assert provider.calls["read"] > 3


def test_a_resumed_run_supersedes_and_changes_generation(asked: Asked, provider: MemoryProvider) -> None:
    before = asked.described()
    provider.write(RUN, STORY.session(2, 9.0))
    after = asked.described()
    assert float(after["generation"]) > float(before["generation"])
    assert asked.epochs("predictions") == [0, 1] and asked.epochs("session") == [0, 2]
    for question in (
        lambda: asked.queries.run(asked.source, RUN, before["generation"]),
        lambda: asked.queries.numbers(asked.source, RUN, before["generation"]),
        lambda: asked.queries.records(asked.source, RUN, before["generation"], "embedding", 1),
        lambda: asked.queries.sprite(asked.source, RUN, before["generation"]),
    ):
        with pytest.raises(StaleGeneration):
            question()
    with pytest.raises(NotRecorded):
        asked.frame("predictions", 2)
    assert all(max(one["epochs"]) == 1 for one in asked.numbers()[1].values())
    assert asked.run()["session"]["epoch"] == 2 and asked.run()["probe"]["count"] == 5


def test_a_run_that_starts_over_shows_nothing_old(asked: Asked, provider: MemoryProvider) -> None:
    asked.numbers()
    provider.write(RUN, STORY.session(0, 9.0))
    assert asked.described()["series"] == {"session": {"": 0}}
    assert asked.run()["probe"] is None and asked.run()["journal"] == [] and asked.numbers()[1] == {}


def test_records_equal_what_was_written(asked: Asked) -> None:
    layers = [info.name for info in STORY.layer_infos]
    records, damaged, _ = asked.frame("health", 2)
    assert sorted(records) == sorted(layers) and not damaged
    for layer, name in enumerate(layers):
        expected = STORY.health(layer, 2)
        names = ("energy", "active_fraction", "dead", "cause", "group")
        arrays = {array: records[name]["arrays"][array]["values"] for array in names}
        np.testing.assert_allclose(arrays.pop("energy"), expected.energy, rtol=2.0**-13)
        for array, values in arrays.items():
            np.testing.assert_array_equal(values, np.asarray(getattr(expected, array)).astype(
                {"active_fraction": "f4", "dead": "u1"}.get(array, object)))  # fmt: skip
        assert records[name]["fields"]["test"] == expected.test
    records, _, _ = asked.frame("embedding", 1, layers[0])
    np.testing.assert_array_equal(records[layers[0]]["arrays"]["points"]["values"], STORY.points(0, 1))


def test_what_a_training_only_continues_from_stays_in_the_log(asked: Asked, provider: MemoryProvider) -> None:
    layer, ones = STORY.layer_infos[0].name, np.ones((3, 50), np.float32)
    three = np.arange(3, dtype=np.int32)
    provider.write(RUN, FeatureArrangement(
        epoch=2, layer=layer, filters=three, made=three, cells=three, points=ones[:, :2], features=ones, columns=2, rows=2,
    ))  # fmt: skip
    records, damaged, _ = asked.frame("arrangement", 2, layer)
    arrays = records[layer]["arrays"]
    assert sorted(arrays) == ["cells", "filters", "made", "points"] and not damaged
    assert arrays["cells"]["values"].tolist() == [0, 1, 2]


def test_a_frame_is_final_once_nothing_can_be_added(asked: Asked, provider: MemoryProvider) -> None:
    first, second = (info.name for info in STORY.layer_infos)
    assert asked.frame("embedding", 1)[2] and asked.frame("embedding", 2, first)[2]
    assert not asked.frame("embedding", 2)[2]           # the newest: another layer may follow
    provider.write(RUN, STORY.embedding(0, 3, 2))
    assert not asked.frame("embedding", 3, first, second)[2]        # the second layer is still to come
    assert not asked.frame("embedding", 3)[2]
    assert asked.frame("embedding", 2)[2]
    assert not asked.frame("epoch", 0)[2]               # may be written again


def test_damage_is_never_final(asked: Asked, provider: MemoryProvider) -> None:
    layer = STORY.layer_infos[0].name
    provider.series[RUN][f"embedding/{layer}"][1][1][1] = b"?"
    records, damaged, final = asked.frame("embedding", 1)
    assert [one["layer"] for one in damaged] == [layer] and len(records) == 1 and not final


def test_a_record_that_tensorboard_refuses_to_deliver_spoils_no_other(
    asked: Asked, provider: MemoryProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fast loader does so with a layer's name that holds a quotation mark."""
    refused = STORY.layer_infos[0].name
    wanted = asked.source.read_series([RUN], [f"embedding/{refused}"], 100)[RUN][f"embedding/{refused}"]
    keys = {value.blob_key for datum in wanted for value in datum.values}
    deliver = provider.read_blob

    def read_blob(*context: Any, blob_key: str) -> bytes:
        if blob_key in keys:
            raise errors.InvalidArgumentError("BadJson")
        return deliver(*context, blob_key=blob_key)

    monkeypatch.setattr(provider, "read_blob", read_blob)
    frame, damaged, final = asked.frame("embedding", 1)
    assert len(frame) == 1 and [one["layer"] for one in damaged] == [refused] and not final
    assert "refuses" in damaged[0]["reason"]


def test_blobs_are_fetched_once(asked: Asked, provider: MemoryProvider) -> None:
    asked.frame("embedding", 1)
    provider.calls.clear()
    asked.frame("embedding", 1)
    assert provider.calls == {"list": 2}
    asked.frame("embedding", 2)
    assert provider.calls["blob"] == 4 and provider.calls["read"] == 0


def test_a_record_that_was_replaced_is_fetched_again(asked: Asked, provider: MemoryProvider) -> None:
    layer = STORY.layer_infos[0].name
    asked.frame("embedding", 2, layer)
    moved = Embedding(epoch=2, layer=layer, points=STORY.points(0, 0))
    provider.write(RUN, moved)
    np.testing.assert_array_equal(asked.frame("embedding", 2, layer)[0][layer]["arrays"]["points"]["values"], moved.points)


def test_a_resume_between_look_and_read_is_stale(provider: MemoryProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "LIFETIME_SECONDS", 60.0)
    asked = Asked(provider)
    before = asked.described()["generation"]
    provider.write(RUN, STORY.session(1, 9.0))
    provider.write(RUN, STORY.embedding(0, 1, 0))
    with pytest.raises(StaleGeneration):
        asked.queries.records(asked.source, RUN, before, "embedding", 1)
    assert asked.described()["generation"] != before        # and the next question sees it
    provider.series[RUN] = {tag: {k: v for k, v in data.items() if k < 1} for tag, data in provider.series[RUN].items()}
    with pytest.raises((StaleGeneration, NotRecorded)):
        asked.queries.records(asked.source, RUN, asked.described()["generation"], "embedding", 1)


def test_numbers_are_columns_over_epochs(asked: Asked) -> None:
    _, numbers = asked.numbers()
    losses = numbers["epoch", ""]
    assert losses["epochs"] == [0, 1, 2]
    assert losses["values"]["loss"] == [None, *(STORY.epoch_log(k).metrics["loss"] for k in (1, 2))]
    layer = STORY.layer_infos[1].name
    expected = [STORY.separation_record(1, k).knn_accuracy for k in range(3)]
    assert numbers["separation", layer]["values"]["knn_accuracy"] == expected
    assert not {"session", "probe", "journal"} & {kind for kind, _ in numbers}


def test_numbers_after_miss_nothing_that_shows_up_late(asked: Asked, provider: MemoryProvider) -> None:
    generation = asked.described()["generation"]
    provider.now += 1
    reserved = provider.now
    provider.write(RUN, STORY.separation_record(1, 3))
    # The Python loader goes on while it is read: this look passes the first layer's series before its
    # record of epoch 3 is there, yet sees the second layer's, which is newer.
    until = asked.queries.numbers(asked.source, RUN, generation)["until"]
    late = STORY.separation_record(0, 3)
    first = STORY.layer_infos[0].name
    provider.series[RUN][f"separation/{first}"][3] = (reserved, wire.encode(late), wire.encode_numbers(late))
    answer = asked.queries.numbers(asked.source, RUN, generation, until)
    assert [one["epochs"] for one in answer["series"] if (one["kind"], one["layer"]) == ("separation", first)] == [[3]]


def test_numbers_after_are_few_when_nothing_happens(asked: Asked, provider: MemoryProvider) -> None:
    asked.numbers()
    until, _ = asked.numbers()
    provider.calls.clear()
    assert asked.numbers(until)[1] == {} and provider.calls["tensors"] == 0
    provider.write(RUN, STORY.epoch_log(3))
    assert asked.numbers(until)[1]["epoch", ""]["epochs"] == [3]


def test_the_journal_is_merged(asked: Asked, provider: MemoryProvider) -> None:
    note = {"kind": "note", "text": "once", "epoch": 2}
    provider.write(RUN, Journal(epoch=2, entries=(*STORY.journal(1).entries, note)))
    assert asked.run()["journal"] == [*STORY.journal(1).entries, note]


def test_what_was_noted_as_a_fit_ended_follows_its_journal(asked: Asked, provider: MemoryProvider) -> None:
    closing = {"kind": "worker", "text": "given up", "epoch": 1}
    later = {"kind": "note", "text": "later", "epoch": 2}
    provider.write(RUN, Closing(epoch=1, entries=(closing,)))
    provider.write(RUN, Journal(epoch=2, entries=(later,)))
    assert asked.run()["journal"] == [*STORY.journal(1).entries, closing, later]


def test_unlabelled_probes_and_no_thumbnails(provider: MemoryProvider) -> None:
    bare = Story(layers=1, samples=3, thumbnails=False, labelled=False)
    provider.write(RUN, bare.session(0, 2.0))
    provider.write(RUN, bare.probe(0))
    asked = Asked(provider)
    probe = asked.run()["probe"]
    assert probe["labels"] == [-1] * 3 and probe["thumbnails"] is None and probe["class_names"] == []
    with pytest.raises(NotRecorded):
        asked.queries.sprite(asked.source, RUN, asked.described()["generation"])


def test_a_run_that_cannot_be_listed_hides_no_other(provider: MemoryProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    provider.write("bad/featwatch", STORY.session(0, 1.0))
    honest = provider.list_blob_sequences

    def failing(context: Any, *, run_tag_filter: Any, **more: Any) -> Any:
        if run_tag_filter.runs is None or "bad/featwatch" in run_tag_filter.runs:
            raise KeyError("tag")
        return honest(context, run_tag_filter=run_tag_filter, **more)

    monkeypatch.setattr(provider, "list_blob_sequences", failing)
    runs = {run["run"]: run for run in Queries().index(Source(provider, None, ""))["runs"]}
    assert runs[RUN]["problems"] == [] and "could not read" in runs["bad/featwatch"]["problems"][0]


def test_a_series_that_cannot_be_read_hides_no_other(provider: MemoryProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = f"health/{STORY.layer_infos[0].name}"
    for name in ("read_blob_sequences", "read_tensors"):
        honest = getattr(provider, name)

        def failing(context: Any, *, run_tag_filter: Any, honest: Any = honest, **more: Any) -> Any:
            if any(tag.endswith(bad) for tag in run_tag_filter.tags or [bad]):
                raise ValueError("cannot reshape")
            return honest(context, run_tag_filter=run_tag_filter, **more)

        monkeypatch.setattr(provider, name, failing)
    asked = Asked(provider)
    described = asked.described()
    assert bad.partition("/")[2] not in described["series"]["health"] and len(described["series"]["embedding"]) == 2
    assert any(bad in problem for problem in described["problems"])
    assert ("embedding", STORY.layer_infos[0].name) in asked.numbers()[1]


def test_the_cache_keeps_to_its_size() -> None:
    cache: SizedCache[bytes] = SizedCache(10, len)
    for name, value in (("a", b"1234"), ("b", b"1234"), ("a", b"12345")):
        cache.put(name, value)
    assert cache.get("a") == b"12345" and cache.get("b") == b"1234"
    cache.get("a")
    cache.put("c", b"123")
    assert cache.get("b") is None and cache.get("a") == b"12345" and cache.get("c") == b"123"
    cache.put("d", bytes(11))
    assert cache.get("d") is None and cache.get("a") is None
