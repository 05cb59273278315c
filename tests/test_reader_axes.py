"""What `load` gives back beside the spine: records by step, galleries, alerts, cost, and frames."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import featwatch as fw
from featwatch import wire
from featwatch.reader import Run
from featwatch.records import (
    Alert,
    Closing,
    EpochLog,
    FeatureImages,
    FilterExemplars,
    Histograms,
    Journal,
    LayerSeparation,
    Record,
    Session,
)
from featwatch.writers import EventFileWriter, has_records
from tests.event_logs import HandMadeLog, header
from tests.small_logs import LAYERS, session, snapshot, train


def write(log_dir: Path, records: list[Record], first: int = 0, axis: str = "epochs") -> None:
    writer = EventFileWriter(log_dir, first, axis=axis)
    for record in records:
        writer.write(record)
    writer.close()


def separation(epoch: int, step: int = -1, mark: float = 0.5, layer: str = "conv1") -> LayerSeparation:
    return LayerSeparation(epoch=epoch, step=step, layer=layer, knn_accuracy=mark)


def histogram(epoch: int, step: int = -1) -> Histograms:
    return Histograms(
        epoch=epoch, step=step, layer="conv1", counts=np.full((2, 3), epoch), edges=np.arange(4.0), minimum=np.array([-1.0, 0.0]),
        maximum=np.array([1.0, epoch]), inputs=np.arange(2), maxima=np.zeros((2, 2)),
    )  # fmt: skip


def exemplars(epoch: int) -> FilterExemplars:
    return FilterExemplars(
        epoch=epoch, layer="conv1", samples=np.array([[3, 1]]), activation=np.array([[2.0, 1.0]]), position=np.zeros((1, 2, 2)),
        input_shape=(8, 8),
    )  # fmt: skip


def images(
    epoch: int, filters: list[int], *, side: int = 2, channels: int = 1, low: float = 0.0, high: float = 1.0, **more: object
) -> FeatureImages:
    """Every pixel of filter f at epoch k is 10 k + f."""
    n = len(filters)
    pixels = np.stack([np.full((side, side, channels), 10 * epoch + f, np.uint8) for f in filters])
    return FeatureImages(
        epoch=epoch, layer="conv1", filters=np.array(filters), pixels=pixels, low=np.full(channels, low),
        high=np.full(channels, high), activation=np.array(filters) + epoch, natural=np.full(n, np.nan), reached=np.ones(n, bool),
        refreshed=np.full(n, epoch), filters_in_all=8, **more,
    )  # fmt: skip


# Records by step


@pytest.fixture(scope="module")
def log_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three epochs of 100 steps, separations and a histogram every 50 steps; cost in the epochs' logs."""
    path = tmp_path_factory.mktemp("logs") / "run-1"
    train(path, range(4))
    stepwise: list[Record] = [Session(epoch=0, step=0, started=1.0)]
    for step in range(0, 301, 50):
        stepwise += [separation(step // 100, step, step / 1000), histogram(step // 100, step)]
    write(path, stepwise, axis="steps")
    return path


def test_records_by_step_stand_beside_those_by_epoch(log_dir: Path) -> None:
    run = fw.load(log_dir)
    assert run.epochs == [0, 1, 2, 3] and run.steps == list(range(0, 301, 50)) and run.problems == []
    record = run.separation("conv1", step=150)
    assert (record.step, record.epoch, record.knn_accuracy) == (150, 1, 0.15)
    assert run.separation("conv1", 2).knn_accuracy == run.separation("conv1", epoch=2).knn_accuracy == 0.2
    assert run.separation("conv1", 2).step == -1 and run.histograms("conv1", step=300).counts.tolist() == [[3] * 3] * 2
    steps, values = run.numbers("separation", "conv1", "knn_accuracy", axis="steps")
    assert steps.tolist() == run.steps and values.tolist() == [step / 1000 for step in run.steps]
    assert run.numbers("separation", "conv1", "knn_accuracy")[0].tolist() == [0, 1, 2, 3]
    assert repr(run).endswith("3 layers, epochs 0–3, steps 0, 50, 100, 150, 200, 250, 300>")
    assert fw.load(log_dir / "featwatch").steps == run.steps and has_records(log_dir, "steps")


@pytest.mark.parametrize(
    ("ask", "error", "says"),
    [
        (lambda run: run.separation("conv1"), TypeError, "epoch=None, step=None: expected one of the two"),
        (lambda run: run.separation("conv1", 1, step=50), TypeError, "epoch=1, step=50: expected one of the two"),
        (lambda run: run.separation("conv1", step=1.5), TypeError, "step=1.5: expected a whole number"),
        (lambda run: run.predictions(), TypeError, "expected one of the two"),
        (lambda run: run.separation("conv1", step=60), KeyError, "at step 60; recorded at 0, 50, 100, 150, 200, 250, 300"),
        (lambda run: run.separation("dense", step=50), KeyError, "no 'separation' was recorded of 'dense'; it was of conv1"),
        (lambda run: run.embedding("conv1", step=50), KeyError, "no 'embedding' was recorded by step; it was at epochs 0–3"),
        (lambda run: run.histograms("conv1", 1), KeyError, "no 'histograms' was recorded by epoch; it was at steps 0, 50"),
        (lambda run: run.exemplars("conv1", step=50), KeyError, "no 'exemplars' was recorded; there are separation, histograms"),
        (lambda run: run.metrics(step=50), KeyError, "no 'epoch' was recorded by step; it was at epochs 0–3"),
        (lambda run: run.numbers("embedding", "conv1", "trustworthiness", "steps"), KeyError, "by step; it was at epochs"),
        (lambda run: run.numbers("separation", "conv1", "knn_accuracy", "days"), ValueError, "axis='days': expected 'epochs' or"),
        (lambda run: run.to_frame("separation", "days"), ValueError, "axis='days': expected 'epochs' or 'steps'"),
        (lambda run: run.to_frame("embedding"), ValueError, "what='embedding' (did you mean 'embeddings'?): expected one of"),
        (lambda run: run.to_frame(3), ValueError, "what=3: expected one of"),
        (lambda run: run.to_frame("embeddings", "steps"), KeyError, "no 'embedding' was recorded by step; it was at epochs 0–3"),
    ],
)  # fmt: skip
def test_who_asks_wrongly_is_told_what_there_is(
    log_dir: Path, ask: Callable[[Run], object], error: type[Exception], says: str
) -> None:
    with pytest.raises(error) as caught:
        ask(fw.load(log_dir))
    assert says in str(caught.value)


def test_a_run_of_steps_alone(tmp_path: Path) -> None:
    write(tmp_path / "logs" / "a", [separation(0, 7)], axis="steps")
    run = fw.load(tmp_path / "logs" / "a")
    assert run.epochs == [] and run.steps == [7] and run.layers == ["conv1"] and run.cost == {} and run.alerts == []
    with pytest.raises(ValueError, match="runs in .*: a;"):
        fw.load(tmp_path / "logs")


def test_each_axis_is_superseded_by_its_own_sessions(tmp_path: Path) -> None:
    """To epoch 6 and step 600, then once more from epoch 4, which is step 400."""
    for first, last, mark in ((0, 6, 0.25), (4, 5, 0.5)):
        train(tmp_path, range(first, last + 1), mark)
        steps = range(first * 100, last * 100 + 1, 20)
        records = [separation((step - 1) // 100, step, mark) for step in steps]
        write(tmp_path, [Session(epoch=first, step=first * 100, started=1.0), *records], first * 100, "steps")
    run = fw.load(tmp_path)
    assert run.epochs == [0, 1, 2, 3, 4, 5] and run.steps == list(range(0, 501, 20))
    expected = [0.25 if step < 400 else 0.5 for step in run.steps]
    assert [run.separation("conv1", step=step).knn_accuracy for step in run.steps] == expected
    assert run.numbers("separation", "conv1", "knn_accuracy", "steps")[1].tolist() == expected


def test_a_record_is_refused_by_the_writer_of_the_other_axis(tmp_path: Path) -> None:
    for axis, record in (("epochs", separation(0, 7)), ("steps", separation(0))):
        writer = EventFileWriter(tmp_path, 0, axis=axis)
        with pytest.raises(ValueError, match=f"'separation' record with step=-?[17] does not stand on the axis '{axis}'"):
            writer.write(record)
        writer.close()


def test_a_record_on_the_wrong_axis_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "place_of", lambda record: ("epochs", max(record.step, record.epoch)))
    write(tmp_path, [session(0), separation(3, 5), separation(4)])
    monkeypatch.undo()
    run = fw.load(tmp_path)
    assert run.separation("conv1", 4) and "names another kind, layer or place" in run.problems[0]


# Galleries


def gallery(log_dir: Path, *records: Record) -> Run:
    write(log_dir, [session(0), *records])
    return fw.load(log_dir)


def test_a_gallery_holds_each_filters_newest_image(tmp_path: Path) -> None:
    run = gallery(tmp_path, images(0, [5, 1]), images(2, [3, 1]), images(4, [0, 5]), images(6, [1]))
    found = run.feature_images("conv1", 4)
    assert found.filters.tolist() == [0, 1, 3, 5] and found.filters.dtype == np.int32
    assert found.refreshed.tolist() == [4, 2, 2, 4] and found.epoch == 4
    assert found.pixels[:, 0, 0, 0].tolist() == [40, 21, 23, 45] and found.pixels.shape == (4, 2, 2, 1)
    assert found.activation.tolist() == [4, 3, 5, 9] and found.reached.all() and found.pixels.dtype == np.uint8
    assert run.feature_images("conv1", 0).filters.tolist() == [1, 5]
    with pytest.raises(KeyError, match="at epoch 5; recorded at 0, 2, 4, 6"):
        run.feature_images("conv1", 5)


OTHER_GEOMETRIES = [{"side": 3}, {"channels": 3}, {"unit": (1, 1)}, {"box": (0, 1, 0, 1)}, {"patch": False}]


@pytest.mark.parametrize("change", OTHER_GEOMETRIES, ids=str)
def test_pictures_of_another_geometry_are_not_mixed(tmp_path: Path, change: dict[str, object]) -> None:
    run = gallery(tmp_path, images(0, [0]), images(1, [1], **change), images(2, [2]))
    assert run.feature_images("conv1", 2).filters.tolist() == [0, 2]
    assert run.feature_images("conv1", 1).filters.tolist() == [1]


def test_pictures_of_other_ranges_keep_their_values(tmp_path: Path) -> None:
    run = gallery(tmp_path, images(1, [0], low=-1.0, high=1.0), images(2, [1], low=0.0, high=4.0))
    found = run.feature_images("conv1", 2)
    assert (found.low.item(), found.high.item()) == (-1.0, 4.0)
    np.testing.assert_allclose(found.images[:, 0, 0, 0], [-1 + 10 / 255 * 2, 21 / 255 * 4], atol=5 / 255 / 2)


def test_filtered_pictures_are_those_of_the_last_record_that_has_some(tmp_path: Path) -> None:
    filtered = {"filtered_filters": np.array([0], np.int32), "preserved": np.ones(1, np.float32)}
    filtered |= {name: np.full((1, 5, 5, 3), 7, np.uint8) for name in ("whole_pixels", "filtered_pixels")}
    records = [images(epoch, [epoch], channels=3, **(filtered if epoch < 2 else {})) for epoch in range(3)]
    run = gallery(tmp_path, *records)
    assert run.feature_images("conv1", 1).filtered_pixels.tolist() == np.full((1, 5, 5, 3), 7).tolist()
    assert run.feature_images("conv1", 1).filtered.shape == (1, 5, 5, 3)
    later = run.feature_images("conv1", 2)
    assert later.filtered.shape == (1, 5, 5, 3) and later.note == "filtered images of epoch 1"


def test_no_more_is_read_than_needed_and_damaged_ones_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = gallery(tmp_path, *(images(epoch, list(range(epoch % 2 * 4, epoch % 2 * 4 + 4))) for epoch in range(6)))
    index, asked = run._axes["epochs"], []
    honest = index.read

    def read(kind: str, layer: str, position: int) -> Record:
        asked.extend([position] if kind == "feature_images" else [])
        if position == 4:
            raise wire.WireError("damaged")
        return honest(kind, layer, position)

    monkeypatch.setattr(index, "read", read)
    found = run.feature_images("conv1", 5)
    assert found.filters.tolist() == list(range(8)) and found.refreshed.tolist() == [2] * 4 + [5] * 4 and asked == [5, 4, 3, 2]
    with pytest.raises(wire.WireError, match="damaged"):
        run.feature_images("conv1", 4)


def test_exemplars_come_back(tmp_path: Path) -> None:
    found = gallery(tmp_path, exemplars(3)).exemplars("conv1", 3)
    assert found.samples.tolist() == [[3, 1]] and found.boxes.size == 0 and found.input_shape == (8, 8)


# Alerts and cost


def alert(since: int, updated: int, severity: str = "warning", resolved: int = -1, text: str = "") -> Alert:
    return Alert(
        id=f"dead filters/conv1/{since}", kind="dead filters", severity=severity, layer="conv1", filters=(1, 2), since=since,
        raised=since + 1, updated=updated, resolved=resolved, text=text, evidence={"dead": 2},
    )  # fmt: skip


def entered(*alerts: Alert) -> tuple[dict[str, object], ...]:
    return tuple({"kind": "alert", "epoch": one.updated, "text": one.text, "alert": one.as_dict()} for one in alerts)


def test_alerts_are_in_their_newest_state_the_worst_first(tmp_path: Path) -> None:
    note = {"kind": "note", "text": "a note"}
    write(tmp_path, [
        session(0),
        Journal(epoch=3, entries=(note, *entered(alert(1, 3), alert(2, 3, "advice")))),
        Journal(epoch=5, entries=entered(alert(3, 4, "critical"), alert(1, 5, text="more"), alert(0, 5))),
        # A journal may say again what an earlier one said: that is not its newest state.
        Journal(epoch=6, entries=entered(alert(1, 3), alert(3, 4, "critical", resolved=6, text="gone"))),
        Closing(epoch=6, entries=entered(alert(2, 6, "critical", text="last"), alert(2, 6, "critical", text="very last"))),
    ])  # fmt: skip
    run = fw.load(tmp_path)
    assert [(one.since, one.severity, one.text) for one in run.alerts] == [
        (2, "critical", "very last"), (3, "critical", "gone"), (0, "warning", ""), (1, "warning", "more"),
    ]  # fmt: skip
    assert not run.alerts[1].open and run.alerts[0].filters == (1, 2) and isinstance(run.alerts[0], Alert)
    assert run.journal == [note] and run.problems == []


def test_alerts_that_are_none_are_problems(tmp_path: Path) -> None:
    good = alert(1, 1).as_dict()
    odd: list[object] = [
        None, {**good, "id": 3}, {**good, "severity": "dire"}, {**good, "filters": ["a"]}, {"kind": "x"}, {**good, "since": 1.5}
    ]  # fmt: skip
    entries = tuple({"kind": "alert", "text": "", "alert": one} for one in [*odd, good])
    write(tmp_path, [session(0), Journal(epoch=1, entries=entries)])
    run = fw.load(tmp_path)
    assert [one.id for one in run.alerts] == [good["id"]] and run.journal == []
    assert len(run.problems) == len(odd) and all("An alert in the journal is not valid" in problem for problem in run.problems)


def test_entries_that_are_nested_beyond_all_measure_are_kept(tmp_path: Path) -> None:
    nested = json.loads("[" * 900 + "]" * 900)
    with HandMadeLog(tmp_path / "featwatch") as log:
        log.blobs("session", 0, [header("session", fields={"started": 1.0})])
        log.blobs("journal", 0, [header("journal", fields={"entries": [{"kind": "note", "nested": nested}, {"kind": "alert"}]})])
    run = fw.load(tmp_path)
    assert [entry["kind"] for entry in run.journal] == ["note"] and run.alerts == [] and "holds no alert" in run.problems[0]


def test_cost_is_that_of_the_newest_epoch(tmp_path: Path) -> None:
    costs = [{"Embeddings": {"blocked_seconds": 0.1 * k, "bytes": 10.0 * k}} for k in range(3)]
    write(tmp_path, [session(0), *(EpochLog(epoch=k, cost=cost) for k, cost in enumerate(costs))])
    assert fw.load(tmp_path).cost == costs[2]
    write(tmp_path, [session(3), EpochLog(epoch=3)], first=3)
    assert fw.load(tmp_path).cost == {}


# Frames


def test_frames_hold_what_the_records_hold(log_dir: Path) -> None:
    run = fw.load(log_dir)
    frame = run.to_frame("health")
    assert list(frame.columns[:3]) == ["epoch", "layer", "filter"] and len(frame) == 4 * 3 * 4
    row = frame[(frame.epoch == 2) & (frame.layer == "dense") & (frame["filter"] == 0)].iloc[0]
    assert row.cause == "no energy" and bool(row.dead) and row.group == -1 and row.energy == 0.0
    assert frame.epoch.is_monotonic_increasing and frame[frame.epoch == 0].layer.unique().tolist() == list(LAYERS)
    assert frame.dtypes["epoch"] == frame.dtypes["filter"] == np.int64 and frame.dtypes["dead"] == np.bool_
    frame = run.to_frame("separation")
    assert frame[frame.layer == "conv1"].knn_accuracy.tolist() == [0.0, 0.1, 0.2, 0.3] and frame.dtypes["neighbors"] == np.int64
    assert np.isnan(frame.silhouette).all() and "step" not in frame
    assert run.to_frame("embeddings").method.tolist() == ["umap"] * 12 and run.to_frame("clusters")["count"].tolist() == [4] * 12
    frame = run.to_frame("epochs")
    assert frame.loss.tolist() == [1 / (k + 1) for k in range(4)] and "layer" not in frame
    assert run.to_frame("predictions").accuracy.tolist() == [0.5] * 4


def test_frames_of_steps_say_in_which_epoch_they_were(log_dir: Path) -> None:
    run = fw.load(log_dir)
    frame = run.to_frame("separation", axis="steps")
    assert list(frame.columns[:3]) == ["step", "epoch", "layer"] and frame.step.tolist() == run.steps
    assert frame.epoch.tolist() == [step // 100 for step in run.steps]
    frame = run.to_frame("histograms", axis="steps")
    assert frame["filter"].tolist() == [0, 1] * 7 and set(frame.minimum) == {-1.0, 0.0}
    assert frame.maximum.tolist()[-2:] == [1.0, 3.0]


def test_frames_of_cost_and_alerts(tmp_path: Path) -> None:
    write(tmp_path, [
        session(0), EpochLog(epoch=0, metrics={}),
        EpochLog(epoch=1, metrics={"loss": 0.5}, cost={"A": {"blocked_seconds": 1.0}, "B": {"bytes": 7.0}}),
        Journal(epoch=1, entries=entered(alert(0, 1))),
    ])  # fmt: skip
    run = fw.load(tmp_path)
    frame = run.to_frame("cost")
    assert frame.epoch.tolist() == [1, 1] and frame.recorder.tolist() == ["A", "B"]
    assert frame.blocked_seconds.tolist()[0] == 1.0 and np.isnan(frame.blocked_seconds[1]) and frame.bytes[1] == 7.0
    assert np.isnan(run.to_frame("epochs").loss[0]) and run.to_frame("epochs").loss[1] == 0.5
    frame = run.to_frame("alerts")
    assert frame.severity.tolist() == ["warning"] and frame.filters[0] == (1, 2) and frame.evidence[0] == {"dead": 2}
    write(tmp_path, [session(0)])
    assert list(fw.load(tmp_path).to_frame("alerts").columns) == list(frame.columns)
    write(tmp_path, [EpochLog(epoch=1, metrics={"epoch": 0.5, "loss": 2.0})], first=1)      # a metric may have any name
    assert fw.load(tmp_path).to_frame("epochs").epoch.tolist() == [1]


def test_without_pandas_the_cure_is_said(log_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    for what in ("health", "alerts"):
        with pytest.raises(ImportError, match=r"to_frame needs pandas: pip install 'featwatch\[pandas\]'"):
            fw.load(log_dir).to_frame(what)


def test_records_that_cannot_be_read_leave_a_frame_with_what_can(tmp_path: Path) -> None:
    path = train(tmp_path, range(2))
    content = path.read_bytes().replace(b'"trustworthiness": 0.9', b'"trustworthiness": 0.8')
    path.write_bytes(content)
    run = fw.load(tmp_path)
    assert len(run.to_frame("embeddings")) == 0 and len(run.to_frame("clusters")) == 6 and run.problems


def test_everything_of_a_snapshot_is_read_by_step_too(tmp_path: Path) -> None:
    records = [dataclasses.replace(record, step=40) for record in snapshot(2)]
    write(tmp_path, records, axis="steps")
    run = fw.load(tmp_path)
    for ask in (run.embedding, run.clusters, run.separation, run.health):
        assert ask("dense", step=40).epoch == 2
    assert run.predictions(step=40).step == 40 and run.metrics(step=40)["loss"] == 1 / 3 and run.problems == []
