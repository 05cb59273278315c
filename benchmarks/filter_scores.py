"""What the detection benchmark adds up: how often what was planted is found, and what is named is so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.filter_truth import Facts
from benchmarks.redundant_layers import _rate, _words

ROUGHNESSES = (0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0)
# What looks wrong and is not -> the alerts that must not name it.  That other filters say what it says may be so all the same.
CONTROLS = {
    "control: small weights that are scaled up again": {"negligible energy", "dead filters"},
    "control: a mirror image": {"redundant filters"},
    "control: always below 0 behind a leaky rectifier": {"dead filters", "nearly dead filters"},
}
LISTED = 60                                     # misses and false alarms that are written out, at most


def statistics_differ(truth: dict[str, Facts], health: dict[str, Any], snapshots: Sequence[Any]) -> dict[str, float]:
    """How far each statistic is from NumPy's on the full activations, at most.

    Of activations relative to the filter's largest magnitude (and 1e-4 of the layer's), of shares as they are, of energy
    relative to itself, of covariances relative to the product of the deviations.
    """
    found: Counter[str] = Counter()
    for layer, true in truth.items():
        largest = np.maximum(np.abs(true.maximum), np.abs(true.minimum))
        said, largest = health[layer], largest + 1e-4 * largest.max() + 1e-12
        # Of a value that is 0 but for rounding nobody knows on which side it is.
        either = (np.abs(true.values) <= 1e-6 * largest).mean(axis=0)
        for name, theirs, scale in (
            ("max_activation", true.maximum, largest), ("min_activation", true.minimum, largest),
            ("mean_activation", true.mean, largest), ("active_fraction", true.active, 1.0),
            ("responsive_fraction", true.responsive, 1.0), ("negative_fraction", true.negative, 1.0),
            ("energy", true.energy, np.maximum(true.energy, 1e-12)), ("roughness", true.roughness, 1.0),
        ):  # fmt: skip
            ours = getattr(said, name)
            if len(ours) and len(theirs):
                off = np.abs(ours - theirs) - (either if name in ("active_fraction", "responsive_fraction") else 0)
                found[name] = max(found[name], float(np.nanmax(off / scale, initial=0)))
        reduced = next(each.reductions for each in snapshots if each.layer == layer)
        if int(reduced["moment_rows"]) == len(true.values):
            deviation = true.values.std(axis=0) + 1e-3 * largest
            off = np.abs(true.covariance - reduced["moment_covariance"]) / np.outer(deviation, deviation)
            found["covariance"] = max(found["covariance"], float(off.max()))
    return dict(found)


def summary(looks: Sequence[Any]) -> dict[str, Any]:
    """Rates with Wilson's intervals at 95 %, curves, and what was missed or named wrongly."""
    plants = [{"net": look.net, "epochs": look.epochs, **one} for look in looks for one in look.plants]
    named = [{"net": look.net, "epochs": look.epochs, "condition": look.condition, **one} for look in looks for one in look.named]
    statistics = sorted({name for look in looks for name in look.differs})
    faults = sorted({one["fault"] for one in plants})
    return {
        "networks": len({(look.net, look.epochs) for look in looks}),
        "looks": dict(Counter(look.condition for look in looks)),
        "statistics": {name: max(look.differs.get(name, 0.0) for look in looks) for name in statistics},
        "furthest_off": {name: _where(max(looks, key=_off(name))) for name in statistics},
        "faults": {fault: _fault([one for one in plants if one["fault"] == fault]) for fault in faults},
        "alerts": _alerts(plants, named),
        "healthy": _healthy(looks),
        "missed": [_short(one) for one in plants if one["exact"] and one["alert"] and _alert_missing(one)][:LISTED],
        "wrong_causes": [_short(one) for one in plants if one["cause"] and one["dead"] and one["said"] != one["cause"]][:LISTED],
        "wrongly_named": [one for one in named if one.get("so") is False][:LISTED],
        "controls_named": [_short(one) for one in plants if not one["alert"] and _wrong(one)][:LISTED],
        "curves": _curves(looks, plants),
    }  # fmt: skip


