"""How a recording is opened, and opened anew where the model has other filters: what it is told, and the session it writes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import tensorflow as tf

from featwatch import __version__
from featwatch.analysis.sample_events import SampleHistory
from featwatch.layers import Site
from featwatch.preparation import Prepared
from featwatch.recorders.pipeline import Memories
from featwatch.records import Alert, LayerInfo, Session
from featwatch.taps import TapPass

Shapes = Mapping[str, tuple[int | None, ...]]       # layer -> shape of what it gives for a sample


@dataclass(frozen=True, eq=False, kw_only=True)
class Setting:
    """What a recording is told of the training."""

    epoch: int                      # the first that it can record
    step: int = -1                  # optimiser updates done by then; −1 = nothing is recorded by step
    started: float = field(default_factory=time.time)   # seconds since 1970: when the training, or the look at it, began
    epochs_planned: int = -1        # −1 = not known
    schedule: str = ""
    memory: Memories = field(default_factory=dict)      # what the analysis continues from
    shapes: Shapes = field(default_factory=dict)        # of the layers when that was made, where known
    histories: Mapping[str, SampleHistory] = field(default_factory=dict)    # axis -> the predictions so far
    alerts: Sequence[Alert] = ()                        # that are open


def infos_of(prepared: Prepared, taps: TapPass) -> dict[str, LayerInfo]:
    """What there is to say of the layers that can be read, by name in graph order."""
    readable: list[Site] = [site for site in prepared.passes.plan.sites if site.name not in taps.refused]
    return {site.name: prepared.passes.info(site, taps) for site in readable}


def session_of(setting: Setting, model: Any, prepared: Prepared, taps: TapPass, infos: Mapping[str, LayerInfo]) -> Session:
    """The record of what is watched from an epoch on."""
    outputs = prepared.outputs
    return Session(
        epoch=setting.epoch,
        started=setting.started,
        layers=tuple(info.as_dict() for info in infos.values()),
        recorders={recorder.name: recorder.options() for recorder in prepared.passes.plan.recorders},
        schedule=setting.schedule,
        model=model.name,
        epochs_planned=setting.epochs_planned,
        versions={"featwatch": __version__, "keras": keras.__version__, "tensorflow": tf.__version__},
        tap=taps.how,
        outputs=tuple(output.name for output in outputs),
        output=outputs[prepared.output].name if prepared.output >= 0 else "",
    )


def resized(shapes: Shapes, infos: Mapping[str, LayerInfo]) -> set[str]:
    """The layers that give something of another shape than they did."""
    return {name for name, info in infos.items() if name in shapes and tuple(shapes[name]) != info.shape}
