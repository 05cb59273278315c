"""Where records go: an event file that TensorBoard reads, or a list in memory.

A writer has `write(record)`, `flush()` and `close()`.  The event file is written by one thread, so
that a slow disk does not hold up training, through TensorFlow's record writer, so that every file
system that TensorFlow knows works.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import itertools
import os
import queue
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from featwatch import wire
from featwatch.errors import notify
from featwatch.records import Journal, Record

# Bytes that may wait for a stalled disk; what comes beyond that is dropped and counted.
MAX_WAITING_BYTES = 256 << 20

_counter = itertools.count()


class Writer(Protocol):
    def write(self, record: Record) -> int: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...


class MemoryWriter:
    """Keeps the records in a list, in the order in which they came."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def write(self, record: Record) -> int:
        self.records.append(record)
        return 0

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


class EventFileWriter:
    """Writes the records of one axis into a new event file: into `<log_dir>/featwatch/`, or `steps/` below it.

    Opening it announces a new session from `first_step` on: TensorBoard's loaders drop what older
    files of the directory hold from that step on, whatever it is; so each axis has a directory of its
    own.  Wall times increase strictly over all files of a directory, for they decide which of two
    records is the newer one.

    Arguments:
        log_dir: the user's log directory; made if need be.
        first_step: first epoch, or optimiser step, that will be written.
        axis: "epochs", for records that stand at their epoch, or "steps", for those that stand at their step.
        clock: seconds since 1970.
        on_error: called once, from the writing thread, with the exception that stopped the writing.

    Raises:
        ValueError: another process, or another writer of this one, is writing into the directory.
        OSError: the directory or the file cannot be written.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str],
        first_step: int,
        *,
        axis: str = "epochs",
        clock: Callable[[], float] = time.time,
        on_error: Callable[[Exception], None] | None = None,
    ) -> None:
        import tensorflow as tf

        self.directory = run_directory(log_dir, axis)
        self._axis = axis
        self._clock = clock
        self._on_error = on_error
        self._failed = False
        self._closed = False
        self.dropped = 0                # records that a stalled or failed disk cost
        self.bytes_written = 0
        tf.io.gfile.makedirs(self.directory)
        self._lock_file = _lock(self.directory)
        try:
            stamp, self._last_wall_time = _after_existing(self.directory, clock())
            name = f"events.out.tfevents.{stamp:010d}.{socket.gethostname()}.{os.getpid()}.{next(_counter)}.{wire.PLUGIN}"
            self.path = os.path.join(self.directory, name)
            self._records = tf.io.TFRecordWriter(self.path)
            self._put_event(step=0, file_version="brain.Event:2")
            # Without START the Python loader would serve what a resumed training replaces, too.
            self._put_event(step=first_step, session_log=_session_start())
            self._records.flush()
        except BaseException:
            self._unlock()
            raise
        self._waiting_bytes = 0
        self._waiting_lock = threading.Lock()
        self._queue: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="featwatch-writer", daemon=True)
        self._thread.start()
        atexit.register(self.close)     # a training that ended in an exception closes nothing

    def write(self, record: Record) -> int:
        """Queue a record; returns its size in bytes.  Never blocks and never raises for the disk's sake.

        Raises ValueError for a record that stands on the other axis, or holds what cannot be stored.
        """
        if wire.place_of(record)[0] != self._axis:
            raise ValueError(f"a {record.kind!r} record with step={record.step} does not stand on the axis {self._axis!r}")
        blobs = wire.encode(record)
        size = sum(map(len, blobs))
        with self._waiting_lock:
            # The journal always has room: it tells of what had none.
            room = self._waiting_bytes + size <= MAX_WAITING_BYTES or isinstance(record, Journal)
            accepted = room and not self._failed and not self._closed
            if accepted:
                self._waiting_bytes += size
            else:
                self.dropped += 1
            first = self.dropped == 1
        if accepted:
            self._queue.put(("record", (record, blobs, size)))
        elif first and not room:
            notify("the disk is too slow for the log: records are left out, the journal says how many; training goes on")
        return size if accepted else 0

    def flush(self, timeout: float | None = 60.0) -> None:
        """Return when all that was written before is in the file, or after `timeout` seconds."""
        if self._thread.is_alive():
            done = threading.Event()
            self._queue.put(("flush", done))
            done.wait(timeout)

    def close(self) -> None:
        """Finish the file and let go of the directory.  Calling it again does nothing."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        self._queue.put(("stop", None))
        self._thread.join(timeout=60.0)
        self._unlock()

    def _run(self) -> None:
        dirty = False
        while True:
            if dirty and self._queue.empty():
                self._guarded(self._records.flush)
                dirty = False
            what, payload = self._queue.get()
            if what == "record":
                record, blobs, size = payload
                self._guarded(functools.partial(self._put_record, record, blobs))
                with self._waiting_lock:
                    self._waiting_bytes -= size
                dirty = True
            elif what == "flush":
                self._guarded(self._records.flush)
                dirty = False
                payload.set()
            else:
                self._guarded(self._records.close)
                return

    def _guarded(self, action: Callable[[], Any]) -> None:
        if self._failed:
            return
        try:
            action()
        except Exception as error:
            with self._waiting_lock:
                self._failed = True
            if self._on_error is not None:
                self._on_error(error)

    def _put_record(self, record: Record, blobs: list[bytes]) -> None:
        from tensorboard.plugins.scalar import summary_v2 as scalars
        from tensorboard.util import tensor_util

        tag = wire.tag_of(record.kind, record.layer)
        values = [_value(tag, "DATA_CLASS_BLOB_SEQUENCE", tensor_util.make_tensor_proto(blobs))]
        numbers = record.numbers()
        if numbers:
            text = tensor_util.make_tensor_proto([wire.encode_numbers(record)])
            values.append(_value(wire.NUMBERS + tag, "DATA_CLASS_TENSOR", text))
        for name in record.headlines:
            if name in numbers:
                values += scalars.scalar_pb(f"{name}/{record.layer or record.kind}", numbers[name]).value
        self._put_event(step=wire.place_of(record)[1], summary=_summary(values))

    def _put_event(self, **fields: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._last_wall_time = max(self._clock(), self._last_wall_time + 1e-6)
        event = Event(wall_time=self._last_wall_time, **fields).SerializeToString()
        self._records.write(event)
        self.bytes_written += len(event)

    def _unlock(self) -> None:
        if self._lock_file is not None:
            import fcntl

            # A process that was forked meanwhile holds the file open, too, and with it the lock.
            fcntl.flock(self._lock_file, fcntl.LOCK_UN)
            self._lock_file.close()
            self._lock_file = None


def run_directory(log_dir: str | os.PathLike[str], axis: str = "epochs") -> str:
    """The directory that featwatch writes an axis into: below `log_dir`, apart from every other writer's."""
    directory = os.path.join(os.fspath(log_dir), wire.RUN_DIRECTORY)
    return os.path.join(directory, wire.STEPS_DIRECTORY) if axis == "steps" else directory


def has_records(log_dir: str | os.PathLike[str], axis: str = "epochs") -> bool:
    """Whether an earlier training left an event file of this axis there."""
    return bool(_event_files(run_directory(log_dir, axis)))


def _event_files(directory: str) -> list[str]:
    import tensorflow as tf

    if not tf.io.gfile.isdir(directory):
        return []
    return sorted(name for name in tf.io.gfile.listdir(directory) if "tfevents" in name)


def _after_existing(directory: str, now: float) -> tuple[int, float]:
    """A file stamp and a wall time that come after those of every event file there, even if the clock went back.

    TensorBoard reads a directory's event files in the order of their names.
    """
    import tensorflow as tf

    stamp, wall_time = int(now), now
    for name in _event_files(directory):
        wall_time = max(wall_time, tf.io.gfile.stat(os.path.join(directory, name)).mtime_nsec / 1e9)
        with contextlib.suppress(ValueError, IndexError):
            stamp = max(stamp, int(name.split("tfevents.")[1].split(".")[0]) + 1)
    return stamp, max(wall_time, float(stamp))      # also where copying changed the files' times


def _lock(directory: str) -> Any:
    """An open, locked file that keeps other writers out until it is closed or the process dies; None where there are no locks."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    if "://" in directory:
        return None
    handle = open(os.path.join(directory, ".lock"), "a")  # noqa: SIM115 - kept open for as long as the lock is held
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        raise ValueError(
            f"another training is writing into {directory!r}: give each run a log_dir of its own, e.g. Watch('logs/run-2', probe)"
        ) from None
    except OSError:  # a file system without locks
        handle.close()
        return None
    return handle


def _value(tag: str, data_class: str, tensor: Any) -> Any:
    from tensorboard.compat.proto import summary_pb2

    metadata = summary_pb2.SummaryMetadata(
        plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name=wire.PLUGIN, content=b'{"format":%d}' % wire.FORMAT),
        data_class=getattr(summary_pb2, data_class),
    )
    return summary_pb2.Summary.Value(tag=tag, metadata=metadata, tensor=tensor)


def _summary(values: list[Any]) -> Any:
    from tensorboard.compat.proto import summary_pb2

    return summary_pb2.Summary(value=values)


def _session_start() -> Any:
    from tensorboard.compat.proto import event_pb2

    return event_pb2.SessionLog(status=event_pb2.SessionLog.START)
