"""Hostile and damaged logs: TensorBoard's two loaders over event files that no honest writer makes.

Whatever such a log says, every answer is one that `http_api.md` allows, and the honest run beside it is served whole.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.context import RequestContext
from tensorboard_plugin_featwatch.source import Source

from featwatch import wire
from featwatch.records import EpochLog, LayerInfo, ProbeRecord
from tests.event_logs import HandMadeLog, entry, floats, header, strings
from tests.plugin_client import Client, plugin_app, python_loader, rust_loader
from tests.synthetic import Story

MARKUP = "<img src=x onerror=alert(1)>"
EVIL = f"{MARKUP}/featwatch"
STORY = Story(layers=2, epochs=2, samples=6, classes=3, filters=4)
NESTED = json.loads("[" * 900 + "]" * 900)
POINTS = np.arange(12, dtype="<f4").tobytes()


def _info(name: str) -> dict[str, Any]:
    return LayerInfo(
        name=name, type="Dense", shape=(None, 4), filters=4, tapped=name, activation="relu", parameters=8, features=4, sketch=4
    ).as_dict()


def _honest(log: HandMadeLog, first: int = 0) -> None:
    for record in (STORY.session(first, 1.0), STORY.probe(first), *(r for k in range(first, 3) for r in STORY.records(k))):
        tag = wire.tag_of(record.kind, record.layer)
        log.blobs(tag, record.epoch, wire.encode(record), content=b'{"format":1}')
        if record.numbers():
            log.numbers(tag, record.epoch, wire.encode_numbers(record))


def _evil(log: HandMadeLog) -> None:
    """One run with everything in it that a log can be wrong about."""
    layers = [_info(MARKUP), {"name": "no more than a name"}, {**_info("odd"), "filters": "many"}]
    log.blobs("session", 0, [header("session", fields={
        "started": float("nan"), "layers": layers, "model": MARKUP, "versions": {"x": MARKUP},
        "recorders": {"a": {"b": float("inf"), "nested": NESTED}, "c": 3},
    })])  # fmt: skip
    probe = ProbeRecord(
        epoch=0, labels=np.array([0, -1, 99]), indices=np.array([1, 2, 2**60]), class_names=(MARKUP,),
        thumbnails=b"\x89PNG\r\n\x1a\n" + bytes(30), thumbnail_width=8, thumbnail_height=8, thumbnail_columns=3,
    )  # fmt: skip
    log.blobs("probe", 0, wire.encode(probe))
    entries = [{"kind": "note", "text": MARKUP, "epoch": float("nan")}, {}]
    log.blobs("journal", 0, [header("journal", fields={"entries": entries})])
    log.blobs("journal", 1, [b"{"])
    # Shapes, blobs and headers that do not fit together.
    shapes: list[tuple[Any, list[bytes]]] = [
        ([2**40, 2**40], [POINTS]), ([-1, 2], [POINTS]), ([6, 2], []), ([6, 3], [POINTS]), ([6, 2], [POINTS[::-1]]),
        ([6, 2], [POINTS]), (7, [POINTS])
    ]  # fmt: skip
    for epoch, (shape, blobs) in enumerate(shapes):
        stated = header("embedding", "shapes", epoch, blobs=[entry("points", "<f4", shape, POINTS)])
        log.blobs("embedding/shapes", epoch, [stated, *blobs])
    points = entry("points", "<f4", [6, 2], POINTS)
    odd = [
        b"", b"\xff\xfe", b"[]", b'{"format":"1"}', b"[" * 100_000,
        header("embedding", "elsewhere", 5, blobs=[points]),
        header("embedding", "odd", 4, blobs=[points]),
        b"null",
        header("embedding", "odd", 8, version=wire.FORMAT + 1),
        header("embedding", "odd", 9, fields={"trustworthiness": "high"}, blobs=[points]),
        b'{"format":1e999}',
        header("embedding", "odd", 11, blobs=[entry("points", "|O", [1], b"x")]),
        header("embedding", "odd", 12, fields={"method": "\ud800", "neighbors": 10**400, "nested": NESTED}, blobs=[points]),
    ]  # fmt: skip
    for epoch, text in enumerate(odd):
        log.blobs("embedding/odd", epoch, [text, POINTS])
    # What inflates to more than it may, or to anything else than is stated.
    bomb = zlib.compress(bytes(64 << 20), 9)
    bombs = [[6, 2], [2**25, 2], [2**10, 2], [0, 2]]
    for epoch, shape in enumerate(bombs):
        stated = entry("points", "<f4", shape, bomb, packed=True)
        log.blobs("embedding/bombs", epoch, [header("embedding", "bombs", epoch, blobs=[stated]), bomb])
    codes = np.array([0, 9, 0, 0], "<u2").tobytes()
    stated = header("health", "codes", blobs=[entry("cause", "<u2", [4], codes, table=["", MARKUP])])
    log.blobs("health/codes", 0, [stated, codes])
    # Tensors that are not what their data class says.
    log.value("embedding/floats", 0, floats([1.0], [1]))
    log.value("embedding/claims", 0, strings([b"x"], [2**60]))
    log.value("embedding/negative", 0, strings([b"x"], [-1]))
    log.value("embedding/scalar", 0, strings([b"x"], []))
    log.value("embedding/square", 0, strings([b"x"] * 4, [2, 2]))
    log.value("embedding/empty", 0, strings([]))
    # Foreign, unknown, newer.
    log.blobs("telepathy/layer", 0, [header("telepathy", "layer")])
    log.blobs(f"{MARKUP}", 0, [b"x"])
    log.blobs("embedding", 0, [header("embedding")])
    log.blobs("probe/layer", 0, [header("probe", "layer")])
    log.blobs("clusters/newer", 0, [header("clusters", "newer")], content=b'{"format":%d}' % (wire.FORMAT + 1))
    log.blobs("separation/ok", 0, [header("separation", "ok", fields={"knn_accuracy": float("inf")})], content=b"[[[")
    log.blobs(f"separation/{MARKUP}", 0, [header("separation", MARKUP, fields={"knn_accuracy": 0.5})], content=b"{}")
    # Numbers.
    log.numbers("separation/ok", 0, b'{"knn_accuracy": NaN, "silhouette": 1e999, "<b>": 1}')
    log.numbers(f"separation/{MARKUP}", 0, b"[1]")
    log.blobs("epoch", 0, wire.encode(EpochLog(epoch=0)))
    log.value("numbers/epoch", 0, floats([1.0, 2.0], [2]), data_class="TENSOR")
    log.blobs("epoch", 1, wire.encode(EpochLog(epoch=1)))
    log.numbers("epoch", 1, json.dumps({f"n{i}": i for i in range(5000)}).encode())
    log.blobs("epoch", 2, wire.encode(EpochLog(epoch=2)))
    log.numbers("epoch", 2, b'{"loss": 0.5, "huge": 1' + b"0" * 4000 + b"}")
    log.blobs("epoch", 3, wire.encode(EpochLog(epoch=3)))
    log.numbers("epoch", 3, b'{"loss": 0.25}')


def _flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 0x40]) + content[place + 1 :]


@pytest.fixture(scope="module")
def log_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hostile") / "logs"
    with HandMadeLog(root / "honest" / "featwatch") as log:
        _honest(log)
    with HandMadeLog(root / EVIL) as log:
        _evil(log)
    with HandMadeLog(root / "times" / "featwatch") as log:
        log.blobs("session", 0, wire.encode(STORY.session(0, 1.0)))
        # Last the one at which the data server stops reading.
        for wall_time, step in ((None, -5), (None, 2**62), (float("inf"), 4), (-1e308, 5), (None, 6), (float("nan"), 7)):
            log.blobs("separation/times", step, [header("separation", "times", step)], wall_time=wall_time)
    with HandMadeLog(root / "refused" / "featwatch") as log:
        log.blobs("session", 0, [header("session", fields={"started": 1.0, "layers": [7]})])
        log.blobs("journal", 0, [header("journal", fields={"entries": ["text"]})])
    with HandMadeLog(root / "newer" / "featwatch") as log:
        log.blobs("session", 0, [header("session", version=3)], content=b'{"format":3}')
        log.blobs("epoch", 0, [header("epoch", version=3)], content=b'{"format":3}')
    with HandMadeLog(root / "newer-within" / "featwatch") as log:
        log.blobs("session", 0, [header("session", version=3)])
    with HandMadeLog(root / "headless" / "featwatch") as log:
        log.blobs("epoch", 0, wire.encode(EpochLog(epoch=0)))
        log.numbers("epoch", 0, b'{"loss": 1.0}')
    rng = np.random.default_rng(0)
    damages: dict[str, Callable[[bytes], bytes]] = {
        "cut": lambda honest: honest[: int(len(honest) * 0.6)],
        "flipped": lambda honest: _flipped(honest, len(honest) // 2),
        "noise": lambda honest: rng.bytes(5000),
        "noise-after": lambda honest: honest + rng.bytes(5000),
        "nothing": lambda honest: b"",
    }
    for name, content in damages.items():
        with HandMadeLog(root / name / "featwatch") as log:
            _honest(log)
        log.path.write_bytes(content(log.path.read_bytes()))
    return root


@pytest.fixture(scope="module", params=[python_loader, rust_loader], ids=["python", "rust"])
def client(request: pytest.FixtureRequest, log_dir: Path) -> Iterator[Client]:
    with request.param(log_dir) as provider:
        yield plugin_app(provider)


@pytest.fixture(scope="module")
def evil(client: Client) -> dict[str, Any]:
    return client.everything(client.index()[EVIL])


def test_the_honest_run_is_served_whole(client: Client) -> None:
    run = client.index()["honest/featwatch"]
    assert run["problems"] == [] and client.epochs(run, "epoch") == [0, 1, 2]
    answers = client.everything(run)
    assert answers["run"]["problems"] == [] and answers["numbers"]["problems"] == []
    points, damaged = answers["embedding 1"]
    assert not damaged
    np.testing.assert_array_equal(points[STORY.layer_infos[0].name]["arrays"]["points"]["values"], STORY.points(0, 1))


def test_the_evil_run_answers_what_it_can(evil: dict[str, Any]) -> None:
    session, probe = evil["run"]["session"], evil["run"]["probe"]
    assert session["model"] == MARKUP and session["started"] is None
    assert [layer["name"] for layer in session["layers"]] == [MARKUP]
    assert session["recorders"]["a"]["b"] is None and session["versions"] == {"x": MARKUP}
    assert probe["labels"] == [0, -1, 99] and probe["indices"] == [1, 2, 2**60] and probe["thumbnails"] is None
    assert evil["run"]["journal"] == [{"kind": "note", "text": MARKUP, "epoch": None}]
    said = "\n".join(evil["run"]["problems"])
    for part in ("2 of the session's layers", "thumbnails are not shown", "journal of epoch 1", "telepathy", "newer featwatch"):
        assert part in said


def test_damaged_records_are_named_with_the_reason(evil: dict[str, Any]) -> None:
    reasons = {}
    for key, answer in evil.items():
        if key.startswith("embedding "):
            for one in answer[1]:
                reasons[one["layer"], int(key.split()[1])] = one["reason"]
    expected = {0: "impossible shape", 1: "no proper shape", 2: "missing", 3: "bytes, not", 4: "checksum", 6: "no proper shape"}
    for epoch, part in expected.items():
        assert part in reasons["shapes", epoch]
    np.testing.assert_array_equal(evil["embedding 5"][0]["shapes"]["arrays"]["points"]["values"].ravel(), np.arange(12))
    expected = {0: "does not hold 48 bytes", 1: "larger than any honest", 2: "does not hold 8,192", 3: "an empty array is not"}
    for epoch, part in expected.items():
        assert part in reasons["bombs", epoch]
    odd = {epoch: reason for (layer, epoch), reason in reasons.items() if layer == "odd"}
    assert sorted(odd) == list(range(12))
    assert evil["embedding 12"][0]["odd"]["fields"] == {"method": "\ud800", "neighbors": None}
    assert "newer featwatch" in odd[8] and "another record" in odd[5] and "another record" in odd[6]
    assert "codes beyond its table" in evil["health 0"][1][0]["reason"]


def test_impossible_tensors_are_never_served(evil: dict[str, Any]) -> None:
    records, damaged = evil["embedding 0"]
    bad = {"floats", "claims", "negative", "scalar", "square", "empty"}
    assert not bad & records.keys()
    # What a loader itself refuses is not even listed; the rest is said to be damaged.
    assert bad & evil["index"]["series"]["embedding"].keys() <= {one["layer"] for one in damaged}


def test_values_that_are_not_finite_become_null(evil: dict[str, Any]) -> None:
    assert evil["separation 0"][0]["ok"]["fields"]["knn_accuracy"] is None
    values = {(one["kind"], one["layer"]): one["values"] for one in evil["numbers"]["series"]}
    assert values["separation", "ok"] == {"knn_accuracy": [None], "silhouette": [None], "<b>": [1.0]}
    assert values["epoch", ""] == {"loss": [0.25]} or ("epoch", "") not in values
    assert evil["numbers"]["problems"]


def test_impossible_epochs_are_left_out(client: Client) -> None:
    run = client.index()["times/featwatch"]
    assert set(client.epochs(run, "separation", "times")) <= {5, 6}
    assert any("impossible" in problem for problem in run["problems"])
    client.everything(run)


def test_what_the_wire_refuses_is_a_problem(client: Client) -> None:
    run = client.index()["refused/featwatch"]
    answer = client.everything(run)["run"]
    assert answer["session"] is None and answer["journal"] == []
    for part in ("session of epoch 0", "journal of epoch 0"):
        assert any(part in problem for problem in answer["problems"])


def test_newer_logs_say_so(client: Client) -> None:
    for name in ("newer/featwatch", "newer-within/featwatch"):
        run = client.index()[name]
        answer = client.get("run", run=name, generation=run["generation"]).json()
        assert answer["session"] is None
        assert any("newer featwatch" in problem for problem in answer["problems"])


def test_a_log_without_its_session_is_served(client: Client) -> None:
    run = client.index()["headless/featwatch"]
    answers = client.everything(run)
    assert answers["run"]["session"] is None and run["problems"]
    assert answers["numbers"]["series"][0]["values"]["loss"] == [1.0]


def test_damaged_files_serve_their_readable_part(client: Client) -> None:
    index = client.index()
    whole = len(client.epochs(index["honest/featwatch"], "epoch"))
    for name in ("cut", "flipped", "noise-after"):
        run = index[f"{name}/featwatch"]
        answers = client.everything(run)
        assert answers["run"]["session"]["model"] == STORY.model
        assert not any(answer[1] for key, answer in answers.items() if key.startswith("embedding"))
        assert 1 <= len(client.epochs(run, "epoch")) <= whole
    assert len(client.epochs(index["cut/featwatch"], "epoch")) < whole
    assert len(client.epochs(index["noise-after/featwatch"], "epoch")) == whole
    assert "noise/featwatch" not in index and "nothing/featwatch" not in index


def test_a_tensor_that_claims_to_be_large_costs_no_memory(tmp_path: Path) -> None:
    """TensorBoard repeats a tensor's last value until its declared shape is full: 2^24 of them would be visible."""
    large = [2**24]
    claims = {"floats": floats([1.0], large), "text": strings([b"{}"], large), "none": strings([], large)}
    claims["minus"] = floats([1.0], [-1])
    with HandMadeLog(tmp_path / "logs" / "featwatch") as log:
        log.blobs("session", 0, wire.encode(STORY.session(0, 1.0)))
        for layer, tensor in claims.items():
            log.blobs(f"separation/{layer}", 0, [header("separation", layer)])
            log.value(f"numbers/separation/{layer}", 0, tensor, data_class="TENSOR")
    for loader in (python_loader, rust_loader):
        with loader(tmp_path / "logs") as provider:
            source = Source(provider, RequestContext(), "")
            for layer in claims:
                data = source.read_tensors("featwatch", [f"numbers/separation/{layer}"]).get(f"numbers/separation/{layer}", [])
                assert all(datum.numpy.size == 0 for datum in data)
            client = plugin_app(provider)
            ((_, run),) = client.index().items()
            answers = client.everything(run)
            assert not any(one["kind"] == "separation" for one in answers["numbers"]["series"])
