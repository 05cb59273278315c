"""The routes as HTTP: methods, arguments, statuses, content types, and the loader that must never stop TensorBoard."""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tensorboard.plugins import base_plugin
from tensorboard_plugin_featwatch import static_files
from tensorboard_plugin_featwatch.loader import NAME, RELOAD_SECONDS, FeatwatchLoader

from featwatch import wire
from tests.memory_provider import MemoryProvider
from tests.plugin_client import BASE, Client, plugin_app
from tests.synthetic import Story

RUN = "run-1/featwatch"
STORY = Story(layers=1, epochs=1, samples=4, classes=2, filters=4)
ROUTES = ("index", "run", "numbers", "records", "events", "trails", "sprite", "static/index.js")


@pytest.fixture
def provider() -> MemoryProvider:
    made = MemoryProvider()
    for record in (STORY.session(0, 1.0), STORY.probe(0), *STORY.records(0), *STORY.records(1)):
        made.write(RUN, record)
    return made


@pytest.fixture
def client(provider: MemoryProvider) -> Client:
    return plugin_app(provider)


@pytest.fixture
def address(client: Client) -> dict[str, Any]:
    return {"run": RUN, "generation": client.index()[RUN]["generation"]}


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
def test_only_get(client: Client, method: str, route: str) -> None:
    reply = client.send(method, f"{BASE}/{route}")
    assert reply.status == 405 and reply.headers["Allow"] == "GET"


def test_content_types(client: Client, address: dict[str, Any]) -> None:
    replies = {
        "application/json": [client.get("index"), client.get("run", **address), client.get("numbers", **address)],
        "application/octet-stream": [client.get("records", **address, kind="embedding", epoch=0)],
        "image/png": [client.get("sprite", **address)],
        "text/javascript; charset=utf-8": [client.get("static/index.js")],
        "text/plain; charset=utf-8": [client.get("run"), client.get("static/../plugin.py"), client.send("POST", f"{BASE}/index")],
    }
    for content_type, answers in replies.items():
        for reply in answers:
            assert reply.headers["Content-Type"] == content_type
            assert reply.headers["X-Content-Type-Options"] == "nosniff"
            assert "Access-Control-Allow-Origin" not in reply.headers


def test_what_may_be_cached(client: Client, address: dict[str, Any]) -> None:
    def cached(reply: Any) -> bool:
        assert reply.status == 200
        return "max-age=86400" in reply.headers["Cache-Control"]

    assert cached(client.get("records", **address, kind="embedding", epoch=0))
    assert cached(client.get("sprite", **address))
    assert not cached(client.get("records", **address, kind="embedding", epoch=1))
    assert not any(cached(client.get(route, **address)) for route in ("index", "run", "numbers"))


@pytest.mark.parametrize(
    ("route", "arguments", "status"),
    [
        ("run", {}, 400),
        ("run", {"generation": None}, 400),
        ("run", {"run": "../../etc/passwd"}, 404),
        ("run", {"run": "<script>"}, 404),
        ("run", {"generation": "1.0"}, 409),
        ("run", {"generation": "nan"}, 409),
        ("numbers", {"after": "yesterday"}, 400),
        ("numbers", {"after": "nan"}, 400),
        ("numbers", {"after": "-inf"}, 400),
        ("numbers", {"after": "1e300"}, 200),
        ("records", {"kind": "embedding"}, 400),
        ("records", {"epoch": 0}, 400),
        ("records", {"kind": "telepathy", "epoch": 0}, 400),
        ("records", {"kind": "embedding", "epoch": "-1"}, 400),
        ("records", {"kind": "embedding", "epoch": "1.5"}, 400),
        ("records", {"kind": "embedding", "epoch": "٣"}, 400),
        ("records", {"kind": "embedding", "epoch": "9" * 5000}, 400),
        ("records", {"kind": "embedding", "epoch": 9_999_999_999}, 404),
        ("records", {"kind": "embedding", "epoch": 7}, 404),
        ("records", {"kind": "embedding", "epoch": 0, "layer": "nowhere"}, 404),
        ("records", {"kind": "embedding", "epoch": 0, "layer": ["nowhere", STORY.layer_infos[0].name]}, 200),
        ("records", {"kind": "embedding", "epoch": 0, "layer": [STORY.layer_infos[0].name] * 1000}, 200),
        ("records", {"kind": "journal", "epoch": 0}, 404),
        ("index", {"etag": "x" * 10_000}, 200),
    ],
)  # fmt: skip
def test_arguments(client: Client, address: dict[str, Any], route: str, arguments: dict[str, Any], status: int) -> None:
    given = arguments if (route, arguments) == ("run", {}) else {**address, **arguments}
    reply = client.get(route, **{name: value for name, value in given.items() if value is not None})
    assert reply.status == status, reply.body


