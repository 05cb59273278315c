"""What is recorded of pruning: its steps, the model's size over epochs, and what more of it would save."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from featwatch.records.base import Record, array

# What a step of pruning was.
PRUNED, UNDONE, PROPOSED, REFUSED = "pruned", "undone", "proposed", "refused"


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Pruning(Record):
    """One step: units that went, came back because the guard undid it, or would have gone in a dry run.

    Units are numbered as they were right before the step.  `removed` lists, by layer, all that goes: batch normalisations
    and depthwise convolutions that go along included, as `Plan.removed` does.
    """

    kind: ClassVar[str] = "pruning"
    per_layer: ClassVar[bool] = False

    action: str                         # "pruned", "undone", "proposed" (a dry run), or "refused"
    reason: str = ""                    # one sentence: why now, why undone, why refused
    criterion: str = ""                 # "l2", "activity", …, "alerts"
    removed: Mapping[str, Any] = field(default_factory=dict)        # layer -> list of unit numbers
    origin: Mapping[str, Any] = field(default_factory=dict)         # the same units, numbered as before all pruning
    units_before: int = -1              # that can go, in the whole model: a group that goes together counts once
    units_after: int = -1
    units_original: int = -1            # before any pruning
    parameters_before: int = -1
    parameters_after: int = -1
    multiply_adds_before: int = -1      # for one sample; −1 = not known
    multiply_adds_after: int = -1
    latency_before: float = math.nan    # measured: milliseconds for a sample in a batch of `latency_batch`
    latency_after: float = math.nan
    latency_batch: int = 0
    monitor: str = ""                   # what the guard watches: "val_loss", …; "" = no guard
    value_before: float = math.nan      # at the last epoch before the step
    value_after: float = math.nan       # where the guard undid it: the value that made it
    error: float = math.nan             # estimated before the step: relative change of what its readers give
    seconds: float = math.nan           # for which training waited
    note: str = ""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ModelSize(Record):
    """How large the model is at an epoch, after what was pruned at its end."""

    kind: ClassVar[str] = "size"
    per_layer: ClassVar[bool] = False
    headlines: ClassVar[tuple[str, ...]] = ("parameters", "multiply_adds", "latency")

    parameters: int
    multiply_adds: int = -1             # for one sample; −1 = not known
    units: int = -1                     # that can go; a group that goes together counts once
    latency: float = math.nan           # measured: milliseconds for a sample in a batch of `latency_batch`
    latency_batch: int = 0
    note: str = ""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class PruningOutlook(Record):
    """What would go, and what it would save and cost, at each share of units removed, were the model pruned now.

    `accuracy` and `change` are measured on the probe with the units masked, without any training afterwards: masked and
    removed give the same outputs.  What goes at random is the baseline that a criterion has to beat.
    """

    kind: ClassVar[str] = "outlook"
    per_layer: ClassVar[bool] = False

    criterion: str = ""
    layers: np.ndarray = array("str", "layers")                 # with weights, in graph order
    types: np.ndarray = array("str", "layers")                  # "Conv2D", …
    units: np.ndarray = array("int32", "layers")                # what each gives now
    mixes: np.ndarray = array("bool", "layers")                 # False: goes along with others' (a batch normalisation)
    frozen: np.ndarray = array("str", "layers")                 # why none of its units can go; "" = some can
    fixed: np.ndarray = array("int32", "layers")                # units that cannot go
    ratios: np.ndarray = array("float32", "ratios")             # ascending, the first 0; of the model's prunable units
    going: np.ndarray = array("int32", "ratios", "layers")      # units of each layer that go
    parameters: np.ndarray = array("float64", "ratios")         # that are left
    multiply_adds: np.ndarray = array("float64", "ratios")      # for one sample; NaN = not known
    accuracy: np.ndarray = array("float32", "ratios")           # of the probe; NaN = not measured, or no labels
    change: np.ndarray = array("float32", "ratios")             # RMS change of the outputs over their RMS deviation; NaN likewise
    # The share at which each unit goes, layer after layer; infinity = not before the largest ratio, or never.
    turn: np.ndarray = array("float32", "all units")
    # As `accuracy` and `change`, with as many units gone in one order that was drawn at random; NaN where there was no time.
    random_accuracy: np.ndarray = array("float32", "ratios", optional=True)
    random_change: np.ndarray = array("float32", "ratios", optional=True)
    # Layers that lose units together, as those of a sum do, have the same number: the index of the first of them.  A layer that
    # passes units on has that of whose units they are; −1 = those of several, or none of its units can go.
    together: np.ndarray = array("int32", "layers", optional=True)
    note: str = ""
