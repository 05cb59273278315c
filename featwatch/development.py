"""What a kind of record says of each filter of a layer, over all epochs or steps (row H4)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from featwatch import wire
from featwatch.records import KINDS, LayerHealth

MAX_STRINGS = 1 << 16           # different ones, over all records: their codes have 16 bits


def fields_of(kind: str) -> list[str]:
    """The arrays of this kind of record that hold one value for each filter.

    Without `group` of "health": in a log "similarity" knows that.

    >>> fields_of("kernels")
    ['largest', 'covered']
    """
    named = [field.name for field in dataclasses.fields(KINDS[kind]) if field.metadata.get("axes") == ("filters",)]
    return [name for name in named if (kind, name) != (LayerHealth.kind, "group")]


def kinds() -> list[str]:
    """The kinds of records that have such arrays."""
    return [kind for kind in KINDS if fields_of(kind)]


def filters_of(header: wire.Header) -> int:
    """How many filters the layer had when this was recorded, as the record's header has it; −1 = it does not say.

    Of a kind that there is.
    """
    shapes = {info.name: info.shape for info in header.blobs}
    known = [shapes[name] for name in fields_of(header.kind) if name in shapes]
    return known[0][0] if known and len(known[0]) == 1 else -1


class Development:
    """Some fields of a kind of record over places (epochs or steps), for some of a layer's filters.

    Attributes:
        numbers: field -> (places, filters) float32: its values, 0 and 1 for what is true or false; NaN where nothing was put.
        codes, tables: field of strings -> (places, filters) uint16 and the strings that they index; "" where nothing was put.

    >>> found = Development("health", ["energy", "cause"], places=2, filters=[2, 0])
    >>> found.put(1, {"energy": np.array([1.0, 2.0, 3.0]), "cause": np.array(["no energy", "", ""])})
    >>> found.numbers["energy"].tolist(), found.strings("cause").tolist()
    ([[nan, nan], [3.0, 1.0]], [['', ''], ['', 'no energy']])
    """

    def __init__(self, kind: str, fields: Sequence[str], places: int, filters: Sequence[int] | np.ndarray) -> None:
        self._filters = np.asarray(filters, np.int64)
        shape = places, len(self._filters)
        texts = {field.name for field in dataclasses.fields(KINDS[kind]) if field.metadata.get("dtype") == "str"}
        self.numbers = {name: np.full(shape, np.nan, np.float32) for name in fields if name not in texts}
        self.codes = {name: np.zeros(shape, np.uint16) for name in fields if name in texts}
        self._tables: dict[str, dict[str, int]] = {name: {"": 0} for name in self.codes}

    @property
    def tables(self) -> dict[str, tuple[str, ...]]:
        return {name: tuple(table) for name, table in self._tables.items()}

    def put(self, place: int, arrays: Mapping[str, np.ndarray], found: np.ndarray | None = None) -> None:
        """Put what a record says at a place; each array is (all the layer's filters,).  Fields that it lacks stay unknown.

        Raises WireError where the records have too many different strings.

        Arguments:
            found: (filters,) the numbers that the filters have in this record, where they are others than usual; −1 = it does
                not have that one.
        """
        numbers = self._filters if found is None else found
        there, numbers = numbers >= 0, numbers[numbers >= 0]
        for name, values in self.numbers.items():
            if name in arrays:
                values[place, there] = arrays[name][numbers]
        for name, codes in self.codes.items():
            if name in arrays:
                texts, which = np.unique(arrays[name][numbers], return_inverse=True)
                table = self._tables[name]
                if len(table.keys() | set(texts.tolist())) > MAX_STRINGS:
                    raise wire.WireError(f"{name!r} has more different strings than can be told apart")
                known = np.array([table.setdefault(text, len(table)) for text in texts.tolist()], np.uint16)
                codes[place, there] = known[which]

    def strings(self, name: str) -> np.ndarray:
        """(places, filters) the field's strings."""
        return np.array(self.tables[name])[self.codes[name]]
