"""Records survive the wire; whatever does not is refused as a WireError and nothing else."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import types
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from featwatch import wire
from featwatch.packing import rounded
from featwatch.records import KINDS, Embedding, EpochLog, Journal, LayerHealth, Predictions, ProbeRecord, Record, Session

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])     # a loaded machine is no failure

PNG = b"\x89PNG\r\n\x1a\n"
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)          # surrogates alone are no text
FLOAT = st.floats(allow_infinity=False)
ANY = st.integers() | TEXT | st.none() | st.lists(st.booleans(), max_size=2)
PLAIN = {
    "int": st.integers(-(2**62), 2**62),
    "float": FLOAT,
    "str": TEXT,
    "bool": st.booleans(),
    "tuple[str, ...]": st.lists(TEXT, max_size=3).map(tuple),
    "tuple[float, ...]": st.lists(FLOAT, max_size=3).map(tuple),
    "tuple[int, ...]": st.lists(st.integers(-(2**62), 2**62), max_size=3).map(tuple),
    "tuple[Mapping[str, Any], ...]": st.lists(st.dictionaries(TEXT, ANY, max_size=3), max_size=3).map(tuple),
    "Mapping[str, Any]": st.dictionaries(TEXT, ANY, max_size=3),
    "Mapping[str, float]": st.dictionaries(TEXT, FLOAT, max_size=3),
    "Mapping[str, str]": st.dictionaries(TEXT, TEXT, max_size=3),
    "Mapping[str, Mapping[str, float]]": st.dictionaries(TEXT, st.dictionaries(TEXT, FLOAT, max_size=2), max_size=2),
    "Mapping[str, tuple[Any, ...]]": st.dictionaries(TEXT, st.lists(ANY, max_size=3).map(tuple), max_size=2),
}


@st.composite
def records(draw: st.DrawFn, kinds: tuple[str, ...] = tuple(KINDS)) -> Record:
    """Any record that is consistent: NaN and infinite values, empty arrays and odd strings included."""
    cls = KINDS[draw(st.sampled_from(kinds))]
    sizes: dict[str, int] = {}
    values = {}
    many = draw(st.sampled_from([1, 40]))       # the same over and over: packed, and shared
    for field in dataclasses.fields(cls):
        if "dtype" in field.metadata:
            shape = tuple(sizes.setdefault(axis, draw(st.integers(0, 4))) for axis in field.metadata["axes"])
            if field.metadata["optional"] and (not all(shape) or draw(st.booleans())):
                continue            # one without elements is the same as none
            values[field.name] = draw(arrays(field.metadata["dtype"], shape))
            for axis, name in enumerate(field.metadata["axes"]):
                values[field.name] = values[field.name].repeat(many if name in ("filters", "samples") else 1, axis)
        elif field.metadata.get("picture"):
            values[field.name] = draw(st.sampled_from([b"", PNG, PNG + b"\0\xff"]))
        else:
            values[field.name] = draw(PLAIN[field.type])
    return cls(**values)


def arrays(dtype: str, shape: tuple[int, ...]) -> st.SearchStrategy[np.ndarray]:
    if dtype == "str":      # NumPy's own strings cannot end in NUL
        return hnp.arrays("U8", shape, elements=TEXT.map(lambda text: text.rstrip("\0")))
    return hnp.arrays(dtype, shape)


def same(one: object, other: object) -> bool:
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, float) and math.isnan(one):
        return isinstance(other, float) and math.isnan(other)
    return one == other and type(one) is type(other)


def health(filters: int = 3) -> LayerHealth:
    numbers = np.linspace(-1, 1, filters, dtype=np.float32)
    names = ("energy", "negative_fraction", "bias", "active_fraction", "max_activation", "min_activation", "mean_activation")
    return LayerHealth(
        epoch=4, layer="block/conv", **dict.fromkeys(names, numbers), dead=numbers > 0,
        cause=np.array(["negative bias" if n > 0 else "" for n in numbers]), group=np.full(filters, -1),
    )  # fmt: skip


def resealed(blobs: list[bytes], /, **changes: object) -> list[bytes]:
    """The record's blobs with some of the header's entries changed, as somebody who knows the format could."""
    return [json.dumps(json.loads(blobs[0]) | changes | {"#crc32": None}).encode(), *blobs[1:]]


@PATIENT
@given(records())
def test_every_record_survives(record: Record) -> None:
    back = wire.decode(wire.encode(record))
    assert type(back) is type(record)
    for field in dataclasses.fields(record):
        given = getattr(record, field.name)
        if field.metadata.get("bits"):
            given = rounded(given, field.metadata["bits"])
        assert same(given, getattr(back, field.name)), field.name
        if "dtype" in field.metadata and field.metadata["dtype"] != "str":
            assert getattr(back, field.name).dtype == np.dtype(field.metadata["dtype"])


def test_every_kind_is_generated_above() -> None:
    plain = {f.type for cls in KINDS.values() for f in dataclasses.fields(cls) if not f.metadata}
    assert plain <= PLAIN.keys()
    assert all(cls.kind == kind for kind, cls in KINDS.items())


def test_the_layout_is_what_the_documentation_says() -> None:
    points = np.array([[1, 2], [3, 4]], ">f8")
    header, blob = wire.encode(Embedding(epoch=np.int64(7), layer="b/c", points=points, trustworthiness=math.inf))
    stated = json.loads(header)
    assert blob == np.array([1, 2, 3, 4], "<f4").tobytes()
    assert (stated["format"], stated["kind"], stated["epoch"], stated["layer"]) == (1, "embedding", 7, "b/c")
    assert stated["blobs"] == [{"name": "points", "dtype": "<f4", "shape": [2, 2], "crc32": zlib.crc32(blob)}]
    assert stated["fields"]["trustworthiness"] is None
    assert list(stated)[-1] == "#crc32"


@PATIENT
@given(TEXT, st.sampled_from(sorted(KINDS)))
def test_tags_keep_layer_names(layer: str, kind: str) -> None:
    assert wire.parse_tag(wire.tag_of(kind, layer)) == (kind, layer)
    assert not wire.tag_of(kind, layer).startswith(wire.NUMBERS)


# What cannot be written


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (Embedding(epoch=0, points=np.zeros(3)), "axes"),
        (Predictions(epoch=0, classes=np.zeros(3), certainty=np.zeros(3), scores=np.zeros((2, 4))), "samples"),
        (ProbeRecord(epoch=0, labels=np.array([2**31]), indices=np.array([0])), "labels holds values that int32"),
        (ProbeRecord(epoch=0, labels=np.array([np.nan]), indices=np.array([0])), "labels"),
        (ProbeRecord(epoch=0, labels=np.array([0.5]), indices=np.array([0])), "labels"),
        (dataclasses.replace(health(), dead=np.array([0, 1, 2])), "dead"),
        (Journal(epoch=0, entries=({"kind": object()},)), "object"),
        (EpochLog(epoch=0, metrics={"loss": np.zeros(2)}), "ndarray"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)  # fmt: skip
def test_what_does_not_fit_is_refused_when_it_is_written(record: Record, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        wire.encode(record)


def test_more_strings_than_the_codes_can_number_are_refused() -> None:
    with pytest.raises(ValueError, match="65,537 different strings"):
        wire.encode(dataclasses.replace(health(65_537), cause=np.arange(65_537).astype(str)))
    wire.encode(dataclasses.replace(health(65_536), cause=np.arange(65_536).astype(str)))


def test_numpy_scalars_and_read_only_mappings_are_plain_enough() -> None:
    log = EpochLog(epoch=1, metrics=types.MappingProxyType({"loss": np.float32(0.5), "steps": np.int64(3)}))
    assert wire.decode(wire.encode(log)).metrics == {"loss": 0.5, "steps": 3.0}


# What cannot be read

ENTRY = {"name": "points", "dtype": "<f4", "shape": [2, 2], "crc32": 0}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format": True}, "states no format"),
        ({"format": 0}, "states no format"),
        ({"kind": 3}, "lacks kind"),
        ({"epoch": 1.5}, "lacks kind"),
        ({"epoch": True}, "lacks kind"),
        ({"epoch": 2**63}, "lacks kind"),
        ({"layer": None}, "lacks kind"),
        ({"fields": []}, "lacks kind"),
        ({"kind": "spectra"}, "unknown kind of record 'spectra'"),
        ({"blobs": None}, "lists no blobs"),
        ({"blobs": ["x"]}, "not an object"),
        ({"blobs": [{"name": "points"}]}, "lacks name"),
        ({"blobs": [{**ENTRY, "dtype": "<c8"}]}, "unknown dtype"),
        ({"blobs": [{**ENTRY, "dtype": "|O"}]}, "unknown dtype"),
        ({"blobs": [{**ENTRY, "shape": "2"}]}, "no proper shape"),
        ({"blobs": [{**ENTRY, "shape": [2, -2]}]}, "no proper shape"),
        ({"blobs": [{**ENTRY, "shape": [2, 2.0]}]}, "no proper shape"),
        ({"blobs": [{**ENTRY, "shape": [1] * 9}]}, "no proper shape"),
        ({"blobs": [{**ENTRY, "shape": [2**20, 2**20]}]}, "impossible shape"),
        ({"blobs": [{**ENTRY, "shape": [2**70, 0]}]}, "impossible shape"),
        ({"blobs": [{**ENTRY, "dtype": "png", "shape": [4, 4]}]}, "impossible shape"),
        ({"blobs": [{**ENTRY, "table": [1]}]}, "not a list of strings"),
        ({"blobs": [{**ENTRY, "shape": [3, 2]}]}, "has 16 bytes, not 24"),
        ({"blobs": [ENTRY]}, "damaged"),
        ({"blobs": [ENTRY, ENTRY]}, "damaged"),
        ({"blobs": []}, "lacks a field"),
        ({"fields": {"trustworthiness": "high"}}, "'trustworthiness' is not of type float"),
        ({"fields": {"trustworthiness": True}}, "not of type float"),
        ({"fields": {"trustworthiness": 10**400}}, "not of type float"),
        ({"fields": {"neighbors": 1.5}}, "not of type int"),
        ({"fields": {"neighbors": True}}, "not of type int"),
        ({"fields": {"method": None}}, "not of type str"),
        ({"fields": {"epoch": 3}}, "epoch"),
    ],
    ids=str,
)
def test_a_header_that_makes_no_sense_is_refused(changes: dict[str, object], says: str) -> None:
    blobs = wire.encode(Embedding(epoch=0, layer="conv", points=np.zeros((2, 2))))
    with pytest.raises(wire.WireError, match=says):
        wire.decode(resealed(blobs, **changes))


@pytest.mark.parametrize(
    ("record", "fields", "says"),
    [
        (EpochLog(epoch=0), {"metrics": {"loss": "low"}}, "'metrics' is not of type float"),
        (EpochLog(epoch=0), {"metrics": [1]}, "not of type Mapping"),
        (Journal(epoch=0), {"entries": ["x"]}, "not of type Mapping"),
        (Journal(epoch=0), {"entries": {"kind": "note"}}, "not of type tuple"),
        (Session(epoch=0, started=1.0), {"started": 1.0, "layers": [3]}, "not of type Mapping"),
        (Session(epoch=0, started=1.0), {"started": 1.0, "versions": {"keras": 3}}, "not of type str"),
        (Session(epoch=0, started=1.0), {}, "lacks a field"),
        (ProbeRecord(epoch=0, labels=np.zeros(1), indices=np.zeros(1)), {"class_names": [0]}, "not of type str"),
        (ProbeRecord(epoch=0, labels=np.zeros(1), indices=np.zeros(1)), {"labels": [0]}, "lacks a field|labels"),
    ],
)
def test_fields_of_another_type_are_refused(record: Record, fields: dict[str, object], says: str) -> None:
    blobs = wire.encode(record)
    if "labels" in fields:
        blobs = resealed(blobs, blobs=[])
    with pytest.raises(wire.WireError, match=says):
        wire.decode(resealed(blobs, fields=fields))


def test_arrays_of_another_declaration_are_refused() -> None:
    blobs = wire.encode(health())
    entries = {entry["name"]: entry for entry in json.loads(blobs[0])["blobs"]}

    def with_entry(name: str, /, **changes: object) -> list[bytes]:
        return resealed(blobs, blobs=[entry | (changes if entry["name"] == name else {}) for entry in entries.values()])

    for name, changes, says in [
        ("energy", {"dtype": "<i4"}, "'energy' is stored as <i4"),
        ("energy", {"shape": [3, 1]}, "with 2 axes"),
        ("energy", {"table": [""]}, "is expected"),
        ("energy", {"dtype": "png", "shape": [12]}, "no PNG file"),
        ("energy", {"name": "test"}, "'test' is an array where none is expected"),
        ("energy", {"name": "bias"}, "lacks a field"),
        ("cause", {"table": None}, "is expected"),
        ("cause", {"table": [""]}, "codes beyond its table"),
        ("cause", {"table": []}, "codes beyond its table"),
    ]:
        with pytest.raises(wire.WireError, match=says):
            wire.decode(with_entry(name, **changes))
    assert wire.decode(with_entry("energy")).dead_count == 1


def test_a_picture_where_an_array_belongs_is_refused_and_the_other_way_round() -> None:
    blob = PNG
    entry = {"name": "points", "dtype": "png", "shape": [len(blob)], "crc32": zlib.crc32(blob)}
    blobs = wire.encode(Embedding(epoch=0, points=np.zeros((0, 2))))
    with pytest.raises(wire.WireError, match="picture where an array"):
        wire.decode([resealed(blobs, blobs=[entry])[0], blob])
    probe = wire.encode(ProbeRecord(epoch=0, labels=np.zeros(1), indices=np.zeros(1), thumbnails=PNG))
    entries = json.loads(probe[0])["blobs"]
    entries[-1] |= {"dtype": "|u1"}
    with pytest.raises(wire.WireError, match="array where none"):
        wire.decode(resealed(probe, blobs=entries))


def test_arrays_that_disagree_about_an_axis_are_refused() -> None:
    wide, narrow = wire.encode(health(3)), wire.encode(health(2))
    entries = [json.loads(blobs[0])["blobs"][0] for blobs in (narrow, wide)]
    others = json.loads(wide[0])["blobs"][1:]
    blobs = [resealed(wide, blobs=[entries[0], *others])[0], narrow[1], *wide[2:]]
    with pytest.raises(wire.WireError, match="filters"):
        wire.decode(blobs)


def test_a_newer_format_is_told_apart() -> None:
    blobs = resealed(wire.encode(EpochLog(epoch=0)), format=wire.FORMAT + 1, kind=["not", "what", "it", "was"])
    with pytest.raises(wire.NewerFormat, match="format 3 by a newer featwatch; this one reads up to 2"):
        wire.decode(blobs)


def test_fields_and_arrays_of_later_versions_are_passed_over() -> None:
    blobs = wire.encode(Embedding(epoch=2, layer="conv", points=np.ones((1, 2))))
    extra = b"\1\2\3\4"
    header = json.loads(blobs[0])
    header["fields"]["colour"] = {"any": ["thing"]}
    header["blobs"].append({"name": "later", "dtype": "<i4", "shape": [1], "crc32": zlib.crc32(extra)})
    record = wire.decode([*resealed(blobs, **header), extra])
    assert record.epoch == 2 and not hasattr(record, "later")


@pytest.mark.parametrize(
    "blob", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b"1" * 5_000], ids=lambda blob: repr(blob[:8])
)
def test_a_header_that_is_no_json_object_is_refused(blob: bytes) -> None:
    for read in (wire.read_header, wire.decode_numbers, lambda blob: wire.decode([blob])):
        with pytest.raises(wire.WireError):
            read(blob)
    with pytest.raises(wire.WireError):
        wire.decode([])


def test_every_flipped_bit_is_noticed() -> None:
    blobs = wire.encode(health(2))
    for number, blob in enumerate(blobs):
        for position in range(len(blob)):
            for bit in range(8):
                damaged = bytearray(blob)
                damaged[position] ^= 1 << bit
                if number == 0 and b'"#crc32": "' not in damaged:
                    continue        # the seal's own name was hit: the rest is as it was written
                with pytest.raises(wire.WireError):
                    wire.decode([*blobs[:number], bytes(damaged), *blobs[number + 1 :]])


@settings(PATIENT, max_examples=200)
@given(records(), st.data())
def test_damaged_blobs_raise_nothing_but_wire_errors(record: Record, data: st.DataObject) -> None:
    blobs = [bytearray(blob) for blob in wire.encode(record)]
    for _ in range(data.draw(st.integers(1, 3))):
        blob = data.draw(st.sampled_from(blobs))
        if not blob:
            continue
        start = data.draw(st.integers(0, len(blob) - 1))
        match data.draw(st.sampled_from(["overwrite", "cut", "insert", "drop"])):
            case "overwrite":
                blob[start] = data.draw(st.integers(0, 255))
            case "cut":
                del blob[start:]
            case "insert":
                blob[start:start] = data.draw(st.binary(max_size=4))
            case "drop" if len(blobs) > 1:
                blobs.remove(blob)
    with contextlib.suppress(wire.WireError):
        wire.decode([bytes(blob) for blob in blobs])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@settings(PATIENT, max_examples=300)
@given(records(), st.data())
def test_hostile_headers_raise_nothing_but_wire_errors(record: Record, data: st.DataObject) -> None:
    blobs = wire.encode(record)
    header = json.loads(blobs[0])
    parts = [header, header["fields"], *header["blobs"]]
    for _ in range(data.draw(st.integers(1, 3))):
        part = data.draw(st.sampled_from(parts))
        key = data.draw(st.sampled_from([*part, "table", "shape", "epoch"]))
        part[key] = data.draw(JSON)
    header["#crc32"] = None
    try:
        back = wire.decode([json.dumps(header).encode(), *blobs[1:]])
    except wire.WireError:
        return
    wire.encode_numbers(back)      # what was accepted has to be usable


def test_a_record_is_printed_in_short() -> None:
    probe = ProbeRecord(epoch=0, labels=np.zeros(5000, np.int32), indices=np.arange(5000), thumbnails=PNG * 1000)
    assert "labels=int32[5000]" in repr(probe) and "8,000 bytes" in repr(probe) and len(repr(probe)) < 500
