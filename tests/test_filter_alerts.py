"""What the detectors of filters call wrong, on records worked out by hand: kinds, evidence, savings, and when it is over."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from featwatch.alerts import (
    DeadFilters,
    LinearActivation,
    NearlyDeadFilters,
    NegligibleEnergy,
    NoisyKernels,
    RedundantFilters,
    SaturatedUnits,
)
from featwatch.records import AN_OUTPUT, Alert, LayerHealth
from tests.filter_records import each, health, marks, raised, session, similarity

# What is wrong with a layer's filters 2 and 5, and when nothing is: detector, records at an epoch given what is marked.
FILTERWISE: dict[str, tuple[Any, Any]] = {
    "nearly dead": (NearlyDeadFilters, lambda epoch, x: health(epoch, active_fraction=marks(x, 0.005, 0.3))),
    "nearly dead, smooth": (
        NearlyDeadFilters,
        lambda epoch, x: health(epoch, activation="gelu", responsive_fraction=marks(x, 0.002, 0.9)),
    ),
    "energy": (NegligibleEnergy, lambda epoch, x: health(epoch, energy=marks(x, 0.009, 1.0))),
    "scale": (NegligibleEnergy, lambda epoch, x: health(epoch, scale=marks(x, -0.09, -1.0))),
    "saturated": (
        SaturatedUnits,
        lambda epoch, x: health(epoch, activation="tanh", responsive_fraction=marks(x, 0.004, 0.5)),
    ),
    "redundant": (RedundantFilters, lambda epoch, x: similarity(epoch, "." * 8, sums=[i for i, m in enumerate(x) if m == "x"])),
}


@pytest.mark.parametrize("name", FILTERWISE)
def test_filters_are_named_while_it_lasts_and_no_longer(name: str) -> None:
    detector, record = FILTERWISE[name]
    told = each(detector(checks=2), [
        session(), *(record(epoch, x) for epoch, x in enumerate(
            ["..x.....", "..x..x..", "..x..x..", "..x..x..", ".....x..", "..x.....", "........", "........", "x......."]
        )),
    ])  # fmt: skip
    # At epoch 4 filter 2 is away, and told of no more; filter 5 is gone when it has been away for two checks.
    assert told == ["", "", "[2]", "[2, 5]", "", "[5]", "", "gone", "", ""]


@pytest.mark.parametrize("name", FILTERWISE)
def test_an_alert_has_held_since_the_first_of_its_filters_was_so(name: str) -> None:
    detector, record = FILTERWISE[name]
    marked = ["..x.....", *["..x..x.."] * 3]
    alerts = raised(detector(checks=2), [session(), *(record(epoch, x) for epoch, x in enumerate(marked))])
    assert (alerts[-1].filters, alerts[-1].since) == ((2, 5), 0)


@pytest.mark.parametrize("name", FILTERWISE)
def test_an_open_alert_goes_on_in_a_resumed_training(name: str) -> None:
    detector, record = FILTERWISE[name]
    first = raised(detector(checks=3), [session(), *(record(epoch, "..x..x..") for epoch in range(3))])
    stored = tuple(Alert.from_dict(json.loads(json.dumps(alert.as_dict()))) for alert in first)
    (alert,) = raised(detector(checks=3), [session(), record(3, "..x..x..")], stored)
    assert (alert.id, alert.since, alert.filters, alert.updated) == (first[0].id, 0, (2, 5), 3)
    assert raised(detector(checks=3), [session(), *(record(epoch, "........") for epoch in (3, 4, 5))], stored) == []


@pytest.mark.parametrize("name", FILTERWISE)
def test_filters_of_a_models_output_are_not_called_so(name: str) -> None:
    detector, record = FILTERWISE[name]
    records = [record(epoch, "..x..x..") for epoch in range(4)]
    assert raised(detector(checks=1), [session(AN_OUTPUT), *records]) == []
    assert len(raised(detector(checks=1), [session(), *records])) == 1


@pytest.mark.parametrize("name", [name for name in FILTERWISE if not name.startswith("saturated")])
def test_what_pruning_saves_is_in_the_text_and_in_the_evidence(name: str) -> None:
    detector, record = FILTERWISE[name]
    (alert,) = raised(detector(checks=1), [session(), record(0, "..x..x..")])
    evidence = dict(alert.evidence)
    assert (evidence["parameters"], evidence["multiply_adds"]) == (40, 600)
    assert (evidence["share_of_parameters"], evidence["share_of_multiply_adds"]) == (0.04, 0.15)
    assert "Prune them, which saves 40 parameters (4 %) and 600 multiply-adds (15 %): it " in alert.suggestion
    (alert,) = raised(detector(checks=1), [session("its output is added to others' (sum)"), record(0, "..x..x..")])
    assert "saves 40 parameters" in alert.suggestion and "sum" in alert.evidence["saving_note"]
    (alert,) = raised(detector(checks=1), [session(filter_parameters=-1, filter_multiply_adds=-1), record(0, "..x..x..")])
    assert "Prune them: it " in alert.suggestion and "parameters" not in alert.evidence
    assert raised(detector(checks=1), [record(0, "..x..x..")])[0].severity == "advice"      # an older log tells nothing


@pytest.mark.parametrize("name", [name for name in FILTERWISE if name != "redundant"])
def test_dead_filters_are_told_of_as_that_alone(name: str) -> None:
    detector, record = FILTERWISE[name]

    def dying(epoch: int) -> LayerHealth:
        values = vars(record(epoch, "..x..x..")) | {"dead": np.arange(8) == 2}
        return LayerHealth(**values)

    (alert,) = raised(detector(checks=1), [session(), dying(0)])
    assert alert.filters == (5,)


def test_a_dead_filter_is_not_redundant():
    records = [health(0, dead=np.arange(8) == 3), similarity(0, "aa.a....")]
    (alert,) = raised(RedundantFilters(checks=1), records)
    assert alert.filters == (1,)


def test_most_of_a_layer_is_a_warning():
    for detector, activation, values in (
        (NearlyDeadFilters, "relu", {"active_fraction": marks("xxxxx...", 0.001, 0.5)}),
        (SaturatedUnits, "sigmoid", {"responsive_fraction": marks("xxxxx...", 0.001, 0.5)}),
    ):
        (alert,) = raised(detector(checks=1), [health(0, activation=activation, **values)])
        assert alert.severity == "warning"
        (alert,) = raised(detector(checks=1, share=0.7), [health(0, activation=activation, **values)])
        assert alert.severity == "advice"


# Each kind by itself


def test_nearly_dead_counts_checks_in_which_the_filter_was_dead():
    rare = [0.005, 0.0, 0.004]
    records = [health(epoch, active_fraction=share, dead=share == 0, filters=4) for epoch, share in enumerate(rare)]
    (alert,) = raised(NearlyDeadFilters(checks=3), records)
    assert (alert.since, alert.evidence["active_fraction"]["0"]) == (0, pytest.approx(0.004))


def test_what_has_died_altogether_is_nearly_dead_no_longer():
    alive = np.zeros(8, bool)
    records = [health(epoch, active_fraction=0.001, dead=alive if epoch < 2 else ~alive) for epoch in range(5)]
    assert each(NearlyDeadFilters(), records) == ["", "[0, 1, 2, 3, 4, 5, 6, 7]", "", "gone", ""]


@pytest.mark.parametrize("activation", ["leaky_relu", "tanh", "linear", "softmax", "prelu", "elu"])
def test_what_passes_a_gradient_below_zero_is_not_nearly_dead(activation: str) -> None:
    assert raised(NearlyDeadFilters(checks=1), [health(0, activation=activation, active_fraction=0.0)]) == []


@pytest.mark.parametrize("activation", ["relu", "linear", "leaky_relu", "gelu", "softmax"])
def test_what_has_no_end_cannot_be_saturated(activation: str) -> None:
    assert raised(SaturatedUnits(checks=1), [health(0, activation=activation, responsive_fraction=0.0)]) == []


def test_a_relu6_that_is_off_is_not_saturated():
    detector, values = SaturatedUnits(checks=1), {"activation": "relu6", "responsive_fraction": 0.001}
    assert raised(detector, [health(0, active_fraction=0.001, **values)]) == []
    (alert,) = raised(detector, [health(0, active_fraction=0.7, **values)])
    assert "stand at an end of relu6" in alert.text


def test_energy_is_measured_where_there_are_filters_enough():
    small = {"energy": np.array([1e-6, 1.0, 1.0])}
    assert raised(NegligibleEnergy(checks=1), [health(0, filters=3, **small)]) == []
    assert raised(NegligibleEnergy(checks=1), [health(0, energy=marks("x.......", 0.011, 1.0))]) == []     # 0.105²
    assert raised(NegligibleEnergy(checks=1), [health(0, energy=0.0)]) == []
    assert raised(NegligibleEnergy(checks=1), [health(0, energy=np.nan)]) == []


def test_a_batch_normalisation_undoes_the_size_of_the_weights():
    energy = np.array([1e-6, 1, 1, 1, 1, 1, 1, 1])
    assert raised(NegligibleEnergy(checks=1), [health(0, energy=energy, scale=1.0)]) == []


def test_redundant_filters_name_what_stays():
    (alert,) = raised(RedundantFilters(checks=1), [session(), similarity(0, "ab.ab.a.", sums=[7])])
    assert alert.filters == (3, 4, 6, 7)
    assert alert.text == "4 of 8 filters (3, 4, 6, 7) say what others say, 3 as multiples and 1 as sums of a few, " \
        "to within 1 % of their deviation"
    groups = alert.evidence["groups"]
    assert [(group["stays"], group["go"], group["by"]) for group in groups] == [(0, [3, 6], ["both"]), (1, [4], ["both"])]
    assert groups[0]["factors"] == [2.0, 2.0]
    assert alert.evidence["sums"] == [
        {"goes": 7, "terms": [0, 1], "coefficients": [0.5, 0.5], "residual": pytest.approx(0.01)}
    ]


def test_which_filter_of_a_group_stays_may_change():
    records = [similarity(epoch, "a..a....", stays={0: 3 * (epoch % 2)}) for epoch in range(4)]
    assert each(RedundantFilters(checks=2), records) == ["", "[0]", "[3]", "[0]"]


# The dead, with what is new of them


def dead(epoch: int, cause: str, **values: Any) -> LayerHealth:
    is_dead = np.arange(8) < 2
    values = {"max_activation": np.where(is_dead, 0.0, 1.0), **values}
    return health(epoch, dead=is_dead, cause=np.where(is_dead, cause, ""), **values)


@pytest.mark.parametrize(
    ("cause", "cure"),
    [("dead inputs", "layers before"), ("zero scale", "regularises its scale"), ("saturated", "No gradient passes")],
)
def test_every_cause_has_a_cure(cause: str, cure: str) -> None:
    (alert,) = raised(DeadFilters(checks=1), [session(), dead(0, cause, proven=np.arange(8) == 0)])
    assert cure in alert.suggestion and alert.evidence["causes"] == {cause: 2} and alert.evidence["proven"] == 1
    assert alert.suggestion.endswith("Prune them, which saves 40 parameters (4 %) and 600 multiply-adds (15 %): "
                                     "it changes no output of the probe.")  # fmt: skip
    (alert,) = raised(DeadFilters(checks=1), [session(), dead(0, cause, proven=True)])
    assert alert.suggestion.endswith("it changes no output.") and alert.evidence["effect"] == "changes no output"


def test_a_constant_has_to_be_added_to_the_biases():
    (alert,) = raised(DeadFilters(checks=1), [session(), dead(0, "saturated", max_activation=1.0, min_activation=1.0)])
    assert "once their constants are added to the biases" in alert.suggestion


@pytest.mark.parametrize(
    ("test", "lowest", "highest", "said"),
    [
        ("dead: never above 0 for any probe sample, or always the same value", 0.0, 0.0, "rise above 0 for no sample"),
        ("dead: never above 0 or never below 6 for any probe sample", 6.0, 6.0, "are the same for every sample"),
        ("dead: never outside −0.01 to 0 for any probe sample", -0.009, -0.001, "pass no gradient on for any sample"),
        ("dead: the same value at every position of every probe sample", 0.7, 0.7, "are the same for every sample"),
    ],
)
def test_what_the_dead_do_is_said_as_it_is(test: str, lowest: float, highest: float, said: str) -> None:
    record = dead(0, "unexplained", max_activation=highest, min_activation=lowest)
    (alert,) = raised(DeadFilters(checks=1), [LayerHealth(**vars(record) | {"test": test})])
    assert alert.text == f"2 of 8 filters (0, 1) {said} of the probe"


def test_a_dead_output_cannot_be_pruned():
    (alert,) = raised(DeadFilters(checks=1), [session(AN_OUTPUT, filter_parameters=-1), dead(0, "no energy")])
    assert "none of them can be pruned" in alert.suggestion and "rune them" not in alert.suggestion
    assert not {"effect", "parameters"} & alert.evidence.keys()


# Arguments


@pytest.mark.parametrize(
    ("detector", "arguments", "error", "message"),
    [
        (NearlyDeadFilters, {"active": 1.5}, ValueError, "active=1.5 is out of range; give a number of 0 or more, 1 at most"),
        (NearlyDeadFilters, {"checks": 0}, ValueError, "checks=0 is out of range; give a whole number of 1 or more"),
        (NegligibleEnergy, {"ratio": "low"}, TypeError, "ratio='low' is not a number"),
        (SaturatedUnits, {"responsive": -0.1}, ValueError, "responsive=-0.1 is out of range"),
        (RedundantFilters, {"checks": 2.5}, TypeError, "checks=2.5 is not a whole number"),
        (LinearActivation, {"bend": 2}, ValueError, "bend=2 is out of range"),
        (NoisyKernels, {"roughness": 3}, ValueError, "roughness=3 is out of range; give a number of 0 or more, 2 at most"),
        (NoisyKernels, {"epochs": -1}, ValueError, "epochs=-1 is out of range; give a whole number of 0 or more"),
    ],
)
def test_what_cannot_be_is_refused_at_once(detector: Any, arguments: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as raised_error:
        detector(**arguments)
    assert message in str(raised_error.value)
