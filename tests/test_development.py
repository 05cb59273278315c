"""What records say of each filter over epochs: the route and the reader, on honest, torn and hostile logs."""

from __future__ import annotations

import dataclasses
import doctest
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorboard_plugin_featwatch import along
from tensorboard_plugin_featwatch import development as served

import featwatch as fw
from featwatch import development, wire
from featwatch.packing import packed
from featwatch.records import KINDS, LayerHealth, Record, Session, Similarity
from featwatch.writers import EventFileWriter
from tests.event_logs import HandMadeLog, header
from tests.memory_provider import MemoryProvider
from tests.plugin_client import Client, Reply, look_anew, plugin_app, python_loader, rust_loader
from tests.small_logs import session
from tests.test_wire import health

RUN = "run-1/featwatch"
LAYER = "conv1"
MARKUP = "<img src=x onerror=alert(1)>"
FILTERS = 4


def of(epoch: int, layer: str = LAYER, filters: int = FILTERS, step: int = -1, **more: Any) -> LayerHealth:
    """Values that tell epoch and filter, exact in 13 bits."""
    values = 16.0 * epoch + np.arange(filters)
    dead = np.arange(filters) % 2 == epoch % 2
    cause = np.where(dead, "no energy" if epoch % 3 else "negative bias", "")
    more |= {"energy": values, "dead": dead, "cause": cause}
    return dataclasses.replace(health(filters), epoch=epoch, step=step, layer=layer, **more)


def alike(filters: int, epoch: int) -> Similarity:
    alone = np.full(filters, -1)
    return Similarity(
        epoch=epoch, layer=LAYER, group=np.arange(filters) // 2, keep=np.arange(filters), factor=np.ones(filters),
        offset=np.zeros(filters), residual=np.zeros(filters), by=np.full(filters, "both"), nearest=alone,
        correlation=np.ones(filters), terms=np.zeros((filters, 3)), coefficients=np.zeros((filters, 3)),
        unexplained=np.ones(filters), removable=np.zeros(filters, bool),
    )  # fmt: skip


HONEST: list[Record] = [session(0), *(of(epoch) for epoch in range(5)), alike(FILTERS, 3), of(2, "other", 2)]


@pytest.fixture
def provider() -> MemoryProvider:
    made = MemoryProvider()
    for record in (*HONEST, Session(epoch=0, step=0, started=1.0), of(1, step=20), of(2, step=40)):
        made.write(RUN, record)
    return made


@pytest.fixture(autouse=True)
def _always_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    look_anew(monkeypatch)


@pytest.fixture
def client(provider: MemoryProvider) -> Client:
    return plugin_app(provider)


def ask(client: Client, **arguments: Any) -> Reply:
    run = client.index()[RUN]
    given = {"run": RUN, "generation": run["generation"], "layer": LAYER, "kind": "health", "field": "energy", **arguments}
    return client.get("development", **{name: value for name, value in given.items() if value is not None})


def answered(reply: Reply) -> tuple[dict[str, Any], dict[str, np.ndarray], list[str]]:
    """The one record of a frame, its arrays, and the reasons of what is damaged."""
    records, damaged = reply.frame()
    (record,) = records.values()
    return record, {name: array["values"] for name, array in record["arrays"].items()}, [one["reason"] for one in damaged]


# What the route answers


def test_the_development_is_what_the_documentation_says(client: Client) -> None:
    reply = ask(client, field=["energy", "dead", "cause", "energy"])
    assert "max-age" not in reply.headers["Cache-Control"]
    record, arrays, damaged = answered(reply)
    assert (record["kind"], record["layer"], record["epoch"]) == ("development", LAYER, 4) and not damaged
    assert record["fields"] == {"of": "health", "recorded": 5}
    assert {name: (array["dtype"], array["shape"]) for name, array in record["arrays"].items()} == {
        "epochs": ("<i4", [5]), "sizes": ("<i4", [5]),
        "energy": ("<f4", [5, 4]), "dead": ("<f4", [5, 4]), "cause": ("<u2", [5, 4]),
    }  # fmt: skip
    assert arrays["epochs"].tolist() == [0, 1, 2, 3, 4]
    for epoch in range(5):
        for name in ("energy", "dead", "cause"):
            np.testing.assert_array_equal(arrays[name][epoch], getattr(of(epoch), name).astype(arrays[name].dtype))


