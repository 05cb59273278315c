"""The doctor: every finding with its cure, an exit status, and never a traceback, whatever is broken."""

from __future__ import annotations

import concurrent.futures
import io
import json
import os
import sys
import time
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from featwatch import cli, doctor, wire
from featwatch.doctor import installation, logs, machine, tab
from featwatch.doctor.checks import BROKEN, FINE, NOTABLE, Check, fine, show
from featwatch.doctor.installation import PACKAGES, Package, check_package, numbers
from featwatch.records import EpochLog, LayerInfo, Session
from featwatch.writers import EventFileWriter


def one(checks) -> Check:
    (check,) = checks
    return check


def marks(checks) -> str:
    return "".join(check.mark for check in checks)


# The report


def test_a_report_names_what_is_broken_and_its_cure_and_has_an_exit_status(monkeypatch: pytest.MonkeyPatch):
    def chapters(**checks):
        for name in ("_installed", "_framework", "_analysis", "_tab", "_logs"):
            monkeypatch.setattr(doctor, name, lambda *where, name=name: checks.get(name, [fine(f"{name} is fine")]))
        report = io.StringIO()
        return doctor.doctor("logs", report), report.getvalue()

    status, text = chapters()
    assert status == 0 and text.endswith("\nAll is well.\n") and "\nLogs in logs\n  ✓ _logs is fine\n" in text
    status, text = chapters(_tab=[Check(NOTABLE, "odd", "look")])
    assert status == 0 and "  ! odd\n      → look\n" in text and text.endswith("Nothing is broken.\n")
    status, text = chapters(_analysis=[Check(BROKEN, "gone", "reinstall\x1b[2J")])
    assert status == 1 and "  ✗ gone\n      → reinstall [2J\n" in text and "Something is broken" in text


def test_a_look_that_fails_is_a_finding_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch):
    def falls():
        yield fine("so far so good")
        raise ImportError("numpy\nis broken")

    monkeypatch.setattr(doctor, "_installed", falls)
    for name in ("_framework", "_analysis", "_tab"):
        monkeypatch.setattr(doctor, name, lambda: [fine("the others speak")])
    report = io.StringIO()
    assert doctor.doctor(to=report) == 1
    text = report.getvalue()
    assert "✓ so far so good\n  ✗ this could not be looked at any further (ImportError: numpy is broken)" in text
    assert text.count("the others speak") == 3 and "featwatch doctor LOGDIR" in text


def test_a_terminal_that_knows_ascii_alone_can_show_it():
    raw = io.BytesIO()
    terminal = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    show("Logs in ö", [Check(BROKEN, "epochs 0–3 … ✓", "→ do")], terminal)
    assert raw.getvalue().decode() == "\nLogs in ?\n  XX epochs 0-3 ? ok\n      -> -> do\n"


# What is installed


def test_this_installation_is_fine():
    found = list(installation.installation())
    assert len(found) == 2 + len(PACKAGES) and BROKEN not in marks(found)
    assert found[0].text.startswith(f"Python {sys.version.split()[0]}")


@pytest.mark.parametrize(
    ("installed", "mark", "text", "cure"),
    [
        ({}, BROKEN, "tensorflow is not installed", "pip install 'tensorflow>=2.21'"),
        ({"tensorflow": "2.9.1"}, BROKEN, "tensorflow 2.9.1 is too old: featwatch needs 2.21", "pip install -U"),
        ({"tensorflow": "2.21.0rc1"}, FINE, "tensorflow 2.21.0rc1", ""),
        ({"tensorflow-cpu": "2.21.3"}, FINE, "tensorflow-cpu 2.21.3", ""),
        ({"tensorflow": "2.30.0"}, FINE, "tensorflow 2.30.0 (newer than 2.21, the newest that was tested)", ""),
        ({"tensorflow": "2.21.0", "tensorflow-cpu": "2.21.0"}, NOTABLE, "tensorflow 2.21.0, tensorflow-cpu 2.21.0 are installed",
         "pip uninstall tensorflow-cpu, then pip install --force-reinstall tensorflow"),
        ({"tensorflow": "unknown"}, BROKEN, "tensorflow unknown is too old", "pip install -U"),
    ],
)  # fmt: skip
def test_a_package_that_is_missing_old_new_or_there_twice(monkeypatch: pytest.MonkeyPatch, installed, mark, text, cure):
    monkeypatch.setattr(installation, "_version", installed.get)
    found = check_package(Package("tensorflow", "2.21", "2.21", also=("tensorflow-cpu",)))
    assert found.mark == mark and text in found.text and cure in found.cure and bool(found.cure) == (mark != FINE)


