"""What fails, is refused or interrupted: nothing of it ends a training, and all of it is said."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import featwatch as fw
from featwatch.errors import FeatwatchWarning
from featwatch.taps import TapPass
from tests.fits import PROBE, Breaking, Interrupt, X, fit, ours, quick, there
from tests.nets import afresh, keras_layout, sequential


def test_two_watches_do_not_write_into_one_directory(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="another training is writing into"):
        fit(afresh(sequential), quick(tmp_path), quick(tmp_path))


def test_after_an_interrupted_fit_a_new_watch_takes_over(tmp_path: Path) -> None:
    model, first = afresh(sequential), quick(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        fit(model, first, Interrupt())
    fit(model, quick(tmp_path), epochs=3, initial_epoch=1)
    run = fw.load(tmp_path)
    assert run.epochs == [0, 1, 2, 3] and [session.epoch for session in run.sessions] == [0, 1]


def test_a_fit_that_was_interrupted_does_not_lock_its_directory(tmp_path: Path) -> None:
    """Not even where nobody holds its watch any more, as in a notebook's cell that is run again."""
    model = afresh(sequential)
    with pytest.raises(KeyboardInterrupt):
        fit(model, quick(tmp_path), Interrupt())
    gc.collect()
    fit(model, quick(tmp_path), epochs=3, initial_epoch=1)
    assert fw.load(tmp_path).epochs == [0, 1, 2, 3]


def test_an_interrupted_fit_elsewhere_is_let_go_when_the_next_begins(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(afresh(sequential), fw.Watch(tmp_path / "first", PROBE), Interrupt())
    gc.collect()
    fit(afresh(sequential), quick(tmp_path / "second"), epochs=1)
    deadline = time.monotonic() + 120       # the worker may be starting, on a busy machine
    while time.monotonic() < deadline and any(thread.name.startswith("featwatch") for thread in threading.enumerate()):
        time.sleep(0.2)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("featwatch")]


def test_a_watch_that_cannot_start_leaves_the_old_log_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit(afresh(sequential), quick(tmp_path), epochs=1)
    files = sorted((tmp_path / "featwatch").iterdir())

    def explode(*_: Any) -> None:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr("featwatch.taps.TapPass.prepare", explode)
    with pytest.warns(FeatwatchWarning, match="could not be started.*no such kernel") as caught:
        fit(afresh(sequential), quick(tmp_path), epochs=1)
    assert ours(caught) == 1 and sorted((tmp_path / "featwatch").iterdir()) == files


def test_epochs_are_counted_while_the_watch_is_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = TapPass.read
    failing = iter([False, True])

    def sometimes(*arguments: Any) -> Any:
        if next(failing, False):
            raise RuntimeError("once")
        return read(*arguments)

    monkeypatch.setattr(TapPass, "read", sometimes)
    model, watch = afresh(sequential), quick(tmp_path)
    with pytest.warns(FeatwatchWarning, match="failed and is switched off"):
        fit(model, watch, epochs=4)
    fit(model, watch, epochs=2)
    run = fw.load(tmp_path)
    assert run.epochs == [0, 4, 5, 6]
    assert any("once" in entry["text"] for entry in run.journal)


