"""Which filters are the same before and after a layer was pruned: the numbering itself, the routes, and the reader."""

from __future__ import annotations

import dataclasses
import doctest
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import featwatch as fw
from featwatch import numbering as module
from featwatch.numbering import Numbering, numbering
from featwatch.records import LayerInfo, Pruning, Session
from featwatch.writers import EventFileWriter
from tests.memory_provider import MemoryProvider
from tests.plugin_client import Client, look_anew, plugin_app
from tests.small_logs import info
from tests.test_development import LAYER, RUN, answered, ask, of

# Eight filters; 1 and 4 go at epoch 2; of what is left 0 and 5 at 4, which come back at 5; then 2 at 6, and one untold at 8.
TOLD = [("pruned", 2, [1, 4]), ("pruned", 4, [0, 5]), ("undone", 5, [0, 5]), ("proposed", 1, [3]), ("pruned", 6, [2])]
SIZES = {0: 8, 3: 6, 5: 4, 6: 6, 7: 5, 9: 4}
# Who is who at each epoch, by hand.
WHO = {
    **dict.fromkeys((0, 1, 2), [0, 1, 2, 3, 4, 5, 6, 7]), **dict.fromkeys((3, 4), [0, 2, 3, 5, 6, 7]), 5: [2, 3, 5, 6],
    6: [0, 2, 3, 5, 6, 7], **dict.fromkeys((7, 8), [0, 2, 5, 6, 7]), 9: [100, 101, 102, 103],
}  # fmt: skip


def opened(epoch: int, filters: int, step: int = -1) -> Session:
    one = dataclasses.replace(info(LAYER), filters=filters)
    return Session(epoch=epoch, step=step, started=1.0 + epoch, layers=(info("other").as_dict(), one.as_dict()))


def steps() -> list[Pruning]:
    return [Pruning(epoch=epoch, action=action, removed={"other": [], LAYER: units}) for action, epoch, units in TOLD]


def known() -> Numbering:
    return numbering(LAYER, [(epoch, opened(epoch, filters)) for epoch, filters in SIZES.items()], steps())


def test_filters_are_followed_through_steps_that_hold_and_steps_that_were_undone() -> None:
    found = known()
    for before, filters in WHO.items():
        for after, others in WHO.items():
            wanted = [others.index(who) if who in others else -1 for who in filters]
            numbers = np.arange(len(filters))
            got = found.found(numbers, of=(before, len(filters)), at=(after, len(others)))
            assert got.tolist() == wanted, (before, after)
            odd = found.found(numbers[::-2], of=(before, len(filters)), at=(after, len(others)))
            assert odd.tolist() == wanted[::-2]


def test_nothing_is_said_of_records_that_are_of_other_filters_than_the_session_says() -> None:
    found = known()
    assert found.found(np.arange(5), of=(7, 5), at=(4, 5)).tolist() == [-1] * 5       # the session says six
    assert found.found(np.arange(6), of=(7, 6), at=(4, 6)).tolist() == [-1] * 6
    assert found.found(np.arange(6), of=(7, 6), at=(8, 6)).tolist() == [0, 1, 2, 3, 4, 5]     # of one era, whatever it says
    assert Numbering().found(np.arange(3), of=(7, 3), at=(2, 3)).tolist() == [0, 1, 2]
    assert Numbering().found(np.arange(3), of=(7, 3), at=(2, 4)).tolist() == [-1] * 3


def test_it_is_right_whatever_goes_and_comes_back() -> None:
    """Random steps with records lost here and there, against a list of who is there."""
    rng = np.random.default_rng(0)
    for _ in range(40):
        who, history, sessions = list(range(12)), [list(range(12))], [(0, opened(0, 12))]
        told: list[Pruning] = []
        for epoch in range(12):
            before = history[-1]
            if told and told[-1].action == "pruned" and told[-1].epoch == epoch - 1 and rng.random() < 0.4:
                told.append(dataclasses.replace(told[-1], epoch=epoch, action="undone"))
                who = history[epoch - 1]
            elif len(before) > 4 and rng.random() < 0.6:
                gone = sorted(rng.choice(len(before), 2, replace=False).tolist())
                told.append(Pruning(epoch=epoch, action="pruned", removed={LAYER: gone}))
                who = [one for at, one in enumerate(before) if at not in gone]
            if who != before:
                sessions.append((epoch + 1, opened(epoch + 1, len(who))))
            history.append(who)
        found = numbering(LAYER, reversed(sessions), reversed(told))
        for epoch, filters in enumerate(history):
            got = found.found(np.arange(len(filters)), of=(epoch, len(filters)), at=(12, len(who)))
            assert got.tolist() == [who.index(one) if one in who else -1 for one in filters]


HOSTILE = (
    st.none() | st.integers(-5, 2**70) | st.text(max_size=3) | st.lists(st.integers(-2, 9) | st.none() | st.floats(), max_size=4)
)
STEPS = st.lists(st.tuples(st.sampled_from(["pruned", "undone", "?"]), st.integers(0, 9), HOSTILE), max_size=6)


