"""The demonstration, as `make demo ARGS=--no-serve` runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import featwatch as fw
from featwatch import cli


@pytest.mark.slow
def test_the_demo_reaches_97_percent_and_separation_rises(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "featwatch.cli", "demo", "--no-serve", "--log-dir", str(tmp_path / "demo")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    assert re.search(r"Watch it here:  http://localhost:\d+/#featwatch", done.stdout)
    accuracy = re.search(r"Validation accuracy ([\d.]+)%", done.stdout)
    assert accuracy and float(accuracy[1]) >= 97.0

    run = fw.load(tmp_path / "demo")
    assert run.epochs == list(range(run.epochs[-1] + 1)) and run.problems == []
    analysed = run.recorded("separation", "scores")
    first, last = analysed[0], run.epochs[-1]
    assert analysed[-1] == last
    silhouettes = {layer: [run.separation(layer, epoch).silhouette for epoch in (first, last)] for layer in run.layers}
    assert all(after > before for before, after in silhouettes.values())            # by epoch
    at_the_end = [after for _, after in silhouettes.values()]
    assert at_the_end[-1] > at_the_end[-2] > at_the_end[0]                          # and by layer
    assert run.separation("scores", last).knn_accuracy >= 0.97


@pytest.mark.parametrize("arguments", [["demo", "--epochs", "0"], ["demo", "--port", "x"], ["nothing"], []])
def test_the_command_line_refuses_what_makes_no_sense(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2 and "featwatch" in capsys.readouterr().err


def test_help_and_version_do_not_import_tensorflow() -> None:
    code = "import sys; from featwatch.cli import main\ntry: main(['--version'])\nfinally: print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["featwatch", fw.__version__, "False"]
