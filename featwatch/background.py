"""The analysis worker: bounded, restartable, never in the way of training.

Arrays go in and records come out; the worker writes nothing and dies with its parent.  It is a loky
process and not one of `multiprocessing`'s: those run an unguarded training script again.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor
from dataclasses import replace
from typing import Protocol

from featwatch.errors import in_words
from featwatch.recorders.pipeline import LayerTask, Memory, Outcome, analyse, remembered

# What may wait for the worker, whichever is reached first.  The seconds bound how long the end of `fit` takes.
MAX_WAITING_SECONDS = 30.0      # of analysis, by the time that the last snapshot took
MAX_WAITING_BYTES = 256 << 20   # of arrays: a snapshot holds a sketch of every layer for every sample
MAX_RESTARTS = 3                # of a worker that keeps dying
STALLED_SECONDS = 300.0         # without any result, after which the end of `fit` no longer waits

# One thread: the cores belong to training.
_WORKER_ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"),
    "CUDA_VISIBLE_DEVICES": "",
}

Deliver = Callable[[LayerTask, list[Outcome]], None]
Memories = dict[str, dict[str, Memory]]     # layer -> kind -> what its next task continues from
Progress = Callable[[int, int], None]       # (layers finished, layers in all)


class Analyst(Protocol):
    """Analyses snapshots in the order in which they come, each layer starting from what the one before gave."""

    memory: Memories

    def submit(self, epoch: int, tasks: list[LayerTask]) -> list[int]: ...
    def finish(self, progress: Progress | None = None) -> bool: ...
    def close(self) -> None: ...


class InlineAnalyst:
    """Analyses where it is called, in the training thread."""

    def __init__(self, deliver: Deliver) -> None:
        self.memory: Memories = {}
        self._deliver = deliver

    def submit(self, epoch: int, tasks: list[LayerTask]) -> list[int]:
        """Analyse at once.  Nothing is ever dropped: returns no epochs."""
        for task in tasks:
            task = _continued(task, self.memory)
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
        self._worker = _Worker(start or start_worker, trouble)
        self._waiting: deque[tuple[int, list[LayerTask]]] = deque()
        self._current = 0               # layers of the snapshot being analysed that are not finished
        self._current_epoch = -1
        self._finished = 0
        self._seconds = 0.0             # that the last snapshot took
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="featwatch-analyst", daemon=True)
        self._thread.start()

    def submit(self, epoch: int, tasks: list[LayerTask]) -> list[int]:
        """Queue a snapshot; returns the epochs of waiting ones that had to go for it.

        Of too many the one goes whose neighbours are closest, so that what remains is spread evenly.
        The newest always stays.
        """
        dropped = []
        with self._changed:
            self._waiting.append((epoch, tasks))
            while len(self._waiting) > 1 and self._too_many():
                epochs = [self._current_epoch, *(waiting for waiting, _ in self._waiting)]
                gaps = [after - before for before, after in zip(epochs, epochs[2:], strict=False)]
                index = gaps.index(min(gaps))
                dropped.append(self._waiting[index][0])
                del self._waiting[index]
            self._changed.notify_all()
        return dropped

    def finish(self, progress: Progress | None = None) -> bool:
        """Wait until everything is analysed; False where nothing has come for too long, or the user interrupted."""
        started, before = time.monotonic(), -1
        try:
            with self._changed:
                while self._left():
                    if self._finished != before:
                        started, before = time.monotonic(), self._finished
                    if time.monotonic() - started > STALLED_SECONDS:
                        return False
                    if progress is not None:
                        progress(self._finished, self._finished + self._left())
                    self._changed.wait(0.2)
                if progress is not None:
                    progress(self._finished, self._finished)
        except KeyboardInterrupt:
            return False
        return True

    def close(self) -> None:
        """Drop what is waiting and end the worker."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()
        self._worker.close()
        self._thread.join(timeout=5.0)

    def _too_many(self) -> bool:
        if len(self._waiting) * self._seconds > MAX_WAITING_SECONDS:
            return True
        arrays = (array for _, tasks in self._waiting for task in tasks for array in task.snapshot.reductions.values())
        return sum(array.nbytes for array in arrays) > MAX_WAITING_BYTES

    def _left(self) -> int:
        return self._current + sum(len(tasks) for _, tasks in self._waiting)

    def _run(self) -> None:
        self._worker.warm_up()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                self._current_epoch, tasks = self._waiting.popleft()
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

    def _one(self, task: LayerTask) -> None:
        task = _continued(task, self.memory)
        outcomes = self._worker.run(task)
        if self._is_closed():
            return
        _remember(task, outcomes, self.memory)
        try:
            self._deliver(task, outcomes)
        except Exception as error:
            self._trouble(f"a result could not be recorded ({in_words(error)})")


