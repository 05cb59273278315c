"""From plant to alert: faults are planted while a network trains, and training goes on (benchmark B7)."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.filter_nets import FilterNet, all_kinds, drawn
from benchmarks.filter_truth import Facts, facts, firing, saturating, unexplained
from benchmarks.planted_filters import plant
from benchmarks.planted_stages import make_linear, make_noisy
from benchmarks.planting import Planted
from benchmarks.redundant_layers import _rate

PLANTED_AFTER, EPOCHS = 5, 16
# Levels beyond which no alert is expected.
WITHIN = {"nearly dead filters": 0.0099, "saturated units": 0.0099, "negligible energy": 0.099, "redundant filters": 0.0101}


def trainings(each: int = 2, first: int = 500, slowed: float = 1.0) -> dict[str, Any]:
    """So many of every kind and way of planting; by fault how many epochs it took, and how many healed.

    `slowed`: what the learning rate is multiplied with once it is planted.  Little of it, and nothing heals.
    """
    plants: list[dict[str, Any]] = []
    for number, (kind, seed) in enumerate(all_kinds(each, first)):
        for way in ("filters", ("linear", "kernels")[number % 2]):
            plants += _trained(drawn(kind, seed), way, seed, slowed)
    return summed_up(plants, 2 * each * 6, slowed)


def summed_up(plants: list[dict[str, Any]], fits: int, slowed: float) -> dict[str, Any]:
    """By fault: how many were planted, healed, and named after how many epochs."""
    faults = sorted({one["fault"] for one in plants})
    return {
        "planted_after": PLANTED_AFTER, "epochs": EPOCHS, "fits": fits, "learning_rate_times": slowed,
        "by_fault": {fault: _summary([one for one in plants if one["fault"] == fault]) for fault in faults},
        "never_named_though_there": [one for one in plants if one["named"] is None and not one["healed"]][:40],
    }  # fmt: skip


def _trained(net: FilterNet, way: str, seed: int, slowed: float) -> list[dict[str, Any]]:
    import keras

    import featwatch as fw

    class Planting(keras.callbacks.Callback):
        """Puts the faults into the model at the end of an epoch; comes before the watch."""

        planted: list[Planted] = []

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if epoch + 1 == PLANTED_AFTER:
                rng = np.random.default_rng(seed)
                one = {"linear": make_linear, "kernels": lambda net, rng: make_noisy(net, rng, 1.0)}.get(way)
                found = plant(net, rng, share=0.4) if one is None else [one(net, rng)]
                self.planted = [each for each in found if each is not None]
                self.model.optimizer.learning_rate = slowed * float(self.model.optimizer.learning_rate.numpy())

    planting, news = Planting(), list[Any]()
    with tempfile.TemporaryDirectory() as log_dir:
        recorders = [fw.FilterHealth(), fw.FilterSimilarity(weight_layout=False)]
        watch = fw.Watch(
            log_dir, fw.Probe(*net.probe), recorders=recorders, background=False, on_alert=news.append, strict=True
        )
        net.model.fit(*net.train, epochs=EPOCHS, batch_size=32, verbose=0, callbacks=[planting, watch])
    truth = facts(net)
    return [_followed(one, truth, news, net.name) for one in planting.planted if one.alert and _expected(one)]


def _expected(one: Planted) -> bool:
    return one.exact or not one.level > WITHIN.get(one.alert, 0.0)


def _followed(one: Planted, truth: dict[str, Facts], news: Sequence[Any], net: str) -> dict[str, Any]:
    """At which epoch an alert first named it, counted from the plant, and whether it was gone at the end."""
    mine = [alert for alert in news if (alert.kind, alert.layer) == (one.alert, one.layer)]
    standing = [alert for alert in mine if alert.updated < PLANTED_AFTER][-1:]      # it may have been dead before
    later = [alert for alert in mine if alert.updated >= PLANTED_AFTER]
    epochs = [
        max(alert.updated, PLANTED_AFTER)
        for alert in (*standing, *later)
        if alert.open and (not one.filters or set(one.filters) & set(alert.filters))
    ]
    return {
        "net": net, "fault": one.fault, "layer": one.layer, "filters": one.filters,
        "level": None if np.isnan(one.level) else one.level,
        "named": min(epochs) - PLANTED_AFTER if epochs else None, "healed": _healed(one, truth[one.layer]),
    }  # fmt: skip


def _healed(one: Planted, true: Facts) -> bool:
    """Whether it is no longer what was planted; what has died is something else."""
    last = one.filters[-1] if one.filters else 0
    if one.alert == "dead filters":
        return not bool(true.dead[last])
    if one.alert == "noisy kernels":
        return not np.median(true.roughness) >= 0.9
    if one.filters and true.dead[last]:
        return True
    if one.alert in ("nearly dead filters", "saturated units"):
        rates = firing(true) if one.alert == "nearly dead filters" else saturating(true)
        return rates is None or not rates[last] < 0.01
    if one.alert == "negligible energy":
        return not true.size[last] < 0.1 * np.median(true.size)
    if one.alert == "redundant filters":
        return unexplained(true.covariance, last, np.array(one.filters[:-1])) > 0.02
    return one.alert == "linear activation" and not true.linear


def _summary(plants: list[dict[str, Any]]) -> dict[str, Any]:
    lasting = [one for one in plants if not one["healed"]]
    delays = sorted(one["named"] for one in plants if one["named"] is not None)
    return {
        "planted": len(plants), "healed": sum(one["healed"] for one in plants),
        "named_of_lasting": _rate(sum(one["named"] is not None for one in lasting), len(lasting)),
        "healed_and_never_named": sum(one["healed"] and one["named"] is None for one in plants),
        "epochs_to_alert": dict(Counter(delays)), "median": float(np.median(delays)) if delays else None,
    }  # fmt: skip
