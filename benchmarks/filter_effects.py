"""What becomes of a network's predictions when the filters that an alert would name are taken away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.acting_weights import Acting
from benchmarks.filter_nets import FilterNet, before_activation, by_filter, entering_and_leaving
from benchmarks.filter_truth import Facts, firing, rectifies, saturating

RATES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
RATIOS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)


def effects(net: FilterNet, truth: dict[str, Facts]) -> dict[str, dict[str, Any]]:
    """By alert and threshold: filters taken away in all stages at once, and how many predictions of the probe change.

    Of rarely active filters nothing is left; of those with little energy, and of saturated ones, their mean.
    """
    ways: dict[str, tuple[tuple[float, ...], Callable[[Facts, float], np.ndarray]]] = {
        "nearly dead filters": (RATES, lambda true, limit: _below(firing(true), limit)),
        "saturated units": (RATES, lambda true, limit: _below(saturating(true), limit)),
        "negligible energy": (RATIOS, lambda true, limit: _below(true.size, limit * float(np.median(true.size)))),
        "negligible acting weights": (RATIOS, lambda true, limit: _below(true.acting, limit * float(np.median(true.acting)))),
    }
    before = np.asarray(net.model(net.probe[0], training=False))
    found: dict[str, dict[str, Any]] = {}
    for kind, (limits, chosen) in ways.items():
        for limit in limits:
            named = {layer: np.setdiff1d(chosen(true, limit), np.flatnonzero(true.dead)) for layer, true in truth.items()}
            count = sum(map(len, named.values()))
            if not count:
                continue
            after = _without(net, named, off=kind == "nearly dead filters")
            found.setdefault(kind, {})[str(limit)] = {
                "filters": count,
                "changed": float((after.argmax(axis=1) != before.argmax(axis=1)).mean()),
                "distance": float(np.abs(after - before).sum(axis=1).mean() / 2),
                "gained": float((after.argmax(axis=1) == net.probe[1]).mean() - (before.argmax(axis=1) == net.probe[1]).mean()),
            }  # fmt: skip
    return found


def _below(values: np.ndarray | None, limit: float) -> np.ndarray:
    return np.zeros(0, int) if values is None else np.flatnonzero(values < limit)


def _without(net: FilterNet, named: dict[str, np.ndarray], off: bool) -> np.ndarray:
    """The scores, (samples, classes), where the named filters give a constant: 0 if `off`, else what their mean gives."""
    weights = net.model.get_weights()
    taps = entering_and_leaving(net)
    entered = [np.asarray(each) for each in taps(net.probe[0], training=False)[: len(net.stages)]]
    for stage, values in zip(net.stages, entered, strict=True):
        if not len(named[stage.layer]):
            continue
        acting = Acting(net, stage)
        means = by_filter(before_activation(net, stage, values)).mean(axis=0)
        for filter in named[stage.layer]:
            level = -1.0 if off and rectifies(stage) else float(means[filter])
            if not acting.normalised or acting.scale[filter]:
                acting.put(int(filter), np.zeros(acting.weights.shape[1]), level)
        acting.write()
    scores = np.asarray(net.model(net.probe[0], training=False))
    net.model.set_weights(weights)
    return scores
