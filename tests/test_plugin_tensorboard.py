"""Real TensorBoards: both loaders, with a path prefix and --logdir_spec, over resumed, restarted and growing logs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featwatch.writers import EventFileWriter
from tests.plugin_client import Client
from tests.synthetic import Story, write_log
from tests.tensorboards import tensorboards

EPOCHS = 200
LOADERS = ("fast", "slow")
TINY: dict[str, Any] = {"layers": 2, "samples": 8, "classes": 2, "filters": 4}
LAYER = Story(**TINY).layer_infos[0].name
EVERY = list(range(EPOCHS + 1))

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def log_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`plain`; `resumed`: to 60, then again from 40 to 50; `restarted`: to 30, then from 0 to 10; one cut off; one of noise."""
    root = tmp_path_factory.mktemp("runs") / "logs"
    write_log(root / "plain", epochs=EPOCHS, **TINY)
    write_log(root / "resumed", epochs=60, seed=1, **TINY)
    write_log(root / "resumed", epochs=50, first=40, seed=2, **TINY)
    write_log(root / "restarted", epochs=30, seed=3, **TINY)
    write_log(root / "restarted", epochs=10, seed=4, **TINY)
    write_log(root / "cut", epochs=20, **TINY)
    (event_file,) = (root / "cut" / "featwatch").glob("*tfevents*")
    event_file.write_bytes(event_file.read_bytes()[: event_file.stat().st_size * 2 // 3])
    noise = root / "noise" / "featwatch"
    noise.mkdir(parents=True)
    (noise / "events.out.tfevents.1.noise").write_bytes(np.random.default_rng(0).bytes(4000))
    return root


@pytest.fixture(scope="module")
def boards(log_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Client]]:
    """Both loaders over the directory, below a path prefix; and two of its runs under other names (only one loader can)."""
    below = [f"--logdir={log_dir}", "--path_prefix=/some/prefix"]
    renamed = f"--logdir_spec=one:{log_dir / 'plain'},two:{log_dir / 'resumed'}"
    commands = {"fast": ["--load_fast=true", *below], "slow": ["--load_fast=false", *below], "spec": [renamed]}
    with tensorboards(commands, tmp_path_factory.mktemp("boards"), tensorflow=True) as clients:
        yield clients


def _until(what: Callable[[], Any], seconds: float = 180.0) -> Any:
    """The first true value of `what()`."""
    deadline = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.2)
    return value


def _run(client: Client, run: str, newest: int) -> dict[str, Any]:
    """The run as described once its epochs up to `newest` are there."""

    def there() -> dict[str, Any] | None:
        described = client.index().get(run)
        if described is None or client.epochs(described, "epoch")[-1:] != [newest]:
            return None
        return described if client.epochs(described, "clusters", LAYER)[-1:] == [newest] else None

    return _until(there)


@pytest.mark.parametrize(("board", "run"), [("fast", "plain/featwatch"), ("slow", "plain/featwatch"), ("spec", "one/featwatch")])
def test_every_step_is_kept(boards: dict[str, Client], board: str, run: str) -> None:
    client = boards[board]
    described = _run(client, run, EPOCHS)
    assert described["name"] == run.partition("/")[0] and described["problems"] == []
    for kind in ("embedding", "clusters", "separation", "health"):
        assert client.epochs(described, kind, LAYER) == EVERY
    assert client.epochs(described, "predictions") == EVERY


@pytest.mark.parametrize(
    ("board", "run"), [("fast", "resumed/featwatch"), ("slow", "resumed/featwatch"), ("spec", "two/featwatch")]
)
def test_a_resumed_log_serves_no_superseded_record(boards: dict[str, Client], board: str, run: str) -> None:
    old, new = Story(epochs=60, seed=1, **TINY), Story(epochs=50, seed=2, **TINY)
    client = boards[board]
    described = _run(client, run, 50)
    assert client.epochs(described, "embedding", LAYER) == list(range(51))
    assert client.epochs(described, "session") == [0, 40]
    address = {"run": run, "generation": described["generation"], "kind": "embedding", "layer": LAYER}
    for epoch, story in ((39, old), (40, new), (50, new)):
        records, damaged = client.get("records", **address, epoch=epoch).frame()
        np.testing.assert_array_equal(records[LAYER]["arrays"]["points"]["values"], story.points(0, epoch))
        assert not damaged
    assert client.get("records", **address, epoch=51).status == 404