def test_some_filters_in_the_order_in_which_they_are_named(client: Client) -> None:
    record, arrays, _ = answered(ask(client, filter=[3, 0, 3], field=["energy", "cause"]))
    assert record["arrays"]["filters"]["dtype"] == "<i4" and arrays["filters"].tolist() == [3, 0]
    assert arrays["energy"].tolist() == [[16 * epoch + 3, 16 * epoch] for epoch in range(5)]
    assert arrays["cause"].tolist() == [of(epoch).cause[[3, 0]].tolist() for epoch in range(5)]


def test_what_an_epoch_lacks_is_not_known(client: Client, provider: MemoryProvider) -> None:
    provider.write(RUN, of(5, scale=np.ones(4), proven=np.ones(4, bool)))
    _, arrays, damaged = answered(ask(client, field=["scale", "proven", "shift"]))
    assert np.isnan(arrays["scale"][:5]).all() and np.isnan(arrays["proven"][:5]).all() and np.isnan(arrays["shift"]).all()
    assert (arrays["scale"][5] == 1).all() and (arrays["proven"][5] == 1).all() and not damaged


def test_other_kinds_and_the_axis_of_steps(client: Client) -> None:
    record, arrays, _ = answered(ask(client, kind="similarity", field=["group", "by"]))
    assert record["fields"] == {"of": "similarity", "recorded": 1} and arrays["epochs"].tolist() == [3]
    assert arrays["group"].tolist() == [[0, 0, 1, 1]] and arrays["by"].tolist() == [["both"] * 4]
    record, arrays, _ = answered(ask(client, axis="steps"))
    assert arrays["epochs"].tolist() == [20, 40] and arrays["energy"].tolist() == [of(1).energy.tolist(), of(2).energy.tolist()]


def test_records_of_another_number_of_filters_are_unknown_not_damaged(client: Client, provider: MemoryProvider) -> None:
    """No session tells of it: nobody knows which of the six the four were."""
    provider.write(RUN, of(5, filters=6))
    _, arrays, damaged = answered(ask(client))
    assert arrays["energy"].shape == (6, 6) and np.isnan(arrays["energy"][:5]).all() and np.isfinite(arrays["energy"][5]).all()
    assert arrays["sizes"].tolist() == [4, 4, 4, 4, 4, 6] and not damaged


def test_damaged_records_leave_gaps_and_are_named(client: Client, provider: MemoryProvider) -> None:
    tag = wire.tag_of("health", LAYER)
    stated, *arrays = wire.encode(of(5))
    assert json.loads(stated)["blobs"][0]["name"] == "energy"
    provider.put(RUN, tag, 5, [stated, arrays[0][::-1], *arrays[1:]])
    provider.put(RUN, tag, 6, wire.encode(of(7)))
    provider.put(RUN, tag, 7, [stated.replace(b"energy", b"ENERGY")])
    provider.put(RUN, tag, 8, [])
    provider.put(RUN, tag, 9, [header("health", LAYER, 9)])
    provider.put(RUN, tag, 10, wire.encode(of(10))[:1])
    provider.write(RUN, of(11))
    _, arrays, damaged = answered(ask(client))
    assert [reason.partition(":")[0] for reason in damaged] == [f"epoch {epoch}" for epoch in range(5, 11)]
    for part, reason in zip(["checksum", "another record", "checksum", "", "names no filters", "missing"], damaged, strict=True):
        assert part in reason
    assert np.isnan(arrays["energy"][5:11]).all() and arrays["energy"][11].tolist() == of(11).energy.tolist()
    # What is not asked for is not looked at.
    _, arrays, damaged = answered(ask(client, field="bias"))
    assert len(damaged) == 5 and np.isfinite(arrays["bias"][5]).all()


