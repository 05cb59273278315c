"""A record's numbers survive beside it as JSON text; what is none is refused."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given

from featwatch import wire
from featwatch.records import Embedding, EpochLog, Journal, Record
from tests.test_wire import PATIENT, records, same


@PATIENT
@given(records())
def test_numbers_survive(record: Record) -> None:
    expected = {name: value if math.isfinite(value) else math.nan for name, value in record.numbers().items()}
    assert same(wire.decode_numbers(wire.encode_numbers(record)), expected)


def test_numbers_are_json_without_nan() -> None:
    values = json.loads(wire.encode_numbers(EpochLog(epoch=1, metrics={"loss": math.nan, "acc": 0.5})))
    assert values["loss"] is None and values["acc"] == 0.5
    assert wire.decode_numbers(wire.encode_numbers(Journal(epoch=0))) == wire.decode_numbers(b"{}") == {}


def test_whole_numbers_beyond_all_floats_are_not_known() -> None:
    record = dataclasses.replace(Embedding(epoch=0, points=np.zeros((0, 2))), neighbors=10**400)
    assert math.isnan(wire.decode(wire.encode(record)).numbers()["neighbors"])


@pytest.mark.parametrize("text", [b'{"a": "1"}', b'{"a": true}', b'{"a": [1]}', b'{"a": 1' + b"0" * 400 + b"}"])
def test_what_is_no_number_is_refused(text: bytes) -> None:
    with pytest.raises(wire.WireError, match="'a' is not of type float"):
        wire.decode_numbers(text)


def test_a_digit_changed_in_the_numbers_is_noticed() -> None:
    text = wire.encode_numbers(EpochLog(epoch=1, metrics={"loss": 0.25}))
    with pytest.raises(wire.WireError, match="damaged"):
        wire.decode_numbers(text.replace(b"0.25", b"0.75"))