def _off(name: str) -> Callable[[Any], float]:
    return lambda look: float(look.differs.get(name, 0.0))


def _where(look: Any) -> str:
    return f"{look.net}, {look.epochs} epochs, {look.condition}"


def _wrong(one: dict[str, Any]) -> bool:
    return bool(set(one["named"]) & CONTROLS.get(one["fault"], set()))


def _alert_missing(one: dict[str, Any]) -> bool:
    if one["alert"] == "linear activation" and not one["straight"]:
        return False
    return one["alert"] not in one["named"] and not one.get("removable", False)


def _fault(plants: list[dict[str, Any]]) -> dict[str, Any]:
    """Of one fault: whether the record shows it, the alert names it, and the cause is right."""
    alert = plants[0]["alert"]
    found: dict[str, Any] = {"alert": alert, "named": _rate(sum(alert in one["named"] for one in plants), len(plants))}
    if not alert:
        found["named"] = _rate(sum(_wrong(one) for one in plants), len(plants))
    if alert == "dead filters":
        dead = [one for one in plants if one["dead"]]
        found["dead"] = _rate(len(dead), len(plants))
        found["cause"] = _rate(sum(one["said"] == one["cause"] for one in dead), len(dead))
        found["causes"] = dict(Counter(one["said"] for one in plants))
    if alert == "redundant filters" and "removable" in plants[0]:
        found["removable"] = _rate(sum(one["removable"] for one in plants), len(plants))
        found["grouped"] = _rate(sum(one["grouped"] for one in plants), len(plants))
        found["by"] = dict(Counter(one["by"] for one in plants))
    levels = sorted({_level(one) for one in plants} - {None})
    if levels:
        found["levels"] = {str(level): _of_level(alert, [one for one in plants if _level(one) == level]) for level in levels}
    return found


def _level(one: dict[str, Any]) -> float | None:
    """The level it was planted at, rounded where that depends on how many values there are."""
    level = one["level"]
    if not np.isfinite(level):
        return None
    return float(np.round(level, 3)) if one["alert"] in ("nearly dead filters", "saturated units") else float(level)


def _of_level(alert: str, plants: list[dict[str, Any]]) -> dict[str, Any]:
    found = {"named": _rate(sum(alert in one["named"] if alert else bool(one["named"]) for one in plants), len(plants))}
    if "left" in plants[0]:
        found["removable"] = _rate(sum(one["removable"] for one in plants), len(plants))
        found["left"] = {"median": float(np.median([one["left"] for one in plants])), "max": max(one["left"] for one in plants)}
    return found


def _alerts(plants: list[dict[str, Any]], named: list[dict[str, Any]]) -> dict[str, Any]:
    found = {}
    for kind in sorted({one["kind"] for one in named} | {one["alert"] for one in plants} - {""}):
        mine = [one for one in named if one["kind"] == kind]
        sure = [one for one in plants if one["alert"] == kind and one["exact"]]
        judged = [one for one in mine if one.get("so") is not None]
        found[kind] = {
            "recall_of_what_is_exact": _rate(sum(kind in one["named"] for one in sure), len(sure)),
            "precision": _rate(sum(one["so"] for one in judged), len(judged)),
        }
        if kind == "redundant filters":
            found[kind]["so_on_unseen_samples"] = _rate(sum(one["left_unseen"] <= 0.04 for one in judged), len(judged))
        if kind == "noisy kernels":
            seen = [one for one in plants if one["fault"] in ("noisy kernels", "smooth kernels") and one["exact"]]
            raised = [one for one in seen if kind in one["named"]]
            found[kind]["precision"] = _rate(sum(one["fault"] == "noisy kernels" for one in raised), len(raised))
    return found


