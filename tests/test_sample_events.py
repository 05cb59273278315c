"""What happens to single samples: each kind by hand and by a plain loop, and fits that go on, are resumed or start over."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import featwatch as fw
from featwatch import wire
from featwatch.analysis.sample_events import JUMP, KINDS, MOST, OF_EACH, SampleHistory, sample_events
from featwatch.predictions import predictions
from featwatch.records import Predictions, SampleEvents
from tests.fits import PROBE, fit, quick
from tests.nets import sequential


def predicted(scores, labels, epoch: int = 0, **more) -> Predictions:
    record = predictions(np.asarray(scores, np.float32), np.asarray(labels), loss="categorical_crossentropy", epoch=epoch)
    assert record is not None
    return dataclasses.replace(record, **more)


def told(events: SampleEvents) -> list[tuple[str, int, float, int, int]]:
    return [(one["kind"], one["sample"], one["size"], one["before"], one["after"]) for one in events.entries]


def test_each_kind_by_hand():
    labels = np.array([0, 0, 0, 0, -1, 1])
    scores = [[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.1, 0.6, 0.3], [0.9, 0.1, 0.0], [0.5, 0.3, 0.2], [0.7, 0.2, 0.1]]
    later = [[0.3, 0.6, 0.1], [0.6, 0.4, 0.0], [0.2, 0.3, 0.5], [0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.5, 0.4, 0.1]]
    before, now = predicted(scores, labels), predicted(later, labels, 4)
    events = sample_events(before, now, labels, np.array([True, False, False, True, False, False]))
    assert (events.epoch, events.step, events.since) == (4, -1, 0)
    assert told(events) == [
        ("forgotten", 0, 0.6, 0, 1),            # lost 0.6 of its class; the new one won 0.5
        ("flip", 4, 0.5, 0, 1),                 # without a label
        ("learnt", 1, 0.4, 1, 0),
        ("jump", 3, 0.4, 0, 0),
        ("flip", 2, 0.3, 1, 2),
    ]
    assert events.counts == {"forgotten": 1, "learnt": 1, "flip": 2, "jump": 1}     # sample 5: less than a jump


def test_what_was_right_once_is_not_learnt_again():
    labels = np.zeros(1, int)
    right, wrong = [[0.9, 0.1]], [[0.2, 0.8]]
    history = SampleHistory(labels)
    kinds = []
    for epoch, scores in enumerate([wrong, right, wrong, right, wrong]):
        history.follow(predicted(scores, labels, epoch))
        events = history.events()
        kinds.append(None if events is None else [one["kind"] for one in events.entries])
    assert kinds == [None, ["learnt"], ["forgotten"], [], ["forgotten"]]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 200), st.integers(2, 5))
def test_as_a_plain_loop_finds_them(seed, count, classes):
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, classes, count)
    before, now = (predicted(rng.dirichlet(np.full(classes, 0.4), count), labels, epoch) for epoch in (2, 3))
    ever = (rng.random(count) < 0.3) | ((labels >= 0) & (before.classes == labels))
    events = sample_events(before, now, labels, ever)
    expected = {kind: {} for kind in KINDS}
    for sample in range(count):
        old, new, label = before.classes[sample], now.classes[sample], labels[sample]
        p, q = before.scores[sample], now.scores[sample]
        if label >= 0 and old == label != new:
            kind, size = "forgotten", max(p[old] - q[old], q[new] - p[new])
        elif label >= 0 and new == label != old:
            if ever[sample]:
                continue
            kind, size = "learnt", max(p[old] - q[old], q[new] - p[new])
        elif old != new:
            kind, size = "flip", max(p[old] - q[old], q[new] - p[new])
        else:
            kind, size = "jump", abs(q[new] - p[old])
            if size < JUMP:
                continue
        expected[kind][sample] = size
    assert events.counts == {kind: len(found) for kind, found in expected.items()}
    assert len(events.entries) == min(MOST, sum(events.counts.values()))
    sizes = [one["size"] for one in events.entries]
    assert sizes == sorted(sizes, reverse=True) and all(0 <= size <= 1 for size in sizes)
    for kind, found in expected.items():
        mine = {one["sample"]: one["size"] for one in events.entries if one["kind"] == kind}
        assert all(mine[sample] == pytest.approx(found[sample], abs=1e-4) for sample in mine)
        largest = sorted(found.values(), reverse=True)[: len(mine)]
        assert len(mine) >= min(OF_EACH, len(found)) and sorted(mine.values(), reverse=True) == pytest.approx(largest, abs=1e-4)
    assert wire.decode(wire.encode(events)).entries == tuple(events.entries)


def test_permuting_the_samples_permutes():
    rng = np.random.default_rng(1)
    labels, order = rng.integers(0, 3, 50), rng.permutation(50)
    scores = rng.dirichlet(np.ones(3), (2, 50))
    one = sample_events(predicted(scores[0], labels), predicted(scores[1], labels), labels, np.zeros(50, bool))
    other = sample_events(
        predicted(scores[0][order], labels[order]), predicted(scores[1][order], labels[order]), labels[order], np.zeros(50, bool)
    )
    assert one.counts == other.counts
    assert [(k, s, *rest) for k, s, *rest in told(one)] == [(k, int(order[s]), *rest) for k, s, *rest in told(other)]


def test_scores_that_are_not_finite_or_no_probabilities():
    labels = np.zeros(3, int)
    fine = predicted([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1]], labels)
    broken = predicted([[np.nan, 0.1], [np.inf, -np.inf], [0.2, 0.8]], labels, 1)
    events = sample_events(fine, broken, labels, np.ones(3, bool))
    assert [one["sample"] for one in events.entries] == [2] and sum(events.counts.values()) == 1
    again = sample_events(broken, dataclasses.replace(fine, epoch=2), labels, np.ones(3, bool))
    assert sum(again.counts.values()) == 0              # 0 and 1 were not predicted before; 2 was right once
    raw = predicted([[7.0, 1.0], [7.0, 1.0], [1.0, 3.0]], labels)
    events = sample_events(raw, predicted([[1.0, 9.0], [7.0, 1.0], [1.0, 3.0]], labels, 1), labels, np.zeros(3, bool))
    assert events.counts == {"forgotten": 1, "learnt": 0, "flip": 0, "jump": 0} and np.isnan(events.entries[0]["size"])
    assert wire.decode(wire.encode(events)).entries[0]["size"] is None


def test_a_record_in_place_of_the_last_and_one_before_it():
    labels = np.zeros(1, int)
    right, wrong = [[0.9, 0.1]], [[0.2, 0.8]]
    history = SampleHistory(labels)
    for epoch, scores in ((0, right), (1, wrong), (1, wrong)):
        history.follow(predicted(scores, labels, epoch))
    events = history.events()
    assert events is not None and (events.since, [one["kind"] for one in events.entries]) == (0, ["forgotten"])
    history.follow(predicted(right, labels, 0))          # it starts over
    assert history.events() is None
    history.follow(predicted([[0.2, 0.3, 0.5]], labels, 1))     # another head: nothing to compare
    assert history.events() is None
    by_step = SampleHistory(labels)
    for step, scores in ((10, wrong), (20, right)):
        by_step.follow(predicted(scores, labels, 1, step=step))
    events = by_step.events()
    assert events is not None and (events.step, events.since, events.counts["learnt"]) == (20, 10, 1)


# In a fit


def recomputed(run: fw.Run, labels: np.ndarray, epochs: list[int], axis: str = "epochs") -> dict[int, dict[str, int]]:
    """Epoch -> the counts, from the predicted classes of the log; jumps left out."""
    unit, counts, ever = axis.removesuffix("s"), {}, np.zeros(len(labels), bool)
    for before, now in zip(epochs, epochs[1:], strict=False):
        old, new = (run.predictions(**{unit: place}).classes for place in (before, now))
        ever |= old == labels
        counts[now] = {
            "forgotten": int(np.sum((old == labels) & (new != labels))),
            "learnt": int(np.sum((new == labels) & ~ever)),
            "flip": int(np.sum((old != new) & (old != labels) & (new != labels))),
        }
    return counts


def recorded(run: fw.Run, epochs: list[int], axis: str = "epochs") -> dict[int, dict[str, int]]:
    found = {}
    for epoch in epochs:
        record = run.sample_events(**{axis.removesuffix("s"): epoch})
        found[epoch] = {kind: count for kind, count in record.counts.items() if kind != "jump"}
    return found


def test_a_fit_a_second_one_and_a_resumed_one(tmp_path: Path):
    """The counts are those of the log's own predictions, across all three: nothing is lost where one ends."""
    labels = np.asarray(PROBE.labels)
    keras.utils.set_random_seed(3)
    model = sequential()
    watch = quick(tmp_path, recorders=[fw.FilterHealth(), fw.Separation(schedule=fw.every(steps=2))])
    fit(model, watch, epochs=2)
    fit(model, watch, epochs=2)
    run = fw.load(tmp_path)
    assert run.epochs == [0, 1, 2, 3, 4]
    assert recorded(run, [1, 2, 3, 4]) == recomputed(run, labels, [0, 1, 2, 3, 4])
    assert sum(counts["learnt"] for counts in recorded(run, [1, 2, 3, 4]).values()) > 0
    with pytest.raises(KeyError):
        run.sample_events(0)
    assert recorded(run, run.steps[1:], "steps") == recomputed(run, labels, run.steps, "steps")
    # In a new process, from a checkpoint of epoch 2: what came after it is superseded.
    fit(model, quick(tmp_path, recorders=[fw.FilterHealth()]), initial_epoch=2, epochs=4)
    run = fw.load(tmp_path)
    assert run.epochs == [0, 1, 2, 3, 4]
    assert recorded(run, [1, 2, 3, 4]) == recomputed(run, labels, [0, 1, 2, 3, 4])
