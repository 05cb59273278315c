"""What pruning filters would save, as the session's entries for the layers tell (row A2)."""

from __future__ import annotations

from typing import Any

from featwatch.records import AN_OUTPUT, LayerInfo, Record, Session

CANNOT_GO = "They are outputs of the model: none of them can be pruned."


class Savings:
    """What is known of the watched layers' sizes; it has to see every record."""

    def __init__(self) -> None:
        self._layers: dict[str, LayerInfo] = {}

    def see(self, record: Record) -> None:
        if isinstance(record, Session):
            entries = (LayerInfo.of(entry) for entry in record.layers)
            self._layers = {entry.name: entry for entry in entries if entry is not None}

    def of(self, layer: str) -> LayerInfo | None:
        return self._layers.get(layer)

    def is_output(self, layer: str) -> bool:
        """Whether the layer gives what the model gives."""
        known = self._layers.get(layer)
        return known is not None and known.saving_note == AN_OUTPUT

    def evidence(self, layer: str, filters: int, effect: str = "") -> dict[str, Any]:
        """What so many filters less of the layer would save, and the effect of that, for an alert's evidence.

        Nothing of the model's own outputs; figures as far as they are known.
        """
        found: dict[str, Any] = {"effect": effect} if effect and not self.is_output(layer) else {}
        known = self._layers.get(layer)
        if known is None or known.filter_parameters <= 0 or not filters:
            return found
        of_all = sum(max(entry.parameters, 0) for entry in self._layers.values())
        found["parameters"] = filters * known.filter_parameters
        if of_all:
            found["share_of_parameters"] = found["parameters"] / of_all
        if known.filter_multiply_adds >= 0:
            found["multiply_adds"] = filters * known.filter_multiply_adds
            of_all = sum(max(entry.multiply_adds, 0) for entry in self._layers.values())
            if of_all:
                found["share_of_multiply_adds"] = found["multiply_adds"] / of_all
        return found | ({"saving_note": known.saving_note} if known.saving_note else {})

    def advice(self, layer: str, filters: int, effect: str) -> str:
        """A sentence: what pruning so many filters of the layer saves, and what it does to the outputs."""
        if self.is_output(layer):
            return CANNOT_GO
        known = self._layers.get(layer)
        if known is not None and known.filter_parameters == 0:
            return f"None of the layer's filters can be pruned: {known.saving_note}."
        found = self.evidence(layer, filters)
        if not found:
            return f"Prune them: it {effect}."
        figures = [_figure(found, "parameters", "parameters"), _figure(found, "multiply_adds", "multiply-adds")]
        return f"Prune them, which saves {' and '.join(figure for figure in figures if figure)}: it {effect}."


def _figure(found: dict[str, Any], name: str, words: str) -> str:
    """A number and its share of the watched layers': "12,400 parameters (3.1 %)"."""
    if name not in found:
        return ""
    share = found.get(f"share_of_{name}")
    return f"{_short(found[name])} {words}" + (f" ({100 * share:.2g} %)" if share is not None else "")


def _short(number: int) -> str:
    """
    >>> _short(12_400), _short(3_456_000), _short(12_345_678_901)
    ('12,400', '3.46 million', '12.3 billion')
    """
    for unit, name in ((10**9, "billion"), (10**6, "million")):
        if number >= unit:
            return f"{number / unit:.3g} {name}"
    return f"{number:,}"