def test_a_user_who_does_not_want_to_wait_for_the_analysis_gets_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("featwatch.background.InlineAnalyst.finish", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(afresh(sequential), quick(tmp_path), epochs=1)
    monkeypatch.undo()
    fit(afresh(sequential), quick(tmp_path), epochs=3, initial_epoch=1)
    assert fw.load(tmp_path).epochs == [0, 1, 2, 3]


def test_a_failing_recorder_costs_one_warning_and_the_others_go_on(tmp_path: Path) -> None:
    watch = quick(tmp_path, recorders=[fw.FilterHealth(), Breaking()])
    said = r"breaking failed at layer 'conv', epoch 0 \(RuntimeError: out of luck\)"
    with pytest.warns(FeatwatchWarning, match=said) as caught:
        fit(afresh(sequential), watch)
    assert ours(caught) == 1
    run = fw.load(tmp_path)
    assert run.health("dense", 3).dead.shape == (8,)
    assert [entry["recorder"] for entry in run.journal if entry["kind"] == "failed"] == ["breaking"]


def test_strict_raises_instead(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="breaking failed at layer 'conv'"):
        fit(afresh(sequential), quick(tmp_path, recorders=[Breaking()], strict=True))


def test_no_exception_gets_out_even_where_warnings_are_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: Any, **__: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("featwatch.taps.TapPass.read", explode)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = fit(afresh(sequential), quick(tmp_path), epochs=2)
    assert len(history.history["loss"]) == 2


def test_a_full_disk_costs_one_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("featwatch.writers.EventFileWriter._put_record", full)
    with pytest.warns(FeatwatchWarning, match="can no longer be written.*No space left") as caught:
        fit(afresh(sequential), quick(tmp_path), epochs=3)
    assert ours(caught) == 1


def test_a_worker_killed_in_the_middle_costs_one_warning(tmp_path: Path) -> None:
    watch = fw.Watch(tmp_path, PROBE, recorders=[fw.Separation()])

    class Kill(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if epoch == 1:
                analyst = watch._recording._analyst
                while analyst._worker._executor is None or not analyst._worker._executor._processes:
                    pass
                for pid in list(analyst._worker._executor._processes):
                    os.kill(pid, signal.SIGKILL)

    with pytest.warns(FeatwatchWarning, match="the analysis worker died and was started again") as caught:
        fit(afresh(sequential), watch, Kill(), epochs=4)
    assert ours(caught) == 1
    run = fw.load(tmp_path)
    assert [epoch for epoch in run.epochs if run.separation("conv", epoch)] == [0, 1, 2, 3, 4]
    assert any(entry["kind"] == "worker" for entry in run.journal)


def test_a_layout_that_the_worker_cannot_load_costs_that_recorder_alone(tmp_path: Path) -> None:
    recorders = [fw.Embeddings(layout=keras_layout), fw.Clusters(), fw.Separation(layers=lambda layer: layer.name == "conv")]
    with pytest.warns(FeatwatchWarning, match="embeddings failed.*imports neither.*and with it clusters") as caught:
        fit(afresh(sequential), fw.Watch(tmp_path, PROBE, recorders=recorders), epochs=2)
    assert ours(caught) == 1
    run = fw.load(tmp_path)
    assert [epoch for epoch in range(3) if there(run.separation, "conv", epoch)] == [0, 1, 2]
    assert not there(run.embedding, "conv", 2)


def test_a_diverged_training_goes_on_and_says_so(tmp_path: Path) -> None:
    class Diverge(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 1:
                kernel = self.model.get_layer("dense").kernel
                kernel.assign(np.full(kernel.shape, np.nan))

    fit(afresh(sequential), quick(tmp_path), Diverge(), epochs=3)
    run = fw.load(tmp_path)
    assert run.separation("conv", 1) and any("not finite" in entry["text"] for entry in run.journal)
    assert np.isnan(run.predictions(3).certainty).all()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"probe": X}, TypeError, r"probe is a ndarray; make one with featwatch.Probe"),
        ({"layers": 3}, TypeError, "layers=3"),
        ({"layers": []}, ValueError, "watches nothing"),
        ({"recorders": []}, ValueError, "records nothing"),
        ({"recorders": [fw.Separation]}, TypeError, r"featwatch.Separation\(\)"),
        ({"recorders": ["separation"]}, TypeError, "is none"),
        ({"recorders": [fw.Clusters()]}, ValueError, r"Clusters builds on Embeddings; add featwatch.Embeddings\(\)"),
        ({"recorders": [fw.Separation(), fw.Separation()]}, ValueError, "stands there twice"),
        ({"schedule": 5}, TypeError, r"every\(epochs=5\)"),
        ({"budget": 0.05}, ValueError, "budget=0.05: not supported yet"),
        ({"on_alert": 3}, TypeError, "on_alert=3: expected a function"),
        ({"background": "yes"}, TypeError, "expected True or False"),
        ({"output": 1.5}, TypeError, "output=1.5"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused_by_the_constructor(
    tmp_path: Path, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        fw.Watch(tmp_path, **{"probe": PROBE, **arguments})


def test_a_directory_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be written.*choose a directory that can"):
        fw.Watch(tmp_path / "file" / "run", PROBE)
    with pytest.raises(TypeError, match="expected a path"):
        fw.Watch(3, PROBE)


@pytest.mark.parametrize(
    ("model", "probe", "arguments", "error", "message"),
    [
        (sequential, fw.Probe(X[..., 0]), {}, ValueError, r"the probe's samples have the shape \(8, 8\).*pass x\[..., None\]"),
        (sequential, fw.Probe(X[:, :4]), {}, ValueError, "pass samples of the same shape"),
        (sequential, PROBE, {"layers": "cnv"}, ValueError, "did you mean 'conv'"),
        (sequential, PROBE, {"recorders": [fw.Separation(layers="cnv")]}, ValueError, "did you mean 'conv'"),
        (sequential, PROBE, {"output": 3}, ValueError, "has 1 output"),
    ],
)
def test_what_does_not_fit_the_model_is_refused_as_fit_starts(
    tmp_path: Path, model: Any, probe: fw.Probe, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        fit(afresh(model), quick(tmp_path, probe=probe, **arguments))
