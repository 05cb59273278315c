"""Faults of filters, planted in networks so that it is known by construction what is wrong with which (benchmark B7)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from benchmarks.filter_nets import FilterNet, entering_and_leaving
from benchmarks.planting import RECTIFIERS, Bed, Planted, bed_of

HOMOGENEOUS = ("relu", "leaky_relu", "linear")  # activations for which c·z gives c times what z gives, c > 0
# Of those that saturate: where the middle is, and how far from it 1 % of the range are left (rectifiers: where they end).
ENDS = {"tanh": (0.0, math.atanh(0.99)), "sigmoid": (0.0, math.log(99)), "relu6": (3.0, 3.0)}
RATES = (0.0005, 0.002, 0.005, 0.008, 0.02, 0.05, 0.1)      # of nearly dead and saturated filters
ENERGIES = (0.02, 0.05, 0.08, 0.15, 0.3, 0.5)               # ‖w‖ relative to the layer's median
NOISES = (0.001, 0.003, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)    # of near doubles, relative to ‖w‖


Fault = Callable[[Bed], Planted | None]         # None = it does not apply


def plant(net: FilterNet, rng: np.random.Generator, share: float = 0.5) -> list[Planted]:
    """Faults in every stage, in as many of its filters as `share` at most; the network's weights are changed."""
    truth: list[Planted] = []
    doubled: dict[int, list[tuple[int, int]]] = {}      # number of channels -> which of them are doubles
    taps = entering_and_leaving(net)
    for place, stage in enumerate(net.stages):
        bed = bed_of(net, stage, np.asarray(taps(net.probe[0], training=False)[place]), rng, doubled)
        room, here = share * len(bed.acting), []
        for fault in rng.permutation(np.array(FAULTS, dtype=object)):
            if len(bed.free) <= len(bed.acting) - room:
                break
            try:
                found = fault(bed)
            except StopIteration:
                found = None
            here += [found] if found is not None else []
        truth += here + _inherited(bed, here)
        bed.acting.write()
        pairs = [each.filters for each in here if each.fault == "exact double" and stage.activation != "linear"]
        doubled = {len(bed.acting): [(a, b) for a, b in pairs]}
    return truth


def _inherited(bed: Bed, here: list[Planted]) -> list[Planted]:
    """The filters of a depthwise convolution die with their channels, planted or not."""
    if not bed.acting.depthwise:
        return []
    dead = [filter for filter in bed.free if bed.dead_channels(filter).all() and bed.acting.weights[filter].any()]
    return [Planted(bed.stage.layer, (filter,), "dead inputs, inherited", "dead filters", "dead inputs") for filter in dead]


# Dead filters


def _dead(bed: Bed, filter: int, fault: str, cause: str, exact: bool = True) -> Planted:
    return Planted(bed.stage.layer, (filter,), fault, "dead filters", cause, exact=exact)


def no_energy(bed: Bed) -> Planted | None:
    filter = bed.take()
    bed.acting.put(filter, np.zeros(bed.acting.weights.shape[1]), bed.offset())
    return _dead(bed, filter, "no energy", "no energy")


def negative_weights(bed: Bed) -> Planted | None:
    if bed.activation not in RECTIFIERS or bed.smallest.min() < 0 or bed.largest.max() == 0:
        return None
    filter = bed.take()
    if bed.dead_channels(filter).all():
        return None                             # that it would be dead by
    bed.acting.disguise(filter, bed.rng)
    bed.acting.put(filter, -np.abs(bed.acting.weights[filter]) - 1e-4, -abs(float(bed.acting.bias[filter])) - 1e-4)
    return _dead(bed, filter, "negative weights", "negative weights")


def negative_weights_measured(bed: Bed) -> Planted | None:
    """With a bias above 0, which they outweigh wherever the probe looks."""
    if bed.activation not in RECTIFIERS:
        return None
    reached = bed.before.max(axis=0) - bed.acting.bias          # by w·x, without the bias
    spread = bed.before.std(axis=0)
    filter = next(one for one in bed.free if spread[one] > 1e-3 and reached[one] < -0.02 * spread[one])
    bed.free.remove(filter)
    highest = reached[filter]
    bed.acting.put(filter, bed.acting.weights[filter], -0.5 * float(highest))
    return _dead(bed, filter, "negative weights, a bias that does not lift them", "negative weights", exact=False)


def negative_bias(bed: Bed) -> Planted | None:
    if bed.activation not in RECTIFIERS or bed.acting.depthwise:
        return None
    filter = bed.take()
    bed.acting.disguise(filter, bed.rng)
    weights = bed.acting.weights[filter].copy()
    if bed.reach(filter, weights) <= 0:
        bed.free.insert(0, filter)
        return None
    bed.acting.put(filter, weights, -1.05 * bed.reach(filter, weights) - 0.1)
    return _dead(bed, filter, "negative bias", "negative bias")


