"""The event file: its place among others, its lock, and a disk that is too slow."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from featwatch import reader, wire, writers
from featwatch.errors import FeatwatchWarning
from featwatch.records import Closing, EpochLog, LayerSeparation, Session
from featwatch.writers import EventFileWriter


def test_a_record_stands_at_its_step_or_else_at_its_epoch() -> None:
    assert wire.place_of(EpochLog(epoch=3)) == ("epochs", 3)
    assert wire.place_of(EpochLog(epoch=3, step=0)) == ("steps", 0)
    assert wire.decode(wire.encode(EpochLog(epoch=3, step=np.int64(700)))).step == 700


def write(log_dir: Path, first: int, now: float) -> str:
    writer = EventFileWriter(log_dir, first, clock=lambda: now)
    writer.write(Session(epoch=first, started=now))
    writer.write(LayerSeparation(epoch=first, layer="conv", knn_accuracy=now))
    writer.close()
    return os.path.basename(writer.path)


def test_a_file_comes_after_the_older_ones_even_if_the_clock_went_back(tmp_path: Path) -> None:
    """TensorBoard reads files in the order of their names, and the later wall time wins."""
    names = [write(tmp_path, 0, now) for now in (2e9, 1e9, 1e9)]
    assert names == sorted(names) and len({name.split(".")[3] for name in names}) == 3
    run = reader.load(tmp_path)
    assert len(run.sessions) == 1 and run.separation("conv", 0).knn_accuracy == 1e9


def test_a_forked_child_does_not_keep_the_directory(tmp_path: Path) -> None:
    writer = EventFileWriter(tmp_path, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)     # Python 3.12 warns of fork beside threads
        child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    try:
        writer.close()
        EventFileWriter(tmp_path, 1).close()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_disk_that_is_too_slow_costs_records_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "MAX_WAITING_BYTES", 1000)
    gate = threading.Event()
    put = EventFileWriter._put_record

    def slow(self: EventFileWriter, *arguments: object) -> None:
        gate.wait(20)
        put(self, *arguments)

    monkeypatch.setattr(EventFileWriter, "_put_record", slow)
    writer = EventFileWriter(tmp_path, 0)
    with pytest.warns(FeatwatchWarning, match="the disk is too slow") as caught:
        for epoch in range(10):
            writer.write(LayerSeparation(epoch=epoch, layer="conv"))
    writer.write(Closing(epoch=9, entries=({"kind": "dropped", "text": "told"},)))      # always has room
    gate.set()
    writer.close()
    run = reader.load(tmp_path)
    assert len(caught) == 1 and writer.dropped > 0
    assert len(run.numbers("separation", "conv", "neighbors")[0]) == 10 - writer.dropped
    assert [entry["text"] for entry in run.journal] == ["told"]


def test_closing_twice_is_no_mistake_and_flushing_shows_what_was_written(tmp_path: Path) -> None:
    writer = EventFileWriter(tmp_path, 0)
    writer.write(LayerSeparation(epoch=3, layer="conv", silhouette=0.5))
    writer.flush()
    assert reader.load(tmp_path).separation("conv", 3).silhouette == 0.5
    writer.close()
    writer.close()
