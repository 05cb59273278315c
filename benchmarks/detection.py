"""How well faults of filters are found: planted ones, in networks of six kinds, and healthy networks (benchmark B7).

    python -m benchmarks.detection              # 24 networks
    python -m benchmarks.detection --full       # 216 networks, and trainings in the middle of which is planted

A network is an architecture with its data and seed after 0, 1, 5 or 15 epochs of training.  Each is looked at as it is, with
faults in half of its filters, with a layer whose activation acts as a straight line, and with other first kernels.  What is
true is told by what was planted and by the full activations.  Writes benchmarks/results/detection.json (-short of the short
run) and prints tables.

What the curves of the full run say of the thresholds:

* nearly dead below 1 % active: taking away all such filters of healthy networks changes 0.33 % of a network's predictions at
  most; at 2 % still as little, at 5 % up to 1.7 %, at 10 % up to 3.7 %.
* negligible below 0.1 of the median: no filter of a healthy network lies below 0.3, and all planted below 0.1 are named.
* redundant with a residual of 0.02: whatever is named holds, on samples not seen too, at any residual up to 0.3; it is what
  is lost.  0.02 names 1.5 % of the filters of healthy networks, 0.05 4 %, 0.1 8 %.
* linear with 99 % on one piece: wherever it is said, a straight line leaves a tenth of the deviation at most; with 95 % that
  fails in 2 of 100.
* noisy with Geary's C of 0.9: all noise, no kernels with half of it; 4 of 18 healthy networks with kernels of 5 × 5 still
  have such after 15 epochs.  At 0.95 none has, and 3 of 72 noisy ones are missed.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cost import RESULTS, _machine
from benchmarks.filter_effects import effects
from benchmarks.filter_nets import FilterNet, all_kinds, drawn, trained
from benchmarks.filter_scores import statistics_differ, summary, table
from benchmarks.filter_truth import Facts, facts, firing, left_by, saturating, unexplained
from benchmarks.looking import Looking, alerts_of
from benchmarks.planted_filters import plant
from benchmarks.planted_stages import MIXTURES, make_linear, make_noisy
from benchmarks.planting import Planted

STATES = (0, 1, 5, 15)                          # epochs
RESIDUALS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3)
# Of a layer's values on one piece of its activation, and what a smooth one departs from its tangent.
PIECES = ((0.9, 0.2), (0.95, 0.1), (0.98, 0.05), (0.99, 0.02), (0.995, 0.01), (0.999, 0.005))
KINDS = (
    "dead filters", "nearly dead filters", "negligible energy", "redundant filters", "saturated units", "linear activation",
    "noisy kernels",
)  # fmt: skip


@dataclass
class Look:
    """One network in one condition."""

    net: str
    epochs: int
    condition: str                              # "healthy", "planted", "linear", "kernels"
    plants: list[dict[str, Any]] = field(default_factory=list)      # what was planted, and whether it was found
    named: list[dict[str, Any]] = field(default_factory=list)       # what alerts name, and whether that is so
    sound: list[dict[str, Any]] = field(default_factory=list)       # layers: what their untouched filters look like
    differs: dict[str, float] = field(default_factory=dict)         # statistic -> how far it is off
    straight: list[dict[str, Any]] = field(default_factory=list)    # layers: how straight, and from which threshold on named
    effects: dict[str, Any] = field(default_factory=dict)           # of taking away what would be named, by threshold


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write; returns the exit status."""
    parser = argparse.ArgumentParser(description="How well faults of filters are found.")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--without-trainings", action="store_true", help="nothing is planted while a network trains")
    options = parser.parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.filterwarnings("ignore", message="The structure of `inputs`")
    chosen = all_kinds(9 if options.full else 1, 0 if options.full else 100)
    began, looks = time.process_time(), []
    for number, (kind, seed) in enumerate(chosen, 1):
        looks += network(kind, seed)
        print(f"{number}/{len(chosen)} {looks[-1].net}: {time.process_time() - began:.0f} s", file=sys.stderr, flush=True)
    result = {**_machine(), **summary(looks), "cpu_seconds": time.process_time() - began}
    if options.full and not options.without_trainings:
        from benchmarks.plants_in_training import trainings

        result["trainings"] = trainings()
        result["trainings_slowed"] = trainings(1, first=600, slowed=1e-3)
    RESULTS.mkdir(exist_ok=True)
    path = Path(RESULTS / f"detection{'' if options.full else '-short'}.json")
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    print(table(result))
    return 0


def network(kind: str, seed: int) -> list[Look]:
    """All looks at one architecture: after each number of epochs, in each condition."""
    net, epochs, looks = drawn(kind, seed), 0, []
    looking = Looking(net)
    for state in STATES:
        trained(net, state - epochs)
        epochs = state
        looks += looked_at(net, looking, state)
    _forget()
    return looks