def negative_bias_measured(bed: Bed) -> Planted | None:
    """Just below what the probe can lift, though other inputs could."""
    if bed.activation not in RECTIFIERS:
        return None
    filter = bed.take(varying=True)
    values = bed.before[:, filter]
    if values.max() - bed.acting.bias[filter] <= 0:
        bed.free.insert(0, filter)
        return None
    bed.acting.put(filter, bed.acting.weights[filter], float(bed.acting.bias[filter] - values.max() - 0.05 * values.std()))
    return _dead(bed, filter, "negative bias, just enough for the probe", "negative bias", exact=False)


def dead_inputs(bed: Bed) -> Planted | None:
    filter = bed.take()
    weights = bed.acting.weights[filter] * bed.tile(bed.dead_channels(filter))
    if not weights.any():
        bed.free.insert(0, filter)
        return None
    bed.acting.put(filter, weights * np.linalg.norm(bed.acting.weights[filter]) / np.linalg.norm(weights), bed.offset())
    return _dead(bed, filter, "dead inputs", "dead inputs")


def zero_scale(bed: Bed) -> Planted | None:
    if not bed.acting.scales:
        return None
    filter = bed.take()
    bed.acting.silence(filter, bed.offset())
    return _dead(bed, filter, "zero scale", "zero scale")


def saturated(bed: Bed) -> Planted | None:
    if bed.activation not in (*ENDS, "elu"):
        return None
    filter = bed.take()
    sign = {"relu6": 1.0, "elu": -1.0}.get(bed.activation, float(bed.rng.choice((-1, 1))))
    far = float(np.abs(bed.before[:, filter]).max()) + 60
    bed.acting.put(filter, bed.acting.weights[filter], float(bed.acting.bias[filter]) + sign * far)
    return _dead(bed, filter, "saturated", "saturated")


# Filters that hardly do anything


def nearly_dead(bed: Bed) -> Planted | None:
    if bed.activation not in RECTIFIERS:
        return None
    filter = bed.take(varying=True)
    rate = float(bed.rng.choice(RATES))
    values = np.sort(bed.before[:, filter])[::-1]
    count = max(round(rate * len(values)), 1)
    if values[count - 1] - values[count] < 1e-5 or values[0] - values[count] > 5.5:
        bed.free.insert(0, filter)
        return None
    bed.acting.put(filter, bed.acting.weights[filter], float(bed.acting.bias[filter] - (values[count - 1] + values[count]) / 2))
    return Planted(bed.stage.layer, (filter,), "nearly dead", "nearly dead filters", level=count / len(values), exact=False)


def half_saturated(bed: Bed) -> Planted | None:
    """At both ends, at one for some samples and at the other for the rest, all but a share."""
    if bed.activation not in ENDS:
        return None
    filter = bed.take(varying=True)
    rate = float(bed.rng.choice(RATES))
    middle, end = ENDS[bed.activation]
    values = bed.before[:, filter]
    median = float(np.quantile(values, 0.5, method="lower"))
    distances = np.sort(np.abs(values - median))
    count = max(round(rate * len(values)), 1)
    if count >= len(values) or distances[count] - distances[count - 1] < 1e-5 or distances[count] < 1e-3:
        bed.free.insert(0, filter)
        return None
    times = end / float((distances[count] + distances[count - 1]) / 2)
    bias = middle + times * (float(bed.acting.bias[filter]) - median)
    bed.acting.put(filter, bed.acting.weights[filter] * times, bias)
    return Planted(bed.stage.layer, (filter,), "saturated, but varies", "saturated units", level=count / len(values), exact=False)


def little_energy(bed: Bed) -> Planted | None:
    """Short weights; where a normalisation would make up for that, a small scale."""
    if bed.acting.normalised and not bed.acting.scales:
        return None
    filter, ratio = bed.take(varying=True), float(bed.rng.choice(ENERGIES))
    if bed.acting.normalised:
        bed.acting.scale[filter] = ratio * np.median(np.abs(bed.acting.scale))
        bed.acting.put_bias(filter, 0.02)
        return Planted(bed.stage.layer, (filter,), "little energy", "negligible energy", level=ratio, exact=False)
    times = ratio * np.median(bed.energies) / bed.energies[filter]
    bias = float(bed.acting.bias[filter]) * times + 0.02
    bed.acting.put(filter, bed.acting.weights[filter] * times, bias)
    return Planted(bed.stage.layer, (filter,), "little energy", "negligible energy", level=ratio, exact=False)


# Filters that say what others say


def _redundant(bed: Bed, filters: tuple[int, ...], fault: str, level: float = math.nan) -> Planted:
    return Planted(bed.stage.layer, filters, fault, "redundant filters", level=level, exact=math.isnan(level))