@pytest.mark.parametrize("loader", LOADERS)
def test_a_log_that_started_over_serves_nothing_old(boards: dict[str, Client], loader: str) -> None:
    client = boards[loader]
    described = _run(client, "restarted/featwatch", 10)
    assert client.epochs(described, "health", LAYER) == client.epochs(described, "epoch") == list(range(11))
    assert len(described["epochs"]) <= 3        # all, the journal's, the session's


@pytest.mark.parametrize(("run", "newest"), [("restarted/featwatch", 10), ("resumed/featwatch", 50), ("cut/featwatch", -1)])
def test_both_loaders_answer_alike(boards: dict[str, Client], run: str, newest: int) -> None:
    fast, slow = (_settled(boards[loader], run, newest) for loader in LOADERS)
    assert fast.keys() == slow.keys()
    np.testing.assert_equal(fast, slow)


def _settled(client: Client, run: str, newest: int) -> dict[str, Any]:
    """All answers about a run that does not grow any more."""
    described = _run(client, run, newest) if newest >= 0 else _until(lambda: client.index().get(run))
    address = {"run": run, "generation": described["generation"]}
    _until(lambda: client.get("numbers", **address).json()["until"] == client.index()[run]["updated"])
    return client.everything(client.index()[run], step=5)


@pytest.mark.parametrize("loader", LOADERS)
def test_the_readable_part_of_a_cut_log_is_served(boards: dict[str, Client], loader: str) -> None:
    client = boards[loader]
    index = client.index()
    answers = client.everything(index["cut/featwatch"])
    assert answers["run"]["session"] and answers["run"]["probe"]
    assert 5 < len(client.epochs(index["cut/featwatch"], "epoch")) < 21
    assert "noise/featwatch" not in index


@pytest.mark.parametrize("loader", LOADERS)
def test_a_growing_log_is_followed_through_a_resume(boards: dict[str, Client], log_dir: Path, loader: str) -> None:
    client, run = boards[loader], f"live-{loader}/featwatch"
    directory = log_dir / f"live-{loader}"
    first = Story(epochs=5, seed=7, thumbnails=False, **TINY)
    writer = EventFileWriter(directory, 0)
    for record in (first.session(0, 1.0), first.probe(0), *first.records(0)):
        writer.write(record)
    writer.flush()
    before = _run(client, run, 0)
    address = {"run": run, "generation": before["generation"]}
    until = client.get("numbers", **address).json()["until"]
    for epoch in (1, 2, 3):
        for record in first.records(epoch):
            writer.write(record)
    writer.flush()
    grown = _run(client, run, 3)
    assert grown["generation"] == before["generation"]
    newer = client.get("numbers", **address, after=until).json()["series"]
    assert {1, 2, 3} <= set(next(one for one in newer if (one["kind"], one["layer"]) == ("embedding", LAYER))["epochs"])
    writer.close()
    write_log(directory, epochs=2, first=2, seed=8, thumbnails=False, **TINY)
    after = _until(lambda: (described := _run(client, run, 2))["generation"] != before["generation"] and described)
    assert client.epochs(after, "embedding", LAYER) == [0, 1, 2]
    assert client.get("records", **address, kind="embedding", epoch=1).status == 409
    records, _ = client.get("records", **{**address, "generation": after["generation"]}, kind="embedding", epoch=2).frame()
    np.testing.assert_array_equal(records[LAYER]["arrays"]["points"]["values"], Story(epochs=2, seed=8, **TINY).points(0, 2))
