"""The command `featwatch prune`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import featwatch as fw
from featwatch.cli import main
from tests import nets


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Path:
    """model.keras, probe.npz and plan.json."""
    where: Path = tmp_path_factory.mktemp("saved")
    model = nets.functional()
    model.optimizer.build(model.trainable_variables)
    model.save(where / "model.keras")
    x, y = nets.images(30)
    np.savez(where / "probe.npz", x=x, y=y)
    fw.prune.plan(model, units={"stem": [1], "last": [0, 4]}).save(where / "plan.json")
    return where


def prune(folder: Path, *arguments: str) -> int:
    files = {"PROBE": "probe.npz", "PLAN": "plan.json", "OUT": "small.keras", "MODEL": "model.keras", "NEW": "new.json"}
    return main(["prune", *(str(folder / files[each]) if each in files else each for each in ("MODEL", *arguments))])


def test_a_plan_is_applied(folder: Path, capsys: Any) -> None:
    assert prune(folder, "--plan", "PLAN", "-o", "OUT") == 0
    small, model = (keras.models.load_model(folder / name) for name in ("small.keras", "model.keras"))
    assert small.get_layer("last").filters == 4 and small.get_layer("stem").filters == 3
    expected = fw.prune.Plan.load(folder / "plan.json").apply(model)
    x = nets.images(4)[0]
    np.testing.assert_array_equal(small.predict(x, verbose=0), expected.predict(x, verbose=0))
    told = capsys.readouterr().out
    for line in (r"last +6 +2 +4 +0, 4", r"parameters +443 +\d+ ", r"multiply-adds +9,954 ", r"latency +\S+ ms", r"file +\S+ kB"):
        assert re.search(line, told), line
    assert "accuracy" not in told and "Nothing can go from" in told


def test_a_share_goes_and_the_probe_tells_what_becomes_of_it(folder: Path, capsys: Any) -> None:
    arguments = ("--ratio", "0.5", "--criterion", "activity", "--round-to", "2", "--ignore", "last", "--probe", "PROBE")
    assert prune(folder, *arguments, "--save-plan", "NEW", "-o", "OUT") == 0
    told = capsys.readouterr().out
    assert "by activity" in told and "what stays makes up for what went" in told and re.search(r"accuracy +\S+ % +\S+ %", told)
    plan = fw.prune.Plan.load(folder / "new.json")
    assert set(plan.removed) == {"stem", "norm", "block/inner"} and len(plan.removed["stem"]) == 2
    assert keras.models.load_model(folder / "small.keras").get_layer("stem").filters == 2
    assert prune(folder, *arguments, "--no-compensate", "-o", "OUT") == 0
    assert "nothing makes up for what went" in capsys.readouterr().out


def test_a_dry_run_writes_no_model(folder: Path, capsys: Any) -> None:
    before = {path.name for path in folder.iterdir()}
    assert prune(folder, "--ratio", "0.3", "--dry-run") == 0
    assert "Nothing was changed" in capsys.readouterr().out
    assert {path.name for path in folder.iterdir()} == before


def test_what_alerts_of_a_log_name(folder: Path, tmp_path: Path, capsys: Any) -> None:
    model = nets.functional()
    fw.snapshot(model, fw.Probe(*nets.images(12)), tmp_path, recorders=[fw.FilterHealth()])
    assert prune(folder, "--logdir", str(tmp_path), "--dry-run") == 0      # one look raises no alert
    assert "Nothing goes." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "say what goes"),
        (["--plan", "PLAN", "--ratio", "0.5", "-o", "OUT"], "either"),
        (["--ratio", "0.5"], "-o small.keras"),
        (["--ratio", "0.5", "-o", "MODEL"], "is the model itself"),
        (["--ratio", "0.5", "-o", "small.txt"], "ends in .keras"),
        (["--ratio", "0.5", "-o", "OUT", "--criterion", "taylor"], "--criterion taylor needs samples: give --probe"),
        (["--ratio", "0.5", "-o", "OUT", "--ignore", "lost"], "did you mean 'last'"),
        (["--ratio", "0.5", "-o", "OUT", "--probe", "lost.npz"], "there is no file 'lost.npz'"),
        (["--plan", "MODEL", "-o", "OUT"], "cannot be read as a plan"),
        (["--ratio", "0.5", "-o", "no/small.keras"], "there is no folder 'no'"),
        (["--ratio", "0.5", "-o", "OUT", "--save-plan", "no/plan.json"], "there is no folder 'no'"),
        (["--ratio", "0.5", "-o", "OUT", "--save-plan", "MODEL"], "is the model itself"),
        (["--ratio", "0.5", "--dry-run", "--save-plan", "MODEL"], "is the model itself"),
        (["--ratio", "0.5", "-o", "OUT", "--save-plan", "OUT"], "is the file of --save-plan"),
        (["--ratio", "0.5", "-o", "OUT", "--save-plan", "PROBE", "--probe", "PROBE"], "is the file of samples"),
        (["--ratio", "0.5", "--dry-run", "--save-plan", "tests"], "'tests' is a folder: give a file"),
    ],
)
def test_mistakes_are_one_line(folder: Path, capsys: Any, arguments: list[str], said: str) -> None:
    assert prune(folder, *arguments) == 1
    error = capsys.readouterr().err
    assert said in error and error.startswith("featwatch prune: ") and error.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--ratio", "2"], ["--ratio", "much"], ["--round-to", "0"], ["--criterion", "l1"]])
def test_the_parser_refuses(folder: Path, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as found:
        prune(folder, *arguments)
    assert found.value.code == 2


class Unknown(keras.layers.Layer):
    """A user's own, which Keras does not know by name."""


def test_a_model_that_is_none(folder: Path, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "text.keras").write_text("no model")
    nets.sequential().save_weights(tmp_path / "only.weights.h5")
    keras.Sequential([keras.Input((2,)), Unknown()]).save(tmp_path / "own.keras")
    for name, said in (
        ("no.keras", "there is no file"),
        ("text.keras", "is no model that Keras can load: give what model.save('model.keras') writes"),
        (str(folder / "plan.json"), "is no model that Keras can load"),
        ("only.weights.h5", "holds weights and no model"),
        ("own.keras", "Could not locate class 'Unknown'. Where it needs classes"),
    ):
        assert main(["prune", str(tmp_path / name), "--ratio", "0.5", "--dry-run"]) == 1
        assert said in capsys.readouterr().err