def test_where_nothing_can_be_read_the_frame_says_so(client: Client, provider: MemoryProvider) -> None:
    for epoch in range(40):
        provider.put(RUN, f"health/{MARKUP}", epoch, [b"x"])
    record, arrays, damaged = answered(ask(client, layer=MARKUP))
    assert arrays["energy"].shape == (40, 0) and len(damaged) == along.MAX_DAMAGED + 1 and damaged[-1] == "… and 20 more."
    assert ask(client, layer=MARKUP, filter=0).status == 404


def test_of_very_many_epochs_as_many_as_fit(client: Client, provider: MemoryProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    for epoch in range(5, 100):
        provider.write(RUN, of(epoch))
    monkeypatch.setattr(served, "MAX_BYTES", 10 * FILTERS * 4)
    record, arrays, _ = answered(ask(client))
    assert arrays["epochs"].tolist() == [0, 11, 22, 33, 44, 55, 66, 77, 88, 99] and record["fields"]["recorded"] == 100
    np.testing.assert_array_equal(arrays["energy"][:, 1], 16 * arrays["epochs"] + 1)
    assert answered(ask(client, field=["energy", "bias"]))[1]["epochs"].tolist() == [0, 25, 50, 74, 99]
    assert len(answered(ask(client, filter=2))[1]["epochs"]) == 40
    monkeypatch.setattr(along, "MAX_PLACES", 7)
    assert len(answered(ask(client))[1]["epochs"]) == 7
    monkeypatch.setattr(served, "MAX_BYTES", 2 * FILTERS * 4 - 1)
    assert ask(client).status == 400 and b"fewer fields" in ask(client).body and ask(client, filter=0).status == 200


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        *(({name: None}, 400) for name in ("run", "generation", "layer", "kind", "field")),
        *(({"kind": kind}, 400) for kind in ("spectra", "epoch", "embedding", MARKUP)),
        *(({"field": field}, 400) for field in ("died", "group", "", "layer", MARKUP, ["energy", "Energy"])),
        *(({"filter": number}, 400) for number in ("-1", "1.5", "٣", "", 2**52, [0] * 201)),
        *(({"filter": number}, 404) for number in (4, [0, 9999])),
        ({"filter": [0] * 200}, 200),
        ({"layer": MARKUP}, 404),
        ({"kind": "maps", "field": "low"}, 404),
        ({"layer": "other", "axis": "steps"}, 404),
        ({"axis": "days"}, 400),
        ({"generation": "1.0"}, 409),
        ({"run": "nowhere"}, 404),
    ],
)
def test_questions_about_developments(client: Client, arguments: dict[str, Any], status: int) -> None:
    reply = ask(client, **arguments)
    assert reply.status == status, reply.body
    assert MARKUP.encode() not in reply.body or reply.headers["Content-Type"].startswith("text/plain")


def test_impossible_epochs_do_not_reach_the_frame(client: Client, provider: MemoryProvider) -> None:
    provider.put(RUN, f"health/{LAYER}", 2**31, wire.encode(of(0)))
    assert answered(ask(client))[1]["epochs"].tolist() == [0, 1, 2, 3, 4]
    provider.put(RUN, "health/far", 2**40, wire.encode(of(0, "far")))
    assert ask(client, layer="far").status == 404


def test_only_what_is_asked_for_is_fetched_and_nothing_twice(client: Client, provider: MemoryProvider) -> None:
    first = ask(client, field=["energy", "cause"])
    assert provider.calls["blob"] == 5 * 3          # header and two arrays
    assert ask(client, field=["energy", "cause"]).body == first.body and provider.calls["blob"] == 5 * 3
    provider.write(RUN, of(5))
    ask(client, field=["energy", "cause"])
    assert provider.calls["blob"] == 6 * 3


# Hostile logs


