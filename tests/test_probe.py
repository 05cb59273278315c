"""The probe: which samples it keeps, what labels it understands, what it refuses, and its pictures."""

from __future__ import annotations

import datetime
import doctest
import io
import random
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_digits

from featwatch import Probe, probe, sources, wire
from featwatch.drawing import proportional
from featwatch.records import ProbeRecord
from tests.samples import numbered

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])     # a loaded machine is no failure


def sheet_of(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


# Which samples


def test_a_source_that_fits_is_kept_whole_and_in_order() -> None:
    x, y = numbered(50, 3), np.arange(50)[::-1] % 7
    kept = Probe(x, y, size=50)
    assert np.array_equal(kept.x, x) and np.array_equal(kept.y, y) and np.array_equal(kept.indices, np.arange(50))
    assert len(kept) == kept.source_size == 50


@PATIENT
@given(st.lists(st.integers(-1, 5), min_size=2, max_size=120), st.integers(1, 60), st.integers(0, 3))
def test_drawn_samples_are_distinct_in_order_and_keep_their_labels(labels: list[int], size: int, seed: int) -> None:
    kept = Probe(numbered(len(labels), 2), labels, size=size, seed=seed)
    assert len(kept) == min(size, len(labels))
    assert np.all(np.diff(kept.indices) > 0)
    assert np.array_equal(kept.x[:, 0], kept.indices)
    assert np.array_equal(kept.y, np.array(labels)[kept.indices])


@PATIENT
@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.data())
def test_classes_are_drawn_in_proportion(counts: list[int], data: st.DataObject) -> None:
    """Every class within one of its exact share, unless rare classes were given their one sample."""
    size = data.draw(st.integers(1, sum(counts)))
    seats = proportional(np.array(counts), size) if size < sum(counts) else np.array(counts)
    assert seats.sum() == size and np.all(seats <= counts)
    exact = [Fraction(size * count, sum(counts)) for count in counts]
    if all(share >= 1 for share in exact) or size < len(counts):
        assert all(abs(seat - share) < 1 for seat, share in zip(seats.tolist(), exact, strict=True))
    if size >= len(counts):
        assert np.all(seats >= 1)
    order = np.argsort(counts, kind="stable")
    assert np.all(np.diff(seats[order]) >= -1)                      # a larger class never gets clearly less


def test_a_hand_computed_apportionment() -> None:
    # Shares of 10: 9.0, 0.9, 0.1 -> the two rare ones get one each; 8 are left for the first.
    assert proportional(np.array([900, 90, 10]), 10).tolist() == [8, 1, 1]
    # Shares of 7: 3.5, 2.1, 1.4 -> 3 + 2 + 1, and the seat that is left goes to the remainder .5.
    assert proportional(np.array([50, 30, 20]), 7).tolist() == [4, 2, 1]
    assert proportional(np.array([5, 5, 5, 5]), 2).sum() == 2


def test_a_rare_class_is_there() -> None:
    labels = np.zeros(10_000, int)
    labels[1234] = 1
    labels[5678] = 2
    kept = Probe(numbered(10_000, 1), labels, size=5)
    assert Counter(kept.y.tolist()) == {0: 3, 1: 1, 2: 1}


