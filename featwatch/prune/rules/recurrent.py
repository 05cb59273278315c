"""Recurrent layers: a unit has a column of weights for each of its gates, and is read by all units at the next step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from featwatch.prune.labelled import Call, Kept, Labelled, Rewritten, Sized
from featwatch.prune.rules import Given, refusal, rule
from featwatch.prune.rules.activations import couples

layers = keras.layers
_GATES = {layers.LSTM: 4, layers.GRU: 3, layers.SimpleRNN: 1}
_STATES = {layers.LSTM: 2, layers.GRU: 1, layers.SimpleRNN: 1}


@rule(layers.LSTM, layers.GRU, layers.SimpleRNN)
def recurrent(anatomy: Any, call: Call) -> Given:
    """Kernel (channels, gates · units), recurrent kernel (units, gates · units), bias (gates · units) or two rows of them."""
    why = _refused(call.operation, call.reads)
    if why:
        return anatomy.keep(call, f"{call.name!r} {why}")
    ids = _units(anatomy, call, call.operation)
    anatomy.note(call, ids)
    _weights(anatomy, call, call.operation, call.read.ids, ids)
    for state in call.reads[1:]:
        anatomy.units.tie(state.ids, ids)
    return [Labelled(shape, len(shape) - 1, ids) for shape in call.shapes]


@rule(layers.Bidirectional)
def bidirectional(anatomy: Any, call: Call) -> Given:
    """A layer for each direction; their outputs one after the other, put together at each place, or apart."""
    layer = call.operation
    both = (layer.forward_layer, layer.backward_layer)
    why = next((reason for each in both if (reason := _refused(each, call.reads))), "")
    if why or any(refusal(Call(each, each.name, call.reads, ())) for each in both):
        return anatomy.keep(call, f"{call.name!r} {why or 'has a layer that is quantised'}")
    ways = [_units(anatomy, call, each) for each in both]
    anatomy.units.tie(*ways)            # Keras takes them to be as many
    together = layer.merge_mode in ("sum", "mul", "ave")
    joined = ways[0] if together else np.concatenate(ways)
    anatomy.note(call, joined if call.name not in anatomy.made else anatomy.made[call.name].ids)
    for each, ids in zip(both, ways, strict=True):
        _weights(anatomy, call, each, call.read.ids, ids)
    count = _STATES[_kind(both[0])]
    states = [ids for ids in ways for _ in range(count)]
    for state, ids in zip(call.reads[1:], states, strict=False):
        anatomy.units.tie(state.ids, ids)
    given = [*(ways if layer.merge_mode is None else [joined]), *states]
    return [Labelled(shape, len(shape) - 1, ids) for shape, ids in zip(call.shapes, given, strict=False)]


def _refused(layer: Any, reads: Sequence[Labelled]) -> str:
    kind = _kind(layer)
    if kind is None:
        return f"runs {layer.name!r} ({type(layer).__name__}), which cannot lose single units"
    if getattr(layer, "stateful", False):
        return "keeps its state from batch to batch"
    read = reads[0]
    if read.axis != 2 or len(read.shape) != 3:
        return "reads along another axis than it is on"
    states = reads[1:]
    if any(len(state.shape) != 2 or len(state.ids) != layer.cell.units for state in states):
        return "is given states that are not of its units"
    given = Labelled((None, layer.cell.units), 1, np.arange(layer.cell.units))
    used = (layer.cell.activation, getattr(layer.cell, "recurrent_activation", None))
    if any(isinstance(each, keras.Layer) for each in used):
        return "applies a layer as its activation"
    return next((over for each in used if (over := couples(each, given))), "")


def _kind(layer: Any) -> type | None:
    return next((kind for kind in _GATES if isinstance(layer, kind) and type(layer).call is kind.call), None)


def _units(anatomy: Any, call: Call, layer: Any) -> np.ndarray:
    """The units of a layer: new ones at its first call, the same ones at every other."""
    known = anatomy.sliced.get(id(layer.cell.recurrent_kernel))
    if known is not None:
        return np.asarray(known.axes[0])
    cell, ids = layer.cell, anatomy.units.fresh(layer.cell.units)
    anatomy.sized.append(Sized(layer, "units", ids, held=((cell, "units"), (cell, "output_size"))))

    def sizes(kept: Kept) -> list[tuple[Any, str, Any]]:
        count = len(kept(ids))
        states = [count] * _STATES[_kind(layer)]
        return [(cell, "state_size", states if isinstance(cell.state_size, (list, tuple)) else count),
                (layer, "state_size", states)]

    anatomy.rewrite(Rewritten(layer, ids, attributes=sizes))
    return np.asarray(ids)


def _weights(anatomy: Any, call: Call, layer: Any, read: np.ndarray, ids: np.ndarray) -> None:
    gates = np.tile(ids, _GATES[_kind(layer)])
    anatomy.has(call, layer.cell.kernel, {0: read, 1: gates})
    anatomy.has(call, layer.cell.recurrent_kernel, {0: ids, 1: gates})
    if layer.cell.use_bias:
        anatomy.has(call, layer.cell.bias, {-1: gates})