def test_a_small_log_costs_little(client: Client, provider: MemoryProvider) -> None:
    """Arrays that would inflate to megabytes at each of a thousand epochs, beside an honest newest record."""
    count = wire.MAX_UNPACKED // 4
    blob = packed(np.zeros(count, "<f4")) or b""
    entry = {"name": "energy", "dtype": "<f4", "shape": [count], "packed": True, "crc32": zlib.crc32(blob)}
    for epoch in range(5, 300):
        provider.put(RUN, f"health/{LAYER}", epoch, [header("health", LAYER, epoch, blobs=[entry]), blob])
    provider.write(RUN, of(300))
    _, arrays, damaged = answered(ask(client))
    assert arrays["energy"].shape == (301, 4) and not damaged
    assert arrays["sizes"][[4, 5, 299, 300]].tolist() == [4, count, count, 4]
    provider.put(RUN, f"health/{LAYER}", 301, [header("health", LAYER, 301, blobs=[entry]), blob])
    reply = ask(client)
    assert reply.status == 400 and b"fewer fields" in reply.body            # two epochs of them are too many
    _, arrays, _ = answered(ask(client, filter=count - 1))
    assert arrays["energy"].shape == (served.MAX_READ // wire.MAX_UNPACKED, 1)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_whatever_a_header_says_the_answer_is_proper(data: st.DataObject) -> None:
    provider = MemoryProvider()
    provider.write(RUN, session(0))
    for epoch in range(3):
        blobs = wire.encode(of(epoch, filters=data.draw(st.sampled_from([0, 4, 60]))))
        stated = json.loads(blobs[0])
        parts = [stated, stated["fields"], *stated["blobs"]]
        for _ in range(data.draw(st.integers(0, 3))):
            part = data.draw(st.sampled_from(parts))
            part[data.draw(st.sampled_from([*part, "table", "shape", "packed", "blob"]))] = data.draw(JSON)
        stated["#crc32"] = None
        provider.put(RUN, f"health/{LAYER}", epoch, [json.dumps(stated).encode(), *blobs[1:]])
    client = plugin_app(provider)
    reply = ask(client, field=["energy", "cause", "dead"])
    record, arrays, damaged = answered(reply)
    assert len(arrays["epochs"]) == len(arrays["sizes"]) == 3
    assert len({array.shape for name, array in arrays.items() if name not in ("epochs", "sizes")}) == 1
    assert arrays["energy"].dtype == np.float32 and len(damaged) <= 3
    assert ask(client, field="cause", filter=0).status in (200, 404)


# The reader


@pytest.fixture(scope="module")
def log_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("logs") / "run-1"
    writer = EventFileWriter(path, 0)
    for record in HONEST:
        writer.write(record)
    writer.close()
    by_step = EventFileWriter(path, 0, axis="steps")
    for record in (Session(epoch=0, step=0, started=1.0), of(1, step=20)):
        by_step.write(record)
    by_step.close()
    return path


def test_the_run_s_development(log_dir: Path) -> None:
    run = fw.load(log_dir)
    epochs, energy = run.development(LAYER, "energy")
    assert epochs.dtype == np.int64 and epochs.tolist() == [0, 1, 2, 3, 4] and energy.dtype == np.float32
    for epoch in range(5):
        np.testing.assert_array_equal(energy[epoch], run.health(LAYER, epoch).energy)
        np.testing.assert_array_equal(run.development(LAYER, "dead")[1][epoch], run.health(LAYER, epoch).dead)
        assert run.development(LAYER, "cause")[1][epoch].tolist() == run.health(LAYER, epoch).cause.tolist()
    assert np.isnan(run.development(LAYER, "roughness")[1]).all()
    assert run.development(LAYER, "energy", axis="steps")[0].tolist() == [20]
    assert run.development(LAYER, "group", kind="similarity")[1].tolist() == [[0, 0, 1, 1]]


def test_health_is_joined_with_the_groups_of_the_same_epoch(log_dir: Path, tmp_path: Path) -> None:
    run = fw.load(log_dir)
    assert run.health(LAYER, 3).group.tolist() == [0, 0, 1, 1] and run.health(LAYER, 2).group.tolist() == [-1] * 4
    frame = run.to_frame("health")
    assert frame[(frame.layer == LAYER) & (frame.epoch == 3)].group.tolist() == [0, 0, 1, 1]
    assert (frame[frame.epoch != 3].group == -1).all()
    assert np.isnan(frame.scale).all() and frame.proven.isna().all() and "died" not in frame
    for other in (alike(FILTERS + 1, 3), None):
        writer = EventFileWriter(tmp_path / str(other is None), 0)
        for record in (session(0), of(3), *([other] if other else [])):
            writer.write(record)
        writer.close()
        assert fw.load(tmp_path / str(other is None)).health(LAYER, 3).group.tolist() == [-1] * 4


def test_the_frame_of_similarity(log_dir: Path) -> None:
    frame = fw.load(log_dir).to_frame("similarity")
    assert list(frame.columns[:3]) == ["epoch", "layer", "filter"] and frame["filter"].tolist() == [0, 1, 2, 3]
    assert frame.group.tolist() == [0, 0, 1, 1] and frame.by.tolist() == ["both"] * 4 and "terms" not in frame


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ((LAYER, "enrgy"), ValueError, "did you mean 'energy'"),
        ((LAYER, "group"), ValueError, "kind='similarity'"),
        ((LAYER, "died"), ValueError, "expected one of energy"),
        ((LAYER, "points", "embedding"), ValueError, "expected one of none"),
        ((LAYER, "energy", "heath"), KeyError, "did you mean 'health'"),
        (("conv9", "energy"), KeyError, "no layer is called 'conv9'"),
        ((LAYER, "low", "maps"), KeyError, "no 'maps' was recorded"),
        ((LAYER, "energy", "health", "days"), ValueError, "axis='days'"),
    ],
)
def test_questions_that_make_no_sense(log_dir: Path, arguments: tuple[str, ...], error: type[Exception], said: str) -> None:
    with pytest.raises(error) as caught:
        fw.load(log_dir).development(*arguments)
    assert said in str(caught.value)


