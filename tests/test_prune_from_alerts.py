"""Plans of what alerts say can go: alerts worked out by hand, and those of a training with planted filters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import featwatch as fw
from featwatch.prune.from_alerts import KINDS
from featwatch.records import Alert
from tests import nets

DEAD, REDUNDANT, NEGLIGIBLE, NEARLY = KINDS


@pytest.fixture(scope="module")
def plain() -> Any:
    """conv: 4 filters; dense: 8 units; scores: 3."""
    return nets.sequential()


@pytest.fixture(scope="module")
def residual() -> Any:
    """stem and block/inner are added: 4 filters; last: 6."""
    return nets.functional()


def alert(kind: str, layer: str, *filters: int, resolved: int = -1, **evidence: Any) -> Alert:
    return Alert(
        id=f"{kind}/{layer}/0", kind=kind, severity="advice", layer=layer, filters=filters, resolved=resolved, evidence=evidence
    )


def removed(model: Any, *alerts: Alert, **options: Any) -> dict[str, list[int]]:
    return fw.prune.plan_from(alerts, model, **options).chosen


def test_the_kinds_are_those_of_the_detectors() -> None:
    from featwatch import alerts

    found = (alerts.DeadFilters, alerts.RedundantFilters, alerts.NegligibleEnergy, alerts.NearlyDeadFilters)
    assert tuple(detector.kind for detector in found) == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_what_alerts_name_goes(plain: Any, kind: str) -> None:
    plan = fw.prune.plan_from([alert(kind, "dense", 1, 6)], plain)
    assert plan.removed == {"dense": [1, 6]} and plan.criterion == "alerts" and not plan.notes
    assert plan.savings.parameters_before - plan.savings.parameters_after == 2 * (36 * 4 + 1 + 3)


def test_what_is_over_or_of_another_kind_does_not_count(plain: Any) -> None:
    assert not removed(plain, alert(DEAD, "dense", 1, resolved=4), alert("saturated units", "dense", 2), alert(DEAD, ""))


def test_the_most_certain_go_first(plain: Any) -> None:
    alerts = [alert(NEARLY, "conv", 0, 1), alert(NEGLIGIBLE, "dense", 0), alert(DEAD, "dense", 7, 3)]
    assert removed(plain, *alerts, max_ratio=2 / 12) == {"dense": [3, 7]}
    assert removed(plain, *alerts, max_ratio=3 / 12) == {"dense": [0, 3, 7]}
    assert removed(plain, *alerts) == {"conv": [0, 1], "dense": [0, 3, 7]}
    assert removed(plain, *alerts, ignore="dense") == {"conv": [0, 1]}


def test_one_unit_stays_of_a_layer_of_which_all_are_named(plain: Any) -> None:
    assert removed(plain, alert(DEAD, "conv", 0, 1, 2, 3), max_ratio=1.0) == {"conv": [0, 1, 2]}


def test_of_units_that_go_together_all_have_to_be_named(residual: Any) -> None:
    plan = fw.prune.plan_from([alert(DEAD, "stem", 0, 2), alert(NEARLY, "block/inner", 2, 3)], residual)
    assert plan.chosen == {"stem": [2]} and plan.removed["block/inner"] == [2]
    assert any(note.startswith("2 units that alerts name stay") for note in plan.notes)     # stem 0, block/inner 3
    # What each says twice is not what their sum says twice.
    both = [alert(REDUNDANT, name, 1, groups=[{"stays": 0, "go": [1]}]) for name in ("stem", "block/inner")]
    assert not removed(residual, *both)


def test_what_others_are_redundant_because_of_stays(plain: Any) -> None:
    redundant = alert(REDUNDANT, "dense", 1, 6, groups=[{"stays": 0, "go": [1]}], sums=[{"goes": 6, "terms": [2, 3]}])
    assert removed(plain, redundant, alert(NEARLY, "dense", 0, 3, 5)) == {"dense": [1, 5, 6]}
    # The evidence lists a few only: of what it says nothing, all others stay.
    unlisted = alert(REDUNDANT, "dense", 1, 6, groups=[{"stays": 0, "go": [1]}], sums=[])
    assert removed(plain, unlisted, alert(NEARLY, "dense", 3, 5), alert(DEAD, "dense", 7)) == {"dense": [1, 6, 7]}


def test_what_is_redundant_and_dead_needs_nobody(plain: Any) -> None:
    redundant = alert(REDUNDANT, "dense", 1, groups=[{"stays": 0, "go": [1]}])
    assert removed(plain, redundant, alert(NEARLY, "dense", 0)) == {"dense": [1]}
    assert removed(plain, redundant, alert(DEAD, "dense", 1), alert(NEARLY, "dense", 0)) == {"dense": [0, 1]}


def test_alerts_of_a_normalisation_say_nothing_of_its_filters(residual: Any) -> None:
    plan = fw.prune.plan_from([alert(DEAD, "norm", 1)], residual)
    assert not plan.removed and plan.notes[0] == "norm: its units are those of the layer before it, which no alert tells of"


def test_layers_that_pruning_does_not_know_are_said(plain: Any) -> None:
    plan = fw.prune.plan_from([alert(DEAD, "dropout", 1)], plain)
    assert not plan.removed and "dropout" in plan.notes[0]
    assert not removed(plain, alert(DEAD, "scores", 1))         # outputs


@pytest.mark.parametrize(
    ("alerts", "kind", "said"),
    [
        ([alert(DEAD, "dens", 1)], ValueError, "layer 'dens', which the model 'small' has not .did you mean 'dense'"),
        ([alert(DEAD, "dense", 8)], ValueError, "filter 8 of 'dense', which has 8 .was the model pruned since"),
        ([alert(DEAD, "dense", -2)], ValueError, "filter -2 of 'dense'"),
        ("logs/run", TypeError, "is a str: give featwatch.load"),
        ([1], TypeError, "holds a int"),
        (3, TypeError, "is a int"),
    ],
)
def test_what_does_not_fit_is_refused(plain: Any, alerts: Any, kind: type, said: str) -> None:
    with pytest.raises(kind, match=said):
        fw.prune.plan_from(alerts, plain)


def test_limits_are_checked(plain: Any) -> None:
    with pytest.raises(ValueError, match="max_ratio=1.5"):
        fw.prune.plan_from([], plain, max_ratio=1.5)
    assert not fw.prune.plan_from([], plain).removed


def test_after_a_training_dead_filters_go_and_nothing_else_changes(tmp_path: Path) -> None:
    model = nets.sequential()
    kernel, bias = model.get_layer("dense").get_weights()
    kernel[:, [2, 5]], bias[[2, 5]] = -1, -1
    model.get_layer("dense").set_weights([kernel, bias])
    x, y = nets.images(60)
    watch = fw.Watch(tmp_path, fw.Probe(x, y), recorders=[fw.FilterHealth()], background=False)
    model.fit(x, y, epochs=3, batch_size=30, verbose=0, callbacks=[watch])
    dead = [alert for alert in fw.load(tmp_path).alerts if alert.kind == "dead filters"]
    plan = fw.prune.plan_from(dead, model)
    assert {2, 5} <= set(plan.removed["dense"])
    small = plan.apply(model)
    np.testing.assert_allclose(small.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6)
