"""The analysis worker: a process that is restarted when it dies, and dies with its parent.

Arrays go in and records come out; it writes nothing.  It is a loky process and not one of
`multiprocessing`'s: those run an unguarded training script again.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, wait
from dataclasses import replace
from typing import Any

from featwatch.errors import in_words
from featwatch.recorders.base import Recorder
from featwatch.recorders.pipeline import Outcome, Task, analyse

MAX_RESTARTS = 3                # of a worker that keeps dying
CLOSED_SECONDS = 0.2            # within which it is noticed that nobody waits for a result any more
IDLE_SECONDS = 60               # after which a worker without work ends by itself

# One thread: the cores belong to training.
_WORKER_ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"),
    "CUDA_VISIBLE_DEVICES": "",
}


_UNREADABLE = (
    "its function cannot be loaded in the worker, which has neither Keras nor TensorFlow: "
    "define it in a module that imports neither, or use Watch(..., background=False)"
)


class Worker:
    """An executor that is started again when its process dies, but not for ever."""

    def __init__(self, start: Callable[[], Executor], trouble: Callable[[str], None]) -> None:
        self._start = start
        self._trouble = trouble
        self._executor: Executor | None = None
        self._deaths = 0
        self._unreadable: set[str] = set()      # names of recorders that cannot be loaded in the worker
        self._closed = False

    def warm_up(self) -> None:
        """Return when the worker has imported and compiled what it needs, or is let go: that is not a snapshot's time."""
        try:
            future = self._ensure().submit(prepare_analysis)
            if self._waited_for(future):
                future.result()
        except Exception as error:
            self._died(error)

    def run(self, task: Task) -> list[Outcome]:
        """What became of each recorder of the task.  Never raises."""
        refused = [recorder for recorder in task.recorders if recorder.name in self._unreadable]
        if refused:
            others = tuple(recorder for recorder in task.recorders if recorder not in refused)
            return _failed(refused, _UNREADABLE) + (self.run(replace(task, recorders=others)) if others else [])
        for _attempt in range(2):
            if self._closed or self._deaths > MAX_RESTARTS:
                break
            try:
                future = self._ensure().submit(analyse, task)
                if not self._waited_for(future):
                    break
                return future.result()
            except BrokenExecutor as error:
                if "un-serialize" in str(error):
                    return self._without_functions(task)
                self._died(error)
            except Exception as error:
                if type(error).__name__ == "ShutdownExecutorError":     # loky's: the program is ending
                    self._closed = True
                if not self._closed:
                    return _failed(task.recorders, in_words(error))
        reason = "the analysis worker died on it" if self._deaths <= MAX_RESTARTS else "the analysis worker is switched off"
        return [Outcome(recorder.name, nothing=reason) for recorder in task.recorders]

    def close(self, busy: bool) -> None:
        self._closed = True
        if busy or self._executor is not _parked.executor:
            _end(self._executor)
        self._executor = None

    def _waited_for(self, future: Future[Any]) -> bool:
        """Whether it is done; False as soon as the worker is let go, which may still be starting, for the next `fit`."""
        while not self._closed:
            if wait([future], timeout=CLOSED_SECONDS).done:
                return True
        return False

    def _ensure(self) -> Executor:
        if self._closed:
            raise BrokenExecutor("closed")
        if self._executor is None:
            self._executor = self._start()
        return self._executor

    def _without_functions(self, task: Task) -> list[Outcome]:
        """The user's own functions cannot be loaded in the worker; recorders without any go on."""
        self._end()
        own = [recorder for recorder in task.recorders if any(map(callable, vars(recorder).values()))]
        self._unreadable |= {recorder.name for recorder in own or task.recorders}
        return self.run(task)

    def _died(self, error: Exception) -> None:
        self._end()
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

    def _end(self) -> None:
        _end(self._executor)
        self._executor = None


class _Parked:
    """The loky worker of this process: it outlives a `fit`, so that fits in a loop need not warm up a new one each."""

    executor: Executor | None = None
    remains: tuple[object, ...] = ()    # of the one that the program's end ended


_parked = _Parked()


def start_worker() -> Executor:
    """A loky executor of one process: low priority, one thread, without Keras and TensorFlow.

    The one that the last `fit` left idle, if it is well; it ends by itself after a minute without work.
    """
    import loky

    found = _parked.executor
    flags = getattr(found, "_flags", None)
    if found is None or flags is None or flags.shutdown or flags.broken is not None:
        found = _parked.executor = loky.ProcessPoolExecutor(
            1, timeout=IDLE_SECONDS, initializer=_become_worker, initargs=(os.getpid(),), env=_WORKER_ENVIRONMENT
        )
    return found


def end_idle_worker() -> None:
    """End the worker that the last `fit` left, if there is one, as the program ends.

    Waits for it and keeps its queues: whichever daemon thread the collector would free their locks in may
    be stopped half-way, and loky's resource tracker would then speak of leaks on the terminal.
    """
    executor = _parked.executor
    _parked.remains = tuple(vars(executor).values()) if executor is not None else ()
    _end(executor, wait=True)


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


def _failed(recorders: Sequence[Recorder], why: str) -> list[Outcome]:
    return [Outcome(recorder.name, failure=why) for recorder in recorders]


def _end(executor: Executor | None, wait: bool = False) -> None:
    if executor is None:
        return
    if executor is _parked.executor:
        _parked.executor = None
    try:
        executor.shutdown(wait=wait, kill_workers=True)  # type: ignore[call-arg]
    except TypeError:       # not loky's
        executor.shutdown(wait=False, cancel_futures=True)
    except Exception:
        return