def test_route_and_reader_answer_alike_on_a_torn_log(tmp_path: Path) -> None:
    with HandMadeLog(tmp_path / "logs" / "run-1" / "featwatch") as log:
        log.blobs("session", 0, wire.encode(session(0)))
        for epoch in range(6):
            stated, first, *rest = wire.encode(of(epoch, filters=3 if epoch == 2 else 4))
            log.blobs(f"health/{LAYER}", epoch, [stated, first[::-1] if epoch == 4 else first, *rest])
            log.numbers(f"health/{LAYER}", epoch, b"{}")
    run = fw.load(tmp_path / "logs" / "run-1")
    epochs, energy = run.development(LAYER, "energy")
    assert np.isnan(energy).all(axis=1).tolist() == [False, False, True, False, True, False] and len(run.problems) == 1
    for loader in (python_loader, rust_loader):
        with loader(tmp_path / "logs") as provider:
            _, arrays, damaged = answered(ask(plugin_app(provider)))
            np.testing.assert_array_equal(arrays["energy"], energy)
            assert arrays["epochs"].tolist() == epochs.tolist() and len(damaged) == 1
            assert arrays["sizes"].tolist() == [4, 4, 3, 4, -1, 4]


# The pieces


def test_every_kind_s_fields_are_one_per_filter() -> None:
    assert development.kinds() == ["health", "histograms", "similarity", "specificity", "kernels", "maps", "class_activation"]
    for kind in development.kinds():
        declared = {field.name: field.metadata for field in dataclasses.fields(KINDS[kind])}
        names = development.fields_of(kind)
        assert names and all(declared[name]["axes"] == ("filters",) for name in names)
        assert not {"epochs", "filters"} & set(names)       # the frame's own


def test_more_strings_than_codes_are_refused() -> None:
    found = development.Development("health", ["cause"], 2, range(40_000))
    first = np.arange(40_000).astype(str)
    found.put(0, {"cause": first})
    with pytest.raises(wire.WireError, match="more different strings"):
        found.put(1, {"cause": np.arange(40_000, 80_000).astype(str)})
    assert (found.strings("cause")[1] == "").all() and found.strings("cause")[0].tolist() == first.tolist()


def test_the_examples_in_the_docstrings_run() -> None:
    assert doctest.testmod(development).failed == 0
