"""The other remedy for dead filters: units that begin anew, or whose bias is raised, rather than go (row A6)."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from featwatch.errors import RefusedValue
from featwatch.layers import Site, layers_of
from featwatch.options import one_of, real, whole
from featwatch.phrases import ranges
from featwatch.probe import Probe
from featwatch.prune.anatomy import Anatomy
from featwatch.prune.fitting import named_units
from featwatch.prune.labelled import Sliced
from featwatch.prune.planning import anatomy_of
from featwatch.prune.surgery import Unsupported, keras_private, slots
from featwatch.prune.surgery.changes import Changes
from featwatch.prune.surgery.holders import holders
from featwatch.prune.words import several
from featwatch.running import filters_last, first_tensor, reach

ANEW, RAISED = "anew", "bias"
_SINGLE_WEIGHTS = (
    keras.layers.Dense, keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D, keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose, keras.layers.SeparableConv1D, keras.layers.SeparableConv2D,
)  # fmt: skip
_SEPARABLE = (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)
_AVERAGES = "_model_variables_moving_average"       # of weights, that an optimiser with `use_ema` keeps
# Optimisers that compute weights from what they remember: what is assigned is lost at the next step.
_DERIVING = (keras.optimizers.Ftrl,)


@dataclass(frozen=True)
class Revived:
    """What was done.  `units`: by layer, those that began anew or whose bias was raised; `text`: the same in words."""

    units: Mapping[str, Sequence[int]]
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, eq=False)
class _Assigned:
    """New numbers for a variable; `where`: axis -> the places along it that changed."""

    variable: Any
    value: np.ndarray
    where: dict[int, np.ndarray]


def revive(
    model: Any, units: Mapping[str, Sequence[int]], *, way: str = ANEW, probe: Any = None, share: float = 0.1, seed: int = 0
) -> Revived:
    """Give dead units another chance, in place: the model keeps its size, and may be in the middle of `fit`, between batches.

    "anew" draws the weights that come in afresh, by the layer's own initialisers, and sets those that lead out to 0, so that
    what the model gives stays what it is as long as the units gave nothing, and training finds a use for them (ReDo: Sokar
    et al. 2023, "The Dormant Neuron Phenomenon in Deep Reinforcement Learning", algorithm 1).  A batch normalisation of
    theirs begins anew, too.  "bias" leaves the weights and raises the bias, or the offset of the batch normalisation that
    follows, so that each unit is above 0 at a share of what the probe gives; what the model gives changes with that.

    What optimisers remember of all these weights is set to 0; averages of weights that they keep follow.

    Arguments:
        model: functional or sequential, built.
        units: layer -> unit numbers, such as those of which an alert says that they are dead.
        way: "anew" or "bias".
        probe: for "bias", a `Probe` or samples.
        share: for "bias", of samples and positions at which a unit is to be above 0.
        seed: for "anew"; no global random state is used.

    Raises:
        ValueError, TypeError: a layer or unit that the model has not, or one that cannot be revived; the message says why.
        featwatch.prune.Unsupported: the optimiser, the weights or this Keras is of a kind for which this is not known.
        The model is then as it was.

    Example:
        >>> print(revive(net, {"conv": [1, 3]}))
        2 units begin anew, those that read them start from 0: conv (1, 3)
    """
    one_of("way", way, (ANEW, RAISED))
    real("share", share, 0.0, 1.0, open_below=True)
    keras_private.check_keras()
    anatomy = anatomy_of(model)
    numbers = {name: found for name, found in named_units(anatomy, units).items() if len(found)}
    if way == RAISED and probe is None:
        raise RefusedValue("way='bias' needs a probe: give probe=fw.Probe(x), by which it is told how far each bias has to rise")
    for name, found in numbers.items():
        _check(anatomy, name, found, way)
    if way == ANEW:
        assigned, notes = list(_anew(anatomy, numbers, whole("seed", seed, 0))), ["those that read them start from 0"]
    else:
        assigned, notes = _raised(model, numbers, probe if isinstance(probe, Probe) else Probe(probe), share)
    _assign(model, assigned)
    count = sum(map(len, numbers.values()))
    done = ("begins anew" if count == 1 else "begin anew") if way == ANEW else f"above 0 at {share:.0%} of the probe, by the bias"
    who = several([f"{name} ({ranges(found.tolist())})" for name, found in numbers.items()], 8)
    said = ", ".join([f"{count} unit{'s' * (count != 1)} {done}", *notes])
    return Revived({name: found.tolist() for name, found in numbers.items()}, f"{said}: {who}")


def _check(anatomy: Anatomy, name: str, numbers: np.ndarray, way: str) -> None:
    """Refuse what cannot be revived."""
    made, told = anatomy.made[name], f"units: {name!r} ({ranges(numbers.tolist())})"
    if not made.mixes:
        raise RefusedValue(f"{told} are made by the layer before it; name that")
    if not isinstance(made.layer, _SINGLE_WEIGHTS):
        kind = type(made.layer).__name__
        raise RefusedValue(f"{told}: units of a {kind} cannot be revived; those of dense layers and convolutions can")
    if getattr(made.layer, "quantization_mode", None) is not None or getattr(made.layer, "lora_enabled", False):
        raise Unsupported(f"{told}: weights that are quantised or adapted by LoRA cannot be drawn anew")
    if not made.layer.trainable:
        raise RefusedValue(f"{told}: the layer is not trained, so that they would stay what they become; set trainable first")
    if way == RAISED:
        return
    ids = made.ids[numbers]
    if anatomy.units.frozen(ids).any():
        why = anatomy.units.why(int(ids[anatomy.units.frozen(ids)][0]))
        raise RefusedValue(f"{told}: not all that reads them can start from 0 ({why}); way='bias' leaves that alone")
    groups = anatomy.units.roots(ids)
    for other, others in anatomy.made.items():
        if other != name and others.mixes and np.isin(anatomy.units.roots(others.ids), groups).any():
            raise RefusedValue(
                f"{told} are added to those of {other!r}, or otherwise go with them: what reads one reads the other, "
                "and would lose it; way='bias' leaves that alone"
            )


# -- anew -------------------------------------------------------------------------------------------------------------


def _anew(anatomy: Anatomy, numbers: Mapping[str, np.ndarray], seed: int) -> Iterator[_Assigned]:
    """All variables that have numbers for these units: of the layers that make them drawn anew, of those that read them 0."""
    groups = list(anatomy.groups(numbers))
    initialisers = _initialisers(anatomy.model)
    for place, sliced in enumerate(anatomy.sliced.values()):
        variable = sliced.variable
        where = {axis: np.flatnonzero(np.isin(anatomy.units.roots(ids), groups)) for axis, ids in sliced.axes.items()}
        where = {axis: places for axis, places in where.items() if len(places)}
        if not where or _goes_through_others(anatomy, sliced):
            continue
        value, own = variable.numpy().copy(), _own(anatomy, sliced)
        read = {axis for axis, places in where.items() if not np.isin(anatomy.units.roots(sliced.axes[axis][places]), own).all()}
        for axis in sorted(where, key=lambda axis: axis in read):       # 0 where it is both
            at = _at(axis, where[axis])
            if axis not in read and id(variable) not in initialisers:
                raise Unsupported(f"{variable.path!r} has no initialiser to be drawn anew by")
            value[at] = 0 if axis in read else _drawn(initialisers[id(variable)], variable, seed + place)[at]
        yield _Assigned(variable, value, where)


def _own(anatomy: Anatomy, sliced: Sliced) -> np.ndarray:
    """The groups that the layer of a variable makes, or gives after it changed each by itself."""
    made = anatomy.made.get(sliced.owner)
    return anatomy.units.roots(made.ids) if made is not None else np.zeros(0, np.int64)


def _goes_through_others(anatomy: Anatomy, sliced: Sliced) -> bool:
    """Whether weights after these are set to 0: were these, too, no gradient would ever come through."""
    made = anatomy.made.get(sliced.owner)
    return made is not None and isinstance(made.layer, _SEPARABLE) and sliced.variable is made.layer.depthwise_kernel


def _initialisers(model: Any) -> dict[int, Any]:
    """By the identity of a variable what it was drawn by."""
    found: dict[int, Any] = {}
    for layer in model._flatten_layers():
        for name, value in vars(layer).items():
            if not name.endswith("_initializer"):
                continue
            what = name.removesuffix("_initializer")
            candidates = (getattr(layer, each, None) for each in (what, f"{what}_kernel", "kernel"))
            variable = next((each for each in candidates if isinstance(each, keras.Variable)), None)
            if variable is not None:
                found.setdefault(id(variable), value)
    return found


def _drawn(initialiser: Any, variable: Any, seed: int) -> np.ndarray:
    """Numbers for a whole variable, by an initialiser with a seed of our own."""
    if isinstance(initialiser, keras.initializers.Initializer) and "seed" in initialiser.get_config():
        initialiser = type(initialiser).from_config({**initialiser.get_config(), "seed": seed})
    else:
        initialiser = copy.copy(initialiser)
    return np.asarray(keras.ops.convert_to_numpy(initialiser(tuple(variable.shape), dtype=variable.dtype)))


# -- by the bias ------------------------------------------------------------------------------------------------------


def _raised(model: Any, numbers: Mapping[str, np.ndarray], probe: Probe, share: float) -> tuple[list[_Assigned], list[str]]:
    known = {site.name: site for site in layers_of(model).sites}
    assigned, notes = [], []
    for name, places in numbers.items():
        site = known.get(name)
        if site is None:
            raise RefusedValue(f"units: what enters the activation of {name!r} cannot be read; way='anew' needs no probe")
        bias = _offset(site)
        if bias is None:
            raise RefusedValue(f"units: {name!r} has no bias, nor a batch normalisation with an offset; way='anew' needs none")
        before = _before(model, site, probe)[:, places]
        rise = np.maximum(0.0, -np.quantile(before, 1 - share, axis=0))
        # Above 0, not at it: by the smallest part of what the unit's own inputs make of it.
        rise = np.where(rise > 0, rise + 1e-3 * (before.std(axis=0) + 1e-3), 0.0)
        value = bias.numpy().copy()
        value[places] += rise
        assigned.append(_Assigned(bias, value, {0: places}))
        if not (rise > 0).any():
            notes.append(f"those of {name} were already")
    return assigned, notes


def _offset(site: Site) -> Any:
    if site.normalisation is not None:
        return site.normalisation.beta if site.normalisation.center else None
    return getattr(site.layer, "bias", None)


def _before(model: Any, site: Site, probe: Probe) -> np.ndarray:
    """(samples · positions, units) float32: what enters the activation that applies to a layer."""

    @tf.function(autograph=False)
    def entering(batch: Any) -> tf.Tensor:
        found = first_tensor(reach(model, batch, site).before)
        values = filters_last(found, site.layer)
        return tf.reshape(values, [values.shape[0] or tf.shape(values)[0], -1, values.shape[-1]])

    parts = []
    for batch, count in probe.batches():
        parts.append(np.asarray(entering(keras.tree.map_structure(tf.convert_to_tensor, batch)))[:count])
    values = np.concatenate(parts)
    return values.reshape(math.prod(values.shape[:-1]), values.shape[-1])


# -- what remembers them ----------------------------------------------------------------------------------------------


def _assign(model: Any, assigned: Sequence[_Assigned]) -> None:
    """Give the variables their numbers, and have optimisers forget what was; all of it or nothing."""
    wheres = {id(each.variable): each.where for each in assigned}
    changes = Changes()
    found = holders([each.variable for each in assigned], model)
    values = {id(each.variable): each.value for each in assigned}
    plans: list[tuple[Any, np.ndarray]] = [(each.variable, each.value) for each in assigned]
    for optimizer in found.optimizers:
        for part in keras_private.parts_of(optimizer):
            if isinstance(part, _DERIVING):
                kind = type(part).__name__
                raise Unsupported(f"{kind} computes weights from what it remembers: new ones would be lost at its next step")
        averages = dict(_averages(optimizer))
        for slot, places in slots.slots(optimizer, lambda variable: wheres.get(id(variable), {})):
            whole = averages.get(id(slot))
            value = slot.numpy().copy()
            for axis, which in places.items():
                at = _at(axis, which)
                value[at] = 0 if whole is None else values[id(whole)][at]
            plans.append((slot, value))
    try:
        for variable, value in plans:
            old = variable.numpy()
            changes.restoring(lambda variable=variable, old=old: variable.assign(old))      # type: ignore[misc]
            variable.assign(value)
    except BaseException:
        changes.take_back()
        raise


def _averages(optimizer: Any) -> Iterator[tuple[int, Any]]:
    """(identity of an average of a variable, the variable)."""
    for part in keras_private.parts_of(optimizer):
        kept = getattr(part, _AVERAGES, None) or ()
        for slot, variable in zip(kept, keras_private.trained_by(part), strict=False):
            yield id(slot), variable


def _at(axis: int, places: np.ndarray) -> Any:
    """An index of these places along an axis."""
    return (*[slice(None)] * axis, places)
