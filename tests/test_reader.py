"""`load` gives back what the real writer wrote."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorboard.compat.proto.event_pb2 import Event

import featwatch as fw
from featwatch.eventfiles import Damage, events, read_event
from featwatch.logindex import _Column, _Superseded
from featwatch.phrases import ranges
from featwatch.reader import Run
from featwatch.records import LayerSeparation, Session
from featwatch.writers import EventFileWriter
from tests.small_logs import LAYERS, SAMPLES, info, session, snapshot, train

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])     # a loaded machine is no failure


@pytest.fixture(scope="module")
def log_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("logs") / "run-1"
    train(path, range(13))
    return path


def test_everything_comes_back(log_dir: Path) -> None:
    run = fw.load(log_dir)
    assert run.epochs == list(range(13)) and run.layers == list(LAYERS) and run.problems == [] and run.alerts == []
    assert run.layer_infos == {name: info(name) for name in LAYERS}
    assert run.session.schedule == "every(epochs=1)" and [one.epoch for one in run.sessions] == [0]
    assert run.probe.class_names == ("a", "b") and len(run.probe) == SAMPLES
    for layer in LAYERS:
        assert np.array_equal(run.embedding(layer, 7).points, np.full((SAMPLES, 2), 7, np.float32))
        assert run.clusters(layer, np.int64(7)).labels.tolist() == [-1, 0, 1, 2, 3]
        assert run.separation(layer, 7).knn_accuracy == 0.7
        assert run.health(layer, 7).cause.tolist() == ["no energy", "", "", ""] and run.health(layer, 7).dead_count == 1
    assert run.predictions(7).scores.shape == (SAMPLES, 3) and run.predictions(7).epoch == 7
    assert run.metrics(7) == {"loss": 1 / 8, "mark": 0.0}
    assert [entry["text"] for entry in run.journal] == [f"epoch {k}" for k in range(13)]
    assert repr(run) == f"<Run {str(log_dir)!r}: 3 layers, epochs 0–12>"


def test_numbers_are_series_for_a_plot(log_dir: Path) -> None:
    run = fw.load(log_dir)
    epochs, values = run.numbers("separation", "dense", "knn_accuracy")
    assert epochs.tolist() == list(range(13)) and np.array_equal(values, np.arange(13) / 10) and epochs.dtype == np.int64
    epochs, values = run.numbers("epoch", "", "loss")
    assert np.allclose(values, 1 / (epochs + 1))
    assert run.numbers("separation", "dense", "silhouette")[1].dtype == np.float64
    assert np.isnan(run.numbers("separation", "dense", "silhouette")[1]).all()


@pytest.mark.parametrize("path", [str, lambda path: path, lambda path: path / "featwatch", lambda path: f"{path}/"])
def test_the_log_directory_in_every_form(log_dir: Path, path: Callable[[Path], str | Path]) -> None:
    assert fw.load(path(log_dir)).epochs == list(range(13))


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda run: run.embedding("conv2", 1), "no layer is called 'conv2' (did you mean 'conv1'?); recorded: conv1, block"),
        (lambda run: run.embedding("Dense", 1), "no layer is called 'Dense' (did you mean 'dense'?)"),
        (lambda run: run.health("conv1", 13), "no 'health' of 'conv1' was recorded at epoch 13; recorded at 0–12"),
        (lambda run: run.embedding("conv1", -1), "no 'embedding' of 'conv1' was recorded at epoch -1; recorded at 0–12"),
        (lambda run: run.embedding("conv1", 10**30), "recorded at 0–12"),
        (lambda run: run.predictions(99), "no 'predictions' was recorded at epoch 99; recorded at 0–12"),
        (lambda run: run.metrics(99), "no 'epoch' was recorded at epoch 99"),
        (lambda run: run.numbers("health", "conv9", "dead_count"), "no layer is called 'conv9'"),
        (lambda run: run.numbers("health", "conv1", "dead"), "'health' has no number called 'dead' (did you mean 'dead_count'?)"),
        (lambda run: run.numbers("heath", "conv1", "dead"), "no records are called 'heath' (did you mean 'health'?)"),
        (lambda run: run.numbers("epoch", "conv1", "loss"), "'epoch' belongs to no layer, not to 'conv1'; pass \"\""),
    ],
)
def test_what_was_not_recorded_is_a_key_error_that_says_what_was(log_dir: Path, ask: Callable[[Run], object], says: str) -> None:
    with pytest.raises(KeyError) as caught:
        ask(fw.load(log_dir))
    assert says in str(caught.value) and not str(caught.value).startswith(('"', "'n"))


def test_wrong_arguments_are_type_errors(log_dir: Path) -> None:
    run = fw.load(log_dir)
    with pytest.raises(TypeError, match="layer=3: expected a layer's name"):
        run.embedding(3, "conv1")
    with pytest.raises(TypeError, match=r"epoch=1\.0: expected a whole number"):
        run.embedding("conv1", 1.0)
    with pytest.raises(TypeError, match="log_dir=None: expected the path"):
        fw.load(None)


def test_kinds_that_were_not_recorded_are_told_apart_from_layers(tmp_path: Path) -> None:
    writer = EventFileWriter(tmp_path, 0)
    for record in (session(0), LayerSeparation(epoch=0, layer="conv1"), LayerSeparation(epoch=4, layer="conv1")):
        writer.write(record)
    writer.close()
    run = fw.load(tmp_path)
    assert run.epochs == [0, 4] and run.layers == list(LAYERS)
    for ask, says in [
        (lambda: run.health("conv1", 0), "no 'health' was recorded; there are separation"),
        (lambda: run.separation("dense", 0), "no 'separation' was recorded of 'dense'; it was of conv1"),
        (lambda: run.separation("conv1", 2), "recorded at 0, 4"),
        (lambda: run.probe, "no 'probe' was recorded"),
    ]:
        with pytest.raises(KeyError) as caught:
            ask()
        assert says in str(caught.value)


def test_epochs_are_listed_in_short() -> None:
    assert ranges([0, 1, 2, 3, 7, 9, 10]) == "0–3, 7, 9–10"
    assert ranges([5]) == "5" and ranges([]) == ""
    assert ranges(list(range(0, 2000, 2))) == "0, 2, 4, 6, 8, 10, 12, …, 1998"


# Directories without a run


def test_a_directory_that_is_not_there_names_the_runs_beside_it(log_dir: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no directory '.*run-2'; runs in '.*': run-1"):
        fw.load(log_dir.parent / "run-2")


def test_the_directory_above_names_its_runs(log_dir: Path) -> None:
    with pytest.raises(ValueError, match=r"nothing of featwatch's was recorded in .*; runs in '.*': run-1; fw.Watch\(log_dir"):
        fw.load(log_dir.parent)


def test_an_empty_directory_and_a_file_are_refused(tmp_path: Path, log_dir: Path) -> None:
    with pytest.raises(ValueError, match="nothing of featwatch's was recorded"):
        fw.load(tmp_path)
    with pytest.raises(ValueError, match="is a file; pass the directory"):
        fw.load(next((log_dir / "featwatch").glob("*tfevents*")))
    (tmp_path / "featwatch").mkdir()
    (tmp_path / "featwatch" / "events.out.tfevents.1.x").write_bytes(b"not a record at all")
    with pytest.raises(ValueError, match="byte 0: not a record"):
        fw.load(tmp_path)


# Several sessions


def marks(run: Run) -> list[float]:
    """Which training each epoch's records are of."""
    found = [run.metrics(epoch)["mark"] for epoch in run.epochs]
    assert found == [run.embedding("conv1", epoch).points[0, 0] - epoch for epoch in run.epochs]
    return found


