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

START_SECONDS = 300     # importing TensorFlow alone takes many on a busy machine

# TensorBoard as it is where TensorFlow is not installed: it starts with a sixth of the processor's time.
_WITHOUT_TENSORFLOW = (
    "import sys, types; sys.modules['tensorboard.compat.notf'] = types.ModuleType('notf'); "
    "from tensorboard.main import run_main; run_main()"
)


@contextlib.contextmanager
def tensorboards(
    commands: Mapping[str, Sequence[str]], logs: Path, *, tensorflow: bool = False
) -> Iterator[dict[str, Client]]:
    """Name -> client of a TensorBoard that was started with these arguments.  All of them start at the same time.

    `tensorflow`: with it, as most users have it; without it they start sooner.
    """
    processes: dict[str, subprocess.Popen[bytes]] = {}
    clients: dict[str, Client] = {}
    try:
        for name, arguments in commands.items():
            port = _free_port()
            program = ["-m", "tensorboard.main"] if tensorflow else ["-c", _WITHOUT_TENSORFLOW]
            command = [sys.executable, *program, f"--port={port}", "--host=localhost", *arguments]
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
