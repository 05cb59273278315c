from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from typing import Any

import numpy as np
import pytest

from featwatch import background, worker
from featwatch.background import BackgroundAnalyst, InlineAnalyst
from featwatch.recorders.base import LayerSnapshot, NothingToSay, Recorder
from featwatch.recorders.pipeline import LayerTask, Outcome, analyse, in_order
from featwatch.records import LayerInfo, LayerSeparation, Record
from featwatch.worker import start_worker


class Counting(Recorder):
    """Gives the number of records before it, and what the one before was made of."""

    name = "counting"
    produces = LayerSeparation
    reductions = ("features",)
    remembers = ("features",)

    def analyse(self, snapshot: LayerSnapshot) -> Record:
        before = snapshot.previous
        carried = snapshot.previous_reductions.get("features", np.zeros(1))
        return LayerSeparation(
            epoch=snapshot.epoch,
            layer=snapshot.layer,
            samples=1 + (before.samples if isinstance(before, LayerSeparation) else 0),
            silhouette=float(carried.sum()),
        )


class Failing(Counting):
    def analyse(self, snapshot: LayerSnapshot) -> Record:
        raise RuntimeError("no luck")


class Silent(Counting):
    def analyse(self, snapshot: LayerSnapshot) -> Record:
        raise NothingToSay("not today")


class Deadly(Counting):
    def analyse(self, snapshot: LayerSnapshot) -> Record:
        if snapshot.epoch == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().analyse(snapshot)


class Dependent(Recorder):
    name = "dependent"
    produces = LayerSeparation
    builds_on = (Counting,)

    def analyse(self, snapshot: LayerSnapshot) -> Record | None:
        return None


def task(epoch: int, recorder: Recorder | None = None, layer: str = "conv", value: float = 1.0) -> LayerTask:
    info = LayerInfo(
        name=layer, type="Conv2D", shape=(1,), filters=1, tapped=layer, activation="relu", parameters=1, features=1, sketch=1
    )
    snapshot = LayerSnapshot(
        epoch=epoch, info=info, labels=np.zeros(1, np.int32), reductions={"features": np.full((1, 1), value * epoch, np.float32)}
    )
    return LayerTask(snapshot, (recorder or Counting(),))


class Manual(Executor):
    """Runs a task only when `allow` is set; says when one is under way."""

    def __init__(self) -> None:
        self.allow = threading.Event()
        self.running = threading.Event()

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def run() -> None:
            if function is analyse:
                self.running.set()
                self.allow.wait(30)
                future.set_result(function(*arguments, **keywords))
            else:
                future.set_result(None)

        threading.Thread(target=run, daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.allow.set()


class Box:
    """What was delivered and what went wrong."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.epochs: list[int] = []
        self.troubles: list[str] = []

    def deliver(self, finished: LayerTask, outcomes: list[Outcome]) -> None:
        self.epochs.append(finished.snapshot.epoch)
        self.outcomes += outcomes


@pytest.fixture(scope="module")
def box_and_worker() -> Iterator[tuple[Box, BackgroundAnalyst]]:
    box = Box()
    analyst = BackgroundAnalyst(box.deliver, box.troubles.append)
    yield box, analyst
    analyst.close()


def test_each_layer_continues_from_its_own_last_record() -> None:
    box = Box()
    analyst = InlineAnalyst(box.deliver)
    for epoch in range(3):
        assert analyst.submit(epoch, [task(epoch, layer="a"), task(epoch, layer="b", value=10)]) == []
    found = {(o.record.layer, o.record.epoch): (o.record.samples, o.record.silhouette) for o in box.outcomes if o.record}
    assert found[("a", 2)] == (3, 1.0) and found[("b", 2)] == (3, 10.0) and found[("a", 0)] == (1, 0.0)


def test_a_real_worker_gives_what_an_inline_one_gives(box_and_worker: tuple[Box, BackgroundAnalyst]) -> None:
    box, analyst = box_and_worker
    for epoch in range(3):
        analyst.submit(epoch, [task(epoch)])
    seen: list[tuple[int, int]] = []
    assert analyst.finish(lambda done, total: seen.append((done, total)))
    assert [o.record.samples for o in box.outcomes if o.record] == [1, 2, 3]
    assert seen[-1] == (3, 3) and all(done <= total for done, total in seen)
    assert box.troubles == []


def test_a_worker_that_dies_costs_one_sentence_and_the_layer_it_died_on(box_and_worker: tuple[Box, BackgroundAnalyst]) -> None:
    box, analyst = box_and_worker
    box.outcomes.clear()
    for epoch in (0, 1, 2):
        analyst.submit(epoch, [task(epoch, Deadly(), layer="killer")])
    assert analyst.finish()
    assert [bool(o.record) for o in box.outcomes] == [True, False, True]
    assert "died on it" in box.outcomes[1].nothing
    assert len(box.troubles) == 2 and all("started again" in text for text in box.troubles)     # it was tried twice


def test_a_worker_killed_from_outside_is_started_again_and_loses_nothing(box_and_worker: tuple[Box, BackgroundAnalyst]) -> None:
    box, analyst = box_and_worker
    analyst.submit(4, [task(4, layer="before")])
    assert analyst.finish()
    box.outcomes.clear()
    box.troubles.clear()
    executor = analyst._worker._executor
    assert executor is not None
    for pid in list(executor._processes):
        os.kill(pid, signal.SIGKILL)
    analyst.submit(5, [task(5, layer="after")])
    assert analyst.finish()
    assert [bool(o.record) for o in box.outcomes] == [True] and len(box.troubles) == 1


def test_a_worker_that_always_dies_is_given_up() -> None:
    def broken() -> Executor:
        raise BrokenExecutor("no processes here")

    box = Box()
    analyst = BackgroundAnalyst(box.deliver, box.troubles.append, broken)
    for epoch in range(6):
        analyst.submit(epoch, [task(epoch)])
    assert analyst.finish()
    analyst.close()
    assert len(box.troubles) == worker.MAX_RESTARTS + 1 and "switched off" in box.troubles[-1]
    assert len(box.outcomes) == 6 and all(o.nothing for o in box.outcomes)


def test_when_it_is_behind_it_thins_evenly_and_keeps_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "MAX_WAITING_SECONDS", 4.5)
    box, executor = Box(), Manual()
    analyst = BackgroundAnalyst(box.deliver, box.troubles.append, lambda: executor)
    analyst._seconds = 1.0
    dropped = [lost for lost, _ in analyst.submit(0, [task(0)])]
    assert executor.running.wait(10)
    for epoch in range(1, 13):
        dropped += [lost for lost, _ in analyst.submit(epoch, [task(epoch)])]
    executor.allow.set()
    assert analyst.finish()
    analyst.close()
    assert sorted(box.epochs + dropped) == list(range(13)) and len(box.epochs) == 5
    assert box.epochs[0] == 0 and box.epochs[-1] == 12
    assert max(np.diff(box.epochs)) <= 2 * min(np.diff(box.epochs)) + 1


def test_of_what_waits_for_a_worker_that_is_not_ready_the_first_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Epoch 0 is what a training started from: it is not thinned because the worker takes its time to start."""
    monkeypatch.setattr(background, "MAX_WAITING_BYTES", 14)      # three snapshots of four bytes
    started = threading.Event()
    monkeypatch.setattr(background.Worker, "warm_up", lambda self: started.wait(10))
    box, executor = Box(), Manual()
    executor.allow.set()
    analyst = BackgroundAnalyst(box.deliver, box.troubles.append, lambda: executor)
    dropped = [lost for epoch in range(8) for lost, _ in analyst.submit(epoch, [task(epoch)])]
    started.set()
    assert analyst.finish()
    analyst.close()
    assert box.epochs[0] == 0 and box.epochs[-1] == 7 and sorted(box.epochs + dropped) == list(range(8))


def test_what_waits_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "MAX_WAITING_BYTES", 10)      # two snapshots of four bytes
    box, executor = Box(), Manual()
    analyst = BackgroundAnalyst(box.deliver, box.troubles.append, lambda: executor)
    dropped = [lost for lost, _ in analyst.submit(0, [task(0)])]
    assert executor.running.wait(10)
    for epoch in range(1, 6):
        dropped += [lost for lost, _ in analyst.submit(epoch, [task(epoch)])]
    analyst.close()
    assert len(dropped) == 3 and 5 not in dropped