def test_a_resumed_training_replaces_what_came_after_its_start(tmp_path: Path) -> None:
    train(tmp_path, range(0, 7), 0.25)
    train(tmp_path, range(4, 6), 0.5)
    run = fw.load(tmp_path)
    assert run.epochs == [0, 1, 2, 3, 4, 5] and marks(run) == [0.25] * 4 + [0.5] * 2
    assert [one.epoch for one in run.sessions] == [0, 4] and run.session.epoch == 4 and run.probe.epoch == 4
    assert run.numbers("epoch", "", "mark")[1].tolist() == [0.25] * 4 + [0.5] * 2
    train(tmp_path, range(4, 5), 0.75)                              # resumed from there once more
    assert marks(fw.load(tmp_path)) == [0.25] * 4 + [0.75]
    assert [one.epoch for one in fw.load(tmp_path).sessions] == [0, 4]


def test_the_newest_session_says_what_is_watched(tmp_path: Path) -> None:
    train(tmp_path, range(3), layers=("dense", "conv1"))
    train(tmp_path, range(2, 4), layers=("conv1", "added"))
    run = fw.load(tmp_path)
    assert list(run.layer_infos) == ["conv1", "added"] and run.layers == ["conv1", "added", "dense"]
    assert run.embedding("dense", 1).epoch == 1