def _healthy(looks: Sequence[Any]) -> dict[str, Any]:
    """Healthy networks without an alert, by kind; and of those named, what is not so by the full activations."""
    healthy = [look for look in looks if look.condition == "healthy"]
    kinds = sorted({one["kind"] for look in looks for one in look.named})
    found: dict[str, Any] = {
        "networks": len(healthy),
        "without_a_warning": _rate(sum(all(one["severity"] == "advice" for one in look.named) for look in healthy), len(healthy)),
    }
    for kind in kinds:
        named = [one for look in healthy for one in look.named if one["kind"] == kind]
        silent = sum(not any(one["kind"] == kind for one in look.named) for look in healthy)
        trained = [look for look in healthy if look.epochs >= 5]
        found[kind] = {
            "silent": _rate(silent, len(healthy)),
            "silent_after_5_epochs": _rate(sum(not any(o["kind"] == kind for o in k.named) for k in trained), len(trained)),
            "named": len(named), "confirmed": sum(one.get("so") is True for one in named),
            "not_confirmed": sum(one.get("so") is False for one in named),
            "severities": dict(Counter(one["severity"] for one in named)),
        }  # fmt: skip
    return found


def _short(one: dict[str, Any]) -> dict[str, Any]:
    names = (
        "net", "epochs", "layer", "filters", "fault", "alert", "level", "activation", "type", "cause", "said", "dead", "named",
    )  # fmt: skip
    return {name: None if one[name] != one[name] else one[name] for name in names}


def _curves(looks: Sequence[Any], plants: list[dict[str, Any]]) -> dict[str, Any]:
    """What other thresholds would give."""
    healthy = [look for look in looks if look.condition == "healthy"]
    effects: dict[str, dict[str, list[Any]]] = {}
    for look in healthy:
        for kind, by_limit in look.effects.items():
            for limit, effect in by_limit.items():
                effects.setdefault(kind, {}).setdefault(limit, []).append(effect)
    trained = [layer for look in healthy if look.epochs for layer in look.sound]
    filters = sum(layer["alive"] for layer in trained)
    found: dict[str, Any] = {
        kind: {limit: _effect(each, filters) for limit, each in by_limit.items()} for kind, by_limit in effects.items()
    }
    found["redundant filters"] = _similar(healthy, plants)
    found["linear activation"] = _straight(looks)
    found["noisy kernels"] = _noise(healthy, plants)
    return found


def _straight(looks: Sequence[Any]) -> dict[str, Any]:
    """By thresholds, of pieces and of bends: layers named, by the share of values made straight, and of healthy networks."""
    planted = [layer for look in looks if look.condition == "linear" for layer in look.straight if layer["share"] is not None]
    sound = [layer for look in looks if look.condition == "healthy" for layer in look.straight]
    found = {}
    for limit in sorted({limit for layer in planted for limit in layer["named"]}):
        named = [layer for layer in [*planted, *sound] if limit in layer["named"]]
        found[limit] = {
            "by_share": {
                str(share): _rate(sum(limit in layer["named"] for layer in planted if layer["share"] == share),
                                  sum(layer["share"] == share for layer in planted))
                for share in sorted({layer["share"] for layer in planted})
            },
            "healthy": _rate(sum(limit in layer["named"] for layer in sound), len(sound)),
            "a_line_leaves_a_tenth_at_most": _rate(sum(layer["left"] <= 0.1 for layer in named), len(named)),
        }  # fmt: skip
    return found


def _effect(each: list[dict[str, Any]], filters: int) -> dict[str, Any]:
    changed = np.array([one["changed"] for one in each])
    named = sum(one["filters"] for one in each)
    return {
        "filters": named, "share_of_filters": named / filters, "networks": len(each),
        "predictions_changed_mean": float(changed.mean()), "predictions_changed_worst": float(changed.max()),
        "networks_unchanged_to_half_a_percent": _rate(int((changed <= 0.005).sum()), len(changed)),
        "accuracy_mean": float(np.mean([one["gained"] for one in each])),
        "accuracy_worst": float(np.min([one["gained"] for one in each])),
    }  # fmt: skip