def test_the_end_waits_no_longer_than_something_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "STALLED_SECONDS", 0.3)
    executor = Manual()
    analyst = BackgroundAnalyst(lambda *_: None, lambda _: None, lambda: executor)
    analyst.submit(0, [task(0)])
    assert analyst.finish() is False
    analyst.close()


def test_who_lets_go_of_a_worker_that_is_still_starting_does_not_wait_for_it() -> None:
    class Starting(Manual):
        def submit(self, function: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Future[Any]:
            self.running.set()
            return Future()

    executor = Starting()
    analyst = BackgroundAnalyst(lambda *_: None, lambda _: None, lambda: executor)
    assert executor.running.wait(10)
    analyst.close()
    assert not analyst._thread.is_alive()


def test_failures_and_silences_are_told_apart() -> None:
    (failed,) = analyse(task(0, Failing()))
    (silent,) = analyse(task(0, Silent()))
    assert failed.failure == "RuntimeError: no luck" and not failed.nothing
    assert silent.nothing == "not today" and not silent.failure
    both = LayerTask(task(0).snapshot, (Silent(), Dependent()))
    assert analyse(both)[1].nothing == "it builds on counting, which gave nothing"


def test_recorders_are_put_in_order_or_refused() -> None:
    counting, dependent = Counting(), Dependent()
    assert in_order([dependent, counting]) == [counting, dependent]
    with pytest.raises(ValueError, match=r"Dependent builds on Counting; add featwatch.Counting\(\)"):
        in_order([dependent])
    with pytest.raises(ValueError, match="Counting stands there twice"):
        in_order([counting, Counting()])


def test_the_worker_dies_with_its_parent() -> None:
    script = """
import os, signal, time
from featwatch.worker import start_worker
executor = start_worker()
print(executor.submit(os.getpid).result(), flush=True)
executor.submit(time.sleep, 100)        # it is busy
time.sleep(0.5)
os.kill(os.getpid(), signal.SIGKILL)
"""
    parent = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    child = int(parent.stdout)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and _alive(child):
        time.sleep(0.2)
    assert not _alive(child)


def test_the_worker_knows_neither_keras_nor_tensorflow_and_has_one_thread() -> None:
    executor = start_worker()
    try:
        found = executor.submit(_what_is_loaded).result(timeout=300)
    finally:
        executor.shutdown(kill_workers=True)
    assert found == {"frameworks": [], "threads": "1", "polite": True}



def _what_is_loaded() -> dict[str, Any]:
    worker.prepare_analysis()
    loaded = [name for name in ("tensorflow", "keras") if sys.modules.get(name) is not None]
    return {"frameworks": loaded, "threads": os.environ["OMP_NUM_THREADS"], "polite": os.nice(0) >= 10}


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
