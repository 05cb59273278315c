"""Logs that were cut off, damaged, or written by others or a newer featwatch: what is readable is read, the rest is told."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

import featwatch as fw
from featwatch import frames, wire
from featwatch.records import KINDS, LayerSeparation
from featwatch.writers import EventFileWriter
from tests.event_logs import HandMadeLog, entry, header
from tests.small_logs import LAYERS, train


def small_log(log_dir: Path) -> tuple[Path, bytes, list[int]]:
    """A log of one separation per epoch: its file, its bytes, and where each event ends."""
    writer = EventFileWriter(log_dir, 0)
    for epoch in range(4):
        writer.write(LayerSeparation(epoch=epoch, layer="c", knn_accuracy=epoch / 4))
    writer.close()
    content, ends = Path(writer.path).read_bytes(), [0]
    while ends[-1] < len(content):
        ends.append(ends[-1] + 16 + struct.unpack_from("<Q", content, ends[-1])[0])
    assert len(ends) == 7 and ends[-1] == len(content)              # file version, START, four records
    return Path(writer.path), content, ends[3:]


def test_a_file_cut_off_anywhere_gives_what_came_before(tmp_path: Path) -> None:
    path, content, ends = small_log(tmp_path)
    for size in range(ends[0], len(content)):
        path.write_bytes(content[:size])
        run = fw.load(tmp_path)
        whole = sum(end <= size for end in ends)
        assert run.epochs == list(range(whole))
        assert run.separation("c", whole - 1).knn_accuracy == (whole - 1) / 4
        if size == ends[whole - 1]:
            assert run.problems == []
        else:
            where = f"{path.name}, byte {ends[whole - 1]:,}"
            assert run.problems == [f"{where}: ends within a record: still being written, or cut off"]


def test_no_changed_byte_is_shown_as_a_value(tmp_path: Path) -> None:
    path, content, ends = small_log(tmp_path)
    for position in range(ends[0], ends[1]):                        # the record of epoch 1, its frame included
        for change in (0x01, 0x80):
            damaged = bytearray(content)
            damaged[position] ^= change
            path.write_bytes(damaged)
            run = fw.load(tmp_path)
            told = bool(run.problems)
            for epoch in run.epochs:
                try:
                    found = run.separation("c", epoch).knn_accuracy
                    assert found == epoch / 4
                except wire.WireError as error:
                    assert path.name in str(error) and f"separation of 'c' at epoch {epoch} " in str(error) and told
                except KeyError:
                    continue


def test_garbage_at_the_end_and_between_is_told(tmp_path: Path) -> None:
    path, content, ends = small_log(tmp_path)
    path.write_bytes(content + b"\xde\xad\xbe\xef" * 10)
    run = fw.load(tmp_path)
    assert run.epochs == [0, 1, 2, 3] and "not a record (the checksum of its length is wrong)" in run.problems[0]
    path.write_bytes(content[: ends[1]] + bytes(40) + content[ends[1] :])
    run = fw.load(tmp_path)
    assert run.epochs == [0, 1] and f"byte {ends[1]:,}" in run.problems[0]


def framed(data: bytes) -> bytes:
    """A TFRecord as TensorFlow writes it."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        with tf.io.TFRecordWriter(f"{folder}/x") as writer:
            writer.write(data)
        return Path(folder, "x").read_bytes()


def test_a_record_that_is_no_event_costs_only_itself(tmp_path: Path) -> None:
    path, content, ends = small_log(tmp_path)
    path.write_bytes(content[: ends[0]] + framed(b"\xff\xff\xff no protobuf") + content[ends[0] :])
    run = fw.load(tmp_path)
    assert run.epochs == [0, 1, 2, 3] and len(run.problems) == 1 and "not an event" in run.problems[0]


def test_a_length_beyond_the_file_is_not_believed(tmp_path: Path) -> None:
    path, content, _ = small_log(tmp_path)
    length = struct.pack("<Q", 2**63)
    path.write_bytes(content + length + struct.pack("<I", masked_crc32c(length)) + b"xxxx")
    run = fw.load(tmp_path)
    assert run.epochs == [0, 1, 2, 3] and "ends within a record" in run.problems[0]


