"""Packed arrays come back as they were, in no more memory than they need; rounded numbers are the nearest ones."""

from __future__ import annotations

import dataclasses
import doctest
import json
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from featwatch import packing, wire
from featwatch.packing import packed, rounded, unpacked
from featwatch.records import LayerHealth, Maps, Similarity
from tests.test_wire import health, resealed, same

DTYPES = ["<f4", "<f8", "<i4", "<i8", "<u2", "|u1"]
FLOATS = hnp.arrays(np.float32, st.integers(1, 50), elements=st.floats(width=32))


# Packing


@settings(deadline=None)
@given(st.sampled_from(DTYPES), st.integers(0, 300), st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_what_is_packed_comes_back(dtype: str, count: int, repeats: int, seed: int) -> None:
    array = np.random.default_rng(seed).integers(0, 255, (count, np.dtype(dtype).itemsize), np.uint8)
    array = array.view(dtype).ravel().repeat(repeats)
    blob = packed(array)
    if blob is not None:
        assert len(blob) <= 0.9 * array.nbytes and unpacked(blob, array.itemsize, array.size) == array.tobytes()
    assert (blob is None) or array.nbytes >= packing.LEAST_BYTES


def test_what_saves_little_is_left() -> None:
    noise = np.random.default_rng(0).integers(0, 2**63, 2000)
    assert packed(noise) is None and packed(np.zeros(15, np.float32)) is None
    assert len(packed(np.zeros(2048, np.float32)) or b"") < 40
    assert len(packed(np.linspace(0.5, 1, 2048, dtype=np.float32)) or b"") < 2048 * 3.5


def test_the_bytes_are_shuffled_as_documented() -> None:
    array = np.arange(1000, dtype="<u2")
    low, high = (array & 255).astype(np.uint8), (array >> 8).astype(np.uint8)
    assert zlib.decompress(packed(array) or b"") == low.tobytes() + high.tobytes()


@settings(deadline=None)
@given(st.binary(max_size=80), st.sampled_from([1, 2, 4, 8]), st.integers(-1, 100))
def test_no_blob_raises_anything_else(blob: bytes, itemsize: int, count: int) -> None:
    for one in (blob, zlib.compress(blob)):
        try:
            assert len(unpacked(one, itemsize, count)) == itemsize * count == len(blob)
        except ValueError:
            assert one == blob or count < 1 or itemsize * count != len(blob)


@pytest.mark.parametrize(
    "blob",
    [
        zlib.compress(bytes(400))[:-1], zlib.compress(bytes(400)) + b"\0", zlib.compress(bytes(401)), zlib.compress(bytes(399)),
        b"", zlib.compress(b""), zlib.compress(bytes(400))[:-4] + b"\1\2\3\4",
    ],
    ids=["cut", "longer", "more", "less", "nothing", "empty", "checksum"],
)  # fmt: skip
def test_anything_but_what_is_expected_is_refused(blob: bytes) -> None:
    assert unpacked(zlib.compress(bytes(400)), 4, 100) == bytes(400)
    with pytest.raises(ValueError):
        unpacked(blob, 4, 100)


def test_a_bomb_costs_no_memory() -> None:
    bomb = zlib.compress(bytes(300 << 20), 9)
    tracemalloc.start()
    with pytest.raises(ValueError, match="does not hold 400 bytes"):
        unpacked(bomb, 4, 100)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(bomb) < 1 << 20 and peak < 2 * len(bomb) + 65_536        # zlib's window, and what it has not read yet


# Rounding


@settings(deadline=None, max_examples=300)
@given(FLOATS, st.integers(2, 24))
def test_rounded_is_the_nearest(values: np.ndarray, bits: int) -> None:
    found = rounded(values, bits)
    assert found.dtype == np.float32 and same(rounded(found, bits), found)
    known = np.isfinite(values)
    assert same(found[~known], values[~known]) and np.isfinite(found[known]).all()
    # frexp: value = m · 2^e, 0.5 ≤ |m| < 1; in float64 nothing is lost.
    mantissa, exponent = np.frexp(values[known].astype(np.float64))
    exponent = np.maximum(exponent, -125)           # below, digits are at fixed places
    unit = np.ldexp(1.0, exponent - bits)
    expected = np.round(values[known].astype(np.float64) / unit) * unit         # ties to even
    largest = float(np.finfo(np.float32).max)
    expected = np.where(np.abs(expected) > largest, np.sign(expected) * (2.0**128 - 2.0 ** (128 - bits)), expected)
    np.testing.assert_array_equal(found[known], expected.astype(np.float32))
    assert (np.signbit(found[known]) == np.signbit(values[known])).all()


def test_order_and_the_ends_are_kept() -> None:
    values = np.sort(np.random.default_rng(0).normal(size=5000).astype(np.float32))
    assert (np.diff(rounded(values, 13)) >= 0).all()
    assert np.max(np.abs(rounded(values, 13) / values - 1)) <= 2.0**-13
    assert rounded(np.float32([0, -0.0, 1, 0.5]), 13).tolist() == [0, 0, 1, 0.5]


# On the wire


def evolved(filters: int = 500) -> LayerHealth:
    """A record of which every array can be packed."""
    rng = np.random.default_rng(3)
    made = health(filters)
    values = {field.name: rng.gamma(3.0, size=filters) for field in dataclasses.fields(made) if field.metadata.get("bits")}
    shares = np.round(rng.random(filters), 2)
    return dataclasses.replace(made, **values, active_fraction=shares, responsive_fraction=shares)


def test_health_is_kept_to_13_bits_and_its_shares_exactly() -> None:
    record = evolved()
    back = wire.decode(wire.encode(record))
    assert isinstance(back, LayerHealth)
    for field in dataclasses.fields(record):
        given = np.asarray(getattr(record, field.name))
        if field.metadata.get("bits"):
            np.testing.assert_allclose(getattr(back, field.name), given, rtol=2.0**-13)
        elif given.dtype.kind == "f" and given.size:
            np.testing.assert_array_equal(getattr(back, field.name), given.astype(np.float32))
    assert wire.decode_numbers(wire.encode_numbers(record))["active_fraction"] == np.mean(record.active_fraction)


def test_arrays_that_are_alike_share_a_blob() -> None:
    blobs = wire.encode(evolved())
    header = json.loads(blobs[0])
    entries = {entry["name"]: (number, entry) for number, entry in enumerate(header["blobs"], 1)}
    number, entry = entries["responsive_fraction"]
    assert entry["blob"] == entries["active_fraction"][0] and entry["packed"] is True
    assert len(blobs) - 1 == len(entries) - sum("blob" in one for _, one in entries.values()) and header["format"] == 2
    back = wire.decode(blobs)
    assert same(back.responsive_fraction, back.active_fraction)
    later = max(info.blob for info in wire.read_header(blobs[0]).blobs)
    assert later == len(blobs) - 1


def test_a_record_without_packed_arrays_is_of_the_first_format() -> None:
    assert json.loads(wire.encode(health(3))[0])["format"] == 1


def test_every_flipped_bit_of_packed_arrays_is_noticed() -> None:
    blobs = wire.encode(evolved(60))
    assert any(info.packed for info in wire.read_header(blobs[0]).blobs)
    for number, blob in enumerate(blobs[1:], 1):
        for position in range(0, len(blob), 7):
            damaged = bytearray(blob)
            damaged[position] ^= 1 << position % 8
            with pytest.raises(wire.WireError, match="damaged"):
                wire.decode([*blobs[:number], bytes(damaged), *blobs[number + 1 :]])


UNKNOWN = "not stored in a way that is known"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"packed": 1}, UNKNOWN), ({"packed": "zstd"}, UNKNOWN), ({"packed": None}, UNKNOWN),
        ({"packed": False, "blob": 1}, UNKNOWN), ({"blob": 0}, UNKNOWN), ({"blob": -1}, UNKNOWN), ({"blob": 3}, UNKNOWN),
        ({"blob": True}, UNKNOWN), ({"blob": 1.0}, UNKNOWN), ({"packed": False}, "bytes, not 2000"), ({"blob": 1}, "damaged"),
        ({"shape": [499]}, "does not hold 1,996 bytes"), ({"shape": [501]}, "does not hold 2,004 bytes"),
        ({"shape": [0]}, "empty array"), ({"dtype": "<f8", "shape": [250]}, "stored as <f8"),
        ({"shape": [4_200_000]}, "larger than any honest"), ({"dtype": "png"}, UNKNOWN),
    ],
    ids=str,
)  # fmt: skip
def test_packed_arrays_that_make_no_sense_are_refused(changes: dict[str, Any], says: str) -> None:
    blobs = wire.encode(evolved())
    entries = json.loads(blobs[0])["blobs"]
    assert entries[1]["name"] == "negative_fraction" and entries[1]["packed"]
    entries[1] |= changes
    with pytest.raises(wire.WireError, match=says):
        wire.decode(resealed(blobs, blobs=entries))