def looked_at(net: FilterNet, looking: Looking, epochs: int) -> list[Look]:
    """The network in all its conditions; its weights are as before afterwards."""
    weights = net.model.get_weights()
    place = (int(net.name.rsplit(" ", 1)[1]), epochs, len(net.stages))
    looks = []
    for number, condition in enumerate(("healthy", "planted", "linear", "kernels", "kernels", "kernels")):
        rng = np.random.default_rng((*place, number))
        truth: list[Planted | None] = []
        if condition == "planted":
            truth += plant(net, rng)
        elif condition == "linear":
            truth.append(make_linear(net, rng))
        elif condition == "kernels":
            truth.append(make_noisy(net, rng, (0.0, 1.0, float(rng.choice(MIXTURES[1:-1])))[number - 3]))
        if None not in truth:
            planted = [one for one in truth if one is not None]
            looks.append(_look(net, looking, Look(net.name, epochs, condition), planted))
            net.model.set_weights(weights)
    return looks


def _look(net: FilterNet, looking: Looking, look: Look, planted: list[Planted]) -> Look:
    import featwatch as fw

    records, snapshots = looking.look()
    truth = facts(net)
    unseen = facts(net, net.train[0]) if look.condition in ("healthy", "planted") else truth
    health = {record.layer: record for record in records if record.kind == "health"}
    similar = {record.layer: record for record in records if record.kind == "similarity"}
    detectors = [each for each in fw.alerts.default_detectors() if each.kind in KINDS]
    alerts = alerts_of(records, detectors)
    for one in planted:
        look.plants.append(_found(one, truth, health, similar, alerts))
    for alert in alerts:
        look.named += _named(alert, truth, unseen, similar, planted)
    swept = _swept(snapshots, truth, unseen, planted) if look.condition in ("healthy", "planted") else {}
    for layer, true in truth.items():
        if look.condition == "healthy":
            look.sound.append(_sound(net, true, health[layer], swept.get(layer, {})))
    if look.condition == "planted":
        for plant, one in zip(look.plants, planted, strict=True):
            if one.alert == "redundant filters":
                found = swept.get(one.layer, {})
                plant["swept"] = [residual for residual, names in found.items() if set(one.filters) & set(names["removable"])]
    if look.condition == "healthy" and look.epochs:
        look.effects = effects(net, truth)
    if look.condition in ("healthy", "linear"):
        look.straight = _straight(records, truth, planted)
    look.differs = statistics_differ(truth, health, snapshots)
    return look


def _found(one: Planted, truth: dict[str, Facts], health: Any, similar: Any, alerts: list[Any]) -> dict[str, Any]:
    """What was planted, what the records say of it, and whether the alert names it."""
    record, true, last = health[one.layer], truth[one.layer], one.filters[-1] if one.filters else 0
    about = [alert for alert in alerts if alert.layer == one.layer]
    of_layer = ("linear activation", "noisy kernels")
    named = {alert.kind for alert in about if set(one.filters) & set(alert.filters) or not one.filters and alert.kind in of_layer}
    found: dict[str, Any] = {
        "layer": one.layer, "filters": one.filters, "fault": one.fault, "alert": one.alert, "level": one.level,
        "exact": one.exact, "activation": true.stage.activation, "type": "normalised" if true.stage.normalisation else "plain",
        "cause": one.cause, "said": str(record.cause[last]), "dead": bool(record.dead[last]),
        "named": sorted(named),
    }  # fmt: skip
    if one.alert == "linear activation":
        found["straight"] = true.linear
    if one.fault in ("noisy kernels", "smooth kernels"):
        found["roughness"] = _median(record.roughness)
    if one.alert == "redundant filters" and one.layer in similar:
        said = similar[one.layer]
        group = said.group[list(one.filters)]
        found |= {
            "removable": bool(said.removable[list(one.filters)].any()),
            "grouped": bool((group >= 0).all() and np.ptp(group) == 0), "by": str(said.by[last]),
            "left": unexplained(true.covariance, last, np.array(one.filters[:-1])),
            "left_by_all": min(unexplained(true.covariance, each, _others(said, each)) for each in one.filters),
        }  # fmt: skip
    return found


