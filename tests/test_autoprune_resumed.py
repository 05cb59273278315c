"""A training with AutoPrune that was killed or interrupted, and goes on from the backup of a smaller model."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import featwatch as fw
from featwatch.errors import FeatwatchWarning
from featwatch.prune.auto.course import _decided
from featwatch.prune.auto.ledger import in_effect
from featwatch.prune.auto.pace import Pace
from featwatch.prune.surgery import backups
from featwatch.records import Pruning
from tests.test_autoprune import fit, watched
from tests.test_watch_resized import net as compiled

TRAIN = """
import os, shutil, sys
from pathlib import Path
import keras
from tests.test_autoprune_resumed import callbacks_in, fit, net

folder = Path(sys.argv[1])

class Killed(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        if epoch + 1 == 4:
            shutil.copytree(folder / "backup", folder / "copy")

    def on_train_batch_begin(self, batch, logs=None):
        if self.epoch == 7 and batch == 1:
            os._exit(9)

fit(net(), *callbacks_in(folder, "backup"), keras.callbacks.CSVLogger(folder / "log.csv"), Killed(), epochs=9)
"""


def net(seed: int = 0) -> Any:
    """8 and 6 units can go; run eagerly: tracing after each step would take longer than all epochs."""
    model = compiled(seed)
    model.run_eagerly = True
    return model


def callbacks_in(folder: Path, backup: str, first: bool = False, recorded: Any = None) -> list[Any]:
    """A watch, pruning at epochs 2, 4 and 6, and backups; `first`: these come first.  `recorded`: at which epochs, None = all."""
    watch = watched(folder / "log", schedule=recorded)
    prune = fw.AutoPrune(watch, 0.2, 0.7, cooldown=2, guard=("val_loss", 9.0), criterion="l2", latency=False)
    kept = keras.callbacks.BackupAndRestore(folder / backup)
    return [kept, watch, prune] if first else [watch, prune, kept]


def test_a_killed_training_goes_on_as_it_would_have_gone_on(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(TRAIN)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, str(script), str(tmp_path)], env=environment, timeout=240).returncode == 9
    with open(tmp_path / "log.csv") as file:
        before = {int(row["epoch"]): float(row["val_loss"]) for row in csv.DictReader(file)}
    steps = fw.load(tmp_path / "log").prunings
    assert [(each.epoch, each.action) for each in steps] == [(2, "pruned"), (4, "pruned"), (6, "pruned")]

    # The net is drawn anew, the log is two epochs ahead of the backup, which was made right before the step of its epoch.
    history = fit(net(seed=1), *callbacks_in(tmp_path, "copy", first=True), epochs=8)
    assert history.epoch == [4, 5, 6, 7]
    np.testing.assert_allclose(history.history["val_loss"][:3], [before[epoch] for epoch in (4, 5, 6)], rtol=1e-4)
    run = fw.load(tmp_path / "log")
    assert [(each.epoch, each.action, each.origin) for each in run.prunings] == [
        (each.epoch, each.action, each.origin) for each in steps
    ]
    assert [run.size(epoch).units for epoch in range(9)] == [14, 14, 12, 12, 10, 10, 8, 8, 8]
    assert len(run.health("conv", 5).dead) == model_width(steps[:2])
    assert any("1 step of pruning repeated" in each["text"] for each in run.journal)
    assert run.problems == []


def model_width(steps: list[Pruning]) -> int:
    return 8 - sum(len(each.origin.get("conv", ())) for each in steps)


class Interrupted(keras.callbacks.Callback):
    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == self.epoch:
            raise KeyboardInterrupt


def test_a_step_that_no_backup_has_seen_and_that_comes_too_late_now_is_lost_and_the_log_says_so(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(net(), *callbacks_in(tmp_path, "backup", True, fw.at(0)), Interrupted(4), epochs=9)
    assert [each.epoch for each in fw.load(tmp_path / "log").prunings] == [2, 4]
    model = net(seed=1)
    history = fit(model, *callbacks_in(tmp_path, "backup", recorded=fw.at(0)), epochs=5)
    run = fw.load(tmp_path / "log")
    assert history.epoch == [4]
    assert [(each.epoch, each.action) for each in run.prunings] == [(2, "pruned"), (4, "refused")]
    assert "was lost: the training was resumed" in run.prunings[1].reason
    assert [run.size(epoch).units for epoch in (3, 4, 5)] == [12, 12, 12]
    assert run.prunings[1].units_original == 14 and model.get_layer("conv").filters == model_width(run.prunings[:1])


def test_a_backup_of_another_model_is_left_to_keras(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(net(), *callbacks_in(tmp_path, "backup", recorded=fw.at(0)), Interrupted(3), epochs=9)
    entry = json.loads((tmp_path / "backup" / backups.FILE).read_text())[0]
    entry["units"]["conv"] = 9
    (tmp_path / "backup" / backups.FILE).write_text(json.dumps([entry]))
    model = net()
    with pytest.warns(FeatwatchWarning, match="could not be made as small as its backup.*none of the 1 steps"), pytest.raises(
        ValueError, match="shape"
    ):
        fit(model, *callbacks_in(tmp_path, "backup", recorded=fw.at(0)), epochs=3)
    assert model.get_layer("conv").filters == 8


# -- what is written beside backups ------------------------------------------------------------------------------------


def chain(steps: list[backups.Step], *units: int) -> list[list[backups.Step]]:
    return list(backups._chains(steps, units))


def test_steps_that_were_undone_or_lost_are_ways_that_are_tried_after_the_later_ones() -> None:
    undone, first = backups.Step((4, 6), {0: [1]}), backups.Step((4, 6), {1: [0, 5]})
    second, other = backups.Step((4, 4), {0: [0, 3], 1: [1]}), backups.Step((5, 6), {0: [0]})
    steps = [undone, first, second, other]
    assert chain(steps, 4, 6) == [[], [first], [first, second], [undone]]
    assert chain(steps, 4, 4) == [[], [second]]
    assert chain(steps, 3, 3) == [[]]
    assert backups._together([first, second]) == {1: [0, 5, 2], 0: [0, 3]}     # of 1, 2, 3, 4 the second one is 2


def test_what_is_written_is_read_again_whatever_else_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / backups.FILE
    steps = [backups.Step((4, 6), {0: [1]}), backups.Step((3, 6), {1: [2, 3], 0: [0]})]
    backups._write(path, steps, ["conv", "dense"])
    assert backups._steps(path) == steps
    assert json.loads(path.read_text())[1] == {"units": {"conv": 3, "dense": 6}, "removed": {"dense": [2, 3], "conv": [0]}}
    for wrong in ("", "{", "[3]", '{"units": 3}', '[{"conv": [1]}]', '[{"units": {"a": 1}, "removed": {"b": [0]}}]'):
        path.write_text(wrong)
        assert backups._steps(path) == []


def test_a_model_resumed_by_other_names_and_from_the_older_file(tmp_path: Path) -> None:
    def built(prefix: str) -> Any:
        layers = keras.layers
        return keras.Sequential([keras.Input((3,)), layers.Dense(4, name=f"{prefix}a"), layers.Dense(2, name=f"{prefix}b")])

    small = built("x")
    fw.prune.plan(small, units={"xa": [1]}).apply_inplace(small)
    small.save_weights(tmp_path / "latest.weights.h5.bkp".replace(".bkp", ""))
    (tmp_path / "latest.weights.h5").rename(tmp_path / "latest.weights.h5.bkp")
    (tmp_path / "latest.weights.h5").write_text("cut off")
    backups._write(tmp_path / backups.FILE, [backups.Step((4, 2), {0: [1]})], ["xa", "xb"])
    model = built("y")
    assert fw.prune.resumed(model, tmp_path) == 1
    assert model.get_layer("ya").units == 3
    assert fw.prune.resumed(model, tmp_path) == 0           # it fits


def test_each_surgery_is_written_once_and_the_optimiser_is_no_part_of_what_has_to_fit(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(5, name="a"), keras.layers.Dense(2, name="b")])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    backup = keras.callbacks.BackupAndRestore(tmp_path)
    backup.set_model(model)
    for _ in range(2):                                      # undone, and made again
        fw.prune.plan(model, units={"a": [1]}).apply_inplace(model).undo()
    fw.prune.plan(model, units={"a": [1]}).apply_inplace(model)
    fw.prune.plan(model, units={"a": [0, 2]}).apply_inplace(model)
    assert backups._steps(tmp_path / backups.FILE) == [backups.Step((5, 2), {0: [1]}), backups.Step((4, 2), {0: [0, 2]})]
    model.save_weights(tmp_path / "latest.weights.h5")
    assert backups._held(tmp_path) == {(3, 2): 1, (2,): 2, (2, 2): 1}


# -- what an earlier process did ---------------------------------------------------------------------------------------


def step(epoch: int, before: int, after: int) -> Pruning:
    return Pruning(epoch=epoch, action="pruned" if after < before else "undone", units_before=before, units_after=after)


def test_only_steps_that_the_model_has_seen_count() -> None:
    steps = [step(1, 14, 10), step(2, 10, 14), step(5, 14, 12), step(7, 12, 10)]
    refused = Pruning(epoch=8, action="refused", units_after=10)
    assert [len(in_effect([*steps, refused], now)) for now in (10, 12, 14, 13)] == [4, 3, 2, 0]


def test_the_pace_goes_on_after_the_steps_of_an_earlier_process() -> None:
    pace = Pace(cooldown=2, tries=3)
    pace.go_on(_decided([step(1, 14, 10), step(2, 10, 14), step(6, 14, 12)]))
    assert (pace.next, pace.share, pace.over) == (8, 0.5, False)
    pace = Pace(cooldown=2, tries=2)
    pace.go_on(_decided([step(1, 14, 10), step(2, 10, 14), step(6, 14, 12), step(7, 12, 14)]))
    assert pace.share == 0.25 and pace.over