def _twin(bed: Bed, of: int) -> int:
    """A free filter that looks at the same channels."""
    if not bed.acting.depthwise:
        return bed.take()
    multiplier = len(bed.acting) // bed.entered.shape[-1]
    found = next(one for one in bed.free if one // multiplier == of // multiplier)
    bed.free.remove(found)
    return found


def _as(bed: Bed, source: int, times: float) -> int:
    twin = _twin(bed, source)
    bed.acting.disguise(twin, bed.rng)
    bed.acting.put(twin, times * bed.acting.weights[source], times * float(bed.acting.bias[source]))
    return twin


def exact_double(bed: Bed) -> Planted | None:
    source = bed.take(varying=True)
    return _redundant(bed, (source, _as(bed, source, 1.0)), "exact double")


def scaled_double(bed: Bed) -> Planted | None:
    if bed.activation not in HOMOGENEOUS:
        return None
    source = bed.take(varying=True)
    times = float(bed.rng.choice((0.3, 2.5))) * (float(bed.rng.choice((-1, 1))) if bed.activation == "linear" else 1)
    return _redundant(bed, (source, _as(bed, source, times)), "scaled double")


def permuted_double(bed: Bed) -> Planted | None:
    """Other weights, the same values: what it has for one of two doubles that enter, the other has for the other."""
    if not bed.doubles or bed.acting.depthwise:
        return None
    one, other = bed.doubles[0]
    source = bed.take(varying=True)
    twin = bed.take()
    swapped = np.arange(bed.acting.inputs)
    swapped[[one, other]] = other, one
    rows = bed.acting.weights[source].reshape(-1, bed.acting.inputs)[:, swapped]
    bed.acting.put(twin, rows.ravel(), float(bed.acting.bias[source]))
    return _redundant(bed, (source, twin), "permuted double")


def near_double(bed: Bed) -> Planted | None:
    source, noise = bed.take(varying=True), float(bed.rng.choice(NOISES))
    twin = _as(bed, source, 1.0)
    direction = bed.rng.normal(size=bed.acting.weights.shape[1])
    off = noise * np.linalg.norm(bed.acting.weights[source]) / np.linalg.norm(direction) * direction
    bed.acting.put(twin, bed.acting.weights[source] + off, float(bed.acting.bias[source]))
    return _redundant(bed, (source, twin), "near double", noise)


def sum_of_two(bed: Bed) -> Planted | None:
    """Of two that are never below 0: their rectified sum is the sum of them rectified."""
    if bed.activation not in ("relu", "leaky_relu") or bed.smallest.min() < 0 or bed.acting.depthwise:
        return None
    one, other, both = bed.take(varying=True), bed.take(varying=True), bed.take()
    for filter in (one, other):
        bed.acting.put(filter, np.abs(bed.acting.weights[filter]), abs(float(bed.acting.bias[filter])))
    weights, bias = bed.acting.weights, bed.acting.bias
    bed.acting.put(both, weights[one] + weights[other], float(bias[one] + bias[other]))
    return _redundant(bed, (one, other, both), "sum of two")


def combination(bed: Bed) -> Planted | None:
    """0.5 times one less 2 times another, where there is no activation."""
    if bed.activation != "linear":
        return None
    one, other, both = bed.take(varying=True), bed.take(varying=True), bed.take()
    weights, bias = bed.acting.weights, bed.acting.bias
    bed.acting.put(both, 0.5 * weights[one] - 2 * weights[other], float(0.5 * bias[one] - 2 * bias[other]))
    return _redundant(bed, (one, other, both), "combination of two")


# Controls: what looks wrong and is not


def shrunk(bed: Bed) -> Planted | None:
    """A hundredth of the weights, which the normalisation makes up for."""
    if not bed.acting.normalised or bed.acting.biased:
        return None
    filter = bed.take(varying=True)
    bed.acting.shrink(filter, 0.01)
    return Planted(bed.stage.layer, (filter,), "control: small weights that are scaled up again", "")


def mirrored(bed: Bed) -> Planted | None:
    """The negative of another, behind a rectifier: they share no sample."""
    if bed.activation not in RECTIFIERS or bed.acting.depthwise:
        return None
    source = bed.take(varying=True)
    values = bed.before[:, source]
    if min((values > 0).mean(), (values < 0).mean()) < 0.2:
        bed.free.insert(0, source)
        return None
    twin = _as(bed, source, -1.0)
    return Planted(bed.stage.layer, (source, twin), "control: a mirror image", "")


def all_negative(bed: Bed) -> Planted | None:
    """No weight above 0 behind a leaky rectifier: never above 0, but alive."""
    if bed.activation != "leaky_relu" or bed.smallest.min() < 0 or bed.largest.max() == 0:
        return None
    filter = bed.take(varying=True)
    bed.acting.put(filter, -np.abs(bed.acting.weights[filter]), -abs(float(bed.acting.bias[filter])))
    return Planted(bed.stage.layer, (filter,), "control: always below 0 behind a leaky rectifier", "")


FAULTS: tuple[Fault, ...] = (
    no_energy, negative_weights, negative_weights_measured, negative_bias, negative_bias_measured, dead_inputs, zero_scale,
    saturated, nearly_dead, half_saturated, little_energy, exact_double, scaled_double, permuted_double, near_double,
    near_double, sum_of_two, combination, shrunk, mirrored, all_negative,
)  # fmt: skip