def test_a_later_file_is_read_though_an_earlier_one_is_damaged(tmp_path: Path) -> None:
    first = train(tmp_path, range(0, 4), 0.25)
    train(tmp_path, range(4, 6), 0.5)
    content = first.read_bytes()
    first.write_bytes(content[: len(content) // 2])
    run = fw.load(tmp_path)
    assert {4, 5} < set(run.epochs) and run.metrics(5)["mark"] == 0.5 and first.name in run.problems[0]


def rewritten(path: Path, change: Callable[[dict[str, object]], object]) -> None:
    """Change every separation's header in a file, as another program could."""
    import tensorflow as tf
    from tensorboard.compat.proto.event_pb2 import Event

    events = [Event.FromString(raw.numpy()) for raw in tf.data.TFRecordDataset(str(path))]
    with tf.io.TFRecordWriter(str(path)) as writer:
        for event in events:
            for value in event.summary.value:
                if value.tag.startswith("separation"):
                    header = json.loads(value.tensor.string_val[0])
                    header["#crc32"] = None
                    change(header)
                    value.tensor.string_val[0] = json.dumps(header).encode()
            writer.write(event.SerializeToString())


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"format": 3}, wire.NewerFormat, "written in format 3 by a newer featwatch; this one reads up to 2"),
        ({"kind": "health"}, wire.WireError, "names another kind, layer or place"),
        ({"kind": "epoch"}, wire.WireError, "names another kind, layer or place"),
        ({"layer": "d"}, wire.WireError, "names another kind, layer or place"),
        ({"epoch": 77}, wire.WireError, "names another kind, layer or place"),
    ],
    ids=str,
)
def test_records_that_cannot_be_read_are_told_once_and_raised_when_asked_for(
    tmp_path: Path, changes: dict[str, object], error: type[Exception], says: str
) -> None:
    path, _, _ = small_log(tmp_path)
    train(tmp_path, range(4, 6))
    rewritten(path, lambda header: header.update(changes))
    run = fw.load(tmp_path)
    assert len(run.problems) == 1 and says in run.problems[0]
    assert run.problems[0].endswith("; 3 more for the same reason")
    with pytest.raises(error, match=r"separation of 'c' at epoch 2 \(events.*, byte [\d,]+: ") as caught:
        run.separation("c", 2)
    assert says in str(caught.value)
    assert run.separation("conv1", 4).epoch == 4 and run.epochs == [0, 1, 2, 3, 4, 5]
    with pytest.raises(KeyError, match="has no number called 'knn_accuracy'"):
        run.numbers("separation", "c", "knn_accuracy")


def test_unknown_kinds_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LayerSeparation, "kind", "spectra")
    small_log(tmp_path)
    monkeypatch.undo()
    assert fw.load(tmp_path).problems == ["4 × unknown kind of record 'spectra': written by a newer featwatch?"]


def test_what_others_wrote_into_the_directory_is_passed_over(tmp_path: Path) -> None:
    import tensorflow as tf

    train(tmp_path, range(3))
    with tf.summary.create_file_writer(str(tmp_path / "featwatch")).as_default():
        for step in range(5):
            tf.summary.scalar("health/conv1", 0.5, step)
            tf.summary.text("embedding/conv1", "hello", step)
            tf.summary.histogram("session", [1.0, 2.0], step)
    (tmp_path / "featwatch" / "notes.txt").write_text("mine")
    run = fw.load(tmp_path)
    assert run.epochs == [0, 1, 2] and run.problems == [] and run.health("conv1", 2).dead_count == 1


def test_damaged_sessions_cost_the_graph_order_only(tmp_path: Path) -> None:
    path = train(tmp_path, range(2))
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"started": 1.0', b'"started": 2.0', 1))
    run = fw.load(tmp_path)
    assert sorted(run.layers) == sorted(LAYERS) and run.layer_infos == {} and run.sessions == []
    with pytest.raises(wire.WireError, match="session at epoch 0"):
        _ = run.session


def test_a_file_that_changes_after_loading_is_a_wire_error(tmp_path: Path) -> None:
    path, content, _ = small_log(tmp_path)
    run = fw.load(tmp_path)
    path.write_bytes(content[:100])
    with pytest.raises(wire.WireError):
        run.separation("c", 3)
    path.unlink()
    with pytest.raises(wire.WireError, match="changed or went away"):
        run.separation("c", 3)