class _Worker:
    """An executor that is started again when its process dies, but not for ever."""

    def __init__(self, start: Callable[[], Executor], trouble: Callable[[str], None]) -> None:
        self._start = start
        self._trouble = trouble
        self._executor: Executor | None = None
        self._deaths = 0
        self._closed = False

    def warm_up(self) -> None:
        try:
            self._ensure().submit(prepare_analysis)
        except Exception as error:
            self._died(error)

    def run(self, task: LayerTask) -> list[Outcome]:
        for _attempt in range(2):
            if self._closed or self._deaths > MAX_RESTARTS:
                break
            try:
                return self._ensure().submit(analyse, task).result()
            except BrokenExecutor as error:
                self._died(error)
            except Exception as error:
                if not self._closed:
                    return [Outcome(recorder.name, failure=in_words(error)) for recorder in task.recorders]
        reason = "the analysis worker died on it" if self._deaths <= MAX_RESTARTS else "the analysis worker is switched off"
        return [Outcome(recorder.name, nothing=reason) for recorder in task.recorders]

    def close(self) -> None:
        self._closed = True
        _end(self._executor)
        self._executor = None

    def _ensure(self) -> Executor:
        if self._closed:
            raise BrokenExecutor("closed")
        if self._executor is None:
            self._executor = self._start()
        return self._executor

    def _died(self, error: Exception) -> None:
        _end(self._executor)
        self._executor = None
        if self._closed:
            return
        self._deaths += 1
        if self._deaths <= MAX_RESTARTS:
            self._trouble(f"the analysis worker died and was started again ({in_words(error)}); training goes on")
        elif self._deaths == MAX_RESTARTS + 1:
            self._trouble(
                f"the analysis worker died {self._deaths} times and stays switched off until the next fit; training goes on. "
                "If the machine runs out of memory, watch fewer layers or a smaller probe"
            )


def start_worker() -> Executor:
    """A loky executor of one process: low priority, one thread, without Keras and TensorFlow."""
    import loky

    return loky.ProcessPoolExecutor(1, initializer=_become_worker, initargs=(os.getpid(),), env=_WORKER_ENVIRONMENT)


def prepare_analysis() -> None:
    """Import and compile what the analysis needs."""
    from featwatch.analysis.warm_up import warm_up

    warm_up()


def _become_worker(parent: int) -> None:
    # `import umap` would import TensorFlow: 14 s instead of 1.
    sys.modules["tensorflow"] = sys.modules["keras"] = None  # type: ignore[assignment]
    signal.signal(signal.SIGINT, signal.SIG_IGN)    # Ctrl-C in the terminal is for the training
    if hasattr(os, "nice"):
        os.nice(10)
    if os.name == "posix":
        threading.Thread(target=_die_with, args=(parent,), daemon=True).start()


def _die_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(0)


def _end(executor: Executor | None) -> None:
    if executor is None:
        return
    try:
        executor.shutdown(wait=False, kill_workers=True)  # type: ignore[call-arg]
    except TypeError:       # not loky's
        executor.shutdown(wait=False, cancel_futures=True)
    except Exception:
        return


def _continued(task: LayerTask, memory: Memories) -> LayerTask:
    return replace(task, memory=memory.get(task.snapshot.layer, {}))


def _remember(task: LayerTask, outcomes: list[Outcome], memory: Memories) -> None:
    # A new dict instead of a changed one: the training thread may be copying the old one.
    memory[task.snapshot.layer] = {**memory.get(task.snapshot.layer, {}), **remembered(task, outcomes)}