@settings(max_examples=100, deadline=None)
@given(STEPS, st.lists(HOSTILE, max_size=5))
def test_whatever_a_log_says_the_numbering_is_one(told: list[Any], counts: list[Any]) -> None:
    entries = [{**LayerInfo.as_dict(info(LAYER)), "filters": count} for count in counts]
    sessions = [(at, Session(epoch=at, started=1.0, layers=(entry,))) for at, entry in enumerate(entries)]
    found = numbering(LAYER, sessions, [Pruning(epoch=at, action=action, removed={LAYER: units}) for action, at, units in told])
    for era in found.eras:
        assert len(set(era.filters.tolist())) == len(era.filters) < module.MAX_FILTERS and era.begins >= 0
    assert [era.begins for era in found.eras] == sorted({era.begins for era in found.eras})


def test_a_log_of_endless_eras_is_cut_at_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_NUMBERS", 20)
    sessions = [(epoch, opened(epoch, 6 + epoch % 2)) for epoch in range(30)]
    found = numbering(LAYER, sessions, [])
    assert sum(len(era.filters) for era in found.eras) <= 20 and found.eras[-1].begins == 29
    assert found.found(np.arange(6), of=(28, 6), at=(0, 6)).tolist() == [-1] * 6


def test_doctests() -> None:
    assert doctest.testmod(module).failed == 0


# What is answered


def values(epoch: int) -> np.ndarray:
    """By who a filter is, and the epoch."""
    return 100.0 * epoch + np.array(WHO[epoch])


def numbered_records() -> list[Any]:
    """A log of the story above."""
    made: list[Any] = [opened(epoch, filters) for epoch, filters in SIZES.items()] + steps()
    for epoch, who in WHO.items():
        cause = np.array([f"filter {one}" for one in who])
        made.append(dataclasses.replace(of(epoch, filters=len(who)), energy=values(epoch), cause=cause))
    return made


@pytest.fixture
def records() -> list[Any]:
    return numbered_records()


@pytest.fixture
def client(records: list[Any], monkeypatch: pytest.MonkeyPatch) -> Client:
    look_anew(monkeypatch)
    provider = MemoryProvider()
    for record in records:
        provider.write(RUN, record)
    return plugin_app(provider)


def expected(at: int) -> np.ndarray:
    rows = [[100.0 * epoch + one if one in who else np.nan for one in WHO[at]] for epoch, who in WHO.items()]
    return np.array(rows, np.float32)


def test_the_plugin_follows_filters_from_any_epoch_on(client: Client) -> None:
    for at in WHO:
        _, arrays, damaged = answered(ask(client, at=at))
        np.testing.assert_array_equal(arrays["energy"], expected(at))
        assert not damaged and arrays["sizes"].tolist() == [len(who) for who in WHO.values()]
    _, arrays, _ = answered(ask(client))
    np.testing.assert_array_equal(arrays["energy"], expected(9))
    _, arrays, _ = answered(ask(client, at=7, filter=[4, 1], field=["energy", "cause"]))
    np.testing.assert_array_equal(arrays["energy"], expected(7)[:, [4, 1]])
    assert arrays["cause"][0].tolist() == ["filter 7", "filter 2"] and arrays["cause"][5].tolist() == ["", "filter 2"]
    assert ask(client, at=7, filter=5).status == 404 and ask(client, at="x").status == 400
    assert ask(client, at=1, filter=7).status == 200


def test_the_numbering_is_answered_with_who_is_who(client: Client) -> None:
    asked = {"run": RUN, "generation": client.index()[RUN]["generation"]}
    reply = client.get("numbering", **asked, layer=LAYER)
    eras = reply.json()["eras"]
    assert [era["begins"] for era in eras] == [0, 3, 5, 6, 7, 9]
    assert [era["filters"] for era in eras[:5]] == [WHO[era["begins"]] for era in eras[:5]]
    assert not set(eras[5]["filters"]) & set(range(8))
    assert "max-age" not in reply.headers["Cache-Control"]
    assert [len(era["filters"]) for era in client.get("numbering", **asked, layer="other").json()["eras"]] == [4]
    assert client.get("numbering", **asked, layer="none").json() == {"eras": []}
    assert client.get("numbering", **asked).status == 400


def test_the_reader_answers_as_the_plugin_does(records: list[Any], tmp_path: Path) -> None:
    writer = EventFileWriter(tmp_path / "run-1", 0)
    for record in sorted(records, key=lambda one: one.epoch):
        writer.write(record)
    writer.close()
    run = fw.load(tmp_path / "run-1")
    epochs, energy = run.development(LAYER, "energy")
    assert epochs.tolist() == list(WHO)
    np.testing.assert_array_equal(energy, expected(9))
