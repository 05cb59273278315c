"""The desk of alerts: raised after some checks in a row, changed, resolved, continued; and no failure gets out of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import featwatch as fw
from featwatch.alerts import AlertDesk, Detector, Finding, checked_alerts, default_detectors, in_a_line
from featwatch.alerts.persistence import Persistence, Streaks
from featwatch.records import Alert, LayerSeparation, Record


@dataclass(eq=False)
class Low(Detector):
    """A kNN accuracy below a half is wrong; how far below is no news, but another number of neighbours is."""

    kind = "low"
    raise_after: int = 2
    resolve_after: int = 2

    def update(self, record: Record) -> Iterable[Finding]:
        if isinstance(record, LayerSeparation):
            yield Finding(
                epoch=record.epoch, layer=record.layer, wrong=record.knn_accuracy < 0.5, text=f"{record.knn_accuracy:.2f}",
                suggestion="train on", evidence={"accuracy": np.float32(record.knn_accuracy)}, news=record.neighbors,
            )  # fmt: skip


class LowAnywhere(Low):
    kind = "low anywhere"
    per_layer = False


def separation(epoch: int, accuracy: float, layer: str = "conv", **more) -> LayerSeparation:
    return LayerSeparation(epoch=epoch, layer=layer, knn_accuracy=accuracy, **more)


def show(desk: AlertDesk, accuracies: Iterable[float], start: int = 0) -> list[list[str]]:
    """What the desk says at the end of each epoch: "id text" or "id resolved"."""
    told = []
    for epoch, accuracy in enumerate(accuracies, start):
        desk.see(separation(epoch, accuracy))
        told.append([f"{alert.id} {alert.text if alert.open else alert.resolved}" for alert in desk.drain()])
    return told


def test_it_is_raised_after_some_checks_in_a_row_and_resolved_after_some_without():
    told = show(AlertDesk([Low()], ["conv"]), [0.1, 0.9, 0.2, 0.3, 0.4, 0.9, 0.1, 0.8, 0.7, 0.9])
    assert told == [[], [], [], ["low/conv/2 0.30"], [], [], [], [], ["low/conv/2 8"], []]


def test_it_can_be_raised_again_as_another_alert():
    assert show(AlertDesk([Low(1, 1)], ["conv"]), [0.1, 0.9, 0.2]) == [["low/conv/0 0.10"], ["low/conv/0 1"], ["low/conv/2 0.20"]]


def test_an_alert_says_what_it_is_of():
    desk = AlertDesk([Low()], ["conv"])
    show(desk, [0.1, 0.25])
    assert desk.open == [
        Alert(
            id="low/conv/0", kind="low", severity="warning", layer="conv", since=0, raised=1, updated=1, text="0.25",
            suggestion="train on", evidence={"accuracy": 0.25}, view="overview",
        )
    ]  # fmt: skip


def test_what_changed_is_told_with_its_newest_state():
    desk = AlertDesk([Low()], ["conv"])
    show(desk, [0.1, 0.2])
    desk.see(separation(2, 0.3))
    assert desk.drain() == []                               # the number alone is no news …
    desk.see(separation(3, 0.35, neighbors=5))
    desk.see(separation(4, 0.4, neighbors=5))
    (changed,) = desk.drain()
    assert (changed.id, changed.text, changed.raised, changed.updated) == ("low/conv/0", "0.40", 1, 4)


def test_what_was_raised_and_resolved_between_two_looks_is_told_as_resolved():
    desk = AlertDesk([Low(1, 1)], ["conv"])
    desk.see(separation(0, 0.1))
    desk.see(separation(1, 0.9))
    (alert,) = desk.drain()
    assert (alert.id, alert.resolved, desk.open) == ("low/conv/0", 1, [])


def test_layers_have_alerts_of_their_own_and_the_model_has_one():
    desk = AlertDesk([Low(1, 1), LowAnywhere(1, 1)], ["conv", "dense"])
    desk.see(separation(0, 0.1, "dense"))
    desk.see(separation(0, 0.2, "conv"))
    assert [alert.id for alert in desk.drain()] == ["low/dense/0", "low/conv/0", "low anywhere/conv/0"]
    desk.see(separation(1, 0.1, "conv"))
    desk.see(separation(1, 0.9, "dense"))
    assert [(alert.id, alert.resolved) for alert in desk.drain()] == [("low/dense/0", 1), ("low anywhere/conv/0", 1)]


def test_the_place_of_the_models_alert_stays_once_it_was_told():
    desk = AlertDesk([LowAnywhere(1, 1)], ["conv", "dense"])
    desk.see(separation(0, 0.1, "dense"))
    (first,) = desk.drain()
    desk.see(separation(1, 0.1, "conv", neighbors=3))
    (second,) = desk.drain()
    assert first.id == second.id == "low anywhere/dense/0" and second.layer == "dense" and second.updated == 1


def test_older_records_and_the_same_once_more_are_no_checks():
    desk = AlertDesk([Low()], ["conv"])
    for epoch in (3, 3, 2, 1):
        desk.see(separation(epoch, 0.1))
    assert desk.drain() == []
    desk.see(separation(4, 0.1))
    assert [alert.id for alert in desk.drain()] == ["low/conv/3"]


def test_records_of_another_layer_or_kind_may_come_late():
    desk = AlertDesk([Low(1)], ["conv", "dense"])
    desk.see(separation(5, 0.9, "conv"))
    desk.see(separation(3, 0.1, "dense"))
    assert [alert.id for alert in desk.drain()] == ["low/dense/3"]


def test_checks_on_a_schedule_of_steps_count_each():
    desk = AlertDesk([Low()], ["conv"])
    desk.see(separation(1, 0.1, step=10))
    desk.see(separation(1, 0.1, step=20))
    assert [alert.since for alert in desk.drain()] == [1]


def test_an_alert_of_an_earlier_fit_goes_on():
    first = AlertDesk([Low()], ["conv"])
    show(first, [0.1, 0.1])
    (alert,) = first.open
    opened = [Alert.from_dict(json.loads(json.dumps(alert.as_dict())))]
    second = AlertDesk([Low()], ["conv"], opened=[*opened, Alert(id="x", kind="of another kind", severity="advice")])
    assert second.open == opened
    assert show(second, [0.2, 0.9, 0.9], start=2) == [["low/conv/0 0.20"], [], ["low/conv/0 4"]]
    gone = AlertDesk([Low()], ["conv"], opened=[Alert(id="low/conv/0", kind="low", severity="advice", layer="conv", resolved=4)])
    assert gone.open == []


class Broken(Low):
    kind = "broken"
    def update(self, record):
        raise RuntimeError("out of luck")


class BreaksLate(Low):
    kind = "breaks late"
    def update(self, record):
        yield Finding(epoch=record.epoch, layer=record.layer, wrong=True)
        raise RuntimeError("out of luck")


class NoStart(Low):
    kind = "no start"
    def start(self, layers, opened):
        raise RuntimeError("out of luck")


class Nonsense(Low):
    kind = "nonsense"
    def update(self, record):
        return [3]


class NothingAtAll(Low):
    kind = "nothing"
    def update(self, record):
        return None


@pytest.mark.parametrize("broken", [Broken(), BreaksLate(), NoStart(), Nonsense()], ids=lambda detector: detector.kind)
def test_a_detector_that_fails_is_switched_off_and_told_once(broken):
    told: list[str] = []
    desk = AlertDesk([broken, Low(1), NothingAtAll()], ["conv"], trouble=told.append)
    assert [alert for alerts in show(desk, [0.1, 0.9, 0.9, 0.9]) for alert in alerts][-1] == "low/conv/0 2"
    assert len(told) == 1 and repr(broken.kind) in told[0] and "switched off until the next fit" in told[0]


def test_whoever_is_told_of_trouble_may_come_back_to_the_desk_or_fail():
    def tell(text):
        desk.drain()
        raise OSError(text)

    desk = AlertDesk([Broken()], ["conv"], trouble=tell)
    thread = threading.Thread(target=desk.see, args=(separation(0, 0.1),), daemon=True)
    thread.start()
    thread.join(timeout=5)
    assert not thread.is_alive()


def test_threads_may_share_it():
    desk = AlertDesk([Low(1, 1)], [f"conv{number}" for number in range(4)])

    def train(layer):
        for epoch in range(200):
            desk.see(separation(epoch, 0.1 if epoch % 2 else 0.9, layer))

    threads = [threading.Thread(target=train, args=(f"conv{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    told = []
    while any(thread.is_alive() for thread in threads):
        told += desk.drain()
    told += desk.drain()
    for number in range(4):
        resolved = [alert.resolved for alert in told if alert.layer == f"conv{number}" and not alert.open]
        assert resolved == list(range(2, 200, 2))


def test_detectors_are_copied_so_that_two_trainings_may_use_the_same():
    class Counting(Low):
        kind = "counting"
        def start(self, layers, opened):
            self.seen = 0

        def update(self, record):
            self.seen += 1
            yield Finding(epoch=record.epoch, wrong=True, text=str(self.seen))

    detector = Counting(1)
    for _ in range(2):
        desk = AlertDesk([detector], ["conv"])
        desk.see(separation(0, 0.1))
        assert desk.drain()[0].text == "1"
    assert not hasattr(detector, "seen")


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 4), st.integers(1, 4))
def test_persistence_is_a_run_of_checks(checks, raise_after, resolve_after):
    """By its definition: what held keeps holding unless the last checks were all to the contrary."""
    persistence, holds, since = Persistence(raise_after, resolve_after), False, -1
    for epoch, wrong in enumerate(checks):
        needed = resolve_after if holds else raise_after
        last = checks[max(epoch + 1 - needed, 0):epoch + 1]
        if len(last) == needed and all(check != holds for check in last):
            holds = not holds
            since = epoch + 1 - needed if holds else since
        assert persistence.update(epoch, wrong) == holds
        assert not holds or persistence.since == since


@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=20), st.integers(1, 4))
def test_streaks_are_the_last_checks_in_a_row(checks, needed):
    streaks = Streaks(3)
    for epoch, now in enumerate(checks):
        streaks.update(epoch, np.array(now))
        table = np.array(checks[:epoch + 1])
        lasting = [thing for thing in range(3) if epoch + 1 >= needed and table[-needed:, thing].all()]
        assert streaks.lasting(needed).tolist() == lasting
        for thing in lasting:
            since = streaks.since[thing]
            assert table[since:, thing].all() and (since == 0 or not table[since - 1, thing])


def test_findings_hold_plain_values_only():
    finding = Finding(
        epoch=1, wrong=True, filters=np.array([1, 4]),
        evidence={"a": np.float32(0.5), "b": np.arange(2), "c": {"d": [np.int64(1), float("nan")]}, 3: None},
    )  # fmt: skip
    assert finding.filters == (1, 4) and all(type(number) is int for number in finding.filters)
    assert json.loads(json.dumps(finding.evidence)) == {"a": 0.5, "b": [0, 1], "c": {"d": [1, None]}, "3": None}
    with pytest.raises(TypeError, match="evidence holds a object; use numbers"):
        Finding(epoch=1, wrong=True, evidence={"a": object()})
    with pytest.raises(ValueError, match="severity='bad' is not known; choose 'critical', 'warning', 'advice'"):
        Finding(epoch=1, wrong=True, severity="bad")


def test_alerts_in_a_line():
    alert = Alert(
        id="a/b/3", kind="dead filters", severity="advice", layer="conv\n1", since=3, text="4 of 32", suggestion="Prune  them.",
    )  # fmt: skip
    assert in_a_line(alert) == "featwatch: ⚠ dead filters in conv 1 since epoch 3: 4 of 32 → Prune them."
    gone = Alert(id="a//3", kind="not finite", severity="critical", since=3, resolved=7)
    assert in_a_line(gone) == "featwatch: ✓ not finite, seen since epoch 3: gone since epoch 7"


def test_what_watch_may_be_given():
    assert [type(each) for each in checked_alerts(None)] == [type(each) for each in default_detectors()]
    assert checked_alerts(()) == []
    mine = [Low(), fw.alerts.DeadFilters(checks=3)]
    assert checked_alerts(mine) == mine
    for wrong, error, message in [
        (fw.alerts.NotFinite(), TypeError, r"expected a list, e\.g\. \[featwatch\.alerts\.DeadFilters\(.*\)\], or \(\) for none"),
        (True, TypeError, "expected a list"),
        ("dead filters", TypeError, "expected a list"),
        ([fw.alerts.DeadFilters], TypeError, r"DeadFilters is a class; make a detector of it, DeadFilters\(\)"),
        ([3], TypeError, r"3 is no detector; there are .*DeadFilters.* in featwatch\.alerts"),
        ([Low(), Low()], ValueError, "two detectors for 'low'; keep one"),
    ]:
        with pytest.raises(error, match=message):
            checked_alerts(wrong)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fw.alerts.DeadFilters(checks=0), ValueError, "checks=0 is out of range; give a whole number of 1 or more"),
        (lambda: fw.alerts.DeadFilters(checks=1.5), TypeError, "checks=1.5 is not a whole number"),
        (lambda: fw.alerts.DeadFilters(share=2), ValueError, "share=2 is out of range; give a number of 0 or more, 1 at most"),
        (lambda: fw.alerts.DeadFilters(share="half"), TypeError, "share='half' is not a number"),
        (lambda: fw.alerts.NotFinite(checks=True), TypeError, "checks=True is not a whole number"),
    ],
)
def test_wrong_options_are_refused_where_they_are_given(make, error, message):
    with pytest.raises(error, match=message):
        make()
