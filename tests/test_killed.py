"""A training that is killed, resumed, unguarded or interrupted, in processes of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import featwatch as fw
from featwatch.reader import Run

WAIT = 300        # seconds for what takes a few, on a machine that has other things to do

TRAIN = """
import signal
import sys
import keras
import featwatch as fw
from tests.nets import images, sequential

signal.signal(signal.SIGINT, signal.default_int_handler)     # in the background of a shell it would be ignored
first, epochs, pause = int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])

class Slow(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        import time
        print("epoch", epoch + 1, flush=True)
        time.sleep(pause)

x, y = images(120)
watch = fw.Watch(sys.argv[1], fw.Probe(x[:60], y[:60]), recorders=[fw.FilterHealth(), fw.Separation()])
sequential().fit(x, y, initial_epoch=first, epochs=epochs, verbose=0, callbacks=[watch, Slow()])
print("trained", flush=True)
"""


@contextlib.contextmanager
def start(log_dir: Path, first: int, epochs: int, pause: float) -> Iterator[subprocess.Popen[str]]:
    # The script is a file and is not guarded by `if __name__ == "__main__"`, as most training scripts are not.
    script = log_dir.parent / "train.py"
    script.write_text(TRAIN)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(script), str(log_dir), str(first), str(epochs), str(pause)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        yield process
    finally:
        if process.poll() is None:              # a test that failed leaves nothing behind
            process.kill()
            process.communicate()


def test_killed_in_the_middle_and_resumed(tmp_path: Path) -> None:
    log_dir = tmp_path / "run"
    with start(log_dir, 0, 1000, 0.4) as training:
        assert training.stdout is not None
        analysed = -1
        for line in training.stdout:
            if int(line.split()[1]) >= 4:
                run = fw.load(log_dir)
                analysed = max((epoch for epoch in run.epochs if _has(run, epoch)), default=-1)
                if analysed >= 3:
                    break
        workers = _descendants(training.pid)
        training.send_signal(signal.SIGKILL)
        training.communicate()
    assert workers
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline and any(map(_alive, workers)):
        time.sleep(0.2)
    assert not any(map(_alive, workers))                    # the worker dies with its parent

    run = fw.load(log_dir)
    done = [epoch for epoch in run.epochs if _has(run, epoch)]
    thinned = {entry["epoch"] for entry in run.journal if entry["kind"] == "thinned"}     # on a slow machine
    assert set(done) | thinned >= set(range(done[-1] + 1)) and done[-1] >= analysed      # every epoch that was analysed
    assert run.epochs == list(range(run.epochs[-1] + 1))                                # of later ones what needed no analysis
    assert all(run.health("conv", epoch).energy.shape == (4,) for epoch in run.epochs)

    with start(log_dir, 2, 4, 0.0) as resumed:
        out, err = resumed.communicate(timeout=WAIT)
    assert out.splitlines()[-1] == "trained" and "FeatwatchWarning" not in err, err[-2000:]
    run = fw.load(log_dir)
    assert run.epochs == [0, 1, 2, 3, 4] and run.problems == []
    assert all(_has(run, epoch) for epoch in run.epochs)
    assert [session.epoch for session in run.sessions] == [0, 2]


def test_an_unguarded_script_trains_once(tmp_path: Path) -> None:
    with start(tmp_path / "run", 0, 2, 0.0) as training:
        out, err = training.communicate(timeout=WAIT)
    assert out.splitlines() == ["epoch 1", "epoch 2", "trained"], err[-2000:]
    run = fw.load(tmp_path / "run")
    assert all(_has(run, epoch) for epoch in (0, 1, 2))


def test_an_interrupted_script_ends_soon_and_keeps_its_log(tmp_path: Path) -> None:
    with start(tmp_path / "run", 0, 1000, 0.3) as training:
        assert training.stdout is not None
        for line in training.stdout:
            if line.startswith("epoch 3"):
                break
        training.send_signal(signal.SIGINT)
        _, err = training.communicate(timeout=WAIT)
    assert "KeyboardInterrupt" in err and training.returncode != 0
    run = fw.load(tmp_path / "run")
    assert run.epochs[:4] == [0, 1, 2, 3] and run.problems == []


def _has(run: Run, epoch: int) -> bool:
    try:
        run.separation("scores", epoch)
    except KeyError:
        return False
    return True


def _descendants(pid: int) -> list[int]:
    children = [int(entry) for entry in os.listdir("/proc") if entry.isdigit() and _parent(int(entry)) == pid]
    return children + [below for child in children for below in _descendants(child)]


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return -1


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
