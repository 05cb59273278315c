"""Plans as files: JSON that a person can read and edit, refused with the place and the reason where it makes no sense.

    {"format": "featwatch pruning plan", "version": 1, "model": "resnet50", "criterion": "l2",
     "removed": {"conv1": [1, 5]},              what goes: of units that go together, one is named
     "along": {"bn1": [1, 5]}, "along_of": …,   what goes along, as worked out for exactly that `removed`
     "units": {"conv1": 64, …},                 units of the layers of the model that it is for
     "frozen": {"scores": "it is an output …"}, "savings": {…}, "notes": […]}

Only `format`, `version` and `removed` have to be there.  Where `removed` was edited, `along` holds no more and is left out.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from featwatch.errors import RefusedValue
from featwatch.phrases import closest
from featwatch.prune.planned import EDITED, UNPROVEN, Plan
from featwatch.prune.savings import Savings

FORMAT = "featwatch pruning plan"
VERSION = 1
KEYS = ("format", "version", "model", "criterion", "removed", "along", "along_of", "units", "frozen", "savings", "notes")
# A plan for a hundred thousand units takes a megabyte.
LARGEST = 64 * 2**20
MOST_UNITS = 2**24


def write(plan: Plan, path: str | os.PathLike[str]) -> None:
    """Write a plan; what was there is replaced at once, or not at all."""
    folder = os.path.dirname(os.fspath(path)) or "."
    if not os.path.isdir(folder):
        raise RefusedValue(f"there is no folder {folder!r} to write {os.path.basename(os.fspath(path))!r} into")
    removed, along = _sorted(plan.chosen), _sorted(plan.along)
    entries: dict[str, Any] = {
        "format": FORMAT, "version": VERSION, "model": plan.model, "criterion": plan.criterion, "removed": removed,
        "along": along, "along_of": _mark(removed), "units": {name: int(count) for name, count in plan.units.items()},
        "frozen": dict(plan.frozen), "savings": dataclasses.asdict(plan.savings), "notes": list(plan.notes),
    }  # fmt: skip
    temporary = f"{os.fspath(path)}.part"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(_as_text(entries))
    os.replace(temporary, path)


def read(path: str | os.PathLike[str]) -> Plan:
    """The plan in a file.  Raises ValueError."""
    where = os.fspath(path)
    try:
        size = os.path.getsize(where)
        if size > LARGEST:
            raise RefusedValue(f"{where!r} is no plan: {size:,} bytes are more than any has")
        with open(where, encoding="utf-8") as file:
            entries = json.load(file, object_pairs_hook=_no_doubles, parse_constant=_no_constant)
    except FileNotFoundError:
        raise RefusedValue(f"there is no file {where!r}; write one with plan.save({where!r})") from None
    except RefusedValue:
        raise
    except (OSError, UnicodeDecodeError, ValueError, RecursionError, MemoryError) as error:
        raise RefusedValue(f"{where!r} cannot be read as a plan: {str(error)[:200] or type(error).__name__}") from None
    try:
        return _plan(entries)
    except RefusedValue as error:
        raise RefusedValue(f"{where!r}: {error}") from None


def _plan(entries: Any) -> Plan:
    if not isinstance(entries, dict):
        raise RefusedValue("it is no plan: a JSON object is expected")
    for key in entries:
        if key not in KEYS:
            raise RefusedValue(f"there is nothing called {key[:80]!r} in a plan{closest(key[:80], KEYS)}")
    if entries.get("format") != FORMAT:
        raise RefusedValue(f'it is no plan: "format": "{FORMAT}" is missing')
    if entries.get("version") != VERSION or isinstance(entries["version"], bool):
        raise RefusedValue(f"version {str(entries.get('version'))[:40]} is not known; this featwatch reads version {VERSION}")
    if "removed" not in entries:
        raise RefusedValue("it does not say what goes: 'removed' is missing")
    removed = _units("removed", entries["removed"])
    along = _units("along", entries.get("along", {}))
    notes = list(_strings("notes", entries.get("notes", [])))
    if along and entries.get("along_of") != _mark(removed):
        along, savings = {}, Savings()
        notes += [EDITED] if EDITED not in notes else []
    else:
        savings = _savings(entries.get("savings", {}))
        if "along_of" not in entries and savings != Savings() and UNPROVEN not in notes:
            notes.append(UNPROVEN)
    everything = {name: sorted({*removed.get(name, ()), *along.get(name, ())}) for name in {**removed, **along}}
    return Plan(
        removed=everything,
        frozen=_of("frozen", entries.get("frozen", {}), _text),
        savings=savings,
        units=_of("units", entries.get("units", {}), lambda where, value: _whole(where, value, 1)),
        model=_text("model", entries.get("model", "")),
        criterion=_text("criterion", entries.get("criterion", "")),
        notes=tuple(notes),
        along=along,
    )


def _units(where: str, value: Any) -> dict[str, list[int]]:
    return {name: units for name, units in _of(where, value, _numbers).items() if units}


def _numbers(where: str, value: Any) -> list[int]:
    if not isinstance(value, list):
        raise RefusedValue(f"{where} is {_shown(value)}: a list of the units' numbers is expected")
    numbers = [_whole(where, each, 0) for each in value]
    if len(set(numbers)) < len(numbers):
        double = next(each for each in numbers if numbers.count(each) > 1)
        raise RefusedValue(f"{where} names unit {double} more than once; name each once")
    return sorted(numbers)


def _of(where: str, value: Any, each: Callable[[str, Any], Any]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RefusedValue(f"{where} is {_shown(value)}: an object with layers' names is expected")
    return {name: each(f"{where}[{name!r}]", entry) for name, entry in value.items()}


def _savings(value: Any) -> Savings:
    fields = [entry.name for entry in dataclasses.fields(Savings)]
    counts = _of("savings", value, lambda where, entry: _whole(where, entry, -1, 2**63))
    for name in counts:
        if name not in fields:
            raise RefusedValue(f"there is nothing called {name!r} in savings{closest(name, fields)}")
    return Savings(**counts)


def _whole(where: str, value: Any, low: int, high: int = MOST_UNITS) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise RefusedValue(f"{where} has {_shown(value)}: a whole number of {low} or more is expected")
    return value


def _text(where: str, value: Any) -> str:
    if not isinstance(value, str):
        raise RefusedValue(f"{where} is {_shown(value)}: a text is expected")
    return value


def _strings(where: str, value: Any) -> list[str]:
    if not isinstance(value, list):
        raise RefusedValue(f"{where} is {_shown(value)}: a list of texts is expected")
    return [_text(where, each) for each in value]


def _no_doubles(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise RefusedValue(f"it has {double[:80]!r} twice; have it once")
    return found


def _no_constant(text: str) -> Any:
    raise RefusedValue(f"it holds {text}, which is no number of units")


def _sorted(units: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    return {name: sorted(map(int, numbers)) for name, numbers in units.items()}


def _mark(removed: Mapping[str, Sequence[int]]) -> str:
    """Eight hexadecimal digits that change when `removed` does, but not when layers are put in another order."""
    return f"{zlib.crc32(json.dumps(removed, sort_keys=True).encode()):08x}"


def _shown(value: Any) -> str:
    return "a number that is not finite" if isinstance(value, float) and not math.isfinite(value) else repr(value)[:60]


def _as_text(entries: Mapping[str, Any]) -> str:
    """JSON with one line for each layer."""
    lines = []
    for key, value in entries.items():
        if isinstance(value, dict) and value:
            inner = ",\n".join(f"    {json.dumps(name)}: {json.dumps(each, ensure_ascii=False)}" for name, each in value.items())
            text = "{\n" + inner + "\n  }"
        else:
            text = json.dumps(value, ensure_ascii=False)
        lines.append(f"  {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"