def test_the_same_samples_every_time_and_others_for_another_seed() -> None:
    x, y = numbered(5000, 1), np.arange(5000) % 10
    first, second, other = (Probe(x, y, size=100, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(first.indices, second.indices)
    assert not np.array_equal(first.indices, other.indices)
    assert set(Counter(first.y.tolist()).values()) == {10}
    unlabelled = Probe(x, size=100)
    assert len(unlabelled) == 100 and unlabelled.y is None and np.all(unlabelled.labels == -1)


def test_with_more_classes_than_samples_they_are_picked_at_random() -> None:
    kept = Probe(numbered(3000, 1), np.arange(3000) // 3, size=100)
    assert len(np.unique(kept.y)) == 100
    counts, _ = np.histogram(kept.y, bins=4, range=(0, 1000))
    assert counts.min() > 10                                        # 25 ± 3.4 standard deviations of 4.3


def test_the_draw_is_spread_over_the_source() -> None:
    thousand = Probe(numbered(10_000, 1), size=1000)
    counts, _ = np.histogram(thousand.indices, bins=10, range=(0, 10_000))
    assert counts.min() > 70 and counts.max() < 130                 # 100 ± 3 standard deviations of 9.5


def test_global_random_generators_stay_where_they_are() -> None:
    random.seed(1)
    np.random.seed(1)
    before = random.getstate(), np.random.get_state()[1].tobytes()
    Probe(numbered(100, 4, 4), np.arange(100) % 3, size=10).record(0)
    assert (random.getstate(), np.random.get_state()[1].tobytes()) == before


@pytest.mark.parametrize("size", [3, 100])
def test_what_happens_to_the_source_later_does_not_reach_the_probe(size: int) -> None:
    x, y, images = numbered(10, 2), np.arange(10, dtype=np.int32), numbered(10, 4, 4)
    kept = Probe(x, y, size=size, images=images)
    before, record = kept.x.copy(), kept.record(0)
    x += 1
    y[:] = 0
    images[:] = 7
    again = Probe(x, y, size=size, images=images).record(0)
    assert np.array_equal(kept.x, before) and np.array_equal(kept.y, kept.indices)
    assert kept.record(0).thumbnails == record.thumbnails != again.thumbnails
    with pytest.raises(ValueError, match="read-only"):
        kept.x[0] = 0


# What x may be


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "uint8", "int64", "bool", ">f4"])
def test_the_dtype_is_kept_in_native_byte_order(dtype: str) -> None:
    kept = Probe(np.ones((3, 2), dtype))
    assert kept.x.dtype == np.dtype(dtype).newbyteorder("=") and kept.x.dtype.isnative


def test_lists_are_arrays() -> None:
    kept = Probe([[1, 2], [3, 4]], [0, 1])
    assert kept.x.tolist() == [[1, 2], [3, 4]] and kept.y.tolist() == [0, 1]


def test_tensors_are_arrays() -> None:
    import tensorflow as tf

    kept = Probe(tf.ones((3, 2)), tf.constant([0, 1, 1]))
    assert isinstance(kept.x, np.ndarray) and kept.x.dtype == np.float32 and kept.y.tolist() == [0, 1, 1]
    assert Probe(tf.ones((3, 2), tf.bfloat16)).x.dtype.name == "bfloat16"
    assert Probe(tf.ones((3, 2)), tf.constant(["b", "a", "b"])).class_names == ("a", "b")
    with pytest.raises(ValueError, match="1 value that is NaN"):
        Probe(tf.constant([[1.0, float("nan")]], tf.bfloat16))


@pytest.mark.parametrize("x", [None, "x.npy", 3, b"x"])
def test_what_is_no_source_is_refused(x: Any) -> None:
    with pytest.raises(TypeError, match="x is a .*; pass an array, samples first"):
        Probe(x)
    if x is not None:
        with pytest.raises(TypeError, match="y is a .*; pass an array with one label per sample"):
            Probe(np.ones((4, 2)), x)


@pytest.mark.parametrize(
    ("x", "error", "says"),
    [
        (np.zeros(()), ValueError, "x has the shape .*samples come first"),
        (np.zeros(5), ValueError, r"x.reshape\(-1, 1\)"),
        (np.zeros((0, 3)), ValueError, "x is empty"),
        (np.zeros((3, 0)), ValueError, "x is empty"),
        ([], ValueError, "samples come first"),
        ([[1, 2], [3]], ValueError, "must have one shape"),
        (np.array([[None]]), TypeError, "dtype object"),
        (np.array([[1j]]), TypeError, "dtype complex"),
        (np.array([["2020-01-01"]], "datetime64[D]"), TypeError, "dtype datetime"),
    ],
)
def test_what_is_no_array_of_samples_is_refused(x: object, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        Probe(x)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_with_count_place_and_cure(bad: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_CHECKED_AT_ONCE", 50)              # several rounds
    x = np.zeros((100, 4, 3))
    x[57, 2, 1] = x[57, 3, 0] = x[99, 0, 0] = bad
    with pytest.raises(ValueError, match=r"x holds 3 values that are NaN or infinite, the first at \[57, 2, 1\]") as caught:
        Probe(x, size=10)
    cure = str(caught.value).split("keep = ")[1].split(",")[0] + "," + str(caught.value).split("keep = ")[1].split(",")[1]
    keep = eval(cure.rstrip(","), {"np": np, "x": x})
    assert np.flatnonzero(~keep).tolist() == [57, 99]
    Probe(x[keep])


@pytest.mark.parametrize(("name", "least"), [("size", 1), ("batch_size", 1), ("seed", 0)])
def test_counts_are_whole_numbers(name: str, least: int) -> None:
    x = np.zeros((2, 2))
    Probe(x, **{name: np.int64(least)})
    with pytest.raises(ValueError, match=f"{name}={least - 1}: expected at least {least}"):
        Probe(x, **{name: least - 1})
    for value in (1.0, "1", None, True):
        with pytest.raises(TypeError, match=f"{name}=.*: expected a whole number"):
            Probe(x, **{name: value})


# Batches


@PATIENT
@given(st.integers(1, 30), st.integers(1, 12))
def test_batches_are_all_of_one_size_and_hold_every_sample_once(samples: int, batch_size: int) -> None:
    kept = Probe(numbered(samples, 2), batch_size=batch_size)
    batches = list(kept.batches())
    assert all(batch.shape == (batch_size, 2) and 1 <= count <= batch_size for batch, count in batches)
    assert np.array_equal(np.concatenate([batch[:count] for batch, count in batches]), kept.x)
    last, count = batches[-1]
    assert np.all(last[count:] == samples - 1)


# The record


def test_the_record_says_what_the_probe_holds() -> None:
    digits = load_digits()
    kept = Probe(digits.images[..., None], digits.target, class_names=digits.target_names, size=100)
    record = wire.decode(wire.encode(kept.record(3)))
    assert isinstance(record, ProbeRecord)
    assert (record.epoch, record.source_size, len(record)) == (3, 1797, 100)
    assert np.array_equal(record.labels, kept.y) and np.array_equal(record.indices, kept.indices)
    assert record.class_names == tuple("0123456789")
    assert (record.thumbnail_width, record.thumbnail_height, record.thumbnail_columns) == (8, 8, 10)
    assert sheet_of(record.thumbnails).shape == (80, 80)


def test_images_stand_in_for_samples_that_are_no_pictures() -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 4, 4), np.uint8)
    kept = Probe(numbered(50, 2), images=images, size=9)
    record = kept.record(0)
    assert np.array_equal(sheet_of(record.thumbnails)[:4, :4], images[kept.indices[0]])
    with pytest.raises(ValueError, match="images holds 3 samples and x 50"):
        Probe(numbered(50, 2), images=images[:3])
    with pytest.raises(TypeError, match="images is a tuple"):
        Probe(numbered(50, 2), images=(images,))


# What belongs to the samples


def test_attributes_are_plain_values_of_the_drawn_samples() -> None:
    numbers = np.arange(50, dtype=np.float32)
    numbers[::2] = np.nan
    day = datetime.date(2026, 3, 1)
    kept = Probe(
        numbered(50, 2),
        np.arange(50) % 2,
        size=6,
        attributes={
            "number": numbers,
            "count": np.arange(50, dtype=np.int16),
            "flag": [index % 3 == 0 for index in range(50)],
            "text": tuple(f"t{index}" for index in range(50)),
            "missing": [None] * 50,
            "day": [day] * 50,
            7: [b"x"] * 50,
        },
    )
    record = wire.decode(wire.encode(kept.record(0)))
    assert isinstance(record, ProbeRecord)
    rows = kept.indices.tolist()
    assert record.attributes == {
        "number": tuple(None if row % 2 == 0 else float(row) for row in rows),
        "count": tuple(rows),
        "flag": tuple(row % 3 == 0 for row in rows),
        "text": tuple(f"t{row}" for row in rows),
        "missing": (None,) * 6,
        "day": ("2026-03-01",) * 6,
        "7": ("x",) * 6,
    }
    assert kept.attributes == record.attributes                     # before the wire too
    assert all(type(value) in (int, float, bool, str, type(None)) for column in kept.attributes.values() for value in column)


class Frame:
    """What of a pandas DataFrame is used; pandas is not a dependency."""

    def __init__(self, columns: dict[str, list[Any]]) -> None:
        self.columns, self.iloc = list(columns), self
        self._values = list(columns.values())

    def __getitem__(self, place: tuple[slice, int]) -> np.ndarray:
        return np.array(self._values[place[1]], object)


def test_attributes_of_a_data_frame() -> None:
    kept = Probe(np.zeros((3, 2)), attributes=Frame({"a": [1, 2, 3], "b": ["x", "y", None]}))
    assert kept.attributes == {"a": (1, 2, 3), "b": ("x", "y", None)}
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": pandas.array([1, None, 3], "Int64"), "t": pandas.to_datetime(["2026-01-01", None, None])})
    assert Probe(np.zeros((3, 2)), attributes=frame).attributes == {"a": (1, None, 3), "t": ("2026-01-01T00:00:00", None, None)}


def test_too_much_of_attributes_is_cut_and_said() -> None:
    kept = Probe(np.zeros((2, 2)), attributes={f"c{number}": ["x" * 300, "short"] for number in range(70)})
    assert list(kept.attributes) == [f"c{number}" for number in range(64)]
    assert kept.attributes["c0"] == ("x" * 199 + "…", "short")
    assert kept.notes[0] == "attributes holds 70 columns, of which the first 64 were kept"
    assert "cut to 200 characters" in kept.notes[1]


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"attributes": [1, 2, 3]}, TypeError, "attributes is a list; pass a dict of columns"),
        ({"attributes": {"a": [1, 2]}}, ValueError, r"attributes\['a'\] holds 2 samples and x 3"),
        ({"attributes": {"a": "abc"}}, TypeError, r"attributes\['a'\] is a str"),
        ({"attributes": {"a": (n for n in range(3))}}, TypeError, r"attributes\['a'\] is a generator"),
        ({"attributes": {"a": np.zeros((3, 1))}}, ValueError, r"attributes\['a'\] has the shape \(3, 1\)"),
        ({"attributes": {"a": [1, 2, {}]}}, TypeError, r"attributes\['a'\]\[2\] is {}"),
        ({"attributes": {1: [1, 2, 3], "1": [1, 2, 3]}}, ValueError, "the column '1' twice"),
        ({"masks": np.ones((2, 4, 4))}, ValueError, "masks holds 2 samples and x 3"),
        ({"masks": np.ones((3, 4, 5))}, ValueError, r"masks are of \(4, 5\) pixels and x of \(4, 4\)"),
        ({"masks": np.full((3, 4, 4), 255)}, ValueError, "masks goes from 255 to 255; .*masks > 0"),
        ({"masks": np.full((3, 4, 4), np.nan)}, ValueError, "masks goes from nan to nan"),
        ({"masks": np.ones((3, 4))}, ValueError, r"masks has the shape \(3, 4\)"),
        ({"masks": True}, TypeError, "masks is a bool"),
        ({"masks": "white"}, TypeError, "masks is a str"),
        ({"masks": 0, "images": np.ones((3, 5))}, ValueError, "masks are given, but the samples are vectors; .* as images"),
    ],
)
def test_what_does_not_belong_to_the_samples_is_refused(arguments: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        Probe(np.zeros((3, 4, 4)), **arguments)


def test_masks_are_those_of_the_drawn_samples() -> None:
    masks = np.random.default_rng(0).random((40, 4, 4, 1)) > 0.5
    kept = Probe(numbered(40, 4, 4), size=4, masks=masks)
    sheet = sheet_of(kept.record(0).thumbnails)
    assert sheet.shape == (8, 8, 4) and np.array_equal(sheet[:4, 4:, 3], masks[kept.indices[1], ..., 0] * 255)
    by_value = Probe(numbered(40, 4, 4), masks=0)
    assert [sheet_of(by_value.record(0).thumbnails)[4 * row, 0, 3] for row in (0, 1)] == [0, 255]


def test_the_first_picture_among_several_inputs_is_shown() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 5, 5), np.uint8)
    record = Probe({"age": np.arange(4), "photo": images, "other": images[::-1]}).record(0)
    assert np.array_equal(sheet_of(record.thumbnails)[:5, :5], images[0]) and record.thumbnail_note.startswith("x['photo']: one")
    assert Probe({"age": np.arange(4)}).record(0).thumbnail_note == "x['age']: the samples are single numbers"


def test_it_is_printed_in_short() -> None:
    assert repr(Probe(numbered(5000, 8, 8))) == "<Probe: 1,000 of 5,000 samples of shape (8, 8), float32>"


def test_the_examples_run() -> None:
    results = doctest.testmod(probe)
    assert results.attempted and not results.failed


def test_it_needs_neither_keras_nor_tensorflow() -> None:
    code = (
        "import sys, numpy as np, featwatch\n"
        "featwatch.Probe(np.zeros((5, 4, 4)), [0, 1, 2, 0, 1]).record(0); featwatch.every()\n"
        "sys.exit(bool({'keras', 'tensorflow'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
