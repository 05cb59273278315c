"""What is found out of model and probe before anything is recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from featwatch.agreement import check_inputs, check_labels, class_output
from featwatch.errors import RefusedValue, in_words
from featwatch.layers import LayerChoice
from featwatch.passes import TapPasses
from featwatch.plan import Plan
from featwatch.probe import Probe
from featwatch.recorders.base import Recorder
from featwatch.running import WritesState
from featwatch.survey import Output, Survey, survey


@dataclass(frozen=True, eq=False)
class Prepared:
    """What a recording needs to know of its model."""

    passes: TapPasses
    outputs: tuple[Output, ...]
    output: int                         # index of the output that holds the class scores; −1 = none does


def prepare(
    model: Any,
    probe: Probe,
    recorders: Sequence[Recorder],
    layers: LayerChoice,
    output: int | str | None,
    before: Prepared | None = None,
) -> Prepared:
    """What is to be read of a built model, and how; what was prepared before is used again where it still fits.

    Raises:
        RefusedValue, RefusedType: the arguments, the model and the probe do not go together.
        WritesState: looking at the model would change its training.
    """
    check_inputs(model, probe)
    found = _surveyed(model, probe)
    plan = Plan(found.layers, model.name, recorders, layers)
    chosen = class_output(model, found.outputs, output)
    check_labels(model, found.outputs, chosen, probe)
    passes = before.passes if before is not None and before.passes.are_of(model, plan) else TapPasses(model, plan, probe)
    return Prepared(passes, found.outputs, chosen)


def _surveyed(model: Any, probe: Probe) -> Survey:
    batch = next(iter(probe.batches()))[0]
    try:
        return survey(model, batch)
    except WritesState:
        raise
    except Exception as error:
        why = in_words(error)
        raise RefusedValue(f"the model {model.name!r} cannot be called on the probe's samples: {why}") from error