def test_an_optional_package_and_damaged_metadata(monkeypatch: pytest.MonkeyPatch):
    def damaged(name):
        raise OSError("unreadable")

    monkeypatch.setattr(metadata, "version", damaged)
    assert check_package(Package("pandas", "2.2", "3.0", needed_for="run.to_frame")).mark == FINE
    assert check_package(Package("numpy", "2.0", "2.4")).mark == BROKEN


def test_versions_are_compared_as_numbers_and_what_is_required_is_what_the_project_says():
    assert numbers("2.10") > numbers("2.9.9") and numbers("v3.0rc1") == (3, 0) and numbers("?") == ()
    text = (Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8")
    for package in PACKAGES:
        least = package.least.removesuffix(".0")
        assert f'"{package.name}>={least}"' in text or f'"{package.name}>={least}.0"' in text, package.name


def test_two_copies_of_featwatch_and_an_old_python(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(installation, "_version", lambda name: "0.0.1")
    assert "while 0.0.1 is installed" in list(installation.installation())[1].text
    assert installation._python((3, 9)).mark == BROKEN and "newer than 3.13" in installation._python((3, 14)).text


# TensorFlow and the worker


def program(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def step(name: str, **said) -> str:
    return f"print({json.dumps({'step': name, **said})!r}, flush=True)\n"


def test_what_the_framework_says_in_its_own_process():
    said = step("tensorflow", value="2.21.0") + "print('noise')\nprint('[1]')\n" + step("backend", value="jax")
    found = list(machine.framework(program(said + step("gpus", error="no driver") + step("jit", error="no XLA"))))
    assert [check.mark for check in found] == [FINE, BROKEN, NOTABLE, NOTABLE]
    assert found[1].text == "Keras runs on jax, which featwatch does not support yet" and "KERAS_BACKEND" in found[1].cure
    assert "the GPUs cannot be listed (no driver)" in found[2].text and "jit does not work (no XLA)" in found[3].text
    gpus = one(machine.framework(program(step("gpus", value=["H200", "H200"]))))
    assert gpus.text == "TensorFlow sees H200, H200"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (step("tensorflow") + "import os; os.abort()", r"tensorflow ended the process (SIGABRT)"),
        ("import nothing_of_the_kind", "the trial of TensorFlow ended the process (exit status 1: ModuleNotFoundError"),
        (step("tensorflow", value="2.21") + step("keras") + "raise SystemExit(3)", "keras ended the process (exit status 3)"),
    ],
)
def test_a_framework_that_takes_its_process_down(text, said):
    last = list(machine.framework(program(text)))[-1]
    assert last.mark == BROKEN and said in last.text and "--force-reinstall" in last.cure


def test_a_framework_that_never_ends_and_a_python_that_is_not_there(tmp_path: Path):
    assert "took longer than 1 s" in one(machine.framework(program("import time; time.sleep(60)"), patience=1.0)).text
    assert "could not be started" in one(machine.framework([str(tmp_path / "python")])).text


def test_the_framework_of_this_installation_works():
    found = list(machine.framework())
    assert marks(found[:4]) == FINE * 4 and found[4].mark in (FINE, NOTABLE)
    assert found[0].text.startswith("tensorflow 2.") and found[2].text == "Keras runs on tensorflow"


def test_a_worker_that_starts_one_that_does_not_and_one_that_never_answers():
    class Executor(concurrent.futures.Executor):
        def __init__(self, result):
            self.result = result

        def submit(self, function, *arguments):
            future: concurrent.futures.Future = concurrent.futures.Future()
            if isinstance(self.result, Exception):
                future.set_exception(self.result)
            elif self.result is not None:
                future.set_result(self.result)
            return future

    works = one(machine.worker(lambda: Executor(1)))
    assert works.mark == FINE and works.text.startswith("the analysis worker starts, with UMAP, in ")
    dies = one(machine.worker(lambda: Executor(ImportError("no module named umap"))))
    assert dies.mark == BROKEN and "no module named umap" in dies.text and "background=False" in dies.cure
    silent = one(machine.worker(lambda: Executor(None), patience=0.05))
    assert silent.mark == BROKEN and "was not ready" in silent.text


# The tab


def test_the_tab_of_this_installation(monkeypatch: pytest.MonkeyPatch):
    found = list(tab.tab())
    assert found[0].text == "TensorBoard's plugin is registered (tensorboard_plugin_featwatch.loader)" and len(found) == 4


def test_a_plugin_that_is_not_registered_broken_or_without_its_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(metadata, "entry_points", lambda group: [])
    assert "not registered" in one(tab.tab()).text
    broken = metadata.EntryPoint("featwatch", "no_such_package.loader:Loader", tab.GROUP)
    assert "cannot be imported (ModuleNotFoundError" in one(tab.plugin(broken)).text
    package = tmp_path / "pageless_plugin"
    package.mkdir()
    for name, text in (("__init__", ""), ("plugin", ""), ("loader", "class Loader: pass")):
        (package / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    entry = metadata.EntryPoint("featwatch", "pageless_plugin.loader:Loader", tab.GROUP)
    assert marks(tab.plugin(entry)) == FINE + BROKEN
    (package / "static").mkdir()
    (package / "static" / "index.js").write_text("page()", encoding="utf-8")
    assert marks(tab.plugin(entry)) == FINE * 2


def test_the_command_tensorboard(tmp_path: Path):
    scripts = str(tmp_path / "bin")
    assert tab.command(None, scripts).mark == NOTABLE
    assert tab.command(os.path.join(scripts, "tensorboard"), scripts).mark == FINE
    other = tab.command("/usr/bin/tensorboard", scripts)
    assert other.mark == NOTABLE and "of another Python" in other.text and "python -m tensorboard.main" in other.cure


# The logs


def recorded(log_dir: Path, epochs: int = 3) -> EventFileWriter:
    """A run that is still being written."""
    info = LayerInfo(
        name="conv", type="Conv2D", shape=(4, 4, 2), filters=2, tapped="conv", activation="relu",
        parameters=20, features=32, sketch=32,
    )  # fmt: skip
    writer = EventFileWriter(log_dir, 0)
    writer.write(Session(epoch=0, started=time.time(), layers=(info.as_dict(),)))
    for epoch in range(epochs):
        writer.write(EpochLog(epoch=epoch, metrics={"loss": 1.0}))
    writer.flush()
    return writer


def test_a_directory_with_runs(tmp_path: Path):
    recorded(tmp_path / "run-1").close()
    writer = recorded(tmp_path / "deeper" / "run-2")
    try:
        found = list(logs.logs(str(tmp_path)))
    finally:
        writer.close()
    assert marks(found) == FINE * 3 and found[0].text == f"{tmp_path} can be written"
    texts = sorted(check.text for check in found[1:])
    assert texts[0].startswith("run deeper/run-2: 1 layers") and texts[0].endswith("; a training is writing it now")
    assert texts[1].startswith("run run-1: 1 layers") and " s ago" in texts[1] and "writing it now" not in texts[1]


def test_what_of_a_run_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    recorded(tmp_path / "cut").close()
    (file,) = [path for path in (tmp_path / "cut" / wire.RUN_DIRECTORY).iterdir() if "tfevents" in path.name]
    file.write_bytes(file.read_bytes()[:-7])
    monkeypatch.setattr(wire, "PLAIN_FORMAT", wire.FORMAT + 1)
    recorded(tmp_path / "newer").close()
    monkeypatch.undo()
    empty = tmp_path / "noise" / wire.RUN_DIRECTORY
    empty.mkdir(parents=True)
    (empty / "events.out.tfevents.1").write_bytes(b"nothing of the kind")
    found = list(logs.logs(str(tmp_path)))
    assert BROKEN in marks(found)
    assert any("run cut: events.out" in check.text and "cut off" in check.text and check.mark == NOTABLE for check in found)
    assert any("by a newer featwatch" in check.text and check.cure == "pip install -U featwatch" for check in found)
    assert any("run noise cannot be read (ValueError" in check.text and check.mark == BROKEN for check in found)


def test_why_there_is_no_run(tmp_path: Path):
    recorded(tmp_path / "logs" / "run-1").close()
    (tmp_path / "empty").mkdir()
    found = list(logs.logs(str(tmp_path / "empty")))
    assert marks(found) == FINE + BROKEN and "holds no run" in found[1].text and str(tmp_path / "logs" / "run-1") in found[1].cure
    (tmp_path / "keras" / "train").mkdir(parents=True)
    (tmp_path / "keras" / "train" / "events.out.tfevents.1").touch()
    found = list(logs.logs(str(tmp_path / "keras")))
    assert "holds 1 event files, but none" in found[1].text and "among the callbacks of fit?" in found[1].cure
    inside = list(logs.logs(str(tmp_path / "logs" / "run-1" / wire.RUN_DIRECTORY)))
    assert marks(inside) == FINE + NOTABLE + FINE and inside[1].cure == f"tensorboard --logdir {tmp_path / 'logs'}"
    assert "is not there yet" in one(logs.logs(str(tmp_path / "later" / "run"))).text
    (tmp_path / "file").touch()
    assert one(logs.logs(str(tmp_path / "file"))).mark == BROKEN
    assert one(logs.logs("memory-of-mars://bucket/logs")).mark == BROKEN


def test_places_that_cannot_be_written_or_are_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(**where):
        raise PermissionError(13, "Permission denied")

    recorded(tmp_path / "run").close()
    monkeypatch.setattr(logs.tempfile, "TemporaryFile", refuse)
    monkeypatch.setattr(logs.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 5_000_000}))
    found = list(logs.logs(str(tmp_path)))
    assert marks(found) == NOTABLE * 2 + FINE
    assert "cannot be written (Permission denied)" in found[0].text and "5 MB are left" in found[1].text
    monkeypatch.setattr(logs.os, "access", lambda path, mode: False)
    assert "may not be written" in one(logs.logs(str(tmp_path / "later"))).text