def _similar(healthy: list[Any], plants: list[dict[str, Any]]) -> dict[str, Any]:
    near = [one for one in plants if one["fault"] == "near double" and "swept" in one and not one["dead"]]
    exact = [one for one in plants if one["alert"] == "redundant filters" and one["exact"] and "swept" in one]
    found = {}
    for residual in sorted({float(name) for look in healthy for layer in look.sound for name in layer["swept"]}):
        layers = [layer["swept"][str(residual)] for look in healthy for layer in look.sound if str(residual) in layer["swept"]]
        alive = sum(layer["alive"] for look in healthy for layer in look.sound)
        named = sum(layer["removable"] for layer in layers)
        within = [one for one in near if one["left"] <= residual]
        beyond = [one for one in near if one["left"] > 2 * residual and one["left_by_all"] > 1.05 * residual]
        found[str(residual)] = {
            "exact": _rate(sum(residual in one["swept"] for one in exact), len(exact)),
            "near_doubles_within": _rate(sum(residual in one["swept"] for one in within), len(within)),
            "near_doubles_twice_beyond": _rate(sum(residual in one["swept"] for one in beyond), len(beyond)),
            "by_noise": {
                str(level): _rate(sum(residual in one["swept"] for one in near if one["level"] == level),
                                  sum(one["level"] == level for one in near))
                for level in sorted({one["level"] for one in near})
            },
            "of_healthy_filters": {"named": named, "of": alive, "confirmed": sum(layer["so"] for layer in layers),
                                   "confirmed_on_unseen_samples": sum(layer["so_unseen"] for layer in layers)},
        }  # fmt: skip
    return found


def _noise(healthy: list[Any], plants: list[dict[str, Any]]) -> dict[str, Any]:
    mixed = [one for one in plants if one.get("roughness") is not None]
    first = [(look.epochs, layer) for look in healthy for layer in look.sound[:1] if layer["kernel"] >= 5]
    return {
        str(limit): {
            "by_share_of_noise": {
                str(level): _rate(sum(one["roughness"] >= limit for one in mixed if one["level"] == level),
                                  sum(one["level"] == level for one in mixed))
                for level in sorted({one["level"] for one in mixed})
            },
            "healthy_by_epochs": {
                str(state): _rate(sum(layer["roughness"] >= limit for epochs, layer in first if epochs == state),
                                  sum(epochs == state for epochs, _ in first))
                for state in sorted({epochs for epochs, _ in first})
            },
        }
        for limit in ROUGHNESSES
    }  # fmt: skip


def table(result: dict[str, Any]) -> str:
    """The summary as Markdown."""
    lines = [f"{result['networks']} networks, {result['looks']}", ""]
    lines += ["| fault | n | record | alert | cause |", "| --- | --- | --- | --- | --- |"]
    for fault, rates in result["faults"].items():
        shown, cause = rates.get("dead", rates.get("removable")), rates.get("cause")
        cells = [fault, str(rates["named"]["of"]), *(_words(each) if each else "–" for each in (shown, rates["named"], cause))]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| alert | recall, exact | precision | healthy networks silent |", "| --- | --- | --- | --- |"]
    for kind, rates in result["alerts"].items():
        each = (rates["recall_of_what_is_exact"], rates["precision"], result["healthy"].get(kind, {}).get("silent"))
        lines.append(f"| {kind} | {' | '.join(_words(rate) if rate else '–' for rate in each)} |")
    off = ", ".join(f"{name} {value:.1e}" for name, value in result["statistics"].items())
    lines += ["", f"statistics against NumPy, at most: {off}"]
    lines += [f"{name}: {len(result[name])}" for name in ("missed", "wrong_causes", "wrongly_named", "controls_named")]
    return "\n".join(lines)
