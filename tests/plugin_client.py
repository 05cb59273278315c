"""The plugin as the page meets it: an HTTP client with the frame decoder that `http_api.md` describes, and an app to ask."""

from __future__ import annotations

import argparse
import contextlib
import json
import struct
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import grpc
import numpy as np
import pytest
import tensorboard_data_server
import werkzeug.test
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.data import grpc_provider
from tensorboard.plugins import base_plugin
from tensorboard_plugin_featwatch import catalogue
from tensorboard_plugin_featwatch.loader import FeatwatchLoader

BASE = "/data/plugin/featwatch"


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as a browser would read it: NaN and Infinity are errors."""
        assert self.status == 200, (self.status, self.body[:300])
        assert self.headers["Content-Type"] == "application/json"
        return json.loads(self.body, parse_constant=_not_json)

    def frame(self) -> tuple[dict[str, dict[str, Any]], list[dict[str, str]]]:
        """Records by layer, their arrays decoded, and what is damaged."""
        assert self.status == 200, (self.status, self.body[:300])
        assert self.headers["Content-Type"] == "application/octet-stream"
        return decode_frame(self.body)


def _not_json(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def decode_frame(body: bytes) -> tuple[dict[str, dict[str, Any]], list[dict[str, str]]]:
    assert body[:4] == b"FWF1"
    (length,) = struct.unpack("<I", body[4:8])
    assert (8 + length) % 8 == 0
    stated = json.loads(body[8 : 8 + length].decode("utf-8"), parse_constant=_not_json)
    payload = body[8 + length :]
    records = {}
    for record in stated["records"]:
        for array in record["arrays"].values():
            assert array["offset"] % 8 == 0
            size = int(np.prod(array["shape"], dtype=object)) * np.dtype(array["dtype"]).itemsize
            assert array["offset"] + size <= len(payload)
            values = np.frombuffer(payload[array["offset"] : array["offset"] + size], array["dtype"]).reshape(array["shape"])
            array["values"] = np.array(array["table"], object)[values] if "table" in array else values
        records[record["layer"]] = record
    return records, stated["damaged"]


class Client:
    """Asks the plugin's routes; `send(method, path with query) -> Reply`."""

    def __init__(self, send: Callable[[str, str], Reply], address: str = "") -> None:
        self.send = send
        self.address = address      # of TensorBoard's page, where there is one

    def get(self, route: str, **arguments: Any) -> Reply:
        return self.send("GET", f"{BASE}/{route}?{urlencode(arguments, doseq=True)}")

    def index(self) -> dict[str, Any]:
        """Run name -> the run as `/index` describes it."""
        return {run["run"]: run for run in self.get("index").json()["runs"]}

    def epochs(self, run: Mapping[str, Any], kind: str, layer: str = "") -> list[int]:
        """Of which epochs there is such a record; none as long as TensorBoard has read none."""
        place = run["series"].get(kind, {}).get(layer)
        return [] if place is None else run["epochs"][place]

    def everything(self, run: Mapping[str, Any], step: int = 1) -> dict[str, Any]:
        """Every answer there is about a run, or that of every `step`-th epoch; none of them may be an error of the server's."""
        address = {"run": run["run"], "generation": run["generation"]}
        sprite = self.get("sprite", **address)
        assert sprite.status in (200, 404), sprite
        answers: dict[str, Any] = {"index": run, "run": self.get("run", **address).json(), "sprite": sprite.body}
        answers["numbers"] = self.get("numbers", **address).json()
        answers["events"] = self.get("events", **address).json()
        for layer in run["series"].get("embedding", {}):
            reply = self.get("trails", **address, layer=layer, sample=0)
            assert reply.status in (200, 404), reply
            answers[f"trails {layer}"] = reply.frame() if reply.status == 200 else None
        for layer in run["series"].get("health", {}):
            reply = self.get("development", **address, layer=layer, kind="health", field=["energy", "cause", "proven"])
            assert reply.status == 200, reply
            answers[f"development {layer}"] = reply.frame()
        for kind, layers in run["series"].items():
            for epoch in sorted(set().union(*(run["epochs"][place] for place in layers.values())))[::step]:
                answers[f"{kind} {epoch}"] = self.get("records", **address, kind=kind, epoch=epoch).frame()
        return answers


def look_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every question that the plugin is asked reads TensorBoard's catalogue anew, however short a while ago the last one was."""
    monkeypatch.setattr(catalogue, "LIFETIME_SECONDS", 0.0)
    monkeypatch.setattr(catalogue, "LIFETIME_FACTOR", 0)


def plugin_app(provider: Any) -> Client:
    """A client of TensorBoard's own application with nothing but this plugin in it."""
    with warnings.catch_warnings():
        # html5lib, which TensorBoard brings along, warns when it is imported.
        warnings.simplefilter("ignore", DeprecationWarning)
        from tensorboard.backend import application

        flags = argparse.Namespace(samples_per_plugin={})
        plugin = FeatwatchLoader().load(base_plugin.TBContext(data_provider=provider, flags=flags, logdir=""))
    app = application.TensorBoardWSGI([plugin], data_provider=provider)
    client = werkzeug.test.Client(app)

    def send(method: str, path: str) -> Reply:
        response = client.open(path, method=method)
        return Reply(response.status_code, response.headers, response.get_data())

    return Client(send)


@contextlib.contextmanager
def python_loader(log_dir: Path) -> Iterator[MultiplexerDataProvider]:
    """TensorBoard's Python loader, which has read everything in a directory."""
    multiplexer = EventMultiplexer(tensor_size_guidance={"featwatch": 0}, purge_orphaned_data=True)
    multiplexer.AddRunsFromDirectory(str(log_dir))
    multiplexer.Reload()
    yield MultiplexerDataProvider(multiplexer, str(log_dir))


@contextlib.contextmanager
def rust_loader(log_dir: Path) -> Iterator[grpc_provider.GrpcDataProvider]:
    """TensorBoard's data server, which has read everything in a directory."""
    port_file = log_dir.parent / f"{log_dir.name}.port"
    process = subprocess.Popen(
        [tensorboard_data_server.server_binary(), f"--logdir={log_dir}", "--reload=once", "--samples-per-plugin=featwatch=all",
         "--port=0", f"--port-file={port_file}", "--die-after-stdin"],
        stdin=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 20
        while not (port_file.exists() and port_file.read_text().endswith("\n")):
            assert process.poll() is None and time.monotonic() < deadline, "the data server did not start"
            time.sleep(0.02)
        with grpc.insecure_channel(f"localhost:{port_file.read_text().strip()}") as channel:
            provider = grpc_provider.GrpcDataProvider("localhost", grpc_provider.make_stub(channel))
            _wait_until_read(provider)
            yield provider
    finally:
        process.kill()
        process.communicate()


def _wait_until_read(provider: grpc_provider.GrpcDataProvider) -> None:
    """Return when what the data server knows has stopped growing: with `--reload=once` it does not say when it is done."""
    context, seen, same = RequestContext(), None, 0
    deadline = time.monotonic() + 30
    while same < 5 and time.monotonic() < deadline:
        listed = provider.list_blob_sequences(context, experiment_id="", plugin_name="featwatch")
        now = {(run, tag): about.max_wall_time for run, tags in listed.items() for tag, about in tags.items()}
        same = same + 1 if repr(now) == repr(seen) and now else 0
        seen = now
        time.sleep(0.1)