def test_many_runs_and_a_directory_that_is_no_log_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for number in range(4):
        recorded(tmp_path / f"run-{number}", epochs=1).close()
    monkeypatch.setattr(logs, "MAX_RUNS", 2)
    assert "2 older runs were not looked at" in list(logs.logs(str(tmp_path)))[-1].text
    monkeypatch.setattr(logs, "MAX_DIRECTORIES", 3)
    assert any("only the first 3 directories" in check.text for check in logs.logs(str(tmp_path)))


# The command line


def test_the_command_passes_its_directory_on(monkeypatch: pytest.MonkeyPatch):
    asked = []
    monkeypatch.setattr(doctor, "doctor", lambda log_dir: asked.append(log_dir) or 1)
    assert cli.main(["doctor", "logs/run-1"]) == 1 and cli.main(["doctor"]) == 1
    assert asked == ["logs/run-1", None]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    import keras

    hidden = keras.layers.Dense(4, activation="relu", name="hidden")
    model = keras.Sequential([keras.Input((6,)), hidden, keras.layers.Dense(2, name="out")])
    model.save(tmp_path / "model.keras")
    return tmp_path / "model.keras"


def test_a_snapshot_of_a_saved_model(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    from featwatch import trained
    from featwatch.reader import load
    from featwatch.recorders import FilterHealth

    monkeypatch.setattr(trained, "default_recorders", lambda: [FilterHealth()])      # the quickest one
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "probe.npz", x=rng.random((30, 6), np.float32), y=np.arange(30) % 2, class_names=["no", "yes"])
    command = ["snapshot", str(saved), "--probe", str(tmp_path / "probe.npz"), "--logdir", str(tmp_path / "logs")]
    assert cli.main([*command, "--layers", "hidden", "--epoch", "3"]) == 0
    assert "1 layers of" in capsys.readouterr().out
    run = load(tmp_path / "logs")
    assert (run.layers, run.epochs, run.probe.class_names) == (["hidden"], [3], ("no", "yes"))
    assert cli.main([*command, "--layers", "hiden"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("featwatch snapshot: ") and "did you mean 'hidden'?" in said and "Traceback" not in said


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        (None, "there is no file"),
        (b"no archive", "cannot be read as a .npz file of arrays"),
        ({"y": np.zeros(3)}, "holds y, but no x"),
        ({"x": np.array([object()])}, "cannot be read as a .npz file of arrays"),
    ],
)
def test_a_probe_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str], arrays, said):
    path = tmp_path / "probe.npz"
    if isinstance(arrays, bytes):
        path.write_bytes(arrays)
    elif arrays:
        np.savez(path, **arrays)
    assert cli.main(["snapshot", "model.keras", "--probe", str(path), "--logdir", str(tmp_path)]) == 1
    assert said in capsys.readouterr().err


def test_a_saved_model_is_no_probe(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["snapshot", str(saved), "--probe", str(saved), "--logdir", str(tmp_path / "logs")]) == 1
    assert "which is no array; write it with numpy.savez" in capsys.readouterr().err


@pytest.mark.parametrize("epoch", ["-1", "two"])
def test_an_epoch_is_a_whole_number(epoch: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        cli.main(["snapshot", "m.keras", "--probe", "p.npz", "--logdir", "logs", f"--epoch={epoch}"])
    assert f"'{epoch}' is not a whole number of at least 0" in capsys.readouterr().err