def test_a_small_log_holds_no_large_arrays() -> None:
    """Neither by one blob that inflates, nor by many entries that share it."""
    size = wire.MAX_UNPACKED // 4
    blob = packed(np.zeros(size, np.float32)) or b""
    entry = {"name": "later", "dtype": "<f4", "shape": [size], "packed": True, "crc32": zlib.crc32(blob)}
    head, *rest = wire.encode(health())
    entries = json.loads(head)["blobs"]
    number = len(rest) + 1
    one = resealed([head, *rest], blobs=[*entries, entry])
    assert wire.decode([*one, blob]).dead_count == 1
    two = resealed([head, *rest], blobs=[*entries, entry, entry | {"name": "x", "shape": [16], "blob": number}])
    with pytest.raises(wire.WireError, match="larger than any honest"):
        wire.decode([*two, blob])


def test_what_is_larger_than_may_be_packed_is_written_as_it_is() -> None:
    filters = wire.MAX_UNPACKED // 10_000 + 1
    pixels, ends = np.zeros((1, 100, 100, filters)), np.zeros(filters)
    maps = Maps(epoch=0, layer="a", samples=np.zeros(1), pixels=pixels, low=ends, high=ends)
    blobs = wire.encode(maps)
    packed_ones = {info.name for info in wire.read_header(blobs[0]).blobs if info.packed}
    assert packed_ones == {"low", "high"} and same(wire.decode(blobs).pixels, maps.pixels.astype(np.uint8))


def test_similarity_of_a_wide_layer_is_small() -> None:
    """Of 2,048 filters that are all alone only what differs takes room."""
    n, rng = 2048, np.random.default_rng(0)
    alone = np.full(n, -1)
    record = Similarity(
        epoch=0, layer="a", group=alone, keep=np.arange(n), factor=np.ones(n), offset=np.zeros(n), residual=np.full(n, np.nan),
        by=np.full(n, ""), nearest=rng.integers(0, n, n), correlation=rng.random(n), terms=np.full((n, 3), -1),
        coefficients=np.zeros((n, 3)), unexplained=rng.random(n), removable=np.zeros(n, bool),
    )  # fmt: skip
    size = sum(map(len, wire.encode(record)))
    assert size < 12 * n and same(wire.decode(wire.encode(record)).nearest, record.nearest.astype(np.int32))


def test_the_example_in_the_docstring_runs() -> None:
    assert doctest.testmod(packing).failed == 0
