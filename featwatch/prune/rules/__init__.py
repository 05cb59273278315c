"""What becomes of units in each kind of operation: one rule a kind, found by the operation's class.

A rule takes the `Anatomy` and the `Call`, says which variables have numbers for which units, and gives the `Labelled`
that leaves (a list, where several tensors do).  Rules of a class serve its subclasses as long as they keep its `call`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

from featwatch.prune.labelled import Call, Labelled

Given = Labelled | Sequence[Labelled]
Rule = Callable[[Any, Call], Given]

_MODULES = (
    "along", "attention", "convolutions", "coupling", "dense", "forms", "merging", "normalisation", "order", "recurrent",
    "selecting", "unchanged", "wrapping",
)  # fmt: skip
_BY_CLASS: dict[type, Rule] = {}
_BY_NAME: dict[str, Rule] = {}


def rule(*kinds: type | str) -> Callable[[Rule], Rule]:
    """Register a function as the rule of these classes of layers, or of operations of `keras.ops` by their classes' names."""

    def register(function: Rule) -> Rule:
        for kind in kinds:
            if isinstance(kind, str):
                _BY_NAME[kind] = function
            else:
                _BY_CLASS[kind] = function
        return function

    return register


def refusal(call: Call) -> str:
    """Why nothing that an operation touches may go, whatever kind it is; "" where its rule decides."""
    if getattr(call.operation, "quantization_mode", None):
        return f"{call.name!r} is quantised: prune before quantising"
    if getattr(call.operation, "lora_enabled", False):
        return f"{call.name!r} has LoRA weights: merge them first"
    return ""


def rule_for(operation: Any) -> Rule:
    """The rule of an operation; of what none is known for, the one that asks the operation itself."""
    for name in _MODULES:
        importlib.import_module(f"featwatch.prune.rules.{name}")

    from featwatch.prune.rules import unknown

    for kind in type(operation).__mro__:
        found = _BY_CLASS.get(kind)
        if found is not None:
            return unknown.unknown if _changed(type(operation), kind) else found
    if type(operation).__module__.startswith("keras.") and type(operation).__name__ in _BY_NAME:
        return _BY_NAME[type(operation).__name__]
    return unknown.unknown


# What a subclass may have of its own without computing anything else: how it is made, and how it is described.
_HARMLESS = frozenset({
    "get_config", "from_config", "build", "get_build_config", "build_from_config", "compute_output_shape", "compute_output_spec",
    "add_weight", "save_own_variables", "load_own_variables", "count_params",
})  # fmt: skip


def _changed(own: type, kind: type) -> bool:
    """Whether a subclass computes anything otherwise than the class that the rule is for: `call`, or what that may call."""
    between = own.__mro__[: own.__mro__.index(kind)]
    names = {name for each in between for name in vars(each) if not (name.startswith("__") and name != "__call__")}
    return any(hasattr(kind, name) for name in names - _HARMLESS if not name.startswith("_abc"))
