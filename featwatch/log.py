"""The log of a training: what stands at epochs and what stands at steps, each in a file of its own."""

from __future__ import annotations

from collections.abc import Callable

from featwatch.records import Record
from featwatch.wire import place_of
from featwatch.writers import EventFileWriter, Writer


class Log:
    """A writer that puts each record where it belongs.

    Arguments:
        log_dir: the user's log directory.
        first_epoch: the first epoch that will be written.
        first_step: the first step that will be; None where nothing is recorded by step.
        on_error: called once with the exception that stopped the writing of a file.

    Raises:
        ValueError: another training is writing into the directory.
        OSError: a file cannot be written.
    """

    def __init__(
        self,
        log_dir: str,
        first_epoch: int,
        first_step: int | None = None,
        *,
        on_error: Callable[[Exception], None] | None = None,
    ) -> None:
        self._writers: dict[str, Writer] = {"epochs": EventFileWriter(log_dir, first_epoch, on_error=on_error)}
        if first_step is not None:
            try:
                self._writers["steps"] = EventFileWriter(log_dir, first_step, axis="steps", on_error=on_error)
            except BaseException:
                self.close()
                raise

    def write(self, record: Record) -> int:
        """Queue a record; returns its size in bytes."""
        return self._writers[place_of(record)[0]].write(record)

    def flush(self) -> None:
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()

    @property
    def dropped(self) -> int:
        """Records that a stalled or failed disk cost."""
        return sum(getattr(writer, "dropped", 0) for writer in self._writers.values())
