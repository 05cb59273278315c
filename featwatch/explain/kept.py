"""What was traced of a model, kept while the model stays as it is: tracing takes seconds, and gives memory back late or never."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from featwatch.graphs import graph_of
from featwatch.weights import holders

T = TypeVar("T")
MOST = 64                           # things kept of a model; of more, those that were not asked for the longest go

_of_models: weakref.WeakKeyDictionary[Any, tuple[Hashable, OrderedDict[Hashable, Any]]] = weakref.WeakKeyDictionary()
_lock = threading.RLock()


def kept(model: Any, key: Hashable, make: Callable[[], T]) -> T:
    """What `make` gave for this model and key, made at the first call, and anew where layers or shapes have changed since.

    What it gives must not hold the model itself, only a weak reference, or neither would ever go.

    Arguments:
        key: everything that `make` depends on beside the model, its kind first: ("saliency", id of the layer, …).
    """
    with _lock:
        now = _signature(model)
        before, things = _of_models.get(model, (None, OrderedDict()))
        if before != now:
            things = OrderedDict()
            _of_models[model] = now, things
        if key not in things:
            things[key] = make()
            while len(things) > MOST:
                things.popitem(last=False)
        things.move_to_end(key)
        return things[key]


def _signature(model: Any) -> Hashable:
    graph = graph_of(model)
    operations = tuple(id(operation) for operation in graph.operations) if graph is not None else ()
    return operations, holders(model)
