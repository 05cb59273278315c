"""What is in a log directory, and why the tab may show nothing of it."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from featwatch import wire
from featwatch.doctor.checks import Check, broken, fine, notable
from featwatch.errors import in_words
from featwatch.eventfiles import event_files
from featwatch.reader import Run, load

MAX_DIRECTORIES = 20_000        # looked at; a home directory given by mistake has more
MAX_RUNS = 10                   # of which the newest are reported
MAX_PROBLEMS = 5                # of a run
LITTLE_SPACE = 1 << 30          # bytes


def logs(log_dir: str) -> Iterator[Check]:
    """The directory, and each run in it."""
    if "://" in log_dir:
        yield from remote(log_dir)
        return
    path = Path(log_dir)
    if not path.exists():
        yield absent(path)
        return
    if not path.is_dir():
        yield broken(f"{log_dir} is a file", f"Give its directory: {path.parent}")
        return
    yield from place(path)
    found, complete = runs_below(path)
    if not complete:
        what = f"only the first {MAX_DIRECTORIES:,} directories below it were looked at; TensorBoard looks at all"
        yield notable(what, "Give TensorBoard a directory that holds logs alone.")
    if not found:
        yield nothing_there(path)
    for directory in found[:MAX_RUNS]:
        yield from run(directory, os.path.relpath(directory.parent, path))
    if len(found) > MAX_RUNS:
        yield fine(f"{len(found) - MAX_RUNS:,} older runs were not looked at")


def absent(path: Path) -> Check:
    """What to say of a directory that is not there."""
    above = next(parent for parent in path.absolute().parents if parent.exists())
    if not os.access(above, os.W_OK | os.X_OK):
        return broken(f"{path} is not there, and {above} may not be written", "Choose another directory.")
    return notable(f"{path} is not there yet: fw.Watch makes it when fit begins{_near(above)}")


def place(path: Path) -> Iterator[Check]:
    """Whether the directory can be written, has space, and is the one to give to TensorBoard."""
    try:
        with tempfile.TemporaryFile(dir=path) as file:
            file.write(b"featwatch")
        yield fine(f"{path} can be written")
    except OSError as error:
        what = f"{path} cannot be written ({error.strerror}): it can be shown, but no training can add to it"
        yield notable(what, "Give fw.Watch a directory that you may write.")
    free = shutil.disk_usage(path).free
    if free < LITTLE_SPACE:
        yield notable(f"{free / 1e6:,.0f} MB are left on its disk", "Make room: records that cannot be written are left out.")
    if path.absolute().name == wire.RUN_DIRECTORY and event_files(str(path)):
        what = "this is the inside of a run: the page calls it “.”, and shows no other run beside it"
        yield notable(what, f"tensorboard --logdir {path.absolute().parent.parent}")


def runs_below(path: Path) -> tuple[list[Path], bool]:
    """Directories of featwatch's with event files in them, the newest first, and whether all were looked at."""
    found: list[Path] = []
    for number, (directory, below, files) in enumerate(os.walk(path, followlinks=False)):
        if number >= MAX_DIRECTORIES:
            return _newest_first(found), False
        below[:] = sorted(name for name in below if not name.startswith("."))
        here = Path(directory)
        if here.absolute().name != wire.RUN_DIRECTORY:
            continue
        if any("tfevents" in name for name in files) or event_files(str(here / wire.STEPS_DIRECTORY)):
            found.append(here)
            below.clear()
    return _newest_first(found), True


def nothing_there(path: Path) -> Check:
    """Why the tab is empty: there is no run."""
    others = sum("tfevents" in name for _, _, files in os.walk(path) for name in files)
    near = _near(path.absolute().parent)
    if others:
        what = f"{path} holds {others:,} event files, but none in a directory {wire.RUN_DIRECTORY!r}: no run of ours"
        return broken(what, f"Was fw.Watch({str(path)!r}, probe) among the callbacks of fit?{near}")
    what = f"{path} holds no run: the tab stays empty until fit begins"
    return broken(what, f"tensorboard --logdir must be the directory that fw.Watch was given, or one above it{near}")


def run(directory: Path, name: str) -> Iterator[Check]:
    """What a run holds, whether it is being written, and what of it cannot be read."""
    try:
        opened = load(str(directory))
        problems = opened.problems
        text = f"run {name}: {_contents(opened)}, last written {_ago(directory)}"
    except Exception as error:      # ValueError where nothing is recorded, and whatever a damaged log may cause
        yield broken(f"run {name} cannot be read ({in_words(error)})", "Train again, into another directory.")
        return
    newer = [problem for problem in problems if "newer featwatch" in problem]
    yield fine(text + ("; a training is writing it now" if locked(directory) else ""))
    for problem in newer[:1]:
        yield notable(f"run {name}: {problem}", "pip install -U featwatch")
    others = [problem for problem in problems if problem not in newer]
    for problem in others[:MAX_PROBLEMS]:
        yield notable(f"run {name}: {problem}")
    if len(others) > MAX_PROBLEMS:
        yield notable(f"run {name}: {len(others) - MAX_PROBLEMS:,} more problems", "fw.load(log_dir).problems lists them.")


def remote(log_dir: str) -> Iterator[Check]:
    """A run on a file system that TensorFlow reads; directories above runs are not searched."""
    try:
        opened = load(log_dir)
        yield fine(f"{log_dir} holds a run: {_contents(opened)}")
    except Exception as error:
        yield broken(f"{log_dir} cannot be read as a run ({in_words(error)})", "Give the directory that fw.Watch was given.")


def locked(directory: Path) -> bool:
    """Whether a training holds the run; False where there are no locks."""
    try:
        import fcntl

        with open(directory / ".lock") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (ImportError, OSError):
        return False
    return False


def _contents(opened: Run) -> str:
    epochs, steps = opened.epochs, opened.steps
    parts = [f"{len(opened.layers)} layers"]
    if epochs:
        parts.append(f"epochs {epochs[0]}–{epochs[-1]}" if len(epochs) > 1 else f"epoch {epochs[0]}")
    if steps:
        parts.append(f"steps {steps[0]}–{steps[-1]}" if len(steps) > 1 else f"step {steps[0]}")
    return ", ".join(parts if epochs or steps else [*parts, "no snapshot yet"])


def _newest_first(directories: list[Path]) -> list[Path]:
    return sorted(directories, key=_written, reverse=True)


def _written(directory: Path) -> float:
    """When something was last written into a run, seconds since 1970."""
    files = [*event_files(str(directory)), *event_files(str(directory / wire.STEPS_DIRECTORY))]
    return max((os.path.getmtime(file) for file in files if os.path.exists(file)), default=0.0)


def _ago(directory: Path) -> str:
    seconds = max(time.time() - _written(directory), 0.0)
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def _near(directory: Path, most: int = 3) -> str:
    """"; runs near by: logs/run-1" where the directory holds some, at most two levels below, else nothing."""
    found = [parent for pattern in ("*", "*/*") for parent in sorted(directory.glob(pattern))
             if event_files(str(parent / wire.RUN_DIRECTORY))]  # fmt: skip
    return f"; runs near by: {', '.join(map(str, found[:most]))}{', …' if len(found) > most else ''}" if found else ""