def test_a_training_that_starts_over_replaces_everything(tmp_path: Path) -> None:
    train(tmp_path, range(5), 0.25, ("old1", "old2"))
    train(tmp_path, range(2), 0.5)
    run = fw.load(tmp_path)
    assert marks(run) == [0.5, 0.5] and run.layers == list(LAYERS) and len(run.sessions) == 1
    with pytest.raises(KeyError, match="no layer is called 'old1'"):
        run.embedding("old1", 0)


def test_a_session_that_recorded_nothing_yet_replaces_already(tmp_path: Path) -> None:
    train(tmp_path, range(5), 0.25)
    train(tmp_path, range(0, 0))
    run = fw.load(tmp_path)
    assert run.epochs == [] and run.layers == list(LAYERS)
    with pytest.raises(KeyError, match="no 'health' was recorded; there are no snapshots yet"):
        run.health("conv1", 0)


EVENTS = st.lists(st.tuples(st.booleans(), st.integers(-2, 6), st.integers(0, 8) | st.just(float("nan"))), max_size=25)


@PATIENT
@given(EVENTS)
def test_superseding_is_what_the_rule_says(events: list[tuple[bool, int, float]]) -> None:
    """(is a session, epoch, wall time): a record is superseded iff a session was opened later at its epoch or before."""
    columns = _Column(), _Column()
    for is_session, epoch, wall_time in events:
        columns[is_session].position.append(epoch)
        columns[is_session].wall_time.append(wall_time)
    replaced = _Superseded(columns[True])
    for is_session, column in enumerate(columns):
        found = replaced(np.array(column.wall_time), np.array(column.position, np.int64))
        expected = [
            any(opened and first <= epoch and time > wall_time for opened, first, time in events)
            for kind, epoch, wall_time in events
            if kind == bool(is_session)
        ]
        assert found.tolist() == expected


def test_the_last_of_several_records_of_one_epoch_counts(tmp_path: Path) -> None:
    writer = EventFileWriter(tmp_path, 0)
    for accuracy in (0.1, 0.2, 0.3):
        writer.write(LayerSeparation(epoch=3, layer="conv1", knn_accuracy=accuracy))
    writer.close()
    assert fw.load(tmp_path).separation("conv1", 3).knn_accuracy == 0.3
    assert len(fw.load(tmp_path).numbers("separation", "conv1", "knn_accuracy")[0]) == 1


def test_layers_that_make_no_sense_are_left_out(tmp_path: Path) -> None:
    writer = EventFileWriter(tmp_path, 0)
    odd = ({}, {**info("x").as_dict(), "name": 3}, {"name": "half"}, {**info("conv1").as_dict(), "colour": "red"})
    writer.write(Session(epoch=0, started=1.0, layers=odd))
    writer.close()
    assert fw.load(tmp_path).layer_infos == {"conv1": info("conv1")}


def test_a_run_that_is_being_written_can_be_read(tmp_path: Path) -> None:
    writer = EventFileWriter(tmp_path, 0)
    writer.write(session(0))
    for epoch in range(3):
        for record in snapshot(epoch):
            writer.write(record)
        writer.flush()
        assert fw.load(tmp_path).epochs == list(range(epoch + 1))
    writer.close()


def test_events_are_those_that_tensorflow_finds(log_dir: Path) -> None:
    import tensorflow as tf

    (path,) = (log_dir / "featwatch").glob("*tfevents*")
    theirs = [raw.numpy() for raw in tf.data.TFRecordDataset(str(path))]
    ours = list(events(str(path)))
    assert len(ours) == len(theirs) > 100
    for found, raw in zip(ours, theirs, strict=True):
        assert not isinstance(found, Damage)
        place, event = found
        assert event == Event.FromString(raw) == read_event(place) and place.length == len(raw)


def test_remote_directories_are_read_through_tensorflow() -> None:
    train("ram://logs/run-1", range(3))
    run = fw.load("ram://logs/run-1")
    assert run.epochs == [0, 1, 2] and run.embedding("dense", 2).points[0, 0] == 2 and run.problems == []
    assert fw.load("ram://logs/run-1/featwatch/").epochs == [0, 1, 2]
    with pytest.raises(FileNotFoundError, match="there is no directory"):
        fw.load("ram://logs/run-9")


def test_reading_needs_neither_keras_nor_tensorflow(log_dir: Path) -> None:
    code = (
        "import sys, featwatch\n"
        f"run = featwatch.load({str(log_dir)!r}); assert run.problems == []; run.health('dense', 3)\n"
        "sys.exit(bool({'keras', 'tensorflow'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