def _named(
    alert: Any, truth: dict[str, Facts], unseen: dict[str, Facts], similar: Any, planted: list[Planted]
) -> list[dict[str, Any]]:
    """Each filter that an alert names, or the layer, and whether the full activations say the same."""
    entry = {"kind": alert.kind, "layer": alert.layer, "severity": alert.severity}
    true = truth.get(alert.layer)
    if alert.kind == "linear activation":
        return [{**entry, "so": true.linear if true is not None else None}]
    if alert.kind == "noisy kernels" or true is None:
        return [{**entry, "so": None, "filters": len(alert.filters)}]
    planted_so = {(one.layer, filter): one.fault for one in planted for filter in one.filters}
    found = []
    for filter in alert.filters:
        one = {**entry, "filter": filter, "planted": planted_so.get((alert.layer, filter), "")}
        if alert.kind == "dead filters":
            one["so"] = bool(true.dead[filter])
        elif alert.kind == "nearly dead filters":
            rates = firing(true)
            one["so"] = bool(rates is not None and rates[filter] < 0.01 and not true.dead[filter])
        elif alert.kind == "negligible energy":
            one["so"] = bool(true.size[filter] < 0.1 * np.median(true.size) and not true.dead[filter])
        elif alert.kind == "saturated units":
            rates = saturating(true)
            one["so"] = bool(rates is not None and rates[filter] < 0.01 and not true.dead[filter])
        else:
            one |= _confirmed(similar[alert.layer], filter, true, unseen[alert.layer], 0.02)
        found.append(one)
    return found


def _confirmed(said: Any, filter: int, true: Facts, unseen: Facts, residual: float) -> dict[str, Any]:
    """Whether least squares on what stays reproduces it, on the probe and, as the record says how, on samples not seen."""
    left = unexplained(true.covariance, filter, np.flatnonzero(~said.removable & ~true.constant))
    if said.group[filter] >= 0:
        sources, factors = said.keep[[filter]], said.factor[[filter]]
    else:
        known = said.terms[filter] >= 0
        sources, factors = said.terms[filter][known], said.coefficients[filter][known]
    new = left_by(unseen.covariance, filter, sources, factors.astype(np.float64))
    return {"so": left <= residual * 1.05, "left": left, "left_unseen": new}


def _others(said: Any, filter: int) -> np.ndarray:
    return np.setdiff1d(np.arange(len(said.group)), [filter])


def _swept(snapshots: list[Any], truth: dict[str, Facts], unseen: dict[str, Facts], planted: list[Planted]) -> Any:
    """By layer and residual: which filters could go, were that the threshold, and for how many that is so elsewhere."""
    import featwatch as fw

    found: dict[str, dict[float, Any]] = {}
    touched = {(one.layer, filter) for one in planted for filter in one.filters}
    for snapshot in snapshots:
        if snapshot.layer not in truth:
            continue
        for residual in RESIDUALS:
            recorder = fw.FilterSimilarity(residual=residual, correlation=0.9, weight_layout=False)
            said = recorder.analyse(replace(snapshot, previous=None))
            names = np.flatnonzero(said.removable).tolist() if said is not None else []
            own = [filter for filter in names if (snapshot.layer, filter) not in touched]
            checked = [_confirmed(said, filter, truth[snapshot.layer], unseen[snapshot.layer], residual) for filter in own]
            found.setdefault(snapshot.layer, {})[residual] = {
                "removable": names, "untouched": len(own), "so": sum(each["so"] for each in checked),
                "so_unseen": sum(each["left_unseen"] <= 2 * residual for each in checked),
            }  # fmt: skip
    return found


def _straight(records: list[Any], truth: dict[str, Facts], planted: list[Planted]) -> list[dict[str, Any]]:
    import featwatch as fw

    layers = {layer: true for layer, true in truth.items() if true.stage.activation != "linear" and not true.dead.all()}
    named = {
        str(limits): {
            alert.layer for alert in alerts_of(records, [fw.alerts.LinearActivation(piece=limits[0], bend=limits[1])], checks=4)
        }
        for limits in PIECES
    }  # fmt: skip
    shares = {one.layer: one.level for one in planted}
    return [
        {
            "layer": layer, "activation": true.stage.activation, "share": shares.get(layer),
            "left": float(np.quantile(true.crooked[~true.dead], 0.9)),
            "named": [limit for limit in named if layer in named[limit]],
        }
        for layer, true in layers.items()
    ]  # fmt: skip


def _sound(net: FilterNet, true: Facts, health: Any, swept: dict[float, Any]) -> dict[str, Any]:
    """What the filters of a healthy layer look like, for the curves."""
    sizes = getattr(net.model.get_layer(true.stage.layer), "kernel_size", (0,))
    return {
        "layer": true.stage.layer, "activation": true.stage.activation, "filters": len(true.dead),
        "alive": int((~true.dead).sum()), "roughness": _median(health.roughness), "kernel": min(sizes) if len(sizes) > 1 else 0,
        "swept": {str(residual): {**names, "removable": len(names["removable"])} for residual, names in swept.items()},
    }  # fmt: skip


def _median(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else None


def _forget() -> None:
    import keras

    keras.backend.clear_session()
    gc.collect()


if __name__ == "__main__":
    sys.exit(main())