def test_a_frame_answers_the_same_as_the_records(client: Client, address: dict[str, Any]) -> None:
    (layer,) = (info.name for info in STORY.layer_infos)
    records, damaged = client.get("records", **address, kind="predictions", epoch=1).frame()
    assert not damaged and records[""]["arrays"]["classes"]["values"].tolist() == STORY.predictions(1).classes.tolist()
    assert client.get("sprite", **address).body == STORY.probe(0).thumbnails
    assert client.get("run", **address).json()["probe"]["labels"] == STORY.labels.tolist()
    assert client.get("run", **address).json()["session"]["layers"][0]["name"] == layer


def test_a_provider_that_fails_is_503(client: Client, provider: MemoryProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any, **__: Any) -> None:
        raise ConnectionError("the data server died")

    for name in ("list_blob_sequences", "list_runs"):
        monkeypatch.setattr(provider, name, failing)
    reply = client.get("index")
    assert reply.status == 503 and b"ConnectionError" in reply.body


def test_the_experiment_is_passed_on(client: Client, provider: MemoryProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    honest = provider.list_blob_sequences
    monkeypatch.setattr(
        provider, "list_blob_sequences", lambda context, **more: (asked.append(more["experiment_id"]), honest(context, **more))[1]
    )
    assert client.send("GET", f"/experiment/abc{BASE}/index").status == 200
    client.get("index")
    assert asked == ["abc", ""]


@pytest.fixture
def static(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    inner = tmp_path / "static"
    (inner / "chunks").mkdir(parents=True)
    (inner / "index.js").write_text("export const built = 1;")
    (inner / "chunks" / "a-1.css").write_text("a{}")
    (inner / "index.js.map").write_text("{}")
    for name in ("page.html", "picture.svg", "notes.txt", ".stamp"):
        (inner / name).write_text("no")
    (tmp_path / "secret.js").write_text("secret")
    monkeypatch.setattr(static_files, "DIRECTORY", inner)
    yield inner


def test_static_files(client: Client, static: Path) -> None:
    assert client.get("static/index.js").body == b"export const built = 1;"
    assert client.get("static/chunks/a-1.css").headers["Content-Type"] == "text/css; charset=utf-8"
    assert client.get("static/index.js.map").headers["Content-Type"] == "application/json"
    for name in (
        "page.html", "picture.svg", "notes.txt", ".stamp", "", "chunks", "chunks/", "../secret.js", "chunks/../../secret.js",
        "%2e%2e/secret.js", "..%2fsecret.js", "%00", "index.js%00.css", "/etc/passwd", str(static.parent / "secret.js"),
        "chunks/../index.js",
    ):  # fmt: skip
        assert client.send("GET", f"{BASE}/static/{name}").status == 404, name


def test_a_page_that_was_not_built_says_so(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(static_files, "DIRECTORY", tmp_path / "nothing")
    reply = client.get("static/index.js")
    assert reply.status == 200 and b"export function render" in reply.body and b"has not been built" in reply.body


def test_the_tab(client: Client) -> None:
    (listed,) = [json.loads(client.send("GET", "/data/plugins_listing").body)["featwatch"]]
    assert listed["tab_name"] == "Featwatch"
    assert listed["loading_mechanism"] == {"type": "IFRAME", "module_path": f"{BASE}/static/index.js"}
    assert client.send("GET", "/data/plugin_entry.html?name=featwatch").status == 200


def test_the_loader_keeps_every_record_unless_told_otherwise() -> None:
    expectations = [(None, {NAME: 0}), ({}, {NAME: 0}), ({"scalars": 5}, {"scalars": 5, NAME: 0}), ({NAME: 7}, {NAME: 7})]
    for given, expected in expectations:
        flags = argparse.Namespace(samples_per_plugin=given)
        FeatwatchLoader().fix_flags(flags)
        assert flags.samples_per_plugin == expected
    flags = argparse.Namespace()
    FeatwatchLoader().fix_flags(flags)
    assert flags.samples_per_plugin == {NAME: 0}
    assert NAME == wire.PLUGIN


def test_the_loader_reads_often_unless_told_otherwise() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--reload_interval", type=float, default=5.0)
    FeatwatchLoader().define_flags(parser)
    assert parser.parse_args([]).reload_interval == RELOAD_SECONDS
    assert parser.parse_args(["--reload_interval=30"]).reload_interval == 30


def test_the_loader_never_raises(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("tensorboard"), "propagate", True)
    loader = FeatwatchLoader()
    loader.define_flags(None)
    loader.fix_flags(argparse.Namespace(samples_per_plugin=7))
    monkeypatch.setitem(sys.modules, "tensorboard_plugin_featwatch.plugin", None)
    assert loader.load(base_plugin.TBContext()) is None
    assert "could not be loaded" in caplog.text


def test_importing_the_plugin_imports_neither_keras_nor_tensorflow() -> None:
    program = (
        "import sys, tensorboard_plugin_featwatch.loader as loader\n"
        "from tensorboard.plugins import base_plugin\n"
        "plugin = loader.FeatwatchLoader().load(base_plugin.TBContext())\n"
        "assert plugin is not None and plugin.get_plugin_apps() and plugin.frontend_metadata()\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'tensorflow', 'keras', 'umap', 'sklearn'}))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
