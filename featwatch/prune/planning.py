"""Making plans: of units that are named, or of a share of all, the most dispensable first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from featwatch.errors import RefusedType, RefusedValue
from featwatch.options import one_of, real, whole
from featwatch.probe import Probe
from featwatch.prune.anatomy import Anatomy, operations
from featwatch.prune.candidates import Candidates, candidates
from featwatch.prune.choosing import AS_MANY_AS_COLUMNS, Order, ordered, sound
from featwatch.prune.criteria import CRITERIA, NEED_PROBE
from featwatch.prune.criteria.activity import activity
from featwatch.prune.criteria.l2 import l2
from featwatch.prune.criteria.own import own
from featwatch.prune.criteria.random_order import random_order
from featwatch.prune.criteria.redundancy import redundancy
from featwatch.prune.criteria.taylor import taylor
from featwatch.prune.fitting import along, groups_of, said_of
from featwatch.prune.planned import Plan
from featwatch.prune.savings import Sizes
from featwatch.prune.words import several

# Of a layer no larger share goes unless more is asked of all, so that none becomes a bottleneck by its scores alone.
MOST_PER_LAYER = 0.9


def plan(
    model: Any,
    units: Mapping[str, Sequence[int]] | None = None,
    *,
    ratio: float | None = None,
    criterion: Any = "l2",
    probe: Any = None,
    round_to: int = 1,
    ignore: str | Sequence[str] = (),
    per_layer: bool = False,
    max_ratio_per_layer: float = MOST_PER_LAYER,
    seed: int = 0,
) -> Plan:
    """A plan of what is to go from a model; the model stays as it is.

    Arguments:
        model: a built functional or sequential model.
        units: exactly these go, layer → units, and what cannot be without them; either this or `ratio`.
        ratio: the share of the model's prunable units that goes, rounded down; of units that go together, as those that are
            added up, each group counts once.  Of every tensor one unit stays at least.
        criterion: "l2" (weights), "activity" (mean |activation| over the probe), "redundancy" (what of a unit the others
            of its layer do not say), "taylor" (estimated change of the loss), "random", or a function
            (layer, weights (units, weights per unit)) → (units,) of 0 or more, None to say nothing.  The lowest go first;
            scores are taken relative to their layer's mean, and averaged over the layers that a group is in.
        probe: a `Probe`, for "activity", "redundancy" and "taylor"; the last needs its labels and a compiled model.  Where
            the model leaves sizes open its samples tell the multiply-adds, too.
        round_to: each layer keeps a multiple of so many units, or all of them: fewer go than `ratio` says.
        ignore: names or patterns of layers whose units stay.
        per_layer: whether each layer loses the same share.
        max_ratio_per_layer: of a layer's units no larger share goes, unless `ratio` is larger.
        seed: of the criterion "random".

    Raises:
        ValueError, TypeError: an argument makes no sense, or does not fit the model; or the model cannot be pruned at all:
            it is not built, quantised, or a subclassed one without a graph.

    Example:
        >>> plan = fw.prune.plan(model, ratio=0.3)      # doctest: +SKIP
        >>> plan.removed["conv1"], plan.savings         # doctest: +SKIP
    """
    if (units is None) == (ratio is None):
        raise RefusedValue("say what is to go: either units={'conv1': [0, 3]} or ratio=0.3" + (", not both" if units else ""))
    if ratio is not None:
        ratio = real("ratio", ratio, 0.0, 1.0)
    round_to = whole("round_to", round_to, 1)
    most = real("max_ratio_per_layer", max_ratio_per_layer, 0.0, 1.0)
    seed = whole("seed", seed, 0)
    if not callable(criterion):
        one_of("criterion", criterion, CRITERIA, "a function (layer, weights) -> scores")
    if ratio is not None and criterion in NEED_PROBE and probe is None:
        raise RefusedValue(f"criterion={criterion!r} needs samples: give probe=featwatch.Probe(x, y)")
    anatomy = anatomy_of(model)
    if units is not None:
        return plan_of(anatomy, groups_of(anatomy, units), named=units, like=samples_of(probe))
    assert ratio is not None
    possible = candidates(anatomy, ignore)
    scores, notes = scored(anatomy, possible, criterion, probe, seed)
    order = ordered(possible, scores, per_layer=per_layer, max_ratio_per_layer=max(most, ratio))
    like = samples_of(probe)
    return plan_at(anatomy, possible, scores, order, ratio, criterion, round_to, notes, like=like, per_layer=per_layer)


def samples_of(probe: Any) -> Any:
    """The samples of a probe, as the model takes them; None where there is none."""
    return probe.x if isinstance(probe, Probe) else None


def anatomy_of(model: Any) -> Anatomy:
    """What of the model goes together.  Raises ValueError or TypeError where it cannot be pruned."""
    anatomy = Anatomy(model)
    for operation in operations(anatomy.graph):
        if getattr(operation, "quantization_mode", None):
            raise RefusedValue(
                f"the model {model.name!r} is quantised (layer {operation.name!r}: {operation.quantization_mode}): "
                "prune it first, then quantise the smaller one"
            )
    return anatomy


def scored(
    anatomy: Anatomy, possible: Candidates, criterion: Any, probe: Any = None, seed: int = 0
) -> tuple[np.ndarray, list[str]]:
    """(candidates,) float64: how much each is needed by a criterion, NaN where that is not known; and what there is to say.

    Arguments as of `plan`.
    """
    if callable(criterion):
        return own(criterion, possible), []
    if criterion == "l2":
        return l2(anatomy, possible), []
    if criterion == "random":
        return random_order(len(possible), seed), []
    if not isinstance(probe, Probe):
        raise RefusedType(f"probe is a {type(probe).__name__}; make one with featwatch.Probe(x, y)")
    by_probe = {"activity": activity, "redundancy": redundancy, "taylor": taylor}[criterion]
    return by_probe(anatomy, possible, probe)


def plan_at(
    anatomy: Anatomy,
    possible: Candidates,
    scores: np.ndarray,
    order: Order,
    ratio: float,
    criterion: Any,
    round_to: int = 1,
    notes: Sequence[str] = (),
    *,
    limit: bool = False,
    like: Any = None,
    per_layer: bool = False,
) -> Plan:
    """The plan at one share, of units that are in order already.

    `limit`: fewer are as good; `like`: as of `plan_of`; `per_layer`: the share is that of each layer.
    """
    chosen = order.at(ratio)
    notes = list(notes)
    wanted = int(ratio * possible.prunable + 1e-9)
    if not len(possible):
        notes.append("no unit of this model can go" + ("; see what is frozen, and why" if anatomy.frozen() else ""))
    elif len(chosen) < wanted and not limit:
        notes.append(
            f"{len(chosen)} of the {wanted} units asked for go: "
            + ("each layer's share is rounded down, and others are ignored, " if per_layer else "the others are ignored, ")
            + "the last of a tensor, beyond a layer's limit, or of layers that the criterion says nothing of"
        )
    before = len(chosen)
    chosen, odd, spared = sound(anatomy, possible, scores, chosen, round_to)
    if round_to > 1 and len(chosen) < before:
        notes.append(f"{before - len(chosen)} of {before} units stay so that layers keep multiples of {round_to}")
    if odd:
        notes.append(f"these layers keep no multiple of {round_to}: {several(odd)}")
    if spared:
        notes.append(f"these layers {AS_MANY_AS_COLUMNS}: {several(spared)}")
    name = criterion if isinstance(criterion, str) else getattr(criterion, "__name__", type(criterion).__name__)
    return plan_of(
        anatomy, set(possible.groups[chosen].tolist()), named=possible.leaders(chosen), criterion=name, notes=notes,
        ignored=possible.ignored, like=like,
    )  # fmt: skip


def plan_of(
    anatomy: Anatomy,
    groups: set[int],
    *,
    named: Mapping[str, Sequence[int]],
    criterion: str = "",
    notes: Sequence[str] = (),
    ignored: Mapping[str, str] | None = None,
    like: Any = None,
) -> Plan:
    """The plan by which these groups go.

    Arguments:
        named: of what goes, that which was named, or would do to name it.
        like: samples as the model takes them, for multiply-adds where it leaves their size open.
    """
    removed = anatomy.going(groups)
    beside = along(anatomy, removed, named)
    sizes = Sizes(anatomy, like=like)
    said = [*notes, *(said_of(anatomy, beside) if not criterion else ())]
    said += sizes.said
    said += [f"not exact: {each}" for each in anatomy.inexact]
    return Plan(
        removed=removed,
        frozen={**anatomy.frozen(), **(ignored or {})},
        savings=sizes.savings(groups),
        units={name: len(made.ids) for name, made in anatomy.made.items()},
        model=anatomy.model.name,
        criterion=criterion,
        notes=tuple(said),
        along=beside,
    )


