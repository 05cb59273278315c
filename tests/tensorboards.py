"""Real TensorBoard processes to ask over HTTP."""

from __future__ import annotations

import contextlib
import functools
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.plugin_client import BASE, Client, Reply

START_SECONDS = 90      # importing TensorFlow alone takes many on a busy machine


@contextlib.contextmanager
def tensorboards(commands: Mapping[str, Sequence[str]], logs: Path) -> Iterator[dict[str, Client]]:
    """Name -> client of a TensorBoard that was started with these arguments.  All of them start at the same time."""
    processes: dict[str, subprocess.Popen[bytes]] = {}
    clients: dict[str, Client] = {}
    try:
        for name, arguments in commands.items():
            port = _free_port()
            command = [sys.executable, "-m", "tensorboard.main", f"--port={port}", "--host=localhost", *arguments]
            with (logs / name).open("w") as log:
                processes[name] = subprocess.Popen(command, stdout=log, stderr=log)
            prefix = next((argument.partition("=")[2] for argument in arguments if argument.startswith("--path_prefix=")), "")
            clients[name] = Client(functools.partial(_send, f"http://localhost:{port}{prefix}"), f"http://localhost:{port}{prefix}/")
        deadline = time.monotonic() + START_SECONDS
        for name, client in clients.items():
            while not _is_up(client):
                assert processes[name].poll() is None and time.monotonic() < deadline, (logs / name).read_text()[-2000:]
                time.sleep(0.2)
        yield clients
    finally:
        for process in processes.values():
            process.kill()
        for process in processes.values():
            process.wait(20)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def _is_up(client: Client) -> bool:
    try:
        return client.send("GET", f"{BASE}/index").status == 200
    except OSError:
        return False


def _send(root: str, method: str, path: str) -> Reply:
    try:
        with urllib.request.urlopen(urllib.request.Request(root + path, method=method), timeout=60) as response:
            return Reply(response.status, response.headers, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Reply(error.code, error.headers, error.read())