def test_a_writer_that_is_killed_leaves_what_it_had_flushed(tmp_path: Path) -> None:
    code = f"""
import numpy as np
from tests.small_logs import session, snapshot
from featwatch.writers import EventFileWriter
writer = EventFileWriter({str(tmp_path)!r}, 0)
writer.write(session(0))
for epoch in range(10**6):
    for record in snapshot(epoch):
        writer.write(record)
    writer.flush()
    print(epoch, flush=True)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= 20:
            process.send_signal(signal.SIGKILL)
            break
    flushed = max([20, *(int(line) for line in process.stdout if line.endswith("\n"))])
    process.wait()
    process.stdout.close()
    run = fw.load(tmp_path)
    assert run.epochs[: flushed + 1] == list(range(flushed + 1)) and len(run.epochs) <= flushed + 2
    for epoch in range(flushed + 1):
        assert run.embedding("dense", epoch).points[0, 0] == epoch
    assert all("ends within a record" in problem for problem in run.problems)


MARKUP = "<img src=x onerror=alert(1)>"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.just(MARKUP),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["alert", "kind", MARKUP]), inner, max_size=3),
    max_leaves=5,
)
PLACES = st.sampled_from([-(2**62), -1, 0, 1, 400, 2**53, 2**62])
KIND = st.sampled_from(sorted(KINDS))
ARRAY = np.ones(4, "<f4").tobytes()
BLOBS = st.lists(
    st.builds(
        lambda name, dtype, shape: entry(name, dtype, shape, ARRAY),
        st.sampled_from(["energy", "counts", "edges", "pixels", "filters", "labels", "samples", MARKUP]),
        st.sampled_from(["<f4", "<i4", "|u1", "png", "|O"]),
        st.lists(st.sampled_from([0, 1, 4, -1, 2**40]), max_size=4) | JSON,
    ),
    max_size=2,
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_hostile_log_raises_nothing_but_key_and_wire_errors(data: st.DataObject) -> None:
    """Records of any kind at any place on either axis, with fields of any type and blobs that fit nothing."""
    with tempfile.TemporaryDirectory() as folder:
        for axis in ("featwatch", "featwatch/steps"):
            with HandMadeLog(Path(folder, axis)) as log:
                log.blobs("session", 0, [header("session", fields={"started": 1.0, **({"step": 0} if "steps" in axis else {})})])
                for _ in range(data.draw(st.integers(0, 3))):
                    kind, place = data.draw(KIND), data.draw(PLACES)
                    layer = data.draw(st.sampled_from(["", "c", MARKUP]))
                    names = [*(field.name for field in dataclasses.fields(KINDS[kind])), MARKUP]
                    fields = data.draw(st.dictionaries(st.sampled_from(names), JSON, max_size=3))
                    if "steps" in axis and data.draw(st.booleans()):
                        fields["step"] = place
                    blobs = data.draw(BLOBS)
                    stated = header(kind, layer, place, fields=fields, blobs=blobs)
                    log.blobs(wire.tag_of(kind, layer), place, [stated, *[ARRAY] * data.draw(st.integers(0, len(blobs)))])
        run = fw.load(folder)
        assert all(isinstance(problem, str) for problem in run.problems)
        assert all(0 <= place < 2**53 for place in [*run.epochs, *run.steps])
        str(run), run.alerts, run.journal, run.cost, run.layer_infos
        accessors = (run.embedding, run.clusters, run.separation, run.health, run.histograms, run.exemplars, run.feature_images)
        for place, axis in [(place, "epoch") for place in run.epochs] + [(place, "step") for place in run.steps]:
            for layer, ask in itertools.product(run.layers, accessors):
                with contextlib.suppress(KeyError, wire.WireError):
                    ask(layer, **{axis: place})
        for axis, what in itertools.product(wire.AXES, [*frames.FRAMES, "alerts"]):
            with contextlib.suppress(KeyError):
                run.to_frame(what, axis)


def test_impossible_places_are_told(tmp_path: Path) -> None:
    for axis, unit in (("featwatch", "epoch"), ("featwatch/steps", "step")):
        with HandMadeLog(tmp_path / axis) as log:
            for place in (3, -5, 2**62):
                step = {"step": place} if unit == "step" else {}
                log.blobs("separation/c", place, [header("separation", "c", place, fields={"knn_accuracy": 0.5, **step})])
            log.blobs("session", -5, [header("session", "", -5)])       # would supersede everything
    run = fw.load(tmp_path)
    assert run.epochs == run.steps == [3] and run.separation("c", step=3).knn_accuracy == 0.5
    said = [f"a record at an impossible {unit}; 2 more for the same reason" for unit in ("epoch", "step")]
    assert sorted(problem.partition(": ")[2] for problem in run.problems) == said
