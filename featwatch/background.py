"""The analysis beside the training: a bounded queue that never blocks, in front of one worker process."""

from __future__ import annotations

import atexit
import contextlib
import functools
import math
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Protocol

from featwatch.errors import in_words
from featwatch.recorders.pipeline import Memories, Outcome, Task, analyse, remembered
from featwatch.worker import Worker, end_idle_worker, start_worker

# What may wait for the worker, whichever is reached first.  The seconds bound how long the end of `fit` takes.
MAX_WAITING_SECONDS = 30.0      # of analysis, by the time that the last snapshot took
MAX_WAITING_BYTES = 256 << 20   # of arrays: a snapshot holds a sketch of every layer for every sample
STALLED_SECONDS = 300.0         # without any result, after which the end of `fit` no longer waits

Deliver = Callable[[Task, list[Outcome]], None]
Snapshot = tuple[float, list[Task]]    # position in the training, and what is to be analysed of it
Progress = Callable[[int, int], None]       # (layers finished, layers in all)


class Analyst(Protocol):
    """Analyses snapshots in the order in which they come, each layer starting from what the one before gave."""

    memory: Memories

    def submit(self, position: float, tasks: list[Task]) -> list[Snapshot]: ...
    def finish(self, progress: Progress | None = None) -> bool: ...
    def close(self) -> None: ...


class InlineAnalyst:
    """Analyses where it is called, in the training thread."""

    def __init__(self, deliver: Deliver) -> None:
        self.memory: Memories = {}
        self._deliver = deliver

    def submit(self, position: float, tasks: list[Task]) -> list[Snapshot]:
        """Analyse at once.  Nothing is ever dropped: returns no snapshots."""
        for task in tasks:
            task = task.continued(self.memory)
            outcomes = analyse(task)
            _remember(task, outcomes, self.memory)
            self._deliver(task, outcomes)
        return []

    def finish(self, progress: Progress | None = None) -> bool:
        return True

    def close(self) -> None:
        pass


class BackgroundAnalyst:
    """Analyses in a worker process, from a bounded queue that a thread of this process empties.

    Arguments:
        deliver: called from that thread with each layer's outcomes.
        trouble: called from that thread, with a sentence, when the worker dies.
        start: makes the executor; a loky worker unless told.
    """

    def __init__(
        self, deliver: Deliver, trouble: Callable[[str], None], start: Callable[[], Executor] | None = None
    ) -> None:
        self.memory: Memories = {}
        self._deliver = deliver
        self._trouble = trouble
        self._worker = Worker(start or start_worker, trouble)
        self._waiting: deque[Snapshot] = deque()
        self._current = 0               # layers of the snapshot being analysed that are not finished
        self._current_position = -1.0
        self._finished = 0
        self._seconds = 0.0             # that the last snapshot took
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="featwatch-analyst", daemon=True)
        self._thread.start()

    def submit(self, position: float, tasks: list[Task]) -> list[Snapshot]:
        """Queue a snapshot; returns the waiting ones that had to go for it.

        Of too many the one goes whose neighbours are closest, so that what remains is spread evenly.
        The newest always stays, and the very first, before which nothing was analysed, as long as another can go.
        """
        dropped = []
        with self._changed:
            self._waiting.append((position, tasks))
            while len(self._waiting) > 1 and self._too_many():
                places = [self._current_position, *(waiting for waiting, _ in self._waiting)]
                gaps = [after - before for before, after in zip(places, places[2:], strict=False)]
                if self._current_position < 0 and len(gaps) > 1:
                    gaps[0] = math.inf
                index = gaps.index(min(gaps))
                dropped.append(self._waiting[index])
                del self._waiting[index]
            self._changed.notify_all()
        return dropped

    def finish(self, progress: Progress | None = None) -> bool:
        """Wait until everything is analysed; False where nothing has come for too long.

        Raises KeyboardInterrupt: the user does not want to wait.
        """
        started, before = time.monotonic(), -1
        with self._changed:
            while self._left():
                if self._finished != before:
                    started, before = time.monotonic(), self._finished
                if time.monotonic() - started > STALLED_SECONDS or not self._thread.is_alive():
                    return False
                if progress is not None:
                    progress(self._finished, self._finished + self._left())
                self._changed.wait(0.2)
            if progress is not None:
                progress(self._finished, self._finished)
        return True

    def close(self) -> None:
        """Drop what is waiting, and let go of the worker: for the next `fit`, or for good if it is busy."""
        with self._changed:
            busy = bool(self._current)
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()
        self._worker.close(busy)
        self._thread.join(timeout=5.0)

    def _too_many(self) -> bool:
        if len(self._waiting) * self._seconds > MAX_WAITING_SECONDS:
            return True
        snapshots = {id(one): one for _, tasks in self._waiting for task in tasks for one in task.snapshots}
        arrays = (array for one in snapshots.values() for array in one.reductions.values())
        return sum(array.nbytes for array in arrays) > MAX_WAITING_BYTES

    def _left(self) -> int:
        return self._current + sum(len(tasks) for _, tasks in self._waiting)

    def _run(self) -> None:
        self._worker.warm_up()
        _close_at_exit(self)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                self._current_position, tasks = self._waiting.popleft()
                self._current = len(tasks)
            started = time.monotonic()
            for task in tasks:
                if self._is_closed():
                    return
                self._one(task)
                with self._changed:
                    self._current -= 1
                    self._finished += 1
                    self._changed.notify_all()
            self._seconds = time.monotonic() - started

    def _is_closed(self) -> bool:
        return self._closed

    def _one(self, task: Task) -> None:
        task = task.continued(self.memory)
        outcomes = self._worker.run(task)
        if self._is_closed():
            return
        try:
            _remember(task, outcomes, self.memory)
            self._deliver(task, outcomes)
        except Exception as error:
            self._trouble(f"a result could not be recorded ({in_words(error)})")


_running: weakref.WeakSet[BackgroundAnalyst] = weakref.WeakSet()


def _close_at_exit(analyst: BackgroundAnalyst) -> None:
    """A program that ends in an exception must not wait for what is left of the analysis."""
    _running.add(analyst)
    _register_exit_handler()


@functools.cache
def _register_exit_handler() -> None:
    # As the executors register theirs, which wait for the work; the last one registered comes first.
    with contextlib.suppress(RuntimeError):         # the program is ending already
        getattr(threading, "_register_atexit", atexit.register)(_close_all)


def _close_all() -> None:
    for analyst in list(_running):
        analyst.close()
    end_idle_worker()


def _remember(task: Task, outcomes: list[Outcome], memory: Memories) -> None:
    # New dicts instead of changed ones: the training thread may be copying the old ones.
    for layer, kept in remembered(task, outcomes).items():
        memory[layer] = {**memory.get(layer, {}), **kept}
